//! Masks of rows and of elements, on every device, in every family of kernels.

mod common;

use common::masks::{Kept, check_elements, check_rows, signs_that_do_not_count};
use common::{Subject, cpu_subjects, devices, gpu_subjects};
use surprisal::Dtype;

const ROWS: &str = "masked rows are 0, others as without a mask";
const ELEMENTS: &str = "masked elements are 0, others as without a mask";

/// Short, whole words, ragged, long.
const SHAPES: [(usize, usize); 4] = [(37, 5), (29, 64), (19, 131), (9, 1028)];

fn on_host() -> Vec<Subject> {
    let mut subjects = cpu_subjects();
    subjects.push(Subject::reference());
    subjects
}

#[test]
fn rows_by_the_definition_and_on_the_cpu() {
    for (shape, subject) in
        SHAPES.into_iter().flat_map(|s| on_host().into_iter().map(move |d| (s, d)))
    {
        for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
            check_rows(&subject, shape, dtype, Kept::EACH, |_| true).expect(ROWS);
        }
    }
}

#[test]
fn rows_on_a_gpu() {
    for (i, subject) in gpu_subjects().iter().enumerate() {
        let which = if i == 0 { Kept::EACH } else { Kept::MIXED };
        // Compiling is what takes the time: of two subjects that are alike each has half of the operations.
        let chosen = |op: usize| i == 0 || (op + i) % 2 == 0;
        check_rows(subject, SHAPES[i % 4], Dtype::F32, which, chosen).expect(ROWS);
        let dtype = if i % 2 == 0 { Dtype::F16 } else { Dtype::Bf16 };
        let chosen = |op: usize| (op + i) % 3 == 0;
        check_rows(subject, SHAPES[(i + 2) % 4], dtype, Kept::MIXED, chosen).expect(ROWS);
    }
}

#[test]
fn elements_by_the_definition_and_on_the_cpu() {
    for (shape, subject) in
        SHAPES.into_iter().flat_map(|s| on_host().into_iter().map(move |d| (s, d)))
    {
        for dtype in [Dtype::F32, Dtype::F16] {
            check_elements(&subject, shape, dtype, Kept::EACH).expect(ELEMENTS);
        }
    }
}

#[test]
fn elements_on_a_gpu() {
    for (i, subject) in gpu_subjects().iter().enumerate() {
        let which = if i == 0 { Kept::EACH } else { Kept::MIXED };
        check_elements(subject, SHAPES[i % 3], Dtype::F32, which).expect(ELEMENTS);
        let dtype = if i % 2 == 0 { Dtype::F16 } else { Dtype::Bf16 };
        check_elements(subject, SHAPES[(i + 1) % 3], dtype, Kept::MIXED).expect(ELEMENTS);
    }
}

#[test]
fn what_does_not_count_is_not_validated() {
    for device in devices() {
        signs_that_do_not_count(&device).expect("signs are checked where they count");
    }
}
