//! The losses of single elements by the command, against hand-made numbers.

mod common;

use common::{
    DEVICES, LN_2, quarters, read_floats, read_npy, report, reports, surprisal, tensor,
    write_npy as npy, writes,
};

#[test]
fn binary_cross_entropy() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let path = |name: &str| folder.join(name);
    npy(&path("x.npy"), &[3], &[0.0f32, 3.0f32.ln(), 0.0]);
    npy(&path("p.npy"), &[3], &[0.5f32, 0.75, 0.5]);
    npy(&path("y.npy"), &[3], &[1u8, 0, 0]);
    npy(&path("signs.npy"), &[3], &[1i8, -1, -1]);
    npy(&path("w.npy"), &[3], &[1.0f32, 0.5, 0.0]);
    npy(&path("pos.npy"), &[3], &[3.0f32, 1.0, 1.0]);
    npy(&path("scalar.npy"), &[], &[0.0f64]);
    npy(&path("one.npy"), &[], &[1i64]);
    npy(&path("single.npy"), &[1], &[1.0f32]);
    let losses = [LN_2, 2.0 * LN_2, LN_2];
    let base = ["binary-cross-entropy", "x.npy", "y.npy"];
    let with = |more: &[&'static str]| [&base[..], more].concat();
    reports(folder, &base, 4.0 / 3.0 * LN_2);
    reports(
        folder,
        &["binary-cross-entropy", "p.npy", "y.npy", "--input", "probs"],
        4.0 / 3.0 * LN_2,
    );
    let signs = ["binary-cross-entropy", "x.npy", "signs.npy", "--labels", "plus-minus"];
    reports(folder, &signs, 4.0 / 3.0 * LN_2);
    reports(folder, &with(&["--unit", "bits", "--reduction", "sum"]), 4.0);
    reports(folder, &with(&["--weights", "w.npy", "--reduction", "sum"]), 2.0 * LN_2);
    reports(folder, &with(&["--pos-weight", "pos.npy", "--reduction", "sum"]), 6.0 * LN_2);
    // One number for all.
    reports(folder, &with(&["--pos-weight", "3", "--reduction", "sum"]), 6.0 * LN_2);
    let limited = ["--pos-weight", "3", "--reduction", "sum", "--memory-limit", "1M"];
    reports(folder, &with(&limited), 6.0 * LN_2);
    writes(folder, &with(&["--reduction", "none", "--out", "l.npy"]), "l.npy", &[3], &losses);
    let upstream = with(&["--reduction", "none", "--upstream", "w.npy", "--grad", "g.npy"]);
    writes(folder, &upstream, "g.npy", &[3], &[-0.5, 0.375, 0.0]);
    let mean = with(&["--upstream", "6", "--grad", "g.npy", "--out", "l.npy"]);
    writes(folder, &mean, "g.npy", &[3], &[-1.0, 1.5, 1.0]);
    writes(folder, &mean, "l.npy", &[], &[4.0 / 3.0 * LN_2]);

    let scalar = ["binary-cross-entropy", "scalar.npy", "one.npy"];
    reports(folder, &scalar, LN_2);
    let none = ["--reduction", "none", "--out", "l.npy", "--pos-weight", "single.npy"];
    writes(folder, &[&scalar[..], &none].concat(), "l.npy", &[], &[LN_2]);

    let report = report(folder, "cpu", &with(&["--grad", "g.safetensors", "--weights", "w.npy"]));
    assert_eq!((&report["rows"], &report["classes"]), (&1.into(), &3.into()));
    assert_eq!((&report["kept_rows"], &report["total_weight"]), (&1.into(), &3.0.into()));
    assert_eq!(report["bytes_moved"], 4 * 3 * 4);
    assert_eq!(tensor(&path("g.safetensors"), "dinput").0, [3]);
}

#[test]
fn errors_of_binary_cross_entropy() {
    let folder = quarters();
    npy(&folder.path().join("labels.npy"), &[2, 1, 2], &[0.0f32, 1.0, 1.0, 2.0]);
    let fails = |args: &[&str], parts: &[&str]| {
        let args = [&["binary-cross-entropy"], args, &["--device", "cpu", "--out", "l.npy"]];
        surprisal(folder.path(), &args.concat()).fails(2, parts);
        assert!(!folder.path().join("l.npy").exists());
    };
    fails(&["x.npy", "labels.npy"], &["labels.npy: 2 of row 1, column 1"]);
    fails(&["x.npy", "sevens.npy"], &["sevens.npy", "of row 1, column 1"]);
    fails(&["x.npy", "bits.npy", "--labels", "plus-minus"], &["bits.npy: 0 of row 0, column 0"]);
    fails(&["x.npy", "signs.npy"], &["signs.npy: -1 of row 0, column 0"]);
    fails(&["bad_probs.npy", "bits.npy", "--input", "probs"], &["bad_probs.npy: 1.5 of row 1"]);
    fails(&["x.npy", "y.npy"], &["y.npy", "[2, 1]", "x.npy", "[2, 1, 2]"]);
    fails(&["x.npy", "bits.npy", "--weights", "flat.npy"], &["flat.npy", "[2, 2]", "[2, 1, 2]"]);
    fails(
        &["x.npy", "bits.npy", "--pos-weight", "three.npy"],
        &["three.npy", "[3]", "[2], one for each column"],
    );
    fails(
        &["probs.npy", "bits.npy", "--input", "probs", "--pos-weight", "alpha.npy"],
        &["--pos-weight", "is for logits"],
    );
    fails(&["x.npy", "bits.npy", "--input", "log-probs"], &["--input", "log-probs"]);
    fails(&["x.npy", "bits.npy", "--lse", "lse.npy"], &["--lse", "each element"]);
    fails(
        &["x.npy", "bits.npy", "--grad", "g.npy", "--upstream", "up.npy"],
        &["up.npy", "[2, 1]", "[]"],
    );
    fails(&["bits.npy", "bits.npy"], &["bits.npy", "u8"]);
    fails(&["x.npy", "bits.npy", "--weights", "l.npy"], &["--out", "l.npy"]);
}

