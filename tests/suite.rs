//! Every device through one suite, against the reference.

mod common;

use common::cases::all_cases;
use common::{Subject, cpu_subjects, gpu_subjects, suite};

fn run(subjects: &[Subject]) {
    let failures: Vec<String> = all_cases()
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
