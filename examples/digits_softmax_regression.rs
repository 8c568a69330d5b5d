//! Softmax regression on handwritten digits: the same training on the GPU and on the CPU.
//!
//!     cargo run --release --example digits_softmax_regression [-- --device cpu|gpu]
//!
//! On the GPU a step is one submission. The curves go to `target/plots/digits_softmax_regression.svg`.

#![expect(clippy::print_stdout, reason = "it is what the example does")]

mod training;

use plotters::prelude::SeriesLabelPosition;

use training::data::{Table, argmax};
use training::loss::Loss;
use training::plot::{self, Line, Panel};
use training::{Place, Result, Schedule};

const CLASSES: usize = 10;
const SCHEDULE: Schedule = Schedule { steps: 1500, rate: 0.5, read_every: 20 };

fn main() -> Result<()> {
    let (train, held_out) = Table::digits()?.split(0);
    let start = vec![0.0; (train.columns + 1) * CLASSES];
    let loss = Loss::CrossEntropy(&train.labels);

    let place = Place::from_args()?;
    let mut places = vec![place];
    if matches!(places[0], Place::Gpu(_)) {
        places.push(Place::cpu());
    }
    let mut curves: Vec<Line> = Vec::new();
    for place in &places {
        let name = place.info().to_string();
        println!("{name}");
        let clock = std::time::Instant::now();
        let trained = place.train(&train, &start, &loss, SCHEDULE)?;
        let steps = (0..SCHEDULE.steps).step_by(SCHEDULE.read_every);
        let points: Vec<_> = steps.map(|step| step as f64).zip(trained.losses).collect();
        for (step, loss) in points.iter().step_by(5) {
            println!("  step {step:3}: mean loss {loss:.6}");
        }
        let accuracy = held_out.accuracy(&trained.weight, argmax);
        println!("  {:.2} % of {} held out", 100.0 * accuracy, held_out.rows());
        println!("  {:.2} s", clock.elapsed().as_secs_f64());
        assert!(accuracy > 0.95);
        curves.push(Line::new(name, points));
    }
    if let [gpu, cpu] = &curves[..] {
        let pairs = gpu.points.iter().zip(&cpu.points);
        let difference = pairs.map(|((_, a), (_, b))| (a - b).abs() / b).fold(0.0, f64::max);
        println!("largest relative difference of the two curves: {difference:.1e}");
        // Rounding alone, carried through all steps: a few dozen ulp of f32.
        assert!(difference < 1e-5);
    }
    let path = plot::path("target/plots", "digits_softmax_regression");
    let panel = Panel {
        title: "Softmax regression on digits",
        x: ("step", 0.0..SCHEDULE.steps as f64),
        y: ("mean cross-entropy (nats)", 0.0..2.5),
        legend: SeriesLabelPosition::UpperRight,
        lines: curves,
    };
    plot::draw(&path, &[panel])?;
    println!("{}", path.display());
    Ok(())
}
