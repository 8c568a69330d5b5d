// The reduced loss of a sum.

fn store_reduced(sum: f32) {
    summary.loss = sum;
}
