//! What a run has done to files so far, to be taken back if it fails or is interrupted.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

static JOURNAL: Mutex<Journal> = Mutex::new(Journal { steps: Vec::new(), is_closed: false });

/// How a step is taken back.
#[derive(Debug)]
pub(crate) enum Undo {
    /// A file was made.
    Remove(PathBuf),
    /// A file is kept under another name while its own is given to a new one.
    Restore { kept: PathBuf, path: PathBuf },
}

struct Journal {
    steps: Vec<Undo>,
    is_closed: bool,
}

impl Journal {
    /// The last step first. What cannot be taken back stays: nobody is left to do it.
    fn take_back(&mut self) {
        for step in self.steps.drain(..).rev() {
            match step {
                Undo::Remove(path) => drop(fs::remove_file(path)),
                Undo::Restore { kept, path } => {
                    // Where both are names of one file still, renaming leaves both.
                    let _ = fs::rename(&kept, path).and_then(|()| fs::remove_file(kept));
                }
            }
        }
    }
}

fn journal() -> MutexGuard<'static, Journal> {
    JOURNAL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does something, with how it is taken back; no interrupt comes between the two.
pub(crate) fn recorded<T>(act: impl FnOnce(&mut Vec<Undo>) -> io::Result<T>) -> io::Result<T> {
    act(&mut journal().steps)
}

/// Takes back everything.
pub(crate) fn take_back() {
    journal().take_back();
}

/// Takes back everything and ends the run, unless it is through.
pub(crate) fn take_back_and(end: impl FnOnce()) {
    let mut journal = journal();
    if !journal.is_closed {
        journal.take_back();
        // The journal is still locked: no file is made before the end.
        end();
    }
}

/// The run is through: nothing is taken back from here on, and what was kept for it goes.
pub(crate) fn close() {
    let mut journal = journal();
    journal.is_closed = true;
    for step in journal.steps.drain(..) {
        if let Undo::Restore { kept, .. } = step {
            let _ = fs::remove_file(kept);
        }
    }
}
