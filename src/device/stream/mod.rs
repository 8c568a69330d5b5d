//! Batches that are computed window by window.

use std::marker::PhantomData;

mod alike;
mod batch;
#[cfg(feature = "gpu")]
mod buffers;
mod classes;
mod counts;
#[cfg(feature = "gpu")]
mod gpu;
mod host;
mod linear;
#[cfg(not(target_arch = "wasm32"))]
mod ring;
mod sums;

pub use batch::{Batch, StreamBytes};
pub use classes::{ClassStream, ClassWindow, LayerPart};
#[cfg(feature = "gpu")]
pub(super) use gpu::execute;
pub use linear::{LinearStream, LinearTotal};
#[cfg(not(target_arch = "wasm32"))]
pub use ring::{StageTimes, Stages, overlap};

use self::alike::Alike;
use self::counts::Counts;
use self::host::Host;
use super::{Device, Inner, Timings};
use crate::error::{Error, Result};
use crate::matrix::{Array, Place};
use crate::op::mask::validate_mask;
use crate::op::{Data, Metrics, Op, Operation, counts, kept};
use crate::{cpu, reference};

/// What a window comes to.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Part {
    /// The gradient, if it was asked for, or a transform's matrix.
    pub matrix: Option<Array>,
    /// The losses of its rows or elements where they are not reduced, or what a transform makes of
    /// each row.
    pub each: Option<Array>,
    /// The log-sum-exp of its rows, for losses that have it.
    pub lse: Option<Array>,
}

/// What all windows come to.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Total {
    /// The loss, if there is one and it is reduced.
    pub loss: Option<f64>,
    /// Rows that were not ignored.
    pub kept_rows: u64,
    /// What a mean divides by, unless it is told.
    pub total_weight: f64,
    /// Accuracy and perplexity, if they were asked for. Without the rows' best columns.
    pub metrics: Option<Metrics>,
}

impl Device {
    /// Evaluates an operation on a batch that is not in memory as a whole: window by window, with the
    /// bits that the whole would give, wherever it is cut.
    ///
    /// A device holds what belongs to the rows of one window (and on a GPU, with class indices, 9 bytes
    /// for each row of the batch).
    ///
    /// ```
    /// use surprisal::stream::Batch;
    /// use surprisal::{CrossEntropy, CrossEntropyInput, Device, Matrix};
    ///
    /// let logits = [2.0f32, 1.0, 0.1, 0.3, 0.2, 3.0];
    /// let targets = [0i64, 2];
    /// let (device, op) = (Device::cpu(), CrossEntropy::new().with_gradient());
    ///
    /// let batch = Batch::new(2, 3, 1).with_targets(&targets);
    /// let mut stream = device.stream(&op, batch)?;
    /// let mut gradient = Vec::new();
    /// for (row, target) in logits.chunks(3).zip(targets.chunks(1)) {
    ///     let part = stream.push(CrossEntropyInput::new(Matrix::new(row, 1, 3)?, target))?;
    ///     gradient.extend(part.matrix.unwrap().to_f64());
    /// }
    /// let total = stream.finish()?;
    ///
    /// let whole = device.run(&op, CrossEntropyInput::new(Matrix::new(&logits, 2, 3)?, &targets))?;
    /// assert_eq!(total.loss, whole.loss.reduced());
    /// assert_eq!(gradient, whole.dlogits.unwrap().to_f64());
    /// # Ok::<(), surprisal::Error>(())
    /// ```
    ///
    /// # Errors
    /// What the operation says of its options and of the targets.
    pub fn stream<'a, O: Op>(&'a self, op: &'a O, batch: Batch<'a>) -> Result<Streaming<'a, O>> {
        validate_mask(batch.mask, batch.rows, "row")?;
        let operation = op.operation()?;
        counts::check(&operation.0, &batch)?;
        let counts = Counts::of(&operation.0, &batch);
        let stream = Streaming {
            device: self,
            operation,
            batch,
            counts,
            rows_done: 0,
            kept_elements: 0,
            alike: Alike::windows(),
            host: Host::new(matches!(self.inner, Inner::Reference)),
            #[cfg(feature = "gpu")]
            gpu: None,
            timings: Timings::default(),
            of: PhantomData,
        };
        Ok(stream)
    }
}

/// A batch on its way through a device; see [`Device::stream`].
#[derive(Debug)]
pub struct Streaming<'a, O> {
    device: &'a Device,
    operation: Operation<'a>,
    batch: Batch<'a>,
    counts: Counts,
    rows_done: usize,
    /// Of an elementwise loss, how many of the elements before count.
    kept_elements: usize,
    alike: Alike,
    host: Host,
    #[cfg(feature = "gpu")]
    gpu: Option<gpu::GpuStream<'a>>,
    timings: Timings,
    of: PhantomData<fn(O)>,
}

/// A window that was handed over by [`Streaming::begin`], and may be under way yet.
#[derive(Debug)]
#[must_use = "what a window comes to is told by `wait`"]
pub struct Pending(State);

