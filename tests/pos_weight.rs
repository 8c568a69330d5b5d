//! One weight for what is 1, and one for each column.

mod common;

use std::f64::consts::LN_2;

use surprisal::{Array, BinaryCrossEntropy, ElementwiseInput, Matrix, Reduction};

/// All columns have one weight of the part that is 1, whatever their shape; and the last one set counts.
#[test]
fn one_positive_weight_for_all() {
    for device in common::devices() {
        let op = BinaryCrossEntropy::new().with_pos_weight([5.0; 3]).with_pos_weight_of_all(2.0);
        let op = op.with_reduction(Reduction::None).with_gradient();
        let (x, y) = ([0.0f32; 6], [1.0f32, 0.0, 0.5, 1.0, 1.0, 0.0]);
        for columns in [1, 2, 3, 6] {
            let matrix = |v| Matrix::new(v, 6 / columns, columns).expect("its shape");
            let output = device.run(&op, ElementwiseInput::new(matrix(&x), matrix(&y)));
            let output = output.expect("it is sound");
            let losses = output.loss.each().expect("not reduced").to_f64();
            let slopes = output.dinput.as_ref().map(Array::to_f64).expect("asked for");
            let near = |got: &[f64], want: [f64; 6]| {
                let close = got.iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-6);
                assert!(close, "{got:?} not {want:?} on {}", device.info());
            };
            near(&losses, [2.0, 1.0, 1.5, 2.0, 2.0, 1.0].map(|x| x * LN_2));
            near(&slopes, [-1.0, 0.5, -0.25, -1.0, -1.0, 0.5]);
        }
    }
}

/// The same weight in every column makes the same bits as that weight.
#[test]
fn alike_in_every_column() {
    let x: Vec<f32> = (0..7 * 33).map(|i| (i % 19) as f32 / 3.0 - 3.0).collect();
    let y: Vec<f32> = (0..7 * 33).map(|i| (i % 3) as f32 / 2.0).collect();
    let input = ElementwiseInput::new(
        Matrix::new(&x, 7, 33).expect("its shape"),
        Matrix::new(&y, 7, 33).expect("its shape"),
    );
    for device in common::devices() {
        let op = BinaryCrossEntropy::new().with_reduction(Reduction::None).with_gradient();
        let run = |op: &BinaryCrossEntropy| device.run(op, input).expect("sound");
        let by_column = run(&op.clone().with_pos_weight([2.5; 33]));
        assert_eq!(run(&op.clone().with_pos_weight_of_all(2.5)), by_column, "{}", device.info());
        let plain = run(&op);
        assert_eq!(run(&op.with_pos_weight_of_all(1.0)), plain, "{}", device.info());
    }
}
