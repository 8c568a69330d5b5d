//! Distillation: a student that sees a quarter of the pixels learns from a teacher's logits, by the
//! Kullback-Leibler divergence at a temperature, and a second one from a few labels alone.
//!
//!     cargo run --release --example distillation [-- --device cpu|gpu]
//!
//! The curve goes to `target/plots/distillation.svg`.

#![expect(clippy::print_stdout, reason = "it is what the example does")]

mod training;

use plotters::prelude::SeriesLabelPosition;

use training::data::{Table, argmax};
use training::loss::Loss;
use training::plot::{self, Line, Panel};
use training::{Place, Result, Schedule, host};

const CLASSES: usize = 10;
const TEMPERATURE: f64 = 2.0;
const LABELS: usize = 40;
const TEACHER: Schedule = Schedule { steps: 800, rate: 0.5, read_every: 100 };
const STUDENT: Schedule = Schedule { steps: 800, rate: 4.0, read_every: 20 };

fn main() -> Result<()> {
    let place = Place::from_args()?;
    println!("{}", place.info());
    let clock = std::time::Instant::now();
    let (train, held_out) = Table::digits()?.split(0);

    let start = vec![0.0; (train.columns + 1) * CLASSES];
    let teacher = place.train(&train, &start, &Loss::CrossEntropy(&train.labels), TEACHER)?;
    let accuracy = held_out.accuracy(&teacher.weight, argmax);
    println!("teacher, 64 pixels, {} labels: {:.2} %", train.rows(), 100.0 * accuracy);

    let (seen, held_out) = (train.map(coarse), held_out.map(coarse));
    let start = vec![0.0; (seen.columns + 1) * CLASSES];
    let few = seen.filter(|row| row < LABELS);
    let alone = place.train(&few, &start, &Loss::CrossEntropy(&few.labels), STUDENT)?;
    let alone = held_out.accuracy(&alone.weight, argmax);
    println!("student, 16 pixels, {LABELS} labels: {:.2} %", 100.0 * alone);

    let logits = host::scores(&train, &teacher.weight);
    let loss = Loss::Distillation { teacher: &logits, temperature: TEMPERATURE };
    let taught = place.train(&seen, &start, &loss, STUDENT)?;
    let steps = (0..STUDENT.steps).step_by(STUDENT.read_every);
    let curve: Vec<_> = steps.map(|step| step as f64).zip(taught.losses).collect();
    for (step, loss) in curve.iter().step_by(10) {
        println!("  step {step:3}: mean KL {loss:.4}");
    }
    let taught = held_out.accuracy(&taught.weight, argmax);
    println!("student, 16 pixels, the teacher's logits: {:.2} %", 100.0 * taught);
    println!("{:.2} s", clock.elapsed().as_secs_f64());
    assert!(taught > alone);

    let path = plot::path("target/plots", "distillation");
    let panel = Panel {
        title: "A student and its teacher",
        x: ("step", 0.0..STUDENT.steps as f64),
        y: ("mean KL(teacher || student) (nats)", 0.0..1.5),
        legend: SeriesLabelPosition::UpperRight,
        lines: vec![Line::new("KL", curve)],
    };
    plot::draw(&path, &[panel])?;
    println!("{}", path.display());
    Ok(())
}

/// 8 x 8 pixels as the means of 4 x 4 squares.
fn coarse(picture: &[f32]) -> Vec<f32> {
    let corners = (0..64).step_by(16).flat_map(|row| (row..row + 8).step_by(2));
    let mean = |i: usize| [i, i + 1, i + 8, i + 9].map(|i| picture[i]).iter().sum::<f32>() / 4.0;
    corners.map(mean).collect()
}
