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
    Factors = 10,
    Pairs = 11,
    Edges = 12,
    Bias = 13,
    Kept = 14,
    Limits = 15,
    Fitted = 16,
    Mask = 17,
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
    STARTS = "fragments/starts.wgsl";
    FLOATS = "fragments/floats.wgsl";
    WORD_F32 = "fragments/word_f32.wgsl";
    WORD_F32X4 = "fragments/word_f32x4.wgsl";
    WORD_HALVES = "fragments/word_halves.wgsl";
    WORD_HALVES_X4 = "fragments/word_halves_x4.wgsl";
    HALVES_F16 = "fragments/halves_f16.wgsl";
    HALVES_BF16 = "fragments/halves_bf16.wgsl";
    IO_READ = "fragments/io_read.wgsl" binds Input Read;
    IO_SEPARATE = "fragments/io_separate.wgsl" binds Input Read, Output ReadWrite;
    IO_IN_PLACE = "fragments/io_in_place.wgsl" binds Input ReadWrite;
    IO_READ_RAGGED = "fragments/io_read_ragged.wgsl" binds Input Read;
    IO_SEPARATE_RAGGED = "fragments/io_separate_ragged.wgsl" binds Input Read, Output ReadWrite;
    IO_IN_PLACE_RAGGED = "fragments/io_in_place_ragged.wgsl" binds Input ReadWrite;
    IO_LOSSES = "fragments/io_losses.wgsl" binds Input Read, Output ReadWrite;
    IO_LOSSES_RAGGED = "fragments/io_losses_ragged.wgsl" binds Input Read, Output ReadWrite;
    EDGES = "fragments/edges.wgsl" binds Edges ReadWrite;
    STORE_RAGGED = "fragments/store_ragged.wgsl";
    SECOND_INPUT = "fragments/second_input.wgsl" binds Second Read;
    SECOND_INPUT_RAGGED = "fragments/second_input_ragged.wgsl" binds Second Read;
    REST = "fragments/rest.wgsl";
    COLLAPSE = "fragments/collapse.wgsl";
    ACC_ROW_STAT = "fragments/acc_row_stat.wgsl";
    ACC_ROW_STAT_SUBGROUP = "fragments/acc_row_stat_subgroup.wgsl";
    ACC_WEIGHTED = "fragments/acc_weighted.wgsl";
    ACC_WEIGHTED_SUBGROUP = "fragments/acc_weighted_subgroup.wgsl";
    ACC_ARGMAX = "fragments/acc_argmax.wgsl";
    ACC_LABELS = "fragments/acc_labels.wgsl";
    ACC_PAIR = "fragments/acc_pair.wgsl";
    ACC_JS = "fragments/acc_js.wgsl";
    ACC_SUM = "fragments/acc_sum.wgsl";
    ACC_SUM_SUBGROUP = "fragments/acc_sum_subgroup.wgsl";
    ACC_LOSSES = "fragments/acc_losses.wgsl";
    PAIRWISE = "fragments/pairwise.wgsl";
    ACC_TARGETS = "fragments/acc_targets.wgsl";
    ACC_METRICS = "fragments/acc_metrics.wgsl";
    SMOOTHING_NONE = "fragments/smoothing_none.wgsl";
    SMOOTHING = "fragments/smoothing.wgsl";
    REDUCE_TREE = "fragments/reduce_tree.wgsl";
    REDUCE_SUBGROUP = "fragments/reduce_subgroup.wgsl";
    REDUCE_ONE_SUBGROUP = "fragments/reduce_one_subgroup.wgsl";
    SWEEP_WHOLE = "fragments/sweep_whole.wgsl";
    SWEEP_RAGGED = "fragments/sweep_ragged.wgsl";
    SWEEP_WORDS = "fragments/sweep_words.wgsl";
    SWEEP_HELD = "fragments/sweep_held.wgsl";
    SWEEP_ROW_STAT = "fragments/sweep_row_stat.wgsl";
    SWEEP_SMOOTHED = "fragments/sweep_smoothed.wgsl";
    SWEEP_ARGMAX = "fragments/sweep_argmax.wgsl";
    SWEEP_SMOOTHED_ARGMAX = "fragments/sweep_smoothed_argmax.wgsl";
    SWEEP_LABELS = "fragments/sweep_labels.wgsl";
    SWEEP_LABELS_ARGMAX = "fragments/sweep_labels_argmax.wgsl";
    SWEEP_DOT = "fragments/sweep_dot.wgsl";
    SWEEP_SECOND = "fragments/sweep_second.wgsl";
    SWEEP_KL = "fragments/sweep_kl.wgsl";
    SWEEP_REVERSE_KL = "fragments/sweep_reverse_kl.wgsl";
    SWEEP_ENTROPY = "fragments/sweep_entropy.wgsl";
    SIDES_KL = "fragments/sides_kl.wgsl";
    SIDES_REVERSE_KL = "fragments/sides_reverse_kl.wgsl";
    SIDES_ENTROPY = "fragments/sides_entropy.wgsl";
    SWEEP_JS = "fragments/sweep_js.wgsl";
    SWEEP_ELEMENTS = "fragments/sweep_elements.wgsl";
    SWEEP_ELEMENTS_GRADIENT = "fragments/sweep_elements_gradient.wgsl";
    SWEEP_ELEMENT_COUNTS = "fragments/sweep_element_counts.wgsl";
    SWEEP_ELEMENT_LOSSES = "fragments/sweep_element_losses.wgsl";
    CHAIN_NONE = "fragments/chain_none.wgsl";
    CHAIN_SOFTCAP = "fragments/chain_softcap.wgsl";
    CHAIN_PROBS = "fragments/chain_probs.wgsl";
    FORM_LOGITS = "fragments/form_logits.wgsl";
    FORM_NORMALIZED = "fragments/form_normalized.wgsl";
    TEACHER_LOGITS = "fragments/teacher_logits.wgsl";
    TEACHER_LOG_PROBS = "fragments/teacher_log_probs.wgsl";
    LOG_OF = "fragments/log_of.wgsl";
    TEACHER_PROBS = "fragments/teacher_probs.wgsl";
    STUDENT = "fragments/student.wgsl";
    WEIGHTS_NONE = "fragments/weights_none.wgsl";
    WEIGHTS_ALIKE = "fragments/weights_alike.wgsl";
    WEIGHTS_BUFFER = "fragments/weights_buffer.wgsl" binds Weights Read;
    WEIGHTS_RAGGED = "fragments/weights_ragged.wgsl" binds Weights Read;
    FACTORS_NONE = "fragments/factors_none.wgsl";
    FACTORS_BUFFER = "fragments/factors_buffer.wgsl" binds Factors Read;
    FACTORS_RAGGED = "fragments/factors_ragged.wgsl" binds Factors Read;
    SHIFT_NONE = "fragments/shift_none.wgsl";
    SHIFT_WEIGHTS = "fragments/shift_weights.wgsl";
    SHIFT_LABELS = "fragments/shift_labels.wgsl";
    LABEL_PART = "fragments/label_part.wgsl";
    TARGETS_I32 = "fragments/targets_i32.wgsl" binds Targets Read;
    TARGETS_I64 = "fragments/targets_i64.wgsl" binds Targets Read;
    TARGETS_NONE = "fragments/targets_none.wgsl";
    COUNTS_ALL = "fragments/counts_all.wgsl";
    COUNTS_TARGETS = "fragments/counts_targets.wgsl";
    MASK = "fragments/mask.wgsl" binds Mask Read;
    MASK_NONE = "fragments/mask_none.wgsl";
    ELEMENTS_ALL = "fragments/elements_all.wgsl";
    ELEMENTS_MASKED = "fragments/elements_masked.wgsl";
    ELEMENTS_MASKED_ONE = "fragments/elements_masked_one.wgsl";
    TARGET_KIND = "fragments/target_kind.wgsl";
    STATS = "fragments/stats.wgsl" binds Stats ReadWrite;
    STATS_METRICS = "fragments/stats_metrics.wgsl" binds Stats ReadWrite;
    STATS_LSE = "fragments/stats_lse.wgsl";
    METRICS_NONE = "fragments/metrics_none.wgsl";
    BEST_COLUMN = "fragments/best_column.wgsl";
    METRICS_LABELS = "fragments/metrics_labels.wgsl";
    PAIRS = "fragments/pairs.wgsl" binds Pairs ReadWrite;
    JS_TERMS = "fragments/js_terms.wgsl";
    SOFTPLUS = "fragments/softplus.wgsl";
    MODULATION = "fragments/modulation.wgsl";
    ELEMENT = "fragments/element.wgsl";
    ELEMENT_BINARY_LOGITS = "fragments/element_binary_logits.wgsl";
    ELEMENT_BINARY_PROBS = "fragments/element_binary_probs.wgsl";
    ELEMENT_BINARY_FOCAL = "fragments/element_binary_focal.wgsl";
    ELEMENT_SQUARED = "fragments/element_squared.wgsl";
    ELEMENT_ABSOLUTE = "fragments/element_absolute.wgsl";
    ELEMENT_HUBER = "fragments/element_huber.wgsl";
    ELEMENT_HINGE = "fragments/element_hinge.wgsl";
    ROW_SWEPT = "fragments/row_swept.wgsl";
    ROW_TARGET = "fragments/row_target.wgsl";
    ROW_LABELS = "fragments/row_labels.wgsl";
    ROW_LOGSUMEXP = "fragments/row_logsumexp.wgsl";
    ROW_PLAIN = "fragments/row_plain.wgsl";
    ROW_KL = "fragments/row_kl.wgsl";
    ROW_REVERSE_KL = "fragments/row_reverse_kl.wgsl";
    ROW_ENTROPY = "fragments/row_entropy.wgsl";
    ROW_PAIRS = "fragments/row_pairs.wgsl";
    ROW_JS = "fragments/row_js.wgsl";
    ROW_ELEMENT_COUNTS = "fragments/row_element_counts.wgsl";
    ROW_ELEMENTS = "fragments/row_elements.wgsl";
    STORE_CROSS_ENTROPY = "fragments/store_cross_entropy.wgsl";
    STORE_FOCAL = "fragments/store_focal.wgsl";
    SUMMARY = "fragments/summary.wgsl";
    SUMMARY_WRITE = "fragments/summary_write.wgsl" binds Summary ReadWrite;
    UPSTREAM_SCALAR = "fragments/upstream_scalar.wgsl";
    UPSTREAM_MEAN = "fragments/upstream_mean.wgsl" binds Summary Uniform;
    UPSTREAM_ROWS = "fragments/upstream_rows.wgsl" binds Dloss Read;
    UPSTREAM_ELEMENTS = "fragments/upstream_elements.wgsl" binds Dloss Read;
    UPSTREAM_ELEMENTS_RAGGED = "fragments/upstream_elements_ragged.wgsl" binds Dloss Read;
    FINISH_CROSS_ENTROPY = "fragments/finish_cross_entropy.wgsl";
    FINISH_NLL = "fragments/finish_nll.wgsl";
    FINISH_LABELS = "fragments/finish_labels.wgsl";
    FINISH_LABELS_NORMALIZED = "fragments/finish_labels_normalized.wgsl";
    FINISH_TARGET_GRADIENT = "fragments/finish_target_gradient.wgsl";
    FINISH_FOCAL = "fragments/finish_focal.wgsl";
    FINISH_KL = "fragments/finish_kl.wgsl";
    FINISH_REVERSE_KL = "fragments/finish_reverse_kl.wgsl";
    FINISH_ENTROPY = "fragments/finish_entropy.wgsl";
    FINISH_JS = "fragments/finish_js.wgsl";
    FINISH_EXP = "fragments/finish_exp.wgsl";
    FINISH_LOG_SOFTMAX = "fragments/finish_log_softmax.wgsl";
    FINISH_SUM = "fragments/finish_sum.wgsl";
    COLUMN_EXP = "fragments/column_exp.wgsl";
    COLUMN_NORMALIZED = "fragments/column_normalized.wgsl";
    COLUMN_LABELS = "fragments/column_labels.wgsl";
    COLUMN_TARGET_GRADIENT = "fragments/column_target_gradient.wgsl";
    COLUMN_KL = "fragments/column_kl.wgsl";
    COLUMN_REVERSE_KL = "fragments/column_reverse_kl.wgsl";
    COLUMN_ENTROPY = "fragments/column_entropy.wgsl";
    COLUMN_JS = "fragments/column_js.wgsl";
    COLUMN_LOG_SOFTMAX = "fragments/column_log_softmax.wgsl";
    COEF_SUM = "fragments/coef_sum.wgsl";
    COLUMN_SOFTMAX_BACKWARD = "fragments/column_softmax_backward.wgsl";
    COLUMN_LOG_SOFTMAX_BACKWARD = "fragments/column_log_softmax_backward.wgsl";
    COLUMN_ELEMENT = "fragments/column_element.wgsl";
    SKIPS = "fragments/skips.wgsl";
    SKIPS_ROWS = "fragments/skips_rows.wgsl";
    COLUMNS_WHOLE = "fragments/columns_whole.wgsl";
    COLUMNS_RAGGED = "fragments/columns_ragged.wgsl";
    COLUMNS_HELD = "fragments/columns_held.wgsl";
    COLUMNS_NONE = "fragments/columns_none.wgsl";
    COLUMNS_NOW = "fragments/columns_now.wgsl";
    COLUMNS_LATER = "fragments/columns_later.wgsl";
    SCRATCH = "fragments/scratch.wgsl" binds Scratch ReadWrite;
    SCRATCH_PIECES = "fragments/scratch_pieces.wgsl";
    REDUCED_SUM = "fragments/reduced_sum.wgsl";
    REDUCED_MEAN = "fragments/reduced_mean.wgsl";
    LEFT_F32 = "fragments/left_f32.wgsl" binds Input Read;
    LEFT_F32X4 = "fragments/left_f32x4.wgsl" binds Input Read;
    LEFT_HALVES = "fragments/left_halves.wgsl" binds Input Read;
    LEFT_UPRIGHT = "fragments/left_upright.wgsl";
    LEFT_TURNED = "fragments/left_turned.wgsl";
    RIGHT_F32 = "fragments/right_f32.wgsl" binds Second Read;
    RIGHT_F32X4 = "fragments/right_f32x4.wgsl" binds Second Read;
    RIGHT_HALVES = "fragments/right_halves.wgsl" binds Second Read;
    RIGHT_UPRIGHT = "fragments/right_upright.wgsl";
    RIGHT_TURNED = "fragments/right_turned.wgsl";
    PRODUCT_F32 = "fragments/product_f32.wgsl" binds Output ReadWrite;
    PRODUCT_F32X4 = "fragments/product_f32x4.wgsl" binds Output ReadWrite;
    START_ZERO = "fragments/start_zero.wgsl";
    START_BIAS = "fragments/start_bias.wgsl" binds Bias Read;
    START_STORED = "fragments/start_stored.wgsl";
    TILE_SLIM = "fragments/tile_slim.wgsl";
    TILE_MEDIUM = "fragments/tile_medium.wgsl";
    TILE_LARGE = "fragments/tile_large.wgsl";
    SUMS_ONE = "fragments/sums_one.wgsl";
    SUMS_FOUR = "fragments/sums_four.wgsl";
    PRODUCT_TILE = "fragments/product_tile.wgsl";
    PRODUCT = "product.wgsl";
    LOGITS_TILE = "fragments/logits_tile.wgsl";
    TARGET_LOGIT = "fragments/target_logit.wgsl";
    TILE_SWEEP = "tile_sweep.wgsl";
    COLUMN_SUMS = "column_sums.wgsl" binds Input Read, Output ReadWrite;
    ROW = "row.wgsl";
    LANE = "lane.wgsl";
    SPLIT_SWEEP = "split_sweep.wgsl";
    SPLIT_FINISH = "split_finish.wgsl";
    SPLIT_COLUMNS = "split_columns.wgsl";
    JOIN_EDGES = "join_edges.wgsl" binds Output ReadWrite;
    SCAN_TARGETS = "scan_targets.wgsl";
    FINISH_TARGETS = "finish_targets.wgsl";
    MASK_TARGETS = "mask_targets.wgsl" binds Output ReadWrite;
    MASK_LABELS = "mask_labels.wgsl" binds Output ReadWrite;
    FINISH_COUNTS = "finish_counts.wgsl";
    KEPT = "fragments/kept.wgsl" binds Kept Read;
    LIST_KEPT = "list_kept.wgsl" binds Kept ReadWrite;
    GATHER_ROWS = "gather_rows.wgsl" binds Input Read, Output ReadWrite;
    SPREAD_ROWS = "spread_rows.wgsl" binds Input Read, Output ReadWrite;
    CLEAR_IGNORED = "clear_ignored.wgsl" binds Output ReadWrite;
    FIT_PARAMS = "fit_params.wgsl" binds Summary Uniform, Limits Read, Fitted ReadWrite;
    SUM_LOSS = "sum_loss.wgsl";
    FINISH_LOSS = "finish_loss.wgsl";
    SUM_METRICS = "sum_metrics.wgsl";
    FINISH_METRICS = "finish_metrics.wgsl";
}
