//! The pictures of `docs/LOSSES.md`: each loss and its gradient, computed by this crate's reference.
//!
//!     cargo run --release --example loss_pictures
//!
//! They go to `docs/pictures`.

#![expect(clippy::print_stdout, reason = "it is what the example does")]

#[path = "training/plot.rs"]
#[allow(dead_code, unreachable_pub, reason = "it is shared with the examples that train")]
mod plot;

use std::error::Error;
use std::ops::Range;

use plotters::prelude::SeriesLabelPosition as Place;
use surprisal::{
    Array, BinaryCrossEntropy, BinaryLabels, CrossEntropy, CrossEntropyInput, CrossEntropyOutput,
    Device, DivergenceInput, DivergenceOutput, Elementwise, ElementwiseInput, ElementwiseLoss,
    ElementwiseOutput, Entropy, EntropyBackward, EntropyBackwardInput, Focal, InputForm,
    JsDivergence, KlDivergence, Matrix, Op, Reduction, Surprisal, Unit,
};

use plot::{Line, Panel};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A loss along an axis, and its gradient.
struct Curve {
    name: &'static str,
    loss: Vec<f64>,
    gradient: Vec<f64>,
}

/// A picture with two panels over one axis.
struct Picture {
    name: &'static str,
    x: &'static str,
    axis: Vec<f64>,
    loss: &'static str,
    gradient: &'static str,
    loss_range: Range<f64>,
    gradient_range: Range<f64>,
    legends: [Place; 2],
    curves: Vec<Curve>,
}

fn main() -> Result<()> {
    let pictures = [
        cross_entropy()?,
        z_loss()?,
        probabilities()?,
        binary()?,
        focal()?,
        divergences()?,
        entropy()?,
        regression()?,
        margins()?,
    ];
    for picture in pictures {
        let path = plot::path("docs/pictures", picture.name);
        picture.draw(&path)?;
        println!("{}", path.display());
    }
    Ok(())
}

impl Picture {
    fn draw(self, path: &std::path::Path) -> Result<()> {
        let along = |values: &[f64]| self.axis.iter().copied().zip(values.to_vec());
        let losses = self.curves.iter().map(|c| Line::new(c.name, along(&c.loss))).collect();
        let gradients = self.curves.iter().map(|c| Line::new(c.name, along(&c.gradient))).collect();
        // Every axis runs between whole numbers, or as near to them as a loss is finite.
        let ends = self.axis[0].round()..self.axis[self.axis.len() - 1].round();
        let panel =
            |title, y, legend, lines| Panel { title, x: (self.x, ends.clone()), y, legend, lines };
        let [of_loss, of_gradient] = self.legends;
        plot::draw(
            path,
            &[
                panel("Loss", (self.loss, self.loss_range), of_loss, losses),
                panel("Gradient", (self.gradient, self.gradient_range), of_gradient, gradients),
            ],
        )
    }
}

fn axis(range: Range<f64>) -> Vec<f64> {
    let step = (range.end - range.start) / 120.0;
    (0..=120).map(|i| f64::from(i).mul_add(step, range.start)).collect()
}

/// Two scores, of which the second is 0.
fn scores(axis: &[f64]) -> Vec<f64> {
    axis.iter().flat_map(|&x| [x, 0.0]).collect()
}

/// The score that gives the first of two classes a probability.
fn logit(p: f64) -> f64 {
    (p / (1.0 - p)).ln()
}

