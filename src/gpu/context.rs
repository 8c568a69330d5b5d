//! The one place that creates GPU objects and submits work: [`Gpu`].

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::gpu::caps::{Caps, Tuning};
use crate::gpu::compose::{Sources, compose};
use crate::gpu::fragment::Access;
use crate::gpu::kernel::Kernel;
use crate::gpu::module;

/// A wgpu device with this crate's kernels: the entry to recording operations into an encoder of
/// your own.
///
/// It clones the handles of a device that stays yours: it sets no global handler, and it submits
/// nothing unless a method says so. Pipelines are compiled when first needed and kept; clones share
/// them.
#[derive(Debug, Clone)]
pub struct Gpu {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    device: wgpu::Device,
    queue: wgpu::Queue,
    caps: Caps,
    tuning: Tuning,
    sources: Sources,
    pipelines: Mutex<HashMap<(Kernel, u32), wgpu::ComputePipeline>>,
    /// How many calls of [`Gpu::scoped`] succeed before one fails, negative for all; and how.
    fault_at: AtomicI64,
    fault: Fault,
    /// Bytes that went from host memory to buffers.
    uploaded: AtomicU64,
}

/// What goes wrong in [`Gpu::with_fault_at`].
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// An allocation fails.
    OutOfMemory,
    /// The device is destroyed.
    DeviceLost,
}

impl Gpu {
    /// Uses a device and its queue.
    pub fn new(device: &wgpu::Device, queue: &wgpu::Queue) -> Self {
        let caps = Caps::new(&device.limits(), device.features(), &device.adapter_info());
        let tuning = Tuning::new(&caps);
        Self::with(device, queue, caps, tuning, Sources::default())
    }

    fn with(
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        caps: Caps,
        tuning: Tuning,
        sources: Sources,
    ) -> Self {
        let (device, queue) = (device.clone(), queue.clone());
        let (pipelines, fault_at) = (Mutex::default(), AtomicI64::new(-1));
        let (fault, uploaded) = (Fault::OutOfMemory, AtomicU64::default());
        let inner =
            Inner { device, queue, caps, tuning, sources, pipelines, fault_at, fault, uploaded };
        Self { inner: Arc::new(inner) }
    }

    /// The same device with other sizes.
    #[must_use]
    pub fn with_tuning(&self, tuning: Tuning) -> Self {
        let Inner { device, queue, caps, sources, .. } = &*self.inner;
        Self::with(device, queue, caps.clone(), tuning, sources.clone())
    }

    /// The same device, planned for as if it could do no more than `caps` says; sizes that do not
    /// fit are reduced. Claiming more than the device can do makes calls fail.
    #[must_use]
    pub fn with_caps(&self, caps: Caps) -> Self {
        let Inner { device, queue, tuning, sources, .. } = &*self.inner;
        Self::with(device, queue, caps, *tuning, sources.clone())
    }

    /// The same device with other shaders. They are compiled with all of wgpu's run-time checks.
    #[must_use]
    pub fn with_sources(&self, sources: Sources) -> Self {
        let Inner { device, queue, caps, tuning, .. } = &*self.inner;
        Self::with(device, queue, caps.clone(), *tuning, sources)
    }

