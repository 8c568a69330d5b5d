//! The table of operations: which shader files make up each.

use crate::gpu::caps::Reduce;
#[allow(clippy::wildcard_imports, reason = "the table below is made of their names")]
use crate::gpu::fragment::*;
use crate::gpu::kernel::{Chain, Columns, RowKernel, Weighting};
use crate::gpu::word::Word;
use crate::op::InputForm;

/// An operation on rows, as the shaders know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RowOp {
    /// Cross-entropy with index targets.
    CrossEntropy,
    /// Cross-entropy with probability targets.
    LabelCrossEntropy,
    /// The gradient of probability targets.
    TargetGradient,
    /// Focal loss with index targets.
    Focal,
    /// Softmax.
    Softmax,
    /// Log-softmax and surprisal.
    LogSoftmax,
    /// Log-sum-exp, and its backward.
    LogSumExp,
    /// Softmax's backward.
    SoftmaxBackward,
    /// Log-softmax's backward.
    LogSoftmaxBackward,
    /// Entropy, and its backward.
    Entropy,
    /// KL(teacher || student).
    Kl,
    /// KL(student || teacher).
    ReverseKl,
    /// The statistics of teacher and student: the first pass of [`RowOp::Js`].
    PairStats,
    /// The Jensen-Shannon divergence.
    Js,
    /// An elementwise loss, summed by rows; its columns are its gradient.
    Elements(ElementOp),
    /// An elementwise loss; its columns are the losses.
    ElementLosses(ElementOp),
    /// How many elements of each row count.
    ElementCounts,
}

/// An elementwise loss, as the shaders know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "named like the operations")]
pub enum ElementOp {
    BinaryLogits,
    BinaryProbs,
    BinaryFocal,
    Squared,
    Absolute,
    Huber,
    Hinge,
}

impl ElementOp {
    pub(super) const ALL: [Self; 7] = [
        Self::BinaryLogits,
        Self::BinaryProbs,
        Self::BinaryFocal,
        Self::Squared,
        Self::Absolute,
        Self::Huber,
        Self::Hinge,
    ];
}

/// What is accumulated over a row.
#[derive(Debug)]
pub(super) struct AccFiles {
    pub(super) files: &'static [&'static Fragment],
    /// The same over a subgroup; without it, lanes reduce through workgroup memory.
    pub(super) subgroup: Option<&'static Fragment>,
    /// Words of scratch that it takes; `ACC_WORDS` of the shader.
    pub(super) words: u64,
}

static ROW_STAT: AccFiles =
    AccFiles { files: &[&REST, &ACC_ROW_STAT], subgroup: Some(&ACC_ROW_STAT_SUBGROUP), words: 1 };
static WEIGHTED: AccFiles = AccFiles {
    files: &[&REST, &COLLAPSE, &ACC_WEIGHTED],
    subgroup: Some(&ACC_WEIGHTED_SUBGROUP),
    words: 1,
};
static SUM: AccFiles = AccFiles { files: &[&ACC_SUM], subgroup: Some(&ACC_SUM_SUBGROUP), words: 1 };
static LOSSES: AccFiles = AccFiles { files: &[&ACC_LOSSES], subgroup: None, words: 1 };
static ARGMAX: AccFiles =
    AccFiles { files: &[&REST, &COLLAPSE, &ACC_ARGMAX], subgroup: None, words: 2 };
static LABELS: AccFiles =
    AccFiles { files: &[&REST, &COLLAPSE, &ACC_LABELS], subgroup: None, words: 3 };
static PAIR: AccFiles =
    AccFiles { files: &[&REST, &COLLAPSE, &ACC_PAIR], subgroup: None, words: 2 };
static JS: AccFiles = AccFiles { files: &[&ACC_JS], subgroup: None, words: 1 };

/// The files of one operation with its options.
pub(super) struct OpFiles {
    pub(super) acc: &'static AccFiles,
    /// How a word of a row joins what is accumulated.
    pub(super) sweep: &'static Fragment,
    /// What the sweep and the columns read besides the input.
    pub(super) reads: Vec<&'static Fragment>,
    /// What is read before the sweep, and the row's results.
    pub(super) row: Vec<&'static Fragment>,
    /// From what was accumulated to the columns' coefficients.
    pub(super) finish: &'static Fragment,
    /// The coefficients and the column formula.
    pub(super) column: Vec<&'static Fragment>,
}

