//! Every variant of every kernel, and which of them are the same.

use std::collections::HashSet;

use crate::gpu::caps::Reduce;
use crate::gpu::kernel::{
    Chain, Columns, Family, Kernel, RowKernel, TargetType, UpstreamFrom, Weighting, Word,
};
use crate::gpu::ops::{ElementOp, RowOp};
use crate::op::InputForm;

impl Kernel {
    /// Every kernel that a plan can ask for, and those of dtypes that no plan asks for yet.
    pub fn all() -> Vec<Self> {
        let mut all = vec![
            Self::ScanTargets(TargetType::I32, Weighting::None),
            Self::ScanTargets(TargetType::I64, Weighting::None),
            Self::ScanTargets(TargetType::I32, Weighting::Weights),
            Self::ScanTargets(TargetType::I64, Weighting::Weights),
            Self::FinishTargets,
            Self::SumLoss { metrics: false },
            Self::SumLoss { metrics: true },
            Self::FinishSum,
            Self::FinishMean,
            Self::SumMetrics,
            Self::FinishMetrics,
        ];
        let mut seen = HashSet::new();
        for op in RowOp::all() {
            for word in [Word::F32, Word::F32x4, Word::F16x4, Word::Bf16x4] {
                let kernels = RowKernel::variants(op, word);
                all.extend(kernels.into_iter().filter(|k| seen.insert(*k)).map(Self::Rows));
            }
        }
        all
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
        ];
        all.extend(ElementOp::ALL.map(Self::Elements));
        all.extend(ElementOp::ALL.map(Self::ElementLosses));
        all
    }

    fn upstreams(self) -> &'static [UpstreamFrom] {
        use UpstreamFrom::{Elements, Mean, Rows, Scalar};
        match self {
            Self::CrossEntropy | Self::Focal => &[Scalar, Mean, Rows],
            Self::LogSumExp | Self::Entropy => &[Rows],
            Self::Elements(_) => &[Scalar, Elements],
            Self::LabelCrossEntropy
            | Self::TargetGradient
            | Self::Kl
            | Self::ReverseKl
            | Self::Js => &[Scalar, Rows],
            _ => &[Scalar],
        }
    }

    fn weightings(self) -> &'static [Weighting] {
        use Weighting::{None, Smoothed, Weights};
        match self {
            Self::CrossEntropy => &[None, Weights, Smoothed],
            Self::LabelCrossEntropy
            | Self::TargetGradient
            | Self::Focal
            | Self::Elements(ElementOp::BinaryLogits)
            | Self::ElementLosses(ElementOp::BinaryLogits) => &[None, Weights],
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

impl RowKernel {
    /// Every form of an operation on matrices of one kind, some of them more than once. Of the
    /// 16-bit kinds those without options.
    fn variants(op: RowOp, word: Word) -> Vec<Self> {
        let is_planned = matches!(word, Word::F32 | Word::F32x4);
        let some = |all: usize| if is_planned { all } else { 1 };
        let forms = [InputForm::Logits, InputForm::LogProbs, InputForm::Probs];
        let mut variants = Vec::new();
        for &weighting in &op.weightings()[..some(op.weightings().len())] {
            for form in &forms[..some(if op.has_forms() { 3 } else { 1 })] {
                for chain in &[Chain::None, Chain::Softcap][..some(2)] {
                    for &metrics in &[false, true][..some(2)] {
                        for &factors in &[false, true][..some(2)] {
                            variants.push(Self {
                                family: Family::Row,
                                op,
                                word,
                                columns: Columns::InPlace,
                                reduce: Reduce::Tree,
                                targets: TargetType::I32,
                                upstream: UpstreamFrom::Scalar,
                                weighting,
                                chain: *chain,
                                form: *form,
                                metrics,
                                factors,
                            });
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
            let writes_columns = !self.op.writes_in_sweep() && self.op != RowOp::PairStats;
            if family == Family::SplitColumns && !writes_columns {
                continue;
            }
            let writes = family == Family::SplitColumns || !self.op.has_stats();
            let writes = writes || matches!(self.op, RowOp::ElementLosses(_));
            for &columns in &all_columns[..if writes { 2 } else { 3 }] {
                for reduce in [Reduce::Subgroup, Reduce::Tree] {
                    for targets in [TargetType::I32, TargetType::I64] {
                        placements.extend(self.op.upstreams().iter().map(|&upstream| {
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
        if op == RowOp::PairStats {
            self.columns = Columns::None;
        }
        if !op.has_forms() {
            self.form = InputForm::Logits;
        }
        let has_chain = op.is_divergence() || op.is_cross_entropy();
        // What is normalised already has no chain.
        if !has_chain || op.is_cross_entropy() && self.form != InputForm::Logits {
            self.chain = Chain::None;
        }
        self.metrics &= op.can_measure();
        self.factors &= op.writes_in_sweep();
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
            self.targets = TargetType::I32;
        }
        let writes = self.columns != Columns::None
            && if op.writes_in_sweep() { self.sweeps() } else { self.has_row() };
        if !writes || !op.upstreams().contains(&self.upstream) {
            self.upstream = op.upstreams()[0];
        }
        let reduces = matches!(self.family, Family::Row | Family::SplitSweep | Family::SplitFinish);
        self.reduce = if reduces { self.reduction() } else { Reduce::Tree };
        match self.family {
            Family::SplitSweep if !op.writes_in_sweep() => self.columns = Columns::None,
            Family::SplitFinish if op.writes_in_sweep() => self.columns = Columns::None,
            // Whether columns follow matters here, not where they go.
            Family::SplitFinish if self.columns == Columns::InPlace => {
                self.columns = Columns::Separate;
            }
            _ => {}
        }
        self
    }
}
