// The Kullback-Leibler divergences, either way round.

// == teacher_logits
// A teacher that is logits: over the temperature, like the student.

const TEACHER_IS_NORMALIZED = false;

fn teacher(x: Values) -> Values {
    return x * params.logit_scale;
}

// By which a distance is scaled in an exponential, and before z_scale.
fn teacher_scale() -> f32 {
    return z_scale();
}

fn teacher_unit() -> f32 {
    return 1.0;
}

// What is subtracted from x - max to make it a log-probability.
fn teacher_norm(max: f32, rest: f32) -> f32 {
    return log1p(rest);
}

fn teacher_is_undefined(max: f32, rest: f32) -> bool {
    return has_no_softmax(max, rest);
}

// == teacher_log_probs
// A teacher that is log-probabilities: NaN for what is none.

const TEACHER_IS_NORMALIZED = true;

fn teacher(x: Values) -> Values {
    return select(Values(params.nan), x, x <= Values(0.0));
}

// By which a distance is scaled in an exponential, and before z_scale.
fn teacher_scale() -> f32 {
    return 1.0;
}

fn teacher_unit() -> f32 {
    return 1.0 / z_scale();
}

// What is subtracted from x - max to make it a log-probability.
fn teacher_norm(max: f32, rest: f32) -> f32 {
    return -max;
}

fn teacher_is_undefined(max: f32, rest: f32) -> bool {
    return !is_finite(rest);
}

// == teacher_probs
// A teacher that is probabilities: NaN for what is none.

const TEACHER_IS_NORMALIZED = true;

fn teacher(x: Values) -> Values {
    let is_probability = (x >= Values(0.0)) & (x <= Values(1.0));
    return select(Values(params.nan), log_of(x), is_probability);
}

// By which a distance is scaled in an exponential, and before z_scale.
fn teacher_scale() -> f32 {
    return 1.0;
}

fn teacher_unit() -> f32 {
    return 1.0 / z_scale();
}

// What is subtracted from x - max to make it a log-probability.
fn teacher_norm(max: f32, rest: f32) -> f32 {
    return -max;
}

fn teacher_is_undefined(max: f32, rest: f32) -> bool {
    return !is_finite(rest);
}

// == student
// A student is always logits.

fn student_is_undefined(max: f32, rest: f32) -> bool {
    return has_no_softmax(max, rest);
}

fn student_lse(max: f32, rest: f32) -> f32 {
    let lse = z_scale() * max + log1p(rest);
    let infinite = select(lse, params.infinity, is_positive_infinity(max));
    let empty = select(infinite, -params.infinity, 1.0 + rest == 0.0);
    return select(params.nan, empty, is_finite(rest));
}

// == sides_kl
// Scales of acc_pair where x is the teacher and y the student.

fn x_scale() -> f32 {
    return teacher_scale();
}

fn x_unit() -> f32 {
    return teacher_unit();
}

fn y_scale() -> f32 {
    return z_scale();
}

fn y_unit() -> f32 {
    return 1.0;
}

// == sides_reverse_kl
// Scales of acc_pair where x is the student and y the teacher.

fn x_scale() -> f32 {
    return z_scale();
}

fn x_unit() -> f32 {
    return 1.0;
}

fn y_scale() -> f32 {
    return teacher_scale();
}

fn y_unit() -> f32 {
    return teacher_unit();
}

// == sweep_kl
// What a sweep collects for KL(teacher || student).

fn sweep(acc: LaneAcc, at: Starts, word: u32, x: Values) -> LaneAcc {
    return lane_push(acc, teacher(load_second(at, word)), chain(x));
}

// == row_kl
// A row of KL(teacher || student): x of acc_pair is the teacher, y the student. Formula (19) of
// docs/NUMERICS.md.

fn row_is_undefined(acc: Acc) -> bool {
    return teacher_is_undefined(acc.max, acc.rest)
        || student_is_undefined(acc.other_max, acc.other_rest);
}

// What the teacher's probabilities sum to.
fn teacher_total(acc: Acc) -> f32 {
    return select(1.0, exp(acc.max) * (1.0 + acc.rest), TEACHER_IS_NORMALIZED);
}

fn row_store(index: u32, row: Row, acc: Acc) {
    let sum = 1.0 + acc.rest;
    let mean = 2.0 * z_scale() * (acc.half_sum / sum);
    let kl = (mean - teacher_norm(acc.max, acc.rest)) + log1p(acc.other_rest);
    // What is infinite stays so, though the teacher's sum be flushed to 0.
    let total = select(teacher_total(acc), 1.0, is_positive_infinity(kl));
    // A teacher without any probability: a sum of nothing.
    let loss = select(params.unit * total * kl, 0.0, sum == 0.0);
    store_row(
        index,
        select(loss, params.nan, row_is_undefined(acc)),
        student_lse(acc.other_max, acc.other_rest),
        0.0,
        SKIPPED);
}

// == finish_kl
// What the columns of KL(teacher || student) need of their row.

fn row_finish(index: u32, row: Row, acc: Acc) -> Coef {
    let sum = 1.0 + acc.other_rest;
    // Above one half 1 - p has more digits than p.
    let both_sure = acc.rest < 1.0 && acc.other_rest < 1.0 && !TEACHER_IS_NORMALIZED;
    return Coef(
        acc.max,
        teacher_norm(acc.max, acc.rest),
        select(-1.0, acc.rest / (1.0 + acc.rest), both_sure),
        teacher_total(acc),
        acc.other_max,
        sum,
        acc.other_rest / sum,
        select(upstream_at(index), params.nan, row_is_undefined(acc)));
}