impl RowKernel {
    /// The table: a row for each operation. An option is a fragment in one of its places.
    pub(super) fn files(self) -> OpFiles {
        let row_stat = |row, finish, column| OpFiles {
            acc: &ROW_STAT,
            sweep: &SWEEP_ROW_STAT,
            reads: vec![&CHAIN_NONE],
            row,
            finish,
            column,
        };
        match self.op {
            RowOp::CrossEntropy => self.cross_entropy(),
            RowOp::LabelCrossEntropy => self.label_cross_entropy(),
            RowOp::TargetGradient => OpFiles {
                reads: vec![self.input_chain(), self.class_weights()],
                row: vec![&ROW_PLAIN, &STATS_LSE, self.input_form()],
                ..row_stat(vec![], &FINISH_TARGET_GRADIENT, vec![&COLUMN_TARGET_GRADIENT])
            },
            RowOp::Focal => OpFiles {
                reads: vec![&CHAIN_NONE, self.class_weights()],
                ..row_stat(self.focal_row(), &FINISH_FOCAL, vec![&COLUMN_EXP, &SHIFT_NONE])
            },
            RowOp::Softmax => {
                row_stat(vec![&ROW_PLAIN], &FINISH_EXP, vec![&COLUMN_EXP, &SHIFT_NONE])
            }
            RowOp::LogSoftmax => {
                row_stat(vec![&ROW_PLAIN], &FINISH_LOG_SOFTMAX, vec![&COLUMN_LOG_SOFTMAX])
            }
            RowOp::LogSumExp => row_stat(
                vec![&STATS, &STATS_LSE, &ROW_LOGSUMEXP],
                &FINISH_EXP,
                vec![&COLUMN_EXP, &SHIFT_NONE],
            ),
            RowOp::SoftmaxBackward => self.backward(&SWEEP_DOT, &COLUMN_SOFTMAX_BACKWARD),
            RowOp::LogSoftmaxBackward => self.backward(&SWEEP_SECOND, &COLUMN_LOG_SOFTMAX_BACKWARD),
            RowOp::Entropy => OpFiles {
                acc: &PAIR,
                sweep: &SWEEP_ENTROPY,
                reads: vec![&CHAIN_NONE, &SIDES_ENTROPY],
                ..row_stat(
                    vec![&STATS, &STUDENT, &ROW_ENTROPY],
                    &FINISH_ENTROPY,
                    vec![&COLUMN_ENTROPY],
                )
            },
            RowOp::Kl => self.divergence(&SWEEP_KL, &ROW_KL, &FINISH_KL, &COLUMN_KL),
            RowOp::ReverseKl => self.divergence(
                &SWEEP_REVERSE_KL,
                &ROW_REVERSE_KL,
                &FINISH_REVERSE_KL,
                &COLUMN_REVERSE_KL,
            ),
            RowOp::PairStats => {
                let mut files = self.divergence(&SWEEP_KL, &ROW_PAIRS, &FINISH_KL, &COLUMN_KL);
                files.row.push(&PAIRS);
                files
            }
            RowOp::Js => {
                let mut files = self.divergence(&SWEEP_JS, &ROW_JS, &FINISH_JS, &COLUMN_JS);
                files.acc = &JS;
                files.reads.extend([&PAIRS, &SOFTPLUS, &JS_TERMS]);
                files
            }
            RowOp::Elements(element) | RowOp::ElementLosses(element) => self.elements(element),
            RowOp::ElementCounts => OpFiles {
                acc: &SUM,
                sweep: &SWEEP_ELEMENT_COUNTS,
                reads: self.counted_elements(),
                row: vec![&STATS, &ROW_ELEMENT_COUNTS],
                finish: &FINISH_SUM,
                column: vec![&COEF_SUM],
            },
        }
    }

