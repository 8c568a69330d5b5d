// What a mean divides by, where the rows hold how many of their elements count.

fn store_reduced(sum: f32) {
    summary.total_weight = sum;
}
