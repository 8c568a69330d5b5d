//! The kernel table: which shader files make up which kernel, and what each binds.

use crate::gpu::caps::Reduce;
#[allow(clippy::wildcard_imports, reason = "the table below is made of their names")]
use crate::gpu::fragment::*;

/// An operation on rows, as the shaders know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "named like the operations")]
pub enum RowOp {
    CrossEntropy,
    Softmax,
    LogSoftmax,
    LogSumExp,
    SoftmaxBackward,
    LogSoftmaxBackward,
}

/// The files of one operation.
struct OpFiles {
    op: RowOp,
    /// What is accumulated over a row, and the same over a subgroup.
    acc: [&'static Fragment; 2],
    sweep: &'static Fragment,
    /// What is read before the sweep, and the row's results.
    row: &'static [&'static Fragment],
    /// From the accumulated value to the coefficients of the columns.
    finish: &'static Fragment,
    coef: &'static Fragment,
    /// The column formula, where it does not stand with its coefficients.
    column: Option<&'static Fragment>,
    has_second: bool,
    /// Whether it has row results of its own, so that columns need not be written.
    has_stats: bool,
}

static ROW_STAT: [&Fragment; 2] = [&ACC_ROW_STAT, &ACC_ROW_STAT_SUBGROUP];
static SMOOTHED: [&Fragment; 2] = [&ACC_SMOOTHED, &ACC_SMOOTHED_SUBGROUP];
static SUM: [&Fragment; 2] = [&ACC_SUM, &ACC_SUM_SUBGROUP];

/// One row an operation: adding one adds a row and the files that it names.
static OPS: [OpFiles; 6] = [
    OpFiles {
        op: RowOp::CrossEntropy,
        acc: ROW_STAT,
        sweep: &SWEEP_ROW_STAT,
        row: &[&TARGET_KIND, &STATS, &STATS_LSE, &ROW_CROSS_ENTROPY],
        finish: &FINISH_CROSS_ENTROPY,
        coef: &COLUMN_EXP,
        column: None,
        has_second: false,
        has_stats: true,
    },
    OpFiles {
        op: RowOp::Softmax,
        acc: ROW_STAT,
        sweep: &SWEEP_ROW_STAT,
        row: &[&ROW_PLAIN],
        finish: &FINISH_EXP,
        coef: &COLUMN_EXP,
        column: None,
        has_second: false,
        has_stats: false,
    },
    OpFiles {
        op: RowOp::LogSoftmax,
        acc: ROW_STAT,
        sweep: &SWEEP_ROW_STAT,
        row: &[&ROW_PLAIN],
        finish: &FINISH_LOG_SOFTMAX,
        coef: &COLUMN_LOG_SOFTMAX,
        column: None,
        has_second: false,
        has_stats: false,
    },
    OpFiles {
        op: RowOp::LogSumExp,
        acc: ROW_STAT,
        sweep: &SWEEP_ROW_STAT,
        row: &[&STATS, &STATS_LSE, &ROW_LOGSUMEXP],
        finish: &FINISH_EXP,
        coef: &COLUMN_EXP,
        column: None,
        has_second: false,
        has_stats: true,
    },
    OpFiles {
        op: RowOp::SoftmaxBackward,
        acc: SUM,
        sweep: &SWEEP_DOT,
        row: &[&ROW_PLAIN],
        finish: &FINISH_SUM,
        coef: &COEF_SUM,
        column: Some(&COLUMN_SOFTMAX_BACKWARD),
        has_second: true,
        has_stats: false,
    },
    OpFiles {
        op: RowOp::LogSoftmaxBackward,
        acc: SUM,
        sweep: &SWEEP_SECOND,
        row: &[&ROW_PLAIN],
        finish: &FINISH_SUM,
        coef: &COEF_SUM,
        column: Some(&COLUMN_LOG_SOFTMAX_BACKWARD),
        has_second: true,
        has_stats: false,
    },
];

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

    fn fragment(self) -> &'static Fragment {
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
    const ALL: [Self; 5] =
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
    /// What happens to logits first, for cross-entropy.
    pub chain: Chain,
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
    /// Sums losses, by blocks.
    SumLoss,
    /// Folds the blocks of [`Kernel::SumLoss`] into a sum.
    FinishSum,
    /// Folds the blocks of [`Kernel::SumLoss`] into a mean.
    FinishMean,
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
            Self::SumLoss => {
                vec![&PARAMS, &WORD_F32, &ACC_SUM, &REDUCE_TREE, &STATS, &SCRATCH, &SUM_LOSS]
            }
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
                format!("{:?} {:?} {:?} {:?} {:?}", k.op, k.family, k.word, k.columns, k.reduce)
            }
            other => format!("{other:?}"),
        }
    }

    /// Every kernel that a plan can ask for, and those of dtypes that no plan asks for yet.
    pub fn all() -> Vec<Self> {
        let mut all = vec![
            Self::ScanTargets(TargetType::I32, Weighting::None),
            Self::ScanTargets(TargetType::I64, Weighting::None),
            Self::ScanTargets(TargetType::I32, Weighting::Weights),
            Self::ScanTargets(TargetType::I64, Weighting::Weights),
            Self::FinishTargets,
            Self::SumLoss,
            Self::FinishSum,
            Self::FinishMean,
        ];
        for op in &OPS {
            for word in [Word::F32, Word::F32x4, Word::F16x4, Word::Bf16x4] {
                for kernel in RowKernel::variants(op, word) {
                    if !all.contains(&Self::Rows(kernel)) {
                        all.push(Self::Rows(kernel));
                    }
                }
            }
        }
        all
    }
}

