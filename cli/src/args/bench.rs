//! The options of `surprisal bench`.

use std::path::PathBuf;

use surprisal::AdapterChoice;

use crate::args::{DeviceArg, DtypeArg};
use crate::bench::{Operation, Shape, Suite};

#[derive(Debug, clap::Args)]
pub(crate) struct BenchArgs {
    /// Writes every figure to a file, as one JSON object
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Draws the share of the copy's bandwidth over classes, and time over rows
    #[arg(long, value_name = "FILE.svg")]
    pub(crate) plot: Option<PathBuf>,
    /// How much is measured: `quick` takes a minute or two and half a gigabyte of memory; `full`
    /// has more shapes, of four times the size, more operations and every dtype
    #[arg(long, default_value = "quick")]
    pub(crate) suite: Suite,
    /// Only these operations
    #[arg(long, value_delimiter = ',', value_name = "OP,...")]
    pub(crate) op: Vec<Operation>,
    /// These shapes instead of the suite's
    #[arg(long, value_delimiter = ',', value_name = "ROWSxCLASSES,...")]
    pub(crate) shape: Vec<Shape>,
    /// What is measured beside the CPU path; `auto` takes a real GPU if there is one, and else the
    /// CPU path alone
    #[arg(long, default_value = "auto")]
    pub(crate) device: DeviceArg,
    /// Which GPU, as `surprisal devices` prints them
    #[arg(long, value_name = "INDEX|[BACKEND:]NAME")]
    pub(crate) adapter: Option<AdapterChoice>,
    /// Only this dtype
    #[arg(long)]
    pub(crate) dtype: Option<DtypeArg>,
    /// Threads on the CPU; all cores unless set
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) threads: Option<u32>,
}
