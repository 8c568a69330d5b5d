//! What a plan is made of.

use std::ops::Range;

use super::problem::Role;
use crate::gpu::fragment::Slot;
use crate::gpu::kernel::Kernel;
use crate::gpu::params::{Limit, Params};

/// A buffer bound to a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// Which.
    pub slot: Slot,
    /// Whose buffer it is.
    pub role: Role,
    /// Bytes from the buffer's start, a multiple of the device's alignment.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
}

impl Bound {
    /// A range of the slot's own buffer.
    pub(super) fn new(slot: Slot, offset: u64, size: u64) -> Self {
        Self { slot, role: Role::Slot(slot), offset, size }
    }
}

/// One dispatch.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What runs.
    pub kernel: Kernel,
    /// Lanes a workgroup.
    pub workgroup_size: u32,
    /// Workgroups along x and y.
    pub grid: [u32; 2],
    /// Elements of matrices that pass: what its time is estimated by.
    pub cost: u64,
    /// Its numbers.
    pub params: Params,
    /// What it binds besides its params.
    pub bindings: Vec<Bound>,
}

/// The dispatches of a call, in order, and the buffers that they need besides the caller's.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// The dispatches.
    pub steps: Vec<Step>,
    /// Bytes of the buffer with the results of each row, 0 if there are none.
    pub stats_bytes: u64,
    /// Bytes of the buffer with the statistics that a second pass reads, 0 if there is none.
    pub pairs_bytes: u64,
    /// Bytes of the buffer for the elements that share a u32 with another row's, 0 if none do.
    pub edges_bytes: u64,
    /// Bytes of the buffer with targets that a mask is made into, 0 if they are the caller's.
    pub targets_bytes: u64,
    /// Bytes of the buffer with a mask that is made from labels, 0 if there is none.
    pub mask_bytes: u64,
    /// Bytes of the buffer of intermediate results.
    pub scratch_bytes: u64,
    /// Bytes of the buffer with a chunk of logits, 0 if they are the caller's.
    pub logits_bytes: u64,
    /// Which of the dispatches have numbers that the device fits to the rows that are not ignored.
    pub fitted: Range<usize>,
    /// Those numbers.
    pub limits: Vec<Limit>,
    /// Bytes of the buffers that leaving ignored rows out takes, 0 where one is not needed.
    pub kept: Vec<(Role, u64)>,
    /// Whether there is a [`Summary`](crate::gpu::Summary).
    pub has_summary: bool,
}
