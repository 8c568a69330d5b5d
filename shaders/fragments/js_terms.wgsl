// What a column has of KL(P || M) and KL(Q || M), M the mean of P and Q: formula (20) of
// docs/NUMERICS.md.

struct Terms { teacher: Values, student: Values, q: Values }

// p log(p / m) for log-probabilities a of p and b of the other.
fn term_to_mean(p: Values, a: Values, b: Values) -> Values {
    return select(p * (0.6931472 - softplus(b - a)), Values(0.0), p == Values(0.0));
}

fn js_terms(at: Starts, word: u32, x: Values) -> Terms {
    let pair = pair_at(at.row);
    let t = teacher(load_second(at, word));
    let a = teacher_scale() * (t - Values(pair.x)) - Values(pair.y);
    let b = z_scale() * (chain(x) - Values(pair.z)) - Values(pair.w);
    let q = exp(b);
    return Terms(term_to_mean(exp(a), a, b), term_to_mean(q, b, a), q);
}
