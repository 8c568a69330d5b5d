// An element's loss and its derivative, with its label as a probability and its weight.

struct Element { loss: Values, slope: Values }

// A coefficient of 0 contributes 0, though its factor be infinite.
fn times(coefficient: Values, x: Values) -> Values {
    return select(coefficient * x, Values(0.0), coefficient == Values(0.0));
}

fn element_at(row: u32, word: u32) -> Element {
    let x = load_input(row, word);
    let y = params.label_scale * load_second(row, word) + Values(params.label_offset);
    let magnitudes = max(
        bitcast<Columns>(x) & Columns(0x7fffffffu), bitcast<Columns>(y) & Columns(0x7fffffffu));
    let is_nan = magnitudes > Columns(0x7f800000u);
    let factor = element_factor(row, word);
    return Element(
        times(factor, select(element_loss(x, y, word), Values(params.nan), is_nan)),
        times(factor, select(element_slope(x, y, word), Values(params.nan), is_nan)));
}
