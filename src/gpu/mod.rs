//! The GPU path: plan, compose, compile, record, read back.
//!
//! Programs need [`Gpu`], [`Call`], [`Tuning`] and the types that end in `Buffer` or `Buffers`. The rest,
//! from [`Caps`] to [`plan`], is how plans and shaders are made: it is public so that tests and the curious
//! can look at it, and changes whenever they do.

mod buffers;
mod call;
mod caps;
mod compose;
mod context;
mod fragment;
mod kernel;
mod module;
mod ops;
mod pace;
mod params;
pub mod plan;
mod product;
mod record;
mod row_kernel;
mod tile_sweep;
mod transfer;
mod variants;
mod word;

pub use buffers::{
    MaskBuffer, MatrixBuffer, OutputBuffer, TargetsBuffer, UpstreamBuffer, VectorBuffer,
};
pub use call::Call;
pub(crate) use call::{RowMetrics, WindowedCall};
pub use caps::{Caps, Reduce, Tuning};
pub use compose::{Composed, Sources, compose};
pub use context::{Fault, Gpu};
pub use fragment::{Access, FRAGMENTS, Fragment, Slot};
pub use kernel::{
    Chain, Columns, Family, Kernel, RowKernel, Sharing, TargetType, UpstreamFrom, Weighting,
};
pub use ops::{ElementOp, RowOp};
pub use params::{Limit, Params, Summary};
pub use product::{Form, ProductKernel, Start, Tile};
pub use record::{
    BackwardBuffers, CrossEntropyBuffers, Description, DivergenceBuffers, ElementwiseBuffers,
    LinearCrossEntropyBuffers, Record, RowBackwardBuffers, RowResultBuffers, TransformBuffers,
};
pub(crate) use record::{divergence, elementwise};
pub use tile_sweep::TileSweep;
pub(crate) use transfer::{Piece, Reading};
pub use word::Word;
