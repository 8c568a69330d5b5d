//! The one error type of the crate.

/// Everything that can go wrong, in one type.
///
/// Messages are one line and name what was wrong with which value; rows are counted from 0.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Two shapes that have to agree do not.
    #[error("{what}: expected {expected}, found {found}")]
    ShapeMismatch {
        /// What was given.
        what: &'static str,
        /// The shape that the other inputs ask for.
        expected: String,
        /// The shape that was given.
        found: String,
    },
    /// A target is neither a class nor the ignored value.
    #[error("target {value} of row {row} is neither in 0..{classes} nor the ignored value")]
    TargetOutOfRange {
        /// The first such row.
        row: u64,
        /// What stands there.
        value: i64,
        /// How many classes there are.
        classes: u64,
    },
    /// Inputs that do not go together, for a reason other than their shapes.
    #[error("{what}: {reason}")]
    InvalidInput {
        /// What was given.
        what: &'static str,
        /// Why it cannot be used.
        reason: String,
    },
    /// A batch is larger than what this device can address.
    #[error("{what} takes {needed} bytes; this device can hold {limit} in one piece")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How much it needs.
        needed: u64,
        /// How much there may be.
        limit: u64,
    },
    /// No GPU can be used.
    #[error("no usable GPU adapter: {reason}")]
    NoAdapter {
        /// What was looked for.
        reason: String,
    },
    /// The device lacks something that the operation cannot do without.
    #[error("the device {device} cannot run this: {reason}")]
    DeviceTooSmall {
        /// Its name.
        device: String,
        /// What is missing.
        reason: String,
    },
    /// A GPU buffer cannot be used as it was given.
    #[error("buffer `{name}`: {reason}")]
    InvalidBuffer {
        /// Which one.
        name: &'static str,
        /// Why it cannot be used.
        reason: String,
    },
    /// The GPU device is gone: unplugged, reset, or destroyed. A new one has to be opened.
    #[error("the GPU device was lost: {reason}")]
    DeviceLost {
        /// What the driver said.
        reason: String,
    },
    /// An allocation failed: on the GPU, or of a result in host memory.
    #[error("out of memory: {what}")]
    OutOfMemory {
        /// What was being allocated.
        what: String,
    },
    /// The driver refused a shader: a defect in this crate or in the driver.
    #[error("shader {kernel} did not compile: {message}")]
    Shader {
        /// The kernel.
        kernel: String,
        /// The compiler's message, with the file and line of the shader's source.
        message: String,
    },
    /// wgpu refused a call: a defect in this crate or in the driver.
    #[error("wgpu: {message}")]
    Gpu {
        /// wgpu's message.
        message: String,
    },
}

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
