//! A linear layer that comes in blocks of classes.

use super::alike::Alike;
use super::sums::{RowSums, Rows};
use super::{Device, Part, Total};
use crate::cpu::ClassRows;
#[cfg(feature = "gpu")]
use crate::device::gpu::ClassBlocks;
use crate::device::{Inner, Timings};
use crate::error::{Error, Result};
use crate::matrix::{Array, Matrix, Values};
use crate::op::{
    BatchTargets, LinearCrossEntropy, LinearCrossEntropyInput, LinearCrossEntropyOutput,
    RowTargets, Upstream,
};
use crate::reference;

impl Device {
    /// Evaluates [`LinearCrossEntropy`] with a layer that is not in memory as a whole: for each window of
    /// rows, the layer comes in blocks of classes; once for the loss, and once more if there are gradients.
    /// The targets have to be known before, because a mean divides by what they come to.
    ///
    /// What a block's logits say of a row is combined by the function that combines parts of a row
    /// everywhere, so that results are within the same bounds as those of the whole layer; their bits may
    /// be others. The reference keeps the layer all the same.
    ///
    /// ```
    /// use surprisal::{CrossEntropy, Device, LinearCrossEntropy, Matrix, Upstream};
    ///
    /// let hidden = Matrix::new(&[1.0f32, 0.0, 0.0, 1.0], 2, 2)?;
    /// let blocks = [vec![2.0f32, 0.3, 1.0, 0.2], vec![0.1, 3.0]];
    /// let op = LinearCrossEntropy::new(CrossEntropy::new()).with_gradient();
    /// let device = Device::cpu();
    ///
    /// let mut stream = device.stream_classes(&op, 3, &[0i64, 2])?;
    /// let mut window = stream.window(hidden, Upstream::default())?;
    /// let mut dweight = Vec::new();
    /// for _ in 0..window.passes() {
    ///     for block in &blocks {
    ///         let part = window.push(Matrix::new(block, block.len() / 2, 2)?, None)?;
    ///         dweight.extend(part.dweight.map_or(Vec::new(), |array| array.to_f64()));
    ///     }
    /// }
    /// let dhidden = window.finish()?.matrix.unwrap();
    /// assert!((stream.finish()?.loss.unwrap() - 0.268_745).abs() < 1e-6);
    /// assert_eq!((dhidden.len(), dweight.len()), (4, 6));
    /// # Ok::<(), surprisal::Error>(())
    /// ```
    ///
    /// Targets are class indices; probabilities are for [`Device::stream_linear`].
    ///
    /// # Errors
    /// What the operation says of its options and of the targets.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn stream_classes<'a>(
        &'a self,
        op: &LinearCrossEntropy,
        classes: usize,
        targets: impl Into<BatchTargets<'a>>,
    ) -> Result<ClassStream<'a>> {
        if classes == 0 {
            let reason = "there are none".to_owned();
            return Err(Error::InvalidInput { what: "classes", reason });
        }
        op.validate_options(classes as u64)?;
        let targets = targets.into();
        if targets.targets.probs().is_some() {
            let reason = "are probabilities; with a layer in blocks of classes they are class indices: \
                          stream windows of rows with the whole layer instead";
            return Err(Error::InvalidInput { what: "targets", reason: reason.to_owned() });
        }
        let of_rows = op.rows_of(targets, classes)?;
        let sums = RowSums::new(op.loss(), &of_rows, matches!(self.inner, Inner::Reference));
        let (op, timings) = (op.clone(), Timings::default());
        Ok(ClassStream { device: &self.inner, op, classes, of_rows, sums, rows_done: 0, timings })
    }
}

/// A batch on its way through a linear layer that comes in blocks; see [`Device::stream_classes`].
#[derive(Debug)]
pub struct ClassStream<'a> {
    device: &'a Inner,
    op: LinearCrossEntropy,
    classes: usize,
    of_rows: RowTargets<'a>,
    sums: RowSums,
    rows_done: usize,
    timings: Timings,
}

/// Rows that wait for a linear layer's blocks; see [`Device::stream_classes`].
#[derive(Debug)]
pub struct ClassWindow<'s, 'a> {
    stream: &'s mut ClassStream<'a>,
    rows: usize,
    width: usize,
    /// Passes that are over, and classes of the next that are.
    passes_done: usize,
    classes_done: usize,
    alike: Alike,
    on: On<'a>,
}

/// Where it is computed.
#[derive(Debug)]
enum On<'a> {
    Cpu(Box<ClassRows>),
    #[cfg(feature = "gpu")]
    Gpu(Box<ClassBlocks<'a>>),
    Reference(Box<Whole<'a>>),
}

/// What a window of rows adds to the gradients of a block of the layer: nothing in the first pass.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct LayerPart {
    /// `[classes of the block, hidden]`, if it was asked for: f32 whatever the weights are, because those
    /// of all windows are to be added up; f64 from the reference.
    pub dweight: Option<Array>,
    /// `[classes of the block]`, if it was asked for and the block has a bias.
    pub dbias: Option<Array>,
}

