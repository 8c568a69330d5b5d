// What WGSL leaves out of f32.

// == floats
// Float facts that WGSL leaves out: special values by their bits, and log1p.

// The identity of max. Finite, so that no infinity has to be subtracted from another.
const F32_LOWEST: f32 = -0x1.fffffep+127f;

// Neither NaN nor infinite. Compilers may fold x != x; they cannot fold bits.
fn is_finite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) < 0x7f800000u;
}

fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

fn is_positive_infinity(x: f32) -> bool {
    return bitcast<u32>(x) == 0x7f800000u;
}

// Whether a RowStat is that of a row without a softmax: -inf throughout, +inf or NaN anywhere.
fn has_no_softmax(max: f32, rest: f32) -> bool {
    return !is_finite(rest) || is_positive_infinity(max) || 1.0 + rest == 0.0;
}

// log(1 + x) for x >= 0, about 3 ulp, full precision towards 0: formula (4) of docs/NUMERICS.md.
fn log1p(x: f32) -> f32 {
    var s = x / (2.0 + x);
    var exponent = 0.0;
    // Past sqrt(2) - 1 the exponent of 1 + x is taken out; below, x itself keeps the digits.
    if (x > 0.41421354) {
        let u = 1.0 + x;
        // 0x3f3504f3 is sqrt(1/2): the mantissa ends up in [sqrt(1/2), sqrt(2)).
        let shifted = bitcast<i32>(u) - 0x3f3504f3;
        exponent = f32(shifted >> 23u);
        let mantissa = bitcast<f32>((shifted & 0x7fffff) + 0x3f3504f3);
        s = (mantissa - 1.0) / (mantissa + 1.0);
    }
    // 2 atanh(s), |s| <= 0.1716: the first term left out is below 2^-27 of the sum.
    let z = s * s;
    let tail = z * (0.33333334 + z * (0.2 + z * (0.14285715 + z * 0.11111111)));
    return exponent * 0.6931472 + (2.0 * s + 2.0 * s * tail);
}
