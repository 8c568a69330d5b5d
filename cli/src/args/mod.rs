//! The command line, as its users see it.

mod bench;
mod losses;
mod values;

use clap::{Parser, Subcommand};
use surprisal::AdapterChoice;

use crate::files::{InputSpec, OutputSpec};

pub(crate) use bench::BenchArgs;
pub(crate) use losses::{
    BinaryCrossEntropyArgs, CrossEntropyArgs, CrossEntropyOptions, DivergenceArgs, ElementwiseArgs,
    FocalArgs, JsDivergenceArgs, KlDivergenceArgs, LinearCrossEntropyArgs, LossArgs,
};
pub(crate) use values::{
    ClassWeights, DeviceArg, DtypeArg, ElementwiseKind, IgnoreIndex, MemoryLimit, NumberOrFile,
    UnitArg,
};

/// Softmax, cross-entropy and the losses around it, of files of logits, on GPU or CPU.
///
/// Files are .npy (floats, integers and bool, in either byte order, in C or Fortran order),
/// .npz as file.npz:name, and .safetensors as file.safetensors:tensor; a name may be left out when there is
/// one. A .safetensors file that is written holds one tensor: it replaces the whole file.
///
/// `-` is standard input, once a run, or standard output. Input from there or from a pipe without an ending is
/// .npy or .npz if it begins like one, and .safetensors otherwise; output to `-` is .npy, and the
/// report goes to stderr. Output to a pipe is written as it comes: a run that fails leaves its beginning there,
/// so look at the exit code. After a pipe was read or opened, a GPU that fails under `auto` is an error. What
/// comes through a pipe and has to be read again or in another order (an archive, an array in Fortran order, a
/// layer or logits that --memory-limit reads twice) is first copied to a temporary file.
#[derive(Debug, Parser)]
#[command(name = "surprisal", version, about, long_about)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Cross-entropy of rows of logits against class indices or probabilities
    CrossEntropy(Box<CrossEntropyArgs>),
    /// Cross-entropy of the logits that a linear layer makes, which are never stored
    LinearCrossEntropy(Box<LinearCrossEntropyArgs>),
    /// Binary cross-entropy of each element against its label
    BinaryCrossEntropy(Box<BinaryCrossEntropyArgs>),
    /// Focal loss: cross-entropy in which what is predicted well counts less
    Focal(Box<FocalArgs>),
    /// Kullback-Leibler divergence of a student from a teacher, row by row
    KlDivergence(Box<KlDivergenceArgs>),
    /// Jensen-Shannon divergence between a teacher and a student, row by row, with shares of their own if wanted
    JsDivergence(Box<JsDivergenceArgs>),
    /// Squared, absolute, Huber or hinge loss of each element, to compare with
    Elementwise(Box<ElementwiseArgs>),
    /// The softmax of each row
    Softmax(TransformArgs),
    /// The log-softmax of each row
    LogSoftmax(TransformArgs),
    /// The log-sum-exp of each row
    Logsumexp(TransformArgs),
    /// The entropy of each row's softmax
    Entropy(EntropyArgs),
    /// How fast each operation is on this machine's GPU and CPU, against a copy of the same matrix
    ///
    /// Every answer is checked against the f64 reference before it is timed. Who is compared is
    /// timed in turns, and figures are medians. GB/s count the bytes that have to be moved: each
    /// logit read once, and its result written once.
    Bench(Box<BenchArgs>),
    /// Every device that can be used, with its limits, and which one `auto` takes
    Devices,
}

impl Command {
    /// The options of commands that compute something of files.
    pub(crate) fn common_mut(&mut self) -> Option<&mut CommonArgs> {
        Some(match self {
            Self::CrossEntropy(args) => &mut args.loss.common,
            Self::LinearCrossEntropy(args) => &mut args.loss.common,
            Self::BinaryCrossEntropy(args) => &mut args.loss.common,
            Self::Focal(args) => &mut args.loss.common,
            Self::KlDivergence(args) => &mut args.divergence.loss.common,
            Self::JsDivergence(args) => &mut args.divergence.loss.common,
            Self::Elementwise(args) => &mut args.loss.common,
            Self::Softmax(args) | Self::LogSoftmax(args) | Self::Logsumexp(args) => {
                &mut args.common
            }
            Self::Entropy(args) => &mut args.transform.common,
            Self::Bench(_) | Self::Devices => return None,
        })
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct TransformArgs {
    /// [rows, classes]; leading dimensions are taken together
    pub(crate) logits: InputSpec,
    /// Which rows count, bool or integers, 0 does not: one for each row, in LOGITS' leading shape, with or
    /// without a trailing 1, or flat [rows]. Of the others nothing is read, and the result is 0
    #[arg(long, value_name = "FILE")]
    pub(crate) mask: Option<InputSpec>,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct EntropyArgs {
    /// What the entropy is measured in
    #[arg(long, default_value = "nats")]
    pub(crate) unit: UnitArg,
    /// Writes the gradient with respect to the logits; with --memory-limit they are read a second time for it
    #[arg(long, value_name = "FILE")]
    pub(crate) grad: Option<OutputSpec>,
    /// The gradient of each row's entropy, 1 unless set, which changes the gradient and nothing else: a number,
    /// or a file in LOGITS' leading shape, with or without a trailing 1, or flat [rows]
    #[arg(long, allow_hyphen_values = true, value_name = "FILE|NUMBER")]
    pub(crate) upstream: Option<NumberOrFile>,
    #[command(flatten)]
    pub(crate) transform: TransformArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CommonArgs {
    /// Writes the result. A .safetensors file that is written holds this one tensor, whatever it held
    /// before; a name for the tensor may follow after a colon
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<OutputSpec>,
    /// Reports as one JSON object on one line
    #[arg(long)]
    pub(crate) json: bool,
    /// Reports nothing, unless --json is given
    #[arg(long)]
    pub(crate) quiet: bool,
    /// Where to compute; `auto` takes a real GPU if there is one, and the CPU otherwise or when the
    /// GPU fails
    #[arg(long, default_value = "auto")]
    pub(crate) device: DeviceArg,
    /// Which GPU, as `surprisal devices` prints them
    #[arg(long, value_name = "INDEX|[BACKEND:]NAME")]
    pub(crate) adapter: Option<AdapterChoice>,
    /// How matrices are stored on the device, as in their files unless set. GPU and CPU compute in f32: f64
    /// files are rounded to f32 there. Gradients and other matrices are written in their file's dtype all the
    /// same, f64 too, and numbers of rows in f32. --device reference computes in f64 and writes f64 whatever
    /// it read
    #[arg(long)]
    pub(crate) dtype: Option<DtypeArg>,
    /// Threads on the CPU; all cores unless set
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) threads: Option<u32>,
    /// Streams the batch, so that buffers on host and device stay under this: bytes, or with a K, M, G
    /// or T behind, each 1024 of the one before
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory_limit: Option<MemoryLimit>,
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
