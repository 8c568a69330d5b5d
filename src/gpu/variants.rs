//! Every variant of every kernel, and which of them are the same.

use std::collections::HashSet;

use crate::gpu::caps::Reduce;
use crate::gpu::fragment::Access;
use crate::gpu::kernel::{
    Chain, Columns, Family, Kernel, RowKernel, Sharing, TargetType, UpstreamFrom, Weighting,
};
use crate::gpu::ops::{ElementOp, RowOp};
use crate::gpu::product::ProductKernel;
use crate::gpu::tile_sweep::TileSweep;
use crate::gpu::word::Word;
use crate::op::InputForm;

impl Kernel {
    /// Every kernel that a plan can ask for.
    pub fn all() -> Vec<Self> {
        let mut all = vec![
            Self::JoinEdges,
            Self::MaskTargets(None),
            Self::MaskTargets(Some(TargetType::I32)),
            Self::MaskTargets(Some(TargetType::I64)),
            Self::FinishCounts,
            Self::ColumnSums,
            Self::ScanTargets(TargetType::I32, Weighting::None),
            Self::ScanTargets(TargetType::I64, Weighting::None),
            Self::ScanTargets(TargetType::I32, Weighting::Weights),
            Self::ScanTargets(TargetType::I64, Weighting::Weights),
            Self::FinishTargets,
            Self::ListKept(TargetType::I32),
            Self::ListKept(TargetType::I64),
            Self::GatherRows,
            Self::SpreadRows,
            Self::ClearIgnored(TargetType::I32),
            Self::ClearIgnored(TargetType::I64),
            Self::FitParams,
            Self::SumLoss { metrics: false },
            Self::SumLoss { metrics: true },
            Self::FinishSum,
            Self::FinishMean,
            Self::SumMetrics,
            Self::FinishMetrics,
        ];
        for word in Word::ALL {
            all.extend([false, true].map(|masked| Self::MaskLabels { word, masked }));
        }
        all.extend(ProductKernel::all().into_iter().map(Self::Product));
        all.extend(TileSweep::all());
        let mut seen = HashSet::new();
        for op in RowOp::all() {
            for word in Word::ALL {
                for sharing in [Sharing::Apart, Sharing::Shared] {
                    let kernels = RowKernel::variants(op, word, sharing);
                    all.extend(kernels.into_iter().filter(|k| seen.insert(*k)).map(Self::Rows));
                }
            }
        }
        all
    }

    /// Of [`Self::all`], every kernel on f32 matrices with buffers of their own and without masks; and of the
    /// others, whose words, bindings and masks change what stands around them and nothing else, enough that
    /// any two files that are joined in one of them are joined in one that is here.
    pub fn spanning() -> Vec<Self> {
        let mut seen = HashSet::new();
        let mut spanning = Self::all();
        spanning.retain(|kernel| {
            let Self::Rows(row) = kernel else { return true };
            if !row.word.is_narrow() && row.sharing == Sharing::Apart && !row.masked {
                return true;
            }
            let files: Vec<_> = row.fragments().iter().map(|fragment| fragment.name).collect();
            let pairs = files.iter().flat_map(|a| files.iter().map(move |b| (*a, *b)));
            pairs.filter(|(a, b)| seen.insert((row.sharing, *a, *b))).count() > 0
        });
        spanning
    }
}

impl RowOp {
    fn all() -> Vec<Self> {
        let mut all = vec![
            Self::CrossEntropy,
            Self::LabelCrossEntropy,
            Self::TargetGradient,
            Self::Focal,
            Self::Softmax,
            Self::LogSoftmax,
            Self::LogSumExp,
            Self::SoftmaxBackward,
            Self::LogSoftmaxBackward,
            Self::Entropy,
            Self::Kl,
            Self::ReverseKl,
            Self::PairStats,
            Self::Js,
            Self::ElementCounts,
        ];
        all.extend(ElementOp::ALL.map(Self::Elements));
        all.extend(ElementOp::ALL.map(Self::ElementLosses));
        all
    }