    fn focal_row(self) -> Vec<&'static Fragment> {
        let targets = self.targets.fragment();
        let own = [&MODULATION, &STORE_FOCAL];
        [targets, &TARGET_KIND, &STATS, &STATS_LSE, &FORM_LOGITS, &ROW_TARGET]
            .into_iter()
            .chain(own)
            .collect()
    }

    fn cross_entropy(self) -> OpFiles {
        let smoothed = self.weighting == Weighting::Smoothed;
        let normalized = self.form != InputForm::Logits;
        let (acc, sweep) = match (self.metrics, smoothed) {
            (true, true) => (&ARGMAX, &SWEEP_SMOOTHED_ARGMAX),
            (true, false) => (&ARGMAX, &SWEEP_ARGMAX),
            (false, true) => (&WEIGHTED, &SWEEP_SMOOTHED),
            (false, false) => (&ROW_STAT, &SWEEP_ROW_STAT),
        };
        let shift = if smoothed { &SHIFT_WEIGHTS } else { &SHIFT_NONE };
        let (finish, column) = if normalized {
            (&FINISH_NLL, &COLUMN_NORMALIZED)
        } else {
            (&FINISH_CROSS_ENTROPY, &COLUMN_EXP)
        };
        OpFiles {
            acc,
            sweep,
            reads: vec![self.input_chain(), self.class_weights()],
            row: vec![
                self.targets.fragment(),
                &TARGET_KIND,
                self.row_results(),
                &STATS_LSE,
                self.input_form(),
                if smoothed { &SMOOTHING } else { &SMOOTHING_NONE },
                if self.metrics { &BEST_COLUMN } else { &METRICS_NONE },
                &ROW_TARGET,
                &STORE_CROSS_ENTROPY,
            ],
            finish,
            column: vec![column, shift],
        }
    }

    fn label_cross_entropy(self) -> OpFiles {
        let (acc, sweep) =
            if self.metrics { (&LABELS, &SWEEP_LABELS_ARGMAX) } else { (&WEIGHTED, &SWEEP_LABELS) };
        let (finish, column) = if self.form == InputForm::Logits {
            (&FINISH_LABELS, vec![&COLUMN_LABELS])
        } else {
            (&FINISH_LABELS_NORMALIZED, vec![&COLUMN_NORMALIZED, &SHIFT_LABELS])
        };
        OpFiles {
            acc,
            sweep,
            reads: vec![self.input_chain(), self.class_weights(), self.second_input(), &LABEL_PART],
            row: [
                vec![self.row_results(), &STATS_LSE, self.input_form()],
                if self.metrics {
                    vec![&BEST_COLUMN, &METRICS_LABELS]
                } else {
                    vec![&METRICS_NONE]
                },
                vec![&ROW_LABELS],
            ]
            .concat(),
            finish,
            column,
        }
    }

    fn divergence(
        self,
        sweep: &'static Fragment,
        row: &'static Fragment,
        finish: &'static Fragment,
        column: &'static Fragment,
    ) -> OpFiles {
        let teacher = match self.form {
            InputForm::Logits => &TEACHER_LOGITS,
            InputForm::LogProbs => &TEACHER_LOG_PROBS,
            InputForm::Probs => &TEACHER_PROBS,
        };
        let sides = if self.op == RowOp::ReverseKl { &SIDES_REVERSE_KL } else { &SIDES_KL };
        let mut reads = vec![self.chain.fragment(), self.second_input(), teacher, sides];
        if self.form == InputForm::Probs {
            reads.push(&LOG_OF);
        }
        OpFiles {
            acc: &PAIR,
            sweep,
            reads,
            row: vec![&STATS, &STUDENT, row],
            finish,
            column: vec![column],
        }
    }

    fn elements(self, element: ElementOp) -> OpFiles {
        let mut reads = self.counted_elements();
        reads.extend([
            self.second_input(),
            if self.factors {
                self.word.pick(&FACTORS_BUFFER, &FACTORS_RAGGED)
            } else {
                &FACTORS_NONE
            },
            &SOFTPLUS,
            &ELEMENT,
        ]);
        reads.extend(match element {
            ElementOp::BinaryLogits => vec![&ELEMENT_BINARY_LOGITS, self.class_weights()],
            ElementOp::BinaryProbs => vec![&LOG_OF, &ELEMENT_BINARY_PROBS],
            ElementOp::BinaryFocal => vec![&ELEMENT_BINARY_FOCAL, &MODULATION],
            ElementOp::Squared => vec![&ELEMENT_SQUARED],
            ElementOp::Absolute => vec![&ELEMENT_ABSOLUTE],
            ElementOp::Huber => vec![&ELEMENT_HUBER],
            ElementOp::Hinge => vec![&ELEMENT_HINGE],
        });
        let sweep = match self.op {
            _ if self.columns == Columns::None || !self.writes_in_sweep() => &SWEEP_ELEMENTS,
            RowOp::ElementLosses(_) => &SWEEP_ELEMENT_LOSSES,
            _ => &SWEEP_ELEMENTS_GRADIENT,
        };
        OpFiles {
            acc: &LOSSES,
            sweep,
            reads,
            row: vec![&STATS, &ROW_ELEMENTS],
            finish: &FINISH_SUM,
            // Where the sweep does not write them.
            column: vec![&COEF_SUM, &COLUMN_ELEMENT],
        }
    }

    fn backward(self, sweep: &'static Fragment, column: &'static Fragment) -> OpFiles {
        OpFiles {
            acc: &SUM,
            sweep,
            reads: vec![self.second_input()],
            row: vec![&ROW_PLAIN],
            finish: &FINISH_SUM,
            column: vec![&COEF_SUM, column],
        }
    }

    /// Which elements count.
    fn counted_elements(self) -> Vec<&'static Fragment> {
        match (self.masked, self.word) {
            (false, _) => vec![&ELEMENTS_ALL],
            (true, Word::F32) => vec![&MASK, &ELEMENTS_MASKED_ONE],
            (true, _) => vec![&MASK, &ELEMENTS_MASKED],
        }
    }

    /// Which rows count, of an operation that has no other way to tell.
    pub(super) fn counted_rows(self) -> Vec<&'static Fragment> {
        if self.masked && !self.op.is_elementwise() {
            vec![self.targets.fragment(), &TARGET_KIND, &COUNTS_TARGETS]
        } else {
            vec![&COUNTS_ALL]
        }
    }

    fn second_input(self) -> &'static Fragment {
        self.word.pick(&SECOND_INPUT, &SECOND_INPUT_RAGGED)
    }

    fn class_weights(self) -> &'static Fragment {
        self.weighting.fragment(self.word)
    }

    fn row_results(self) -> &'static Fragment {
        if self.metrics { &STATS_METRICS } else { &STATS }
    }

    fn input_form(self) -> &'static Fragment {
        if self.form == InputForm::Logits { &FORM_LOGITS } else { &FORM_NORMALIZED }
    }

    /// What makes a z of an element of the input.
    fn input_chain(self) -> &'static Fragment {
        if self.form == InputForm::Probs { &CHAIN_PROBS } else { self.chain.fragment() }
    }

    /// How lanes reduce what this kernel accumulates.
    pub(super) fn reduction(self) -> Reduce {
        if self.files().acc.subgroup.is_some() { self.reduce } else { Reduce::Tree }
    }
}

impl Chain {
    fn fragment(self) -> &'static Fragment {
        if self == Self::None { &CHAIN_NONE } else { &CHAIN_SOFTCAP }
    }
}

impl RowOp {
    /// Whether it has results of its own for each row, so that columns need not be written.
    pub(super) fn has_stats(self) -> bool {
        !matches!(
            self,
            Self::TargetGradient
                | Self::Softmax
                | Self::LogSoftmax
                | Self::SoftmaxBackward
                | Self::LogSoftmaxBackward
        )
    }

    /// Whether it has index targets.
    pub(super) fn has_index_targets(self) -> bool {
        matches!(self, Self::CrossEntropy | Self::Focal)
    }

    /// Whether it is of elements, whatever their rows are.
    pub(super) fn is_elementwise(self) -> bool {
        matches!(self, Self::Elements(_) | Self::ElementLosses(_) | Self::ElementCounts)
    }
}