    /// The same device, on which call number `k` from 0 that creates or submits something fails. For
    /// tests of what happens then.
    #[doc(hidden)]
    #[must_use]
    pub fn with_fault_at(&self, k: u32, fault: Fault) -> Self {
        let Inner { device, queue, caps, tuning, sources, .. } = &*self.inner;
        let inner = Inner {
            device: device.clone(),
            queue: queue.clone(),
            caps: caps.clone(),
            tuning: *tuning,
            sources: sources.clone(),
            pipelines: Mutex::default(),
            fault_at: AtomicI64::new(k.into()),
            fault,
            uploaded: AtomicU64::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Bytes of data that were uploaded up to now. For tests of what is uploaded again.
    #[doc(hidden)]
    pub fn uploaded_bytes(&self) -> u64 {
        self.inner.uploaded.load(Ordering::Relaxed)
    }

    pub(super) fn count_upload(&self, bytes: usize) {
        self.inner.uploaded.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// What the device can do.
    pub fn caps(&self) -> &Caps {
        &self.inner.caps
    }

    /// The sizes in use.
    pub fn tuning(&self) -> Tuning {
        self.inner.tuning
    }

    pub(crate) fn tuning_ref(&self) -> &Tuning {
        &self.inner.tuning
    }

    /// The wgpu device.
    pub fn device(&self) -> &wgpu::Device {
        &self.inner.device
    }

    /// Its queue.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.inner.queue
    }

    /// Runs `create` under error scopes, so that what wgpu refuses becomes an error of ours and not
    /// a panic. `what` names the allocation, for [`Error::OutOfMemory`].
    pub(crate) async fn scoped<T>(&self, what: &str, create: impl FnOnce(&Self) -> T) -> Result<T> {
        let (created, outcome) = self.attempt(what, create).await?;
        outcome.map(|()| created)
    }

    /// [`Self::scoped`], with what was created even if wgpu complained.
    async fn attempt<T>(
        &self,
        what: &str,
        create: impl FnOnce(&Self) -> T,
    ) -> Result<(T, Result<()>)> {
        if self.inner.fault_at.fetch_sub(1, Ordering::Relaxed) == 0 {
            match self.inner.fault {
                Fault::OutOfMemory => {
                    return Err(Error::OutOfMemory { what: format!("{what} (injected)") });
                }
                Fault::DeviceLost => self.device().destroy(),
            }
        }
        let device = self.device();
        let scopes = [
            wgpu::ErrorFilter::Internal,
            wgpu::ErrorFilter::Validation,
            wgpu::ErrorFilter::OutOfMemory,
        ]
        .map(|filter| device.push_error_scope(filter));
        let created = create(self);
        // Popped before anything is awaited: the stack of scopes belongs to this thread.
        let mut popped = Vec::with_capacity(3);
        for scope in scopes.into_iter().rev() {
            popped.push(scope.pop());
        }
        let mut outcome = Ok(());
        for error in popped {
            let Some(error) = error.await else { continue };
            outcome = outcome.and(Err(match error {
                wgpu::Error::OutOfMemory { .. } => Error::OutOfMemory { what: what.to_owned() },
                error => self.refused(&error.to_string()),
            }));
        }
        Ok((created, outcome))
    }

    /// What a refusal of wgpu means: on a lost device, that it is lost. Objects that were made after
    /// the loss look fine until they are used, which is then refused for another reason.
    pub(crate) fn refused(&self, message: &str) -> Error {
        let message = one_line(message);
        // The probe may be refused as well; that is for its mapping to show, not for a panic.
        let scopes = [wgpu::ErrorFilter::Validation, wgpu::ErrorFilter::OutOfMemory]
            .map(|filter| self.device().push_error_scope(filter));
        let probe = self.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some("probe"),
            size: 4,
            // Mapping alone is no usage to Vulkan.
            usage: wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: true,
        });
        let is_alive = probe.get_mapped_range_mut(..).is_ok();
        for scope in scopes.into_iter().rev() {
            drop(scope.pop());
        }
        if is_alive { Error::Gpu { message } } else { Error::DeviceLost { reason: message } }
    }

    /// A buffer; call it inside [`Gpu::scoped`].
    pub(crate) fn buffer(&self, label: &str, size: u64, usage: wgpu::BufferUsages) -> wgpu::Buffer {
        let descriptor = wgpu::BufferDescriptor {
            label: Some(label),
            size: size.max(4).next_multiple_of(4),
            usage,
            mapped_at_creation: false,
        };
        self.device().create_buffer(&descriptor)
    }