/// The first class is the right one; the gradient is that of its column.
fn classified<O>(name: &'static str, op: &O, rows: &[f64]) -> Result<Curve>
where
    O: for<'a> Op<Input<'a> = CrossEntropyInput<'a>, Output = CrossEntropyOutput>,
{
    let count = rows.len() / 2;
    let targets = vec![0i64; count];
    let input = CrossEntropyInput::new(Matrix::new(rows, count, 2)?, &targets);
    let output = Device::reference().run(op, input)?;
    curve(name, output.loss.each(), output.dlogits.as_ref())
}

fn of_elements<O>(name: &'static str, op: &O, inputs: &[f64], target: f64) -> Result<Curve>
where
    O: for<'a> Op<Input<'a> = ElementwiseInput<'a>, Output = ElementwiseOutput>,
{
    let column = |values| Matrix::new(values, inputs.len(), 1);
    let targets = vec![target; inputs.len()];
    let input = ElementwiseInput::new(column(inputs)?, column(&targets)?);
    let output = Device::reference().run(op, input)?;
    curve(name, output.loss.each(), output.dinput.as_ref())
}

fn between<O>(name: &'static str, op: &O, teacher: &[f64], student: &[f64]) -> Result<Curve>
where
    O: for<'a> Op<Input<'a> = DivergenceInput<'a>, Output = DivergenceOutput>,
{
    let count = student.len() / 2;
    let teacher = teacher.repeat(count);
    let matrix = |values| Matrix::new(values, count, 2);
    let input = DivergenceInput::new(matrix(&teacher[..])?, matrix(student)?);
    let output = Device::reference().run(op, input)?;
    curve(name, output.loss.each(), output.dstudent.as_ref())
}

/// Of a gradient with several columns, the first.
fn curve(name: &'static str, losses: Option<&Array>, gradient: Option<&Array>) -> Result<Curve> {
    let loss = losses.ok_or("not reduced")?.to_f64();
    let gradient = gradient.ok_or("asked for")?.to_f64();
    let columns = gradient.len() / loss.len();
    Ok(Curve { name, gradient: gradient.into_iter().step_by(columns).collect(), loss })
}

fn cross_entropy() -> Result<Picture> {
    let axis = axis(-6.0..6.0);
    let rows = scores(&axis);
    let op = || CrossEntropy::new().with_reduction(Reduction::None).with_gradient();
    Ok(Picture {
        name: "cross_entropy",
        x: "right score - wrong score",
        loss: "loss (nats)",
        gradient: "gradient of the right score",
        loss_range: 0.0..6.0,
        gradient_range: -1.1..0.5,
        legends: [Place::UpperRight, Place::UpperLeft],
        curves: vec![
            classified("plain", &op(), &rows)?,
            classified("label smoothing 0.2", &op().with_label_smoothing(0.2), &rows)?,
            classified("temperature 2", &op().with_logit_scale(0.5), &rows)?,
            classified("softcap 3", &op().with_softcap(3.0), &rows)?,
        ],
        axis,
    })
}

fn z_loss() -> Result<Picture> {
    let axis = axis(-6.0..6.0);
    let rows: Vec<f64> = axis.iter().flat_map(|&offset| [offset + 1.0, offset]).collect();
    let op = || CrossEntropy::new().with_reduction(Reduction::None).with_gradient();
    Ok(Picture {
        name: "z_loss",
        x: "added to both scores",
        loss: "loss (nats)",
        gradient: "gradient of the right score",
        loss_range: 0.0..2.0,
        gradient_range: -0.8..0.4,
        legends: [Place::UpperMiddle, Place::UpperLeft],
        curves: vec![
            classified("plain", &op(), &rows)?,
            classified("z-loss 0.01", &op().with_z_loss(0.01), &rows)?,
            classified("z-loss 0.03", &op().with_z_loss(0.03), &rows)?,
        ],
        axis,
    })
}

fn probabilities() -> Result<Picture> {
    let axis: Vec<f64> = axis(0.0..1.0).into_iter().map(|p| p.max(0.002)).collect();
    let rows: Vec<f64> = axis.iter().flat_map(|&p| [p, 1.0 - p]).collect();
    let op = || {
        CrossEntropy::new()
            .with_form(InputForm::Probs)
            .with_reduction(Reduction::None)
            .with_gradient()
    };
    Ok(Picture {
        name: "probabilities",
        x: "probability of the right class",
        loss: "loss (nats)",
        gradient: "gradient of that probability",
        loss_range: 0.0..6.0,
        gradient_range: -30.0..2.0,
        legends: [Place::UpperRight, Place::LowerRight],
        curves: vec![
            classified("as it is", &op(), &rows)?,
            classified("clamped at 0.05", &op().with_clamp(0.05), &rows)?,
        ],
        axis,
    })
}

fn binary() -> Result<Picture> {
    let axis = axis(-4.0..4.0);
    let op = || BinaryCrossEntropy::new().with_reduction(Reduction::None).with_gradient();
    Ok(Picture {
        name: "binary",
        x: "logit",
        loss: "loss (nats)",
        gradient: "gradient of the logit",
        loss_range: 0.0..9.0,
        gradient_range: -2.2..1.6,
        legends: [Place::UpperRight, Place::LowerRight],
        curves: vec![
            of_elements("label 1", &op(), &axis, 1.0)?,
            of_elements("label 0", &op(), &axis, 0.0)?,
            of_elements("label 0.7", &op(), &axis, 0.7)?,
            of_elements("label 1, pos_weight 2", &op().with_pos_weight([2.0]), &axis, 1.0)?,
        ],
        axis,
    })
}

fn focal() -> Result<Picture> {
    let axis = axis(0.002..0.998);
    let rows = scores(&axis.iter().map(|&p| logit(p)).collect::<Vec<_>>());
    let of_gamma = |name, gamma| {
        let op = Focal::new().with_gamma(gamma).with_reduction(Reduction::None).with_gradient();
        classified(name, &op, &rows)
    };
    Ok(Picture {
        name: "focal",
        x: "probability of the right class",
        loss: "loss (nats)",
        gradient: "gradient of the right score",
        loss_range: 0.0..4.0,
        gradient_range: -1.4..0.1,
        legends: [Place::UpperRight, Place::LowerRight],
        curves: vec![
            of_gamma("gamma 0: cross-entropy", 0.0)?,
            of_gamma("gamma 1", 1.0)?,
            of_gamma("gamma 2", 2.0)?,
            of_gamma("gamma 5", 5.0)?,
        ],
        axis,
    })
}

fn divergences() -> Result<Picture> {
    let axis = axis(-6.0..6.0);
    let (teacher, student) = ([logit(0.8), 0.0], scores(&axis));
    let kl = KlDivergence::new().with_reduction(Reduction::None).with_gradient();
    let js = JsDivergence::new().with_reduction(Reduction::None).with_gradient();
    Ok(Picture {
        name: "divergences",
        x: "student's first score - second",
        loss: "loss (nats)",
        gradient: "gradient of the student's first score",
        loss_range: 0.0..4.5,
        gradient_range: -1.0..0.6,
        legends: [Place::UpperRight, Place::LowerRight],
        curves: vec![
            between("KL(teacher || student)", &kl, &teacher, &student)?,
            between("reverse KL", &kl.with_reverse(), &teacher, &student)?,
            between("JS", &js, &teacher, &student)?,
        ],
        axis,
    })
}

fn entropy() -> Result<Picture> {
    let axis = axis(0.002..0.998);
    let rows = scores(&axis.iter().map(|&p| logit(p)).collect::<Vec<_>>());
    let (device, unit) = (Device::reference(), Unit::Bits);
    let logits = Matrix::new(&rows, axis.len(), 2)?;
    let ones = vec![1.0f64; axis.len()];
    let input = EntropyBackwardInput::new(logits, &ones);
    let loss = device.run(&Entropy::new().with_unit(unit), logits)?;
    let gradient = device.run(&EntropyBackward::new().with_unit(unit), input)?;
    let surprisals = device.run(&Surprisal::new().with_unit(unit), logits)?;

    let op = CrossEntropy::new().with_unit(unit).with_reduction(Reduction::None).with_gradient();
    let mut surprisal = classified("surprisal of the first class", &op, &rows)?;
    surprisal.loss = surprisals.to_f64().into_iter().step_by(2).collect();
    Ok(Picture {
        name: "entropy",
        x: "probability of the first of two classes",
        loss: "bits",
        gradient: "gradient of the first score (bits)",
        loss_range: 0.0..4.0,
        gradient_range: -1.6..0.6,
        legends: [Place::UpperRight, Place::LowerRight],
        curves: vec![curve("entropy", Some(&loss), Some(&gradient))?, surprisal],
        axis,
    })
}

fn regression() -> Result<Picture> {
    let axis = axis(-3.0..3.0);
    let of = |name, loss| {
        let op = Elementwise::new(loss).with_reduction(Reduction::None).with_gradient();
        of_elements(name, &op, &axis, 0.0)
    };
    Ok(Picture {
        name: "regression",
        x: "prediction - target",
        loss: "loss",
        gradient: "gradient of the prediction",
        loss_range: 0.0..5.0,
        gradient_range: -4.0..4.0,
        legends: [Place::UpperMiddle, Place::UpperLeft],
        curves: vec![
            of("squared", ElementwiseLoss::Squared)?,
            of("absolute", ElementwiseLoss::Absolute)?,
            of("Huber, delta 1", ElementwiseLoss::Huber { delta: 1.0 })?,
        ],
        axis,
    })
}

fn margins() -> Result<Picture> {
    let axis = axis(-3.0..3.0);
    let logistic = BinaryCrossEntropy::new()
        .with_labels(BinaryLabels::PlusMinus)
        .with_reduction(Reduction::None)
        .with_gradient();
    let of = |loss| Elementwise::new(loss).with_reduction(Reduction::None).with_gradient();
    Ok(Picture {
        name: "margins",
        x: "score of a row with label +1",
        loss: "loss",
        gradient: "gradient of the score",
        loss_range: 0.0..5.0,
        gradient_range: -4.0..4.0,
        legends: [Place::UpperRight, Place::UpperLeft],
        curves: vec![
            of_elements("binary cross-entropy", &logistic, &axis, 1.0)?,
            of_elements("hinge", &of(ElementwiseLoss::Hinge), &axis, 1.0)?,
            of_elements("squared", &of(ElementwiseLoss::Squared), &axis, 1.0)?,
        ],
        axis,
    })
}
