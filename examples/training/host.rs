//! The linear model on the host, in plain loops: the twin of `linear.wgsl`.

use surprisal::Device;

use super::data::Table;
use super::loss::Loss;
use super::{Result, Schedule, Trained};

/// `features weight + bias`, `[rows, outputs]`.
pub fn scores(table: &Table, weight: &[f32]) -> Vec<f32> {
    let outputs = weight.len() / (table.columns + 1);
    let (weight, bias) = weight.split_at(table.columns * outputs);
    let mut scores = Vec::with_capacity(table.rows() * outputs);
    for row in 0..table.rows() {
        let mut sums = bias.to_vec();
        for (x, weights) in table.row(row).iter().zip(weight.chunks(outputs)) {
            for (sum, w) in sums.iter_mut().zip(weights) {
                *sum += x * w;
            }
        }
        scores.extend(sums);
    }
    scores
}

pub fn train(
    device: &Device,
    table: &Table,
    start: &[f32],
    loss: &Loss<'_>,
    schedule: Schedule,
) -> Result<Trained> {
    let (mut weight, mut losses) = (start.to_vec(), Vec::new());
    let outputs = weight.len() / (table.columns + 1);
    for step in 0..schedule.steps {
        let (value, dscores) = loss.run(device, &scores(table, &weight), outputs)?;
        if step.is_multiple_of(schedule.read_every) {
            losses.push(value);
        }
        let dweight = gradient(table, &dscores, outputs);
        for (w, dw) in weight.iter_mut().zip(&dweight) {
            *w -= schedule.rate * dw;
        }
    }
    Ok(Trained { losses, weight })
}

/// With respect to weight and bias, from the one with respect to the scores.
fn gradient(table: &Table, dscores: &[f32], outputs: usize) -> Vec<f32> {
    let mut dweight = vec![0.0; (table.columns + 1) * outputs];
    for (row, dscores) in dscores.chunks(outputs).enumerate() {
        let inputs = table.row(row).iter().chain(&[1.0]);
        for (x, sums) in inputs.zip(dweight.chunks_mut(outputs)) {
            for (sum, d) in sums.iter_mut().zip(dscores) {
                *sum += x * d;
            }
        }
    }
    dweight
}
