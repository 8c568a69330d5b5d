//! Ctrl-C and its kin: a run that is interrupted leaves nothing behind.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The temporary files of this run.
static PENDING: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Removes `path` should the run be interrupted.
pub(crate) fn forget_on_exit(path: &Path) {
    PENDING.lock().unwrap_or_else(PoisonError::into_inner).push(path.to_owned());
}

/// From here on an interrupted run ends with code 1 and one line.
pub(crate) fn watch() {
    // Without a handler an interrupt ends the run all the same; only a temporary file would stay.
    let _ = ctrlc::set_handler(|| {
        let pending = PENDING.lock().unwrap_or_else(PoisonError::into_inner);
        for path in pending.iter() {
            let _ = std::fs::remove_file(path);
        }
        let _ = writeln!(std::io::stderr(), "surprisal: interrupted");
        // The lock is kept: no file can be made between the removal and the end.
        std::process::exit(1);
    });
}
