// What the columns of a softmax or log-softmax backward need of their row: one sum.

struct Coef { sum: f32 }

fn coef_pack(coef: Coef) -> array<vec4<u32>, 2> {
    return array<vec4<u32>, 2>(vec4<u32>(bitcast<u32>(coef.sum), 0u, 0u, 0u), vec4<u32>(0u));
}

fn coef_unpack(a: vec4<u32>, b: vec4<u32>) -> Coef {
    return Coef(bitcast<f32>(a.x));
}
