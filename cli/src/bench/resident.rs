//! A batch on a GPU: resident, or brought there and back in each call.

use std::time::Instant;

use surprisal::gpu::{
    Call, CrossEntropyBuffers, MatrixBuffer, OutputBuffer, TargetsBuffer, TransformBuffers,
    VectorBuffer,
};
use surprisal::{Array, CrossEntropy, Device, LogSoftmax, Softmax, wgpu};

use crate::bench::case::Operation;
use crate::bench::data::{Answer, Batch, Number};
use crate::bench::gpu::{Copy, Stopwatch};
use crate::bench::measure::{Entrant, Sample, Who};
use crate::error::{Failure, Result};

pub(crate) struct Resident<'a, T> {
    stopwatch: &'a Stopwatch<'a>,
    batch: &'a Batch<T>,
    output: wgpu::Buffer,
    copy: Copy,
    call: Call,
}

impl<'a, T: Number> Resident<'a, T> {
    /// Uploads the batch and prepares the operation.
    pub(crate) fn new(
        stopwatch: &'a Stopwatch<'a>,
        batch: &'a Batch<T>,
    ) -> surprisal::Result<Self> {
        let bytes = bytemuck::cast_slice(&batch.logits);
        let logits = stopwatch.buffer(bytes)?;
        let targets = stopwatch.buffer(bytemuck::cast_slice(&batch.targets))?;
        // The copy writes to it, whatever the operation does.
        let output = stopwatch.buffer(bytes)?;
        let copy = stopwatch.copy(&logits, &output)?;
        let call = prepare(stopwatch, batch, [&logits, &targets, &output])?;
        Ok(Self { stopwatch, batch, output, copy, call })
    }

    /// Checks what the operation comes to, and what the copy does.
    pub(crate) fn check(&self) -> Result<()> {
        let case = self.batch.case;
        let failed = |error| Failure::run(format!("{case}: {error}"));
        let read = || self.stopwatch.read(&self.output, case.matrix_bytes()).map_err(failed);
        self.stopwatch.time(1, |pass| self.stopwatch.encode_copy(&self.copy, pass))?;
        if read()? != bytemuck::cast_slice::<T, u8>(&self.batch.logits) {
            return Err(Failure::run(format!("{case}: the GPU's copy is wrong")));
        }
        self.stopwatch.time(1, |pass| self.call.encode_in_pass(pass))?;
        let loss = match self.call.summary() {
            Some(_) => Some(f64::from(self.call.read_summary_blocking().map_err(failed)?.loss)),
            None => None,
        };
        let bytes = if case.operation == Operation::Loss { Vec::new() } else { read()? };
        let values: Vec<T> = bytemuck::pod_collect_to_vec(&bytes);
        let matrix = (case.operation != Operation::Loss).then_some(&values[..]);
        self.batch.check("gpu", &Answer { loss, matrix })
    }

    pub(crate) fn entrant(&self) -> Entrant<'_> {
        Entrant::new(Who::Resident, |calls| {
            self.stopwatch.time(calls, |pass| self.call.encode_in_pass(pass))
        })
    }

    pub(crate) fn copy_entrant(&self) -> Entrant<'_> {
        Entrant::new(Who::GpuCopy, |calls| {
            self.stopwatch.time(calls, |pass| self.stopwatch.encode_copy(&self.copy, pass))
        })
    }
}

fn prepare<T: Number>(
    stopwatch: &Stopwatch<'_>,
    batch: &Batch<T>,
    [logits, targets, output]: [&wgpu::Buffer; 3],
) -> surprisal::Result<Call> {
    let shape = batch.case.shape;
    let matrix = |buffer| {
        MatrixBuffer::new(buffer, shape.rows as u64, shape.classes as u64).with_dtype(T::DTYPE)
    };
    let (gpu, logits) = (stopwatch.gpu, matrix(logits));
    let output = OutputBuffer::Separate(matrix(output));
    let targets = TargetsBuffer::I32(VectorBuffer::new(targets));
    let buffers = CrossEntropyBuffers::new(logits, targets)
        .with_upstream(surprisal::gpu::UpstreamBuffer::Scalar(shape.rows as f32));
    match batch.case.operation {
        Operation::Loss => gpu.prepare_blocking(&CrossEntropy::new(), buffers),
        Operation::LossGradient => {
            let op = CrossEntropy::new().with_gradient();
            gpu.prepare_blocking(&op, buffers.with_dlogits(output))
        }
        Operation::Softmax => gpu.prepare_blocking(&Softmax, TransformBuffers::new(logits, output)),
        Operation::LogSoftmax => {
            gpu.prepare_blocking(&LogSoftmax, TransformBuffers::new(logits, output))
        }
    }
}

/// What a device made of a batch in host memory.
struct Output {
    loss: Option<f64>,
    matrix: Option<Array>,
    stages: [f64; 3],
}

fn evaluate<T: Number>(device: &Device, batch: &Batch<T>) -> Result<Output> {
    let case = batch.case;
    let failed = |error| Failure::run(format!("{case}: {error}"));
    let (input, matrix) = (batch.input()?, batch.matrix()?);
    let (loss, matrix, timings) = match case.operation {
        Operation::Loss | Operation::LossGradient => {
            let mut op = CrossEntropy::new();
            if case.operation == Operation::LossGradient {
                op = op.with_gradient();
            }
            let (output, timings) = device.run_timed(&op, input).map_err(failed)?;
            (output.loss.reduced(), output.dlogits, timings)
        }
        Operation::Softmax => {
            let (array, timings) = device.run_timed(&Softmax, matrix).map_err(failed)?;
            (None, Some(array), timings)
        }
        Operation::LogSoftmax => {
            let (array, timings) = device.run_timed(&LogSoftmax, matrix).map_err(failed)?;
            (None, Some(array), timings)
        }
    };
    let stages =
        [timings.upload, timings.compute, timings.download].map(|stage| stage.as_secs_f64());
    Ok(Output { loss, matrix, stages })
}

/// Checks what a device makes of a batch in host memory.
pub(crate) fn check_transfer<T: Number>(device: &Device, batch: &Batch<T>) -> Result<()> {
    let Output { loss, matrix, .. } = evaluate(device, batch)?;
    let values: Option<Vec<T>> =
        matrix.map(|matrix| bytemuck::pod_collect_to_vec(matrix.as_bytes()));
    batch.check("gpu with transfer", &Answer { loss, matrix: values.as_deref() })
}

/// From host memory to host memory, by the wall clock.
pub(crate) fn transfer<'b, T: Number>(device: &'b Device, batch: &'b Batch<T>) -> Entrant<'b> {
    Entrant::new(Who::HostToHost, |calls| {
        let (mut wall, mut stages) = (0.0, [0.0; 3]);
        let each = 1.0 / f64::from(calls);
        for _ in 0..calls {
            let start = Instant::now();
            let output = evaluate(device, batch)?;
            // What it costs to give the result's memory back is not of the call.
            wall += each * start.elapsed().as_secs_f64();
            for (sum, stage) in stages.iter_mut().zip(output.stages) {
                *sum += each * stage;
            }
        }
        Ok(Sample { wall, stages: Some(stages), ..Sample::default() })
    })
}