// == column_kl
// The gradient of KL(teacher || student): Q sum(P) - P, formula (19) of docs/NUMERICS.md.

struct Coef {
    teacher_max: f32,
    teacher_norm: f32,
    teacher_miss: f32,      // 1 - P of the teacher's maximum; -1 unless both are sure of theirs
    teacher_total: f32,
    max: f32,
    sum: f32,
    miss: f32,              // 1 - Q of the student's maximum
    upstream: f32,
}

fn column(coef: Coef, at: Starts, word: u32, x: Values) -> Values {
    let z = chain(x);
    let t = teacher(load_second(at, word));
    let log_p = teacher_scale() * (t - Values(coef.teacher_max)) - Values(coef.teacher_norm);
    let p = exp(log_p);
    let q = exp(z_scale() * (z - Values(coef.max))) / coef.sum;
    // Both sure of one class: (1 - P) - (1 - Q) keeps the digits.
    let agree = (t == Values(coef.teacher_max)) & (z == Values(coef.max))
        & (Values(coef.teacher_miss) >= Values(0.0));
    let dz = select(q * coef.teacher_total - p, Values(coef.teacher_miss - coef.miss), agree);
    return coef.upstream * dz * chain_slope(x);
}

fn coef_pack(coef: Coef) -> array<vec4<u32>, 2> {
    return array<vec4<u32>, 2>(
        bitcast<vec4<u32>>(vec4<f32>(
            coef.teacher_max, coef.teacher_norm, coef.teacher_miss, coef.teacher_total)),
        bitcast<vec4<u32>>(vec4<f32>(coef.max, coef.sum, coef.miss, coef.upstream)));
}

fn coef_unpack(a: vec4<u32>, b: vec4<u32>) -> Coef {
    let t = bitcast<vec4<f32>>(a);
    let s = bitcast<vec4<f32>>(b);
    return Coef(t.x, t.y, t.z, t.w, s.x, s.y, s.z, s.w);
}

// == sweep_reverse_kl
// What a sweep collects for KL(student || teacher).

fn sweep(acc: LaneAcc, at: Starts, word: u32, x: Values) -> LaneAcc {
    return lane_push(acc, chain(x), teacher(load_second(at, word)));
}

// == row_reverse_kl
// A row of KL(student || teacher): x of acc_pair is the student, y the teacher. Formula (19) of
// docs/NUMERICS.md.

fn row_is_undefined(acc: Acc) -> bool {
    return student_is_undefined(acc.max, acc.rest)
        || teacher_is_undefined(acc.other_max, acc.other_rest);
}

fn divergence(acc: Acc) -> f32 {
    let mean = 2.0 * z_scale() * (acc.half_sum / (1.0 + acc.rest));
    return (mean - log1p(acc.rest)) + teacher_norm(acc.other_max, acc.other_rest);
}

fn row_store(index: u32, row: Row, acc: Acc) {
    store_row(
        index,
        select(params.unit * divergence(acc), params.nan, row_is_undefined(acc)),
        student_lse(acc.max, acc.rest),
        0.0,
        SKIPPED);
}

// == finish_reverse_kl
// What the columns of KL(student || teacher) need of their row.

fn row_finish(index: u32, row: Row, acc: Acc) -> Coef {
    let kl = divergence(acc);
    // An infinite divergence has no gradient.
    let undefined = row_is_undefined(acc) || !is_finite(kl);
    return Coef(
        acc.max,
        1.0 + acc.rest,
        log1p(acc.rest),
        acc.other_max,
        teacher_norm(acc.other_max, acc.other_rest),
        kl,
        select(upstream_at(index), params.nan, undefined));
}

// == column_reverse_kl
// The gradient of KL(student || teacher): Q ((log Q - log P) - KL), formula (19).

struct Coef {
    max: f32,
    sum: f32,
    log_sum: f32,
    teacher_max: f32,
    teacher_norm: f32,
    kl: f32,
    upstream: f32,
}

fn column(coef: Coef, at: Starts, word: u32, x: Values) -> Values {
    let z = chain(x);
    let distance = z_scale() * (z - Values(coef.max));
    let q = exp(distance) / coef.sum;
    let log_q = distance - Values(coef.log_sum);
    let t = teacher(load_second(at, word));
    let log_p = teacher_scale() * (t - Values(coef.teacher_max)) - Values(coef.teacher_norm);
    let dz = select(q * ((log_q - log_p) - Values(coef.kl)), Values(0.0), q == Values(0.0));
    return coef.upstream * dz * chain_slope(x);
}

fn coef_pack(coef: Coef) -> array<vec4<u32>, 2> {
    return array<vec4<u32>, 2>(
        bitcast<vec4<u32>>(vec4<f32>(coef.max, coef.sum, coef.log_sum, coef.teacher_max)),
        bitcast<vec4<u32>>(vec4<f32>(coef.teacher_norm, coef.kl, coef.upstream, 0.0)));
}

fn coef_unpack(a: vec4<u32>, b: vec4<u32>) -> Coef {
    let x = bitcast<vec4<f32>>(a);
    let y = bitcast<vec4<f32>>(b);
    return Coef(x.x, x.y, x.z, x.w, y.x, y.y, y.z);
}
