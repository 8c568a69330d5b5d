//! Sums of many losses that are nearly equal, where rounding always goes the same way: against the f64
//! sum of the f32 losses one by one.

use surprisal::gpu::{
    Call, CrossEntropyBuffers, ElementwiseBuffers, Gpu, MatrixBuffer, TargetsBuffer, VectorBuffer,
};
use surprisal::{
    Array, BinaryCrossEntropy, CrossEntropy, CrossEntropyInput, Elementwise, ElementwiseInput,
    ElementwiseLoss, JsDivergence, KlDivergence, Loss, Matrix, Reduction, Unit, wgpu,
};
use wgpu::util::DeviceExt as _;

use super::Subject;
use super::suite::Outcome;
use super::tolerance;

#[expect(clippy::needless_pass_by_value, reason = "it is a map_err adapter")]
fn error(error: surprisal::Error) -> String {
    error.to_string()
}

fn check(what: &str, got: f64, want: f64, bound: f64) -> Outcome {
    if (got - want).abs() <= bound * want.abs() {
        return Ok(());
    }
    let off = (got - want).abs() / want.abs() / bound;
    Err(format!("{what}: got {got:e}, want {want:e}, {off} times the bound"))
}

fn sum_of(loss: &Loss) -> Result<(f64, usize), String> {
    let losses = loss.each().map(Array::to_f64).ok_or("no losses")?;
    Ok((losses.iter().sum(), losses.len()))
}

/// Reduced losses of the owning device, and what metrics make of them.
pub fn of_a_device(subject: &Subject, rows: usize) -> Outcome {
    let bound = tolerance::REDUCED;
    let (x, classes) = (vec![0.1f32; rows * 5], 5);
    let matrix = Matrix::new(&x, rows, classes).map_err(error)?;
    let targets = vec![3i64; rows];
    let input = CrossEntropyInput::new(matrix, &targets);
    let plain = CrossEntropy::new().with_metrics();
    for op in [plain.clone(), plain.clone().with_class_weights(vec![0.1; 5]), plain] {
        let run = |reduction| subject.device.run(&op.clone().with_reduction(reduction), input);
        let (sum, _) = sum_of(&run(Reduction::None).map_err(error)?.loss)?;
        let what = format!("{}: {rows} rows", subject.name);
        let got = run(Reduction::Sum).map_err(error)?;
        check(&what, got.loss.reduced().unwrap_or(0.0), sum, bound)?;
        let weight = op.class_weights().map_or(1.0, |weights| weights[3]) as f32;
        check(&what, got.total_weight, f64::from(weight) * rows as f64, bound)?;
        let got = run(Reduction::Mean).map_err(error)?;
        let mean = sum / (f64::from(weight) * rows as f64);
        check(&what, got.loss.reduced().unwrap_or(0.0), mean, bound)?;
        let perplexity = got.metrics.ok_or("no metrics")?.perplexity;
        check(&what, perplexity.ln(), 5f64.ln(), bound)?;
    }
    let y = vec![0.7f32; rows * 5];
    let targets = Matrix::new(&y, rows, classes).map_err(error)?;
    let input = || ElementwiseInput::new(matrix, targets);
    let (bits, squared) =
        (BinaryCrossEntropy::new().with_unit(Unit::Bits), ElementwiseLoss::Squared);
    for reduction in [Reduction::Sum, Reduction::Mean] {
        let what = format!("{}: {rows} x 5 elements, {reduction}", subject.name);
        let none = bits.clone().with_reduction(Reduction::None);
        let (sum, count) = sum_of(&subject.device.run(&none, input()).map_err(error)?.loss)?;
        let over = if reduction == Reduction::Mean { count as f64 } else { 1.0 };
        for op in [bits.clone(), bits.clone().with_gradient()] {
            let op = op.with_reduction(reduction);
            let got = subject.device.run(&op, input()).map_err(error)?.loss;
            check(&what, got.reduced().unwrap_or(0.0), sum / over, bound)?;
        }
        let none = Elementwise::new(squared).with_reduction(Reduction::None);
        let (sum, _) = sum_of(&subject.device.run(&none, input()).map_err(error)?.loss)?;
        let op = Elementwise::new(squared).with_reduction(reduction);
        let got = subject.device.run(&op, input()).map_err(error)?.loss;
        check(&what, got.reduced().unwrap_or(0.0), sum / over, bound)?;
    }
    // The last column of each teacher is more likely than the student's.
    let mut t = x.clone();
    t.iter_mut().skip(4).step_by(5).for_each(|t| *t = 1.3);
    let teacher = Matrix::new(&t, rows, classes).map_err(error)?;
    let input = || surprisal::DivergenceInput::new(teacher, matrix);
    let what = format!("{}: {rows} divergences", subject.name);
    let (kl, js) = (KlDivergence::new(), JsDivergence::new());
    let none = Reduction::None;
    let (sum, _) =
        sum_of(&subject.device.run(&kl.with_reduction(none), input()).map_err(error)?.loss)?;
    let got = subject.device.run(&kl, input()).map_err(error)?.loss;
    check(&what, got.reduced().unwrap_or(0.0), sum / rows as f64, bound)?;
    let (sum, _) =
        sum_of(&subject.device.run(&js.with_reduction(none), input()).map_err(error)?.loss)?;
    let got = subject.device.run(&js, input()).map_err(error)?.loss;
    check(&what, got.reduced().unwrap_or(0.0), sum / rows as f64, bound)
}

