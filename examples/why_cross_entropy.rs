//! Why cross-entropy and not squared error: from a start that is confidently wrong, the squared
//! error of a softmax has hardly any gradient, and training stalls.
//!
//!     cargo run --release --example why_cross_entropy [-- --device cpu|gpu]
//!
//! Two panels go to `target/plots/why_cross_entropy.svg`: the gradient against the confidence in the
//! right class, and two trainings on digits from the same bad start.

#![expect(clippy::print_stdout, reason = "it is what the example does")]

mod training;

use plotters::prelude::SeriesLabelPosition;
use surprisal::Device;

use training::data::{Table, argmax};
use training::loss::Loss;
use training::plot::{self, Line, Panel};
use training::{Place, Result, Schedule};

const CLASSES: usize = 10;
const SCHEDULE: Schedule = Schedule { steps: 400, rate: 0.5, read_every: 10 };

fn main() -> Result<()> {
    let place = Place::from_args()?;
    println!("{}", place.info());
    let clock = std::time::Instant::now();
    let panels = [gradients()?, trainings(&place)?];
    println!("{:.2} s", clock.elapsed().as_secs_f64());
    let path = plot::path("target/plots", "why_cross_entropy");
    plot::draw(&path, &panels)?;
    println!("{}", path.display());
    Ok(())
}

/// Two classes, of which the first is right, at every confidence.
fn gradients() -> Result<Panel> {
    let confidences: Vec<f64> = (1..200).map(|i| f64::from(i) / 200.0).collect();
    let scores: Vec<f32> =
        confidences.iter().flat_map(|p| [(p / (1.0 - p)).ln() as f32, 0.0]).collect();
    let labels = vec![0; confidences.len()];
    let losses = [
        ("cross-entropy", Loss::CrossEntropy(&labels)),
        ("squared error", Loss::squared_error(&labels, 2)),
    ];
    let mut lines = Vec::new();
    for (name, loss) in losses {
        let (_, gradient) = loss.run(&Device::cpu(), &scores, 2)?;
        // The loss is a mean over rows; each row's own gradient is this many times larger.
        let size = |row: &[f32]| f64::from(row[0].abs()) * confidences.len() as f64;
        lines.push(Line::new(name, confidences.iter().copied().zip(gradient.chunks(2).map(size))));
    }
    Ok(Panel {
        title: "Gradient by confidence",
        x: ("probability of the right class", 0.0..1.0),
        y: ("size of the gradient", 0.0..1.0),
        legend: SeriesLabelPosition::UpperRight,
        lines,
    })
}

fn trainings(place: &Place) -> Result<Panel> {
    let (train, held_out) = Table::digits()?.split(0);
    let start = confidently_wrong(&train);
    let losses = [
        ("cross-entropy", Loss::CrossEntropy(&train.labels)),
        ("squared error", Loss::squared_error(&train.labels, CLASSES)),
    ];
    println!("start: {:.1} % held out", 100.0 * held_out.accuracy(&start, argmax));
    let mut lines = Vec::new();
    let mut accuracies = Vec::new();
    for (name, loss) in losses {
        let trained = place.train(&train, &start, &loss, SCHEDULE)?;
        let (first, last) = (trained.losses[0], trained.losses[trained.losses.len() - 1]);
        let accuracy = held_out.accuracy(&trained.weight, argmax);
        println!("{name}: {first:.4} to {last:.4}, {:.1} % held out", 100.0 * accuracy);
        let steps = (0..SCHEDULE.steps).step_by(SCHEDULE.read_every).map(|step| step as f64);
        lines.push(Line::new(name, steps.zip(trained.losses.iter().map(|loss| loss / first))));
        accuracies.push(accuracy);
    }
    assert!(accuracies[0] > 0.9 && accuracies[1] < 0.2);
    Ok(Panel {
        title: "Training from a bad start",
        x: ("step", 0.0..SCHEDULE.steps as f64),
        y: ("loss / loss at the start", 0.0..1.2),
        legend: SeriesLabelPosition::MiddleRight,
        lines,
    })
}

/// Weights that score each class by how little a picture looks like it.
fn confidently_wrong(table: &Table) -> Vec<f32> {
    let mean = |rows: &Table| rows.moments().into_iter().map(|(mean, _)| mean).collect::<Vec<_>>();
    let all = &mean(table);
    let classes: Vec<_> =
        (0..10).map(|class| mean(&table.filter(|row| table.labels[row] == class))).collect();
    let weights = |k: usize| classes.iter().map(move |class| 4.0 * (all[k] - class[k]));
    let mut start: Vec<f32> = (0..table.columns).flat_map(weights).collect();
    start.resize((table.columns + 1) * CLASSES, 0.0);
    start
}
