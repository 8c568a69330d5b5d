// What a block of targets comes to: its kept rows, and its first bad one.

struct Acc { kept: u32, bad: u32 }

fn acc_combine(a: Acc, b: Acc) -> Acc {
    return Acc(a.kept + b.kept, min(a.bad, b.bad));
}
