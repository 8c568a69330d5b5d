//! Two regressions of a thousand steps, recorded in float64 from PyTorch: every device goes the
//! same way, as far as its arithmetic can.

mod common;

use std::collections::HashMap;

use common::Subject;
use surprisal::{
    BinaryCrossEntropy, CrossEntropy, CrossEntropyInput, Device, ElementwiseInput, Matrix,
    Reduction,
};

const ROWS: usize = 100;
const STEPS: usize = 1000;
const STEP: f64 = 0.01;
/// How far an element of the gradient, which is at most 1, may be off in f32, and relatively a loss.
/// With u = 2^-24 and scores up to 8: rounding them 8u / 4, the exponential that WGSL allows
/// (6 + 4 * 8)u / 4, a division 5u (`common/tolerance.rs`); rounded up, for the sum of the losses.
const F32: f64 = 24.0 / (1u64 << 24) as f64;
/// The same in f64, where the order of additions is all that differs.
const F64: f64 = 1e-13;

#[derive(Debug, Clone, Copy)]
enum Kind {
    Logistic,
    Softmax,
}

/// A recorded run.
struct Run {
    kind: Kind,
    columns: usize,
    outputs: usize,
    /// `[100, columns + 1]`, with a column of 1s for the bias.
    features: Vec<f64>,
    labels: Vec<i64>,
    /// `[columns + 1, outputs]`, the bias in the last row.
    start: Vec<f64>,
    losses: Vec<f64>,
    end: Vec<f64>,
}

impl Run {
    fn load(kind: Kind, columns: usize, outputs: usize) -> Self {
        static FILE: &[u8] = include_bytes!("data/textbook_regressions.safetensors");
        let file = safetensors::SafeTensors::deserialize(FILE).expect("the file is sound");
        let tensors: HashMap<String, &[u8]> =
            file.iter().map(|(name, tensor)| (name.to_owned(), tensor.data())).collect();
        let prefix = match kind {
            Kind::Logistic => "logistic",
            Kind::Softmax => "softmax",
        };
        let bytes = |name: &str| tensors[&format!("{prefix}_{name}")].chunks_exact(8);
        let values = |name| -> Vec<f64> { bytes(name).map(bytemuck::pod_read_unaligned).collect() };
        let rows = values("features");
        let rows = rows.chunks(columns).flat_map(|row| row.iter().copied().chain([1.0]));
        Self {
            kind,
            columns: columns + 1,
            outputs,
            features: rows.collect(),
            labels: bytes("labels").map(bytemuck::pod_read_unaligned).collect(),
            start: [values("weight0"), values("bias0")].concat(),
            losses: values("loss_sum_every_100"),
            end: [values("weight_end"), values("bias_end")].concat(),
        }
    }

    /// The gradient is the mean's in the logistic regression, the sum's in the other.
    fn rate(&self) -> f64 {
        match self.kind {
            Kind::Logistic => STEP / ROWS as f64,
            Kind::Softmax => STEP,
        }
    }

    fn scores(&self, weight: &[f64]) -> Vec<f64> {
        let score = |row: &[f64], j| {
            row.iter().enumerate().map(|(k, x)| x * weight[k * self.outputs + j]).sum::<f64>()
        };
        let rows = self.features.chunks(self.columns);
        rows.flat_map(|row| (0..self.outputs).map(move |j| score(row, j))).collect()
    }

    /// The summed loss and its gradient with respect to the scores.
    fn evaluate(&self, device: &Device, scores: &[f64]) -> (f64, Vec<f64>) {
        let logits = Matrix::new(scores, ROWS, self.outputs).expect("its shape");
        let (loss, dlogits) = match self.kind {
            Kind::Logistic => {
                let labels: Vec<f64> = self.labels.iter().map(|&y| y as f64).collect();
                let labels = Matrix::new(&labels, ROWS, 1).expect("its shape");
                let op = BinaryCrossEntropy::new().with_reduction(Reduction::Sum).with_gradient();
                let output = device.run(&op, ElementwiseInput::new(logits, labels));
                let output = output.expect("the input is sound");
                (output.loss, output.dinput)
            }
            Kind::Softmax => {
                let op = CrossEntropy::new().with_reduction(Reduction::Sum).with_gradient();
                let output = device.run(&op, CrossEntropyInput::new(logits, &self.labels));
                let output = output.expect("the input is sound");
                (output.loss, output.dlogits)
            }
        };
        (loss.reduced().expect("a sum"), dlogits.expect("asked for").to_f64())
    }

    fn gradient(&self, dscores: &[f64]) -> Vec<f64> {
        let column = |k: usize, j: usize| -> f64 {
            (0..ROWS)
                .map(|i| self.features[i * self.columns + k] * dscores[i * self.outputs + j])
                .sum()
        };
        (0..self.columns).flat_map(|k| (0..self.outputs).map(move |j| column(k, j))).collect()
    }

    /// How far one step's gradient may be off, if each element of the scores' is by `error`.
    fn gradient_error(&self, error: f64) -> f64 {
        let column = |k: usize| (0..ROWS).map(|i| self.features[i * self.columns + k].abs()).sum();
        let squares = (0..self.columns).map(|k| f64::powi(column(k), 2)).sum::<f64>();
        error * (squares * self.outputs as f64).sqrt()
    }

    /// Both losses are convex, and the step is below 2 over their curvature (at most half the
    /// largest eigenvalue of `features^T features`, about 80): a step brings two neighbouring points
    /// no further apart. So what the arithmetic adds at each step is all that there is to add up.
    fn check(&self, subject: &Subject) {
        let error = if subject.arithmetic.is_exact() { F64 } else { F32 };
        let drift_of_a_step = self.rate() * self.gradient_error(error);
        let mut weight = self.start.clone();
        for step in 0..STEPS {
            let (loss, dscores) = self.evaluate(&subject.device, &self.scores(&weight));
            let gradient = self.gradient(&dscores);
            if step.is_multiple_of(100) {
                let want = self.losses[step / 100];
                let slope = gradient.iter().map(|d| d * d).sum::<f64>().sqrt();
                let drift = step as f64 * drift_of_a_step;
                let bound = error * want + (slope + 80.0 * drift) * drift;
                let found = (loss - want).abs();
                assert!(
                    found <= bound && bound < 1e-4 * want,
                    "{}: {:?} step {step}: {loss}, not {want} within {bound:.1e}",
                    subject.name,
                    self.kind,
                );
            }
            for (w, dw) in weight.iter_mut().zip(&gradient) {
                *w -= self.rate() * dw;
            }
        }
        let distance = |a: &[f64], b: &[f64]| -> f64 {
            a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
        };
        let (found, bound) = (distance(&weight, &self.end), STEPS as f64 * drift_of_a_step);
        assert!(
            found <= bound,
            "{}: {:?}: {weight:?}, not {:?}",
            subject.name,
            self.kind,
            self.end
        );
    }
}

fn check(subject: &Subject) {
    Run::load(Kind::Logistic, 2, 1).check(subject);
    Run::load(Kind::Softmax, 5, 3).check(subject);
}

#[test]
fn reference() {
    check(&Subject::reference());
}

#[test]
fn cpu() {
    check(&Subject::cpu());
}

#[test]
fn gpu() {
    check(&Subject::gpu("as it chooses", common::gpu()));
}
