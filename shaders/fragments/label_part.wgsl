// With probability targets: what each class has of the loss, w_j ((1 - e) q_j + e / C). Formula
// (15) of docs/NUMERICS.md.

fn label_part(at: Starts, word: u32) -> Values {
    let q = load_second(at, word);
    return class_weights(word) * (params.smooth_target * q + Values(params.smooth_class));
}
