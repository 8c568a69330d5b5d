//! What a device can do, and the sizes chosen for it: plain numbers, so that planning can be
//! tested against any device there might be.

use std::time::Duration;

use crate::gpu::product::Tile;

/// The limits and features that planning depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caps {
    /// Bytes a storage binding may cover. Never past 2^31 - 4, whatever the device claims: some
    /// backends compute wrongly there.
    pub max_binding_bytes: u64,
    /// Bytes a buffer may have.
    pub max_buffer_bytes: u64,
    /// Workgroups a dispatch may have along one dimension.
    pub max_workgroups: u32,
    /// Storage bindings a kernel may have.
    pub max_storage_bindings: u32,
    /// What a storage binding's offset must be a multiple of.
    pub storage_alignment: u64,
    /// Lanes a workgroup may have.
    pub max_workgroup_size: u32,
    /// Bytes of workgroup memory.
    pub workgroup_memory: u32,
    /// The smallest and the largest subgroup, where subgroup operations can be used.
    pub subgroups: Option<(u32, u32)>,
    /// Whether shaders run on a CPU.
    pub software: bool,
    /// Whether it is a card with memory of its own.
    pub discrete: bool,
}

impl Caps {
    /// Lanes a workgroup may have here: a power of two, because the reductions halve it, and few
    /// enough for an accumulator of each in workgroup memory.
    pub(crate) fn lanes(&self) -> u32 {
        const ACCUMULATOR: u32 = 48;
        let limit = self.max_workgroup_size.min(self.workgroup_memory / ACCUMULATOR);
        1 << limit.max(1).ilog2()
    }

    /// The largest binding that is used on any device.
    const MAX_BINDING: u64 = (1 << 31) - 4;

    /// The capabilities that follow from a device's limits, features and adapter.
    pub fn new(limits: &wgpu::Limits, features: wgpu::Features, info: &wgpu::AdapterInfo) -> Self {
        let sizes = (info.subgroup_min_size, info.subgroup_max_size);
        let usable = features.contains(wgpu::Features::SUBGROUP)
            && sizes.0 >= Tuning::MIN_SUBGROUP
            && sizes.1 <= limits.max_compute_invocations_per_workgroup;
        Self {
            max_binding_bytes: limits.max_storage_buffer_binding_size.min(Self::MAX_BINDING) & !3,
            max_buffer_bytes: limits.max_buffer_size,
            max_workgroups: limits.max_compute_workgroups_per_dimension,
            max_storage_bindings: limits.max_storage_buffers_per_shader_stage,
            storage_alignment: limits.min_storage_buffer_offset_alignment.into(),
            max_workgroup_size: limits
                .max_compute_invocations_per_workgroup
                .min(limits.max_compute_workgroup_size_x),
            workgroup_memory: limits.max_compute_workgroup_storage_size,
            subgroups: usable.then_some(sizes),
            software: info.device_type == wgpu::DeviceType::Cpu,
            discrete: info.device_type == wgpu::DeviceType::DiscreteGpu,
        }
    }
}

/// How the lanes of a workgroup reduce their values to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reduce {
    /// By subgroup operations, then one slot a subgroup in workgroup memory.
    Subgroup,
    /// By subgroup operations alone, in a workgroup that is one subgroup. Plans ask for it where a
    /// device's subgroups have one size and the workgroup is of that size; as a [`Tuning`] it is
    /// [`Self::Tree`].
    OneSubgroup,
    /// Through workgroup memory alone: everywhere.
    Tree,
}

