//! What is to be computed, as plain data.

use crate::dtype::Dtype;
use crate::gpu::fragment::Slot;
use crate::gpu::kernel::{Chain, Sharing, TargetType, Weighting};
use crate::gpu::ops::RowOp;
use crate::op::{InputForm, Reduction, split_scale};

/// Where a matrix lies in its buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// Bytes from the buffer's start.
    pub offset: u64,
    /// Elements from one row to the next.
    pub row_stride: u64,
    /// How elements are stored: f32, f16 or bf16. One for all matrices of a problem, but for losses
    /// of elements and their upstream gradient, which are f32.
    pub dtype: Dtype,
}

impl Region {
    /// Bytes of so many elements.
    pub(crate) fn bytes(self, elements: u64) -> u64 {
        elements.saturating_mul(self.dtype.size() as u64)
    }

    /// Bytes from the start of the first of some rows to the end of the last.
    pub(crate) fn extent(self, rows: u64, classes: u64) -> u64 {
        match rows {
            0 => 0,
            rows => {
                let before = (rows - 1).saturating_mul(self.row_stride);
                self.bytes(before.saturating_add(classes))
            }
        }
    }
}

/// Index targets in a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetRegion {
    /// Bytes from the buffer's start.
    pub offset: u64,
    /// Their width.
    pub width: TargetType,
    /// The value that marks a row to be skipped.
    pub ignore_index: Option<i64>,
}

/// A mask of rows, which is made into targets before anything else is done: those of rows that count,
/// and the ignored value for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowMask {
    /// Bytes from the buffer's start.
    pub offset: u64,
    /// The index targets as the caller has them; none if the operation has none.
    pub targets: Option<TargetRegion>,
}

/// A mask of elements.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ElementMask {
    /// Bytes from the buffer's start.
    pub offset: u64,
    /// Bytes from one row to the next.
    pub row_stride: u64,
    /// What it is made from, before anything else is done, where it is not the caller's.
    pub labels: Option<LabelMask>,
    /// Whether a mean divides by what the device counts.
    pub is_counted: bool,
}

/// What a mask of elements is made from: their labels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LabelMask {
    /// The label of elements that do not count.
    pub ignored: f32,
    /// The caller's own mask, `[rows, classes]`, where there is one: bytes from its buffer's start.
    pub mask: Option<u64>,
}

/// Where columns go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Destination {
    /// Nowhere: they are not asked for.
    None,
    /// Over the input.
    InPlace,
    /// To a matrix of their own.
    Separate(Region),
}

/// The upstream gradient.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum UpstreamRegion {
    /// One number.
    Scalar(f32),
    /// A number for each row, this many bytes from the buffer's start.
    Rows(u64),
    /// A number for each element.
    Elements(Region),
}

/// The options of a loss that are numbers for the shaders, and which of their variants they choose.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LossNumbers {
    /// Which options concern single classes.
    pub weighting: Weighting,
    /// What happens to logits first.
    pub chain: Chain,
    /// What the input of a cross-entropy is, or the teacher of a divergence.
    pub form: InputForm,
    /// Whether rows have what metrics are made of.
    pub metrics: bool,
    /// The label smoothing.
    pub label_smoothing: f32,
    /// The weight of every class, where it is one number.
    pub weight: f32,
    /// The sum of all class weights.
    pub weight_sum: f32,
    /// The factor of lse^2.
    pub z_loss: f32,
    /// The factor of the logits.
    pub logit_scale: f32,
    /// The bound of the logits; 0 for none.
    pub softcap: f32,
    /// What a mean divides by instead of the total weight; 0 for none.
    pub normalizer: f32,
    /// What a nat of loss is reported as.
    pub unit: f32,
    /// The least probability that is told from none.
    pub clamp: f32,
    /// Focal loss's exponent.
    pub gamma: f32,
    /// Where Huber's parabola becomes a line.
    pub delta: f32,
    /// The factor and the summand that make a label a probability.
    pub label: (f32, f32),
    /// Binary focal loss's factors of an element that is 1 and of one that is 0.
    pub focal: (f32, f32),
    /// The shares of teacher and student in the mixture of a Jensen-Shannon divergence, minus their
    /// logarithms, and the logarithm of the student's over the teacher's.
    pub mixture: [f32; 5],
}

impl LossNumbers {
    /// What logits are multiplied by, and what distances between them.
    pub(super) fn scales(&self) -> (f32, f32) {
        if self.softcap != 0.0 {
            return (self.logit_scale, 1.0);
        }
        let (of_logits, of_distances) = split_scale(self.logit_scale.into());
        (of_logits as f32, of_distances as f32)
    }
}

