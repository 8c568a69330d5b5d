// Four bf16 a word, in two u32: the upper halves of f32, rounded to nearest even when stored.

alias Word = vec2<u32>;
alias Values = vec4<f32>;     // the word's elements, as f32
alias Columns = vec4<u32>;    // their columns
const WIDTH: u32 = 4u;

fn unpack(word: Word) -> Values {
    return bitcast<vec4<f32>>(vec4<u32>(
        word.x << 16u, word.x & 0xffff0000u, word.y << 16u, word.y & 0xffff0000u));
}

// Adding the rounding increment would carry a NaN over to infinity: NaNs are cut and made quiet.
fn pack(values: Values) -> Word {
    let bits = bitcast<vec4<u32>>(values);
    let upper = bits >> vec4<u32>(16u);
    let nearest_even = (bits + 0x7fffu + (upper & vec4<u32>(1u))) >> vec4<u32>(16u);
    let is_nan = (bits & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u);
    let halves = select(nearest_even, upper | vec4<u32>(0x40u), is_nan);
    return vec2<u32>(halves.x | (halves.y << 16u), halves.z | (halves.w << 16u));
}

fn component(values: Values, i: u32) -> f32 {
    return values[i];
}

fn columns_of(word: u32) -> Columns {
    return vec4<u32>(0u, 1u, 2u, 3u) + 4u * word;
}

fn column_component(columns: Columns, i: u32) -> u32 {
    return columns[i];
}
