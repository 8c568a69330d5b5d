//! The `surprisal` command: softmax, cross-entropy and the losses around it, of files of logits, on
//! GPU or CPU.

use std::process::ExitCode;

fn main() -> ExitCode {
    surprisal_cli::main()
}
