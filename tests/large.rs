//! Batches past one binding, past 65,535 workgroups, and past what one lane may loop over.

mod common;

use common::cases::{Case, Family};
use common::losses::{self, Divergence};
use common::reference;
use common::{Subject, suite};
use surprisal::{
    Array, BinaryCrossEntropy, CrossEntropy, CrossEntropyInput, Device, Focal, JsDivergence,
    KlDivergence, Loss, Matrix, Reduction, Softmax, Unit,
};

/// Loss and gradient of a whole batch, against the reference on a sample of its rows: the rows of
/// the sample are spread over all windows, and the loss covers every row.
fn check_batch(device: &Device, case: &Case, every: usize, loss: f64) {
    let op = CrossEntropy::new().with_gradient();
    let input = CrossEntropyInput::new(case.matrix(), &case.targets);
    let output = device.run(&op, input).expect("the batch is sound");
    let got = output.loss.reduced().expect("it is a mean");
    assert!((got - loss).abs() <= 4e-6 * loss, "{}: loss {got}, want {loss}", device.info());

    let dlogits = output.dlogits.expect("it was asked for");
    let dlogits = dlogits.as_f32().expect("the logits are f32");
    let kept = output.kept_rows as f64;
    for row in (0..case.rows).step_by(every).chain([case.rows - 1]) {
        let range = row * case.classes..(row + 1) * case.classes;
        let x = Matrix::new(&case.logits[range.clone()], 1, case.classes).expect("one row");
        let one = CrossEntropyInput::new(x, &case.targets[row..=row]);
        let op = op.clone().with_reduction(Reduction::None);
        let want = reference::cross_entropy(&op, &one).expect("the row is sound");
        let want = want.dlogits.as_ref().and_then(Array::as_f64).expect("it was asked for");
        for (j, (got, want)) in dlogits[range].iter().zip(want).enumerate() {
            let off = (f64::from(*got) * kept - want).abs();
            let close = off <= 2e-5 * want.abs() + 1e-7;
            assert!(close, "{}: row {row}, column {j}: off by {off}", device.info());
        }
    }
}

fn mean_loss(case: &Case) -> f64 {
    let input = CrossEntropyInput::new(case.matrix(), &case.targets);
    let output = reference::cross_entropy(&CrossEntropy::new(), &input).expect("it is sound");
    output.loss.reduced().expect("it is a mean")
}

#[test]
fn four_thousand_rows_of_32001() {
    // 512 MB: more than a binding of lavapipe holds, rows at every alignment.
    let case = Family::Normal.case(4000, 32_001, 3);
    let loss = mean_loss(&case);
    check_batch(&Device::cpu(), &case, 97, loss);
    check_batch(&Device::with_gpu(common::gpu()), &case, 97, loss);
}

#[test]
fn three_hundred_thousand_rows_of_130() {
    // 156 MB, and more rows than a dispatch has workgroups along one dimension.
    let case = Family::Normal.case(300_000, 130, 4);
    let loss = mean_loss(&case);
    check_batch(&Device::cpu(), &case, 997, loss);
    check_batch(&Device::with_gpu(common::gpu()), &case, 997, loss);
}

#[test]
fn a_million_rows_of_two() {
    // More rows than ROW_BLOCK sums in one block, in a kernel that has a lane for each.
    let case = Family::Normal.case(1_000_003, 2, 5);
    let loss = mean_loss(&case);
    check_batch(&Device::cpu(), &case, 4999, loss);
    check_batch(&Device::with_gpu(common::gpu()), &case, 4999, loss);
}

#[test]
fn rows_of_300_000() {
    // Longer than a lane of the smallest workgroup may loop over.
    for family in [Family::Normal, Family::Constant, Family::Masked] {
        let case = family.case(6, 300_000, 6);
        let gpu = Subject::gpu("300,000 classes", common::gpu());
        for subject in [Subject::cpu(), gpu] {
            suite::cross_entropy(&subject, &case, Reduction::Mean).expect("within bounds");
            suite::softmaxes(&subject, &case).expect("within bounds");
        }
    }
}

