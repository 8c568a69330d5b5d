//! One suite: every operation on every case, any device against the reference.

use super::reference;
use surprisal::{
    Array, CrossEntropy, CrossEntropyInput, Dtype, LogSoftmax, LogSoftmaxBackward,
    LogSoftmaxBackwardInput, LogSumExp, LogSumExpBackward, LogSumExpBackwardInput, Matrix,
    Reduction, Softmax, SoftmaxBackward, SoftmaxBackwardInput, Upstream,
};

use super::Subject;
use super::cases::{Case, Rng};
use super::tolerance::{self, RowBounds};

/// What went wrong, with the place.
pub type Outcome = Result<(), String>;

pub fn compare(what: &str, i: usize, got: f64, want: f64, bound: f64) -> Outcome {
    compare_in(Dtype::F32, what, i, got, want, bound)
}

fn compare_in(dtype: Dtype, what: &str, i: usize, got: f64, want: f64, bound: f64) -> Outcome {
    // What overflows in the dtype of a result is infinite; f64 results are compared as f32.
    let rounded = match dtype {
        Dtype::F16 => half::f16::from_f64(want).into(),
        Dtype::Bf16 => half::bf16::from_f64(want).into(),
        _ => f64::from(want as f32),
    };
    let agree = if want.is_nan() {
        got.is_nan()
    } else if rounded.is_infinite() || want.is_infinite() {
        got == want || got == rounded
    } else {
        (got - want).abs() <= bound + tolerance::stored(dtype, want, bound) + 1e-45
    };
    if agree {
        return Ok(());
    }
    let off = (got - want).abs();
    Err(format!("{what}[{i}]: got {got:e}, want {want:e}, off by {off:e}, bound {bound:e}"))
}

pub fn compare_all(what: &str, got: &Array, want: &[f64], bound: impl Fn(usize) -> f64) -> Outcome {
    if got.len() != want.len() {
        return Err(format!("{what}: {} values, want {}", got.len(), want.len()));
    }
    let dtype = got.dtype();
    for (i, (got, want)) in got.to_f64().into_iter().zip(want).enumerate() {
        compare_in(dtype, what, i, got, *want, bound(i))?;
    }
    Ok(())
}

impl Case {
    fn bounds(&self, subject: &Subject) -> Vec<RowBounds> {
        let rows = self.logits.chunks(self.classes);
        rows.map(|x| RowBounds::new(x, subject.arithmetic)).collect()
    }
}

/// Every operation on one case.
pub fn check(subject: &Subject, case: &Case) -> Outcome {
    for reduction in [Reduction::Mean, Reduction::Sum, Reduction::None] {
        cross_entropy(subject, case, reduction)?;
    }
    softmaxes(subject, case)?;
    backwards(subject, case)
}

