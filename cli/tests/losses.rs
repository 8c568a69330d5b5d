//! The losses of rows by the command, against hand-made numbers and PyTorch's.

mod common;

use std::fs;
use std::path::Path;

use serde_json::Value;

use common::{
    DATA, DEVICES, LN_2, assert_close, f64s, quarters, read_floats, read_npy, report, reports,
    surprisal, tensor, write_npy as npy, writes,
};

/// The command's name and options for a case of PyTorch's; what the case calls its two matrices, and
/// the gradient.
fn command_of(case: &Value) -> Option<(Vec<String>, [&'static str; 3])> {
    let name = case["name"].as_str().expect("a name");
    let number = |option: &str| case["options"][option].to_string();
    let file = |tensor: &str| format!("golden.safetensors:{name}/{tensor}");
    let (words, tensors): (Vec<String>, _) = match case["op"].as_str().expect("an operation") {
        "cross_entropy_soft" => (
            vec!["cross-entropy".into(), "--label-smoothing".into(), number("label_smoothing")],
            ["logits", "target_probs", "dlogits"],
        ),
        "binary_cross_entropy_with_logits" => (
            vec![
                "binary-cross-entropy".into(),
                "--weights".into(),
                file("weights"),
                "--pos-weight".into(),
                file("pos_weight"),
            ],
            ["logits", "targets", "dlogits"],
        ),
        "binary_cross_entropy" => (
            vec!["binary-cross-entropy".into(), "--input".into(), "probs".into()],
            ["probs", "targets", "dprobs"],
        ),
        "focal" => (
            vec!["focal".into(), "--gamma".into(), number("gamma")],
            ["logits", "targets", "dlogits"],
        ),
        "kl_divergence" => (
            vec!["kl-divergence".into(), "--temperature".into(), number("temperature")],
            ["teacher_logits", "logits", "dlogits"],
        ),
        "js_divergence" => (vec!["js-divergence".into()], ["teacher_logits", "logits", "dlogits"]),
        _ => return None,
    };
    Some((words, tensors))
}

#[test]
fn golden_cases() {
    let folder = tempfile::tempdir().expect("a folder");
    let golden = Path::new(DATA).join("golden.safetensors");
    fs::copy(&golden, folder.path().join("golden.safetensors")).expect("the data is there");
    let cases = fs::read_to_string(Path::new(DATA).join("golden.json")).expect("it is there");
    let cases: Value = serde_json::from_str(&cases).expect("it is JSON");
    let mut count = 0;
    for case in cases["cases"].as_array().expect("a list") {
        let Some((words, [first, second, gradient])) = command_of(case) else { continue };
        let name = case["name"].as_str().expect("a name");
        let files = [first, second].map(|tensor| format!("golden.safetensors:{name}/{tensor}"));
        let reduction = case["options"]["reduction"].as_str().expect("a word");
        let mut args: Vec<&str> = words.iter().chain(&files).map(String::as_str).collect();
        args.extend(["--reduction", reduction, "--out", "loss.npy", "--grad", "grad.npy"]);
        for device in DEVICES {
            let report = report(folder.path(), device, &args);
            for (file, wanted) in [("loss.npy", "loss"), ("grad.npy", gradient)] {
                let (shape, got) = read_floats(&folder.path().join(file), device);
                let (want_shape, _, want) = tensor(&golden, &format!("{name}/{wanted}"));
                assert_close(&format!("{name} {wanted}"), device, &got, &f64s(&want));
                if wanted != "loss" || reduction == "none" {
                    assert_eq!(shape, want_shape.iter().map(|&n| n as u64).collect::<Vec<_>>());
                }
            }
            assert_eq!(report["loss"].is_null(), reduction == "none", "{name}");
            assert_eq!((&report["rows"], &report["classes"]), (&6.into(), &21.into()), "{name}");
            assert_eq!(report["kept_rows"], 6, "{name}");
        }
        count += 1;
    }
    assert_eq!(count, 30);
}

#[test]
fn cross_entropy_units_and_metrics() {
    let folder = quarters();
    let folder = folder.path();
    let nats = f64::midpoint((4.0f64 / 3.0).ln(), 4.0f64.ln());
    let base = ["cross-entropy", "x.npy", "y.npy"];
    reports(folder, &base, nats);
    reports(folder, &[&base[..], &["--unit", "bits"]].concat(), nats / LN_2);
    reports(folder, &[&base[..], &["--unit", "hartleys"]].concat(), nats / 10.0f64.ln());
    for device in DEVICES {
        let args = [&base[..], &["--metrics", "--unit", "bits"]].concat();
        let report = report(folder, device, &args);
        assert_eq!((&report["correct"], &report["accuracy"]), (&1.into(), &0.5.into()));
        let perplexity = report["perplexity"].as_f64().expect("a number");
        assert_close("perplexity", device, &[perplexity], &[nats.exp()]);
        let run = surprisal(folder, &[&args[..], &["--device", device]].concat());
        let lines: Vec<_> = run.stdout.lines().collect();
        assert!(lines[0].contains("bits") && lines[1].contains("accuracy 0.5"), "{lines:?}");
        assert!(lines[1].contains("1 of 2") && lines[1].contains("perplexity 2.309"), "{lines:?}");
    }
    let none = [&base[..], &["--ignore-index", "1", "--metrics"]].concat();
    let report = report(folder, "cpu", &none);
    assert_eq!((&report["accuracy"], &report["perplexity"]), (&"NaN".into(), &"NaN".into()));
    assert_eq!((&report["correct"], &report["kept_rows"]), (&0.into(), &0.into()));
}

#[test]
fn cross_entropy_of_probability_targets() {
    let folder = quarters();
    let folder = folder.path();
    let (low, high) = (4.0f64.ln(), (4.0f64 / 3.0).ln());
    let rows = [f64::midpoint(low, high), low];
    let base = ["cross-entropy", "x.npy", "q.npy"];
    reports(folder, &base, f64::midpoint(rows[0], rows[1]));
    let none = [&base[..], &["--reduction", "none"]].concat();
    writes(folder, &[&none[..], &["--out", "loss.npy"]].concat(), "loss.npy", &[2, 1], &rows);
    let lse = 4.0f64.ln();
    writes(folder, &[&none[..], &["--lse", "lse.npy"]].concat(), "lse.npy", &[2, 1], &[lse, lse]);
    for device in DEVICES {
        let args = [&none[..], &["--upstream", "up.npy", "--grad", "g.npy"]].concat();
        let report = report(folder, device, &args);
        assert_eq!((&report["kept_rows"], &report["total_weight"]), (&2.into(), &2.0.into()));
        // Logits and targets are read, the gradient is written.
        let size = if device == "reference" { 8 } else { 4 };
        assert_eq!(report["bytes_moved"], 3 * 4 * size);
        let (shape, grad) = read_npy::<f64>(&folder.join("g.npy"));
        assert_eq!(shape, [2, 1, 2]);
        assert_close("gradient", "cpu", &grad, &[-1.0, 1.0, 0.0, 0.0]);
    }
    reports(
        folder,
        &[&base[..], &["--ignore-index", "none"]].concat(),
        f64::midpoint(rows[0], rows[1]),
    );

    let fails = |args: &[&str], parts: &[&str]| {
        let args = [&["cross-entropy"], args, &["--device", "cpu"]].concat();
        surprisal(folder, &args).fails(2, parts);
    };
    fails(&["x.npy", "q.npy", "--ignore-index", "1"], &["--ignore-index", "probabilities"]);
    fails(
        &["x.npy", "q.npy", "--class-weights", "inverse-frequency"],
        &["--class-weights", "inverse frequencies", "class indices"],
    );
    fails(&["x.npy", "flat.npy"], &["flat.npy", "f64", "[2, 2]", "x.npy", "[2, 1, 2]"]);
    let up = ["--reduction", "none", "--grad", "g.npy", "--upstream", "q.npy"];
    fails(&[&["x.npy", "q.npy"], &up[..]].concat(), &["q.npy", "[2, 1]"]);
}

#[test]
fn cross_entropy_of_normalised_input() {
    let folder = quarters();
    let folder = folder.path();
    let nats = f64::midpoint((4.0f64 / 3.0).ln(), 4.0f64.ln());
    for (file, form) in [("log_probs.npy", "log-probs"), ("probs.npy", "probs")] {
        let base = ["cross-entropy", file, "y.npy", "--input", form];
        reports(folder, &base, nats);
        let run = surprisal(folder, &[&base[..], &["--lse", "lse.npy"]].concat());
        run.fails(2, &["--lse", form, "normalised"]);
        let run = surprisal(folder, &[&base[..], &["--z-loss", "1", "--device", "cpu"]].concat());
        run.fails(2, &["--z-loss", form]);
    }
    let probs = ["cross-entropy", "probs.npy", "y.npy", "--input", "probs"];
    let args = [&probs[..], &["--reduction", "sum", "--grad", "g.npy"]].concat();
    for device in DEVICES {
        report(folder, device, &args);
        let (_, grad) = read_npy::<f64>(&folder.join("g.npy"));
        assert_close("gradient", device, &grad, &[0.0, -4.0 / 3.0, 0.0, -4.0]);
    }
    let clamped = f64::midpoint((4.0f64 / 3.0).ln(), 2.0f64.ln());
    reports(folder, &[&probs[..], &["--clamp", "0.5"]].concat(), clamped);

    let fails = |args: &[&str], parts: &[&str]| {
        let args = [&["cross-entropy"], args, &["--device", "cpu"]].concat();
        surprisal(folder, &args).fails(2, parts);
    };
    fails(&["x.npy", "y.npy", "--clamp", "0.5"], &["--clamp", "logits"]);
    fails(&["probs.npy", "y.npy", "--input", "probs", "--clamp", "-1"], &["--clamp: -1"]);
    fails(
        &["bad_probs.npy", "y.npy", "--input", "probs"],
        &["bad_probs.npy: 1.5 of row 1, column 0"],
    );
    fails(&["x.npy", "y.npy", "--input", "odds"], &["--input", "odds", "log-probs"]);
    fails(&["x.npy", "y.npy", "--unit", "bels"], &["--unit", "bels", "hartleys"]);
}

#[test]
fn focal() {
    let folder = quarters();
    let folder = folder.path();
    let (low, high) = (4.0f64.ln(), (4.0f64 / 3.0).ln());
    let base = ["focal", "x.npy", "y.npy", "--reduction", "none", "--out", "l.npy"];
    let with = |more: &[&'static str]| [&base[..], more].concat();
    let (easy, hard) = (high / 16.0, low * 9.0 / 16.0);
    writes(folder, &base, "l.npy", &[2, 1], &[easy, hard]);
    writes(folder, &with(&["--gamma", "0"]), "l.npy", &[2, 1], &[high, low]);
    let alpha = with(&["--alpha", "alpha.npy"]);
    writes(folder, &alpha, "l.npy", &[2, 1], &[2.0 * easy, 2.0 * hard]);
    writes(folder, &with(&["--lse", "lse.npy"]), "lse.npy", &[2, 1], &[low, low]);
    reports(
        folder,
        &["focal", "x.npy", "y.npy", "--unit", "bits"],
        f64::midpoint(easy, hard) / LN_2,
    );
    let skipped = report(folder, "cpu", &["focal", "x.npy", "y.npy", "--ignore-index", "1"]);
    assert_eq!((&skipped["loss"], &skipped["kept_rows"]), (&"NaN".into(), &0.into()));

    let binary = ["focal", "x.npy", "bits.npy", "--binary", "--reduction", "none"];
    let half = LN_2 / 4.0;
    let binary_out = [&binary[..], &["--out", "l.npy"]].concat();
    writes(folder, &binary_out, "l.npy", &[2, 1, 2], &[half, easy, easy, half]);
    let weighted = [&binary_out[..], &["--alpha", "0.25", "--grad", "g.safetensors"]].concat();
    let (half, easy) = (0.75 * half, 0.25 * easy);
    writes(folder, &weighted, "l.npy", &[2, 1, 2], &[half, easy, easy, half]);
    assert_eq!(tensor(&folder.join("g.safetensors"), "dlogits").0, [2, 1, 2]);

    let fails = |args: &[&str], parts: &[&str]| {
        let args = [&["focal"], args, &["--device", "cpu"]].concat();
        surprisal(folder, &args).fails(2, parts);
    };
    fails(&["x.npy", "y.npy", "--gamma", "-1"], &["--gamma: -1"]);
    fails(&["x.npy", "y.npy", "--alpha", "0.25"], &["--alpha", "0.25", "--binary"]);
    fails(
        &["x.npy", "y.npy", "--alpha", "three.npy"],
        &["three.npy", "[3]", "[2], one for each class"],
    );
    fails(&["x.npy", "q.npy"], &["q.npy", "integers"]);
    fails(&["x.npy", "bits.npy"], &["bits.npy: holds u8 [2, 1, 2]", "[2, 1], [2, 1, 1] or [2]"]);
    fails(&["x.npy", "bits.npy", "--binary", "--alpha", "alpha.npy"], &["--alpha", "alpha.npy"]);
    fails(&["x.npy", "bits.npy", "--binary", "--alpha", "1.5"], &["--alpha: 1.5"]);
    fails(&["x.npy", "bits.npy", "--binary", "--lse", "lse.npy"], &["--lse", "each element"]);
    fails(&["x.npy", "y.npy", "--binary"], &["y.npy", "[2, 1]", "[2, 1, 2]"]);
    fails(&["x.npy", "bits.npy", "--binary", "--ignore-index", "1"], &["--ignore-index"]);
    fails(&["x.npy", "signs.npy", "--binary"], &["signs.npy: -1 of row 0, column 0"]);
}

#[test]
fn divergences() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let path = |name: &str| folder.join(name);
    let ln3 = 3.0f32.ln();
    npy(&path("t.npy"), &[2, 1, 2], &[0.0, ln3, 0.0, 0.0]);
    npy(&path("p.npy"), &[2, 1, 2], &[0.25f32, 0.75, 0.5, 0.5]);
    npy(&path("lp.npy"), &[2, 1, 2], &[0.25f64, 0.75, 0.5, 0.5].map(f64::ln));
    npy(&path("x.npy"), &[2, 1, 2], &[0.0f32; 4]);
    npy(&path("up.npy"), &[2, 1], &[4.0f32, 1.0]);
    npy(&path("bad.npy"), &[2, 1, 2], &[0.25f32, 0.75, 0.5, -0.5]);
    npy(&path("three.npy"), &[2, 3], &[0.0f32; 6]);
    let kl = 0.25 * 0.5f64.ln() + 0.75 * 1.5f64.ln();
    let reverse = 0.5 * 2.0f64.ln() + 0.5 * (2.0f64 / 3.0).ln();
    let js = {
        let (m0, m1) = (0.375f64, 0.625f64);
        let of = |p: f64, q: f64| p * (p / m0).ln() + q * (q / m1).ln();
        f64::midpoint(of(0.25, 0.75), of(0.5, 0.5))
    };
    for (teacher, form) in [("t.npy", "logits"), ("p.npy", "probs"), ("lp.npy", "log-probs")] {
        let given = [teacher, "x.npy", "--teacher", form, "--reduction", "none", "--out", "l.npy"];
        let with = |words: &[&'static str]| [words, &given].concat();
        writes(folder, &with(&["kl-divergence"]), "l.npy", &[2, 1], &[kl, 0.0]);
        let reversed = with(&["kl-divergence", "--reverse"]);
        writes(folder, &reversed, "l.npy", &[2, 1], &[reverse, 0.0]);
        writes(folder, &with(&["js-divergence"]), "l.npy", &[2, 1], &[js, 0.0]);
    }
    reports(folder, &["kl-divergence", "t.npy", "x.npy", "--unit", "bits"], kl / 2.0 / LN_2);
    let base = ["kl-divergence", "t.npy", "x.npy", "--reduction", "none", "--upstream", "up.npy"];
    let grad = [&base[..], &["--grad", "g.npy"]].concat();
    writes(folder, &grad, "g.npy", &[2, 1, 2], &[1.0, -1.0, 0.0, 0.0]);
    let lse = [&grad[..], &["--lse", "lse.npy"]].concat();
    writes(folder, &lse, "lse.npy", &[2, 1], &[LN_2, LN_2]);
    let report = report(folder, "cpu", &[&base[..], &["--grad", "g.safetensors"]].concat());
    assert_eq!((&report["kept_rows"], &report["total_weight"]), (&2.into(), &2.0.into()));
    assert_eq!(report["bytes_moved"], 3 * 4 * 4);
    assert_eq!(tensor(&path("g.safetensors"), "dstudent").0, [2, 1, 2]);

    let fails = |args: &[&str], parts: &[&str]| {
        let args = [args, &["--device", "cpu"]].concat();
        surprisal(folder, &args).fails(2, parts);
    };
    for command in ["kl-divergence", "js-divergence"] {
        fails(&[command, "bad.npy", "x.npy", "--teacher", "probs"], &["bad.npy: -0.5 of row 1"]);
        fails(&[command, "three.npy", "x.npy"], &["x.npy", "[2, 1, 2]", "three.npy", "[2, 3]"]);
        fails(&[command, "t.npy", "x.npy", "--temperature", "0"], &["--temperature: 0"]);
        fails(&[command, "t.npy", "x.npy", "--temperature", "-1"], &["--temperature: -1"]);
        fails(&[command, "t.npy", "x.npy", "--teacher", "odds"], &["--teacher", "odds"]);
        fails(&[command, "t.npy", "x.npy", "--grad", "t.npy"], &["--grad", "t.npy"]);
        fails(&[command, "t.npy", "missing.npy"], &["missing.npy"]);
    }
    fails(&["js-divergence", "t.npy", "x.npy", "--reverse"], &["--reverse"]);
}

#[test]
fn entropy() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let path = |name: &str| folder.join(name);
    // H, E, O once and L twice; four letters alike.
    npy(&path("x.npy"), &[2, 1, 4], &[0.0f32, 0.0, 0.0, 2.0f32.ln(), 1.0, 1.0, 1.0, 1.0]);
    let bits = [1.921_928_094_887_362, 2.0];
    let base = ["entropy", "x.npy", "--out", "h.npy"];
    writes(folder, &[&base[..], &["--unit", "bits"]].concat(), "h.npy", &[2, 1], &bits);
    writes(folder, &base, "h.npy", &[2, 1], &bits.map(|bits| bits * LN_2));
    let args = ["entropy", "x.npy", "--out", "h.safetensors", "--device", "cpu"];
    let run = surprisal(folder, &args);
    assert!(run.stdout.contains("entropy in nats of 2 rows, 4 classes"), "{}", run.stdout);
    assert_eq!(tensor(&path("h.safetensors"), "entropy").0, [2, 1]);
    surprisal(folder, &["entropy", "x.npy", "--unit", "bels"]).fails(2, &["--unit", "bels"]);
}

/// dentropy p (nll - entropy), of p = 1/4 and 3/4.
#[test]
fn gradients_of_entropy() {
    let folder = quarters();
    let folder = folder.path();
    let ln3 = 3.0f32.ln();
    npy(&folder.join("x32.npy"), &[2, 1, 2], &[0.0, ln3, ln3, 0.0]);
    npy(&folder.join("flat_up.npy"), &[2], &[4.0f32, 0.0]);
    npy(&folder.join("swapped.npy"), &[1, 2], &[4.0f32, 0.0]);
    let d = 0.25 * 0.75 * 3.0f64.ln();
    let row = [d, -d, -d, d];
    let base = ["entropy", "x32.npy", "--grad", "g.npy", "--out", "h.npy"];
    for limit in [&[][..], &["--memory-limit", "1M"]] {
        let with = |more: &[&'static str]| [&base[..], limit, more].concat();
        writes(folder, &with(&[]), "g.npy", &[2, 1, 2], &row);
        writes(folder, &with(&["--upstream", "-2"]), "g.npy", &[2, 1, 2], &row.map(|d| -2.0 * d));
        let entropy = 4.0f64.ln() - 0.75 * 3.0f64.ln();
        writes(folder, &with(&[]), "h.npy", &[2, 1], &[entropy; 2]);
        let bits = with(&["--unit", "bits"]);
        writes(folder, &bits, "g.npy", &[2, 1, 2], &row.map(|d| d / LN_2));
        for up in ["up.npy", "flat_up.npy"] {
            let args = [&with(&["--upstream"])[..], &[up]].concat();
            writes(folder, &args, "g.npy", &[2, 1, 2], &[4.0 * d, -4.0 * d, 0.0, 0.0]);
        }
        let fails = |more: &[&'static str], parts: &[&str]| {
            surprisal(folder, &[&with(more)[..], &["--device", "cpu"]].concat()).fails(2, parts);
        };
        fails(&["--upstream", "swapped.npy"], &["swapped.npy", "[1, 2]", "x32.npy", "[2, 1, 2]"]);
        fails(&["--upstream", "bits.npy"], &["bits.npy"]);
    }
    let plain = ["entropy", "x32.npy", "--upstream", "2"];
    surprisal(folder, &plain).fails(2, &["--upstream: ", "none is asked for", "--grad"]);
    let own = ["entropy", "x32.npy", "--grad", "x32.npy"];
    surprisal(folder, &own).fails(2, &["--grad", "x32.npy"]);
    let report = report(folder, "cpu", &["entropy", "x32.npy", "--grad", "g.safetensors"]);
    assert_eq!(report["bytes_moved"], 2 * 4 * 4);
    assert_eq!(tensor(&folder.join("g.safetensors"), "dlogits").0, [2, 1, 2]);
}

/// P = (1/4, 3/4) and Q = (3/4, 1/4): M is a step from one to the other.
#[test]
fn js_with_shares() {
    let folder = quarters();
    let folder = folder.path();
    let ln3 = 3.0f64.ln();
    npy(&folder.join("t.npy"), &[1, 2], &[0.0, ln3]);
    npy(&folder.join("s.npy"), &[1, 2], &[ln3, 0.0]);
    let (p, q) = ([0.25f64, 0.75], [0.75f64, 0.25]);
    let kl = |p: [f64; 2], q: [f64; 2]| p[0] * (p[0] / q[0]).ln() + p[1] * (p[1] / q[1]).ln();
    for (beta, share) in [("0.1", 0.1), ("0.5", 0.5), ("0.8", 0.8)] {
        let m = [0, 1].map(|j| share * p[j] + (1.0 - share) * q[j]);
        let want = share * kl(p, m) + (1.0 - share) * kl(q, m);
        for limit in [&[][..], &["--memory-limit", "1M"]] {
            let args = [&["js-divergence", "t.npy", "s.npy", "--beta", beta], limit].concat();
            reports(folder, &args, want);
        }
    }
    reports(folder, &["js-divergence", "t.npy", "s.npy", "--beta", "0"], kl(p, q));
    reports(folder, &["js-divergence", "t.npy", "s.npy", "--beta", "1"], kl(q, p));
    let fails = |beta: &str, parts: &[&str]| {
        let args = ["js-divergence", "t.npy", "s.npy", "--device", "cpu", "--beta", beta];
        surprisal(folder, &args).fails(2, parts);
    };
    fails("1.5", &["--beta: 1.5 is not in [0, 1]"]);
    fails("-0.5", &["--beta: -0.5 is not in [0, 1]"]);
    fails("NaN", &["--beta"]);
}

#[test]
fn gradients_have_the_dtype_of_their_input() {
    let folder = quarters();
    let path = |name: &str| folder.path().join(name);
    let halves: Vec<u8> = [0.0f32, 1.0, 1.0, 0.0]
        .iter()
        .flat_map(|&x| half::bf16::from_f32(x).to_le_bytes())
        .collect();
    let view =
        safetensors::tensor::TensorView::new(safetensors::Dtype::BF16, vec![2, 1, 2], &halves)
            .expect("its shape");
    let bytes = safetensors::serialize([("x", view)], None).expect("it is sound");
    fs::write(path("half.safetensors"), bytes).expect("the folder can be written");
    let commands: [&[&str]; 5] = [
        &["focal", "half.safetensors", "y.npy"],
        &["focal", "half.safetensors", "bits.npy", "--binary"],
        &["js-divergence", "x.npy", "half.safetensors"],
        &["binary-cross-entropy", "half.safetensors", "bits.npy"],
        &["elementwise", "--loss", "squared", "half.safetensors", "bits.npy"],
    ];
    let names = ["dlogits", "dlogits", "dstudent", "dinput", "dinput"];
    for (command, name) in commands.into_iter().zip(names) {
        for (device, dtype) in
            [("cpu", safetensors::Dtype::BF16), ("reference", safetensors::Dtype::F64)]
        {
            let args = [command, &["--grad", "g.safetensors"]].concat();
            report(folder.path(), device, &args);
            let (shape, found, _) = tensor(&path("g.safetensors"), name);
            assert_eq!((shape, found), (vec![2, 1, 2], dtype), "{command:?} on {device}");
        }
        let args = [command, &["--grad", "g.npy", "--device", "cpu"]].concat();
        surprisal(folder.path(), &args).fails(2, &["--grad", "g.npy", ".safetensors"]);
    }
}
