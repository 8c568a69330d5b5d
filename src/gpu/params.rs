//! Structs shared with the shaders. A test compares every offset with what the WGSL declares.

use bytemuck::{Pod, Zeroable};

/// `Params` of `shaders/storage/params.wgsl`: the numbers of one dispatch.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[repr(C)]
#[expect(missing_docs, reason = "each field is documented where it is read, in params.wgsl")]
pub struct Params {
    pub rows: u32,
    pub classes: u32,
    pub words: u32,
    pub grid_width: u32,
    pub input_offset: u32,
    pub input_stride: u32,
    pub second_offset: u32,
    pub second_stride: u32,
    pub output_offset: u32,
    pub output_stride: u32,
    pub stats_offset: u32,
    pub targets_offset: u32,
    pub dloss_offset: u32,
    pub splits: u32,
    pub split_words: u32,
    pub ignore_used: u32,
    pub ignore_low: u32,
    pub ignore_high: u32,
    pub upstream: f32,
    pub nan: f32,
    pub infinity: f32,
    pub first_row: u32,
    pub first_block: u32,
    pub blocks: u32,
    pub smooth_target: f32,
    pub smooth_class: f32,
    pub weight_sum: f32,
    pub z_loss: f32,
    pub logit_scale: f32,
    pub z_scale: f32,
    pub softcap: f32,
    pub normalizer: f32,
    pub swept_words: u32,
    pub unit: f32,
    pub clamp: f32,
    pub gamma: f32,
    pub delta: f32,
    pub label_scale: f32,
    pub label_offset: f32,
    pub focal_one: f32,
    pub focal_zero: f32,
    pub factors_offset: u32,
    pub factors_stride: u32,
    pub dloss_stride: u32,
    pub pairs_offset: u32,
    pub edges_offset: u32,
    pub columns: u32,
    pub depth: u32,
    pub bias_offset: u32,
    pub first_column: u32,
    pub continued: u32,
    pub window_row: u32,
    pub window_rows: u32,
    pub last_word: u32,
    pub mask_offset: u32,
    pub mask_stride: u32,
    pub ignored_label: f32,
    pub zero: u32,
    pub mix_teacher: f32,
    pub mix_student: f32,
    pub mix_log_teacher: f32,
    pub mix_log_student: f32,
    pub mix_shift: f32,
    pub weight: f32,
}

impl Params {
    /// Bytes from one dispatch's to the next one's in a buffer: no device aligns bindings to more.
    pub const STRIDE: u64 = (size_of::<Self>() as u64).next_multiple_of(256);
}

/// In the place of the best column of a row that is ignored; `SKIPPED` of `stats_metrics.wgsl`.
pub(super) const SKIPPED: u32 = 0x7fff_ffff;

/// `Limit` of `shaders/fit_params.wgsl`: a number in the params of a later dispatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
#[expect(missing_docs, reason = "each field is documented where it is read, in fit_params.wgsl")]
pub struct Limit {
    pub at: u32,
    pub first: u32,
    pub most: u32,
    pub is_whole: u32,
}

/// `Summary` of `shaders/storage/results.wgsl`: what a batch comes to.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct Summary {
    /// What a mean divides by.
    pub total_weight: f32,
    /// The reduced loss; 0 where losses are not reduced.
    pub loss: f32,
    /// How many rows were not ignored.
    pub kept_rows: u32,
    /// The first row whose target is neither a class nor the ignored value, or [`Self::NO_ROW`].
    pub bad_row: u32,
    /// That target, as the low and the high half of an i64.
    pub bad_target: [u32; 2],
    /// The sum of -log p over kept rows, where metrics were asked for.
    pub nll: f32,
    /// How many rows' best column is the target's, where metrics were asked for.
    pub correct: u32,
}

impl Summary {
    /// No bad row: every target was a class or the ignored value.
    pub const NO_ROW: u32 = u32::MAX;
    /// Bytes of a summary.
    pub const SIZE: u64 = size_of::<Self>() as u64;
}
