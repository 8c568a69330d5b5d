//! How many rows and classes may be on their way at a time.

use surprisal::{DeviceKind, Dtype, LinearCrossEntropy};

use crate::files::InputArray;
use crate::loss::Job;

/// Blocks of the layer in host memory: one that is computed, one that is read.
pub(super) const BLOCKS: usize = 2;
/// Classes whose logits are there at a time, unless the limit leaves room for fewer.
const LOGITS: u64 = 256;
/// Classes that a block is a multiple of, the largest that it has: chunks of logits, tiles of a product,
/// its words. What is left over is slower, and takes kernels of its own.
const UNITS: [u64; 3] = [LOGITS, 64, 4];
/// Bytes that a GPU takes at most for what tiles of few rows leave.
const TILES: u64 = 2 << 20;

/// What a limit leaves to rows and classes.
pub(in crate::loss::linear) struct Room {
    pub(in crate::loss::linear) rows: usize,
    pub(super) classes: usize,
    pub(super) scratch: u64,
}

/// A batch, its layer, and the bytes that they take.
pub(in crate::loss::linear) struct Needs {
    rows: u64,
    width: u64,
    classes: u64,
    /// Of what is there as a whole.
    resident: u64,
    /// Of a row on its way, beside its logits.
    row: u64,
    /// Of a class on its way.
    class: u64,
}

impl Needs {
    pub(in crate::loss::linear) fn new(
        job: &Job<'_>,
        op: &LinearCrossEntropy,
        kind: DeviceKind,
        (hidden, weight): (&InputArray, &InputArray),
    ) -> Self {
        let ((rows, width), classes) = (hidden.rows_and_columns(), job.work.classes as u64);
        let (width, on_gpu) = (width as u64, u64::from(kind == DeviceKind::Gpu));
        let size = |file: &InputArray| {
            let asked = job.work.asked.map_or(0, |asked| Dtype::from(asked).size() as u64);
            file.dtype.size() + asked
        };
        // Read and stored, computed with and its gradient in f32, the gradient returned; on a GPU the two
        // on the device, and staged. Results of a row are a few numbers.
        let row = width * (2 * size(hidden) + 8 + 16 * on_gpu) + 192 + 64 * on_gpu;
        // Its gradient, the sum that it is added to, and that as it is written; on a GPU its gradient on
        // the device, and staged.
        let gradient =
            if op.has_weight_gradient() { 8 + weight.dtype.size() + 8 * on_gpu } else { 0 };
        // Read and stored, widened; on a GPU on the device, and staged.
        let class = width * (BLOCKS as u64 * size(weight) + 4 + 8 * on_gpu + gradient) + 32;
        // Bias, its gradient and the weights of classes are there as a whole, like what belongs to each
        // row of the batch.
        let resident = job.resident(rows)
            + hidden.scratch()
            + weight.scratch()
            + 40 * classes
            + TILES * on_gpu;
        Self { rows: rows as u64, width, classes, resident, row, class }
    }

    /// The least limit: a row and a class.
    pub(in crate::loss::linear) fn least(&self) -> u64 {
        self.resident + self.class + self.row + logits(1)
    }

    /// Rows and classes that fit a limit together: at first each half of it. None if not one of each does.
    pub(in crate::loss::linear) fn room(&self, limit: u64) -> Option<Room> {
        if limit < self.least() {
            return None;
        }
        let Self { rows, width, classes, resident, row, class } = *self;
        let room = limit - resident;
        let mut block = (room / 2 / class).clamp(1, classes);
        while block > 1 && room - block * class < row + logits(block) {
            block /= 2;
        }
        let of_row = row + logits(block);
        let fitting = ((room - block * class) / of_row).clamp(1, rows.max(1));
        let block = ((room - fitting * of_row) / class).clamp(block, classes);
        let block = in_units(block, classes);
        let scratch = fitting * logits(block) + 4 * width * block.min(LOGITS);
        let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        Some(Room { rows: count(fitting), classes: count(block), scratch })
    }
}

/// Bytes of a row's logits of a block.
fn logits(block: u64) -> u64 {
    4 * block.min(LOGITS)
}

/// As many classes, or fewer that make whole units, unless they are all.
fn in_units(block: u64, classes: u64) -> u64 {
    let unit = UNITS.into_iter().find(|&unit| unit <= block);
    unit.filter(|_| block < classes).map_or(block, |unit| block - block % unit)
}