/// Cross-entropy with gradient, and the loss alone, which must be the same bits.
pub fn cross_entropy(subject: &Subject, case: &Case, reduction: Reduction) -> Outcome {
    let mut rng = Rng::new(case.rows as u64);
    let dloss: Vec<f32> = (0..case.rows).map(|_| rng.normal() as f32).collect();
    let upstream = match reduction {
        Reduction::None => Upstream::Each((&dloss).into()),
        _ => Upstream::Scalar(-1.5),
    };
    let input = CrossEntropyInput::new(case.matrix(), &case.targets).with_upstream(upstream);
    let op = CrossEntropy::new().with_reduction(reduction);
    let with_gradient = op.clone().with_gradient();
    let error = |error: surprisal::Error| error.to_string();
    let want = reference::cross_entropy(&with_gradient, &input).map_err(error)?;
    let got = subject.device.run(&with_gradient, input).map_err(error)?;
    let alone = subject.device.run(&op, input).map_err(error)?;
    let what = |name: &str| format!("{} {}: {reduction:?} {name}", subject.name, case.name);

    let same_bits =
        format!("{:?}", (&alone.loss, &alone.lse)) == format!("{:?}", (&got.loss, &got.lse));
    // With four storage buffers a row whose gradient has an upstream by row cannot be split.
    let is_split_alone = reduction == Reduction::None
        && subject.device.as_gpu().is_some_and(|gpu| gpu.caps().max_storage_bindings < 5);
    if !(same_bits || is_split_alone) || alone.dlogits.is_some() {
        return Err(what("the loss alone differs from the loss with gradient"));
    }
    if (got.kept_rows, got.total_weight) != (want.kept_rows, want.total_weight) {
        return Err(what("kept rows"));
    }
    let bounds = case.bounds(subject);
    let target = |row: usize| usize::try_from(case.targets[row]).ok();
    let loss_bound = |row: usize| {
        target(row).map_or(0.0, |y| bounds[row].nll(case.logits[row * case.classes + y]))
    };
    match (&got.loss, &want.loss) {
        (surprisal::Loss::Each(got), surprisal::Loss::Each(want)) => {
            compare_all(&what("loss"), got, &want.to_f64(), loss_bound)?;
        }
        (got, want) => {
            let rows = reference::cross_entropy(
                &op.clone().with_reduction(Reduction::None),
                &CrossEntropyInput::new(case.matrix(), &case.targets),
            )
            .map_err(error)?;
            let losses = rows.loss.each().map(Array::to_f64).unwrap_or_default();
            let magnitude: f64 = losses.iter().map(|loss| loss.abs()).sum();
            let bound = (0..case.rows).map(loss_bound).sum::<f64>()
                + tolerance::loss_sum(subject.arithmetic, magnitude);
            let scale = if reduction == Reduction::Mean { rows.total_weight } else { 1.0 };
            let (got, want) = (got.reduced().unwrap_or(-1.0), want.reduced().unwrap_or(-2.0));
            // The rows' losses are f32, and so is their sum: either may overflow.
            let overflows = magnitude > f64::from(f32::MAX) && got == f64::INFINITY;
            if !overflows || subject.arithmetic.is_exact() {
                compare(&what("loss"), 0, got, want, bound / scale.max(1.0))?;
            }
        }
    }
    let lse_bound = |row: usize| target(row).map_or(0.0, |_| bounds[row].lse());
    compare_all(&what("lse"), &got.lse, &want.lse.to_f64(), lse_bound)?;

    let scale = if reduction == Reduction::Mean { want.total_weight } else { 1.0 };
    let (Some(got), Some(want)) = (got.dlogits, want.dlogits.map(|d| d.to_f64())) else {
        return Err(what("no gradient"));
    };
    let bound = |i: usize| {
        let (row, j) = (i / case.classes, i % case.classes);
        let dloss = match reduction {
            Reduction::None => f64::from(dloss[row]).abs(),
            _ => 1.5,
        };
        let x = case.logits[i];
        let own = if target(row) == Some(j) {
            bounds[row].p_minus_1(x)
        } else {
            // The bound needs p; the reference's gradient holds it, scaled.
            bounds[row].p(x, want[i].abs() * scale / dloss.max(1e-30))
        };
        target(row).map_or(0.0, |_| {
            own * dloss / scale + tolerance::rounding(subject.arithmetic, want[i].abs())
        })
    };
    compare_all(&what("dlogits"), &got, &want, bound)
}

/// Softmax, log-softmax and logsumexp.
pub fn softmaxes(subject: &Subject, case: &Case) -> Outcome {
    let matrix = case.matrix();
    let what = |name: &str| format!("{} {}: {name}", subject.name, case.name);
    let error = |error: surprisal::Error| error.to_string();
    let bounds = case.bounds(subject);
    let at = |i: usize| (&bounds[i / case.classes], case.logits[i]);

    let want = reference::softmax(matrix);
    let got = subject.device.run(&Softmax, matrix).map_err(error)?;
    compare_all(&what("softmax"), &got, &want, |i| at(i).0.p(at(i).1, want[i]))?;

    let want = reference::log_softmax(matrix);
    let got = subject.device.run(&LogSoftmax, matrix).map_err(error)?;
    compare_all(&what("log-softmax"), &got, &want, |i| at(i).0.nll(at(i).1))?;

    let want = reference::logsumexp(matrix);
    let got = subject.device.run(&LogSumExp, matrix).map_err(error)?;
    compare_all(&what("logsumexp"), &got, &want, |row| bounds[row].lse())
}

