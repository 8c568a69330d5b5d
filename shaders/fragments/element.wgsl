// An element's loss and its derivative, with its label as a probability and its weight.

struct Element { loss: Values, slope: Values }

// A coefficient of 0 contributes 0, though its factor be infinite.
fn times(coefficient: Values, x: Values) -> Values {
    return select(coefficient * x, Values(0.0), coefficient == Values(0.0));
}

fn element_at(at: Starts, word: u32, x: Values) -> Element {
    let y = params.label_scale * load_second(at, word) + Values(params.label_offset);
    let x_bits = bitcast<Columns>(x) & Columns(0x7fffffffu);
    let y_bits = bitcast<Columns>(y) & Columns(0x7fffffffu);
    // A difference of infinities is none either.
    let are_infinite = (x_bits == Columns(0x7f800000u)) & (x == y);
    let is_nan = (max(x_bits, y_bits) > Columns(0x7f800000u)) | are_infinite;
    let nan = Values(params.nan);
    // What weighs 0 contributes 0, and so does what does not count.
    let factor = select(Values(0.0), element_factor(at, word), element_counts(at, word));
    let element = element_of(x, y, word);
    return Element(
        times(factor, select(element.loss, nan, is_nan)),
        times(factor, select(element.slope, nan, is_nan)));
}
