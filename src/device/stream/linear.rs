//! A linear layer's batch that comes in windows of rows.

use super::{Device, Part, Total};
use crate::cpu::LossSum;
use crate::device::{DeviceKind, Timings};
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::matrix::{Array, Matrix, Place, Values};
use crate::op::{
    LinearCrossEntropy, LinearCrossEntropyInput, LinearCrossEntropyOutput, Metrics, Reduction,
    Targets, Upstream,
};

impl Device {
    /// Evaluates [`LinearCrossEntropy`] on a batch that is not in memory as a whole: window by window of
    /// what the layer reads. The layer is, and so are the targets, which have to be known because a mean
    /// divides by what they come to; 16-bit weights are held as f32.
    ///
    /// What the layer's gradients are is added up window by window: unlike those of [`Device::stream`], their
    /// bits depend on where the batch is cut.
    ///
    /// ```
    /// use surprisal::{CrossEntropy, Device, LinearCrossEntropy, Matrix, Upstream};
    ///
    /// let weight = Matrix::new(&[2.0f32, 0.3, 1.0, 0.2, 0.1, 3.0], 3, 2)?;
    /// let op = LinearCrossEntropy::new(CrossEntropy::new()).with_gradient();
    /// let device = Device::cpu();
    /// let mut stream = device.stream_linear(&op, weight, None, &[0i64, 2])?;
    /// for row in [[1.0f32, 0.0], [0.0, 1.0]] {
    ///     let part = stream.push(Matrix::new(&row, 1, 2)?, Upstream::default())?;
    ///     assert_eq!(part.matrix.unwrap().len(), 2);
    /// }
    /// let total = stream.finish()?;
    /// assert!((total.total.loss.unwrap() - 0.268_745).abs() < 1e-6);
    /// assert_eq!(total.dweight.unwrap().len(), 6);
    /// # Ok::<(), surprisal::Error>(())
    /// ```
    ///
    /// # Errors
    /// What the operation says of its options, of the layer's shapes and of the targets.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn stream_linear<'a>(
        &'a self,
        op: &LinearCrossEntropy,
        weight: Matrix<'a>,
        bias: Option<Values<'a>>,
        targets: impl Into<Targets<'a>>,
    ) -> Result<LinearStream<'a>> {
        LinearStream::new(self, op, (weight, bias), targets.into())
    }
}

/// A linear layer's batch on its way through a device; see [`Device::stream_linear`].
#[derive(Debug)]
pub struct LinearStream<'a> {
    device: &'a Device,
    /// With losses one by one.
    op: LinearCrossEntropy,
    reduction: Reduction,
    weight: Matrix<'a>,
    bias: Option<Values<'a>>,
    /// Both as f32, where they are of 16 bits.
    wide_weight: Option<Vec<f32>>,
    wide_bias: Option<Vec<f32>>,
    targets: Targets<'a>,
    kept_rows: u64,
    total_weight: f64,
    divisor: f64,
    rows_done: usize,
    sum: LossSum,
    /// The reference's.
    exact_sum: f64,
    dweight: Option<Array>,
    dbias: Option<Array>,
    correct: u64,
    nll: f64,
    timings: Timings,
}

/// What all windows of a linear layer's batch come to.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LinearTotal {
    /// The loss, and what it is made of.
    pub total: Total,
    /// `[classes, hidden]`, if it was asked for.
    pub dweight: Option<Array>,
    /// `[classes]`, if it was asked for and there is a bias.
    pub dbias: Option<Array>,
}

