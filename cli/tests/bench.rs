//! `surprisal bench`: figures that can be read, and a picture that can be drawn.

mod common;

use std::fs;
use std::path::Path;

use serde_json::Value;

use common::{names, surprisal};

const SHAPES: &str = "40x10,600x10,9x1001";

fn bench(folder: &Path, args: &[&str]) -> (Value, String) {
    let json = ["bench", "--json", "figures.json", "--shape", SHAPES];
    let run = surprisal(folder, &[&json, args].concat());
    assert_eq!(run.code, 0, "{:?}", run.stderr);
    let text = fs::read_to_string(folder.join("figures.json")).expect("it was written");
    assert_eq!(text.lines().count(), 1, "one object on one line");
    (serde_json::from_str(&text).expect("it is JSON"), run.stdout)
}

fn rows(figures: &Value) -> &Vec<Value> {
    figures["rows"].as_array().expect("rows")
}

#[test]
fn gpu_beside_cpu() {
    let folder = tempfile::tempdir().expect("a folder");
    let (figures, table) = bench(folder.path(), &["--device", "gpu", "--plot", "figures.svg"]);
    // Operations, dtypes and shapes; the CPU path, its copy and its read, the GPU with data there, its
    // copy, and with transfer.
    assert_eq!(rows(&figures).len(), 3 * 2 * 3 * 6);
    for row in rows(&figures) {
        let number = |name: &str| row[name].as_f64().unwrap_or_else(|| panic!("{name} of {row}"));
        for name in ["seconds", "gigabytes_per_second", "share_of_copy"] {
            assert!(number(name).is_finite() && number(name) > 0.0, "{name} of {row}");
        }
        let size = if row["dtype"] == "f32" { 4.0 } else { 2.0 };
        let is_read = row["what"] == "read" || row["what"] == "loss";
        let passes = if is_read { 1.0 } else { 2.0 };
        assert_eq!(number("bytes"), passes * size * number("rows") * number("classes"), "{row}");
        let speed = 1e-9 * number("bytes") / number("seconds");
        assert!((number("gigabytes_per_second") / speed - 1.0).abs() < 1e-9, "{row}");
        if row["what"] == "copy" {
            assert_eq!(number("share_of_copy"), 1.0, "{row}");
        }
        let is_resident = row["device"] == "gpu" && row["data"] == "resident";
        assert!(is_resident || row["clock"] == "wall", "{row}");
        assert_eq!(row["encode_seconds"].is_number(), is_resident && row["what"] == row["op"]);
        assert_eq!(row["stages"].is_object(), row["data"] == "host-to-host", "{row}");
    }
    // An operation, a dtype and a number of classes.
    assert_eq!(figures["gpu_wins"].as_array().expect("wins").len(), 3 * 2 * 2);
    assert!(figures["skipped"].as_array().expect("a list").is_empty());
    for part in ["loss+gradient, bf16", "GPU, data resident", "600 x 10", "of 10 classes, f32: "] {
        assert!(table.contains(part), "`{part}` is missing:\n{table}");
    }
    assert_eq!(names(folder.path()), ["figures.json", "figures.svg"]);
    let picture = fs::read_to_string(folder.path().join("figures.svg")).expect("it was written");
    expect_svg(&picture);
    for part in ["share of the copy", "GPU with transfer", "loss+gradient", "bf16"] {
        assert!(picture.contains(part), "`{part}` is missing");
    }
}

/// Tags that match, and points that are in the picture.
fn expect_svg(text: &str) {
    let mut open = Vec::new();
    let mut size = [0.0; 2];
    for part in text.split('<').skip(1) {
        let (tag, text) = part.split_once('>').expect("a tag ends");
        assert!(!text.contains('>'), "{text}");
        let name = tag.split([' ', '/']).next().expect("it has a name");
        let attribute = |name: &str| {
            let value = tag.split_once(&format!(" {name}=\""))?.1;
            value.split_once('"').map(|value| value.0)
        };
        let number = |text: &str| text.parse::<f64>().expect("a number");
        if name == "svg" && !tag.starts_with('/') {
            size = ["width", "height"].map(|side| number(attribute(side).expect("a size")));
        }
        let points = attribute("points").unwrap_or_default().split_whitespace();
        let points = points.map(|point| point.split_once(',').expect("two numbers"));
        for (x, y) in points.chain(attribute("cx").zip(attribute("cy"))) {
            let place = [number(x), number(y)];
            let is_inside = place.iter().zip(size).all(|(at, size)| (0.0..=size).contains(at));
            assert!(is_inside, "{place:?} is not in {size:?}");
        }
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty() && size[0] > 0.0, "{open:?}");
}

