//! The command line, as its users see it.

use clap::{Parser, Subcommand, ValueEnum};
use surprisal::{AdapterChoice, Reduction};

use crate::files::{InputSpec, OutputSpec};

/// Softmax and cross-entropy of files of logits, on GPU or CPU.
///
/// Files are .npy (little-endian floats and integers, C order) and .safetensors, as
/// file.safetensors:tensor; the tensor's name may be left out when there is one.
#[derive(Debug, Parser)]
#[command(name = "surprisal", version, about, long_about)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Cross-entropy of rows of logits against class indices, with its gradient
    CrossEntropy(Box<CrossEntropyArgs>),
    /// The softmax of each row
    Softmax(TransformArgs),
    /// The log-softmax of each row
    LogSoftmax(TransformArgs),
    /// The log-sum-exp of each row
    Logsumexp(TransformArgs),
    /// Every device that can be used, with its limits, and which one `auto` takes
    Devices,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CrossEntropyArgs {
    /// [rows, classes]; leading dimensions are taken together
    pub(crate) logits: InputSpec,
    /// Class indices, one for each row, in any shape
    pub(crate) targets: InputSpec,
    /// How the rows' losses are reduced
    #[arg(long, default_value = "mean")]
    pub(crate) reduction: ReductionArg,
    /// Rows with this target are skipped; `none` skips no row
    #[arg(long, default_value = "-100", allow_hyphen_values = true, value_name = "I|none")]
    pub(crate) ignore_index: IgnoreIndex,
    /// A weight for each class: a file [classes], or `inverse-frequency` to take it from the targets
    #[arg(long, value_name = "FILE|inverse-frequency")]
    pub(crate) class_weights: Option<ClassWeights>,
    /// Spreads this share of each target over all classes; in [0, 1]
    #[arg(long, default_value = "0", value_name = "E")]
    pub(crate) label_smoothing: f64,
    /// Adds this times the squared log-sum-exp
    #[arg(long, default_value = "0", allow_hyphen_values = true, value_name = "L")]
    pub(crate) z_loss: f64,
    /// Bounds the logits: S tanh(logits / S)
    #[arg(long, value_name = "S")]
    pub(crate) softcap: Option<f64>,
    /// Multiplies the logits, before the softcap
    #[arg(long, default_value = "1", allow_hyphen_values = true, value_name = "A")]
    pub(crate) logit_scale: f64,
    /// What a mean divides by, instead of the batch's total weight
    #[arg(long, value_name = "N")]
    pub(crate) normalizer: Option<f64>,
    /// The gradient of the loss itself: a number, or a file shaped like the loss
    #[arg(long, default_value = "1", allow_hyphen_values = true, value_name = "FILE|NUMBER")]
    pub(crate) upstream: UpstreamArg,
    /// Writes the gradient with respect to the logits
    #[arg(long, value_name = "FILE")]
    pub(crate) grad: Option<OutputSpec>,
    /// Writes the log-sum-exp of each row
    #[arg(long, value_name = "FILE")]
    pub(crate) lse: Option<OutputSpec>,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct TransformArgs {
    /// [rows, classes]; leading dimensions are taken together
    pub(crate) logits: InputSpec,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CommonArgs {
    /// Writes the result
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<OutputSpec>,
    /// Reports as one JSON object on one line
    #[arg(long)]
    pub(crate) json: bool,
    /// Reports nothing, unless --json is given
    #[arg(long)]
    pub(crate) quiet: bool,
    /// Where to compute; `auto` takes a real GPU if there is one, and the CPU otherwise
    #[arg(long, default_value = "auto")]
    pub(crate) device: DeviceArg,
    /// Which GPU, as `surprisal devices` prints them
    #[arg(long, value_name = "INDEX|[BACKEND:]NAME")]
    pub(crate) adapter: Option<AdapterChoice>,
    /// Threads on the CPU; all cores unless set
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) threads: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DeviceArg {
    Auto,
    Gpu,
    Cpu,
    Reference,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReductionArg {
    Mean,
    Sum,
    None,
}

impl From<ReductionArg> for Reduction {
    fn from(arg: ReductionArg) -> Self {
        match arg {
            ReductionArg::Mean => Self::Mean,
            ReductionArg::Sum => Self::Sum,
            ReductionArg::None => Self::None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IgnoreIndex(pub(crate) Option<i64>);

impl std::str::FromStr for IgnoreIndex {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(None));
        }
        text.parse().map(|value| Self(Some(value))).map_err(|_| "not an integer or `none`".into())
    }
}

#[derive(Debug, Clone)]
pub(crate) enum ClassWeights {
    InverseFrequency,
    File(InputSpec),
}

impl std::str::FromStr for ClassWeights {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "inverse-frequency" {
            return Ok(Self::InverseFrequency);
        }
        text.parse().map(Self::File)
    }
}

#[derive(Debug, Clone)]
pub(crate) enum UpstreamArg {
    Number(f64),
    File(InputSpec),
}

impl std::str::FromStr for UpstreamArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(number) => Ok(Self::Number(number)),
            Err(_) => text.parse().map(Self::File),
        }
    }
}

impl CommonArgs {
    /// The paths that a command must not write to.
    pub(crate) fn outputs<'a>(
        &'a self,
        more: &[(&'static str, &'a Option<OutputSpec>)],
    ) -> Vec<(&'static str, &'a OutputSpec)> {
        let all = [("--out", &self.out)].into_iter().chain(more.iter().copied());
        all.filter_map(|(option, spec)| spec.as_ref().map(|spec| (option, spec))).collect()
    }
}
