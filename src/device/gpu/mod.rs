//! A GPU that owns its buffers: operations on data in host memory.

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

mod classes;
mod linear;

pub(crate) use classes::ClassBlocks;
pub(crate) use linear::LinearBatch;

use bytemuck::cast_slice;
use half::{bf16, f16};

use crate::device::{DeviceInfo, DeviceKind};
use crate::dtype::{Dtype, Element};
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Piece, TargetType};
use crate::matrix::{Array, Values};
use crate::op::Targets;

/// Storage buffers that a kernel binds at most: no more than WebGPU promises everywhere.
const MOST_BINDINGS: u32 = 8;
/// Buffers kept for the next call, at most.
const POOLED: usize = 6;

#[derive(Debug)]
pub(crate) struct OwnedGpu {
    gpu: Gpu,
    pool: Mutex<Vec<wgpu::Buffer>>,
}

impl OwnedGpu {
    pub(crate) fn new(gpu: Gpu) -> Self {
        Self { gpu, pool: Mutex::default() }
    }

    pub(crate) fn context(&self) -> &Gpu {
        &self.gpu
    }

    pub(crate) fn info(&self) -> DeviceInfo {
        let info = self.gpu.device().adapter_info();
        let backend = info.backend.to_string();
        DeviceInfo { kind: DeviceKind::Gpu, name: info.name, backend }
    }

    /// How the matrices of a call are stored on the device: as they are where all have one type that
    /// it can store, else as f32.
    pub(crate) fn storage(&self, dtypes: impl IntoIterator<Item = Dtype>) -> Dtype {
        let mut dtypes = dtypes.into_iter();
        let first = dtypes.next().unwrap_or(Dtype::F32);
        // Rows of 16-bit elements may need a binding more than others.
        let has_room = self.gpu.caps().max_storage_bindings >= MOST_BINDINGS;
        let is_kept = first != Dtype::F64 && has_room && dtypes.all(|dtype| dtype == first);
        if is_kept { first } else { Dtype::F32 }
    }

    /// Uploads what is stored as `storage` on the device: as it is if it has that type.
    async fn upload(&self, values: Values<'_>, storage: Dtype) -> Result<Pooled<'_>> {
        let pooled = self.take((values.len() * storage.size()) as u64).await?;
        self.upload_to(&pooled.buffer, values, storage).await?;
        Ok(pooled)
    }

    /// [`Self::upload`], to the start of a buffer that there is.
    pub(crate) async fn upload_to(
        &self,
        buffer: &wgpu::Buffer,
        values: Values<'_>,
        storage: Dtype,
    ) -> Result<()> {
        let (gpu, width) = (&self.gpu, storage.size());
        match (values, storage) {
            (Values::F16(v), Dtype::F16) => {
                gpu.upload(buffer, v, width, |v| cast_slice(v).into()).await
            }
            (Values::Bf16(v), Dtype::Bf16) => {
                gpu.upload(buffer, v, width, |v| cast_slice(v).into()).await
            }
            (Values::F32(v), _) => gpu.upload(buffer, v, 4, |v| cast_slice(v).into()).await,
            (Values::F16(v), _) => gpu.upload(buffer, v, 4, f32_bytes).await,
            (Values::Bf16(v), _) => gpu.upload(buffer, v, 4, f32_bytes).await,
            (Values::F64(v), _) => gpu.upload(buffer, v, 4, f32_bytes).await,
        }
    }

    /// Uploads class indices.
    pub(crate) async fn upload_indices(
        &self,
        targets: Targets<'_>,
    ) -> Result<(Pooled<'_>, TargetType)> {
        let width =
            if matches!(targets, Targets::I32(_)) { TargetType::I32 } else { TargetType::I64 };
        let pooled = self.take(targets.len() as u64 * width.bytes()).await?;
        match targets {
            Targets::I32(v) => {
                self.gpu.upload(&pooled.buffer, v, 4, |v| cast_slice(v).into()).await
            }
            Targets::I64(v) => {
                self.gpu.upload(&pooled.buffer, v, 8, |v| cast_slice(v).into()).await
            }
            Targets::Probs(_) => Ok(()),
        }?;
        Ok((pooled, width))
    }

    /// Uploads a byte for each row or element that a mask knows of.
    pub(crate) async fn upload_mask(&self, buffer: &wgpu::Buffer, mask: &[bool]) -> Result<()> {
        self.gpu.upload(buffer, mask, 1, |mask| cast_slice(mask).into()).await
    }

    /// Downloads what is stored as the first dtype on the device, as it is if the second is the same.
    pub(crate) async fn download(
        &self,
        Piece { buffer, offset, bytes }: Piece<'_>,
        [stored, dtype]: [Dtype; 2],
    ) -> Result<Array> {
        let mut out = Array::with_room(None, dtype, bytes as usize / stored.size());
        let take = |part: &[u8]| append(&mut out, part, stored);
        self.gpu.read_with(buffer, offset, bytes, take).await?;
        Ok(out)
    }

    /// A buffer of at least `bytes`, from the pool if one fits without much waste.
    pub(crate) async fn take(&self, bytes: u64) -> Result<Pooled<'_>> {
        let limit = self.gpu.caps().max_buffer_bytes;
        if bytes > limit {
            return Err(Error::TooLarge { what: "a matrix", needed: bytes, limit });
        }
        let reused = {
            let mut pool = self.pool();
            let fits = |buffer: &wgpu::Buffer| (bytes..=2 * bytes.max(64)).contains(&buffer.size());
            let at = pool.iter().position(fits);
            at.map(|at| pool.swap_remove(at))
        };
        let buffer = if let Some(buffer) = reused {
            buffer
        } else {
            match self.allocate(bytes).await {
                // What the pool holds may be what is missing.
                Err(Error::OutOfMemory { .. }) if !self.pool().is_empty() => {
                    self.pool().clear();
                    self.allocate(bytes).await?
                }
                outcome => outcome?,
            }
        };
        Ok(Pooled { owner: self, buffer })
    }

