//! Where to run: the GPU, the CPU path, or the reference.

#[cfg(feature = "gpu")]
mod adapter;
#[cfg(feature = "gpu")]
mod gpu;
mod run;
mod stream;
mod timings;

#[cfg(all(feature = "gpu", not(target_arch = "wasm32")))]
pub use adapter::adapters_blocking;
#[cfg(feature = "gpu")]
pub use adapter::{AdapterChoice, adapters};
pub use run::EvaluateInto;
pub use stream::{
    Batch, ClassStream, ClassWindow, LayerPart, LinearStream, LinearTotal, Part, Pending,
    StreamBytes, Streaming, Total,
};
#[cfg(not(target_arch = "wasm32"))]
pub use stream::{StageTimes, Stages, overlap};
pub use timings::Timings;

use crate::cpu::InstructionSet;
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::matrix::{Matrix, MatrixMut};
use crate::op::Op;

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
/// for device in [Device::reference(), Device::cpu(), Device::auto()] {
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
    Cpu(InstructionSet),
    Reference,
}

impl Device {
    /// The CPU path: f32 inside, rows on all threads of rayon's pool, the machine's best vector
    /// instructions.
    ///
    /// Results do not depend on the number of threads, to the bit.
    pub fn cpu() -> Self {
        Self { inner: Inner::Cpu(InstructionSet::best()) }
    }

    /// The CPU path with vector instructions that are not the best there are, to compare or to
    /// reproduce: results differ in their last digits.
    ///
    /// # Errors
    /// [`Error::InvalidInput`](crate::Error::InvalidInput) if this machine does not have them.
    ///
    /// ```
    /// use surprisal::{Device, cpu::InstructionSet};
    ///
    /// println!("{}", Device::cpu_with(InstructionSet::Portable)?.info());
    /// # Ok::<(), surprisal::Error>(())
    /// ```
    pub fn cpu_with(set: InstructionSet) -> Result<Self> {
        if set.is_available() {
            return Ok(Self { inner: Inner::Cpu(set) });
        }
        let reason = format!("this processor has no {set}");
        Err(Error::InvalidInput { what: "instruction set", reason })
    }

    /// The definition: f64, plain loops, one thread.
    pub fn reference() -> Self {
        Self { inner: Inner::Reference }
    }

    /// A GPU if the machine has a real one, and the CPU path otherwise; [`Device::info`] says
    /// which. A software driver does not count: the CPU path is faster.
    ///
    /// It goes by what there is, not by what is to be computed, and measures nothing. A device takes
    /// data from host memory and brings it back, which may cost more than a GPU gains: `surprisal
    /// bench` says from how many rows on this machine's GPU is faster than its CPU path, with transfer
    /// and, for those who record into an encoder of their own, without. Below that take
    /// [`Device::cpu`].
    #[cfg(all(feature = "gpu", not(target_arch = "wasm32")))]
    pub fn auto() -> Self {
        pollster::block_on(Self::auto_async())
    }

    /// The CPU path: this build has no GPU support.
    #[cfg(not(feature = "gpu"))]
    pub fn auto() -> Self {
        Self::cpu()
    }

    /// Its name, and where it runs.
    pub fn info(&self) -> DeviceInfo {
        match &self.inner {
            #[cfg(feature = "gpu")]
            Inner::Gpu(gpu) => gpu.info(),
            Inner::Cpu(set) => DeviceInfo {
                kind: DeviceKind::Cpu,
                name: format!("{} threads, {set}", threads()),
                backend: "rust".to_owned(),
            },
            Inner::Reference => DeviceInfo {
                kind: DeviceKind::Reference,
                name: "f64".to_owned(),
                backend: "rust".to_owned(),
            },
        }
    }

    /// The dtypes that the matrices of one call have on this device, given those that they come in.
    ///
    /// f64 is rounded to f32, except by the reference, to which everything is f64. A GPU has all
    /// matrices of a call in one dtype: f32 where they differ, or where it has too few bindings for
    /// 16-bit rows.
    ///
    /// ```
    /// use surprisal::{Device, Dtype};
    ///
    /// assert_eq!(Device::cpu().storage(&[Dtype::F16, Dtype::F64]), [Dtype::F16, Dtype::F32]);
    /// ```
    pub fn storage(&self, dtypes: &[Dtype]) -> Vec<Dtype> {
        let narrowed = |&dtype: &Dtype| if dtype == Dtype::F64 { Dtype::F32 } else { dtype };
        match &self.inner {
            #[cfg(feature = "gpu")]
            Inner::Gpu(gpu) => vec![gpu.storage(dtypes.iter().copied()); dtypes.len()],
            Inner::Cpu(_) => dtypes.iter().map(narrowed).collect(),
            Inner::Reference => vec![Dtype::F64; dtypes.len()],
        }
    }

