//! Between host memory and buffers on the GPU, and waiting for the GPU.

use std::borrow::Cow;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use futures_intrusive::channel::shared::{OneshotReceiver, oneshot_channel};

use crate::error::{Error, Result};
use crate::gpu::context::Gpu;

/// Bytes that are staged at a time.
const CHUNK: u64 = 32 << 20;

/// A part of a buffer with the usage `COPY_SRC`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece<'b> {
    pub(crate) buffer: &'b wgpu::Buffer,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

/// Pieces on their way to host memory.
#[derive(Debug)]
pub(crate) struct Reading {
    /// They are here, one after the other, each from a whole u32 on; none if there is nothing to read.
    staging: Option<wgpu::Buffer>,
    lengths: Vec<usize>,
    submission: wgpu::SubmissionIndex,
    done: OneshotReceiver<Result<(), wgpu::BufferAsyncError>>,
}

impl Gpu {
    /// Writes what `bytes_of` makes of `values`, `width` bytes each, to the start of a buffer with
    /// the usage `COPY_DST`. At most two chunks are staged at a time. Submits copies.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], [`Error::OutOfMemory`].
    pub(crate) async fn upload<'v, T>(
        &self,
        buffer: &wgpu::Buffer,
        values: &'v [T],
        width: usize,
        bytes_of: impl Fn(&'v [T]) -> Cow<'v, [u8]>,
    ) -> Result<()> {
        for (i, chunk) in values.chunks(CHUNK as usize / width).enumerate() {
            let bytes = bytes_of(chunk);
            self.count_upload(bytes.len());
            // Four bytes at a time; a last u32 may be less than full.
            let (whole, rest) = bytes.split_at(bytes.len() & !3);
            self.scoped("a staging buffer", |gpu| {
                let start = i as u64 * CHUNK;
                gpu.queue().write_buffer(buffer, start, whole);
                if !rest.is_empty() {
                    let mut last = [0; 4];
                    last[..rest.len()].copy_from_slice(rest);
                    gpu.queue().write_buffer(buffer, start + whole.len() as u64, &last);
                }
                gpu.queue().submit([])
            })
            .await?;
            if i % 2 == 1 {
                self.wait().await?;
            }
        }
        Ok(())
    }

    /// Reads `bytes` from `offset` of a buffer with the usage `COPY_SRC`, handing them to `sink`
    /// piece by piece. Submits copies, and waits for them and what was submitted before.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], [`Error::OutOfMemory`].
    pub(crate) async fn read_with(
        &self,
        buffer: &wgpu::Buffer,
        offset: u64,
        bytes: u64,
        mut sink: impl FnMut(&[u8]),
    ) -> Result<()> {
        let mut staging = None;
        for start in (0..bytes).step_by(CHUNK as usize) {
            let piece = Piece { buffer, offset: offset + start, bytes: CHUNK.min(bytes - start) };
            let reading = self.begin_reading(&[piece], staging.take()).await?;
            staging = self.finish_reading(reading, |pieces| pieces.for_each(&mut sink)).await?;
        }
        Ok(())
    }

