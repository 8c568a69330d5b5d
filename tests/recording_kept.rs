//! A linear layer with cross-entropy behind it, in an encoder of one's own: rows that are ignored are left
//! out on the device. What the others come to has the bits of a batch that never had the ignored ones.

mod common;

use common::bench::Bench;
use common::kept::{Choice, LeftOut, PLAIN, Rows, Stored, check, run};
use common::small_windows;
use surprisal::{CrossEntropy, Dtype, LinearCrossEntropy, Reduction};

#[test]
fn wherever_they_are() {
    let gpu = common::gpu();
    let loss_alone = Choice { gradient: false, targets: Stored::I32, ..PLAIN };
    for choice in [PLAIN, loss_alone] {
        check(&gpu, choice, |row| row % 7 != 3).expect("the same bits");
        check(&gpu, choice, |row| row % 1000 == 999).expect("the same bits");
        check(&gpu, choice, |row| !(100..8900).contains(&row)).expect("the same bits");
        check(&gpu, choice, |_| true).expect("the same bits");
    }
}

#[test]
fn however_the_batch_is_stored() {
    let gpu = common::gpu();
    for dtype in [Dtype::F16, Dtype::Bf16] {
        for gradient in [true, false] {
            check(&gpu, Choice { dtype, gradient, targets: Stored::I32, ..PLAIN }, |row| {
                row % 3 == 1
            })
            .expect("the same bits");
        }
    }
}

#[test]
fn with_an_upstream_gradient_for_each() {
    let choice = Choice { reduction: Reduction::None, metrics: false, ..PLAIN };
    check(&common::gpu(), choice, |row| row % 5 > 1).expect("the same bits");
    check(&common::gpu(), Choice { reduction: Reduction::Sum, ..choice }, |row| row % 5 > 1)
        .expect("the same bits");
}

#[test]
fn through_small_windows() {
    let gpu = small_windows(&common::gpu());
    check(&gpu, PLAIN, |row| row % 7 != 3).expect("the same bits");
    check(&gpu, Choice { dtype: Dtype::F16, gradient: false, ..PLAIN }, |row| row > 4500)
        .expect("the same bits");
}

/// Where no row is left, gradients are 0 and a mean is NaN.
#[test]
fn all_of_them() {
    let bench = Bench { gpu: common::gpu() };
    let rows = Rows::new(|_| false);
    let op = LinearCrossEntropy::new(CrossEntropy::new()).with_gradient();
    let by_label = Choice { metrics: false, ..PLAIN };
    let probs = Choice { left_out: LeftOut::ByMask, targets: Stored::Probs, ..by_label };
    for choice in [by_label, probs] {
        let got = run(&bench, &op, &rows, choice);
        assert!(got.loss.is_nan() && got.kept_rows == 0);
        let zeros = [got.stats.concat(), got.dhidden, got.dweight, got.dbias].concat();
        assert!(zeros.iter().all(|&bits| bits == 0));
    }
}

#[test]
fn by_a_mask() {
    let gpu = common::gpu();
    for choice in [PLAIN, Choice { gradient: false, targets: Stored::I32, ..PLAIN }] {
        let choice = Choice { left_out: LeftOut::ByMask, ..choice };
        check(&gpu, choice, |row| row % 7 != 3).expect("the same bits");
        check(&small_windows(&gpu), choice, |row| row > 4500).expect("the same bits");
    }
}

#[test]
fn probabilities() {
    let gpu = common::gpu();
    let by_mask = Choice { left_out: LeftOut::ByMask, targets: Stored::Probs, ..PLAIN };
    for choice in [
        by_mask,
        Choice { gradient: false, dtype: Dtype::Bf16, ..by_mask },
        Choice { reduction: Reduction::None, metrics: false, ..by_mask },
    ] {
        check(&gpu, choice, |row| row % 7 != 3).expect("the same bits");
        check(&gpu, choice, |_| true).expect("the same bits");
        check(&small_windows(&gpu), choice, |row| row > 4500).expect("the same bits");
    }
}
