// A linear layer: scores = features weight + bias, with the bias as the weight's last row.

struct Shape {
    rows: u32,
    inputs: u32,
    outputs: u32,
    step: f32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> features: array<f32>;        // [rows, inputs]
@group(0) @binding(2) var<storage, read_write> weight: array<f32>;    // [inputs + 1, outputs]
@group(0) @binding(3) var<storage, read_write> scores: array<f32>;    // [rows, outputs]

// One score to an invocation.
@compute @workgroup_size(64)
fn forward(@builtin(global_invocation_id) id: vec3u) {
    let row = id.x / shape.outputs;
    let output = id.x % shape.outputs;
    if row >= shape.rows {
        return;
    }
    var sum = weight[shape.inputs * shape.outputs + output];
    for (var k = 0u; k < shape.inputs; k++) {
        sum += features[row * shape.inputs + k] * weight[k * shape.outputs + output];
    }
    scores[id.x] = sum;
}

// Down the gradient, which has taken the scores' place: dweight = features^T dscores,
// dbias = the column sums of dscores. One weight to an invocation.
@compute @workgroup_size(64)
fn descend(@builtin(global_invocation_id) id: vec3u) {
    let k = id.x / shape.outputs;
    let output = id.x % shape.outputs;
    if k > shape.inputs {
        return;
    }
    var sum = 0.0;
    for (var row = 0u; row < shape.rows; row++) {
        var x = 1.0;
        if k < shape.inputs {
            x = features[row * shape.inputs + k];
        }
        sum += x * scores[row * shape.outputs + output];
    }
    weight[id.x] -= shape.step * sum;
}
