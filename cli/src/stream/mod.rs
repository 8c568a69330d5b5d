//! Batches that are not read as a whole: windows of rows are read, computed and written at once,
//! within a limit of memory.

mod room;

use std::ops::Range;

use surprisal::stream::{Batch, Part, Pending, Stages, Total, overlap};
use surprisal::{
    Array, Device, DeviceKind, Dtype, Error, Matrix, Op, Targets, Timings, Upstream, Values,
};

use self::room::Room;
use crate::args::{DtypeArg, MemoryLimit};
use crate::error::{Failure, Result};
use crate::files::{FileDtype, InputArray, Outputs};
use crate::progress::Progress;
use crate::report::Clock;
use crate::storage::{as_read, returned, stored};

/// Where the results of windows go: the option, the tensor's name and its shape.
pub(crate) type Place<'a> = (&'static str, &'a str, &'a [u64]);

/// A batch in files.
pub(crate) struct Files<'a> {
    /// What has a row for each row of the batch, the operation's input first.
    pub(crate) matrices: &'a mut [InputArray],
    pub(crate) upstream: FromAbove<'a>,
    /// Class indices, which are in memory.
    pub(crate) targets: Option<Targets<'a>>,
    pub(crate) mask: Mask<'a>,
    /// Bytes that are in memory already.
    pub(crate) resident: u64,
    pub(crate) rows: Rows,
    pub(crate) matrix: Option<Place<'a>>,
    pub(crate) each: Option<Place<'a>>,
    pub(crate) lse: Option<Place<'a>>,
}

impl<'a> Files<'a> {
    /// Matrices of which all rows count, and nothing that is written.
    pub(crate) fn of(matrices: &'a mut [InputArray]) -> Self {
        Self {
            matrices,
            upstream: FromAbove::One(1.0),
            targets: None,
            mask: Mask::Nothing,
            resident: 0,
            rows: Rows::Whole,
            matrix: None,
            each: None,
            lse: None,
        }
    }
}

/// What counts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mask<'a> {
    Nothing,
    /// These rows, in memory.
    Rows(&'a [bool]),
    /// So many elements, by their labels.
    Labels(usize),
    /// So many elements; the last of the matrices is the mask.
    Elements(usize),
}

impl<'a> Mask<'a> {
    pub(crate) fn rows(mask: Option<&'a [bool]>) -> Self {
        mask.map_or(Self::Nothing, Self::Rows)
    }

    fn of_batch(self, batch: Batch<'a>) -> Batch<'a> {
        match self {
            Self::Nothing => batch,
            Self::Rows(mask) => batch.with_mask(mask),
            Self::Labels(kept) | Self::Elements(kept) => batch.with_kept_elements(kept),
        }
    }

    /// The matrices of a window, and which of its elements count.
    fn split(self, arrays: &[Array]) -> (&[Array], Option<Vec<bool>>) {
        match (self, arrays.split_last()) {
            (Self::Elements(_), Some((mask, others))) => (others, Some(nonzero(mask))),
            _ => (arrays, None),
        }
    }

    /// Bytes that are in memory.
    fn resident(self) -> u64 {
        if let Self::Rows(mask) = self { mask.len() as u64 } else { 0 }
    }
}

/// An upstream gradient.
pub(crate) enum FromAbove<'a> {
    One(f64),
    /// For each row, in memory.
    Each(&'a Array),
    /// For each element, in a file.
    File(&'a mut InputArray),
}

impl FromAbove<'_> {
    /// That of a window: what was read of a file, or that of these rows.
    fn of_window<'w>(&'w self, later: Option<&'w Array>, rows: Range<usize>) -> Upstream<'w> {
        match (self, later) {
            (_, Some(later)) => Upstream::Each(later.values()),
            (Self::Each(data), _) => Upstream::Each(part_of(data, rows)),
            (Self::One(number), _) => Upstream::Scalar(*number),
            (Self::File(_), _) => Upstream::default(),
        }
    }
}

/// Whether rows are what the operation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    Whole,
    /// Elements are: rows may be cut.
    Folded,
}