/// The sizes at which one kernel takes over from another. [`Tuning::new`] chooses them for a
/// device; tests and measurements set others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tuning {
    /// How lanes reduce.
    pub reduce: Reduce,
    /// The smallest workgroup for a row, a power of two.
    pub min_row_workgroup: u32,
    /// The largest workgroup for a row, a power of two.
    pub max_row_workgroup: u32,
    /// Up to this many classes, one lane handles a row.
    pub lane_max_classes: u32,
    /// Up to this many classes, a workgroup's lanes hold a row between its sweep and its columns, if
    /// they can.
    pub held_max_classes: u32,
    /// From this many classes on, a row may be split over workgroups.
    pub split_min_classes: u32,
    /// Rows are split if there are at most this many.
    pub split_max_rows: u32,
    /// How many workgroups a split aims at, over all rows.
    pub split_workgroups: u32,
    /// What a workgroup of a product of matrices computes at a time.
    pub product_tile: Tile,
    /// Operations of a product of matrices in a second, a multiplication and an addition being two, as
    /// estimated: what `elements_per_second` is for everything else.
    pub operations_per_second: u64,
    /// How long a dispatch should take at most, and what the [`Device`](crate::Device) submits at
    /// once: drivers reset a GPU that does not answer, on Windows after two seconds.
    pub budget: Duration,
    /// Elements of matrices that pass in a second, read or written, as estimated: a dispatch has no
    /// more than fit `budget`. Too high an estimate makes dispatches longer than it; too low a one
    /// makes more of them.
    pub elements_per_second: u64,
}

impl Tuning {
    /// These sizes as far as a device allows them: powers of two that it can run, in order, and a
    /// reduction that it has.
    pub(crate) fn fit(self, caps: &Caps) -> Self {
        let lanes = caps.lanes();
        let subgroup = caps.subgroups.map(|(_, largest)| largest.next_power_of_two());
        let subgroup = subgroup.filter(|&size| size <= lanes && self.reduce == Reduce::Subgroup);
        let size = |size: u32| size.clamp(subgroup.unwrap_or(1), lanes);
        let largest = size(1 << self.max_row_workgroup.max(1).ilog2());
        let smallest = size(1 << self.min_row_workgroup.max(1).ilog2()).min(largest);
        Self {
            reduce: if subgroup.is_some() { Reduce::Subgroup } else { Reduce::Tree },
            min_row_workgroup: smallest,
            max_row_workgroup: largest,
            product_tile: self.product_tile.fit(caps),
            ..self
        }
    }

    /// A quarter of what Windows allows: an estimate may be off by a factor of four.
    const BUDGET: Duration = Duration::from_millis(500);

    /// Elements that a dispatch may go through.
    pub(crate) fn elements_a_dispatch(&self) -> u64 {
        self.in_budget(self.elements_per_second)
    }

    /// Operations of a product that a dispatch may do.
    pub(crate) fn operations_a_dispatch(&self) -> u64 {
        self.in_budget(self.operations_per_second)
    }

    fn in_budget(&self, a_second: u64) -> u64 {
        let count = u128::from(a_second).saturating_mul(self.budget.as_micros()) / 1_000_000;
        u64::try_from(count).unwrap_or(u64::MAX).max(1)
    }

    /// Elements that take as long as so many operations of a product.
    pub(crate) fn elements_of(&self, operations: u64) -> u64 {
        let elements = u128::from(operations) * u128::from(self.elements_per_second);
        let elements = elements / u128::from(self.operations_per_second.max(1));
        u64::try_from(elements).unwrap_or(u64::MAX)
    }

    /// The smallest subgroup that the reduction through subgroups has room for.
    pub(crate) const MIN_SUBGROUP: u32 = 4;

