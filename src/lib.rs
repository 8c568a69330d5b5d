//! Softmax, cross-entropy and their gradients for large batches.

pub mod cpu;
mod device;
mod dtype;
mod error;
mod matrix;
mod op;
pub mod reference;

pub use device::{AdapterChoice, Device, DeviceInfo, DeviceKind, Evaluate, Timings, adapters};
pub use dtype::{Dtype, Element};
pub use error::{Error, Result};
pub use matrix::{Array, Matrix, Values};
pub use op::*;
#[cfg(feature = "gpu")]
pub mod gpu;
#[cfg(feature = "gpu")]
pub use wgpu;
