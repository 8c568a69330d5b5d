//! Softmax, cross-entropy and the losses around it, with their gradients, for large batches, on any
//! GPU through wgpu and on the CPU.
//!
//! | | operations |
//! |---|---|
//! | rows of logits against classes | [`CrossEntropy`], [`Focal`] |
//! | elements | [`BinaryCrossEntropy`], [`BinaryFocal`], [`Elementwise`] |
//! | rows against rows | [`KlDivergence`], [`JsDivergence`], [`CrossEntropy`] with [`Targets::Probs`] |
//! | what a linear layer reads, whose logits are never there as a whole | [`LinearCrossEntropy`] |
//! | rows alone | [`Softmax`], [`LogSoftmax`], [`LogSumExp`], [`Entropy`], [`Surprisal`] |
//!
//! `docs/LOSSES.md` says which to take when, with pictures.
//!
//! # Data in host memory
//!
//! A [`Device`] evaluates an operation on slices. [`Device::auto`] takes a real GPU if there is one
//! and the CPU otherwise; [`Device::reference`] is the f64 definition that both are tested against.
//!
//! ```
//! use surprisal::{CrossEntropy, CrossEntropyInput, Device, Matrix, Reduction};
//!
//! // [rows, classes] = [3, 4]; the second row is ignored.
//! let logits: [f32; 12] = [3.0, 0.0, 1.0, -1.0, 9.0, 9.0, 9.0, 9.0, 0.5, 0.5, 0.5, 0.5];
//! let targets = [0i64, -100, 3];
//! let input = CrossEntropyInput::new(Matrix::new(&logits, 3, 4)?, &targets);
//!
//! let op = CrossEntropy::new().with_reduction(Reduction::Sum).with_gradient();
//! let output = Device::auto().run(&op, input)?;
//! assert!((output.loss.reduced().unwrap() - 1.571_477).abs() < 1e-5);
//! assert_eq!(output.kept_rows, 2);
//! let dlogits = output.dlogits.unwrap();
//! assert_eq!(dlogits.as_f32().unwrap()[4..8], [0.0; 4]);
//! # Ok::<(), surprisal::Error>(())
//! ```
//!
//! # Data on a GPU
//!
//! A [`gpu::Gpu`] records the same operations into an encoder of the caller's, on the caller's
//! device, queue and buffers. Preparing compiles and allocates, once; encoding does neither, and
//! nothing is submitted behind the caller's back.
//!
#![cfg_attr(feature = "gpu", doc = "```")]
#![cfg_attr(not(feature = "gpu"), doc = "```ignore")]
//! use surprisal::gpu::{Gpu, MatrixBuffer, OutputBuffer, TransformBuffers};
//! use surprisal::wgpu::{self, util::DeviceExt as _};
//! use surprisal::{Device, Softmax};
//!
//! # let owner = Device::gpu()?;
//! # let (device, queue) = {
//! #     let gpu = owner.as_gpu().unwrap();
//! #     (gpu.device().clone(), gpu.queue().clone())
//! # };
//! // `device` and `queue` are the program's own; the logits are [rows, classes] = [2, 3].
//! let logits = device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
//!     label: Some("logits"),
//!     contents: bytemuck::cast_slice(&[1.0f32, 2.0, 3.0, 0.0, 0.0, 0.0]),
//!     usage: wgpu::BufferUsages::STORAGE,
//! });
//! let gpu = Gpu::new(&device, &queue);
//! let buffers = TransformBuffers::new(MatrixBuffer::new(&logits, 2, 3), OutputBuffer::InPlace);
//! let call = gpu.prepare_blocking(&Softmax, buffers)?;
//!
//! let mut encoder = device.create_command_encoder(&Default::default());
//! call.encode(&mut encoder);
//! queue.submit([encoder.finish()]);
//! # Ok::<(), surprisal::Error>(())
//! ```
//!
//! # Choosing a device
//!
//! The data decides. Logits that are on the GPU already are best left there. Logits in host memory
//! have to be transferred, which for these operations takes longer than computing them: then the
//! CPU path is often the better choice, and [`Device::run_timed`] tells how long each stage took.
//! The command's `surprisal bench` measures both on one's own machine and says from which size on the
//! GPU is faster.
//!
//! # Accuracy, special values, determinism
//!
//! Every row is reduced to its maximum and the sum of the exponentials of all elements but one that
//! holds it (a [`RowStat`](cpu::RowStat)). A row that the model is sure of keeps all digits of its
//! small loss and gradient, and a common offset of the logits changes nothing. Masked, infinite and
//! NaN logits, ignored rows and empty batches have one meaning on every device. The same device and
//! input give the same bits. `docs/NUMERICS.md` has the formulas, the bounds and the exceptions.
//!
//! # Features
//!
//! | feature | default | |
//! |---|---|---|
//! | `gpu` | yes | the GPU path, through wgpu |
//! | `rayon` | yes | the CPU path on all threads |
//! | `vulkan`, `metal`, `dx12` | yes | wgpu's backends |
//! | `gles` | no | wgpu's OpenGL ES backend |
//! | `static-dxc` | no | DX12 with its shader compiler linked in; subgroups there need it |

