// Four f16 a word, in two u32: no f16 feature needed, f32 inside.

alias Word = vec2<u32>;
alias Values = vec4<f32>;     // the word's elements, as f32
alias Columns = vec4<u32>;    // their columns
const WIDTH: u32 = 4u;

fn unpack(word: Word) -> Values {
    return vec4<f32>(unpack2x16float(word.x), unpack2x16float(word.y));
}

fn pack(values: Values) -> Word {
    return vec2<u32>(pack2x16float(values.xy), pack2x16float(values.zw));
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