impl<'a> ClassStream<'a> {
    /// Begins the next rows, for which the layer comes from its first block on.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if there are more rows than targets; what the operation says of the
    /// upstream gradient.
    pub fn window(
        &mut self,
        hidden: Matrix<'_>,
        upstream: Upstream<'_>,
    ) -> Result<ClassWindow<'_, 'a>> {
        let (first, rows, width) = (self.rows_done, hidden.rows(), hidden.columns());
        if rows > self.of_rows.len() - first {
            return Err(Error::ShapeMismatch {
                what: "window",
                expected: format!("at most {} rows", self.of_rows.len() - first),
                found: format!("{rows}"),
            });
        }
        upstream.validate(self.op.loss().reduction(), rows, "row of hidden")?;
        let upstream = self.sums.upstream(upstream);
        let (op, of_rows) = (self.op.of_window(), self.of_rows.window(first, rows));
        let classes = self.classes;
        let on = match self.device {
            Inner::Cpu(set) => {
                let rows = ClassRows::new(*set, op, classes, hidden, &of_rows, upstream);
                On::Cpu(Box::new(rows))
            }
            #[cfg(feature = "gpu")]
            Inner::Gpu(gpu) => {
                let rows = ClassBlocks::new(gpu, op, classes, hidden, &of_rows, upstream);
                On::Gpu(Box::new(rows))
            }
            Inner::Reference => On::Reference(Box::new(Whole::new(op, hidden, of_rows, upstream))),
        };
        Ok(ClassWindow {
            stream: self,
            rows,
            width,
            passes_done: 0,
            classes_done: 0,
            alike: Alike::blocks(),
            on,
        })
    }

    /// What all windows come to.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if rows are missing.
    pub fn finish(self) -> Result<Total> {
        if self.rows_done == self.of_rows.len() {
            return Ok(self.sums.total());
        }
        Err(Error::ShapeMismatch {
            what: "batch",
            expected: format!("{} rows", self.of_rows.len()),
            found: format!("{}", self.rows_done),
        })
    }

    /// How long the device's stages took up to now.
    pub fn timings(&self) -> Timings {
        self.timings
    }
}

impl ClassWindow<'_, '_> {
    /// How often the layer has to come: once, or twice if there are gradients.
    pub fn passes(&self) -> usize {
        1 + usize::from(self.stream.op.has_gradient())
    }

    /// The next block of the layer, `[classes of the block, hidden]`, and of its bias: those after the
    /// last block's classes, or the first ones.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if they are more classes than are missing, or others than the bias is
    /// for; [`Error::InvalidInput`] if the scratch does not hold the logits of a class, or if a block is
    /// of another dtype than the first, or comes after one that failed; what can happen to a GPU.
    pub fn push(&mut self, weight: Matrix<'_>, bias: Option<Values<'_>>) -> Result<LayerPart> {
        self.check(weight, bias)?;
        self.alike.check([Some(weight), None, None], Upstream::default(), false)?;
        let first = self.classes_done;
        let part = if self.passes_done == 0 {
            self.see(first, weight, bias).map(|()| LayerPart::default())
        } else {
            self.gradient(first, weight, bias)
        };
        let part = self.alike.note(part)?;
        self.classes_done += weight.rows();
        if self.classes_done == self.stream.classes {
            (self.passes_done, self.classes_done) = (self.passes_done + 1, 0);
        }
        Ok(part)
    }

    fn see(&mut self, first: usize, weight: Matrix<'_>, bias: Option<Values<'_>>) -> Result<()> {
        let timings = &mut self.stream.timings;
        match &mut self.on {
            On::Cpu(rows) => timings.compute(|| rows.see(first, weight, bias)),
            #[cfg(feature = "gpu")]
            On::Gpu(rows) => {
                pollster::block_on(rows.see(first, weight, bias))?;
                timings.add(&rows.take_timings());
                Ok(())
            }
            On::Reference(whole) => {
                whole.gather(weight, bias);
                Ok(())
            }
        }
    }

    fn gradient(
        &mut self,
        first: usize,
        weight: Matrix<'_>,
        bias: Option<Values<'_>>,
    ) -> Result<LayerPart> {
        let timings = &mut self.stream.timings;
        match &mut self.on {
            On::Cpu(rows) => {
                let of = timings.compute(|| rows.gradient(first, weight, bias))?;
                let (dweight, dbias) = (of.dweight.map(Array::F32), of.dbias.map(Array::F32));
                Ok(LayerPart { dweight, dbias })
            }
            #[cfg(feature = "gpu")]
            On::Gpu(rows) => {
                let [dweight, dbias] = pollster::block_on(rows.gradient(first, weight, bias))?;
                timings.add(&rows.take_timings());
                Ok(LayerPart { dweight, dbias })
            }
            On::Reference(whole) => timings.compute(|| whole.part(first, weight, bias)),
        }
    }

