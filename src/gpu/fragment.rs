//! The shader files: their parts, and what each of them binds.

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

/// A part of a shader file, or all of one, and the bindings that it declares.
#[derive(Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Its name, which no other has.
    pub name: &'static str,
    /// The path of its file under `shaders/`.
    pub file: &'static str,
    /// The text of the file.
    pub(super) text: &'static str,
    /// What it binds.
    pub bindings: &'static [(Slot, Access)],
}

/// What a part begins with, before its name.
const PART: &str = "\n// == ";

impl Fragment {
    /// Its text, and the line of the file, from 1, at which that begins. A file without parts is its only one.
    pub fn source(&self) -> (&'static str, u32) {
        let parts = self.text.match_indices(PART).map(|(at, _)| at + PART.len());
        let of_name = |&at: &usize| {
            let rest = &self.text[at..];
            rest.strip_prefix(self.name).is_some_and(|rest| rest.starts_with('\n'))
        };
        let start = parts.clone().find(of_name).map_or(0, |at| at + self.name.len() + 1);
        let rest = &self.text[start..];
        // A blank line stands before the next part.
        let end = rest.find(PART).unwrap_or(rest.len());
        (&rest[..end], 1 + self.text[..start].matches('\n').count() as u32)
    }
}

macro_rules! fragments {
    ($($file:literal {
        $($ident:ident = $name:literal $(binds $($slot:ident $access:ident),+)?;)*
    })*) => {
        $($(pub(super) static $ident: Fragment = Fragment {
            name: $name,
            file: $file,
            text: include_str!(concat!("../../shaders/", $file)),
            bindings: &[$($((Slot::$slot, Access::$access)),+)?],
        };)*)*
        /// Every fragment.
        pub static FRAGMENTS: &[&Fragment] = &[$($(&$ident),*),*];
    };
}

