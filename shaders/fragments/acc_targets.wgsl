// What a block of targets comes to: its kept rows, its first bad one, and the sum of the targets'
// class weights.

struct Acc { kept: u32, bad: u32, weight: f32 }

fn acc_combine(a: Acc, b: Acc) -> Acc {
    return Acc(a.kept + b.kept, min(a.bad, b.bad), a.weight + b.weight);
}
