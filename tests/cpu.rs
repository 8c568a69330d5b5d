//! What the CPU path promises beyond the suite: every tail, the same bits on any number of threads,
//! results in the caller's memory, and an accuracy that does not depend on the inputs.

mod common;

use common::cases::{Case, Family};
use common::losses::without_ignored;
use common::reference;
use common::{Subject, cpu_subjects, suite};
use half::{bf16, f16};
use surprisal::cpu::InstructionSet;
use surprisal::{
    Array, BinaryCrossEntropy, CrossEntropy, CrossEntropyInput, Device, DivergenceInput,
    ElementwiseInput, Error, Focal, KlDivergence, Labels, LogSoftmax, LogSoftmaxBackward,
    LogSoftmaxBackwardInput, Loss, Matrix, MatrixMut, Reduction, Upstream, ValuesMut,
};

#[test]
fn every_tail_of_short_rows() {
    for classes in 1..=67 {
        // More rows than a group, and than there are lanes, with some left over.
        let case = Family::Ties.case(19, classes, 91);
        for subject in cpu_subjects() {
            suite::check(&subject, &case).expect("within bounds");
        }
    }
}

#[test]
fn every_tail_where_the_sweep_changes() {
    // 2048: rows that are kept while they are swept; 65,536: rows in pieces.
    let short = (2040..=2066).map(|classes| (3, classes));
    let long = [65_519, 65_535, 65_536, 65_537, 131_073].map(|classes| (1, classes));
    for (rows, classes) in short.chain(long) {
        for family in [Family::Normal, Family::Masked] {
            let case = family.case(rows, classes, 92);
            for subject in cpu_subjects() {
                suite::cross_entropy(&subject, &case, Reduction::Sum).expect("within bounds");
                suite::softmaxes(&subject, &case).expect("within bounds");
            }
        }
    }
}

/// The bits of everything that a few operations make of a case.
fn bits(device: &Device, case: &Case) -> Vec<Vec<u8>> {
    let matrix = case.matrix();
    let targets: &[i64] = &case.targets;
    let input = CrossEntropyInput::new(matrix, targets);
    let mut all = Vec::new();
    let mut loss = |loss: Loss, gradient: Option<Array>| {
        let loss = loss.each().map_or(vec![loss.reduced().unwrap_or(f64::NAN)], Array::to_f64);
        all.push(loss.iter().flat_map(|loss| loss.to_bits().to_le_bytes()).collect());
        all.push(gradient.map(|gradient| gradient.as_bytes().to_vec()).unwrap_or_default());
    };
    let plain = CrossEntropy::new().with_gradient();
    let options = plain.clone().with_label_smoothing(0.1).with_z_loss(1e-3).with_metrics();
    for op in [plain, options] {
        let output = device.run(&op, input).expect("sound");
        loss(output.loss, output.dlogits);
    }
    let output = device.run(&Focal::new().with_gradient(), input).expect("sound");
    loss(output.loss, output.dlogits);
    let op = KlDivergence::new().with_gradient();
    let output = device.run(&op, DivergenceInput::new(matrix, matrix)).expect("sound");
    loss(output.loss, output.dstudent);
    let y = vec![0.5f32; case.logits.len()];
    let labels = Matrix::new(&y, case.rows, case.classes).expect("its shape");
    let op = BinaryCrossEntropy::new().with_gradient();
    let output = device.run(&op, ElementwiseInput::new(matrix, labels)).expect("sound");
    loss(output.loss, output.dinput);
    let log_probs = device.run(&LogSoftmax, matrix).expect("sound");
    let of = Matrix::new(log_probs.values(), case.rows, case.classes).expect("its shape");
    let backward = LogSoftmaxBackwardInput::new(of, matrix);
    all.push(device.run(&LogSoftmaxBackward, backward).expect("sound").as_bytes().to_vec());
    all.push(log_probs.as_bytes().to_vec());
    all
}

