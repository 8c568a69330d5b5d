//! Every dtype on every device: results in the dtype of the logits, rounded once.

mod common;

use common::cases::Family;
use common::reference;
use common::tolerance::storage;
use half::{bf16, f16};
use surprisal::{
    Array, BinaryCrossEntropy, CrossEntropy, CrossEntropyInput, Device, DivergenceInput, Dtype,
    ElementwiseInput, KlDivergence, LogSumExp, Matrix, Reduction, Softmax, Upstream, Values,
};

fn arrays(values: &[f32]) -> [Array; 4] {
    [
        Array::F16(values.iter().map(|&x| f16::from_f32(x)).collect()),
        Array::Bf16(values.iter().map(|&x| bf16::from_f32(x)).collect()),
        Array::F32(values.to_vec()),
        // Past f32's digits: the devices round them off.
        Array::F64(values.iter().map(|&x| f64::from(x) * (1.0 + 1e-12)).collect()),
    ]
}

#[test]
fn every_dtype_on_every_device() {
    let case = Family::Confident.case(12, 37, 12);
    let devices = common::devices();
    for array in arrays(&case.logits) {
        let matrix = Matrix::new(array.values(), 12, 37).expect("its shape");
        let op = CrossEntropy::new().with_reduction(Reduction::Sum).with_gradient();
        let input = CrossEntropyInput::new(matrix, &case.targets);
        let want = reference::cross_entropy(&op, &input).expect("sound");
        for device in &devices {
            let is_reference = device.info() == Device::reference().info();
            let got = device.run(&op, input).expect("sound");
            let (lse, dlogits) = (&got.lse, got.dlogits.as_ref().expect("asked for"));
            let dtype = if is_reference { Dtype::F64 } else { array.dtype() };
            assert_eq!(dlogits.dtype(), dtype, "a gradient has the logits' dtype");
            assert_eq!(lse.dtype(), if is_reference { Dtype::F64 } else { Dtype::F32 });
            let probs = device.run(&Softmax, matrix).expect("sound");
            assert_eq!(probs.dtype(), dtype);
            assert_eq!(device.run(&LogSumExp, matrix).expect("sound").dtype(), lse.dtype());

            let want = want.dlogits.as_ref().map(Array::to_f64).expect("asked for");
            for (got, want) in dlogits.to_f64().iter().zip(&want) {
                // The target's p - 1 is formed in f32 and rounded once: it keeps its digits. Up to
                // 60 below the maximum, WGSL's exp may be off by 123 ulp.
                let bound = 2.0 * storage(dtype, *want) + 3e-5 * want.abs() + 1e-37;
                assert!((got - want).abs() <= bound, "{dtype}: got {got:e}, want {want:e}");
            }
        }
    }
}

#[test]
fn upstream_and_targets_of_every_width() {
    let case = Family::Normal.case(9, 20, 13);
    let narrow: Vec<i32> = case.targets.iter().map(|&y| y as i32).collect();
    let dloss: Vec<f32> = (0..9u8).map(f32::from).collect();
    for device in common::devices() {
        let op = CrossEntropy::new().with_reduction(Reduction::None).with_gradient();
        let wide = CrossEntropyInput::new(case.matrix(), &case.targets);
        let input = CrossEntropyInput::new(case.matrix(), &narrow);
        assert_eq!(
            format!("{:?}", device.run(&op, wide)),
            format!("{:?}", device.run(&op, input)),
            "i32 and i64 targets"
        );
        // Small integers are exact in every dtype.
        let dloss = arrays(&dloss);
        let mut outputs = dloss[..3].iter().map(|dloss| {
            let dloss: Values<'_> = dloss.values();
            format!("{:?}", device.run(&op, wide.with_upstream(Upstream::Each(dloss))))
        });
        let first = outputs.next();
        assert!(outputs.all(|output| Some(output) == first));
    }
}

#[test]
fn the_family_in_every_dtype() {
    let case = common::losses::without_ignored(Family::Normal.case(8, 20, 14));
    let other = common::losses::without_ignored(Family::Normal.case(8, 20, 15));
    let probs = reference::softmax(other.matrix());
    let probs: Vec<f32> = probs.into_iter().map(|p| p as f32).collect();
    let (x, t, q) = (arrays(&case.logits), arrays(&other.logits), arrays(&probs));
    let shape = |array| Matrix::new(array, 8, 20).expect("its shape");
    let devices = common::devices();
    // The other matrix has the next dtype: they may differ.
    for i in 0..4 {
        let (x, t, q) = (&x[i], &t[(i + 1) % 4], &q[(i + 1) % 4]);
        let results = devices.iter().map(|device| {
            let cross = CrossEntropy::new().with_gradient().with_target_gradient();
            let input = CrossEntropyInput::new(shape(x.values()), shape(q.values()));
            let cross = device.run(&cross, input).expect("sound");
            let kl = KlDivergence::new().with_gradient();
            let input = DivergenceInput::new(shape(t.values()), shape(x.values()));
            let kl = device.run(&kl, input).expect("sound");
            let binary = BinaryCrossEntropy::new().with_gradient();
            let input = ElementwiseInput::new(shape(x.values()), shape(q.values()));
            let binary = device.run(&binary, input).expect("sound");
            [cross.dlogits, cross.dtargets, kl.dstudent, binary.dinput]
                .map(|gradient| gradient.expect("asked for"))
        });
        let results: Vec<_> = results.collect();
        let dtypes = [x.dtype(), q.dtype(), x.dtype(), x.dtype()];
        for (g, dtype) in dtypes.into_iter().enumerate() {
            let want = results[0][g].to_f64();
            for got in &results[1..] {
                assert_eq!(got[g].dtype(), dtype, "a gradient has the dtype of what it is of");
                for (got, want) in got[g].to_f64().iter().zip(&want) {
                    let bound = storage(dtype, *want) + 1e-5 * want.abs() + 1e-7;
                    assert!((got - want).abs() <= bound, "{dtype}: got {got:e}, want {want:e}");
                }
            }
        }
    }
}