#[derive(Debug)]
enum State {
    Done(Part),
    #[cfg(feature = "gpu")]
    Gpu(Box<gpu::Pending>),
}

impl Pending {
    /// What the window comes to, once it is there.
    ///
    /// # Errors
    /// [`Error::DeviceLost`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn wait(self) -> Result<Part> {
        pollster::block_on(self.wait_async())
    }

    /// [`Self::wait`], asynchronous.
    ///
    /// # Errors
    /// As there.
    #[cfg_attr(not(feature = "gpu"), expect(clippy::unused_async, reason = "a GPU is awaited"))]
    pub async fn wait_async(self) -> Result<Part> {
        match self.0 {
            State::Done(part) => Ok(part),
            #[cfg(feature = "gpu")]
            State::Gpu(pending) => pending.wait().await,
        }
    }
}

impl<'s, O: Op> Streaming<'s, O> {
    /// Evaluates the next rows. The input is what the operation reads of them: in the dtypes of the
    /// first window, with its upstream gradient if that is a number, and with the batch's class indices.
    ///
    /// # Errors
    /// As [`Device::run`], with the rows of the batch; [`Error::ShapeMismatch`] if there are more
    /// rows than the batch or a window has, or other columns; [`Error::InvalidInput`] if a window is not
    /// like the first, has other class indices than the batch, or comes after one that failed on the
    /// device. On a GPU a window of an elementwise
    /// loss has to hold whole rows of [`Batch::of_elements`], unless there is a `pos_weight` for each column.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn push<'w>(&mut self, input: impl Into<O::Input<'w>>) -> Result<Part> {
        self.push_reusing(input, None)
    }

    /// [`Self::push`], with an array whose memory may be used for the matrix that is returned: new
    /// memory for every window costs about as much as what is computed.
    ///
    /// # Errors
    /// As there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn push_reusing<'w>(
        &mut self,
        input: impl Into<O::Input<'w>>,
        spare: Option<Array>,
    ) -> Result<Part> {
        pollster::block_on(self.push_async(input, spare))
    }

    /// [`Self::push_reusing`], asynchronous.
    ///
    /// # Errors
    /// As there.
    pub async fn push_async<'w>(
        &mut self,
        input: impl Into<O::Input<'w>>,
        spare: Option<Array>,
    ) -> Result<Part> {
        self.begin_async(input, spare).await?.wait_async().await
    }

    /// Hands over the next rows without waiting for what they come to: while a GPU computes them the
    /// next can be handed over, and those before waited for, on another thread. On the CPU they are
    /// evaluated right here.
    ///
    /// Each window that is under way takes the memory that [`StreamBytes::window_row`] says.
    ///
    /// ```
    /// use surprisal::stream::Batch;
    /// use surprisal::{Device, Matrix, Softmax};
    ///
    /// let device = Device::cpu();
    /// let mut stream = device.stream(&Softmax, Batch::new(2, 2, 1))?;
    /// let first = stream.begin(Matrix::new(&[0.0f32, 0.0], 1, 2)?, None)?;
    /// let second = stream.begin(Matrix::new(&[0.0f32, f32::ln(3.0)], 1, 2)?, None)?;
    /// assert_eq!(first.wait()?.matrix.unwrap().to_f64(), [0.5, 0.5]);
    /// assert!(second.wait()?.matrix.is_some());
    /// # Ok::<(), surprisal::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Self::push`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn begin<'w>(
        &mut self,
        input: impl Into<O::Input<'w>>,
        spare: Option<Array>,
    ) -> Result<Pending> {
        pollster::block_on(self.begin_async(input, spare))
    }

    /// [`Self::begin`], asynchronous.
    ///
    /// # Errors
    /// As there.
    pub async fn begin_async<'w>(
        &mut self,
        input: impl Into<O::Input<'w>>,
        spare: Option<Array>,
    ) -> Result<Pending> {
        let mut data = O::data(input.into());
        let (rows, columns) = (data.input.rows(), data.input.columns());
        let room = self.batch.window_rows.min(self.batch.rows - self.rows_done);
        if rows > room || columns != self.batch.columns {
            return Err(Error::ShapeMismatch {
                what: "window",
                expected: format!("at most [{room}, {}]", self.batch.columns),
                found: format!("[{rows}, {columns}]"),
            });
        }
        if rows == 0 {
            return Ok(Pending(State::Done(Part::default())));
        }
        data.place(Place { first: self.rows_done * columns, columns: self.batch.shown_columns });
        let kind = &self.operation.0;
        let by_element = kind.output().by_element();
        let losses = if by_element { rows * columns } else { rows };
        data.upstream.validate(kind.common().reduction, losses, "row or element")?;
        if !by_element {
            data.mask = self.mask_of(data.mask, rows)?;
        }
        kind.validate(&data)?;
        self.check_targets(&data, rows)?;
        let of_elements = kind.element_mask(&data);
        data.mask = of_elements.as_deref().or(data.mask);
        let matrices = [Some(data.input), data.second, data.factors];
        self.alike.check(matrices, data.upstream, data.mask.is_some())?;
        let state = self.hand_over(&data, spare).await;
        let state = self.alike.note(state)?;
        self.rows_done += rows;
        self.kept_elements += kept(of_elements.as_deref(), rows * columns);
        Ok(Pending(state))
    }

    /// Which of a window's rows count: those of the batch.
    fn mask_of(&self, own: Option<&[bool]>, rows: usize) -> Result<Option<&'s [bool]>> {
        let of_batch = self.batch.mask.map(|mask| &mask[self.rows_done..self.rows_done + rows]);
        if own.is_some() && own != of_batch {
            let reason = "is not that of the batch, see Batch::with_mask".to_owned();
            return Err(Error::InvalidInput { what: "mask", reason });
        }
        Ok(of_batch)
    }

    /// The class indices of a window's rows that count are those of the batch.
    fn check_targets(&self, data: &Data<'_>, rows: usize) -> Result<()> {
        let first = self.rows_done;
        let reason = match (self.batch.targets, data.targets) {
            (None, None) => return Ok(()),
            (None, Some(_)) => "are missing in the batch, see Batch::with_targets".to_owned(),
            (Some(_), None) => "are class indices in the batch, and none in the window".to_owned(),
            (Some(all), Some(own)) => {
                let differs = |&row: &usize| {
                    counts(data.mask, row) && own.index(row) != all.index(first + row)
                };
                let Some(row) = (0..rows).find(differs) else { return Ok(()) };
                let (own, all) = (own.index(row), all.index(first + row));
                format!("row {}: {own}, and {all} in the batch", first + row)
            }
        };
        Err(Error::InvalidInput { what: "targets", reason })
    }

    #[cfg_attr(not(feature = "gpu"), expect(clippy::unused_async, reason = "a GPU is awaited"))]
    async fn hand_over(&mut self, data: &Data<'_>, spare: Option<Array>) -> Result<State> {
        let kind = &self.operation.0;
        let results = match &self.device.inner {
            #[cfg(feature = "gpu")]
            Inner::Gpu(device) => {
                let (batch, first) = (&self.batch, self.rows_done);
                let window = gpu::Window { data: *data, batch, first, spare };
                let own = (&mut self.gpu, &mut self.timings);
                let pending = gpu::begin(kind, device, own, window).await?;
                return Ok(State::Gpu(Box::new(pending)));
            }
            Inner::Cpu(set) => {
                let (of_window, data) = self.host.prepare(kind, &self.counts, *data);
                self.timings.compute(|| cpu::execute_reusing(*set, &of_window, &data, spare))?
            }
            Inner::Reference => {
                let (of_window, data) = self.host.prepare(kind, &self.counts, *data);
                self.timings.compute(|| reference::execute(&of_window, &data))?
            }
        };
        Ok(State::Done(self.host.take(kind, results)))
    }

    /// What all windows come to.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if rows are missing; [`Error::InvalidInput`] if a window failed on the
    /// device, or, on a GPU, was not waited for though its losses are part of a sum.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn finish(self) -> Result<Total> {
        pollster::block_on(self.finish_async()).map(|(total, _)| total)
    }

    /// [`Self::finish`], asynchronous, with how long the device's stages took.
    ///
    /// # Errors
    /// As there.
    #[expect(clippy::unused_async, reason = "like the other methods of a stream")]
    pub async fn finish_async(self) -> Result<(Total, Timings)> {
        self.alike.check_whole()?;
        if self.rows_done != self.batch.rows {
            return Err(Error::ShapeMismatch {
                what: "batch",
                expected: format!("{} rows", self.batch.rows),
                found: format!("{}", self.rows_done),
            });
        }
        let expected = self.counts.total_weight;
        if self.operation.0.output().by_element() && self.kept_elements as f64 != expected {
            let reason = format!(
                "{} elements count, {expected} were expected, see Batch::with_kept_elements",
                self.kept_elements
            );
            return Err(Error::InvalidInput { what: "mask", reason });
        }
        #[cfg(feature = "gpu")]
        if let Some(gpu) = self.gpu {
            let (total, of_windows) = gpu.finish(&self.operation.0, &self.counts)?;
            let mut timings = self.timings;
            timings.add(&of_windows);
            return Ok((total, timings));
        }
        Ok((self.host.finish(&self.operation.0, &self.counts), self.timings))
    }

    /// How long the device's stages took up to now. A GPU computes a window from when it was handed over,
    /// or when the one before was there, until it is there.
    pub fn timings(&self) -> Timings {
        #[cfg_attr(not(feature = "gpu"), expect(unused_mut, reason = "a GPU adds to it"))]
        let mut timings = self.timings;
        #[cfg(feature = "gpu")]
        if let Some(gpu) = &self.gpu {
            timings.add(&gpu.timings());
        }
        timings
    }
}
