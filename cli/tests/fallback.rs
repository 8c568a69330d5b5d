//! A GPU that fails on the way: with `--device auto` the CPU's answer, else an error.
//!
//! Faults can be injected into builds with debug assertions only.
#![cfg(debug_assertions)]

mod common;

use std::path::Path;

use common::batch::{Answer, answer, batch, remove_outputs, run};
use common::{Run, names, surprisal, with_fault};

/// `auto` takes a software driver too if it is named.
const AUTO: [&str; 5] = ["--device", "auto", "--adapter", "0", "--json"];
const KINDS: [&str; 2] = ["lost", "memory"];

fn on_a_failing_gpu(folder: &Path, fault: &str, args: &[&str]) -> Run {
    remove_outputs(folder);
    with_fault(folder, fault, &[args, &AUTO].concat())
}

/// Whether the GPU failed and the CPU's answer is there all the same, with one line about it.
fn fell_back(folder: &Path, fault: &str, args: &[&str], cpu: &Answer) -> bool {
    let run = on_a_failing_gpu(folder, fault, args);
    let said = run.stderr.join("\n");
    let (lines, found) = (run.stderr.len(), answer(folder, run.json()));
    assert!(said.starts_with("device: gpu: "), "{args:?}, {fault}: {said}");
    if lines == 1 {
        assert_eq!(found.1["device"]["kind"], "gpu", "{args:?}, {fault}");
        return false;
    }
    assert_eq!(lines, 2, "{args:?}, {fault}: {said}");
    assert!(said.ends_with("; starting over on the CPU"), "{args:?}, {fault}: {said}");
    assert!(found == *cpu, "{args:?}, {fault}: {}", found.1);
    true
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[test]
fn a_fault_at_any_call_gives_the_answer_of_the_cpu() {
    let folder = batch(60);
    let folder = folder.path();
    let loss = "cross-entropy x.npy y.npy --grad grad.npy --lse lse.npy --out out.npy --metrics";
    for limit in ["", " --memory-limit 60K"] {
        let line = loss.to_owned() + limit;
        let args = words(&line);
        let cpu = run(folder, "cpu", &args);
        for kind in KINDS {
            let mut calls = 0;
            while fell_back(folder, &format!("{kind}:{calls}"), &args, &cpu) {
                calls += 1;
            }
            assert!(calls > 20, "only {calls} calls can fail; is the seam still where it was?");
        }
    }
}

#[test]
fn every_command_falls_back() {
    let folder = batch(200);
    let folder = folder.path();
    for line in [
        "cross-entropy h.npy y8.npy --reduction none --upstream up.npy --grad grad.npy --out out.npy",
        "cross-entropy x.npy q.npy --grad grad.npy --class-weights w.npy",
        "focal x.npy y.npy --grad grad.npy --alpha w.npy --lse lse.npy",
        "focal --binary x.npy bits.npy --grad grad.npy --threads 2",
        "linear-cross-entropy x.npy t.npy y.npy --grad grad.npy --lse lse.npy",
        "kl-divergence t.npy x.npy --grad grad.npy --lse lse.npy",
        "js-divergence t.npy x.npy --grad grad.npy --out out.npy --reduction none",
        "binary-cross-entropy x.npy bits.npy --reduction none --upstream each.npy --out out.npy --grad g.npy",
        "elementwise --loss huber x.npy t.npy --grad grad.npy --dtype f16",
        "softmax x.npy --out out.npy",
        "log-softmax h.npy --out out.npy",
        "logsumexp x.npy --out out.npy",
        "entropy x.npy --out out.npy --unit bits",
    ] {
        for limit in ["", " --memory-limit 600K"] {
            let line = line.to_owned() + limit;
            let args = words(&line);
            let cpu = run(folder, "cpu", &args);
            for fault in ["lost:1", "memory:6", "lost:9"] {
                assert!(fell_back(folder, fault, &args, &cpu), "{line}: no call for {fault}");
            }
        }
    }
}

#[test]
fn a_shader_that_does_not_compile() {
    let folder = batch(60);
    let folder = folder.path();
    // Of rows, which every window goes through.
    let fault = "shader:row";
    for limit in ["", " --memory-limit 60K"] {
        let line = "cross-entropy x.npy y.npy --grad grad.npy".to_owned() + limit;
        let args = words(&line);
        assert!(fell_back(folder, fault, &args, &run(folder, "cpu", &args)), "{line}");
    }
}

#[test]
fn a_limit_that_only_the_cpu_can_keep() {
    let folder = batch(2000);
    let folder = folder.path();
    let few = words("linear-cross-entropy x.npy t.npy y.npy --grad grad.npy --memory-limit 300K");
    let (before, cpu) = (names(folder), run(folder, "cpu", &few));
    let found = surprisal(folder, &[&few[..], &AUTO].concat());
    let said = found.stderr.join("\n");
    assert!(said.ends_with(" bytes are the least; starting over on the CPU"), "{said}");
    assert_eq!(found.stderr.len(), 2, "{said}");
    assert!(answer(folder, found.json()) == cpu);
    remove_outputs(folder);
    surprisal(folder, &[&few[..], &["--device", "gpu"]].concat()).fails(2, &["are the least"]);
    // Neither can.
    let fewer = words("linear-cross-entropy x.npy t.npy y.npy --memory-limit 1K");
    let found = surprisal(folder, &[&fewer[..], &AUTO].concat());
    assert_eq!((found.code, found.stderr.len()), (2, 2), "{:?}", found.stderr);
    assert!(found.stderr[1].ends_with("are the least"), "{:?}", found.stderr);
    assert_eq!(names(folder), before);
}

#[test]
fn a_gpu_that_was_asked_for_is_not_replaced() {
    let folder = batch(60);
    let folder = folder.path();
    let before = names(folder);
    for limit in ["", " --memory-limit 60K"] {
        for (fault, part) in [
            ("lost:9", "the GPU device was lost"),
            ("memory:9", "out of memory"),
            ("shader:row", "did not compile"),
        ] {
            let line = format!("cross-entropy x.npy y.npy --grad grad.npy --device gpu{limit}");
            with_fault(folder, fault, &words(&line)).fails(1, &[part]);
        }
    }
    assert_eq!(names(folder), before);
}

#[test]
fn what_is_wrong_with_the_input_is_no_fault_of_the_gpu() {
    let folder = batch(60);
    let folder = folder.path();
    let run = surprisal(folder, &[&words("cross-entropy bits.npy y.npy")[..], &AUTO].concat());
    assert_eq!(run.code, 2);
    assert!(!run.stderr.join("\n").contains("starting over"), "{:?}", run.stderr);
}

#[test]
fn a_fault_that_there_is_not() {
    let folder = batch(20);
    for fault in ["lost", "lost:x", "fire:3"] {
        with_fault(folder.path(), fault, &words("softmax x.npy --device gpu")).fails(2, &[fault]);
    }
}