/// The backward of each.
pub fn backwards(subject: &Subject, case: &Case) -> Outcome {
    let what = |name: &str| format!("{} {}: {name}", subject.name, case.name);
    let error = |error: surprisal::Error| error.to_string();
    let arithmetic = subject.arithmetic;
    let (rows, classes) = (case.rows, case.classes);
    let mut rng = Rng::new(classes as u64);
    let dy: Vec<f32> = (0..rows * classes).map(|_| rng.normal() as f32).collect();
    let dy = case.rounded(&dy);
    let dstored = case.stored(&dy);
    let dmatrix = Matrix::new(dstored.values(), rows, classes).map_err(error)?;
    let sums = |f: &dyn Fn(usize) -> f64| -> Vec<f64> {
        (0..rows).map(|row| (row * classes..(row + 1) * classes).map(f).sum()).collect()
    };

    let p: Vec<f32> = reference::softmax(case.matrix()).into_iter().map(|p| p as f32).collect();
    let p = case.rounded(&p);
    let stored = case.stored(&p);
    let probs = Matrix::new(stored.values(), rows, classes).map_err(error)?;
    let want = reference::softmax_backward(probs, dmatrix).expect("same shapes");
    let got = subject
        .device
        .run(&SoftmaxBackward, SoftmaxBackwardInput::new(probs, dmatrix))
        .map_err(error)?;
    let magnitudes = sums(&|i| f64::from(p[i] * dy[i]).abs());
    compare_all(&what("softmax backward"), &got, &want, |i| {
        let sum = magnitudes[i / classes];
        let p = f64::from(p[i]).abs();
        p * tolerance::dot(arithmetic, classes, sum)
            + tolerance::rounding(arithmetic, p * (f64::from(dy[i]).abs() + sum))
    })?;

    let lp: Vec<f32> =
        reference::log_softmax(case.matrix()).into_iter().map(|lp| lp as f32).collect();
    let lp = case.rounded(&lp);
    let stored = case.stored(&lp);
    let log_probs = Matrix::new(stored.values(), rows, classes).map_err(error)?;
    let want = reference::log_softmax_backward(log_probs, dmatrix).expect("same shapes");
    let input = LogSoftmaxBackwardInput::new(log_probs, dmatrix);
    let got = subject.device.run(&LogSoftmaxBackward, input).map_err(error)?;
    let magnitudes = sums(&|i| f64::from(dy[i]).abs());
    compare_all(&what("log-softmax backward"), &got, &want, |i| {
        let sum = magnitudes[i / classes];
        let lp = f64::from(lp[i]);
        lp.exp() * tolerance::dot(arithmetic, classes, sum)
            + tolerance::exp_of(arithmetic, lp) * sum
            + tolerance::rounding(arithmetic, f64::from(dy[i]).abs() + lp.exp() * sum)
    })?;

    let dlse = &dy[..rows];
    let want: Vec<f64> = reference::logsumexp_backward(
        case.matrix(),
        &dlse.iter().copied().map(f64::from).collect::<Vec<_>>(),
    )
    .expect("same shapes");
    let input = LogSumExpBackwardInput::new(case.matrix(), dlse);
    let got = subject.device.run(&LogSumExpBackward, input).map_err(error)?;
    let bounds = case.bounds(subject);
    compare_all(&what("logsumexp backward"), &got, &want, |i| {
        let dlse = f64::from(dlse[i / classes]).abs();
        let bound = bounds[i / classes].p(case.logits[i], want[i].abs() / dlse.max(1e-30));
        bound * dlse + tolerance::rounding(arithmetic, want[i].abs())
    })
}

