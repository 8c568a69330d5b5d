//! A linear layer's batch that comes in windows of rows.

use super::alike::Alike;
use super::sums::{RowSums, Rows, no_rows};
use super::{Device, Part, Total};
#[cfg(feature = "gpu")]
use crate::device::gpu::LinearBatch;
use crate::device::{Inner, Timings};
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::matrix::{Array, Matrix, Place, Values};
use crate::op::{BatchTargets, LinearCrossEntropy, LinearCrossEntropyInput, RowTargets, Upstream};
#[cfg(feature = "gpu")]
use crate::op::{Metrics, Reduction};
use crate::{cpu, reference};

impl Device {
    /// Evaluates [`LinearCrossEntropy`] on a batch that is not in memory as a whole: window by window of
    /// what the layer reads. The layer is, and so are class indices, which have to be known because a mean
    /// divides by what they come to; probability targets are, or come with the windows
    /// ([`BatchTargets::probs_in_windows`]). Windows have one dtype, and one upstream gradient if it is a
    /// number.
    ///
    /// On a GPU the layer and its gradients stay on the device from the first window to the last, and the
    /// results have the bits of the whole batch. On the CPU, where 16-bit weights are held as f32, the
    /// layer's gradients are added up window by window: their bits depend on where the batch is cut.
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
        targets: impl Into<BatchTargets<'a>>,
    ) -> Result<LinearStream<'a>> {
        LinearStream::new(self, op, (weight, bias), targets.into())
    }
}

/// A linear layer's batch on its way through a device; see [`Device::stream_linear`].
#[derive(Debug)]
pub struct LinearStream<'a> {
    op: LinearCrossEntropy,
    weight: Matrix<'a>,
    bias: Option<Values<'a>>,
    of_rows: RowTargets<'a>,
    rows_done: usize,
    alike: Alike,
    on: On<'a>,
}

/// Where it is computed.
#[derive(Debug)]
enum On<'a> {
    Host(Box<Host<'a>>),
    #[cfg(feature = "gpu")]
    Gpu(Box<LinearBatch<'a>>),
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
        targets: BatchTargets<'a>,
    ) -> Result<Self> {
        let nothing = no_rows(weight.columns())?;
        let input = LinearCrossEntropyInput::new(nothing, weight, &[] as &[i64]).with_bias(bias);
        op.validate(&input)?;
        let of_rows = op.rows_of(targets, weight.rows())?;
        let on = match &device.inner {
            #[cfg(feature = "gpu")]
            Inner::Gpu(gpu) => {
                On::Gpu(Box::new(LinearBatch::new(gpu, op, (weight, bias), of_rows)))
            }
            inner => On::Host(Box::new(Host::new(inner, op, (weight, bias), &of_rows))),
        };
        let (op, alike) = (op.clone(), Alike::windows());
        Ok(Self { op, weight, bias, of_rows, rows_done: 0, alike, on })
    }

    /// Evaluates the next rows: their gradient is the part's matrix. The upstream gradient is that of the
    /// batch's loss, or that of each of these rows' where losses are not reduced.
    ///
    /// # Errors
    /// As [`Device::run`]; [`Error::ShapeMismatch`] if there are more rows than targets;
    /// [`Error::InvalidInput`] if a window is not like the first, comes after one that failed, or should
    /// have brought its probabilities.
    pub fn push(&mut self, hidden: Matrix<'_>, upstream: Upstream<'_>) -> Result<Part> {
        if self.of_rows.targets.are_in_windows() {
            let reason = "come with the windows; this one has none".to_owned();
            return Err(Error::InvalidInput { what: "targets", reason });
        }
        self.push_rows(hidden, None, upstream)
    }

    /// [`Self::push`] for a batch of [`BatchTargets::probs_in_windows`], with these rows' probabilities
    /// `[rows, classes]`.
    ///
    /// # Errors
    /// As there; [`Error::InvalidInput`] if the targets were given with the batch.
    pub fn push_with_probs(
        &mut self,
        hidden: Matrix<'_>,
        probs: Matrix<'_>,
        upstream: Upstream<'_>,
    ) -> Result<Part> {
        if !self.of_rows.targets.are_in_windows() {
            let reason = "were given with the batch; a window has none of its own".to_owned();
            return Err(Error::InvalidInput { what: "targets", reason });
        }
        self.push_rows(hidden, Some(probs), upstream)
    }

    fn push_rows(
        &mut self,
        hidden: Matrix<'_>,
        probs: Option<Matrix<'_>>,
        upstream: Upstream<'_>,
    ) -> Result<Part> {
        let (first, rows) = (self.rows_done, hidden.rows());
        if rows > self.of_rows.len() - first {
            return Err(Error::ShapeMismatch {
                what: "window",
                expected: format!("at most {} rows", self.of_rows.len() - first),
                found: format!("{rows}"),
            });
        }
        let placed = |matrix: Matrix<'_>| Place {
            first: first * matrix.columns(),
            columns: matrix.columns(),
        };
        let RowTargets { targets, mask, .. } = self.of_rows.window(first, rows);
        let targets = probs.map_or(targets, |probs| probs.at(placed(probs)).into());
        let hidden = hidden.at(placed(hidden));
        let mut input = LinearCrossEntropyInput::new(hidden, self.weight, targets)
            .with_bias(self.bias)
            .with_upstream(upstream);
        input.mask = mask;
        self.op.validate(&input)?;
        self.alike.check([Some(hidden), probs, None], upstream, mask.is_some())?;
        let part = self.window(input);
        let part = self.alike.note(part)?;
        self.rows_done += rows;
        Ok(part)
    }

    fn window(&mut self, input: LinearCrossEntropyInput<'_>) -> Result<Part> {
        match &mut self.on {
            On::Host(host) => host.window(input),
            #[cfg(feature = "gpu")]
            On::Gpu(batch) => {
                let rows = pollster::block_on(batch.window(&input))?;
                let is_each = self.op.loss().reduction() == Reduction::None;
                let each = is_each.then_some(rows.losses);
                Ok(Part { matrix: rows.dhidden, each, lse: Some(rows.lse) })
            }
        }
    }

    /// What all windows come to.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if rows are missing; [`Error::InvalidInput`] if a window failed; what can
    /// happen to a GPU.
    pub fn finish(self) -> Result<LinearTotal> {
        self.alike.check_whole()?;
        if self.rows_done != self.of_rows.len() {
            return Err(Error::ShapeMismatch {
                what: "batch",
                expected: format!("{} rows", self.of_rows.len()),
                found: format!("{}", self.rows_done),
            });
        }
        match self.on {
            On::Host(host) => host.finish(),
            #[cfg(feature = "gpu")]
            On::Gpu(batch) => {
                let (output, _) = pollster::block_on(batch.finish())?;
                let is_each = self.op.loss().reduction() == Reduction::None;
                let metrics = output.metrics.map(Metrics::without_columns);
                let total = Total {
                    loss: output.loss.reduced().filter(|_| !is_each),
                    kept_rows: output.kept_rows,
                    total_weight: output.total_weight,
                    metrics,
                };
                Ok(LinearTotal { total, dweight: output.dweight, dbias: output.dbias })
            }
        }
    }

    /// How long the device's stages took up to now.
    pub fn timings(&self) -> Timings {
        match &self.on {
            On::Host(host) => host.timings,
            #[cfg(feature = "gpu")]
            On::Gpu(batch) => batch.timings(),
        }
    }
}