    /// Where the kernels change on a software driver. It runs a subgroup's lanes as one vector, its
    /// subgroups one after the other, and its workgroups on the processor's cores.
    ///
    /// Measured by `cargo bench --bench tuning` on lavapipe, two busy cores (docs/PERFORMANCE.md):
    ///
    /// | | |
    /// |---|---|
    /// | row workgroups | 8 lanes are twice as fast as 32 to 32,000 classes, 1.4 times at 128,256 |
    /// | `lane_max_classes` | a lane a row is 4 times as fast at 32 classes, 1.5 times at 256 |
    /// | `held_max_classes` | what 8 lanes can hold; in a measurement apart, 0.8 of the time at 256 classes |
    /// | `split_min_classes` | one row: slower at 8192 classes, level at 32,768, faster at 131,072 |
    /// | the other `split_*` | 16 pieces: a third of the time at 4 rows, half at 16 |
    /// | `elements_per_second` | loss and gradient: 400 to 850 million on idle cores, 48 million at the slowest while others used them |
    /// | `product_tile` | 32 lanes of 8 x 8: no faster than others, and in the least memory |
    /// | `operations_per_second` | 4 GFLOP a second or two of two busy cores |
    const SOFTWARE: Self = Self {
        reduce: Reduce::Subgroup,
        min_row_workgroup: 8,
        max_row_workgroup: 8,
        lane_max_classes: 32,
        held_max_classes: 256,
        split_min_classes: 1 << 15,
        split_max_rows: 4,
        split_workgroups: 16,
        product_tile: Tile::Slim,
        operations_per_second: 2_500_000_000,
        budget: Self::BUDGET,
        elements_per_second: 50_000_000,
    };

    /// Where the kernels change on a GPU. Nothing of this has been measured on one yet:
    ///
    /// | | reason |
    /// |---|---|
    /// | row workgroups | from a subgroup of most GPUs to what hides the memory's latency |
    /// | `lane_max_classes` | the rows of neighbouring lanes are to share cache lines |
    /// | `held_max_classes` | as far as the largest workgroup can: a row is then read once |
    /// | `split_*` | fewer rows than a large GPU has cores, and a few workgroups for each core |
    /// | `elements_per_second` | loss and gradient in f32 move 6 bytes an element counted. The memory of telephones and small boards moves 4 GB/s and more: 0.7e9, of which a seventh is taken |
    /// | of a card | the slowest, with DDR3, move 14 GB/s: 2.4e9, of which less than half is taken |
    /// | `product_tile` | 8 x 8 elements a lane: 64 multiplications to four reads of workgroup memory |
    /// | `operations_per_second` | a small GPU does 0.2 TFLOP/s |
    const GPU: Self = Self {
        reduce: Reduce::Subgroup,
        min_row_workgroup: 32,
        max_row_workgroup: 256,
        lane_max_classes: 32,
        held_max_classes: u32::MAX,
        split_min_classes: 1 << 15,
        split_max_rows: 64,
        split_workgroups: 512,
        product_tile: Tile::Large,
        operations_per_second: 200_000_000_000,
        budget: Self::BUDGET,
        elements_per_second: 100_000_000,
    };

    /// As [`Self::GPU`], where memory is not shared with a processor. Cards have the registers for the
    /// largest workgroups: 1024 lanes hold 32,768 classes, and of longer rows fewer are in flight, so that
    /// more of what they read again is still in the cache.
    const DISCRETE: Self =
        Self { max_row_workgroup: 1024, elements_per_second: 1_000_000_000, ..Self::GPU };

    /// The sizes for a device: those of its kind, as far as it allows them.
    ///
    /// `cargo bench --bench tuning` varies them one by one on a machine's own adapter.
    pub fn new(caps: &Caps) -> Self {
        let kind = match caps {
            Caps { software: true, .. } => Self::SOFTWARE,
            Caps { discrete: true, .. } => Self::DISCRETE,
            _ => Self::GPU,
        };
        // A workgroup smaller than a subgroup would leave lanes idle.
        let subgroup = caps.subgroups.map_or(1, |(_, largest)| largest.next_power_of_two());
        Self {
            reduce: if caps.subgroups.is_some() { kind.reduce } else { Reduce::Tree },
            min_row_workgroup: subgroup.max(kind.min_row_workgroup),
            max_row_workgroup: subgroup.max(kind.max_row_workgroup),
            ..kind
        }
        .fit(caps)
    }
}