impl Weighting {
    fn fragment(self) -> &'static Fragment {
        if self == Self::None { &WEIGHTS_NONE } else { &WEIGHTS_BUFFER }
    }
}

impl RowKernel {
    fn files(self) -> &'static OpFiles {
        // OPS has a row for every RowOp; the tests walk through all of them.
        OPS.iter().find(|row| row.op == self.op).unwrap_or(&OPS[0])
    }

    /// Every form of an operation on matrices of one kind, some of them more than once.
    fn variants(op: &OpFiles, word: Word) -> Vec<Self> {
        let all_columns = [Columns::InPlace, Columns::Separate, Columns::None];
        let upstreams: &[UpstreamFrom] = match op.op {
            RowOp::CrossEntropy => &[UpstreamFrom::Scalar, UpstreamFrom::Mean, UpstreamFrom::Rows],
            RowOp::LogSumExp => &[UpstreamFrom::Rows],
            _ => &[UpstreamFrom::Scalar],
        };
        let options: &[(Weighting, Chain)] = match op.op {
            RowOp::CrossEntropy => &[
                (Weighting::None, Chain::None),
                (Weighting::Weights, Chain::None),
                (Weighting::Smoothed, Chain::None),
                (Weighting::None, Chain::Softcap),
                (Weighting::Weights, Chain::Softcap),
                (Weighting::Smoothed, Chain::Softcap),
            ],
            _ => &[(Weighting::None, Chain::None)],
        };
        let mut variants = Vec::new();
        for family in Family::ALL {
            let writes_nothing = family == Family::SplitColumns || !op.has_stats;
            for &columns in &all_columns[..if writes_nothing { 2 } else { 3 }] {
                for reduce in [Reduce::Subgroup, Reduce::Tree] {
                    for targets in [TargetType::I32, TargetType::I64] {
                        for &(weighting, chain) in options {
                            variants.extend(upstreams.iter().map(|&upstream| {
                                Self {
                                    family,
                                    op: op.op,
                                    word,
                                    columns,
                                    reduce,
                                    targets,
                                    upstream,
                                    weighting,
                                    chain,
                                }
                                .canonical()
                            }));
                        }
                    }
                }
            }
        }
        variants
    }

    /// The same kernel with everything that its text does not depend on set to one value, so that
    /// equal texts are one kernel.
    #[must_use]
    pub fn canonical(mut self) -> Self {
        let reduces = matches!(self.family, Family::Row | Family::SplitSweep | Family::SplitFinish);
        if !reduces {
            self.reduce = Reduce::Tree;
        }
        if self.op != RowOp::CrossEntropy || !self.has_row() {
            self.targets = TargetType::I32;
        }
        if !self.has_row() || self.columns == Columns::None {
            self.upstream = UpstreamFrom::Scalar;
        }
        if self.op != RowOp::CrossEntropy {
            (self.weighting, self.chain) = (Weighting::None, Chain::None);
        }
        // A single weight is read where a row begins, all of them in its sweep and its columns.
        if !self.has_row() && self.weighting == Weighting::Weights {
            self.weighting = Weighting::None;
        }
        match self.family {
            Family::SplitSweep => self.columns = Columns::None,
            // Whether columns follow matters here, not where they go.
            Family::SplitFinish if self.columns == Columns::InPlace => {
                self.columns = Columns::Separate;
            }
            _ => {}
        }
        self
    }

    /// Whether the kernel begins and finishes rows.
    fn has_row(self) -> bool {
        matches!(self.family, Family::Row | Family::Lane | Family::SplitFinish)
    }

    fn fragments(self) -> Vec<&'static Fragment> {
        let files = self.files();
        let smoothed = self.weighting == Weighting::Smoothed;
        let acc = if smoothed { SMOOTHED } else { files.acc };
        let sweep = if smoothed { &SWEEP_SMOOTHED } else { files.sweep };
        let mut list = vec![&PARAMS, &FLOATS, self.word.fragment()];
        list.push(match (self.family, self.columns) {
            (Family::SplitSweep | Family::SplitFinish, _) | (_, Columns::None) => &IO_READ,
            (_, Columns::InPlace) => &IO_IN_PLACE,
            (_, Columns::Separate) => &IO_SEPARATE,
        });
        if files.has_second && self.family != Family::SplitFinish {
            list.push(&SECOND_INPUT);
        }
        list.push(if self.chain == Chain::None { &CHAIN_NONE } else { &CHAIN_SOFTCAP });
        if smoothed || self.has_row() && self.op == RowOp::CrossEntropy {
            list.push(self.weighting.fragment());
        }
        if self.family != Family::SplitColumns {
            list.push(acc[0]);
        }
        if matches!(self.family, Family::Row | Family::Lane | Family::SplitSweep) {
            list.extend([sweep, &SWEEP_WORDS]);
        }
        if matches!(self.family, Family::Row | Family::SplitSweep | Family::SplitFinish) {
            match self.reduce {
                Reduce::Tree => list.push(&REDUCE_TREE),
                Reduce::Subgroup => list.extend([acc[1], &REDUCE_SUBGROUP]),
            }
        }
        if self.has_row() {
            self.push_row_fragments(&mut list);
        }
        if self.family == Family::SplitColumns {
            list.extend([files.coef, self.shift()]);
            list.extend(files.column);
        }
        list.extend(match self.family {
            Family::Row => vec![&ROW],
            Family::Lane => vec![&LANE],
            Family::SplitSweep => vec![&SCRATCH, &SPLIT_SWEEP],
            Family::SplitFinish => vec![&SCRATCH, &SPLIT_FINISH],
            Family::SplitColumns => vec![&SCRATCH, &SPLIT_COLUMNS],
        });
        list
    }

    /// The third term of the column formula.
    fn shift(self) -> &'static Fragment {
        if self.weighting == Weighting::Smoothed { &SHIFT_WEIGHTS } else { &SHIFT_NONE }
    }

    fn push_row_fragments(self, list: &mut Vec<&'static Fragment>) {
        let files = self.files();
        if self.op == RowOp::CrossEntropy {
            list.push(self.targets.fragment());
            if self.weighting != Weighting::Smoothed {
                list.push(&SMOOTHING_NONE);
            }
        }
        list.extend(files.row);
        if self.columns == Columns::None {
            list.push(&COLUMNS_NONE);
            return;
        }
        match self.upstream {
            UpstreamFrom::Scalar => list.push(&UPSTREAM_SCALAR),
            UpstreamFrom::Mean => list.extend([&SUMMARY, &UPSTREAM_MEAN]),
            UpstreamFrom::Rows => list.push(&UPSTREAM_ROWS),
        }
        list.extend([files.coef, self.shift(), files.finish]);
        if self.family == Family::SplitFinish {
            list.push(&COLUMNS_LATER);
        } else {
            list.extend(files.column);
            list.push(&COLUMNS_NOW);
        }
    }
}
