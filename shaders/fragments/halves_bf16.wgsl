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
