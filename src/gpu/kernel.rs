//! The kernel table: which shader files make up which kernel, and what each binds.

use crate::gpu::caps::Reduce;
#[allow(clippy::wildcard_imports, reason = "the table below is made of their names")]
use crate::gpu::fragment::*;
use crate::gpu::ops::RowOp;
use crate::gpu::product::ProductKernel;
use crate::gpu::tile_sweep::TileSweep;
use crate::gpu::word::Word;
use crate::op::InputForm;

/// Where a kernel writes its columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Columns {
    /// It writes none.
    None,
    /// Over its input.
    InPlace,
    /// To a matrix of their own.
    Separate,
}

/// The width of index targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TargetType {
    /// 32-bit.
    I32,
    /// 64-bit.
    I64,
}

impl TargetType {
    /// Bytes a target.
    pub const fn bytes(self) -> u64 {
        match self {
            Self::I32 => 4,
            Self::I64 => 8,
        }
    }

    pub(super) fn fragment(self) -> &'static Fragment {
        match self {
            Self::I32 => &TARGETS_I32,
            Self::I64 => &TARGETS_I64,
        }
    }
}

/// Which options of cross-entropy concern single classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Weighting {
    /// None.
    None,
    /// One weight for all classes.
    Alike,
    /// Class weights: one is read for each row.
    Weights,
    /// Label smoothing, with class weights or with ones: all are read for each row.
    Smoothed,
}

/// What happens to logits before the softmax.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Chain {
    /// Nothing.
    None,
    /// They are scaled, and bounded if there is a softcap.
    Softcap,
}

/// Where the upstream gradient comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UpstreamFrom {
    /// One number, in `Params`.
    Scalar,
    /// One number over the batch's total weight.
    Mean,
    /// A buffer with a number for each row.
    Rows,
    /// A buffer with a number for each element.
    Elements,
}

/// Which part of a row a workgroup handles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Family {
    /// A workgroup handles a row.
    Row,
    /// A workgroup handles a row, of which its lanes hold every word from its sweep on until its
    /// columns are written.
    Held,
    /// A lane handles a row.
    Lane,
    /// A workgroup sweeps a piece of a row.
    SplitSweep,
    /// A workgroup folds the pieces of a row.
    SplitFinish,
    /// A workgroup writes the columns of a piece of a row.
    SplitColumns,
}

impl Family {
    pub(super) const ALL: [Self; 6] = [
        Self::Row,
        Self::Held,
        Self::Lane,
        Self::SplitSweep,
        Self::SplitFinish,
        Self::SplitColumns,
    ];
}

/// Whether what is written lies in a buffer that is read as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Sharing {
    /// No: what is only read is bound for reading.
    #[default]
    Apart,
    /// Yes: a buffer cannot be bound for reading and for writing at once, so that everything is
    /// bound for both.
    Shared,
}

/// Everything that distinguishes one row kernel from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RowKernel {
    /// How rows are divided among workgroups.
    pub family: Family,
    /// What is computed.
    pub op: RowOp,
    /// How matrices are stored.
    pub word: Word,
    /// Where columns go.
    pub columns: Columns,
    /// How lanes reduce.
    pub reduce: Reduce,
    /// The targets' width, for cross-entropy.
    pub targets: TargetType,
    /// Where the upstream gradient comes from.
    pub upstream: UpstreamFrom,
    /// Options that concern single classes, for cross-entropy.
    pub weighting: Weighting,
    /// What happens to logits first, for cross-entropy and divergences.
    pub chain: Chain,
    /// What the input is, for cross-entropy; what the teacher is, for divergences.
    pub form: InputForm,
    /// Whether rows have what metrics are made of, for cross-entropy.
    pub metrics: bool,
    /// Whether elements have weights, for elementwise losses.
    pub factors: bool,
    /// Whether some rows do not count, for operations without index targets, or some elements, for
    /// elementwise losses.
    pub masked: bool,
    /// Whether its matrices share a buffer.
    pub sharing: Sharing,
}

