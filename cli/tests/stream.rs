//! `--memory-limit`: the same bytes in every output, and what happens on the way there.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::batch::{batch, run};
#[cfg(target_os = "linux")]
use common::peak;
use common::{DEVICES, names, surprisal, write_npy};
use tempfile::TempDir;

fn is_the_same(folder: &Path, args: &str, limits: &[&str]) {
    let args: Vec<&str> = args.split_whitespace().collect();
    for device in DEVICES {
        let whole = run(folder, device, &args);
        for limit in limits {
            let streamed = run(folder, device, &[&args[..], &["--memory-limit", limit]].concat());
            assert!(streamed == whole, "{args:?} on {device} in {limit}: {}", streamed.1);
        }
    }
}

#[test]
fn streamed_losses_are_those_of_the_whole() {
    let folder = batch(500);
    let same = |args| is_the_same(folder.path(), args, &["250K", "600K"]);
    same("cross-entropy x.npy y.npy --grad grad.npy --lse lse.npy --out out.npy --metrics");
    same(
        "cross-entropy x.npy y8.npy --reduction none --grad grad.npy --out out.npy \
          --upstream up.npy --class-weights w.npy --unit bits",
    );
    same("cross-entropy h.npy y.npy --grad grad.npy --class-weights inverse-frequency");
    same("cross-entropy x.npy q.npy --grad grad.npy --dtype bf16 --reduction sum");
    same("focal x.npy y.npy --grad grad.npy --alpha w.npy");
    same("focal --binary x.npy bits.npy --grad grad.npy");
    same("kl-divergence t.npy x.npy --grad grad.npy --lse lse.npy --temperature 2");
    same("js-divergence t.npy x.npy --grad grad.npy --out out.npy --reduction none");
    same("binary-cross-entropy x.npy bits.npy --weights q.npy --grad grad.npy --pos-weight w.npy");
    same(
        "binary-cross-entropy x.npy bits.npy --reduction none --upstream each.npy \
          --grad grad.npy --out out.npy",
    );
    same("elementwise --loss huber x.npy t.npy --grad grad.npy --dtype f16");
}

#[test]
fn streamed_transforms_are_those_of_the_whole() {
    let folder = batch(500);
    let same = |args| is_the_same(folder.path(), args, &["60K"]);
    same("softmax x.npy --out out.npy");
    same("log-softmax h.npy --out out.npy");
    same("logsumexp x.npy --out out.npy");
    same("entropy x.npy --out out.npy --unit bits");
}

/// A device keeps nothing for each row of the batch but its class index.
#[test]
fn many_short_rows_fit_a_small_limit() {
    const ROWS: usize = 1 << 20;
    let folder = tempfile::tempdir().expect("a folder");
    let x: Vec<f32> = (0..2 * ROWS).map(|i| (i % 7) as f32).collect();
    write_npy(&folder.path().join("x.npy"), &[ROWS as u64, 2], &x);
    write_npy(&folder.path().join("y.npy"), &[ROWS as u64], &vec![1i64; ROWS]);
    for device in ["cpu", "gpu"] {
        for args in [
            "softmax x.npy --out p.npy --memory-limit 4M",
            "logsumexp x.npy --out lse.npy --memory-limit 4M",
            "kl-divergence x.npy x.npy --grad grad.npy --memory-limit 4M",
            "elementwise --loss squared x.npy x.npy --memory-limit 4M",
            "cross-entropy x.npy y.npy --grad grad.npy --memory-limit 24M",
        ] {
            let args: Vec<&str> = args.split(' ').chain(["--quiet", "--device", device]).collect();
            let done = surprisal(folder.path(), &args);
            assert_eq!(done.code, 0, "{args:?}: {:?}", done.stderr);
        }
    }
}

#[test]
fn limits_that_cannot_be_kept() {
    let folder = batch(20);
    let before = names(folder.path());
    for device in DEVICES {
        let run = |limit: &str| {
            let args = ["cross-entropy", "x.npy", "y.npy", "--grad", "grad.npy", "--device"];
            let args = [&args[..], &[device, "--memory-limit", limit]].concat();
            surprisal(folder.path(), &args)
        };
        run("1K").fails(2, &["--memory-limit 1K", "a row of 50 columns takes", "bytes"]);
        run("0").fails(2, &["--memory-limit 0"]);
        run("many").fails(2, &["--memory-limit", "many", "512M"]);
        run("12Q").fails(2, &["--memory-limit", "12Q"]);
        run("999999999T").fails(2, &["--memory-limit", "999999999T"]);
    }
    assert_eq!(names(folder.path()), before);
}

