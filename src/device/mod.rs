//! Where to run: the GPU, the CPU path, or the reference.

#[cfg(feature = "gpu")]
mod adapter;
#[cfg(feature = "gpu")]
mod gpu;
mod run;
mod timings;

#[cfg(all(feature = "gpu", not(target_arch = "wasm32")))]
pub use adapter::adapters_blocking;
#[cfg(feature = "gpu")]
pub use adapter::{AdapterChoice, adapters};
pub use run::Evaluate;
pub use timings::Timings;

use crate::error::Result;

#[cfg(feature = "gpu")]
use self::gpu::OwnedGpu;

/// A place to run operations on data in host memory.
///
/// The same call evaluates an operation on any of the three; for data that already lives in GPU
/// buffers of your own see [`gpu::Gpu`](crate::gpu::Gpu).
///
/// ```
/// use surprisal::{Device, Matrix, Softmax};
///
/// let logits = Matrix::new(&[1.0f32, 2.0, 3.0], 1, 3)?;
/// for device in [Device::reference(), Device::cpu(), Device::best()] {
///     let probs = device.run(&Softmax, logits)?;
///     println!("{}: {:?}", device.info(), probs.to_f64());
/// }
/// # Ok::<(), surprisal::Error>(())
/// ```
#[derive(Debug)]
pub struct Device {
    inner: Inner,
}

#[derive(Debug)]
enum Inner {
    #[cfg(feature = "gpu")]
    Gpu(Box<OwnedGpu>),
    Cpu,
    Reference,
}

impl Device {
    /// The CPU path: f32 inside, rows on all threads.
    pub fn cpu() -> Self {
        Self { inner: Inner::Cpu }
    }

    /// The definition: f64, plain loops, one thread.
    pub fn reference() -> Self {
        Self { inner: Inner::Reference }
    }

    /// A GPU if the machine has a real one, and the CPU path otherwise; [`Device::info`] says
    /// which. A software driver does not count: the CPU path is faster.
    #[cfg(all(feature = "gpu", not(target_arch = "wasm32")))]
    pub fn best() -> Self {
        pollster::block_on(Self::best_async())
    }

    /// The CPU path: this build has no GPU support.
    #[cfg(not(feature = "gpu"))]
    pub fn best() -> Self {
        Self::cpu()
    }

    /// Its name, and where it runs.
    pub fn info(&self) -> DeviceInfo {
        match &self.inner {
            #[cfg(feature = "gpu")]
            Inner::Gpu(gpu) => gpu.info(),
            Inner::Cpu => DeviceInfo {
                kind: DeviceKind::Cpu,
                name: format!("{} threads", threads()),
                backend: "rust".to_owned(),
            },
            Inner::Reference => DeviceInfo {
                kind: DeviceKind::Reference,
                name: "f64".to_owned(),
                backend: "rust".to_owned(),
            },
        }
    }

    /// Evaluates an operation.
    ///
    /// # Errors
    /// What the operation says of its input; from a GPU also
    /// [`Error::TooLarge`](crate::Error::TooLarge),
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory) and
    /// [`Error::DeviceLost`](crate::Error::DeviceLost).
    #[cfg(not(target_arch = "wasm32"))]
    pub fn run<'a, O: Evaluate>(&'a self, op: &'a O, input: O::Input<'a>) -> Result<O::Output> {
        self.run_timed(op, input).map(|(output, _)| output)
    }

    /// [`Self::run`], with how long its stages took.
    ///
    /// # Errors
    /// As there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn run_timed<'a, O: Evaluate>(
        &'a self,
        op: &'a O,
        input: O::Input<'a>,
    ) -> Result<(O::Output, Timings)> {
        pollster::block_on(self.run_timed_async(op, input))
    }

    /// [`Self::run`], asynchronous. On a native GPU the future waits for the device in slices of a
    /// few milliseconds; give it a thread that may.
    ///
    /// # Errors
    /// As there.
    pub async fn run_async<'a, O: Evaluate>(
        &'a self,
        op: &'a O,
        input: O::Input<'a>,
    ) -> Result<O::Output> {
        self.run_timed_async(op, input).await.map(|(output, _)| output)
    }

    /// [`Self::run_timed`], asynchronous.
    ///
    /// # Errors
    /// As there.
    #[cfg_attr(not(feature = "gpu"), expect(clippy::unused_async, reason = "a GPU is awaited"))]
    pub async fn run_timed_async<'a, O: Evaluate>(
        &'a self,
        op: &'a O,
        input: O::Input<'a>,
    ) -> Result<(O::Output, Timings)> {
        let mut timings = Timings::default();
        let output = match &self.inner {
            #[cfg(feature = "gpu")]
            Inner::Gpu(gpu) => return op.on_gpu(gpu, input).await,
            Inner::Cpu => timings.compute(|| op.on_cpu(input))?,
            Inner::Reference => timings.compute(|| op.on_reference(input))?,
        };
        Ok((output, timings))
    }
}

#[cfg(feature = "gpu")]
impl Device {
    /// [`Self::best`], asynchronous.
    pub async fn best_async() -> Self {
        match AdapterChoice::Real.open().await {
            Ok(gpu) => Self { inner: Inner::Gpu(Box::new(gpu)) },
            Err(_) => Self::cpu(),
        }
    }

    /// The machine's best GPU, a software driver if there is nothing better.
    ///
    /// # Errors
    /// [`Error::NoAdapter`](crate::Error::NoAdapter) if there is none.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn gpu() -> Result<Self> {
        Self::gpu_with(&AdapterChoice::Best)
    }

    /// The GPU of one's choice.
    ///
    /// # Errors
    /// [`Error::NoAdapter`](crate::Error::NoAdapter) if there is no such adapter.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn gpu_with(choice: &AdapterChoice) -> Result<Self> {
        pollster::block_on(Self::gpu_with_async(choice))
    }

    /// [`Self::gpu_with`], asynchronous.
    ///
    /// # Errors
    /// As there.
    pub async fn gpu_with_async(choice: &AdapterChoice) -> Result<Self> {
        Ok(Self { inner: Inner::Gpu(Box::new(choice.open().await?)) })
    }

    /// A GPU that is open already, with whatever caps, sizes and shaders it was given.
    pub fn with_gpu(gpu: crate::gpu::Gpu) -> Self {
        Self { inner: Inner::Gpu(Box::new(OwnedGpu::new(gpu))) }
    }

    /// The GPU's context, if this device is one: to record into encoders of one's own.
    pub fn as_gpu(&self) -> Option<&crate::gpu::Gpu> {
        if let Inner::Gpu(gpu) = &self.inner { Some(gpu.context()) } else { None }
    }
}

fn threads() -> usize {
    #[cfg(feature = "rayon")]
    return rayon::current_num_threads();
    #[cfg(not(feature = "rayon"))]
    return 1;
}

/// What kind of device it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeviceKind {
    /// wgpu.
    Gpu,
    /// The CPU path.
    Cpu,
    /// The f64 reference.
    Reference,
}

impl std::fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Gpu => "gpu",
            Self::Cpu => "cpu",
            Self::Reference => "reference",
        })
    }
}

/// Which device it is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceInfo {
    /// GPU, CPU or reference.
    pub kind: DeviceKind,
    /// The adapter's name, or the number of threads.
    pub name: String,
    /// The graphics interface, or `rust`.
    pub backend: String,
}

impl std::fmt::Display for DeviceInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.kind {
            DeviceKind::Gpu => write!(f, "gpu: {} ({})", self.name, self.backend),
            kind => write!(f, "{kind}: {}", self.name),
        }
    }
}
