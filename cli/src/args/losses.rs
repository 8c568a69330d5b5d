//! The options of the losses. Structures that are flattened into others have no doc comments: clap
//! would take them for the command's own.

use crate::args::CommonArgs;
use crate::args::values::{
    BinaryFormArg, ClassWeights, ElementwiseKind, FormArg, IgnoreIndex, LabelsArg, NumberOrFile,
    ReductionArg, UnitArg,
};
use crate::files::{InputSpec, OutputSpec};

// What every loss has.
#[derive(Debug, clap::Args)]
pub(crate) struct LossArgs {
    /// How the losses are reduced
    #[arg(long, default_value = "mean")]
    pub(crate) reduction: ReductionArg,
    /// What the loss is measured in, if it is information
    #[arg(long, default_value = "nats")]
    pub(crate) unit: UnitArg,
    /// What gradients are multiplied by, the gradient of the loss itself: 1 unless set. A number, or a file: of
    /// one number without dimensions for a loss that is reduced; with --reduction none of one for each loss, for
    /// rows in the leading shape of the first file, with or without a trailing 1, or flat [rows], for elements
    /// in its shape
    #[arg(long, allow_hyphen_values = true, value_name = "FILE|NUMBER")]
    pub(crate) upstream: Option<NumberOrFile>,
    /// What counts, bool or integers, 0 does not: of losses of rows one for each row, in the leading shape of
    /// the first file, with or without a trailing 1, or flat [rows]; of losses of elements shaped like it. What
    /// does not count is not read, has a loss and a gradient of 0, and is not in the mean
    #[arg(long, value_name = "FILE")]
    pub(crate) mask: Option<InputSpec>,
    /// What a mean divides by, instead of how many rows or elements count (with class indices, of their class
    /// weights)
    #[arg(long, allow_negative_numbers = true, value_name = "N")]
    pub(crate) normalizer: Option<f64>,
    /// Writes the gradient with respect to the first file (of divergences, to the student)
    #[arg(long, value_name = "FILE")]
    pub(crate) grad: Option<OutputSpec>,
    /// Writes the log-sum-exp of each row's logits, where the loss has one: of a divergence, of the student's
    /// over the temperature
    #[arg(long, value_name = "FILE")]
    pub(crate) lse: Option<OutputSpec>,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CrossEntropyArgs {
    /// [rows, classes]; leading dimensions are taken together
    pub(crate) logits: InputSpec,
    /// Class indices, integers, one for each row, in LOGITS' leading shape, with or without a trailing 1,
    /// or flat [rows]; or probabilities (soft or one-hot labels), floats in [0, 1] shaped like LOGITS
    pub(crate) targets: InputSpec,
    /// What LOGITS holds
    #[arg(long, default_value = "logits")]
    pub(crate) input: FormArg,
    /// Probabilities below this count as this, 1e-10 unless set; for --input probs
    #[arg(long, allow_negative_numbers = true, value_name = "E")]
    pub(crate) clamp: Option<f64>,
    #[command(flatten)]
    pub(crate) options: CrossEntropyOptions,
    #[command(flatten)]
    pub(crate) loss: LossArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct LinearCrossEntropyArgs {
    /// What the layer reads, [rows, hidden]; leading dimensions are taken together
    pub(crate) hidden: InputSpec,
    /// The layer, [classes, hidden]
    pub(crate) weight: InputSpec,
    /// Class indices, integers, one for each row, in HIDDEN's leading shape, with or without a trailing 1,
    /// or flat [rows]; or probabilities, floats in [0, 1], a row of classes for each of HIDDEN's rows
    pub(crate) targets: InputSpec,
    /// The layer's bias, [classes]
    #[arg(long, value_name = "FILE")]
    pub(crate) bias: Option<InputSpec>,
    /// Writes the gradient with respect to WEIGHT
    #[arg(long, value_name = "FILE")]
    pub(crate) grad_weight: Option<OutputSpec>,
    /// Writes the gradient with respect to the bias
    #[arg(long, value_name = "FILE", requires = "bias")]
    pub(crate) grad_bias: Option<OutputSpec>,
    #[command(flatten)]
    pub(crate) options: CrossEntropyOptions,
    #[command(flatten)]
    pub(crate) loss: LossArgs,
}

// The options of cross-entropy, wherever its logits come from.
#[derive(Debug, clap::Args)]
pub(crate) struct CrossEntropyOptions {
    /// Reports accuracy and perplexity too
    #[arg(long)]
    pub(crate) metrics: bool,
    /// Rows with this target are skipped, -100 unless set; `none` skips no row
    #[arg(long, allow_hyphen_values = true, value_name = "I|none")]
    pub(crate) ignore_index: Option<IgnoreIndex>,
    /// A weight for each class: a file [classes], or `inverse-frequency` to take it from the targets
    #[arg(long, value_name = "FILE|inverse-frequency")]
    pub(crate) class_weights: Option<ClassWeights>,
    /// Spreads this share of each target over all classes; in [0, 1]
    #[arg(long, default_value = "0", allow_negative_numbers = true, value_name = "E")]
    pub(crate) label_smoothing: f64,
    /// Adds this times the squared log-sum-exp
    #[arg(long, default_value = "0", allow_hyphen_values = true, value_name = "L")]
    pub(crate) z_loss: f64,
    /// Bounds the logits: S tanh(logits / S)
    #[arg(long, allow_negative_numbers = true, value_name = "S")]
    pub(crate) softcap: Option<f64>,
    /// Multiplies the logits, before the softcap
    #[arg(long, default_value = "1", allow_hyphen_values = true, value_name = "A")]
    pub(crate) logit_scale: f64,
}

#[derive(Debug, clap::Args)]
pub(crate) struct BinaryCrossEntropyArgs {
    /// Any shape
    pub(crate) input: InputSpec,
    /// Labels shaped like INPUT, integers or floats
    pub(crate) targets: InputSpec,
    /// What INPUT holds
    #[arg(long = "input", value_name = "FORM", default_value = "logits")]
    pub(crate) form: BinaryFormArg,
    /// What the targets are: 0 and 1 or probabilities between, or -1 and +1
    #[arg(long, default_value = "zero-one")]
    pub(crate) labels: LabelsArg,
    /// A factor of each element's loss, shaped like INPUT
    #[arg(long, value_name = "FILE")]
    pub(crate) weights: Option<InputSpec>,
    /// A factor of what is 1: a number, or a file with one for each column, as many as INPUT's last dimension;
    /// for logits
    #[arg(long, allow_hyphen_values = true, value_name = "FILE|NUMBER")]
    pub(crate) pos_weight: Option<NumberOrFile>,
    /// Elements with this target are skipped, none unless set
    #[arg(long, allow_hyphen_values = true, value_name = "I|none")]
    pub(crate) ignore_index: Option<IgnoreIndex>,
    #[command(flatten)]
    pub(crate) loss: LossArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct FocalArgs {
    /// [rows, classes]; leading dimensions are taken together. With --binary any shape
    pub(crate) logits: InputSpec,
    /// Class indices, one for each row, in LOGITS' leading shape, with or without a trailing 1, or flat
    /// [rows]. With --binary 0 and 1, shaped like LOGITS
    pub(crate) targets: InputSpec,
    /// The exponent, from 0 up
    #[arg(long, default_value = "2", allow_negative_numbers = true, value_name = "G")]
    pub(crate) gamma: f64,
    /// A factor for each class, a file [classes]; with --binary a number in [0, 1], the factor of
    /// what is 1, the rest being that of what is 0
    #[arg(long, allow_negative_numbers = true, value_name = "FILE|NUMBER")]
    pub(crate) alpha: Option<NumberOrFile>,
    /// Rows with this target are skipped, -100 unless set; `none` skips no row. With --binary elements with this
    /// target are skipped, and none unless set
    #[arg(long, allow_hyphen_values = true, value_name = "I|none")]
    pub(crate) ignore_index: Option<IgnoreIndex>,
    /// Each element by itself, by its sigmoid
    #[arg(long)]
    pub(crate) binary: bool,
    #[command(flatten)]
    pub(crate) loss: LossArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DivergenceArgs {
    /// [rows, classes]; leading dimensions are taken together
    pub(crate) teacher: InputSpec,
    /// Logits, shaped like TEACHER
    pub(crate) student: InputSpec,
    /// Divides logits before the softmax
    #[arg(long, default_value = "1", allow_negative_numbers = true, value_name = "T")]
    pub(crate) temperature: f64,
    /// What TEACHER holds
    #[arg(long = "teacher", value_name = "FORM", default_value = "logits")]
    pub(crate) form: FormArg,
    #[command(flatten)]
    pub(crate) loss: LossArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct KlDivergenceArgs {
    /// KL(student || teacher) instead of KL(teacher || student)
    #[arg(long)]
    pub(crate) reverse: bool,
    #[command(flatten)]
    pub(crate) divergence: DivergenceArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct JsDivergenceArgs {
    /// The teacher's share B in the mixture M = B P + (1 - B) Q, in [0, 1]: B KL(P || M) + (1 - B) KL(Q || M),
    /// P the teacher and Q the student; 0 stands for KL(P || Q), 1 for KL(Q || P)
    #[arg(long, default_value = "0.5", allow_negative_numbers = true, value_name = "B")]
    pub(crate) beta: f64,
    #[command(flatten)]
    pub(crate) divergence: DivergenceArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ElementwiseArgs {
    /// Any shape
    pub(crate) input: InputSpec,
    /// Shaped like INPUT, integers or floats
    pub(crate) targets: InputSpec,
    /// Which loss: (x - y)^2, |x - y|, Huber's parabola with straight arms, or max(0, 1 - x y) with
    /// targets -1 and +1
    #[arg(long = "loss", value_name = "LOSS")]
    pub(crate) kind: ElementwiseKind,
    /// Where Huber's parabola becomes a line, 1 unless set
    #[arg(long, allow_negative_numbers = true, value_name = "D")]
    pub(crate) delta: Option<f64>,
    /// Elements with this target are skipped, none unless set
    #[arg(long, allow_hyphen_values = true, value_name = "I|none")]
    pub(crate) ignore_index: Option<IgnoreIndex>,
    #[command(flatten)]
    pub(crate) loss: LossArgs,
}
