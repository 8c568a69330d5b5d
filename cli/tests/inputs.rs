//! What the files have to hold, and what is said of them.

mod common;

use common::{DEVICES, surprisal, write_npy};

#[test]
fn targets_that_are_no_probabilities() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    // More than a window of theirs under the limit.
    let rows = 4000;
    write_npy(&path("x.npy"), &[rows, 1, 3], &vec![0.5f32; 3 * rows as usize]);
    let mut q = vec![0.25f32; 3 * rows as usize];
    for (i, bad, shown) in [(10_000, -100.0, "-100"), (9058, -0.125, "-0.125"), (9058, 2.0, "2")] {
        q[i] = bad;
        write_npy(&path("q.npy"), &[rows, 1, 3], &q);
        let place = format!("q.npy: {shown} of row {}, column {}", i / 3, i % 3);
        for device in DEVICES {
            for more in [&[][..], &["--memory-limit", "300K"], &["--label-smoothing", "0.1"]] {
                let args = ["cross-entropy", "x.npy", "q.npy", "--device", device];
                let run = surprisal(folder.path(), &[&args, more].concat());
                run.fails(2, &[&place, "is no probability: it is not in [0, 1]"]);
            }
        }
    }
}

#[test]
fn an_upstream_gradient_of_no_gradient() {
    let folder = common::quarters();
    for (args, options) in [
        ("cross-entropy x.npy y.npy --upstream 2", "by --grad"),
        ("cross-entropy x.npy y.npy --reduction none --upstream up.npy --out l.npy", "by --grad"),
        ("cross-entropy x.npy y.npy --upstream 1 --lse l.npy --memory-limit 1M", "by --grad"),
        ("focal x.npy bits.npy --binary --upstream -1", "by --grad"),
        ("kl-divergence x.npy x.npy --upstream up.npy", "by --grad"),
        ("js-divergence x.npy x.npy --upstream 2", "by --grad"),
        ("binary-cross-entropy x.npy bits.npy --upstream 2", "by --grad"),
        ("elementwise --loss squared x.npy x.npy --upstream 2", "by --grad"),
        (
            "linear-cross-entropy x.npy flat.npy y.npy --upstream 2",
            "by --grad or --grad-weight or --grad-bias",
        ),
    ] {
        let words: Vec<_> = args.split_whitespace().collect();
        let run = surprisal(folder.path(), &words);
        run.fails(2, &["--upstream: ", "none is asked for", options]);
    }
    let weight = "linear-cross-entropy x.npy flat.npy y.npy --upstream 2 --grad-weight w.npy";
    let words: Vec<_> = weight.split_whitespace().chain(["--device", "cpu"]).collect();
    assert_eq!(surprisal(folder.path(), &words).code, 0);
}
