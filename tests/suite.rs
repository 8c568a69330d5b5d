//! Every device through one suite, against the reference.

mod common;

use common::cases::{Case, all_cases, narrow_cases};
use common::{Subject, cpu_subjects, gpu_subjects, suite};
use surprisal::Dtype;

fn run(subjects: &[Subject]) {
    check(subjects, &all_cases());
}

fn check(subjects: &[Subject], cases: &[Case]) {
    let failures: Vec<String> = cases
        .iter()
        .flat_map(|case| subjects.iter().map(move |subject| suite::check(subject, case)))
        .filter_map(Result::err)
        .collect();
    let shown = failures.iter().take(12).cloned().collect::<Vec<_>>().join("\n");
    assert!(failures.is_empty(), "{} failures:\n{shown}", failures.len());
}

#[test]
fn reference() {
    run(&[Subject::reference()]);
}

#[test]
fn cpu() {
    run(&cpu_subjects());
}

#[test]
fn gpu() {
    run(&gpu_subjects());
}

#[test]
fn reference_and_cpu_in_16_bits() {
    for dtype in [Dtype::F16, Dtype::Bf16] {
        let mut subjects = cpu_subjects();
        subjects.push(Subject::reference());
        check(&subjects, &narrow_cases(dtype));
    }
}

#[test]
fn gpu_in_f16() {
    check(&gpu_subjects(), &narrow_cases(Dtype::F16));
}

#[test]
fn gpu_in_bf16() {
    check(&gpu_subjects(), &narrow_cases(Dtype::Bf16));
}
