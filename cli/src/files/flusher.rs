//! Bringing a file to the disk while it is written.

use std::fs::File;
use std::io;
use std::panic::resume_unwind;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

/// Bytes that are written before the disk is sent to work.
const AT_ONCE: usize = 32 << 20;

/// A thread that brings to the disk what another one has written up to then: at the end there is less left
/// to wait for.
#[derive(Debug)]
pub(super) struct Flusher {
    wake: SyncSender<()>,
    thread: JoinHandle<io::Result<()>>,
    written: usize,
}

impl Flusher {
    pub(super) fn new(file: &File) -> io::Result<Self> {
        let (file, (wake, woken)) = (file.try_clone()?, sync_channel(1));
        let thread = thread::spawn(move || woken.iter().try_for_each(|()| file.sync_data()));
        Ok(Self { wake, thread, written: 0 })
    }

    /// So many bytes more were written.
    pub(super) fn wrote(&mut self, bytes: usize) {
        self.written += bytes;
        if self.written >= AT_ONCE {
            self.written = 0;
            // One that was woken and has not begun is not woken twice; what one that failed has to say
            // comes at the end.
            let _ = self.wake.try_send(());
        }
    }

    /// Waits until the thread is through, and says whether anything went wrong.
    pub(super) fn finish(self) -> io::Result<()> {
        drop(self.wake);
        self.thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    }
}
