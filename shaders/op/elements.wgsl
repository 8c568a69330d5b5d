// Losses of single elements: what all of them share.

// == element
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

// == elements_all
// Every element counts.

fn element_counts(at: Starts, word: u32) -> Mask {
    return Mask(true);
}

// == elements_masked
// Which of a word's four elements count.

fn element_counts(at: Starts, word: u32) -> Mask {
    let first = at.mask + column_component(columns_of(word), 0u);
    // A last word may have fewer elements; nothing past the row's bytes is read.
    let last = min(first + 3u, at.mask + params.classes - 1u);
    let shift = 8u * (first % 4u);
    // No shift is by 32.
    let bytes = (mask[first / 4u] >> shift) | ((mask[last / 4u] << 1u) << (31u - shift));
    let each = (vec4<u32>(bytes) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(0xffu);
    return each != vec4<u32>(0u);
}

// == elements_masked_one
// Whether a word's one element counts.

fn element_counts(at: Starts, word: u32) -> Mask {
    return mask_at(at.mask + word);
}

// == sweep_elements
// The elementwise losses without a gradient: their sum.

fn sweep(acc: LaneAcc, at: Starts, word: u32, x: Values) -> LaneAcc {
    return lane_push(acc, params.unit * element_at(at, word, x).loss);
}

// == sweep_elements_gradient
// The elementwise losses with their gradient: summed and written in one visit.

fn sweep(acc: LaneAcc, at: Starts, word: u32, x: Values) -> LaneAcc {
    let element = element_at(at, word, x);
    let gradient = upstream_of(at, word) * element.slope;
    store_output(at, word, select(Values(0.0), gradient, element_counts(at, word)));
    return lane_push(acc, params.unit * element.loss);
}

// == sweep_element_losses
// The elementwise losses one by one: written, and summed besides.

fn sweep(acc: LaneAcc, at: Starts, word: u32, x: Values) -> LaneAcc {
    let loss = params.unit * element_at(at, word, x).loss;
    store_output(at, word, loss);
    return lane_push(acc, loss);
}

// == sweep_element_counts
// How many elements count.

fn sweep(acc: LaneAcc, at: Starts, word: u32, x: Values) -> LaneAcc {
    return lane_push(acc, select(Values(0.0), Values(1.0), element_counts(at, word)));
}

// == row_elements
// A row of elementwise losses: their sum, and what rounding took from it.

fn row_store(index: u32, row: Row, acc: Acc) {
    store_row(index, acc.sum, select(0.0, acc.lost, is_finite(acc.sum)), 0.0, SKIPPED);
}

// == row_element_counts
// A row of elements: how many count.

fn row_store(index: u32, row: Row, acc: Acc) {
    store_row(index, acc.sum, 0.0, 0.0, SKIPPED);
}

// == column_element
// The gradient of an elementwise loss, where it is not written in the sweep.

fn column(coef: Coef, at: Starts, word: u32, x: Values) -> Values {
    let gradient = upstream_of(at, word) * element_at(at, word, x).slope;
    return select(Values(0.0), gradient, element_counts(at, word));
}