fragments! {
    "op/softmax.wgsl" {
        ROW_PLAIN = "row_plain";
        ROW_LOGSUMEXP = "row_logsumexp";
        FINISH_EXP = "finish_exp";
        COLUMN_EXP = "column_exp";
        FINISH_LOG_SOFTMAX = "finish_log_softmax";
        COLUMN_LOG_SOFTMAX = "column_log_softmax";
    }
    "op/backward.wgsl" {
        SWEEP_DOT = "sweep_dot";
        SWEEP_SECOND = "sweep_second";
        FINISH_SUM = "finish_sum";
        COEF_SUM = "coef_sum";
        COLUMN_SOFTMAX_BACKWARD = "column_softmax_backward";
        COLUMN_LOG_SOFTMAX_BACKWARD = "column_log_softmax_backward";
    }
    "op/cross_entropy.wgsl" {
        ROW_TARGET = "row_target";
        STORE_CROSS_ENTROPY = "store_cross_entropy";
        FINISH_CROSS_ENTROPY = "finish_cross_entropy";
        FINISH_NLL = "finish_nll";
        COLUMN_NORMALIZED = "column_normalized";
        SHIFT_NONE = "shift_none";
        SHIFT_WEIGHTS = "shift_weights";
    }
    "op/labels.wgsl" {
        LABEL_PART = "label_part";
        ROW_LABELS = "row_labels";
        FINISH_LABELS = "finish_labels";
        FINISH_LABELS_NORMALIZED = "finish_labels_normalized";
        COLUMN_LABELS = "column_labels";
        SHIFT_LABELS = "shift_labels";
        FINISH_TARGET_GRADIENT = "finish_target_gradient";
        COLUMN_TARGET_GRADIENT = "column_target_gradient";
    }
    "op/focal.wgsl" {
        MODULATION = "modulation";
        STORE_FOCAL = "store_focal";
        FINISH_FOCAL = "finish_focal";
    }
    "op/divergence.wgsl" {
        TEACHER_LOGITS = "teacher_logits";
        TEACHER_LOG_PROBS = "teacher_log_probs";
        TEACHER_PROBS = "teacher_probs";
        STUDENT = "student";
        SIDES_KL = "sides_kl";
        SIDES_REVERSE_KL = "sides_reverse_kl";
        SWEEP_KL = "sweep_kl";
        ROW_KL = "row_kl";
        FINISH_KL = "finish_kl";
        COLUMN_KL = "column_kl";
        SWEEP_REVERSE_KL = "sweep_reverse_kl";
        ROW_REVERSE_KL = "row_reverse_kl";
        FINISH_REVERSE_KL = "finish_reverse_kl";
        COLUMN_REVERSE_KL = "column_reverse_kl";
    }
    "op/js.wgsl" {
        PAIRS = "pairs" binds Pairs ReadWrite;
        ROW_PAIRS = "row_pairs";
        JS_TERMS = "js_terms";
        ACC_JS = "acc_js";
        SWEEP_JS = "sweep_js";
        ROW_JS = "row_js";
        FINISH_JS = "finish_js";
        COLUMN_JS = "column_js";
    }
    "op/entropy.wgsl" {
        SIDES_ENTROPY = "sides_entropy";
        SWEEP_ENTROPY = "sweep_entropy";
        ROW_ENTROPY = "row_entropy";
        FINISH_ENTROPY = "finish_entropy";
        COLUMN_ENTROPY = "column_entropy";
    }
    "op/elements.wgsl" {
        ELEMENT = "element";
        ELEMENTS_ALL = "elements_all";
        ELEMENTS_MASKED = "elements_masked";
        ELEMENTS_MASKED_ONE = "elements_masked_one";
        SWEEP_ELEMENTS = "sweep_elements";
        SWEEP_ELEMENTS_GRADIENT = "sweep_elements_gradient";
        SWEEP_ELEMENT_LOSSES = "sweep_element_losses";
        SWEEP_ELEMENT_COUNTS = "sweep_element_counts";
        ROW_ELEMENTS = "row_elements";
        ROW_ELEMENT_COUNTS = "row_element_counts";
        COLUMN_ELEMENT = "column_element";
    }
    "op/binary.wgsl" {
        SOFTPLUS = "softplus";
        LOG_OF = "log_of";
        ELEMENT_BINARY_LOGITS = "element_binary_logits";
        ELEMENT_BINARY_PROBS = "element_binary_probs";
        ELEMENT_BINARY_FOCAL = "element_binary_focal";
    }
    "op/regression.wgsl" {
        ELEMENT_SQUARED = "element_squared";
        ELEMENT_ABSOLUTE = "element_absolute";
        ELEMENT_HUBER = "element_huber";
        ELEMENT_HINGE = "element_hinge";
    }
    "option/chain.wgsl" {
        CHAIN_NONE = "chain_none";
        CHAIN_SOFTCAP = "chain_softcap";
        CHAIN_PROBS = "chain_probs";
        FORM_LOGITS = "form_logits";
        FORM_NORMALIZED = "form_normalized";
    }
    "option/weights.wgsl" {
        WEIGHTS_NONE = "weights_none";
        WEIGHTS_ALIKE = "weights_alike";
        WEIGHTS_BUFFER = "weights_buffer" binds Weights Read;
        WEIGHTS_RAGGED = "weights_ragged" binds Weights Read;
        FACTORS_NONE = "factors_none";
        FACTORS_BUFFER = "factors_buffer" binds Factors Read;
        FACTORS_RAGGED = "factors_ragged" binds Factors Read;
    }
    "option/smoothing.wgsl" {
        SMOOTHING_NONE = "smoothing_none";
        SMOOTHING = "smoothing";
    }
    "option/metrics.wgsl" {
        METRICS_NONE = "metrics_none";
        BEST_COLUMN = "best_column";
        METRICS_LABELS = "metrics_labels";
    }
    "option/upstream.wgsl" {
        UPSTREAM_SCALAR = "upstream_scalar";
        UPSTREAM_MEAN = "upstream_mean" binds Summary Uniform;
        UPSTREAM_ROWS = "upstream_rows" binds Dloss Read;
        UPSTREAM_ELEMENTS = "upstream_elements" binds Dloss Read;
        UPSTREAM_ELEMENTS_RAGGED = "upstream_elements_ragged" binds Dloss Read;
    }
    "option/targets.wgsl" {
        TARGETS_I32 = "targets_i32" binds Targets Read;
        TARGETS_I64 = "targets_i64" binds Targets Read;
        TARGETS_NONE = "targets_none";
        TARGET_KIND = "target_kind";
    }
    "option/masks.wgsl" {
        MASK = "mask" binds Mask Read;
        MASK_NONE = "mask_none";
        COUNTS_ALL = "counts_all";
        COUNTS_TARGETS = "counts_targets";
        SKIPS = "skips";
        SKIPS_ROWS = "skips_rows";
    }
    "storage/params.wgsl" {
        PARAMS = "params" binds Params Uniform;
        STARTS = "starts";
    }
    "storage/floats.wgsl" {
        FLOATS = "floats";
    }
    "storage/words.wgsl" {
        WORD_F32 = "word_f32";
        WORD_F32X4 = "word_f32x4";
        WORD_HALVES = "word_halves";
        WORD_HALVES_X4 = "word_halves_x4";
    }
    "storage/halves.wgsl" {
        HALVES_F16 = "halves_f16";
        HALVES_BF16 = "halves_bf16";
    }
    "storage/matrices.wgsl" {
        IO_READ = "io_read" binds Input Read;
        IO_SEPARATE = "io_separate" binds Input Read, Output ReadWrite;
        IO_IN_PLACE = "io_in_place" binds Input ReadWrite;
        IO_LOSSES = "io_losses" binds Input Read, Output ReadWrite;
        IO_READ_RAGGED = "io_read_ragged" binds Input Read;
        IO_SEPARATE_RAGGED = "io_separate_ragged" binds Input Read, Output ReadWrite;
        IO_IN_PLACE_RAGGED = "io_in_place_ragged" binds Input ReadWrite;
        IO_LOSSES_RAGGED = "io_losses_ragged" binds Input Read, Output ReadWrite;
        SECOND_INPUT = "second_input" binds Second Read;
        SECOND_INPUT_RAGGED = "second_input_ragged" binds Second Read;
    }
    "storage/edges.wgsl" {
        EDGES = "edges" binds Edges ReadWrite;
        STORE_RAGGED = "store_ragged";
    }
    "storage/results.wgsl" {
        STATS = "stats" binds Stats ReadWrite;
        STATS_METRICS = "stats_metrics" binds Stats ReadWrite;
        STATS_LSE = "stats_lse";
        SUMMARY = "summary";
        SUMMARY_WRITE = "summary_write" binds Summary ReadWrite;
        SCRATCH = "scratch" binds Scratch ReadWrite;
        SCRATCH_PIECES = "scratch_pieces";
        KEPT = "kept" binds Kept Read;
    }
    "reduce/row_stat.wgsl" {
        REST = "rest";
        COLLAPSE = "collapse";
        ACC_ROW_STAT = "acc_row_stat";
        ACC_ROW_STAT_SUBGROUP = "acc_row_stat_subgroup";
        SWEEP_ROW_STAT = "sweep_row_stat";
    }
    "reduce/weighted.wgsl" {
        ACC_WEIGHTED = "acc_weighted";
        ACC_WEIGHTED_SUBGROUP = "acc_weighted_subgroup";
        SWEEP_SMOOTHED = "sweep_smoothed";
        SWEEP_LABELS = "sweep_labels";
    }
    "reduce/argmax.wgsl" {
        ACC_ARGMAX = "acc_argmax";
        SWEEP_ARGMAX = "sweep_argmax";
        SWEEP_SMOOTHED_ARGMAX = "sweep_smoothed_argmax";
        ACC_LABELS = "acc_labels";
        SWEEP_LABELS_ARGMAX = "sweep_labels_argmax";
    }
    "reduce/pair.wgsl" {
        ACC_PAIR = "acc_pair";
    }
    "reduce/sums.wgsl" {
        ACC_SUM = "acc_sum";
        ACC_SUM_SUBGROUP = "acc_sum_subgroup";
        ACC_LOSSES = "acc_losses";
        ACC_METRICS = "acc_metrics";
        ACC_TARGETS = "acc_targets";
        PAIRWISE = "pairwise";
        REDUCED_SUM = "reduced_sum";
        REDUCED_MEAN = "reduced_mean";
        REDUCED_COUNTS = "reduced_counts";
    }
    "reduce/workgroup.wgsl" {
        REDUCE_TREE = "reduce_tree";
        REDUCE_SUBGROUP = "reduce_subgroup";
        REDUCE_ONE_SUBGROUP = "reduce_one_subgroup";
    }
    "reduce/sweep.wgsl" {
        ROW_SWEPT = "row_swept";
        SWEEP_WHOLE = "sweep_whole";
        SWEEP_RAGGED = "sweep_ragged";
        SWEEP_WORDS = "sweep_words";
        SWEEP_HELD = "sweep_held";
    }
    "reduce/columns.wgsl" {
        COLUMNS_NONE = "columns_none";
        COLUMNS_NOW = "columns_now";
        COLUMNS_LATER = "columns_later";
        COLUMNS_WHOLE = "columns_whole";
        COLUMNS_RAGGED = "columns_ragged";
        COLUMNS_HELD = "columns_held";
    }
    "product/factors.wgsl" {
        LEFT_F32 = "left_f32" binds Input Read;
        LEFT_F32X4 = "left_f32x4" binds Input Read;
        LEFT_HALVES = "left_halves" binds Input Read;
        LEFT_UPRIGHT = "left_upright";
        LEFT_TURNED = "left_turned";
        RIGHT_F32 = "right_f32" binds Second Read;
        RIGHT_F32X4 = "right_f32x4" binds Second Read;
        RIGHT_HALVES = "right_halves" binds Second Read;
        RIGHT_UPRIGHT = "right_upright";
        RIGHT_TURNED = "right_turned";
    }
    "product/store.wgsl" {
        PRODUCT_F32 = "product_f32" binds Output ReadWrite;
        PRODUCT_F32X4 = "product_f32x4" binds Output ReadWrite;
        START_ZERO = "start_zero";
        START_BIAS = "start_bias" binds Bias Read;
        START_STORED = "start_stored";
    }
    "product/tile.wgsl" {
        TILE_SLIM = "tile_slim";
        TILE_MEDIUM = "tile_medium";
        TILE_LARGE = "tile_large";
        SUMS_ONE = "sums_one";
        SUMS_FOUR = "sums_four";
        PRODUCT_TILE = "product_tile";
    }
    "product/logits.wgsl" {
        LOGITS_TILE = "logits_tile";
        TARGET_LOGIT = "target_logit";
    }
    "product.wgsl" {
        PRODUCT = "product";
    }
    "tile_sweep.wgsl" {
        TILE_SWEEP = "tile_sweep";
    }
    "column_sums.wgsl" {
        COLUMN_SUMS = "column_sums" binds Input Read, Output ReadWrite;
    }
    "row.wgsl" {
        ROW = "row";
    }
    "lane.wgsl" {
        LANE = "lane";
    }
    "split_sweep.wgsl" {
        SPLIT_SWEEP = "split_sweep";
    }
    "split_finish.wgsl" {
        SPLIT_FINISH = "split_finish";
    }
    "split_columns.wgsl" {
        SPLIT_COLUMNS = "split_columns";
    }
    "join_edges.wgsl" {
        JOIN_EDGES = "join_edges" binds Output ReadWrite;
    }
    "scan_targets.wgsl" {
        SCAN_TARGETS = "scan_targets";
    }
    "finish_targets.wgsl" {
        FINISH_TARGETS = "finish_targets";
    }
    "mask_targets.wgsl" {
        MASK_TARGETS = "mask_targets" binds Output ReadWrite;
    }
    "mask_labels.wgsl" {
        MASK_LABELS = "mask_labels" binds Output ReadWrite;
    }
    "list_kept.wgsl" {
        LIST_KEPT = "list_kept" binds Kept ReadWrite;
    }
    "gather_rows.wgsl" {
        GATHER_ROWS = "gather_rows" binds Input Read, Output ReadWrite;
    }
    "spread_rows.wgsl" {
        SPREAD_ROWS = "spread_rows" binds Input Read, Output ReadWrite;
    }
    "clear_ignored.wgsl" {
        CLEAR_IGNORED = "clear_ignored" binds Output ReadWrite;
    }
    "fit_params.wgsl" {
        FIT_PARAMS = "fit_params" binds Summary Uniform, Limits Read, Fitted ReadWrite;
    }
    "sum_loss.wgsl" {
        SUM_LOSS = "sum_loss";
    }
    "finish_loss.wgsl" {
        FINISH_LOSS = "finish_loss";
    }
    "sum_metrics.wgsl" {
        SUM_METRICS = "sum_metrics";
    }
    "finish_metrics.wgsl" {
        FINISH_METRICS = "finish_metrics";
    }
}
