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