    /// A buffer with its contents; call it inside [`Gpu::scoped`].
    pub(crate) fn buffer_with(
        &self,
        label: &str,
        contents: &[u8],
        usage: wgpu::BufferUsages,
    ) -> Result<wgpu::Buffer> {
        let buffer = self.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size: contents.len() as u64,
            usage,
            mapped_at_creation: true,
        });
        // A lost device hands out buffers that cannot be mapped.
        buffer
            .get_mapped_range_mut(..)
            .map_err(|error| self.refused(&error.to_string()))?
            .copy_from_slice(contents);
        buffer.unmap();
        Ok(buffer)
    }

    /// An encoder; call it inside [`Gpu::scoped`].
    pub(crate) fn encoder(&self) -> wgpu::CommandEncoder {
        self.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
    }

    /// Submits what an encoder recorded.
    pub(crate) async fn submit(
        &self,
        encoder: wgpu::CommandEncoder,
    ) -> Result<wgpu::SubmissionIndex> {
        self.scoped("a submission", |gpu| gpu.queue().submit([encoder.finish()])).await
    }

    /// The pipeline of a kernel, compiled if this is its first use.
    pub(crate) async fn pipeline(
        &self,
        kernel: Kernel,
        workgroup_size: u32,
    ) -> Result<wgpu::ComputePipeline> {
        let key = (kernel, workgroup_size);
        // A panic elsewhere cannot leave a map of finished pipelines half-changed.
        let cache = || self.inner.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pipeline) = cache().get(&key) {
            return Ok(pipeline.clone());
        }
        let pipeline = self.compile(kernel, workgroup_size).await?;
        Ok(cache().entry(key).or_insert(pipeline).clone())
    }

    async fn compile(&self, kernel: Kernel, workgroup_size: u32) -> Result<wgpu::ComputePipeline> {
        let composed = compose(&kernel, &self.inner.sources);
        let name = kernel.name();
        let (device, label) = (self.device(), Some(name.as_str()));
        let failed = |message| Error::Shader { kernel: name.clone(), message };
        let refused = |error| match error {
            Error::Gpu { message } => failed(message),
            other => other,
        };
        let source = &composed.source;
        let (module, outcome) = self
            .attempt(&name, |gpu| module::create(device, &name, source, &gpu.inner.sources))
            .await?;
        if let Err(error @ Error::DeviceLost { .. }) = outcome {
            return Err(error);
        }
        for message in &module.get_compilation_info().await.messages {
            if message.message_type == wgpu::CompilationMessageType::Error {
                let line = message.location.map_or(0, |location| location.line_number);
                let (file, line) = composed.origin(line);
                let text = one_line(&message.message);
                return Err(failed(format!("shaders/{file}:{line}: {text}")));
            }
        }
        outcome.map_err(refused)?;
        let constants = [("WG_SIZE", f64::from(workgroup_size))];
        self.scoped(&name, |_| {
            let entries: Vec<_> = kernel.bindings().into_iter().map(layout_entry).collect();
            let bind_group_layout =
                device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                    label,
                    entries: &entries,
                });
            let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label,
                bind_group_layouts: &[Some(&bind_group_layout)],
                immediate_size: 0,
            });
            device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label,
                layout: Some(&layout),
                module: &module,
                entry_point: Some("main"),
                compilation_options: wgpu::PipelineCompilationOptions {
                    constants: &constants,
                    // Every slot of workgroup memory is written before it is read.
                    zero_initialize_workgroup_memory: false,
                },
                cache: None,
            })
        })
        .await
        .map_err(refused)
    }
}

fn layout_entry((slot, access): (crate::gpu::Slot, Access)) -> wgpu::BindGroupLayoutEntry {
    let ty = match access {
        Access::Uniform => wgpu::BufferBindingType::Uniform,
        Access::Read => wgpu::BufferBindingType::Storage { read_only: true },
        Access::ReadWrite => wgpu::BufferBindingType::Storage { read_only: false },
    };
    wgpu::BindGroupLayoutEntry {
        binding: slot as u32,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
        count: None,
    }
}

/// wgpu's messages have several lines; ours have one.
pub(crate) fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allocation_that_fails_is_out_of_memory() {
        // wgpu's noop backend allocates host memory; no machine has an exabyte of it.
        let limits = wgpu::Limits { max_buffer_size: 1 << 60, ..wgpu::Limits::default() };
        let noop = wgpu::NoopBackendOptions {
            limits: Some(limits.clone()),
            ..wgpu::NoopBackendOptions::enabled()
        };
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
            backends: wgpu::Backends::NOOP,
            flags: wgpu::InstanceFlags::empty(),
            backend_options: wgpu::BackendOptions { noop, ..Default::default() },
            ..wgpu::InstanceDescriptor::new_without_display_handle()
        });
        let adapter =
            pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default()))
                .expect("the backend is enabled");
        let descriptor = wgpu::DeviceDescriptor { required_limits: limits, ..Default::default() };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))
            .expect("the adapter has these limits");
        let gpu = Gpu::new(&device, &queue);
        let usage = wgpu::BufferUsages::STORAGE;
        let allocate = |bytes| {
            pollster::block_on(gpu.scoped("a buffer", |gpu| gpu.buffer("test", bytes, usage)))
        };
        allocate(1 << 10).expect("a kilobyte fits");
        let error = allocate(1 << 59).expect_err("half an exabyte does not");
        assert_eq!(error, Error::OutOfMemory { what: "a buffer".to_owned() });
    }
}