/// One kernel of the crate, in one of its variants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kernel {
    /// Rows of a matrix.
    Rows(RowKernel),
    /// A product of two matrices.
    Product(ProductKernel),
    /// Sums the columns of a matrix.
    ColumnSums,
    /// Multiplies tiles of logits and sweeps them.
    TileSweep(TileSweep),
    /// Folds what [`Kernel::TileSweep`] left of rows.
    TileFinish(RowKernel),
    /// Puts the halves together that rows of 16-bit elements share a u32 with.
    JoinEdges,
    /// Leaves a mask of rows in a copy of their targets, which they may have none of.
    MaskTargets(Option<TargetType>),
    /// Makes a mask of elements from their labels; `masked`: and from another.
    MaskLabels {
        /// How labels are stored.
        word: Word,
        /// Whether there is another.
        masked: bool,
    },
    /// Folds the blocks of [`Kernel::SumLoss`], of rows that hold how many of their elements count.
    FinishCounts,
    /// Counts and weighs kept rows and finds the first bad target, by blocks.
    ScanTargets(TargetType, Weighting),
    /// Folds the blocks of [`Kernel::ScanTargets`].
    FinishTargets,
    /// Lists the rows that are not ignored, by what [`Kernel::ScanTargets`] found.
    ListKept(TargetType),
    /// Moves such rows together.
    GatherRows,
    /// Moves them back to where they are in the batch.
    SpreadRows,
    /// Writes zeros to the others.
    ClearIgnored(TargetType),
    /// Fits numbers of later dispatches to how many such rows there are.
    FitParams,
    /// Sums losses, by blocks; of rows with what metrics are made of, or without.
    SumLoss {
        /// Which.
        metrics: bool,
    },
    /// Folds the blocks of [`Kernel::SumLoss`] into a sum.
    FinishSum,
    /// Folds the blocks of [`Kernel::SumLoss`] into a mean.
    FinishMean,
    /// Sums what metrics are made of, by blocks.
    SumMetrics,
    /// Folds the blocks of [`Kernel::SumMetrics`].
    FinishMetrics,
}