#[test]
fn bad_values_are_found_on_the_way() {
    let folder = batch(500);
    let mut probs = vec![0.25f32; 500 * 50];
    probs[404 * 50 + 7] = 1.5;
    write_npy(&folder.path().join("p.npy"), &[500, 50], &probs);
    let mut targets = vec![1i64; 500];
    targets[321] = 77;
    write_npy(&folder.path().join("bad.npy"), &[500], &targets);
    let before = names(folder.path());
    for device in DEVICES {
        let run = |args: &str| {
            let args: Vec<&str> = args.split_whitespace().collect();
            let more = ["--memory-limit", "200K", "--grad", "grad.npy", "--device", device];
            surprisal(folder.path(), &[&args[..], &more].concat())
        };
        run("cross-entropy x.npy bad.npy").fails(2, &["bad.npy", "row 321", "77"]);
        run("cross-entropy p.npy y.npy --input probs").fails(2, &["p.npy", "1.5", "row 404"]);
        let parts = ["p.npy", "1.5", "row 404", "column 7"];
        run("binary-cross-entropy p.npy bits.npy --input probs").fails(2, &parts);
        run("kl-divergence --teacher probs p.npy x.npy").fails(2, &parts);
        run("cross-entropy bits.npy y.npy").fails(2, &["bits.npy", "floats"]);
    }
    assert_eq!(names(folder.path()), before);
}

/// A batch that takes seconds on the reference, and what stands in its output's place.
fn long_batch() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    write_npy(&folder.path().join("x.npy"), &[200_000, 100], &vec![0.5f32; 20_000_000]);
    fs::write(folder.path().join("kept.npy"), b"what stood there before").expect("written");
    folder
}

#[cfg(unix)]
fn spawn(folder: &Path, device: &str, limit: &str) -> std::process::Child {
    Command::new(env!("CARGO_BIN_EXE_surprisal"))
        .args(["softmax", "x.npy", "--device", device, "--out", "kept.npy", "--quiet"])
        .args(["--memory-limit", limit])
        .current_dir(folder)
        .env("XDG_RUNTIME_DIR", folder)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the command starts")
}

/// Waits until the temporary file has elements.
#[cfg(unix)]
fn wait_until_at_work(folder: &Path, before: &[String]) {
    loop {
        let new = names(folder).into_iter().find(|name| !before.contains(name));
        let bytes = new.and_then(|name| fs::metadata(folder.join(name)).ok());
        if bytes.is_some_and(|file| file.len() > 1000) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

#[cfg(unix)]
#[test]
fn a_file_that_is_cut_in_the_middle_of_a_stream() {
    let folder = long_batch();
    let before = names(folder.path());
    let child = spawn(folder.path(), "reference", "4M");
    wait_until_at_work(folder.path(), &before);
    let input = fs::File::options().write(true).open(folder.path().join("x.npy")).expect("it is");
    input.set_len(1_000_000).expect("it can be cut");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(2));
    let line = String::from_utf8_lossy(&output.stderr);
    assert!(line.starts_with("surprisal: x.npy: is truncated"), "{line}");
    assert_eq!(line.lines().count(), 1, "{line}");
    assert_eq!(names(folder.path()), before);
    let kept = fs::read(folder.path().join("kept.npy")).expect("it is there");
    assert_eq!(kept, b"what stood there before");
}

#[cfg(unix)]
#[test]
fn outputs_are_there_together_or_not_at_all() {
    let folder = long_batch();
    write_npy(&folder.path().join("y.npy"), &[200_000], &vec![1i32; 200_000]);
    let mut before = names(folder.path());
    let child = Command::new(env!("CARGO_BIN_EXE_surprisal"))
        .args(["cross-entropy", "x.npy", "y.npy", "--device", "reference", "--reduction", "none"])
        .args(["--out", "kept.npy", "--grad", "new.npy", "--lse", "taken.npy"])
        .args(["--memory-limit", "16M"])
        .current_dir(folder.path())
        .env("XDG_RUNTIME_DIR", folder.path())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the command starts");
    wait_until_at_work(folder.path(), &before);
    // The name that is given last is taken in the meantime.
    fs::create_dir(folder.path().join("taken.npy")).expect("a folder");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    let line = String::from_utf8_lossy(&output.stderr);
    assert!(line.starts_with("surprisal: taken.npy: cannot write: "), "{line}");
    assert_eq!(line.lines().count(), 1, "{line}");
    before.push("taken.npy".to_owned());
    before.sort();
    assert_eq!(names(folder.path()), before);
    let kept = fs::read(folder.path().join("kept.npy")).expect("it is there");
    assert_eq!(kept, b"what stood there before");
}

#[cfg(unix)]
#[test]
fn an_interrupted_stream_leaves_nothing_behind() {
    common::pass_on_no_ignored_signals();
    let folder = long_batch();
    let before = names(folder.path());
    let child = spawn(folder.path(), "reference", "4M");
    wait_until_at_work(folder.path(), &before);
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.expect("kill is there").success());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "surprisal: interrupted\n");
    assert_eq!(names(folder.path()), before);
}

