//! Small cases with PyTorch's float64 answers (torch 2.15.0, CPU), from `tests/data`.

use safetensors::SafeTensors;
use serde_json::Value;

/// One case: its options, and its tensors by name.
#[derive(Debug)]
pub struct Golden {
    pub name: String,
    pub op: String,
    pub options: Value,
    pub inputs: Vec<String>,
    pub expected: Vec<String>,
    bytes: &'static [u8],
}

static TENSORS: &[u8] = include_bytes!("../data/golden.safetensors");
static CASES: &str = include_str!("../data/golden.json");

fn strings(value: &Value) -> Vec<String> {
    let list = value.as_array().expect("a list");
    list.iter().map(|v| v.as_str().expect("a string").to_owned()).collect()
}

/// Every case of an operation.
pub fn cases(op: &str) -> Vec<Golden> {
    let all: Value = serde_json::from_str(CASES).expect("the file is JSON");
    let all = all["cases"].as_array().expect("a list of cases");
    all.iter()
        .filter(|case| case["op"] == op)
        .map(|case| Golden {
            name: case["name"].as_str().expect("a name").to_owned(),
            op: op.to_owned(),
            options: case["options"].clone(),
            inputs: strings(&case["inputs"]),
            expected: strings(&case["expected"]),
            bytes: TENSORS,
        })
        .collect()
}

impl Golden {
    fn tensor(&self, name: &str) -> (Vec<usize>, &'static [u8], safetensors::Dtype) {
        let file = SafeTensors::deserialize(self.bytes).expect("the file is sound");
        let view = file
            .tensor(&format!("{}/{name}", self.name))
            .unwrap_or_else(|error| panic!("{}/{name}: {error}", self.name));
        let start = view.data().as_ptr() as usize - self.bytes.as_ptr() as usize;
        let data = &self.bytes[start..start + view.data().len()];
        (view.shape().to_vec(), data, view.dtype())
    }

    pub fn shape(&self, name: &str) -> Vec<usize> {
        self.tensor(name).0
    }

    pub fn f32(&self, name: &str) -> Vec<f32> {
        let (_, data, dtype) = self.tensor(name);
        assert_eq!(dtype, safetensors::Dtype::F32, "{name}");
        data.chunks_exact(4).map(bytemuck::pod_read_unaligned).collect()
    }

    pub fn f64(&self, name: &str) -> Vec<f64> {
        let (_, data, dtype) = self.tensor(name);
        assert_eq!(dtype, safetensors::Dtype::F64, "{name}");
        data.chunks_exact(8).map(bytemuck::pod_read_unaligned).collect()
    }

    pub fn i64(&self, name: &str) -> Vec<i64> {
        let (_, data, dtype) = self.tensor(name);
        assert_eq!(dtype, safetensors::Dtype::I64, "{name}");
        data.chunks_exact(8).map(bytemuck::pod_read_unaligned).collect()
    }
}

/// The reference against PyTorch: both are f64, and differ by rounding alone.
pub fn assert_close(name: &str, got: &[f64], want: &[f64]) {
    assert_eq!(got.len(), want.len(), "{name}");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let same = got == want || got.is_nan() && want.is_nan();
        // PyTorch forms lse - x and p - 1 by subtraction: where they cancel, its error is absolute.
        let close = (got - want).abs() <= 1e-12 * want.abs() + 1e-14;
        assert!(same || close, "{name}[{i}]: got {got:e}, PyTorch has {want:e}");
    }
}
