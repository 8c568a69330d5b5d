//! Logistic regression on breast tumours, with labels 0 and 1 and with labels -1 and +1: the same
//! model. Five times, with another fifth of the rows held out each time.
//!
//!     cargo run --release --example breast_cancer_logistic_regression [-- --device cpu|gpu]
//!
//! The curves go to `target/plots/breast_cancer_logistic_regression.svg`.

#![expect(clippy::print_stdout, reason = "it is what the example does")]

mod training;

use plotters::prelude::SeriesLabelPosition;
use surprisal::BinaryLabels;

use training::data::Table;
use training::loss::Loss;
use training::plot::{self, Line, Panel};
use training::{Place, Result, Schedule};

const SCHEDULE: Schedule = Schedule { steps: 100, rate: 0.5, read_every: 2 };

fn main() -> Result<()> {
    let place = Place::from_args()?;
    println!("{}", place.info());
    let clock = std::time::Instant::now();
    let table = Table::breast_cancer()?;
    let (mut correct, mut difference, mut curves) = (0.0, 0.0f32, Vec::new());
    for fold in 0..5 {
        let (train, held_out) = table.split(fold);
        // The held-out rows are scaled by what the others say.
        let moments = train.moments();
        let standardised = |row: &[f32]| {
            row.iter().zip(&moments).map(|(x, (mean, deviation))| (x - mean) / deviation).collect()
        };
        let (train, held_out) = (train.map(standardised), held_out.map(standardised));

        let start = vec![0.0; train.columns + 1];
        let ones = train.labels.iter().map(|&label| label as f32);
        let signs = train.labels.iter().map(|&label| 2.0 * label as f32 - 1.0);
        let zero_one = Loss::Binary(BinaryLabels::ZeroOne, ones.collect());
        let plus_minus = Loss::Binary(BinaryLabels::PlusMinus, signs.collect());
        let zero_one = place.train(&train, &start, &zero_one, SCHEDULE)?;
        let plus_minus = place.train(&train, &start, &plus_minus, SCHEDULE)?;

        let pairs = zero_one.weight.iter().zip(&plus_minus.weight);
        difference = pairs.map(|(a, b)| (a - b).abs()).fold(difference, f32::max);
        let accuracy = held_out.accuracy(&zero_one.weight, |scores| i32::from(scores[0] > 0.0));
        println!(
            "fold {fold}: mean loss {:.4} to {:.4}, {:.2} % of {} held out",
            zero_one.losses[0],
            zero_one.losses[zero_one.losses.len() - 1],
            100.0 * accuracy,
            held_out.rows()
        );
        correct += accuracy * held_out.rows() as f64;
        if fold == 0 {
            let steps = (0..SCHEDULE.steps).step_by(SCHEDULE.read_every).map(|step| step as f64);
            curves.push(Line::new("labels 0, 1", steps.clone().zip(zero_one.losses)));
            curves.push(Line::new("labels -1, +1", steps.zip(plus_minus.losses)));
        }
    }
    let accuracy = correct / table.rows() as f64;
    println!("{:.2} % of {} rows, each held out once", 100.0 * accuracy, table.rows());
    println!("largest difference of a weight between the two kinds of labels: {difference:.1e}");
    println!("{:.2} s", clock.elapsed().as_secs_f64());
    assert!(accuracy > 0.97 && difference < 1e-5);

    let path = plot::path("target/plots", "breast_cancer_logistic_regression");
    let panel = Panel {
        title: "Logistic regression on breast tumours",
        x: ("step", 0.0..SCHEDULE.steps as f64),
        y: ("mean cross-entropy (nats)", 0.0..0.8),
        legend: SeriesLabelPosition::UpperRight,
        lines: curves,
    };
    plot::draw(&path, &[panel])?;
    println!("{}", path.display());
    Ok(())
}
