//! Contrastive learning by `InfoNCE`, which is cross-entropy of a linear layer: the embeddings of one view
//! are what the layer reads, those of the other view its classes, and each row's class is its own partner.
//! A view of a digit is its picture without a quarter of the pixels.
//!
//!     cargo run --release --example contrastive [-- --device cpu|gpu]
//!
//! The curve goes to `target/plots/contrastive.svg`.

#![expect(clippy::print_stdout, reason = "it is what the example does")]

mod training;

use plotters::prelude::SeriesLabelPosition;
use surprisal::{CrossEntropy, Device, LinearCrossEntropy, LinearCrossEntropyInput, Matrix};

use training::adam::{Adam, Normal};
use training::data::Table;
use training::plot::{self, Line, Panel};
use training::{Place, Result};

const PIXELS: usize = 64;
const EMBEDDING: usize = 32;
const BATCH: usize = 256;
const STEPS: usize = 300;
const RATE: f32 = 5e-3;
const TEMPERATURE: f64 = 0.1;

fn main() -> Result<()> {
    let place = Place::from_args()?;
    println!("{}", place.info());
    let clock = std::time::Instant::now();
    let (train, held_out) = Table::digits()?.split(0);
    let mut random = Normal::new(3);
    let mut encoder = Adam::new(random.values(PIXELS * EMBEDDING, 0.2));

    let everything: Vec<usize> = (0..held_out.rows()).collect();
    let views = [0, 1].map(|_| views(&held_out, &everything, &mut random));
    let (before, _) = contrast(place.device(), &encoder.values, &views)?;
    let mut curve = Vec::new();
    for step in 0..STEPS {
        let rows: Vec<usize> = (0..BATCH).map(|_| random.below(train.rows())).collect();
        let views = [0, 1].map(|_| self::views(&train, &rows, &mut random));
        let (outcome, gradient) = contrast(place.device(), &encoder.values, &views)?;
        encoder.descend(&gradient, RATE);
        curve.push((step as f64, outcome.loss));
        if step.is_multiple_of(50) {
            println!("  step {step:3}: InfoNCE {:.3} nats", outcome.loss);
        }
    }
    let (after, _) = contrast(place.device(), &encoder.values, &views)?;
    let count = held_out.rows();
    for (when, outcome) in [("before", &before), ("after", &after)] {
        let found = 100.0 * outcome.found;
        println!("{when}: {:.3} nats, {found:.1} % of {count} partners found", outcome.loss);
    }
    println!("{:.2} s", clock.elapsed().as_secs_f64());
    assert!(after.found > before.found && after.loss < before.loss);

    let path = plot::path("target/plots", "contrastive");
    let panel = Panel {
        title: "Two views of one digit",
        x: ("step", 0.0..STEPS as f64),
        y: ("InfoNCE (nats)", 0.0..(BATCH as f64).ln()),
        legend: SeriesLabelPosition::UpperRight,
        lines: vec![Line::new("InfoNCE", curve)],
    };
    plot::draw(&path, &[panel])?;
    println!("{}", path.display());
    Ok(())
}

/// A picture each, with a quarter of the pixels missing.
fn views(table: &Table, rows: &[usize], random: &mut Normal) -> Vec<f32> {
    let pixels = rows.iter().flat_map(|&row| table.row(row));
    pixels.map(|pixel| if random.uniform() < 0.75 { *pixel } else { 0.0 }).collect()
}

struct Outcome {
    loss: f64,
    /// The share of rows whose partner is the nearest.
    found: f64,
}

/// `InfoNCE` of two views, and its gradient with respect to the encoder.
fn contrast(
    device: &Device,
    encoder: &[f32],
    views: &[Vec<f32>; 2],
) -> Result<(Outcome, Vec<f32>)> {
    let [a, b] = views.each_ref().map(|view| Embedded::new(encoder, view));
    let rows = a.lengths.len();
    let loss = CrossEntropy::new().with_logit_scale(1.0 / TEMPERATURE).with_metrics();
    let op = LinearCrossEntropy::new(loss).with_hidden_gradient().with_weight_gradient();
    let partners: Vec<i64> = (0..rows).map(i64::try_from).collect::<std::result::Result<_, _>>()?;
    let input = LinearCrossEntropyInput::new(
        Matrix::new(&a.units, rows, EMBEDDING)?,
        Matrix::new(&b.units, rows, EMBEDDING)?,
        &partners,
    );
    let output = device.run(&op, input)?;
    let mut gradient = vec![0.0; encoder.len()];
    for (embedded, view, units) in [(a, &views[0], output.dhidden), (b, &views[1], output.dweight)]
    {
        embedded.backward(view, &units.ok_or("asked for")?.values().to_f32(), &mut gradient);
    }
    let metrics = output.metrics.ok_or("asked for")?;
    let loss = output.loss.reduced().ok_or("it is a mean")?;
    Ok((Outcome { loss, found: metrics.accuracy }, gradient))
}

/// Pictures through the encoder, brought to length 1.
struct Embedded {
    units: Vec<f32>,
    lengths: Vec<f32>,
}

impl Embedded {
    fn new(encoder: &[f32], view: &[f32]) -> Self {
        let (mut units, mut lengths) = (Vec::new(), Vec::new());
        for picture in view.chunks(PIXELS) {
            let mut sums = [0.0; EMBEDDING];
            for (pixel, weights) in picture.iter().zip(encoder.chunks(EMBEDDING)) {
                for (sum, w) in sums.iter_mut().zip(weights) {
                    *sum += pixel * w;
                }
            }
            let length = sums.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-6);
            units.extend(sums.iter().map(|x| x / length));
            lengths.push(length);
        }
        Self { units, lengths }
    }

    /// Adds what the units' gradient comes to in the encoder.
    fn backward(&self, view: &[f32], dunits: &[f32], gradient: &mut [f32]) {
        let rows = self.units.chunks(EMBEDDING).zip(dunits.chunks(EMBEDDING));
        for (((u, du), length), picture) in rows.zip(&self.lengths).zip(view.chunks(PIXELS)) {
            let along: f32 = u.iter().zip(du).map(|(u, du)| u * du).sum();
            let dsums: Vec<f32> =
                u.iter().zip(du).map(|(u, du)| (du - u * along) / length).collect();
            for (pixel, sums) in picture.iter().zip(gradient.chunks_mut(EMBEDDING)) {
                for (sum, d) in sums.iter_mut().zip(&dsums) {
                    *sum += pixel * d;
                }
            }
        }
    }
}