    /// Submits copies of pieces of buffers to one that can be mapped: `staging`, if it is large
    /// enough. To be waited for by [`Self::finish_reading`], on any thread; what is submitted later
    /// does not change what is read.
    ///
    /// # Errors
    /// As [`Self::read_with`].
    pub(crate) async fn begin_reading(
        &self,
        pieces: &[Piece<'_>],
        staging: Option<wgpu::Buffer>,
    ) -> Result<Reading> {
        // Copies and mappings are of whole u32s.
        let whole = |piece: &Piece<'_>| piece.bytes.next_multiple_of(4);
        let size: u64 = pieces.iter().map(whole).sum();
        let staging = match staging.filter(|staging| staging.size() >= size) {
            _ if size == 0 => None,
            None => {
                let usage = wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ;
                Some(
                    self.scoped("a staging buffer", |gpu| gpu.buffer("readback", size, usage))
                        .await?,
                )
            }
            some => some,
        };
        let encoder = self
            .scoped("a copy", |gpu| {
                let (mut encoder, mut to) = (gpu.encoder(), 0);
                for piece in pieces {
                    if let Some(staging) = &staging {
                        let Piece { buffer, offset, .. } = *piece;
                        encoder.copy_buffer_to_buffer(buffer, offset, staging, to, whole(piece));
                        to += whole(piece);
                    }
                }
                encoder
            })
            .await?;
        let submission = self.submit(encoder).await?;
        let (sender, done) = oneshot_channel();
        // The receiver is gone if the caller stopped waiting; nobody is left to tell.
        let tell = move |result| drop(sender.send(result));
        self.scoped("a mapping", |gpu| match &staging {
            Some(staging) => staging.map_async(wgpu::MapMode::Read, ..size, tell),
            None => gpu.queue().on_submitted_work_done(move || tell(Ok(()))),
        })
        .await?;
        let lengths = pieces.iter().map(|piece| piece.bytes as usize).collect();
        Ok(Reading { staging, lengths, submission, done })
    }

    /// Waits for what was begun, hands its pieces to `sink` and returns the buffer that they came
    /// through.
    ///
    /// # Errors
    /// As [`Self::read_with`].
    pub(crate) async fn finish_reading(
        &self,
        reading: Reading,
        sink: impl FnOnce(&mut dyn Iterator<Item = &[u8]>),
    ) -> Result<Option<wgpu::Buffer>> {
        let Reading { staging, lengths, submission, done } = reading;
        let refused = |error: &dyn std::error::Error| self.refused(&error.to_string());
        self.answer(done, Some(&submission)).await?.map_err(|error| refused(&error))?;
        let Some(staging) = staging else {
            sink(&mut std::iter::empty());
            return Ok(None);
        };
        {
            let whole = |length: usize| length.next_multiple_of(4);
            let size = lengths.iter().map(|&length| whole(length) as u64).sum::<u64>();
            let view = staging.get_mapped_range(..size).map_err(|error| refused(&error))?;
            let mut rest = &view[..];
            let pieces = lengths.iter().map(|&length| {
                let (piece, after) = rest.split_at(whole(length));
                rest = after;
                &piece[..length]
            });
            sink(&mut { pieces });
        }
        staging.unmap();
        Ok(Some(staging))
    }

    /// Waits until everything that was submitted has run.
    pub(crate) async fn wait(&self) -> Result<()> {
        let (sender, receiver) = oneshot_channel();
        self.queue().on_submitted_work_done(move || {
            let _ = sender.send(());
        });
        self.answer(receiver, None).await
    }

    /// What a callback of wgpu sends, keeping the device going until it does: it comes after this
    /// submission, or after the last one.
    async fn answer<T: 'static>(
        &self,
        receiver: OneshotReceiver<T>,
        after: Option<&wgpu::SubmissionIndex>,
    ) -> Result<T> {
        let mut answer = pin!(receiver.receive());
        poll_fn(|context| {
            if let Poll::Ready(answer) = answer.as_mut().poll(context) {
                return Poll::Ready(answer.ok_or_else(|| lost("a callback was dropped")));
            }
            // Native devices make progress only when polled; browsers do so by themselves.
            if cfg!(not(target_arch = "wasm32")) {
                if let Err(error) = self.poll(after) {
                    return Poll::Ready(Err(error));
                }
                context.waker().wake_by_ref();
            }
            Poll::Pending
        })
        .await
    }

    /// Lets the device make progress until this submission, or the last one, has run.
    ///
    /// Without a timeout: when one is over, and what was submitted is done while another thread submits,
    /// wgpu 30 takes the empty queue for a contradiction and panics.
    fn poll(&self, after: Option<&wgpu::SubmissionIndex>) -> Result<()> {
        let wait = wgpu::PollType::Wait { submission_index: after.cloned(), timeout: None };
        // wgpu panics here when the device is lost while it waits. With `panic = "abort"` that ends the
        // program.
        match catch_unwind(AssertUnwindSafe(|| self.device().poll(wait))) {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(lost(&error.to_string())),
            Err(_) => Err(lost("the driver gave up while waiting")),
        }
    }
}

fn lost(reason: &str) -> Error {
    Error::DeviceLost { reason: crate::gpu::context::one_line(reason) }
}
