//! Files that cannot be read or written: what is said, and what is left behind.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{folder, names, surprisal, write_npy};

/// Files that cannot be used, each in its own way, and a few that can.
fn write_bad_files(folder: &Path) {
    let path = |name: &str| folder.join(name);
    write_npy(&path("x.npy"), &[3, 2], &[0.0f32; 6]);
    write_npy(&path("x5.npy"), &[5, 2], &[0.0f32; 10]);
    write_npy(&path("scalar.npy"), &[], &[0.0f32]);
    write_npy(&path("flat.npy"), &[3, 0], &[0.0f32; 0]);
    write_npy(&path("y.npy"), &[3], &[0i64, 1, 0]);
    write_npy(&path("bad.npy"), &[3], &[0i64, -100, 7]);
    write_npy(&path("huge.npy"), &[3], &[0u64, u64::MAX, 0]);
    write_npy(&path("up2.npy"), &[2], &[0.0f32; 2]);
    fs::write(path("junk.npy"), b"this is no array at all").expect("written");
    fs::write(path("junk.safetensors"), b"\xff\xff\xff\xff\xff\xff\xff\x7f{}").expect("written");
    fs::write(path("empty.npy"), b"").expect("written");
    let deep =
        [&b"\x93NUMPY\x02\x00"[..], &200_000u32.to_le_bytes(), &vec![b'('; 200_000]].concat();
    fs::write(path("deep.npy"), deep).expect("written");
    let whole = fs::read(path("x.npy")).expect("it is there");
    fs::write(path("cut.npy"), &whole[..whole.len() - 3]).expect("written");
    let header = |text: &str| {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((text.len() as u16 + 1).to_le_bytes());
        bytes.extend(text.as_bytes());
        bytes.push(b'\n');
        bytes.extend([0; 64]);
        bytes
    };
    let claims = "{'descr': '<f4', 'fortran_order': False, 'shape': (1152921504606846976, 16), }";
    fs::write(path("claims.npy"), header(claims)).expect("written");
    let complex = "{'descr': '<c8', 'fortran_order': False, 'shape': (3, 2), }";
    fs::write(path("complex.npy"), header(complex)).expect("written");
}

#[test]
fn bad_input() {
    let folder = folder();
    write_bad_files(folder.path());
    let path = |name: &str| folder.path().join(name);
    let whole = fs::read(path("x.npy")).expect("it is there");
    let cases: &[(&[&str], &[&str])] = &[
        (&["x.npy", "bad.npy"], &["bad.npy", "row 2", "7"]),
        (&["x.npy", "huge.npy"], &["huge.npy", "row 1", "18446744073709551615"]),
        (&["x5.npy", "y.npy"], &["y.npy", "[3]", "x5.npy", "[5, 2]"]),
        (&["missing.npy", "y.npy"], &["missing.npy"]),
        (&["x.npy", "missing.npy"], &["missing.npy"]),
        (&["junk.npy", "y.npy"], &["junk.npy", "not a .npy"]),
        (&["empty.npy", "y.npy"], &["empty.npy"]),
        (&["deep.npy", "y.npy"], &["deep.npy"]),
        (&["\u{1b}[31m.npy", "y.npy"], &["\\u{1b}[31m.npy"]),
        (&["digits.safetensors:", "y.npy"], &["name"]),
        (&["junk.safetensors", "y.npy"], &["junk.safetensors", "not a .safetensors"]),
        (&["cut.npy", "y.npy"], &["cut.npy", "truncated"]),
        (&["claims.npy", "y.npy"], &["claims.npy", "claims"]),
        (&["complex.npy", "y.npy"], &["complex.npy", "c8"]),
        (&["scalar.npy", "y.npy"], &["scalar.npy"]),
        (&["flat.npy", "y.npy"], &["flat.npy", "[3, 0]", "columns"]),
        (&["y.npy", "y.npy"], &["y.npy", "1"]),
        (&["x.npy", "x5.npy"], &["x5.npy", "f32", "[5, 2]", "x.npy", "[3, 2]"]),
        (&["scalar.npy", "scalar.npy"], &["scalar.npy", "rows"]),
        (&["x.npy", "y.npy", "--upstream", "up2.npy"], &["up2.npy", "[2]"]),
        (&["x.npy", "y.npy", "--upstream", "up2.npy", "--reduction", "none"], &["[2]", "[3]"]),
        (&["digits.safetensors", "y.npy"], &["digits.safetensors", "logits", "labels"]),
        (&["digits.safetensors:nothing", "y.npy"], &["nothing", "logits"]),
        (&["x.txt", "y.npy"], &["x.txt", ".npy"]),
        (&["x.npy"], &["TARGETS"]),
        (&["x.npy", "y.npy", "--reduction", "median"], &["median"]),
        (&["x.npy", "y.npy", "--ignore-index", "many"], &["many"]),
        (&["x.npy", "y.npy", "--threads", "0"], &["0"]),
        (&["x.npy", "y.npy", "--frobnicate"], &["--frobnicate"]),
        (&["x.npy", "y.npy", "--device", "cpu", "--adapter", "0"], &["--adapter"]),
        (&["x.npy", "y.npy", "--out", "loss.txt"], &["loss.txt"]),
        (&["x.npy", "y.npy", "--grad", "x.npy"], &["--grad", "x.npy"]),
        (&["x.npy", "y.npy", "--grad", "./x.npy"], &["--grad", "x.npy"]),
        (&["x.npy", "y.npy", "--out", "y.npy"], &["--out", "y.npy"]),
        (&["x.npy", "y.npy", "--out", "same.npy", "--lse", "same.npy"], &["--lse", "same.npy"]),
    ];
    let before = names(folder.path());
    for (args, parts) in cases {
        let device: &[&str] = if args.contains(&"--device") { &[] } else { &["--device", "cpu"] };
        let grad: &[&str] = if args.contains(&"--grad") { &[] } else { &["--grad", "g.npy"] };
        let run = surprisal(folder.path(), &[&["cross-entropy"], *args, device, grad].concat());
        run.fails(2, parts);
        assert_eq!(names(folder.path()), before, "{args:?} left something behind");
    }
    assert_eq!(fs::read(path("x.npy")).expect("it is there"), whole, "the input is untouched");
}

