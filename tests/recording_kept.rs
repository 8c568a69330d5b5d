//! A linear layer with cross-entropy behind it, in an encoder of one's own: rows that are ignored are left
//! out on the device. What the others come to has the bits of a batch that never had the ignored ones.

mod common;

use common::bench::Bench;
use common::kept::{Choice, LeftOut, PLAIN, Rows, check, run};
use common::small_windows;
use surprisal::{CrossEntropy, Dtype, LinearCrossEntropy, Reduction};

#[test]
fn wherever_they_are() {
    let gpu = common::gpu();
    let loss_alone = Choice { gradient: false, wide: false, ..PLAIN };
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
            check(&gpu, Choice { dtype, gradient, wide: false, ..PLAIN }, |row| row % 3 == 1)
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
    let got = run(&bench, &op, &rows, Choice { metrics: false, ..PLAIN });
    assert!(got.loss.is_nan() && got.kept_rows == 0);
    let zeros = [got.stats.concat(), got.dhidden, got.dweight, got.dbias].concat();
    assert!(zeros.iter().all(|&bits| bits == 0));
}

#[test]
fn by_a_mask() {
    let gpu = common::gpu();
    for choice in [PLAIN, Choice { gradient: false, wide: false, ..PLAIN }] {
        let choice = Choice { left_out: LeftOut::ByMask, ..choice };
        check(&gpu, choice, |row| row % 7 != 3).expect("the same bits");
        check(&small_windows(&gpu), choice, |row| row > 4500).expect("the same bits");
    }
}