mod clock;
pub mod cpu;
mod device;
mod dtype;
mod error;
#[cfg(feature = "gpu")]
pub mod gpu;
mod matrix;
mod op;
mod reference;

/// Batches that are larger than memory: windows of rows by [`Device::stream`], a linear layer's by
/// [`Device::stream_linear`], and a layer in blocks of classes by [`Device::stream_classes`].
pub mod stream {
    pub use crate::device::{
        Batch, ClassStream, ClassWindow, LayerPart, LinearStream, LinearTotal, Part, Pending,
        StreamBytes, Streaming, Total,
    };
    #[cfg(not(target_arch = "wasm32"))]
    pub use crate::device::{StageTimes, Stages, overlap};
}

#[cfg(all(feature = "gpu", not(target_arch = "wasm32")))]
pub use device::adapters_blocking;
#[cfg(feature = "gpu")]
pub use device::{AdapterChoice, adapters};
pub use device::{Device, DeviceInfo, DeviceKind, EvaluateInto, Timings};
pub use dtype::{Dtype, Element};
pub use error::{Error, Result};
pub use matrix::{Array, Matrix, MatrixMut, Values, ValuesMut};
pub use op::{
    BatchTargets, BinaryCrossEntropy, BinaryFocal, BinaryLabels, CrossEntropy, CrossEntropyInput,
    CrossEntropyOutput, DivergenceInput, DivergenceOutput, Elementwise, ElementwiseInput,
    ElementwiseLoss, ElementwiseOutput, Entropy, EntropyBackward, EntropyBackwardInput, Focal,
    InputForm, JsDivergence, KlDivergence, Labels, LinearCrossEntropy, LinearCrossEntropyInput,
    LinearCrossEntropyOutput, LogSoftmax, LogSoftmaxBackward, LogSoftmaxBackwardInput, LogSumExp,
    LogSumExpBackward, LogSumExpBackwardInput, LogitsInput, Loss, Metrics, Op, PosWeight,
    Reduction, Softmax, SoftmaxBackward, SoftmaxBackwardInput, Surprisal, Targets, Unit, Upstream,
};
/// The version of wgpu whose types this crate takes.
#[cfg(feature = "gpu")]
pub use wgpu;

/// The README's examples, run as tests.
#[cfg(all(doctest, feature = "gpu"))]
#[doc = include_str!("../README.md")]
struct Readme;

/// The example of the reliability's page, run as a test.
#[cfg(doctest)]
#[doc = include_str!("../docs/RELIABILITY.md")]
struct Reliability;

/// The example of the command's page, run as a test.
#[cfg(doctest)]
#[doc = include_str!("../docs/COMMAND.md")]
struct Command;

/// The examples of the losses' page, run as tests.
#[cfg(doctest)]
#[doc = include_str!("../docs/LOSSES.md")]
struct Losses;
