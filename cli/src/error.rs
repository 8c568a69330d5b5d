//! What ends a run: one line, and an exit code.

use std::ffi::OsString;
use std::fmt::Display;
use std::path::Path;

use clap::CommandFactory as _;
use clap::error::ErrorKind;
use surprisal::Error;

use crate::args::Args;

/// 1: the run failed.
const RUN: u8 = 1;
/// 2: bad usage or bad input.
const INPUT: u8 = 2;

/// Why a run ends before its end.
#[derive(Debug)]
pub struct Failure {
    /// What the process returns.
    pub code: u8,
    /// What is said on stderr.
    pub message: String,
    /// Whether another device could do what this one could not.
    pub is_of_device: bool,
}

/// What can end a run.
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    pub(crate) fn run(message: impl Display) -> Self {
        Self { code: RUN, message: message.to_string(), is_of_device: false }
    }

    pub(crate) fn input(message: impl Display) -> Self {
        Self { code: INPUT, message: message.to_string(), is_of_device: false }
    }

    pub(crate) fn write(path: &Path, error: impl Display) -> Self {
        Self::run(format!("{}: cannot write: {error}", path.display()))
    }

    #[expect(clippy::needless_pass_by_value, reason = "it is a map_err adapter")]
    pub(crate) fn stdout(error: std::io::Error) -> Self {
        Self::run(format!("cannot write to stdout: {error}"))
    }

    /// clap's message about these arguments, without the usage that follows it.
    pub(crate) fn usage(error: &clap::Error, args: &[OsString]) -> Self {
        if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
            return Self::input("a command is missing (see surprisal --help)");
        }
        // The help that has the options in it is that of the command.
        let command = args.first().and_then(|name| name.to_str());
        let command = command.filter(|name| Args::command().find_subcommand(name).is_some());
        let command = command.map(|name| format!(" {name}")).unwrap_or_default();
        let strange = args.iter().find(|arg| arg.to_str().is_none());
        if let (ErrorKind::InvalidUtf8, Some(argument)) = (error.kind(), strange) {
            return Self::input(format!("{}: is not UTF-8", argument.display()));
        }
        let text = error.to_string();
        let message = text.split("\n\n").next().unwrap_or_default();
        let message = one_line(message.strip_prefix("error: ").unwrap_or(message));
        Self::input(format!("{message} (see surprisal{command} --help)"))
    }

    /// An error of the library about the data of a file.
    pub(crate) fn of(error: &Error, file: impl Display) -> Self {
        match error {
            Error::DeviceLost { .. }
            | Error::OutOfMemory { .. }
            | Error::NoAdapter { .. }
            | Error::DeviceTooSmall { .. }
            | Error::TooLarge { .. }
            | Error::Shader { .. }
            | Error::Gpu { .. } => Self { is_of_device: true, ..Self::run(error) },
            error => Self::input(format!("{file}: {error}")),
        }
    }
}

/// A text's lines as one.
pub(crate) fn one_line(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}
