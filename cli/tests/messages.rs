//! Error lines: one each, with names as they are and the reason to be read.

mod common;

use std::fs;
use std::path::Path;

use common::{Run, folder, names, surprisal, write_npy};

/// `cross-entropy` of two files on the CPU.
fn cross_entropy(folder: &Path, logits: &str, more: &[&str]) -> Run {
    let args = ["cross-entropy", logits, "digits_targets.npy", "--device", "cpu"];
    surprisal(folder, &[&args, more].concat())
}

#[test]
fn names_are_shown_as_they_are() {
    let folder = folder();
    let run = |logits: &str| cross_entropy(folder.path(), logits, &[]);
    run("two  spaces.npy").fails(2, &["surprisal: two  spaces.npy: "]);
    run("a\tb\nc.npy").fails(2, &["surprisal: a\\tb\\nc.npy: "]);
    // clap's own line has the name too.
    run("two  spaces.txt").fails(2, &["'two  spaces.txt'", ".npy"]);
}

#[test]
fn a_long_name_does_not_hide_the_reason() {
    let folder = folder();
    let long = "d/".repeat(400) + "g.npy";
    let run = cross_entropy(folder.path(), "digits_logits.npy", &["--grad", &long]);
    run.fails(2, &["surprisal: --grad d/d/", " … ", "d/g.npy: there is no folder for it"]);
    let run = cross_entropy(folder.path(), &long, &[]);
    run.fails(2, &["surprisal: d/d/", " … ", "d/g.npy: No such file"]);
}

#[cfg(unix)]
#[test]
fn arguments_that_are_not_utf_8() {
    use std::os::unix::ffi::OsStrExt as _;

    let folder = folder();
    let strange = std::ffi::OsStr::from_bytes(b"x\xff.npy");
    for place in 0..3 {
        let mut args = ["softmax", "digits_logits.npy", "--quiet"].map(std::ffi::OsStr::new);
        args[place] = strange;
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_surprisal"))
            .args(args)
            .current_dir(folder.path())
            .output()
            .expect("the command starts");
        assert_eq!(output.status.code(), Some(2));
        let line = String::from_utf8(output.stderr).expect("messages are text");
        assert_eq!(line.lines().count(), 1, "{line}");
        assert!(line.contains("x\u{fffd}.npy"), "{line}");
    }
}

#[test]
fn outputs_are_looked_at_before_devices() {
    let folder = folder();
    let bits: Vec<u8> =
        [1.0f32, 2.0].iter().flat_map(|x| half::bf16::from_f32(*x).to_le_bytes()).collect();
    let view = |shape| safetensors::tensor::TensorView::new(safetensors::Dtype::BF16, shape, &bits);
    let tensors = [("row", view(vec![1, 2])), ("layer", view(vec![2, 1]))];
    let tensors = tensors.map(|(name, view)| (name, view.expect("its shape")));
    let file = safetensors::serialize(tensors, None).expect("it is serialised");
    fs::write(folder.path().join("half.safetensors"), file).expect("written");
    write_npy(&folder.path().join("h.npy"), &[1, 1], &[1.0f32]);
    write_npy(&folder.path().join("y.npy"), &[1], &[1i32]);
    let before = names(folder.path());
    // `auto` would say which device it takes.
    for (line, part) in [
        ("softmax digits_logits.npy --out no/p.npy", "no folder"),
        ("cross-entropy digits_logits.npy digits_targets.npy --grad no/g.npy", "no folder"),
        ("softmax half.safetensors:row --out p.npy", "bf16"),
        ("cross-entropy half.safetensors:row y.npy --grad g.npy", "bf16"),
        ("linear-cross-entropy h.npy half.safetensors:layer y.npy --grad-weight g.npy", "bf16"),
    ] {
        let args: Vec<&str> = line.split_whitespace().collect();
        surprisal(folder.path(), &args).fails(2, &[".npy", part]);
        assert_eq!(names(folder.path()), before, "{line}");
    }
}

#[test]
fn what_is_wrong_is_called_by_its_name() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let mut weights = [1.0f64; 10];
    weights[2] = 1e300;
    write_npy(&path("w.npy"), &[10], &weights);
    let run = cross_entropy(folder.path(), "digits_logits.npy", &["--class-weights", "w.npy"]);
    run.fails(2, &["w.npy: 1e300 of class 2 is not finite as f32"]);
    write_npy(&path("x.npy"), &[1, 10], &[0.5f32; 10]);
    let args =
        ["binary-cross-entropy", "x.npy", "x.npy", "--pos-weight", "w.npy", "--device", "cpu"];
    surprisal(folder.path(), &args).fails(2, &["w.npy: 1e300 of column 2 is not finite as f32"]);
    write_npy(&path("flat.npy"), &[6, 0], &[0.0f32; 0]);
    write_npy(&path("layer.npy"), &[2, 0], &[0.0f32; 0]);
    write_npy(&path("y.npy"), &[6], &[0i32; 6]);
    let args = ["linear-cross-entropy", "flat.npy", "layer.npy", "y.npy", "--device", "cpu"];
    surprisal(folder.path(), &args).fails(2, &["flat.npy: [6, 0] has rows without columns"]);
}

#[test]
fn endings_are_read_in_either_case() {
    let folder = folder();
    let upper = folder.path().join("DIGITS.SAFETENSORS");
    fs::rename(folder.path().join("digits.safetensors"), upper).expect("it is there");
    assert_eq!(cross_entropy(folder.path(), "DIGITS.SAFETENSORS:logits", &[]).code, 0);
    cross_entropy(folder.path(), "DIGITS.SAFETENSORS:none", &[]).fails(2, &["no tensor `none`"]);
    cross_entropy(folder.path(), "DIGITS.SAFETENSORS:", &[]).fails(2, &["name is missing"]);
}
