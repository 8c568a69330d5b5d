//! Where the gradient goes.

use std::fs::File;
use std::io::Write as _;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use crate::Result;

/// Bytes that are written before the disk is told.
const AT_ONCE: usize = 32 << 20;

/// A file that is brought to the disk while it is written, as the command does it.
pub(crate) struct Output {
    file: File,
    wake: SyncSender<()>,
    syncing: JoinHandle<std::io::Result<()>>,
    written: usize,
}

impl Output {
    pub(crate) fn new(file: File) -> Result<Self> {
        let (wake, woken) = sync_channel::<()>(1);
        let other = file.try_clone()?;
        let syncing = thread::spawn(move || woken.iter().try_for_each(|()| other.sync_data()));
        Ok(Self { file, wake, syncing, written: 0 })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes)?;
        self.written += bytes.len();
        if self.written >= AT_ONCE {
            self.written = 0;
            // One that was woken and has not begun is not woken twice.
            let _ = self.wake.try_send(());
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<()> {
        drop(self.wake);
        self.syncing.join().map_err(|_| "syncing panicked")??;
        Ok(self.file.sync_all()?)
    }
}