impl<'a> LinearStream<'a> {
    fn new(
        device: &'a Device,
        op: &LinearCrossEntropy,
        (weight, bias): (Matrix<'a>, Option<Values<'a>>),
        targets: Targets<'a>,
    ) -> Result<Self> {
        let nothing = Matrix::new(&[] as &[f32], 0, weight.classes())?;
        let input = LinearCrossEntropyInput::new(nothing, weight, &[] as &[i64]).with_bias(bias);
        op.validate(&input)?;
        if targets.probs().is_some() {
            op.validate(&LinearCrossEntropyInput { targets, ..input })?;
        }
        op.loss().validate_targets(&targets, weight.rows())?;
        let (kept_rows, total_weight) = op.loss().totals(&targets);
        let is_reference = device.info().kind == DeviceKind::Reference;
        let wide = |values: Values<'_>| {
            let is_narrow = matches!(values.dtype(), Dtype::F16 | Dtype::Bf16);
            (is_narrow && !is_reference).then(|| values.to_f32())
        };
        Ok(Self {
            device,
            op: op.of_window(),
            reduction: op.loss().reduction(),
            weight,
            bias,
            wide_weight: wide(weight.values()),
            wide_bias: bias.and_then(wide),
            targets,
            kept_rows,
            total_weight,
            divisor: op.loss().normalizer().unwrap_or(total_weight),
            rows_done: 0,
            sum: LossSum::default(),
            exact_sum: 0.0,
            dweight: None,
            dbias: None,
            correct: 0,
            nll: 0.0,
            timings: Timings::default(),
        })
    }

    /// Evaluates the next rows: their gradient is the part's matrix. The upstream gradient is that of the
    /// batch's loss, or that of each of these rows' where losses are not reduced.
    ///
    /// # Errors
    /// As [`Device::run`]; [`Error::ShapeMismatch`] if there are more rows than targets.
    pub fn push(&mut self, hidden: Matrix<'_>, upstream: Upstream<'_>) -> Result<Part> {
        let (first, rows) = (self.rows_done, hidden.rows());
        if rows > self.targets.len() - first {
            return Err(Error::ShapeMismatch {
                what: "window",
                expected: format!("at most {} rows", self.targets.len() - first),
                found: format!("{rows}"),
            });
        }
        upstream.validate(self.reduction, rows, "row of hidden")?;
        let upstream = match upstream {
            Upstream::Scalar(_) if self.reduction == Reduction::Mean && self.divisor == 0.0 => {
                Upstream::Scalar(f64::NAN)
            }
            Upstream::Scalar(dloss) if self.reduction == Reduction::Mean => {
                Upstream::Scalar(dloss / self.divisor)
            }
            upstream => upstream,
        };
        let weight = match &self.wide_weight {
            Some(wide) => Matrix::new(wide, self.weight.rows(), self.weight.classes())?,
            None => self.weight,
        };
        let bias = self.wide_bias.as_ref().map(Values::from).or(self.bias);
        let place = Place { first: first * hidden.classes(), columns: hidden.classes() };
        let targets = match self.targets {
            Targets::I32(v) => Targets::I32(&v[first..first + rows]),
            Targets::I64(v) => Targets::I64(&v[first..first + rows]),
            probs @ Targets::Probs(_) => probs,
        };
        let input = LinearCrossEntropyInput::new(hidden.at(place), weight, targets)
            .with_bias(bias)
            .with_upstream(upstream);
        let (output, timings) = self.device.run_timed(&self.op, input)?;
        self.timings.add(&timings);
        self.rows_done += rows;
        Ok(self.take(output))
    }

    /// Takes a window into the sums.
    fn take(&mut self, output: LinearCrossEntropyOutput) -> Part {
        let each = output.loss.each().cloned();
        match &each {
            Some(Array::F32(losses)) => self.sum.push(losses),
            Some(losses) => self.exact_sum += losses.to_f64().iter().sum::<f64>(),
            None => {}
        }
        add(&mut self.dweight, output.dweight);
        add(&mut self.dbias, output.dbias);
        if let Some(metrics) = output.metrics {
            self.correct += metrics.correct;
            self.nll += metrics.nll;
        }
        let each = each.filter(|_| self.reduction == Reduction::None);
        Part { matrix: output.dhidden, each, lse: Some(output.lse) }
    }

    /// What all windows come to.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if rows are missing.
    pub fn finish(mut self) -> Result<LinearTotal> {
        if self.rows_done != self.targets.len() {
            return Err(Error::ShapeMismatch {
                what: "batch",
                expected: format!("{} rows", self.targets.len()),
                found: format!("{}", self.rows_done),
            });
        }
        if self.rows_done == 0 {
            // The gradients of nothing, in their shapes.
            let nothing = Matrix::new(&[] as &[f32], 0, self.weight.classes())?;
            self.push(nothing, Upstream::default())?;
        }
        let is_reference = self.device.info().kind == DeviceKind::Reference;
        let loss = match self.reduction {
            Reduction::None => None,
            Reduction::Mean if is_reference => Some(self.exact_sum / self.divisor),
            _ if is_reference => Some(self.exact_sum),
            reduction => Some(self.sum.reduced(reduction, self.divisor)),
        };
        let (kept_rows, total_weight) = (self.kept_rows, self.total_weight);
        let metrics = self.op.loss().has_metrics();
        let metrics = metrics.then(|| Metrics::new(Vec::new(), self.correct, self.nll, kept_rows));
        let rounded = |sum: Option<Array>, dtype| match sum {
            Some(Array::F32(sum)) => Some(Array::rounded(sum, dtype)),
            sum => sum,
        };
        Ok(LinearTotal {
            total: Total { loss, kept_rows, total_weight, metrics },
            dweight: rounded(self.dweight, self.weight.dtype()),
            dbias: self.bias.and_then(|bias| rounded(self.dbias, bias.dtype())),
        })
    }

    /// How long the device's stages took up to now.
    pub fn timings(&self) -> Timings {
        self.timings
    }
}

/// Adds a window's sum; the first one is where the others go.
fn add(sum: &mut Option<Array>, part: Option<Array>) {
    let Some(part) = part else { return };
    match (sum, part) {
        (Some(Array::F32(sum)), Array::F32(part)) => add_each(sum, &part),
        (Some(Array::F64(sum)), Array::F64(part)) => add_each(sum, &part),
        (sum, part) => *sum = Some(part),
    }
}

fn add_each<T: Copy + std::ops::AddAssign>(sum: &mut [T], part: &[T]) {
    for (sum, x) in sum.iter_mut().zip(part) {
        *sum += *x;
    }
}