#[test]
fn outputs_that_cannot_be_written() {
    let folder = folder();
    fs::create_dir(folder.path().join("taken.npy")).expect("a folder");
    fs::write(folder.path().join("kept.npy"), b"what stood there before").expect("written");
    let before = names(folder.path());
    let run = |more: &[&str]| {
        let args = ["cross-entropy", "digits_logits.npy", "digits_targets.npy", "--device", "cpu"];
        surprisal(folder.path(), &[&args[..], more].concat())
    };
    run(&["--grad", "no/such/folder/g.npy"]).fails(2, &["no/such/folder/g.npy", "no folder"]);
    run(&["--grad", "digits_logits.npy/g.npy"]).fails(2, &["no folder"]);
    run(&["--grad", "g.safetensors:__metadata__"]).fails(2, &["__metadata__"]);
    let long = format!("{}.npy", "a".repeat(300));
    run(&["--out", "kept.npy", "--grad", &long]).fails(2, &["--grad"]);
    run(&["--grad", "taken.npy"]).fails(2, &["taken.npy"]);
    // One bad output, and the good one is not written either.
    run(&["--out", "kept.npy", "--grad", "no/such/folder/g.npy"]).fails(2, &["no/such"]);
    assert_eq!(names(folder.path()), before);
    let kept = fs::read(folder.path().join("kept.npy")).expect("it is there");
    assert_eq!(kept, b"what stood there before");
}

#[cfg(unix)]
#[test]
fn links_to_the_input_are_seen_through() {
    let folder = folder();
    let link = folder.path().join("link.npy");
    std::os::unix::fs::symlink("digits_logits.npy", link).expect("a link");
    let args = ["cross-entropy", "digits_logits.npy", "digits_targets.npy", "--grad", "link.npy"];
    surprisal(folder.path(), &args).fails(2, &["--grad", "digits_logits.npy"]);
}

