// Four 16-bit elements a word, in two u32: rows start at multiples of four elements and have a
// multiple of four columns.

alias Word = vec2<u32>;
alias Values = vec4<f32>;     // the word's elements, as f32
alias Columns = vec4<u32>;    // their columns
alias Mask = vec4<bool>;      // some of them
const WIDTH: u32 = 4u;

fn unpack(word: Word) -> Values {
    return vec4<f32>(unpack_halves(word.x), unpack_halves(word.y));
}

fn pack(values: Values) -> Word {
    return pack_halves(values);
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