/// What a stream runs with.
pub(crate) struct Context<'a> {
    pub(crate) device: &'a Device,
    pub(crate) outputs: &'a mut Outputs,
    pub(crate) progress: &'a Progress,
    pub(crate) clock: &'a mut Clock,
    pub(crate) limit: &'a MemoryLimit,
    pub(crate) asked: Option<DtypeArg>,
}

/// What a stream came to.
pub(crate) struct Streamed {
    pub(crate) total: Total,
    pub(crate) timings: Timings,
    /// The sum of what was made of each row.
    pub(crate) sum: f64,
}

/// Rows on their way, with what is made of them.
struct Window {
    arrays: Vec<Array>,
    upstream: Array,
    pending: Option<Pending>,
    part: Part,
    /// The memory of a matrix that was written.
    spare: Option<Array>,
}

impl Window {
    fn new(matrices: usize) -> Self {
        let empty = || Array::F32(Vec::new());
        let arrays = (0..matrices).map(|_| empty()).collect();
        Self { arrays, upstream: empty(), pending: None, part: Part::default(), spare: None }
    }
}

/// Why a stream ends early.
enum Stop {
    Files(Failure),
    Device(Error),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Files(failure)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Device(error)
    }
}

/// The matrices of a window.
pub(crate) struct Matrices<'w> {
    pub(crate) all: Vec<Matrix<'w>>,
    pub(crate) targets: Option<Targets<'w>>,
    /// Which elements count; of rows the batch says it.
    pub(crate) mask: Option<&'w [bool]>,
    pub(crate) upstream: Upstream<'w>,
}

impl Context<'_> {
    /// Runs an operation on a batch; `join` makes its input of a window's matrices, and `blame` names
    /// the file that an error is about.
    pub(crate) fn run<O: Op>(
        &mut self,
        op: &O,
        files: Files<'_>,
        join: impl for<'w> Fn(&'w Matrices<'w>) -> O::Input<'w>,
        blame: &dyn Fn(&Error) -> Failure,
    ) -> Result<Streamed> {
        let Files { matrices, upstream, targets, mask, resident, rows, .. } = files;
        let (mut later, upstream) = match upstream {
            FromAbove::File(file) => (Some(file), FromAbove::One(1.0)),
            known => (None, known),
        };
        let like = matrices[0].dtype;
        let scratch: u64 = matrices.iter().chain(later.as_deref()).map(InputArray::scratch).sum();
        let resident = resident + scratch + mask.resident();
        let dtypes: Vec<_> =
            matrices.iter().chain(later.as_deref()).map(|file| file.dtype).collect();
        let shape = matrices[0].rows_and_columns();
        let (batch, windows) = self.room(resident, rows).batch(op, shape, &dtypes)?;
        let batch = mask.of_batch(targets.map_or(batch, |targets| batch.with_targets(targets)));
        let places = [files.matrix, files.each, files.lse];
        self.begin(places, like)?;
        let mut stream = self.device.stream(op, batch).map_err(|error| blame(&error))?;
        let bytes = matrices.iter().map(|file| file.len() as u64 * file.dtype.size()).sum();
        self.progress.start("streaming", bytes);
        let (columns, is_later) = (batch.columns(), later.is_some());
        let (asked, device, mut sum) = (self.asked, self.device, -0.0);
        let (progress, outputs) = (self.progress.handle(), &mut *self.outputs);
        let ring = (0..windows).map(|_| Window::new(matrices.len())).collect();
        let options = places.map(|place| place.map_or("", |p| p.0));
        let stages = Stages {
            read: |rows: Range<usize>, window: &mut Window| -> std::result::Result<(), Stop> {
                for (file, array) in matrices.iter_mut().zip(&mut window.arrays) {
                    file.read_window(rows.start * columns..rows.end * columns, array)?;
                    restore(array, asked);
                    let size = file.dtype.size();
                    progress.advance((rows.len() * columns) as u64 * size);
                }
                if let Some(file) = &mut later {
                    let elements = rows.start * columns..rows.end * columns;
                    file.read_window(elements, &mut window.upstream)?;
                }
                Ok(())
            },
            compute: |rows: Range<usize>, window: &mut Window| {
                let matrix = |array| Matrix::new(Array::values(array), rows.len(), columns);
                let (arrays, elements) = mask.split(&window.arrays);
                let all = arrays.iter().map(matrix).collect::<surprisal::Result<Vec<_>>>()?;
                let later = is_later.then_some(&window.upstream);
                let upstream = upstream.of_window(later, rows.clone());
                let targets = targets.map(|targets| some_of(targets, rows));
                let matrices = Matrices { all, targets, mask: elements.as_deref(), upstream };
                let spare = window.spare.take();
                window.pending = Some(stream.begin(join(&matrices), spare)?);
                Ok(())
            },
            collect: |_: Range<usize>, window: &mut Window| {
                if let Some(pending) = window.pending.take() {
                    window.part = pending.wait()?;
                }
                Ok(())
            },
            write: |_: Range<usize>, window: &mut Window| {
                let Part { matrix, each, lse, .. } = std::mem::take(&mut window.part);
                let matrix = matrix.map(|array| returned(array, like, asked, device));
                for (option, array) in options.iter().zip([&matrix, &each, &lse]) {
                    if let Some(array) = array {
                        outputs.append(option, array)?;
                    }
                }
                if let Some(each) = each {
                    sum = each.to_f64().iter().fold(sum, |sum, x| sum + x);
                }
                window.spare = matrix;
                Ok(())
            },
        };
        let times = overlap(batch.rows(), batch.window_rows(), ring, stages);
        let times = times.map_err(|stop| match stop {
            Stop::Files(failure) => failure,
            Stop::Device(error) => blame(&error),
        })?;
        self.clock.read += times.read;
        self.clock.write += times.write;
        let timings = stream.timings();
        let total = stream.finish().map_err(|error| blame(&error))?;
        Ok(Streamed { total, timings, sum })
    }
}

