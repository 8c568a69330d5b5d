//! The kernel table: which shader files make up which kernel, and what each binds.

use crate::gpu::caps::Reduce;
#[allow(clippy::wildcard_imports, reason = "the table below is made of their names")]
use crate::gpu::fragment::*;
use crate::gpu::ops::{OpFiles, RowOp};
use crate::op::InputForm;

/// How a matrix is stored, and how many elements are read at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Word {
    /// f32, one at a time: any row length, any row start.
    F32,
    /// f32, four at a time.
    F32x4,
    /// f16, four at a time.
    F16x4,
    /// bf16, four at a time.
    Bf16x4,
}

impl Word {
    /// Elements a word.
    pub const fn width(self) -> u32 {
        if matches!(self, Self::F32) { 1 } else { 4 }
    }

    /// Bytes a word.
    pub const fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::F32x4 => 16,
            Self::F16x4 | Self::Bf16x4 => 8,
        }
    }

    fn fragment(self) -> &'static Fragment {
        match self {
            Self::F32 => &WORD_F32,
            Self::F32x4 => &WORD_F32X4,
            Self::F16x4 => &WORD_F16X4,
            Self::Bf16x4 => &WORD_BF16X4,
        }
    }
}

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
    pub(super) const ALL: [Self; 5] =
        [Self::Row, Self::Lane, Self::SplitSweep, Self::SplitFinish, Self::SplitColumns];
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
}

/// One kernel of the crate, in one of its variants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kernel {
    /// Rows of a matrix.
    Rows(RowKernel),
    /// Counts and weighs kept rows and finds the first bad target, by blocks.
    ScanTargets(TargetType, Weighting),
    /// Folds the blocks of [`Kernel::ScanTargets`].
    FinishTargets,
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
            Self::ScanTargets(targets, weighting) => vec![
                &PARAMS,
                &SUMMARY,
                &WORD_F32,
                weighting.fragment(),
                targets.fragment(),
                &TARGET_KIND,
                &ACC_TARGETS,
                &REDUCE_TREE,
                &SCRATCH,
                &SCAN_TARGETS,
            ],
            Self::FinishTargets => vec![
                &PARAMS,
                &SUMMARY,
                &SUMMARY_WRITE,
                &ACC_TARGETS,
                &REDUCE_TREE,
                &SCRATCH,
                &FINISH_TARGETS,
            ],
            Self::SumLoss { metrics } => vec![
                &PARAMS,
                &WORD_F32,
                &ACC_SUM,
                &REDUCE_TREE,
                if *metrics { &STATS_METRICS } else { &STATS },
                &SCRATCH,
                &SUM_LOSS,
            ],
            Self::SumMetrics => {
                vec![&PARAMS, &ACC_METRICS, &REDUCE_TREE, &STATS_METRICS, &SCRATCH, &SUM_METRICS]
            }
            Self::FinishMetrics => vec![
                &PARAMS,
                &SUMMARY,
                &SUMMARY_WRITE,
                &ACC_METRICS,
                &REDUCE_TREE,
                &SCRATCH,
                &FINISH_METRICS,
            ],
            Self::FinishSum | Self::FinishMean => vec![
                &PARAMS,
                &SUMMARY,
                &SUMMARY_WRITE,
                &WORD_F32,
                &ACC_SUM,
                &REDUCE_TREE,
                &SCRATCH,
                if *self == Self::FinishSum { &REDUCED_SUM } else { &REDUCED_MEAN },
                &FINISH_LOSS,
            ],
        }
    }

    /// What this kernel binds, by slot.
    pub fn bindings(&self) -> Vec<(Slot, Access)> {
        let mut bindings: Vec<_> =
            self.fragments().iter().flat_map(|fragment| fragment.bindings).copied().collect();
        bindings.sort_by_key(|(slot, _)| *slot);
        bindings
    }

    /// How many of its bindings are storage buffers.
    pub fn storage_bindings(&self) -> u32 {
        self.bindings().iter().filter(|(_, access)| *access != Access::Uniform).count() as u32
    }

    /// Whether it needs subgroup operations.
    pub fn needs_subgroups(&self) -> bool {
        self.fragments().iter().any(|fragment| fragment.file == REDUCE_SUBGROUP.file)
    }

    /// Its name, for labels and messages.
    pub fn name(&self) -> String {
        match self {
            Self::Rows(k) => {
                let mut name = format!(
                    "{:?} {:?} {:?} {:?} {:?}",
                    k.op, k.family, k.word, k.columns, k.reduce
                );
                // What an operation does not have is left out.
                let options = [
                    (k.op.has_index_targets() && k.has_row(), format!("{:?} targets", k.targets)),
                    (k.upstream != UpstreamFrom::Scalar, format!("{:?} upstream", k.upstream)),
                    (k.weighting != Weighting::None, format!("{:?}", k.weighting)),
                    (k.chain != Chain::None, format!("{:?}", k.chain)),
                    (k.form != InputForm::Logits, k.form.to_string()),
                    (k.metrics, "metrics".to_owned()),
                    (k.factors, "factors".to_owned()),
                ];
                for (_, option) in options.into_iter().filter(|(is_there, _)| *is_there) {
                    name += " ";
                    name += &option;
                }
                name
            }
            other => format!("{other:?}"),
        }
    }

    /// Words of scratch that a piece of a split row takes.
    pub fn piece_words(&self) -> u64 {
        if let Self::Rows(kernel) = self { kernel.files().acc.words } else { 1 }
    }
}

