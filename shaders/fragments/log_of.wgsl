// The logarithm of a probability, that of a subnormal one too. A driver may take a subnormal
// operand for 0, and its log may know none; bits and integers come as they are. -inf for 0, which
// log may take for anything.

fn log_of(p: Values) -> Values {
    let bits = bitcast<Columns>(p) & Columns(0x7fffffffu);
    // n 2^-149 with an integer n.
    let is_subnormal = bits < Columns(0x00800000u);
    let of_normal = log(select(p, Values(bits), is_subnormal));
    let log_p = of_normal - select(Values(0.0), Values(103.27893), is_subnormal);
    return select(log_p, Values(-params.infinity), bits == Columns(0u));
}
