//! 16-bit storage on the GPU: every pattern read as it is, every number rounded as the host rounds
//! it, and the loss family on rows that share u32s.

mod common;

use common::cases::{Case, Family, Rng, stored};
use common::losses::{self, Divergence};
use common::suite::Outcome;
use common::{Subject, gpu, gpu_subjects};
use half::{bf16, f16};
use surprisal::{
    Array, BinaryCrossEntropy, CrossEntropy, Device, Dtype, Elementwise, ElementwiseInput,
    ElementwiseLoss, Focal, InputForm, JsDivergence, KlDivergence, LogSumExp, Matrix, Reduction,
    Unit, Upstream,
};

const NARROW: [Dtype; 2] = [Dtype::F16, Dtype::Bf16];

/// The array of a dtype with these bits.
fn of_bits(dtype: Dtype, bits: &[u16]) -> Array {
    match dtype {
        Dtype::F16 => Array::F16(bits.iter().copied().map(f16::from_bits).collect()),
        _ => Array::Bf16(bits.iter().copied().map(bf16::from_bits).collect()),
    }
}

#[test]
fn every_pattern_is_read_as_it_is() {
    let device = Device::with_gpu(gpu());
    for dtype in NARROW {
        // Alone in a row, in the upper and in the lower half of a u32; and one of a whole word, with
        // three elements beside it that weigh nothing.
        let all: Vec<u16> = (0..=u16::MAX).collect();
        let nothing = of_bits_of(dtype, f32::NEG_INFINITY);
        for (columns, place) in [(1, 0), (4, 2), (3, 2), (5, 0)] {
            let mut bits = vec![nothing; all.len() * columns];
            for (row, &x) in bits.chunks_mut(columns).zip(&all) {
                row[place] = x;
            }
            let array = of_bits(dtype, &bits);
            let matrix = Matrix::new(array.values(), all.len(), columns).expect("its shape");
            let got = device.run(&LogSumExp, matrix).expect("sound").to_f64();
            let want = of_bits(dtype, &all).to_f64();
            for (i, (got, want)) in got.into_iter().zip(want).enumerate() {
                // A bf16 below 2^-126 is an f32 that a driver may flush to 0.
                let flushed = want.abs() < f64::from(f32::MIN_POSITIVE) && got == 0.0;
                let same = got == want || got.is_nan() && want.is_nan() || flushed;
                assert!(same, "{dtype} {i:#x} in {columns} columns: got {got:e}, want {want:e}");
            }
        }
    }
}

fn of_bits_of(dtype: Dtype, x: f32) -> u16 {
    match dtype {
        Dtype::F16 => f16::from_f32(x).to_bits(),
        _ => bf16::from_f32(x).to_bits(),
    }
}

/// Numbers at, just below and just above every tie between two neighbours of a dtype, and far
/// beyond its range; subnormal ones of the dtype's.
fn telling(dtype: Dtype) -> Vec<f32> {
    let mut values = vec![
        0.0,
        -0.0,
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::MAX,
        f32::MIN,
        65_519.996,
        65_520.0,
        -65_535.996,
        65_536.0,
        1e5,
        2f32.powi(-25),
        -(2f32.powi(-25) * 1.000_001),
        2f32.powi(-26),
        1e-30,
    ];
    for bits in (0..=u16::MAX).step_by(7) {
        let [x, next] =
            [bits, bits.wrapping_add(1)].map(|bits| of_bits(dtype, &[bits]).to_f64()[0]);
        let tie = (0.5 * (x + next)) as f32;
        if tie.is_finite() {
            values.extend([
                tie,
                f32::from_bits(tie.to_bits() ^ 1),
                f32::from_bits(tie.to_bits() + 1),
            ]);
        }
    }
    let mut rng = Rng::new(71);
    values.extend((0..5000).map(|_| f32::from_bits(rng.next_u64() as u32)));
    values
}

#[test]
fn every_number_is_rounded_as_the_host_rounds() {
    let device = Device::with_gpu(gpu());
    for dtype in NARROW {
        // x - y = 0.5: the derivative of the square is 1, and the gradient what comes from above.
        let mut above = telling(dtype);
        // Whole words, and an odd number of elements, which is folded into rows of its own.
        for _ in 0..2 {
            let n = above.len();
            let (x, y) = (stored(&vec![0.5; n], dtype), stored(&vec![0.0; n], dtype));
            let matrix = |array| Matrix::new(array, 1, n).expect("a row");
            let op = Elementwise::new(ElementwiseLoss::Squared)
                .with_reduction(Reduction::None)
                .with_gradient();
            let input = ElementwiseInput::new(matrix(x.values()), matrix(y.values()));
            let input = input.with_upstream(Upstream::Each((&above).into()));
            let got = device.run(&op, input).expect("sound").dinput.expect("asked for");
            assert_eq!(got.dtype(), dtype);
            let want = stored(&above, dtype);
            for (i, &x) in above.iter().enumerate() {
                let (got, want) = (got.to_f64_at(i), want.to_f64_at(i));
                // As a number, so that 0 is 0 whatever its sign: drivers may lose that.
                let flushed = x.abs() < f32::MIN_POSITIVE && got == 0.0;
                let same = got == want || got.is_nan() && want.is_nan() || flushed;
                assert!(same, "{dtype} of {x:e} ({:#x}): {got:e}, not {want:e}", x.to_bits());
            }
            above.truncate(n / 4 * 4 - 3);
        }
    }
}