#[test]
fn threads_do_not_change_a_bit() {
    // Short rows in groups, rows a task each, rows that threads share.
    for (rows, classes) in [(7001, 10), (777, 257), (60, 4001), (2, 400_003)] {
        let case = without_ignored(Family::Normal.case(rows, classes, 93));
        for subject in cpu_subjects() {
            let pool = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().expect("a pool");
            let one = pool(1).install(|| bits(&subject.device, &case));
            for threads in [2, 3, 8] {
                let many = pool(threads).install(|| bits(&subject.device, &case));
                assert!(many == one, "{}: {}: {threads} threads", subject.name, case.name);
            }
        }
    }
}

/// The same elements in each dtype.
fn arrays(values: &[f32]) -> [Array; 4] {
    [
        Array::F16(values.iter().map(|&x| f16::from_f32(x)).collect()),
        Array::Bf16(values.iter().map(|&x| bf16::from_f32(x)).collect()),
        Array::F32(values.to_vec()),
        Array::F64(values.iter().map(|&x| f64::from(x)).collect()),
    ]
}

/// A copy with an element before it, so that its rows begin at odd addresses.
fn with_one_before(array: &Array) -> Array {
    match array {
        Array::F16(x) => Array::F16([&[f16::ZERO], &x[..]].concat()),
        Array::Bf16(x) => Array::Bf16([&[bf16::ZERO], &x[..]].concat()),
        Array::F32(x) => Array::F32([&[0.0], &x[..]].concat()),
        Array::F64(x) => Array::F64([&[0.0], &x[..]].concat()),
        _ => unreachable!("there are four"),
    }
}

fn but_the_first(array: &mut Array) -> ValuesMut<'_> {
    match array {
        Array::F16(x) => ValuesMut::F16(&mut x[1..]),
        Array::Bf16(x) => ValuesMut::Bf16(&mut x[1..]),
        Array::F32(x) => ValuesMut::F32(&mut x[1..]),
        Array::F64(x) => ValuesMut::F64(&mut x[1..]),
        _ => unreachable!("there are four"),
    }
}

/// Into the caller's memory and in place come the bits that `run` returns.
fn check_places(device: &Device, case: &Case, array: &Array) {
    let (rows, classes) = (case.rows, case.classes);
    let name = || format!("{} {} {}", device.info(), case.name, array.dtype());
    let logits = Matrix::new(array.values(), rows, classes).expect("its shape");
    let targets: &[i64] = &case.targets;
    let input = CrossEntropyInput::new(logits, targets);
    let mut memory = with_one_before(array);
    for op in [
        CrossEntropy::new().with_gradient(),
        CrossEntropy::new().with_gradient().with_softcap(Some(20.0)),
    ] {
        let mut want = device.run(&op, input).expect("sound");
        let gradient = want.dlogits.take().expect("asked for");
        let out = MatrixMut::new(but_the_first(&mut memory), rows, classes).expect("its shape");
        let beside = device.run_into(&op, input, out).expect("sound");
        assert_eq!(with_one_before(&gradient).as_bytes(), memory.as_bytes(), "{}", name());
        assert_eq!(beside.loss.reduced(), want.loss.reduced(), "{}", name());
        let mut over = with_one_before(array);
        let over_logits =
            MatrixMut::new(but_the_first(&mut over), rows, classes).expect("its shape");
        let labels = Labels::new(targets);
        let beside = device.run_in_place(&op, over_logits, labels).expect("sound");
        assert_eq!(over.as_bytes(), memory.as_bytes(), "{}", name());
        assert_eq!(beside.lse.as_bytes(), want.lse.as_bytes(), "{}", name());
    }
    let want = device.run(&LogSoftmax, logits).expect("sound");
    let out = MatrixMut::new(but_the_first(&mut memory), rows, classes).expect("its shape");
    device.run_into(&LogSoftmax, logits, out).expect("sound");
    assert_eq!(with_one_before(&want).as_bytes(), memory.as_bytes(), "{}", name());
    let mut over = with_one_before(array);
    let matrix = MatrixMut::new(but_the_first(&mut over), rows, classes).expect("its shape");
    device.run_in_place(&LogSoftmax, matrix, None).expect("sound");
    assert_eq!(over.as_bytes(), memory.as_bytes(), "{}", name());
}

