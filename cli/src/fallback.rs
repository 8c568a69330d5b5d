//! `--device auto` when the GPU fails on the way: the run starts over on the CPU.

use crate::args::{Command, DeviceArg};
use crate::device::set_threads;
use crate::error::{Failure, Result};
use crate::files::is_piped;

/// Runs a command, and if the GPU that `auto` took fails, runs it again on the CPU.
///
/// Nothing of the first run is kept: its outputs are temporary files that went with it, and what it
/// reads is read again. The second run is the one that `--device cpu` would be. A pipe cannot be read
/// again, nor what went to one be taken back: then the failure stays one.
pub(crate) fn run(mut command: Command, start: fn(&Command) -> Result<()>) -> Result<()> {
    set_threads(command.common_mut().and_then(|common| common.threads))?;
    let outcome = start(&command);
    match (outcome, command.common_mut()) {
        (Err(failure), Some(common))
            if failure.is_of_device && common.device == DeviceArg::Auto && is_piped() =>
        {
            let reason = "a pipe was read or opened, so the CPU cannot start over";
            Err(Failure { message: format!("{}; {reason}", failure.message), ..failure })
        }
        (Err(Failure { is_of_device: true, message, .. }), Some(common))
            if common.device == DeviceArg::Auto =>
        {
            crate::tell(&format!("{message}; starting over on the CPU"));
            (common.device, common.adapter) = (DeviceArg::Cpu, None);
            start(&command)
        }
        (outcome, _) => outcome,
    }
}