    fn check(&self, weight: Matrix<'_>, bias: Option<Values<'_>>) -> Result<()> {
        let is_over = self.passes_done == self.passes();
        let room = if is_over { 0 } else { self.stream.classes - self.classes_done };
        if weight.columns() != self.width || weight.rows() > room {
            return Err(Error::ShapeMismatch {
                what: "weight",
                expected: format!("at most [{room}, {}]", self.width),
                found: weight.shape(),
            });
        }
        match bias {
            Some(bias) if bias.len() != weight.rows() => Err(Error::ShapeMismatch {
                what: "bias",
                expected: format!("[{}], one for each class", weight.rows()),
                found: format!("[{}]", bias.len()),
            }),
            _ => Ok(()),
        }
    }

    /// What the rows come to; their gradient is the part's matrix.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if blocks are missing; [`Error::InvalidInput`] if one failed; what can
    /// happen to a GPU.
    pub fn finish(mut self) -> Result<Part> {
        self.alike.check_whole()?;
        if self.passes_done != self.passes() {
            let (passes, classes) = (self.passes(), self.stream.classes);
            return Err(Error::ShapeMismatch {
                what: "layer",
                expected: format!("{classes} classes, {passes} times"),
                found: format!("{} of them after {} times", self.classes_done, self.passes_done),
            });
        }
        let rows = match &mut self.on {
            On::Cpu(rows) => {
                let (losses, lse, metrics) = rows.results();
                let dhidden = rows.dhidden();
                Rows { losses: Array::F32(losses), lse: Array::F32(lse), dhidden, metrics }
            }
            #[cfg(feature = "gpu")]
            On::Gpu(rows) => {
                let of = pollster::block_on(rows.results())?;
                self.stream.timings.add(&rows.take_timings());
                let (losses, lse, dhidden) = (of.losses, of.lse, of.dhidden);
                Rows { losses, lse, dhidden, metrics: of.metrics }
            }
            On::Reference(whole) => Rows::of(whole.output()?.clone()),
        };
        self.stream.rows_done += self.rows;
        Ok(self.stream.sums.take(rows))
    }
}

/// The reference's rows, and the layer as far as it came.
#[derive(Debug)]
struct Whole<'a> {
    /// With losses one by one.
    op: LinearCrossEntropy,
    hidden: Vec<f64>,
    of_rows: RowTargets<'a>,
    upstream: f64,
    dloss: Option<Vec<f64>>,
    width: usize,
    weight: Vec<f64>,
    bias: Vec<f64>,
    output: Option<LinearCrossEntropyOutput>,
}

impl<'a> Whole<'a> {
    fn new(
        op: LinearCrossEntropy,
        hidden: Matrix<'_>,
        of_rows: RowTargets<'a>,
        upstream: Upstream<'_>,
    ) -> Self {
        let (upstream, dloss) = match upstream {
            Upstream::Scalar(dloss) => (dloss, None),
            Upstream::Each(dloss) => (1.0, Some(dloss.to_f64())),
        };
        Self {
            op,
            hidden: hidden.values().to_f64(),
            of_rows,
            upstream,
            dloss,
            width: hidden.columns(),
            weight: Vec::new(),
            bias: Vec::new(),
            output: None,
        }
    }

    fn gather(&mut self, weight: Matrix<'_>, bias: Option<Values<'_>>) {
        self.weight.extend(weight.values().to_f64());
        self.bias.extend(bias.map_or(vec![0.0; weight.rows()], |bias| bias.to_f64()));
    }

    fn output(&mut self) -> Result<&LinearCrossEntropyOutput> {
        let output = if let Some(output) = self.output.take() {
            output
        } else {
            let RowTargets { targets, mask, .. } = self.of_rows;
            let hidden = Matrix::new(&self.hidden, targets.len(), self.width)?;
            let weight = Matrix::new(&self.weight, self.bias.len(), self.width)?;
            let mut input = LinearCrossEntropyInput::new(hidden, weight, targets)
                .with_bias(Values::from(&self.bias))
                .with_upstream(match &self.dloss {
                    Some(dloss) => Upstream::Each(dloss.into()),
                    None => Upstream::Scalar(self.upstream),
                });
            input.mask = mask;
            reference::linear_cross_entropy(&self.op, &input)?
        };
        Ok(self.output.insert(output))
    }

    /// Some classes of the gradients.
    fn part(
        &mut self,
        first: usize,
        weight: Matrix<'_>,
        bias: Option<Values<'_>>,
    ) -> Result<LayerPart> {
        let (rows, width) = (weight.rows(), self.width);
        let output = self.output()?;
        let some = |array: &Option<Array>, width: usize| {
            let part = |array: &Array| array.to_f64()[first * width..][..rows * width].to_vec();
            array.as_ref().map(|array| Array::F64(part(array)))
        };
        let dbias = bias.and_then(|_| some(&output.dbias, 1));
        Ok(LayerPart { dweight: some(&output.dweight, width), dbias })
    }
}