trait At {
    fn to_f64_at(&self, i: usize) -> f64;
}

impl At for Array {
    fn to_f64_at(&self, i: usize) -> f64 {
        match self {
            Self::F16(v) => v[i].into(),
            Self::Bf16(v) => v[i].into(),
            other => other.to_f64()[i],
        }
    }
}

fn assert_all(outcomes: impl IntoIterator<Item = Outcome>) {
    let failures: Vec<String> = outcomes.into_iter().filter_map(Result::err).collect();
    let shown = failures.iter().take(10).cloned().collect::<Vec<_>>().join("\n");
    assert!(failures.is_empty(), "{} failures:\n{shown}", failures.len());
}

/// A row that is one element, whole words, rows that share u32s, and long ones.
const SHAPES: [(usize, usize); 5] = [(9, 1), (13, 4), (9, 33), (5, 66), (3, 1031)];

fn cases(dtype: Dtype, seed: u64) -> Vec<Case> {
    let families = [Family::Normal, Family::Confident, Family::Special];
    let of = |family: Family| {
        SHAPES.map(|(rows, classes)| {
            losses::without_ignored(family.case(rows, classes, seed)).in_dtype(dtype)
        })
    };
    families.into_iter().flat_map(of).collect()
}

fn subjects() -> Vec<Subject> {
    let mut subjects = gpu_subjects();
    subjects.extend([Subject::cpu(), Subject::reference()]);
    subjects
}

#[test]
fn cross_entropy_with_its_options() {
    let subjects = subjects();
    for case in NARROW.into_iter().flat_map(|dtype| cases(dtype, 72)) {
        let weights: Vec<f64> = (0..case.classes).map(|j| 0.25 + (j % 7) as f64 / 4.0).collect();
        let q = losses::labels(&case, 73);
        let new = CrossEntropy::new;
        let weighted = new().with_class_weights(weights).with_metrics();
        let smoothed = weighted.clone().with_label_smoothing(0.2).with_reduction(Reduction::Sum);
        let chained = new().with_z_loss(1e-2).with_softcap(15.0).with_unit(Unit::Bits);
        for op in [&weighted, &smoothed, &chained] {
            assert_all(subjects.iter().map(|s| losses::cross_entropy(s, &case, Some(&q), op)));
        }
        assert_all(subjects.iter().map(|s| losses::cross_entropy(s, &case, None, &smoothed)));
        let focal = Focal::new().with_reduction(Reduction::None);
        assert_all(subjects.iter().map(|s| losses::focal(s, &case, &focal)));
        assert_all(subjects.iter().map(|s| losses::entropies(s, &case, Unit::Nats)));
    }
}

#[test]
fn divergences() {
    let subjects = subjects();
    for dtype in NARROW {
        for (teacher, student) in cases(dtype, 74).iter().zip(&cases(dtype, 75)) {
            let kl = KlDivergence::new();
            for op in [
                Divergence::Kl(kl.with_temperature(2.0)),
                Divergence::Kl(kl.with_reverse().with_reduction(Reduction::None)),
                Divergence::Js(JsDivergence::new()),
            ] {
                let outcome = |s| losses::divergence(s, &teacher.logits, student, op);
                assert_all(subjects.iter().map(outcome));
            }
            let zeros = vec![0.0; teacher.logits.len()];
            let op = Divergence::Kl(kl.with_teacher(InputForm::LogProbs));
            assert_all(subjects.iter().map(|s| losses::divergence(s, &zeros, student, op)));
        }
    }
}

#[test]
fn elements() {
    let subjects = subjects();
    for case in NARROW.into_iter().flat_map(|dtype| cases(dtype, 76)) {
        let mut rng = Rng::new(77);
        let mut values = || (0..case.logits.len()).map(|_| rng.uniform() as f32).collect();
        let (y, w): (Vec<f32>, Vec<f32>) = (values(), values());
        let (y, w) = (case.rounded(&y), case.rounded(&w));
        let positive: Vec<f64> = (0..case.classes).map(|j| 0.5 + (j % 3) as f64).collect();
        for reduction in [Reduction::None, Reduction::Mean] {
            let op = BinaryCrossEntropy::new().with_reduction(reduction);
            let weighted = op.clone().with_pos_weight(positive.clone());
            for (op, w) in [(&op, None), (&weighted, Some(&w[..]))] {
                assert_all(subjects.iter().map(|s| losses::elementwise(s, &case, (&y, w), op)));
            }
            let op = Elementwise::new(ElementwiseLoss::Squared).with_reduction(reduction);
            assert_all(subjects.iter().map(|s| losses::elementwise(s, &case, (&y, None), &op)));
        }
    }
}
