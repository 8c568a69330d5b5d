// Cross-entropy with index targets.

// == row_target
// A row with an index target: what is read before the sweep. The target's logit is that of z, after
// the chain.

struct Row {
    words: u32,             // words to sweep: none of an ignored row
    column: u32,            // the target, or NO_COLUMN if it is no class
    skipped: u32,
    target_logit: f32,
    target_weight: f32,     // (1 - e) w_y
}

const NO_COLUMN: u32 = 0xffffffffu;

fn row_begin(index: u32) -> Row {
    let target_index = target_at(index);
    if (target_is_ignored(target_index)) {
        return Row(0u, NO_COLUMN, 1u, 0.0, 0.0);
    }
    if (!target_is_column(target_index)) {
        return Row(params.swept_words, NO_COLUMN, 0u, 0.0, 0.0);
    }
    let word = chain(load_input(starts_of(index), target_index.x / WIDTH));
    return Row(
        params.swept_words,
        target_index.x,
        0u,
        component(word, target_index.x % WIDTH),
        params.smooth_target * class_weight(target_index.x));
}

// A row with NaN, +inf, no finite logit, or no valid target has no loss: formula table in
// docs/NUMERICS.md, "Special values".
fn row_is_undefined(row: Row, acc: Acc) -> bool {
    return row.column == NO_COLUMN || stat_is_undefined(acc);
}

// == store_cross_entropy
// The loss of a row of cross-entropy with an index target: formulas (7), (12) and (17).

fn row_store(index: u32, row: Row, acc: Acc) {
    if (row.skipped != 0u) {
        store_row(index, 0.0, 0.0, 0.0, SKIPPED);
        return;
    }
    let nll = nll_of(acc, row.target_logit);
    // What weighs 0 contributes 0, though it be infinite.
    let own = select(row.target_weight * nll, 0.0, row.target_weight == 0.0);
    let lse = row_lse(acc);
    let z_loss = select(params.z_loss * lse * lse, 0.0, params.z_loss == 0.0);
    let loss = params.unit * (own + smoothing_loss(acc) + z_loss);
    let undefined = row_is_undefined(row, acc);
    store_row(
        index,
        select(loss, params.nan, undefined),
        lse,
        select(nll, params.nan, undefined),
        best_of(acc, row.column));
}

// == finish_cross_entropy
// From a row's RowStat to its three numbers of the column formula: formulas (6), (8) and (13) of
// docs/NUMERICS.md, dz = upstream * (A p - B onehot - k w).

fn row_finish(index: u32, row: Row, acc: Acc) -> Coef {
    if (row.skipped != 0u) {
        return Coef(0.0, 0.0, 0.0, 0.0, NO_COLUMN, 1u);
    }
    let upstream = upstream_at(index);
    let sum = 1.0 + acc.rest;
    // p - 1 of the target: where it is the maximum, the 1 cancels before anything is rounded.
    let p = exp(z_scale() * (row.target_logit - acc.max)) / sum;
    let p_minus_1 = select(p - 1.0, -acc.rest / sum, row.target_logit == acc.max);
    // A = B + more, and B (p - 1) + more p is the target's A p - B without a cancellation.
    let more = params.smooth_class * params.weight_sum + lse_times(acc, 2.0 * params.z_loss);
    let shift = params.smooth_class * class_weight(min(row.column, params.classes - 1u));
    let own = row.target_weight * p_minus_1 + more * p - shift;
    let undefined = row_is_undefined(row, acc);
    return Coef(
        acc.max,
        select(upstream * (row.target_weight + more) / sum, params.nan, undefined),
        upstream * params.smooth_class,
        select(upstream * own, params.nan, undefined),
        row.column,
        0u);
}

// == finish_nll
// The gradient's one column with an index target and normalised input: formula (17).

fn row_finish(index: u32, row: Row, acc: Acc) -> Coef {
    if (row.skipped != 0u) {
        return Coef(0.0, 0.0, 0.0, NO_COLUMN, 1u);
    }
    let upstream = upstream_at(index);
    let base = select(0.0, params.nan, row.column == NO_COLUMN || is_nan(upstream));
    return Coef(base, 0.0, -upstream * row.target_weight, row.column, 0u);
}

// == column_normalized
// The column formula of input that is normalised already: -a, where a is what the loss has of each
// column, through the derivative of z. Formula (17) of docs/NUMERICS.md.

struct Coef {
    base: f32,              // 0, or NaN for a whole row without a loss
    shift: f32,
    target_value: f32,      // in the target's column
    target_column: u32,     // NO_COLUMN if there is none
    skipped: u32,           // 1: the row is ignored
}

fn column(coef: Coef, at: Starts, word: u32, x: Values) -> Values {
    let all = Values(coef.base) - column_shift(coef.shift, at, word);
    let is_target = columns_of(word) == Columns(coef.target_column);
    let dz = select(all, Values(coef.target_value), is_target);
    return dz * chain_slope(x);
}

fn coef_pack(coef: Coef) -> array<vec4<u32>, 2> {
    let floats = bitcast<vec3<u32>>(vec3<f32>(coef.base, coef.shift, coef.target_value));
    return array<vec4<u32>, 2>(
        vec4<u32>(floats, coef.target_column), vec4<u32>(coef.skipped, 0u, 0u, 0u));
}

fn coef_unpack(a: vec4<u32>, b: vec4<u32>) -> Coef {
    return Coef(bitcast<f32>(a.x), bitcast<f32>(a.y), bitcast<f32>(a.z), a.w, b.x);
}

// == shift_none
// The column formula without a term of its own for each class.

fn column_shift(shift: f32, at: Starts, word: u32) -> Values {
    return Values(0.0);
}

// == shift_weights
// The column formula's third term, k w_j: what label smoothing takes from every class.

fn column_shift(shift: f32, at: Starts, word: u32) -> Values {
    return shift * class_weights(word);
}