    /// Evaluates an operation.
    ///
    /// # Errors
    /// What the operation says of its input; from a GPU also
    /// [`Error::TooLarge`](crate::Error::TooLarge),
    /// [`Error::DeviceTooSmall`](crate::Error::DeviceTooSmall),
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory) and
    /// [`Error::DeviceLost`](crate::Error::DeviceLost).
    #[cfg(not(target_arch = "wasm32"))]
    pub fn run<'a, O: Op>(
        &'a self,
        op: &'a O,
        input: impl Into<O::Input<'a>>,
    ) -> Result<O::Output> {
        self.run_timed(op, input).map(|(output, _)| output)
    }

    /// [`Self::run`], with how long its stages took.
    ///
    /// # Errors
    /// As there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn run_timed<'a, O: Op>(
        &'a self,
        op: &'a O,
        input: impl Into<O::Input<'a>>,
    ) -> Result<(O::Output, Timings)> {
        pollster::block_on(self.run_timed_async(op, input))
    }

    /// [`Self::run`], asynchronous. On a native GPU a poll of the future blocks its thread until the
    /// device is through; give it one that may.
    ///
    /// # Errors
    /// As there.
    pub async fn run_async<'a, O: Op>(
        &'a self,
        op: &'a O,
        input: impl Into<O::Input<'a>>,
    ) -> Result<O::Output> {
        self.run_timed_async(op, input).await.map(|(output, _)| output)
    }

    /// [`Self::run_timed`], asynchronous.
    ///
    /// # Errors
    /// As there.
    pub async fn run_timed_async<'a, O: Op>(
        &'a self,
        op: &'a O,
        input: impl Into<O::Input<'a>>,
    ) -> Result<(O::Output, Timings)> {
        let (operation, data) = (op.operation()?, O::data(input.into()));
        let (results, timings) = self.execute(&operation.0, &data).await?;
        Ok((O::raise(results), timings))
    }
}

impl Device {
    /// Evaluates an operation into memory of the caller's: the gradient of a loss, the result of a
    /// transform. On the CPU nothing of the batch's size is allocated or copied.
    ///
    /// `out` has the shape and dtype of the operation's matrix.
    ///
    /// ```
    /// use surprisal::{CrossEntropy, CrossEntropyInput, Device, Matrix, MatrixMut};
    ///
    /// let logits = Matrix::new(&[1.0f32, 2.0, 3.0, 0.0, 0.0, 0.0], 2, 3)?;
    /// let mut dlogits = [0.0f32; 6];
    /// let op = CrossEntropy::new().with_gradient();
    /// let input = CrossEntropyInput::new(logits, &[2i64, 0]);
    /// let out = MatrixMut::new(&mut dlogits[..], 2, 3)?;
    /// let output = Device::cpu().run_into(&op, input, out)?;
    /// assert!(output.dlogits.is_none() && dlogits[2] < 0.0);
    /// # Ok::<(), surprisal::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Self::run`]; [`Error::ShapeMismatch`](crate::Error::ShapeMismatch) and
    /// [`Error::InvalidInput`](crate::Error::InvalidInput) if `out` does not fit, or if a loss is not
    /// asked for its gradient.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn run_into<'a, O: EvaluateInto>(
        &'a self,
        op: &'a O,
        input: impl Into<O::Input<'a>>,
        out: MatrixMut<'_>,
    ) -> Result<O::Beside> {
        pollster::block_on(self.run_into_async(op, input, out))
    }

    /// Evaluates an operation in place: the gradient of a loss goes over its logits, the result of a
    /// transform over its matrix.
    ///
    /// ```
    /// use surprisal::{Device, MatrixMut, Softmax};
    ///
    /// let mut values = [0.0f32, f32::ln(3.0)];
    /// Device::cpu().run_in_place(&Softmax, MatrixMut::new(&mut values[..], 1, 2)?, None)?;
    /// assert!((values[1] - 0.75).abs() < 1e-6);
    /// # Ok::<(), surprisal::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Self::run_into`]. The matrix is then as it was.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn run_in_place<O: EvaluateInto>(
        &self,
        op: &O,
        matrix: MatrixMut<'_>,
        rest: O::Rest<'_>,
    ) -> Result<O::Beside> {
        pollster::block_on(self.run_in_place_async(op, matrix, rest))
    }

    /// [`Self::run_into`], asynchronous.
    ///
    /// # Errors
    /// As there.
    pub async fn run_into_async<'a, O: EvaluateInto>(
        &'a self,
        op: &'a O,
        input: impl Into<O::Input<'a>>,
        out: MatrixMut<'_>,
    ) -> Result<O::Beside> {
        let (operation, data) = (op.operation()?, O::data(input.into()));
        self.execute_into(&operation.0, &data, out).await.map(O::beside)
    }

    /// [`Self::run_in_place`], asynchronous.
    ///
    /// # Errors
    /// As there.
    pub async fn run_in_place_async<O: EvaluateInto>(
        &self,
        op: &O,
        matrix: MatrixMut<'_>,
        rest: O::Rest<'_>,
    ) -> Result<O::Beside> {
        let operation = op.operation()?;
        let nothing = Matrix::new(&[] as &[f32], 0, 0)?;
        let data = O::data(O::join(nothing, rest));
        self.execute_in_place(&operation.0, matrix, &data).await.map(O::beside)
    }
}

#[cfg(feature = "gpu")]
impl Device {
    /// [`Self::auto`], asynchronous.
    pub async fn auto_async() -> Self {
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