#[test]
fn elementwise() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let path = |name: &str| folder.join(name);
    npy(&path("x.npy"), &[2, 2], &[0.5f32, 3.0, 0.0, -2.0]);
    npy(&path("y.npy"), &[2, 2], &[0i64, 0, 0, -1]);
    npy(&path("signs.npy"), &[2, 2], &[1.0f32, -1.0, 1.0, -1.0]);
    npy(&path("sevens.npy"), &[2, 2], &[7u64; 4]);
    npy(&path("long.npy"), &[4], &[0.0f32; 4]);
    let cases: [(&[&str], [f64; 4], [f64; 4]); 5] = [
        (&["squared", "x.npy", "y.npy"], [0.25, 9.0, 0.0, 1.0], [1.0, 6.0, 0.0, -2.0]),
        (&["absolute", "x.npy", "y.npy"], [0.5, 3.0, 0.0, 1.0], [1.0, 1.0, 0.0, -1.0]),
        (&["huber", "x.npy", "y.npy"], [0.125, 2.5, 0.0, 0.5], [0.5, 1.0, 0.0, -1.0]),
        (
            &["huber", "x.npy", "y.npy", "--delta", "2"],
            [0.125, 4.0, 0.0, 0.5],
            [0.5, 2.0, 0.0, -1.0],
        ),
        (&["hinge", "x.npy", "signs.npy"], [0.5, 4.0, 1.0, 0.0], [-1.0, 1.0, -1.0, 0.0]),
    ];
    for (words, losses, slopes) in cases {
        let args = [&["elementwise", "--loss"], words].concat();
        reports(folder, &args, losses.iter().sum::<f64>() / 4.0);
        let none = [&args[..], &["--reduction", "none", "--out", "l.npy"]].concat();
        writes(folder, &none, "l.npy", &[2, 2], &losses);
        let sum = [&args[..], &["--reduction", "sum", "--grad", "g.npy"]].concat();
        writes(folder, &sum, "g.npy", &[2, 2], &slopes);
    }
    let base = ["elementwise", "x.npy", "y.npy", "--device", "cpu", "--loss"];
    let run = surprisal(folder, &[&base[..], &["squared"]].concat());
    assert!(run.stdout.contains("mean loss 2.5625 over 4 elements [2, 2]"), "{}", run.stdout);

    let fails = |args: &[&str], parts: &[&str]| {
        surprisal(folder, &[&base[..], args].concat()).fails(2, parts);
    };
    for loss in ["squared", "absolute", "hinge"] {
        fails(&[loss, "--delta", "2"], &["--delta", "huber", loss]);
    }
    fails(&["squared", "--unit", "bits"], &["--unit", "squared error", "no information", "bits"]);
    fails(&["huber", "--delta", "-2"], &["--delta: -2"]);
    fails(&["cubed"], &["--loss", "cubed", "hinge"]);
    fails(&["hinge"], &["y.npy: 0 of row 0, column 0"]);
    fails(&["squared", "--lse", "lse.npy"], &["--lse", "each element"]);
    surprisal(folder, &["elementwise", "x.npy", "y.npy"]).fails(2, &["--loss"]);
    let hinge = ["elementwise", "--loss", "hinge", "--device", "cpu", "x.npy"];
    surprisal(folder, &[&hinge[..], &["sevens.npy"]].concat())
        .fails(2, &["sevens.npy: 7 of row 0"]);
    surprisal(folder, &[&hinge[..], &["long.npy"]].concat())
        .fails(2, &["long.npy", "[4]", "[2, 2]"]);
}

#[test]
fn f64_files_keep_their_digits() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    npy(&path("x.npy"), &[1], &[1.0 + 2.0f64.powi(-40)]);
    npy(&path("y.npy"), &[1], &[1.0f64]);
    let args = ["elementwise", "--loss", "absolute", "x.npy", "y.npy", "--grad", "g.npy"];
    let exact = report(folder.path(), "reference", &args);
    assert_eq!((&exact["loss"], &exact["dtype"]), (&2.0f64.powi(-40).into(), &"f64".into()));
    assert_eq!(report(folder.path(), "cpu", &args)["loss"], 0.0);
    assert_eq!(read_npy::<f64>(&path("g.npy")), (vec![1], vec![0.0]));
}

#[test]
fn empty_arrays() {
    let folder = tempfile::tempdir().expect("a folder");
    for shape in [&[0u64][..], &[3, 0], &[0, 3], &[0, 0]] {
        npy(&folder.path().join("x.npy"), shape, &[0.0f32; 0]);
        for words in [&["binary-cross-entropy"][..], &["elementwise", "--loss", "hinge"]] {
            for device in DEVICES {
                let args = [words, &["x.npy", "x.npy", "--grad", "g.npy"]].concat();
                let mean = report(folder.path(), device, &args);
                assert_eq!((&mean["loss"], &mean["rows"]), (&"NaN".into(), &0.into()));
                assert_eq!(read_floats(&folder.path().join("g.npy"), device).0, shape);
                let sum =
                    report(folder.path(), device, &[&args[..], &["--reduction", "sum"]].concat());
                assert_eq!((&sum["loss"], &sum["bytes_moved"]), (&0.0.into(), &0.into()));
            }
        }
    }
}