/// Cross-entropy with any options, loss by row and gradient, against the reference.
pub fn with_options(subject: &Subject, case: &Case, op: &CrossEntropy) -> Outcome {
    let mut rng = Rng::new(case.classes as u64);
    let by_row: Vec<f32> = (0..case.rows).map(|_| rng.normal() as f32).collect();
    let upstream = match op.reduction() {
        Reduction::None => Upstream::Each((&by_row).into()),
        _ => Upstream::Scalar(0.75),
    };
    let input = CrossEntropyInput::new(case.matrix(), &case.targets).with_upstream(upstream);
    let op = op.clone().with_gradient();
    let error = |error: surprisal::Error| error.to_string();
    let what = |name: &str| format!("{} {} {op:?}: {name}", subject.name, case.name);
    let want = reference::cross_entropy(&op, &input).map_err(error)?;
    let got = subject.device.run(&op, input).map_err(error)?;
    let close = |got: f64, want: f64| (got - want).abs() <= 1e-6 * want.abs();
    if got.kept_rows != want.kept_rows || !close(got.total_weight, want.total_weight) {
        return Err(what("totals"));
    }
    let none = op.clone().with_normalizer(None).with_reduction(Reduction::None);
    let rows = CrossEntropyInput::new(case.matrix(), &case.targets);
    let rows = reference::cross_entropy(&none, &rows).map_err(error)?;
    let losses = rows.loss.each().map(Array::to_f64).unwrap_or_default();
    let lse = want.lse.to_f64();
    let chain = |x: f32| -> (f64, f64) {
        let z = f64::from(x) * op.logit_scale();
        op.softcap().map_or((z, op.logit_scale()), |cap| {
            (cap * (z / cap).tanh(), op.logit_scale() / (z / cap).cosh().powi(2))
        })
    };
    let target = |row: usize| usize::try_from(case.targets[row]).ok();
    let bounds: Vec<_> = (0..case.rows)
        .map(|row| {
            let x = &case.logits[row * case.classes..(row + 1) * case.classes];
            let z: Vec<f64> = x.iter().map(|&x| chain(x).0).collect();
            let y = target(row).unwrap_or(0);
            tolerance::OptionBounds::new(subject.arithmetic, &op, &z, y, lse[row])
        })
        .collect();
    let loss_bound = |row: usize| target(row).map_or(0.0, |y| bounds[row].loss(y, losses[row]));
    let divisor = op.normalizer().unwrap_or(want.total_weight);
    let scale = if op.reduction() == Reduction::Mean { divisor } else { 1.0 };
    match (&got.loss, &want.loss) {
        (surprisal::Loss::Each(got), surprisal::Loss::Each(want)) => {
            compare_all(&what("loss"), got, &want.to_f64(), loss_bound)?;
        }
        (got, want) => {
            let sum: f64 = losses.iter().map(|loss| loss.abs()).sum();
            let bound = (0..case.rows).map(loss_bound).sum::<f64>()
                + tolerance::loss_sum(subject.arithmetic, sum);
            let (got, want) = (got.reduced().unwrap_or(-1.0), want.reduced().unwrap_or(-2.0));
            let overflows = sum > f64::from(f32::MAX) && got == f64::INFINITY;
            if !overflows || subject.arithmetic.is_exact() {
                compare(&what("loss"), 0, got, want, bound / scale)?;
            }
        }
    }
    let lse_bound = |row: usize| target(row).map_or(0.0, |_| bounds[row].lse());
    compare_all(&what("lse"), &got.lse, &lse, lse_bound)?;
    let (Some(got), Some(want)) = (got.dlogits, want.dlogits.map(|d| d.to_f64())) else {
        return Err(what("no gradient"));
    };
    compare_all(&what("dlogits"), &got, &want, |i| {
        let (row, j) = (i / case.classes, i % case.classes);
        let dloss = match op.reduction() {
            Reduction::None => f64::from(by_row[row]).abs(),
            _ => 0.75 / scale,
        };
        let slope = chain(case.logits[i]).1;
        target(row).map_or(0.0, |y| bounds[row].column(j, y, dloss, slope))
            + tolerance::rounding(subject.arithmetic, want[i].abs())
    })
}