    /// Where an upstream gradient may come from. A mean's divisor is made on the device where only that
    /// knows what counts.
    fn upstreams(self, masked: bool) -> &'static [UpstreamFrom] {
        use UpstreamFrom::{Elements, Mean, Rows, Scalar};
        match self {
            Self::CrossEntropy | Self::Focal => &[Scalar, Mean, Rows],
            Self::LogSumExp | Self::Entropy => &[Rows],
            Self::Elements(_) if masked => &[Scalar, Elements, Mean],
            Self::Elements(_) => &[Scalar, Elements],
            Self::LabelCrossEntropy
            | Self::TargetGradient
            | Self::Kl
            | Self::ReverseKl
            | Self::Js
                if masked =>
            {
                &[Scalar, Rows, Mean]
            }
            Self::LabelCrossEntropy
            | Self::TargetGradient
            | Self::Kl
            | Self::ReverseKl
            | Self::Js => &[Scalar, Rows],
            _ => &[Scalar],
        }
    }

    fn weightings(self) -> &'static [Weighting] {
        use Weighting::{Alike, None, Smoothed, Weights};
        match self {
            Self::CrossEntropy => &[None, Weights, Smoothed],
            Self::LabelCrossEntropy | Self::TargetGradient | Self::Focal => &[None, Weights],
            Self::Elements(ElementOp::BinaryLogits)
            | Self::ElementLosses(ElementOp::BinaryLogits) => &[None, Alike, Weights],
            _ => &[None],
        }
    }

    /// Whether it knows the three forms of input, or of teacher.
    fn has_forms(self) -> bool {
        self.is_cross_entropy() || self.is_divergence()
    }

    fn is_cross_entropy(self) -> bool {
        matches!(self, Self::CrossEntropy | Self::LabelCrossEntropy | Self::TargetGradient)
    }

    fn is_divergence(self) -> bool {
        matches!(self, Self::Kl | Self::ReverseKl | Self::PairStats | Self::Js)
    }

    fn can_measure(self) -> bool {
        matches!(self, Self::CrossEntropy | Self::LabelCrossEntropy)
    }
}

/// Without, and with, what an operation can have.
fn either(can_have: bool) -> &'static [bool] {
    &[false, true][..=usize::from(can_have)]
}

impl RowKernel {
    /// Every form of an operation on matrices of one kind, some of them more than once.
    fn variants(op: RowOp, word: Word, sharing: Sharing) -> Vec<Self> {
        let forms = [InputForm::Logits, InputForm::LogProbs, InputForm::Probs];
        let mut variants = Vec::new();
        for &weighting in op.weightings() {
            for &form in &forms[..if op.has_forms() { 3 } else { 1 }] {
                for chain in [Chain::None, Chain::Softcap] {
                    for &metrics in either(op.can_measure()) {
                        for &factors in either(op.is_elementwise()) {
                            variants.extend(either(!op.has_index_targets()).iter().map(
                                |&masked| Self {
                                    family: Family::Row,
                                    op,
                                    word,
                                    columns: Columns::InPlace,
                                    reduce: Reduce::Tree,
                                    targets: TargetType::I32,
                                    upstream: UpstreamFrom::Scalar,
                                    weighting,
                                    chain,
                                    form,
                                    metrics,
                                    factors,
                                    masked,
                                    sharing,
                                },
                            ));
                        }
                    }
                }
            }
        }
        variants.iter().flat_map(|kernel| kernel.placements()).collect()
    }