fn buffer<T: bytemuck::Pod>(gpu: &Gpu, contents: &[T]) -> wgpu::Buffer {
    gpu.device().create_buffer_init(&wgpu::util::BufferInitDescriptor {
        label: None,
        contents: bytemuck::cast_slice(contents),
        usage: wgpu::BufferUsages::STORAGE,
    })
}

fn recorded(gpu: &Gpu, op: &CrossEntropy, x: &[f32], targets: &[i64]) -> Result<Call, String> {
    let rows = targets.len() as u64;
    let (logits, labels) = (buffer(gpu, x), buffer(gpu, targets));
    let matrix = MatrixBuffer::new(&logits, rows, x.len() as u64 / rows);
    let targets = TargetsBuffer::I64(VectorBuffer::new(&labels));
    let call =
        gpu.prepare_blocking(op, CrossEntropyBuffers::new(matrix, targets)).map_err(error)?;
    submit(gpu, &call);
    Ok(call)
}

/// A row of equal elements, four of which add up exactly: its sum and what rounding took from it are
/// exact together.
pub fn of_a_row_of_elements(gpu: &Gpu) -> Outcome {
    let (x, y) = (buffer(gpu, &vec![0.1f32; 6000]), buffer(gpu, &vec![0.7f32; 6000]));
    let matrices = [&x, &y].map(|matrix| MatrixBuffer::new(matrix, 3, 2000));
    let op = Elementwise::new(ElementwiseLoss::Squared);
    let buffers = ElementwiseBuffers::new(matrices[0], matrices[1]);
    let call = gpu.prepare_blocking(&op, buffers).map_err(error)?;
    submit(gpu, &call);
    let d = 0.1f32 - 0.7;
    let want = 2000.0 * f64::from(d * d);
    for [sum, lost] in call.read_stats_blocking().map_err(error)? {
        check("a row of elements", f64::from(sum) + f64::from(lost), want, 1e-13)?;
    }
    Ok(())
}

fn submit(gpu: &Gpu, call: &Call) {
    let mut encoder =
        gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    call.encode(&mut encoder);
    gpu.queue().submit([encoder.finish()]);
}

/// The summary of a call in an encoder of the caller's.
pub fn of_a_recorded_call(gpu: &Gpu, rows: usize) -> Outcome {
    // Every third row is right, and every seventh ignored.
    let x: Vec<f32> =
        (0..rows).flat_map(|row| [0.1, 0.1, if row % 3 == 0 { 0.2 } else { 0.0 }]).collect();
    let target = |row: usize| if row % 7 == 6 { -100 } else { 2 };
    let targets: Vec<i64> = (0..rows).map(target).collect();
    let kept = targets.iter().filter(|y| **y == 2).count();
    let weights = vec![0.3, 0.2, 0.1];
    for reduction in [Reduction::Sum, Reduction::Mean] {
        let op = CrossEntropy::new()
            .with_class_weights(weights.clone())
            .with_metrics()
            .with_reduction(reduction);
        let call = recorded(gpu, &op, &x, &targets)?;
        let summary = call.read_summary_blocking().map_err(error)?;
        let losses = call.read_stats_blocking().map_err(error)?;
        let sum: f64 = losses.iter().map(|row| f64::from(row[0])).sum();
        let bound = tolerance::recorded_sum(rows);
        let what = format!("{rows} rows, recorded, {reduction}");
        let weight = f64::from(0.1f32) * kept as f64;
        check(&format!("{what}: weight"), summary.total_weight.into(), weight, bound)?;
        if reduction == Reduction::Sum {
            check(&what, summary.loss.into(), sum, bound)?;
        } else {
            // Both sums, and a division.
            check(&what, summary.loss.into(), sum / weight, 2.0 * bound + tolerance::QUOTIENT)?;
        }
        // Losses are a tenth of -log p.
        let metrics = call.read_metrics_blocking().map_err(error)?;
        let nll = metrics.perplexity.ln() * kept as f64;
        check(&format!("{what}: -log p"), summary.nll.into(), nll, bound + 1e-12)?;
        let right = (0..rows).filter(|&row| row % 3 == 0 && row % 7 != 6).count();
        if (summary.correct as usize, metrics.correct as usize) != (right, right)
            || summary.kept_rows as usize != kept
        {
            return Err(format!("{what}: {} right, {} kept", summary.correct, summary.kept_rows));
        }
    }
    Ok(())
}
