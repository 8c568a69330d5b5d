//! 16-bit storage on the GPU: every pattern read as it is, every number rounded as the host rounds
//! it, and the loss family on rows that share u32s.

mod common;

use common::bits::{of_bits, rounding};
use common::cases::{Case, Family, Rng};
use common::losses::{self, Divergence};
use common::suite::Outcome;
use common::{Subject, cpu_subjects, gpu, gpu_subjects};
use half::{bf16, f16};
use surprisal::{
    BinaryCrossEntropy, CrossEntropy, Device, Dtype, Elementwise, ElementwiseLoss, Focal,
    InputForm, JsDivergence, KlDivergence, LogSumExp, Matrix, Reduction, Unit,
};

const NARROW: [Dtype; 2] = [Dtype::F16, Dtype::Bf16];

#[test]
fn every_pattern_is_read_as_it_is() {
    let device = Device::with_gpu(gpu());
    for dtype in NARROW {
        // Alone in a row, in the upper and in the lower half of a u32; and one of a whole word, with
        // three elements beside it that weigh nothing.
        let all: Vec<u16> = (0..=u16::MAX).collect();
        let nothing = bits_of(dtype, f32::NEG_INFINITY);
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

fn bits_of(dtype: Dtype, x: f32) -> u16 {
    match dtype {
        Dtype::F16 => f16::from_f32(x).to_bits(),
        _ => bf16::from_f32(x).to_bits(),
    }
}

#[test]
fn every_number_is_rounded_as_the_host_rounds() {
    let device = Device::with_gpu(gpu());
    assert_all(NARROW.map(|dtype| rounding(&device, dtype)));
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
    subjects.extend(cpu_subjects());
    subjects.push(Subject::reference());
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

#[test]
fn a_device_with_few_bindings_stores_f32() {
    let mut caps = gpu().caps().clone();
    caps.max_storage_bindings = 4;
    let subject = Subject::gpu("with four bindings", gpu().with_caps(caps));
    for case in NARROW.into_iter().flat_map(|dtype| cases(dtype, 78)) {
        let q = losses::labels(&case, 79);
        let op = CrossEntropy::new();
        assert_all([losses::cross_entropy(&subject, &case, Some(&q), &op)]);
    }
}
