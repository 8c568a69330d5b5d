// What metrics are made of: the sum of -log p, and how many rows are right.

struct Acc { nll: f32, correct: u32 }

fn acc_combine(a: Acc, b: Acc) -> Acc {
    return Acc(a.nll + b.nll, a.correct + b.correct);
}