    /// A buffer of its own.
    pub(crate) async fn allocate(&self, bytes: u64) -> Result<wgpu::Buffer> {
        use wgpu::BufferUsages as Usage;
        let limit = self.gpu.caps().max_buffer_bytes;
        if bytes > limit {
            return Err(Error::TooLarge { what: "a matrix", needed: bytes, limit });
        }
        let usage = Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST;
        let what = format!("a buffer of {bytes} bytes");
        self.gpu.scoped(&what, |gpu| gpu.buffer("matrix", bytes, usage)).await
    }

    fn pool(&self) -> std::sync::MutexGuard<'_, Vec<wgpu::Buffer>> {
        // A panic elsewhere cannot leave a list of buffers half-changed.
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn f32_bytes<'a, T: Element>(values: &[T]) -> Cow<'a, [u8]> {
    values.iter().flat_map(|x| x.to_f32().to_ne_bytes()).collect::<Vec<u8>>().into()
}

/// Appends elements that are stored as `storage` on the device, rounded if the array has another type.
pub(crate) fn append(to: &mut Array, bytes: &[u8], storage: Dtype) {
    match (to, storage) {
        (Array::F16(to), Dtype::F16) => to.extend(elements::<f16>(bytes)),
        (Array::Bf16(to), Dtype::Bf16) => to.extend(elements::<bf16>(bytes)),
        (Array::F32(to), _) => to.extend(elements::<f32>(bytes)),
        (Array::F16(to), _) => to.extend(elements::<f32>(bytes).map(f16::from_f32)),
        (Array::Bf16(to), _) => to.extend(elements::<f32>(bytes).map(bf16::from_f32)),
        (Array::F64(to), _) => to.extend(elements::<f32>(bytes).map(f64::from)),
    }
}

fn elements<T: Element>(bytes: &[u8]) -> impl Iterator<Item = T> + '_ {
    bytes.chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned::<T>)
}

/// A buffer that goes back to its pool.
#[derive(Debug)]
pub(crate) struct Pooled<'a> {
    owner: &'a OwnedGpu,
    pub(crate) buffer: wgpu::Buffer,
}

impl Pooled<'_> {
    /// So many of its first bytes.
    pub(crate) fn start(&self, bytes: u64) -> Piece<'_> {
        Piece { buffer: &self.buffer, offset: 0, bytes }
    }
}

impl Drop for Pooled<'_> {
    fn drop(&mut self) {
        let mut pool = self.owner.pool();
        pool.push(self.buffer.clone());
        if pool.len() > POOLED {
            pool.remove(0);
        }
    }
}