#[test]
fn results_in_the_callers_memory() {
    for (rows, classes) in [(40, 3), (21, 70), (5, 2049)] {
        let case = without_ignored(Family::Normal.case(rows, classes, 94));
        for array in arrays(&case.logits) {
            let subjects = cpu_subjects();
            let devices = subjects.iter().map(|subject| &subject.device);
            for device in devices.chain([&Device::reference()]) {
                // The reference's results are f64.
                if device.info() != Device::reference().info() {
                    check_places(device, &case, &array);
                }
            }
        }
    }
}

#[test]
fn results_streamed_past_the_caches() {
    // 24 MB of f32, 12 of f16; rows at every alignment.
    let case = without_ignored(Family::Normal.case(1201, 5001, 95));
    for array in arrays(&case.logits).into_iter().take(3) {
        for subject in cpu_subjects() {
            check_places(&subject.device, &case, &array);
        }
    }
}

#[test]
fn results_of_other_devices_in_the_callers_memory() {
    let case = Family::Normal.case(9, 20, 96);
    let targets: &[i64] = &case.targets;
    let op = CrossEntropy::new().with_gradient();
    for device in [Device::reference(), Device::with_gpu(common::gpu())] {
        let input = CrossEntropyInput::new(case.matrix(), targets);
        let want = device.run(&op, input).expect("sound").dlogits.expect("asked for");
        let want: Vec<f32> = want.to_f64().into_iter().map(|x| x as f32).collect();
        let mut out = vec![7.0f32; 180];
        let matrix = MatrixMut::new(&mut out[..], 9, 20).expect("its shape");
        device.run_into(&op, input, matrix).expect("sound");
        assert_eq!(out, want, "{}", device.info());
        let mut over = case.logits.clone();
        let matrix = MatrixMut::new(&mut over[..], 9, 20).expect("its shape");
        device.run_in_place(&op, matrix, Labels::new(targets)).expect("sound");
        assert_eq!(over, want, "{}", device.info());
    }
}

#[test]
fn memory_that_does_not_fit() {
    let logits = [0.5f32, 1.0, 1.5, 2.0, 2.5, 3.0];
    let matrix = Matrix::new(&logits, 2, 3).expect("its shape");
    let input = CrossEntropyInput::new(matrix, &[0i64, 1]);
    let op = CrossEntropy::new().with_gradient();
    for device in [Device::cpu(), Device::reference(), Device::with_gpu(common::gpu())] {
        let mut out = [7.0f32; 6];
        let error = device.run_into(&op, input, MatrixMut::new(&mut out[..], 3, 2).expect("fits"));
        assert!(matches!(error, Err(Error::ShapeMismatch { .. })), "{error:?}");
        let mut narrow = [f16::ONE; 6];
        let error =
            device.run_into(&op, input, MatrixMut::new(&mut narrow[..], 2, 3).expect("fits"));
        assert!(matches!(error, Err(Error::InvalidInput { .. })), "{error:?}");
        let plain = CrossEntropy::new();
        let error =
            device.run_into(&plain, input, MatrixMut::new(&mut out[..], 2, 3).expect("fits"));
        assert!(matches!(error, Err(Error::InvalidInput { .. })), "{error:?}");
        // A target out of range: nothing was written.
        let wrong = CrossEntropyInput::new(matrix, &[0i64, 3]);
        let error = device.run_into(&op, wrong, MatrixMut::new(&mut out[..], 2, 3).expect("fits"));
        assert!(error.is_err() && out == [7.0; 6], "{error:?}");
        let mut over = logits;
        let labels = Labels::new(&[0i64, 3]);
        let error =
            device.run_in_place(&op, MatrixMut::new(&mut over[..], 2, 3).expect("fits"), labels);
        assert!(error.is_err() && over == logits, "{error:?}");
        let error = MatrixMut::new(&mut over[..], 2, 4);
        assert!(matches!(error, Err(Error::ShapeMismatch { .. })), "{error:?}");
    }
}

