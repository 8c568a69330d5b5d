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
        if bytes == 0 {
            return Ok(());
        }
        let usage = wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ;
        let staging = self
            .scoped("a staging buffer", |gpu| gpu.buffer("readback", bytes.min(CHUNK), usage))
            .await?;
        for start in (0..bytes).step_by(CHUNK as usize) {
            let size = CHUNK.min(bytes - start);
            // Copies and mappings are of whole u32s.
            let whole = size.next_multiple_of(4);
            let encoder = self
                .scoped("a copy", |gpu| {
                    let mut encoder = gpu.encoder();
                    encoder.copy_buffer_to_buffer(buffer, offset + start, &staging, 0, whole);
                    encoder
                })
                .await?;
            self.submit(encoder).await?;
            self.map(&staging, whole).await?;
            {
                let view = staging
                    .get_mapped_range(..whole)
                    .map_err(|error| self.refused(&error.to_string()))?;
                sink(&view[..size as usize]);
            }
            staging.unmap();
        }
        Ok(())
    }

    /// Waits until the start of `buffer` is mapped for reading.
    async fn map(&self, buffer: &wgpu::Buffer, size: u64) -> Result<()> {
        let (sender, receiver) = oneshot_channel();
        self.scoped("a mapping", |_| {
            buffer.map_async(wgpu::MapMode::Read, ..size, move |result| {
                // The receiver is gone if the caller stopped waiting; nobody is left to tell.
                let _ = sender.send(result);
            });
        })
        .await?;
        self.answer(receiver).await?.map_err(|error| self.refused(&error.to_string()))
    }

    /// Waits until everything that was submitted has run.
    pub(crate) async fn wait(&self) -> Result<()> {
        let (sender, receiver) = oneshot_channel();
        self.queue().on_submitted_work_done(move || {
            let _ = sender.send(());
        });
        self.answer(receiver).await
    }

    /// What a callback of wgpu sends, keeping the device going until it does.
    async fn answer<T: 'static>(&self, receiver: OneshotReceiver<T>) -> Result<T> {
        let mut answer = pin!(receiver.receive());
        poll_fn(|context| {
            if let Poll::Ready(answer) = answer.as_mut().poll(context) {
                return Poll::Ready(answer.ok_or_else(|| lost("a callback was dropped")));
            }
            // Native devices make progress only when polled; browsers do so by themselves.
            if cfg!(not(target_arch = "wasm32")) {
                if let Err(error) = self.poll() {
                    return Poll::Ready(Err(error));
                }
                context.waker().wake_by_ref();
            }
            Poll::Pending
        })
        .await
    }

    /// Lets the device make progress, waiting a little rather than spinning.
    fn poll(&self) -> Result<()> {
        let wait = wgpu::PollType::Wait {
            submission_index: None,
            timeout: Some(std::time::Duration::from_millis(2)),
        };
        // wgpu panics here when the device is lost while it waits.
        match catch_unwind(AssertUnwindSafe(|| self.device().poll(wait))) {
            Ok(Ok(_) | Err(wgpu::PollError::Timeout)) => Ok(()),
            Ok(Err(error)) => Err(lost(&error.to_string())),
            Err(_) => Err(lost("the driver gave up while waiting")),
        }
    }
}

fn lost(reason: &str) -> Error {
    Error::DeviceLost { reason: crate::gpu::context::one_line(reason) }
}