#[cfg(unix)]
#[test]
fn signals_that_were_ignored_stay_so() {
    let folder = long_batch();
    let before = names(folder.path());
    let command = format!(
        "trap '' HUP INT; exec {} softmax x.npy --device reference --out kept.npy --quiet \
         --memory-limit 4M",
        env!("CARGO_BIN_EXE_surprisal")
    );
    let child = Command::new("sh")
        .args(["-c", &command])
        .current_dir(folder.path())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the command starts");
    wait_until_at_work(folder.path(), &before);
    for signal in ["-HUP", "-INT"] {
        let kill = Command::new("kill").args([signal, &child.id().to_string()]).status();
        assert!(kill.expect("kill is there").success());
    }
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (shape, _) = common::read_npy::<f64>(&folder.path().join("kept.npy"));
    assert_eq!(shape, [200_000, 100]);
}

#[cfg(unix)]
#[test]
fn what_a_killed_stream_leaves_behind_is_recognised() {
    let folder = long_batch();
    let before = names(folder.path());
    let mut child = spawn(folder.path(), "reference", "4M");
    wait_until_at_work(folder.path(), &before);
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
    let after = names(folder.path());
    let left: Vec<_> = after.iter().filter(|name| !before.contains(name)).collect();
    assert!(left.iter().all(|name| name.starts_with(".surprisal-")), "{left:?}");
    let kept = fs::read(folder.path().join("kept.npy")).expect("it is there");
    assert_eq!(kept, b"what stood there before");
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_full() {
    let folder = long_batch();
    let before = names(folder.path());
    // A limit on the size of files, with the signal that goes with it and without: writing fails.
    for (trap, limit) in [("", ""), ("", " --memory-limit 4M"), ("trap '' XFSZ; ", "")] {
        let command = format!(
            "{trap}ulimit -f 2000; exec {} softmax x.npy --device cpu --out kept.npy{limit}",
            env!("CARGO_BIN_EXE_surprisal")
        );
        let output = Command::new("sh")
            .args(["-c", &command])
            .current_dir(folder.path())
            .output()
            .expect("it runs");
        assert_eq!(output.status.code(), Some(1));
        let line = String::from_utf8_lossy(&output.stderr);
        assert!(line.starts_with("surprisal: kept.npy: cannot write: "), "{line}");
        assert_eq!(line.lines().count(), 1, "{line}");
        assert_eq!(names(folder.path()), before);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn memory_stays_under_the_limit() {
    let folder = long_batch();
    // 80 MB of input and as much of output.
    let whole = peak(spawn(folder.path(), "cpu", "1T"));
    let baseline = {
        write_npy(&folder.path().join("x.npy"), &[1, 100], &[0.5f32; 100]);
        [peak(spawn(folder.path(), "cpu", "16M")), peak(spawn(folder.path(), "gpu", "16M"))]
    };
    write_npy(&folder.path().join("x.npy"), &[200_000, 100], &vec![0.5f32; 20_000_000]);
    for (device, baseline) in [("cpu", baseline[0]), ("gpu", baseline[1])] {
        let peak = peak(spawn(folder.path(), device, "16M"));
        let room = (16 << 20) + baseline;
        assert!(peak < room, "{device}: {peak} bytes of {room}; without a limit {whole}");
    }
}