impl Default for LossNumbers {
    /// Plain cross-entropy.
    fn default() -> Self {
        Self {
            weighting: Weighting::None,
            chain: Chain::None,
            form: InputForm::Logits,
            metrics: false,
            label_smoothing: 0.0,
            weight: 1.0,
            weight_sum: 0.0,
            z_loss: 0.0,
            logit_scale: 1.0,
            softcap: 0.0,
            normalizer: 0.0,
            unit: 1.0,
            clamp: 0.0,
            gamma: 0.0,
            delta: 0.0,
            label: (1.0, 0.0),
            focal: (1.0, 1.0),
            mixture: [0.5, 0.5, std::f32::consts::LN_2, std::f32::consts::LN_2, 0.0],
        }
    }
}

/// One way through all rows: most problems are one pass, some need another before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass {
    /// The operation.
    pub op: RowOp,
    /// Where its columns go.
    pub output: Destination,
    /// Whose buffer a separate output is.
    pub role: Role,
}

/// A buffer's part in a call. Most are bound to the slot of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// What the slot says.
    Slot(Slot),
    /// The output of a first pass.
    Aside,
    /// What a linear layer reads.
    Hidden,
    /// A linear layer's weights.
    Weight,
    /// A linear layer's bias.
    Bias,
    /// The gradient of what a linear layer reads.
    Dhidden,
    /// The gradient of its weights.
    Dweight,
    /// The gradient of its bias.
    Dbias,
    /// Which rows are not ignored.
    Kept,
    /// What a layer reads of a chunk of them.
    KeptHidden,
    /// The gradient of that.
    KeptDhidden,
    /// Their targets.
    KeptTargets,
    /// The probabilities that a chunk of them is compared with.
    KeptSecond,
    /// The upstream gradients of a chunk of them.
    KeptDloss,
    /// Their results.
    KeptStats,
    /// What the numbers of later dispatches are fitted to.
    Limits,
    /// Those numbers.
    Fitted,
    /// The caller's targets, where the slot's are made from them and a mask.
    OwnTargets,
    /// The caller's mask, where the slot's is made from it and labels.
    OwnMask,
}

/// What is to be computed, with everything that the plan depends on.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// What is done with each window of rows, in order.
    pub passes: Vec<Pass>,
    /// Rows of every matrix.
    pub rows: u64,
    /// Columns of every matrix.
    pub classes: u64,
    /// The logits, the student, or the forward's result.
    pub input: Region,
    /// The gradient with respect to the forward's result, the probability targets, the teacher.
    pub second: Option<Region>,
    /// The weights of elements.
    pub factors: Option<Region>,
    /// The index targets, or what a mask of rows is made into.
    pub targets: Option<TargetRegion>,
    /// Which rows count.
    pub row_mask: Option<RowMask>,
    /// Which elements count.
    pub element_mask: Option<ElementMask>,
    /// The upstream gradient.
    pub upstream: UpstreamRegion,
    /// Whether what is written lies in a buffer that is read as well.
    pub sharing: Sharing,
    /// How losses are reduced; `None` where there are none.
    pub reduction: Reduction,
    /// The other options.
    pub loss: LossNumbers,
}

impl Problem {
    /// Every matrix that is read or written.
    pub(super) fn matrices(&self) -> impl Iterator<Item = Region> {
        let outputs = self.passes.iter().filter_map(|pass| match pass.output {
            Destination::Separate(region) => Some(region),
            _ => None,
        });
        let upstream = match self.upstream {
            UpstreamRegion::Elements(region) => Some(region),
            _ => None,
        };
        [Some(self.input), self.second, self.factors, upstream].into_iter().flatten().chain(outputs)
    }

    /// Whether some row that a pass writes shares a u32 with another, or with what is beside it.
    pub(super) fn has_edges(&self, pass: &Pass) -> bool {
        let region = match pass.output {
            Destination::Separate(region) => region,
            Destination::InPlace => self.input,
            Destination::None => return false,
        };
        let parts = [region.offset, region.bytes(region.row_stride), region.bytes(self.classes)];
        region.dtype.size() == 2 && parts.iter().any(|bytes| !bytes.is_multiple_of(4))
    }

    /// Whether rows have results of their own.
    pub(super) fn has_stats(&self) -> bool {
        self.passes.iter().any(|pass| pass.op.has_stats())
    }

    /// Whether a mean divides by what the device counts.
    pub(crate) fn is_counted(&self) -> bool {
        self.targets.is_some() || self.element_mask.is_some_and(|mask| mask.is_counted)
    }

    /// Whether rows' losses are summed, or what metrics are made of.
    pub(super) fn has_summary(&self) -> bool {
        self.targets.is_some() || self.reduction != Reduction::None || self.loss.metrics
    }

    /// Bytes of a row's results.
    pub(crate) fn stats_row(&self) -> u64 {
        if self.loss.metrics { 16 } else { 8 }
    }
}