impl Weighting {
    pub(super) fn fragment(self) -> &'static Fragment {
        if self == Self::None { &WEIGHTS_NONE } else { &WEIGHTS_BUFFER }
    }
}

impl RowKernel {
    /// Whether the kernel begins and finishes rows.
    pub(super) fn has_row(self) -> bool {
        matches!(self.family, Family::Row | Family::Lane | Family::SplitFinish)
    }

    /// Whether the kernel goes through the words of rows and accumulates.
    pub(super) fn sweeps(self) -> bool {
        matches!(self.family, Family::Row | Family::Lane | Family::SplitSweep)
    }

    fn fragments(self) -> Vec<&'static Fragment> {
        let files = self.files();
        let mut list = vec![&PARAMS, &FLOATS, self.word.fragment()];
        list.push(match (self.family, self.columns) {
            (Family::SplitFinish, _) | (_, Columns::None) => &IO_READ,
            (_, Columns::InPlace) => &IO_IN_PLACE,
            (_, Columns::Separate) => &IO_SEPARATE,
        });
        list.extend(&files.reads);
        if self.family != Family::SplitColumns {
            list.extend(files.acc.files);
        }
        if self.sweeps() {
            list.extend([files.sweep, &SWEEP_WORDS]);
            if self.op.writes_in_sweep() && self.columns != Columns::None {
                list.extend(self.upstream_files());
            }
        }
        if matches!(self.family, Family::Row | Family::SplitSweep | Family::SplitFinish) {
            match (self.reduce, files.acc.subgroup) {
                (Reduce::Subgroup, Some(subgroup)) => list.extend([subgroup, &REDUCE_SUBGROUP]),
                _ => list.push(&REDUCE_TREE),
            }
        }
        if self.has_row() {
            list.extend(&files.row);
            self.push_columns(&files, &mut list);
        }
        if self.family == Family::SplitColumns {
            list.extend(&files.column);
        }
        list.extend(match self.family {
            Family::Row => vec![&ROW],
            Family::Lane => vec![&LANE],
            Family::SplitSweep => vec![&SCRATCH, &SCRATCH_PIECES, &SPLIT_SWEEP],
            Family::SplitFinish => vec![&SCRATCH, &SCRATCH_PIECES, &SPLIT_FINISH],
            Family::SplitColumns => vec![&SCRATCH, &SPLIT_COLUMNS],
        });
        list
    }

    fn upstream_files(self) -> Vec<&'static Fragment> {
        match self.upstream {
            UpstreamFrom::Scalar => vec![&UPSTREAM_SCALAR],
            UpstreamFrom::Mean => vec![&SUMMARY, &UPSTREAM_MEAN],
            UpstreamFrom::Rows => vec![&UPSTREAM_ROWS],
            UpstreamFrom::Elements => vec![&UPSTREAM_ELEMENTS],
        }
    }

    fn push_columns(self, files: &OpFiles, list: &mut Vec<&'static Fragment>) {
        if self.columns == Columns::None || self.op.writes_in_sweep() {
            list.push(&COLUMNS_NONE);
            return;
        }
        list.extend(self.upstream_files());
        list.extend(&files.column);
        list.push(files.finish);
        list.push(if self.family == Family::SplitFinish { &COLUMNS_LATER } else { &COLUMNS_NOW });
    }
}