    /// This kernel in every family, for every place and type of what it reads and writes.
    fn placements(self) -> Vec<Self> {
        let all_columns = [Columns::InPlace, Columns::Separate, Columns::None];
        let mut placements = Vec::new();
        for family in Family::ALL {
            let has_columns = !matches!(self.op, RowOp::PairStats | RowOp::ElementCounts);
            let writes_columns = !self.writes_in_sweep() && has_columns;
            if family == Family::SplitColumns && !writes_columns {
                continue;
            }
            let writes = family == Family::SplitColumns || !self.op.has_stats();
            let writes = writes || matches!(self.op, RowOp::ElementLosses(_));
            for &columns in &all_columns[..if writes { 2 } else { 3 }] {
                for reduce in [Reduce::Subgroup, Reduce::OneSubgroup, Reduce::Tree] {
                    for targets in [TargetType::I32, TargetType::I64] {
                        placements.extend(self.op.upstreams(self.masked).iter().map(|&upstream| {
                            Self { family, columns, reduce, targets, upstream, ..self }.canonical()
                        }));
                    }
                }
            }
        }
        placements
    }

    /// The same kernel with everything that its text does not depend on set to one value, so that
    /// equal texts are one kernel.
    #[must_use]
    pub fn canonical(mut self) -> Self {
        let op = self.op;
        if matches!(op, RowOp::PairStats | RowOp::ElementCounts) {
            self.columns = Columns::None;
        }
        if !op.has_forms() {
            self.form = InputForm::Logits;
        }
        // Losses are f32: they cannot take the place of what is not.
        if self.word.is_narrow()
            && matches!(op, RowOp::ElementLosses(_))
            && self.columns == Columns::InPlace
        {
            self.columns = Columns::Separate;
        }
        if self.family == Family::Held && !self.can_hold() {
            self.family = Family::Row;
        }
        let has_chain = op.is_divergence() || op.is_cross_entropy();
        // What is normalised already has no chain.
        if !has_chain || op.is_cross_entropy() && self.form != InputForm::Logits {
            self.chain = Chain::None;
        }
        self.metrics &= op.can_measure();
        self.factors &= op.is_elementwise() && op != RowOp::ElementCounts;
        let finds_what_counts = if op.is_elementwise() {
            self.family != Family::SplitFinish
        } else {
            self.finds_rows()
        };
        self.masked &= !op.has_index_targets() && finds_what_counts;
        // Elements are counted where some do not count.
        self.masked |= op == RowOp::ElementCounts && finds_what_counts;
        if !op.weightings().contains(&self.weighting)
            || self.form != InputForm::Logits && self.weighting == Weighting::Smoothed
        {
            self.weighting = Weighting::None;
        }
        // A single weight is read where a row begins; all of them in the sweep and the columns.
        if op.has_index_targets() && !self.has_row() && self.weighting == Weighting::Weights {
            self.weighting = Weighting::None;
        }
        if !op.has_index_targets() || !self.has_row() {
            // A mask of rows is made into i64.
            let is_read = self.masked && !op.is_elementwise();
            self.targets = if is_read { TargetType::I64 } else { TargetType::I32 };
        }
        let writes = self.columns != Columns::None
            && match (self.writes_in_sweep(), op.is_elementwise()) {
                (true, _) => self.sweeps(),
                (false, true) => {
                    self.family != Family::SplitSweep && self.family != Family::SplitFinish
                }
                (false, false) => self.has_row(),
            };
        let upstreams = op.upstreams(self.masked);
        if !writes || !upstreams.contains(&self.upstream) {
            self.upstream = upstreams[0];
        }
        self.reduce = if self.reduces() { self.reduction() } else { Reduce::Tree };
        match self.family {
            Family::SplitSweep if !self.writes_in_sweep() => self.columns = Columns::None,
            // No coefficients have to be left for elementwise columns.
            Family::SplitFinish if op.is_elementwise() => self.columns = Columns::None,
            // Whether columns follow matters here, not where they go.
            Family::SplitFinish if self.columns == Columns::InPlace => {
                self.columns = Columns::Separate;
            }
            _ => {}
        }
        let reads_only = |kernel: Self| {
            let files = kernel.fragments();
            let mut bindings = files.iter().flat_map(|fragment| fragment.bindings);
            bindings.any(|(_, access)| *access == Access::Read)
        };
        if !reads_only(self) {
            self.sharing = Sharing::Apart;
        }
        self
    }
}