impl Context<'_> {
    fn room(&self, resident: u64, rows: Rows) -> Room<'_> {
        Room { device: self.device, limit: self.limit, asked: self.asked, resident, rows_are: rows }
    }

    /// Writes what comes before the elements of each output.
    fn begin(&mut self, places: [Option<Place<'_>>; 3], like: FileDtype) -> Result<()> {
        let is_reference = self.device.info().kind == DeviceKind::Reference;
        let result = if is_reference { Dtype::F64 } else { Dtype::F32 };
        let of_matrix = if is_reference { Dtype::F64 } else { as_read(like) };
        for (place, dtype) in places.into_iter().zip([of_matrix, result, result]) {
            if let Some((option, tensor, shape)) = place {
                self.outputs.begin(option, tensor, dtype, shape)?;
            }
        }
        Ok(())
    }
}

/// The array as `--dtype` has it stored.
pub(crate) fn restore(array: &mut Array, asked: Option<DtypeArg>) {
    if asked.is_some() {
        let read = std::mem::replace(array, Array::F32(Vec::new()));
        *array = stored(read, asked);
    }
}

/// How many of so many rows or elements count.
pub(crate) fn kept(mask: Option<&[bool]>, all: usize) -> usize {
    mask.map_or(all, |mask| mask.iter().filter(|&&counts| counts).count())
}

/// What of a mask's window counts.
pub(crate) fn nonzero(mask: &Array) -> Vec<bool> {
    mask.to_f64().iter().map(|&value| value != 0.0).collect()
}

/// Bytes of an element of a file in memory.
fn held_size(file: FileDtype, asked: Option<DtypeArg>) -> usize {
    let read = if file.is_float() { as_read(file) } else { Dtype::F64 };
    asked.map_or(read, Dtype::from).size()
}

/// Some of the elements.
pub(crate) fn part_of(data: &Array, range: Range<usize>) -> Values<'_> {
    match data.values() {
        Values::F16(values) => values[range].into(),
        Values::Bf16(values) => values[range].into(),
        Values::F32(values) => values[range].into(),
        Values::F64(values) => values[range].into(),
        all => all,
    }
}

/// The class indices of some rows.
fn some_of(targets: Targets<'_>, rows: Range<usize>) -> Targets<'_> {
    match targets {
        Targets::I32(values) => values[rows].into(),
        Targets::I64(values) => values[rows].into(),
        all => all,
    }
}
