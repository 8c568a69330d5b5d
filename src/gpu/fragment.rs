//! The shader files: their texts, and what each of them binds.

/// A place for a buffer; its number is the binding's number in every shader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u32)]
#[expect(missing_docs, reason = "each is documented at its binding, in the shader")]
pub enum Slot {
    Params = 0,
    Input = 1,
    Output = 2,
    Stats = 3,
    Targets = 4,
    Dloss = 5,
    Summary = 6,
    Second = 7,
    Scratch = 8,
    Weights = 9,
}

/// How a kernel uses what it binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Access {
    /// A uniform block.
    Uniform,
    /// Storage that is read.
    Read,
    /// Storage that is read and written.
    ReadWrite,
}

/// One shader file, and the bindings that it declares.
#[derive(Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Its path under `shaders/`.
    pub file: &'static str,
    /// Its text.
    pub source: &'static str,
    /// What it binds.
    pub bindings: &'static [(Slot, Access)],
}

macro_rules! fragments {
    ($($name:ident = $file:literal $(binds $($slot:ident $access:ident),+)?;)*) => {
        $(pub(super) static $name: Fragment = Fragment {
            file: $file,
            source: include_str!(concat!("../../shaders/", $file)),
            bindings: &[$($((Slot::$slot, Access::$access)),+)?],
        };)*
        /// Every shader file.
        pub static FRAGMENTS: &[&Fragment] = &[$(&$name),*];
    };
}

fragments! {
    PARAMS = "fragments/params.wgsl" binds Params Uniform;
    FLOATS = "fragments/floats.wgsl";
    WORD_F32 = "fragments/word_f32.wgsl";
    WORD_F32X4 = "fragments/word_f32x4.wgsl";
    WORD_F16X4 = "fragments/word_f16x4.wgsl";
    WORD_BF16X4 = "fragments/word_bf16x4.wgsl";
    IO_READ = "fragments/io_read.wgsl" binds Input Read;
    IO_SEPARATE = "fragments/io_separate.wgsl" binds Input Read, Output ReadWrite;
    IO_IN_PLACE = "fragments/io_in_place.wgsl" binds Input ReadWrite;
    SECOND_INPUT = "fragments/second_input.wgsl" binds Second Read;
    ACC_ROW_STAT = "fragments/acc_row_stat.wgsl";
    ACC_ROW_STAT_SUBGROUP = "fragments/acc_row_stat_subgroup.wgsl";
    ACC_SMOOTHED = "fragments/acc_smoothed.wgsl";
    ACC_SMOOTHED_SUBGROUP = "fragments/acc_smoothed_subgroup.wgsl";
    SMOOTHING_NONE = "fragments/smoothing_none.wgsl";
    ACC_SUM = "fragments/acc_sum.wgsl";
    ACC_SUM_SUBGROUP = "fragments/acc_sum_subgroup.wgsl";
    ACC_TARGETS = "fragments/acc_targets.wgsl";
    REDUCE_TREE = "fragments/reduce_tree.wgsl";
    REDUCE_SUBGROUP = "fragments/reduce_subgroup.wgsl";
    SWEEP_WORDS = "fragments/sweep_words.wgsl";
    SWEEP_ROW_STAT = "fragments/sweep_row_stat.wgsl";
    SWEEP_SMOOTHED = "fragments/sweep_smoothed.wgsl";
    SWEEP_DOT = "fragments/sweep_dot.wgsl";
    SWEEP_SECOND = "fragments/sweep_second.wgsl";
    CHAIN_NONE = "fragments/chain_none.wgsl";
    CHAIN_SOFTCAP = "fragments/chain_softcap.wgsl";
    WEIGHTS_NONE = "fragments/weights_none.wgsl";
    WEIGHTS_BUFFER = "fragments/weights_buffer.wgsl" binds Weights Read;
    SHIFT_NONE = "fragments/shift_none.wgsl";
    SHIFT_WEIGHTS = "fragments/shift_weights.wgsl";
    TARGETS_I32 = "fragments/targets_i32.wgsl" binds Targets Read;
    TARGETS_I64 = "fragments/targets_i64.wgsl" binds Targets Read;
    TARGET_KIND = "fragments/target_kind.wgsl";
    STATS = "fragments/stats.wgsl" binds Stats ReadWrite;
    STATS_LSE = "fragments/stats_lse.wgsl";
    ROW_CROSS_ENTROPY = "fragments/row_cross_entropy.wgsl";
    ROW_LOGSUMEXP = "fragments/row_logsumexp.wgsl";
    ROW_PLAIN = "fragments/row_plain.wgsl";
    SUMMARY = "fragments/summary.wgsl";
    SUMMARY_WRITE = "fragments/summary_write.wgsl" binds Summary ReadWrite;
    UPSTREAM_SCALAR = "fragments/upstream_scalar.wgsl";
    UPSTREAM_MEAN = "fragments/upstream_mean.wgsl" binds Summary Uniform;
    UPSTREAM_ROWS = "fragments/upstream_rows.wgsl" binds Dloss Read;
    FINISH_CROSS_ENTROPY = "fragments/finish_cross_entropy.wgsl";
    FINISH_EXP = "fragments/finish_exp.wgsl";
    FINISH_LOG_SOFTMAX = "fragments/finish_log_softmax.wgsl";
    FINISH_SUM = "fragments/finish_sum.wgsl";
    COLUMN_EXP = "fragments/column_exp.wgsl";
    COLUMN_LOG_SOFTMAX = "fragments/column_log_softmax.wgsl";
    COEF_SUM = "fragments/coef_sum.wgsl";
    COLUMN_SOFTMAX_BACKWARD = "fragments/column_softmax_backward.wgsl";
    COLUMN_LOG_SOFTMAX_BACKWARD = "fragments/column_log_softmax_backward.wgsl";
    COLUMNS_NONE = "fragments/columns_none.wgsl";
    COLUMNS_NOW = "fragments/columns_now.wgsl";
    COLUMNS_LATER = "fragments/columns_later.wgsl";
    SCRATCH = "fragments/scratch.wgsl" binds Scratch ReadWrite;
    REDUCED_SUM = "fragments/reduced_sum.wgsl";
    REDUCED_MEAN = "fragments/reduced_mean.wgsl";
    ROW = "row.wgsl";
    LANE = "lane.wgsl";
    SPLIT_SWEEP = "split_sweep.wgsl";
    SPLIT_FINISH = "split_finish.wgsl";
    SPLIT_COLUMNS = "split_columns.wgsl";
    SCAN_TARGETS = "scan_targets.wgsl";
    FINISH_TARGETS = "finish_targets.wgsl";
    SUM_LOSS = "sum_loss.wgsl";
    FINISH_LOSS = "finish_loss.wgsl";
}