#[cfg(unix)]
#[test]
fn folders_are_no_files() {
    let folder = folder();
    fs::create_dir(folder.path().join("folder.npy")).expect("a folder");
    surprisal(folder.path(), &["softmax", "folder.npy"]).fails(2, &["folder.npy", "not a file"]);
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_leaves_nothing_behind() {
    common::pass_on_no_ignored_signals();
    let folder = tempfile::tempdir().expect("a folder");
    write_npy(&folder.path().join("x.npy"), &[200_000, 200], &vec![0.5f32; 40_000_000]);
    fs::write(folder.path().join("kept.npy"), b"what stood there before").expect("written");
    let before = names(folder.path());
    for signal in ["-INT", "-TERM", "-HUP"] {
        let run = Command::new(env!("CARGO_BIN_EXE_surprisal"))
            .args(["softmax", "x.npy", "--device", "reference", "--out", "kept.npy"])
            .current_dir(folder.path())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("the command starts");
        // Its temporary file shows that it is at work.
        while names(folder.path()) == before {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let kill = Command::new("kill").args([signal, &run.id().to_string()]).status();
        assert!(kill.expect("kill is there").success());
        let output = run.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "surprisal: interrupted\n");
        assert_eq!(names(folder.path()), before);
        let kept = fs::read(folder.path().join("kept.npy")).expect("it is there");
        assert_eq!(kept, b"what stood there before");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_report_that_cannot_be_printed() {
    let folder = folder();
    fs::write(folder.path().join("kept.npy"), b"what stood there before").expect("written");
    let before = names(folder.path());
    let full = fs::File::create("/dev/full").expect("it can be opened");
    let output = Command::new(env!("CARGO_BIN_EXE_surprisal"))
        .args(["softmax", "digits_logits.npy", "--device", "cpu", "--out", "kept.npy"])
        .current_dir(folder.path())
        .stdout(full)
        .output()
        .expect("the command starts");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(names(folder.path()), before);
    let kept = fs::read(folder.path().join("kept.npy")).expect("it is there");
    assert_eq!(kept, b"what stood there before");
}

#[cfg(target_os = "linux")]
#[test]
fn a_report_that_is_interrupted() {
    common::pass_on_no_ignored_signals();
    let folder = folder();
    fs::write(folder.path().join("kept.npy"), b"what stood there before").expect("written");
    let before = names(folder.path());
    // A pipe is full of 64 KiB: the report waits for somebody to read.
    let command = format!(
        "head -c 65536 /dev/zero; exec {} cross-entropy digits_logits.npy digits_targets.npy \
         --device cpu --out kept.npy --grad new.npy",
        env!("CARGO_BIN_EXE_surprisal")
    );
    let mut run = Command::new("sh")
        .args(["-c", &command])
        .current_dir(folder.path())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("the command starts");
    while !folder.path().join("new.npy").exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let kill = Command::new("kill").args(["-INT", &run.id().to_string()]).status();
    assert!(kill.expect("kill is there").success());
    assert_eq!(run.wait().expect("it ends").code(), Some(1));
    assert_eq!(names(folder.path()), before);
    let kept = fs::read(folder.path().join("kept.npy")).expect("it is there");
    assert_eq!(kept, b"what stood there before");
}

#[cfg(unix)]
#[test]
fn outputs_follow_links() {
    use std::os::unix::fs::symlink;

    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("elsewhere")).expect("a folder");
    fs::write(path("elsewhere/old.npy"), b"what stood there before").expect("written");
    for (link, to) in [
        ("old.npy", "elsewhere/old.npy"),
        ("chain.npy", "old.npy"),
        ("new.npy", "elsewhere/new.npy"),
        ("nowhere.npy", "missing/new.npy"),
        ("folder.npy", "elsewhere"),
        ("round.npy", "round.npy"),
    ] {
        symlink(to, path(link)).expect("a link");
    }
    let (before, there) = (names(folder.path()), path("elsewhere"));
    let run = |outputs: &[&str]| {
        let args = ["cross-entropy", "digits_logits.npy", "digits_targets.npy", "--device", "cpu"];
        surprisal(folder.path(), &[&args, outputs].concat())
    };
    run(&["--grad", "nowhere.npy"]).fails(2, &["--grad nowhere.npy", "no folder", "missing"]);
    run(&["--grad", "folder.npy"]).fails(2, &["--grad folder.npy", "is a folder"]);
    run(&["--grad", "round.npy"]).fails(2, &["--grad round.npy"]);
    let same = ["--grad", "new.npy", "--out", "elsewhere/new.npy"];
    run(&same).fails(2, &["--out", "--grad", "one file"]);
    assert_eq!(names(&there), ["old.npy"]);
    assert_eq!(run(&["--grad", "chain.npy", "--lse", "new.npy"]).code, 0);
    assert_eq!(names(&there), ["new.npy", "old.npy"]);
    let (logits, _) = common::read_npy::<f32>(&path("digits_logits.npy"));
    assert_eq!(common::read_npy::<f32>(&there.join("old.npy")).0, logits);
    assert_eq!(common::read_npy::<f32>(&there.join("new.npy")).0, logits[..1]);
    assert_eq!(names(folder.path()), before);
    for link in ["chain.npy", "old.npy", "new.npy"] {
        assert!(fs::symlink_metadata(path(link)).expect("it is there").is_symlink(), "{link}");
    }
}

#[test]
fn new_files_have_ordinary_permissions() {
    let folder = folder();
    let args = ["softmax", "digits_logits.npy", "--device", "cpu", "--quiet", "--out", "p.npy"];
    assert_eq!(surprisal(folder.path(), &args).code, 0);
    let ordinary: PathBuf = folder.path().join("ordinary");
    fs::write(&ordinary, b"x").expect("written");
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions();
    assert_eq!(mode(&folder.path().join("p.npy")), mode(&ordinary));
}
