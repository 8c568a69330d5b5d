// Two 16-bit elements in a u32.

// == halves_f16
// f16 in the halves of a u32: no f16 feature needed. Stored by integers, rounded to nearest even,
// because pack2x16float may round either way and leaves open what becomes of NaN and of numbers
// that f16 has not.

fn unpack_halves(pair: u32) -> vec2<f32> {
    return unpack2x16float(pair);
}

fn pack_halves(values: vec4<f32>) -> vec2<u32> {
    let bits = bitcast<vec4<u32>>(values);
    let size = bits & vec4<u32>(0x7fffffffu);
    // From 2^-14 up the exponent is moved; a carry out of the mantissa belongs there.
    let normal = (size - (112u << 23u) + 0xfffu + ((size >> vec4<u32>(13u)) & vec4<u32>(1u)))
        >> vec4<u32>(13u);
    // Below, the mantissa with its leading 1 is shifted to where 2^-24 is 1; by 25 nothing is left.
    let mantissa = (size & vec4<u32>(0x7fffffu)) | vec4<u32>(0x800000u);
    let shift = min(126u - min(size >> vec4<u32>(23u), vec4<u32>(112u)), vec4<u32>(25u));
    let odd = (mantissa >> shift) & vec4<u32>(1u);
    let subnormal = (mantissa + (vec4<u32>(1u) << (shift - 1u)) - 1u + odd) >> shift;
    let finite = select(normal, subnormal, size < vec4<u32>(113u << 23u));
    // 2^16 and more.
    let bounded = select(finite, vec4<u32>(0x7c00u), size >= vec4<u32>(143u << 23u));
    let quiet_nan = vec4<u32>(0x7e00u) | ((size >> vec4<u32>(13u)) & vec4<u32>(0x3ffu));
    let halves = select(bounded, quiet_nan, size > vec4<u32>(0x7f800000u))
        | ((bits >> vec4<u32>(16u)) & vec4<u32>(0x8000u));
    return halves.xz | (halves.yw << vec2<u32>(16u));
}

// == halves_bf16
// bf16 in the halves of a u32: the upper halves of f32, rounded to nearest even when stored.

fn unpack_halves(pair: u32) -> vec2<f32> {
    return bitcast<vec2<f32>>(vec2<u32>(pair << 16u, pair & 0xffff0000u));
}

// Adding the rounding increment would carry a NaN over to infinity: NaNs are cut and made quiet.
fn pack_halves(values: vec4<f32>) -> vec2<u32> {
    let bits = bitcast<vec4<u32>>(values);
    let upper = bits >> vec4<u32>(16u);
    let nearest_even = (bits + 0x7fffu + (upper & vec4<u32>(1u))) >> vec4<u32>(16u);
    let is_nan = (bits & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u);
    let halves = select(nearest_even, upper | vec4<u32>(0x40u), is_nan);
    return halves.xz | (halves.yw << vec2<u32>(16u));
}
