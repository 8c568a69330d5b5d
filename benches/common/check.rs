//! Is it right? The reference knows.

use surprisal::{CrossEntropy, Device, LogSoftmax, Softmax};

use super::contest::Op;
use super::data::{Batch, Number};

/// What the reference says of a batch.
#[derive(Debug)]
pub struct Want {
    pub loss: Option<f64>,
    matrix: Option<Vec<f64>>,
    relative: f64,
    absolute: f64,
}

impl Want {
    pub fn new<T: Number>(op: Op, batch: &Batch<T>) -> Self {
        let device = Device::reference();
        // A sum of 100,000 terms in f32, one after another, errs by less; a rounding to `T` too.
        let relative = f64::max(1e-4, T::EPSILON);
        let numbers = |array: surprisal::Array| Some(array.to_f64());
        match op {
            Op::Loss => {
                let output = device.run(&CrossEntropy::new(), batch.input()).expect("sound");
                Self { loss: output.loss.reduced(), matrix: None, relative, absolute: 0.0 }
            }
            Op::LossGradient | Op::LossGradientInPlace => {
                let op = CrossEntropy::new().with_gradient();
                let output = device.run(&op, batch.input()).expect("sound");
                let matrix = numbers(output.dlogits.expect("asked for"));
                // The target's probability less 1 has lost what f32 has not got, at worst.
                let absolute = 1e-6 * f64::from(batch.scale());
                Self { loss: output.loss.reduced(), matrix, relative, absolute }
            }
            Op::Softmax => {
                let matrix = numbers(device.run(&Softmax, batch.matrix()).expect("sound"));
                Self { loss: None, matrix, relative, absolute: 1e-9 }
            }
            Op::LogSoftmax => {
                let matrix = numbers(device.run(&LogSoftmax, batch.matrix()).expect("sound"));
                Self { loss: None, matrix, relative, absolute: 1e-5 }
            }
        }
    }

    /// # Panics
    /// Unless the loss is this one, within rounding.
    pub fn expect_loss(&self, who: &str, got: f64) {
        let Some(want) = self.loss else { return };
        assert!((got - want).abs() <= self.relative * want, "{who}: {got} is not {want}");
    }

    /// # Panics
    /// Unless these are the numbers, within rounding.
    pub fn expect_matrix<T: Number>(&self, who: &str, got: impl IntoIterator<Item = T>) {
        let want = self.matrix.as_ref().expect("a matrix is wanted");
        let mut count = 0;
        // The least f16 apart from 0 is twice this.
        let absolute = self.absolute.max(if T::EPSILON > 1e-4 { f64::powi(2.0, -24) } else { 0.0 });
        for (i, (got, want)) in got.into_iter().zip(want).enumerate() {
            let got = got.to_f64();
            let bound = self.relative * want.abs() + absolute;
            assert!((got - want).abs() <= bound, "{who}: {got} at {i} is not {want}");
            count += 1;
        }
        assert_eq!(count, want.len(), "{who}: all of them");
    }
}