#[test]
fn an_instruction_set_that_is_not_there() {
    for set in InstructionSet::ALL {
        assert_eq!(Device::cpu_with(set).is_ok(), set.is_available(), "{set}");
    }
    let missing = InstructionSet::ALL.into_iter().find(|set| !set.is_available());
    let error = Device::cpu_with(missing.expect("no machine has them all"));
    assert!(error.is_err_and(|error| error.to_string().contains("instruction")));
}

/// What rounding x - max costs at least, relatively, in units of u = 2^-24: how far below the maximum
/// the rest of the row lies, as its exponentials weigh it; with the rest's share of all.
fn forced(x: &[f32]) -> (f64, f64) {
    let max = f64::from(x.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let distances = x.iter().map(|&x| max - f64::from(x)).filter(|d| *d > 0.0 && d.is_finite());
    let (rest, sum) = distances.fold((0.0, 0.0), |(rest, sum), distance| {
        let e = (-distance).exp();
        (rest + e, sum + distance * e)
    });
    let ties = x.iter().filter(|&&x| f64::from(x) == max).count() as f64;
    (sum / (rest + ties - 1.0).max(f64::MIN_POSITIVE), rest / (rest + ties))
}

/// The worst of a case, over what is allowed: a gradient 4 ulp of its row's largest, a loss 2^-22
/// relatively; both the forced error besides.
fn worst(subject: &Subject, case: &Case) -> (f64, f64) {
    let targets: &[i64] = &case.targets;
    let upstream = vec![1.0f32; case.rows];
    let input = CrossEntropyInput::new(case.matrix(), targets)
        .with_upstream(Upstream::Each((&upstream[..]).into()));
    let op = CrossEntropy::new().with_gradient().with_reduction(Reduction::None);
    let want = reference::cross_entropy(&op, &input).expect("sound");
    let got = subject.device.run(&op, input).expect("sound");
    let (mut gradient, mut loss): (f64, f64) = (0.0, 0.0);
    let columns = |array: Option<Array>| array.expect("asked for").to_f64();
    let (got_dz, want_dz) = (columns(got.dlogits), columns(want.dlogits));
    let each = |loss: &Loss| loss.each().expect("not reduced").to_f64();
    let (got_loss, want_loss) = (each(&got.loss), each(&want.loss));
    for (row, x) in case.logits.chunks(case.classes).enumerate() {
        if case.targets[row] < 0 || !want_loss[row].is_finite() {
            continue;
        }
        let (distance, share) = forced(x);
        let off = (got_loss[row] - want_loss[row]).abs();
        let u = 2f64.powi(-24);
        let nearest = u * distance * share + 2f64.powi(-126);
        loss = loss.max(off / (2f64.powi(-22) * want_loss[row] + nearest));

        let columns = row * case.classes..(row + 1) * case.classes;
        let (got, want) = (&got_dz[columns.clone()], &want_dz[columns]);
        let largest = want.iter().fold(0.0, |max: f64, dz| max.max(dz.abs()));
        let ulp = f64::from((largest as f32).next_up()) - f64::from(largest as f32);
        for (got, want) in got.iter().zip(want) {
            gradient = gradient.max((got - want).abs() / (4.0 * ulp + u * distance * largest));
        }
    }
    (gradient, loss)
}

#[test]
fn gradients_to_four_ulp_and_losses_to_two_to_the_minus_22() {
    let families = [
        Family::Normal,
        Family::Peaked,
        Family::Confident,
        Family::Shifted,
        Family::Masked,
        Family::Ties,
        Family::Constant,
        Family::Sorted,
    ];
    let shapes = [(64, 2), (64, 10), (32, 128), (16, 1000), (4, 32_000), (2, 128_256)];
    for family in families {
        for (rows, classes) in shapes {
            let case = family.case(rows, classes, 97);
            for subject in cpu_subjects() {
                let (gradient, loss) = worst(&subject, &case);
                let name = format!("{} {}", subject.name, case.name);
                assert!(gradient <= 1.0, "{name}: a gradient {gradient} of its bound");
                assert!(loss <= 1.0, "{name}: a loss {loss} of its bound");
            }
        }
    }
}
