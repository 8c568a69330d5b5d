// The words that rows consist of.

// == word_f32
// One f32 a word: rows may start anywhere and have any length.

alias Word = f32;
alias Values = f32;     // the word's elements, as f32
alias Columns = u32;    // their columns
alias Mask = bool;      // some of them
const WIDTH: u32 = 1u;

fn unpack(word: Word) -> Values {
    return word;
}

fn pack(values: Values) -> Word {
    return values;
}

fn component(values: Values, i: u32) -> f32 {
    return values;
}

fn columns_of(word: u32) -> Columns {
    return word;
}

fn column_component(columns: Columns, i: u32) -> u32 {
    return columns;
}

// == word_f32x4
// Four f32 a word: rows start at multiples of four elements and have a multiple of four columns.

alias Word = vec4<f32>;
alias Values = vec4<f32>;     // the word's elements, as f32
alias Columns = vec4<u32>;    // their columns
alias Mask = vec4<bool>;      // some of them
const WIDTH: u32 = 4u;

fn unpack(word: Word) -> Values {
    return word;
}

fn pack(values: Values) -> Word {
    return values;
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

// == word_halves
// 16-bit elements in rows that start anywhere and have any length: a word is four elements,
// wherever they lie among the u32s; the last may have fewer. Offsets and strides count elements.

alias Values = vec4<f32>;     // the word's elements, as f32
alias Columns = vec4<u32>;    // their columns
alias Mask = vec4<bool>;      // some of them
const WIDTH: u32 = 4u;

// Set in a word's number: it starts one column further, at 4 word + 1.
const SHIFTED: u32 = 0x80000000u;

fn start_column(word: u32) -> u32 {
    return (word << 2u) | (word >> 31u);
}

fn columns_of(word: u32) -> Columns {
    return vec4<u32>(0u, 1u, 2u, 3u) + start_column(word);
}

fn is_whole(word: u32) -> bool {
    return start_column(word) + WIDTH <= params.classes;
}

fn inside(word: u32) -> Mask {
    return columns_of(word) < Columns(params.classes);
}

// The u32s with a word of the row whose first element is `row_start`: two if it starts with a whole
// one, else three. None is beyond the row's last; another row's may be being written.
fn places(row_start: u32, word: u32) -> vec3<u32> {
    let first = row_start + start_column(word);
    let places = vec3<u32>(0u, 1u, 1u + (first & 1u)) + first / 2u;
    return min(places, vec3<u32>((row_start + params.classes - 1u) / 2u));
}

// Their halves from the word's first element on. No shift is by 32.
fn aligned(row_start: u32, word: u32, a: u32, b: u32, c: u32) -> Values {
    let shift = ((row_start + start_column(word)) & 1u) * 16u;
    let low = (a >> shift) | ((b << 1u) << (31u - shift));
    let high = (b >> shift) | ((c << 1u) << (31u - shift));
    return vec4<f32>(unpack_halves(low), unpack_halves(high));
}

fn component(values: Values, i: u32) -> f32 {
    return values[i];
}

fn column_component(columns: Columns, i: u32) -> u32 {
    return columns[i];
}

// == word_halves_x4
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