impl Kernel {
    /// The files that make up this kernel, in the order in which they are joined.
    pub fn fragments(&self) -> Vec<&'static Fragment> {
        match self {
            Self::Rows(kernel) => kernel.fragments(),
            Self::Product(kernel) => kernel.fragments(),
            Self::ColumnSums => vec![&PARAMS, &COLUMN_SUMS],
            Self::TileSweep(kernel) => kernel.fragments(),
            Self::TileFinish(kernel) => kernel.fragments_with(&TARGET_LOGIT),
            Self::MaskTargets(targets) => {
                let targets = targets.map_or(&TARGETS_NONE, TargetType::fragment);
                vec![&PARAMS, targets, &MASK, &MASK_TARGETS]
            }
            Self::MaskLabels { word, masked } => [
                vec![&PARAMS, &STARTS],
                word.fragments(),
                vec![
                    word.pick(&SECOND_INPUT, &SECOND_INPUT_RAGGED),
                    if *masked { &MASK } else { &MASK_NONE },
                    &MASK_LABELS,
                ],
            ]
            .concat(),
            Self::JoinEdges => vec![&PARAMS, &EDGES, &JOIN_EDGES],
            Self::ScanTargets(targets, weighting) => vec![
                &PARAMS,
                &SUMMARY,
                &WORD_F32,
                weighting.fragment(Word::F32),
                targets.fragment(),
                &TARGET_KIND,
                &ACC_TARGETS,
                &PAIRWISE,
                &REDUCE_TREE,
                &SCRATCH,
                &SCAN_TARGETS,
            ],
            Self::FinishTargets
            | Self::FinishCounts
            | Self::FinishMetrics
            | Self::FinishSum
            | Self::FinishMean => self.finish_fragments(),
            Self::ListKept(targets) => {
                vec![&PARAMS, targets.fragment(), &TARGET_KIND, &SCRATCH, &LIST_KEPT]
            }
            Self::GatherRows => vec![&PARAMS, &KEPT, &GATHER_ROWS],
            Self::SpreadRows => vec![&PARAMS, &KEPT, &SPREAD_ROWS],
            Self::ClearIgnored(targets) => {
                vec![&PARAMS, targets.fragment(), &TARGET_KIND, &CLEAR_IGNORED]
            }
            Self::FitParams => vec![&PARAMS, &SUMMARY, &FIT_PARAMS],
            Self::SumLoss { metrics } => vec![
                &PARAMS,
                &WORD_F32,
                &ACC_SUM,
                &PAIRWISE,
                &REDUCE_TREE,
                if *metrics { &STATS_METRICS } else { &STATS },
                &COUNTS_ALL,
                &SCRATCH,
                &SUM_LOSS,
            ],
            Self::SumMetrics => vec![
                &PARAMS,
                &ACC_METRICS,
                &PAIRWISE,
                &REDUCE_TREE,
                &STATS_METRICS,
                &SCRATCH,
                &COUNTS_ALL,
                &SUM_METRICS,
            ],
        }
    }

    /// The files of what folds blocks into the summary.
    fn finish_fragments(&self) -> Vec<&'static Fragment> {
        let folded =
            |reduced| vec![&WORD_F32, &ACC_SUM, &REDUCE_TREE, &SCRATCH, reduced, &FINISH_LOSS];
        let mut list = vec![&PARAMS, &SUMMARY, &SUMMARY_WRITE, &PAIRWISE];
        list.extend(match self {
            Self::FinishTargets => vec![&ACC_TARGETS, &REDUCE_TREE, &SCRATCH, &FINISH_TARGETS],
            Self::FinishMetrics => vec![&ACC_METRICS, &REDUCE_TREE, &SCRATCH, &FINISH_METRICS],
            Self::FinishCounts => folded(&REDUCED_COUNTS),
            Self::FinishSum => folded(&REDUCED_SUM),
            _ => folded(&REDUCED_MEAN),
        });
        list
    }

    /// What this kernel binds, by slot.
    pub fn bindings(&self) -> Vec<(Slot, Access)> {
        let mut bindings: Vec<_> =
            self.fragments().iter().flat_map(|fragment| fragment.bindings).copied().collect();
        bindings.sort_by_key(|(slot, _)| *slot);
        if self.is_shared() {
            for (_, access) in &mut bindings {
                if *access == Access::Read {
                    *access = Access::ReadWrite;
                }
            }
        }
        bindings
    }

    /// Whether it binds everything for reading and writing.
    pub fn is_shared(&self) -> bool {
        matches!(self, Self::Rows(kernel) if kernel.sharing == Sharing::Shared)
    }

    /// How many of its bindings are storage buffers.
    pub fn storage_bindings(&self) -> u32 {
        self.bindings().iter().filter(|(_, access)| *access != Access::Uniform).count() as u32
    }

    /// Whether it needs subgroup operations.
    pub fn needs_subgroups(&self) -> bool {
        let with = [&REDUCE_SUBGROUP, &REDUCE_ONE_SUBGROUP];
        self.fragments().iter().any(|fragment| with.contains(fragment))
    }

    /// Its name, for labels and messages.
    pub fn name(&self) -> String {
        match self {
            Self::Rows(kernel) => kernel.name(),
            Self::Product(kernel) => kernel.name(),
            Self::TileSweep(kernel) => kernel.name(),
            Self::TileFinish(kernel) => format!("{} of tiles", kernel.name()),
            other => format!("{other:?}"),
        }
    }

    /// Words of scratch that a piece of a split row takes.
    pub fn piece_words(&self) -> u64 {
        match self {
            Self::Rows(kernel) | Self::TileFinish(kernel) => kernel.files().acc.words,
            Self::TileSweep(kernel) => kernel.row.files().acc.words,
            _ => 1,
        }
    }
}

impl Weighting {
    pub(super) fn fragment(self, word: Word) -> &'static Fragment {
        match self {
            Self::None => &WEIGHTS_NONE,
            Self::Alike => &WEIGHTS_ALIKE,
            Self::Weights | Self::Smoothed => word.pick(&WEIGHTS_BUFFER, &WEIGHTS_RAGGED),
        }
    }

    /// Whether they are in a buffer.
    pub(super) fn has_buffer(self) -> bool {
        matches!(self, Self::Weights | Self::Smoothed)
    }
}