#[test]
fn one_device_one_operation_one_dtype() {
    let folder = tempfile::tempdir().expect("a folder");
    let args = ["--device", "cpu", "--op", "log-softmax", "--dtype", "f16", "--threads", "1"];
    let (figures, table) = bench(folder.path(), &[&args[..], &["--plot", "p.svg"]].concat());
    assert_eq!(rows(&figures).len(), 3 * 3);
    assert!(rows(&figures).iter().all(|row| row["device"] == "cpu" && row["dtype"] == "f16"));
    assert_eq!(figures["devices"].as_array().expect("a list").len(), 1);
    assert!(!table.contains("GPU"), "{table}");
    expect_svg(&fs::read_to_string(folder.path().join("p.svg")).expect("it was written"));

    let (figures, table) = bench(folder.path(), &["--device", "reference", "--op", "loss"]);
    let is_of_reference = |row: &&Value| row["device"] == "reference";
    assert_eq!(rows(&figures).iter().filter(is_of_reference).count(), 2 * 3);
    assert!(table.contains("reference"), "{table}");
}

#[test]
fn what_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("old.json"), "old").expect("the folder can be written");
    let cases: [(&[&str], &[&str]); 9] = [
        (&["--shape", "0x5"], &["--shape", "0x5"]),
        (&["--shape", "8"], &["--shape", "'8'"]),
        (&["--shape", "99999999999x99999999999"], &["--shape", "99999999999x99999999999"]),
        (&["--shape", "8x8,-1x8"], &["--shape", "-1x8"]),
        (&["--op", "sort"], &["--op", "sort"]),
        (&["--suite", "long"], &["--suite", "long"]),
        (&["--plot", "picture.png"], &["--plot", "picture.png", ".svg"]),
        (&["--plot", "nowhere/p.svg"], &["--plot", "nowhere"]),
        (&["--device", "cpu", "--adapter", "0"], &["--adapter"]),
    ];
    for (args, parts) in cases {
        surprisal(folder.path(), &[&["bench", "--json", "old.json"], args].concat()[..])
            .fails(2, parts);
        assert_eq!(names(folder.path()), ["old.json"], "{args:?}");
    }
    let run = surprisal(folder.path(), &["bench", "--json", "p.svg", "--plot", "./p.svg"]);
    run.fails(2, &["--json", "--plot", "p.svg"]);
    surprisal(folder.path(), &["bench", "--json", "."]).fails(2, &["--json", "."]);
    surprisal(folder.path(), &["bench", "--json", "old.json", "--adapter", "no such thing"])
        .fails(2, &["no such thing"]);
    let old = fs::read_to_string(folder.path().join("old.json")).expect("it is there");
    assert_eq!(old, "old", "what stood there is untouched");
    assert_eq!(names(folder.path()), ["old.json"]);
}

#[cfg(unix)]
#[test]
fn only_files_are_replaced() {
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};

    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    for name in ["pipe.json", "pipe.svg"] {
        let made = std::process::Command::new("mkfifo").arg(path(name)).status();
        assert!(made.expect("mkfifo is there").success());
    }
    let run = |args: &[&str]| {
        let case = ["bench", "--device", "cpu", "--op", "loss", "--shape", "8x8"];
        surprisal(folder.path(), &[&case, args].concat())
    };
    run(&["--json", "pipe.json"]).fails(2, &["--json", "pipe.json", "not a file"]);
    run(&["--plot", "pipe.svg"]).fails(2, &["--plot", "pipe.svg", "not a file"]);
    for name in ["pipe.json", "pipe.svg"] {
        assert!(fs::metadata(path(name)).expect("it is there").file_type().is_fifo(), "{name}");
    }
    // A file keeps its permissions, and a link leads where it led.
    fs::write(path("old.json"), "old").expect("the folder can be written");
    fs::set_permissions(path("old.json"), fs::Permissions::from_mode(0o640)).expect("it is ours");
    std::os::unix::fs::symlink("old.json", path("link.json")).expect("a link");
    assert_eq!(run(&["--json", "link.json"]).code, 0);
    let mode = fs::metadata(path("old.json")).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    assert_ne!(fs::read_to_string(path("old.json")).expect("it is there"), "old");
    assert!(fs::symlink_metadata(path("link.json")).expect("it is there").is_symlink());
    assert_eq!(names(folder.path()), ["link.json", "old.json", "pipe.json", "pipe.svg"]);
}
