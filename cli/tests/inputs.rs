//! What the files have to hold, and what is said of them.

mod common;

use common::{DEVICES, surprisal, write_npy};

#[test]
fn targets_that_are_no_probabilities() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let rows = 40;
    write_npy(&path("x.npy"), &[rows, 1, 3], &vec![0.5f32; 3 * rows as usize]);
    let mut q = vec![0.25f32; 3 * rows as usize];
    for (i, bad, shown) in [(100, -100.0, "-100"), (58, -0.125, "-0.125"), (58, 2.0, "2")] {
        q[i] = bad;
        write_npy(&path("q.npy"), &[rows, 1, 3], &q);
        let place = format!("q.npy: {shown} of row {}, column {}", i / 3, i % 3);
        for device in DEVICES {
            for more in [&[][..], &["--memory-limit", "2K"], &["--label-smoothing", "0.1"]] {
                if device == "gpu" && more.contains(&"--memory-limit") {
                    continue;
                }
                let args = ["cross-entropy", "x.npy", "q.npy", "--device", device];
                let run = surprisal(folder.path(), &[&args, more].concat());
                run.fails(2, &[&place, "is no probability: it is not in [0, 1]"]);
            }
        }
    }
}
