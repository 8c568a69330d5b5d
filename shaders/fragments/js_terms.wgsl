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
