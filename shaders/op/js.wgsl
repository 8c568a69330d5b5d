// The Jensen-Shannon divergence, in two passes.

// == pairs
// The statistics of a teacher's and a student's row, for what needs both before it can begin.

// [rows] of (teacher's max, what makes it a log-probability, student's max, the same)
@group(0) @binding(11) var<storage, read_write> pairs: array<vec4<f32>>;

fn pair_at(row: u32) -> vec4<f32> {
    return pairs[params.pairs_offset + row];
}

// == row_pairs
// The first of two passes of the Jensen-Shannon divergence: the statistics of both rows. NaN where
// one of them has no softmax.

fn row_store(index: u32, row: Row, acc: Acc) {
    let undefined = teacher_is_undefined(acc.max, acc.rest)
        || student_is_undefined(acc.other_max, acc.other_rest);
    let norm = teacher_norm(acc.max, acc.rest);
    pairs[params.pairs_offset + index] = vec4<f32>(
        acc.max,
        select(norm, params.nan, undefined),
        acc.other_max,
        log1p(acc.other_rest));
    store_row(index, 0.0, student_lse(acc.other_max, acc.other_rest), 0.0, SKIPPED);
}

// == js_terms
// What a column has of beta KL(P || M) and (1 - beta) KL(Q || M), M = beta P + (1 - beta) Q:
// formula (20) of docs/NUMERICS.md.

struct Terms { teacher: Values, student: Values, q: Values }

// p log(p / m) for a probability p; d is the logarithm of the other's part in m over that of its
// own, and log_share minus the logarithm of its own share.
fn term_to_mixture(p: Values, d: Values, log_share: f32) -> Values {
    return select(p * (log_share - softplus(d)), Values(0.0), p == Values(0.0));
}

fn js_terms(at: Starts, word: u32, x: Values) -> Terms {
    let pair = pair_at(at.row);
    let t = teacher(load_second(at, word));
    let a = teacher_scale() * (t - Values(pair.x)) - Values(pair.y);
    let b = z_scale() * (chain(x) - Values(pair.z)) - Values(pair.w);
    let q = exp(b);
    let d = (b - a) + params.mix_shift;
    return Terms(
        params.mix_teacher * term_to_mixture(exp(a), d, params.mix_log_teacher),
        params.mix_student * term_to_mixture(q, -d, params.mix_log_student),
        q);
}

// == acc_js
// Two plain sums side by side.

struct Acc { both: f32, student: f32 }

const ACC_WORDS: u32 = 1u;

// Words collected in one run before they join the lane's total: the rounding errors of a long row
// grow with the number of runs, not with the number of words.
const SWEEP_RUN: u32 = 64u;

// WIDTH independent ones, one for each component of a word.
struct LaneAcc { both: Values, student: Values }

fn lane_identity() -> LaneAcc {
    return LaneAcc(Values(0.0), Values(0.0));
}

// After a push in the components that the mask has, before it in the others.
fn lane_select(before: LaneAcc, after: LaneAcc, mask: Mask) -> LaneAcc {
    return LaneAcc(
        select(before.both, after.both, mask),
        select(before.student, after.student, mask));
}

fn acc_combine(a: Acc, b: Acc) -> Acc {
    return Acc(a.both + b.both, a.student + b.student);
}

fn acc_identity() -> Acc {
    return Acc(0.0, 0.0);
}

fn lane_collapse(acc: LaneAcc) -> Acc {
    var total = acc_identity();
    for (var i = 0u; i < WIDTH; i += 1u) {
        total = acc_combine(total, Acc(component(acc.both, i), component(acc.student, i)));
    }
    return total;
}

fn acc_pack(acc: Acc) -> array<vec4<u32>, ACC_WORDS> {
    return array<vec4<u32>, ACC_WORDS>(
        vec4<u32>(bitcast<u32>(acc.both), bitcast<u32>(acc.student), 0u, 0u));
}

fn acc_unpack(words: array<vec4<u32>, ACC_WORDS>) -> Acc {
    return Acc(bitcast<f32>(words[0].x), bitcast<f32>(words[0].y));
}

// == sweep_js
// What the second pass of the Jensen-Shannon divergence collects: the sums of both kinds of terms.

fn sweep(acc: LaneAcc, at: Starts, word: u32, x: Values) -> LaneAcc {
    let terms = js_terms(at, word, x);
    return LaneAcc(acc.both + (terms.teacher + terms.student), acc.student + terms.student);
}

// == row_js
// A row of the Jensen-Shannon divergence, its second pass: formula (20) of docs/NUMERICS.md. The
// log-sum-exp is there already.

fn row_is_undefined(index: u32) -> bool {
    return !is_finite(pair_at(index).y) || !is_finite(pair_at(index).w);
}

fn row_store(index: u32, row: Row, acc: Acc) {
    let loss = params.unit * acc.both;
    let defined = select(loss, params.nan, row_is_undefined(index));
    stats[params.stats_offset + index].x = select(0.0, defined, row_counts(index));
}

// == finish_js
// What the columns of the Jensen-Shannon divergence need of their row.

fn row_finish(index: u32, row: Row, acc: Acc) -> Coef {
    let undefined = row_is_undefined(index);
    return Coef(acc.student, select(upstream_at(index), params.nan, undefined));
}

// == column_js
// The gradient of the Jensen-Shannon divergence: s - Q sum(s), formula (20).

struct Coef {
    sum: f32,
    upstream: f32,
}

fn column(coef: Coef, at: Starts, word: u32, x: Values) -> Values {
    let terms = js_terms(at, word, x);
    let dz = terms.student - terms.q * coef.sum;
    return coef.upstream * dz * chain_slope(x);
}

fn coef_pack(coef: Coef) -> array<vec4<u32>, 2> {
    return array<vec4<u32>, 2>(
        vec4<u32>(bitcast<u32>(coef.sum), bitcast<u32>(coef.upstream), 0u, 0u), vec4<u32>(0u));
}

fn coef_unpack(a: vec4<u32>, b: vec4<u32>) -> Coef {
    return Coef(bitcast<f32>(a.x), bitcast<f32>(a.y));
}