/// Windows in host memory, each computed by itself.
#[derive(Debug)]
struct Host<'a> {
    device: &'a Inner,
    /// With losses one by one.
    op: LinearCrossEntropy,
    weight: Matrix<'a>,
    bias: Option<Values<'a>>,
    /// Both as f32, where they are of 16 bits.
    wide_weight: Option<Vec<f32>>,
    wide_bias: Option<Vec<f32>>,
    sums: RowSums,
    dweight: Option<Array>,
    dbias: Option<Array>,
    has_rows: bool,
    timings: Timings,
}

impl<'a> Host<'a> {
    fn new(
        device: &'a Inner,
        op: &LinearCrossEntropy,
        (weight, bias): (Matrix<'a>, Option<Values<'a>>),
        of_rows: &RowTargets<'_>,
    ) -> Self {
        let is_exact = matches!(device, Inner::Reference);
        let wide = |values: Values<'_>| {
            let is_narrow = matches!(values.dtype(), Dtype::F16 | Dtype::Bf16);
            (is_narrow && !is_exact).then(|| values.to_f32())
        };
        Self {
            device,
            op: op.of_window(),
            weight,
            bias,
            wide_weight: wide(weight.values()),
            wide_bias: bias.and_then(wide),
            sums: RowSums::new(op.loss(), of_rows, is_exact),
            dweight: None,
            dbias: None,
            has_rows: false,
            timings: Timings::default(),
        }
    }

    fn window(&mut self, input: LinearCrossEntropyInput<'_>) -> Result<Part> {
        let weight = match &self.wide_weight {
            Some(wide) => Matrix::new(wide, self.weight.rows(), self.weight.columns())?,
            None => self.weight,
        };
        let bias = self.wide_bias.as_ref().map(Values::from).or(self.bias);
        let upstream = self.sums.upstream(input.upstream);
        let input = LinearCrossEntropyInput { weight, bias, upstream, ..input };
        let mut output = self.timings.compute(|| {
            // A GPU has a stream of its own.
            if let Inner::Cpu(set) = self.device {
                cpu::linear_cross_entropy(*set, &self.op, &input)
            } else {
                reference::linear_cross_entropy(&self.op, &input)
            }
        })?;
        add(&mut self.dweight, output.dweight.take());
        add(&mut self.dbias, output.dbias.take());
        self.has_rows = true;
        Ok(self.sums.take(Rows::of(output)))
    }

    fn finish(mut self) -> Result<LinearTotal> {
        if !self.has_rows {
            // The gradients of nothing, in their shapes.
            let nothing = no_rows(self.weight.columns())?;
            self.window(LinearCrossEntropyInput::new(nothing, self.weight, &[] as &[i64]))?;
        }
        let rounded = |sum: Option<Array>, dtype| match sum {
            Some(Array::F32(sum)) => Some(Array::rounded(sum, dtype)),
            sum => sum,
        };
        Ok(LinearTotal {
            total: self.sums.total(),
            dweight: rounded(self.dweight, self.weight.dtype()),
            dbias: self.bias.and_then(|bias| rounded(self.dbias, bias.dtype())),
        })
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
