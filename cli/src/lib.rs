//! The parts of the `surprisal` command, so that tests and fuzzers can call them. Not a public API:
//! nothing in here is kept as it is from one version to the next.

#![expect(clippy::missing_errors_doc, reason = "a failure is what the user is told: it says why")]

mod args;
mod bench;
mod device;
pub mod error;
mod fallback;
mod fault;
pub mod files;
mod interrupt;
mod loss;
pub mod progress;
mod report;
pub mod shapes;
mod storage;
mod stream;
mod transform;
mod undo;

use std::ffi::OsString;
use std::io::Write as _;
use std::panic::catch_unwind;
use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Args, Command};
use crate::error::{Failure, Result};

/// The command: what the process was given, done, and its exit code.
pub fn main() -> ExitCode {
    // A panic is a defect; the user gets one line of it all the same. wgpu panics when a device is
    // lost, which the library turns into an error: nothing is to be printed then.
    std::panic::set_hook(Box::new(|_| {}));
    interrupt::watch();
    match catch_unwind(|| run(&std::env::args_os().collect::<Vec<_>>())) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(failure)) => fail(&failure),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("unknown");
            let text = error::one_line(text);
            fail(&Failure::run(format!("internal error, please report it: {text}")))
        }
    }
}

fn fail(failure: &Failure) -> ExitCode {
    undo::take_back();
    tell(&failure.message);
    ExitCode::from(failure.code)
}

/// One line on stderr.
fn tell(message: &str) {
    // Nobody is left to tell if stderr is closed.
    let _ = writeln!(std::io::stderr(), "surprisal: {}", shown(message));
}

/// Characters that are shown of the two ends of a message.
const MAX_ENDS: [usize; 2] = [200, 400];

/// A message as a terminal is to see it: file names and headers may hold anything, and a megabyte of it.
/// What is said of a long name stands behind it: the middle is left out.
fn shown(message: &str) -> String {
    let escaped = |c: char| {
        let (plain, escaped) =
            if c.is_control() { (None, Some(c.escape_default())) } else { (Some(c), None) };
        plain.into_iter().chain(escaped.into_iter().flatten())
    };
    let line: Vec<char> = message.chars().flat_map(escaped).collect();
    let [start, end] = MAX_ENDS;
    if line.len() <= start + end {
        return line.into_iter().collect();
    }
    let (start, end) = (&line[..start], &line[line.len() - end..]);
    start.iter().chain(&[' ', '…', ' ']).chain(end).collect()
}

/// Does what the arguments say, of which the first is the program's name.
pub fn run(args: &[OsString]) -> Result<()> {
    let args = match Args::try_parse_from(args) {
        Ok(args) => args,
        Err(error) if !error.use_stderr() => {
            // --help and --version.
            return write!(std::io::stdout(), "{error}").map_err(Failure::stdout);
        }
        Err(error) => {
            return Err(Failure::usage(&error, args.get(1..).unwrap_or_default()));
        }
    };
    fallback::run(args.command, start)
}

fn start(command: &Command) -> Result<()> {
    match command {
        Command::CrossEntropy(args) => loss::cross_entropy(args),
        Command::LinearCrossEntropy(args) => loss::linear_cross_entropy(args),
        Command::BinaryCrossEntropy(args) => loss::binary_cross_entropy(args),
        Command::Focal(args) => loss::focal(args),
        Command::KlDivergence(args) => loss::kl_divergence(args),
        Command::JsDivergence(args) => loss::js_divergence(args),
        Command::Elementwise(args) => loss::elementwise(args),
        Command::Softmax(args) => transform::softmax(args),
        Command::LogSoftmax(args) => transform::log_softmax(args),
        Command::Logsumexp(args) => transform::logsumexp(args),
        Command::Entropy(args) => transform::entropy(args),
        Command::Bench(args) => bench::run(args),
        Command::Devices => device::list(),
    }
}