#[test]
fn every_row_length_up_to_a_few_words() {
    // Every tail: the last word of a row, of a lane, of a workgroup.
    let gpu = common::gpu();
    let subjects = [Subject::cpu(), Subject::gpu("tails", gpu.clone()), {
        let mut tuning = gpu.tuning();
        tuning.lane_max_classes = 0;
        Subject::gpu("tails by workgroup", gpu.with_tuning(tuning))
    }];
    for classes in 1..=67 {
        let case = Family::Normal.case(5, classes, 7);
        for subject in &subjects {
            suite::check(subject, &case).expect("within bounds");
        }
    }
}

#[test]
fn windows_do_not_change_a_bit() {
    let gpu = common::gpu();
    for (rows, classes) in [(700, 10), (5000, 130), (40, 4099), (9001, 4)] {
        let case = Family::Normal.case(rows, classes, 8);
        let whole = Device::with_gpu(gpu.clone());
        let cut = Device::with_gpu(common::small_windows(&gpu));
        let op = CrossEntropy::new().with_gradient();
        let input = CrossEntropyInput::new(case.matrix(), &case.targets);
        let (a, b) = (whole.run(&op, input), cut.run(&op, input));
        let (a, b) = (a.expect("it is sound"), b.expect("it is sound"));
        let bits = |loss: &Loss| loss.reduced().map(f64::to_bits);
        assert_eq!(bits(&a.loss), bits(&b.loss), "{}", case.name);
        let (a, b) = (a.dlogits.expect("asked for"), b.dlogits.expect("asked for"));
        assert_eq!(a.as_bytes(), b.as_bytes(), "{}", case.name);
    }
}

#[test]
fn the_same_input_gives_the_same_bits() {
    for device in [Device::cpu(), Device::with_gpu(common::gpu())] {
        let case = Family::Normal.case(333, 1031, 9);
        let first = device.run(&Softmax, case.matrix()).expect("it is sound");
        for _ in 0..5 {
            let again = device.run(&Softmax, case.matrix()).expect("it is sound");
            assert_eq!(first.as_bytes(), again.as_bytes(), "{}", device.info());
        }
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let case = Family::Normal.case(777, 257, 10);
    let op = CrossEntropy::new().with_gradient();
    let run = || {
        let input = CrossEntropyInput::new(case.matrix(), &case.targets);
        let output = Device::cpu().run(&op, input).expect("it is sound");
        (output.loss.reduced().map(f64::to_bits), output.dlogits.map(|d| d.as_bytes().to_vec()))
    };
    let pool = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().expect("a pool");
    let one = pool(1).install(run);
    for threads in [2, 3, 8] {
        assert!(pool(threads).install(run) == one, "{threads} threads");
    }
}

/// More short rows than a dispatch has workgroups along one dimension.
fn family(subject: &Subject) -> Result<(), String> {
    let (rows, classes) = (70_001, 5);
    let case = losses::without_ignored(Family::Normal.case(rows, classes, 81));
    let teacher = losses::without_ignored(Family::Normal.case(rows, classes, 82));
    let q = losses::labels(&case, 83);
    let op = CrossEntropy::new().with_metrics().with_label_smoothing(0.1);
    losses::cross_entropy(subject, &case, Some(&q), &op)?;
    losses::cross_entropy(subject, &case, None, &op)?;
    losses::focal(subject, &case, &Focal::new())?;
    losses::entropies(subject, &case, Unit::Bits)?;
    for op in [
        Divergence::Kl(KlDivergence::new()),
        Divergence::Kl(KlDivergence::new().with_reverse()),
        Divergence::Js(JsDivergence::new().with_reduction(Reduction::None)),
    ] {
        losses::divergence(subject, &teacher.logits, &case, op)?;
    }
    // Rows of one element each: 200,003 is prime.
    let case = losses::without_ignored(Family::Normal.case(200_003, 1, 84));
    let y: Vec<f32> = (0..200_003).map(|i| (i % 2) as f32).collect();
    for reduction in [Reduction::Mean, Reduction::None] {
        let op = BinaryCrossEntropy::new().with_reduction(reduction);
        losses::elementwise(subject, &case, (&y, None), &op)?;
    }
    Ok(())
}

#[test]
fn the_family_past_65535_rows() {
    for subject in [Subject::cpu(), Subject::gpu("as it chooses", common::gpu())] {
        family(&subject).expect("within bounds");
    }
}
