// A sum of numbers that come one by one, pairwise: of partial sums over 1, 2, 4, ... of them. A
// number takes part in no more additions than the logarithm of how many there are, rounded up.

var<private> partial_sums: array<f32, 32>;

// The next number, after so many others.
fn pairwise_push(count: u32, x: f32) {
    let full = countTrailingZeros(count + 1u);
    var sum = x;
    for (var i = 0u; i < full; i += 1u) {
        sum = partial_sums[i] + sum;
    }
    partial_sums[full] = sum;
}

// The sum of so many.
fn pairwise_total(count: u32) -> f32 {
    var total = 0.0;
    for (var i = 0u; i < 32u - countLeadingZeros(count); i += 1u) {
        if (((count >> i) & 1u) == 1u) {
            total = partial_sums[i] + total;
        }
    }
    return total;
}
