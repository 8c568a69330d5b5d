//! What the examples minimise, each by this crate's operations: recorded on a GPU, run on the host.

use surprisal::gpu::{
    BackwardBuffers, CrossEntropyBuffers, DivergenceBuffers, ElementwiseBuffers, MatrixBuffer,
    OutputBuffer, TargetsBuffer, TransformBuffers, UpstreamBuffer, VectorBuffer,
};
use surprisal::{
    BinaryCrossEntropy, BinaryLabels, CrossEntropy, CrossEntropyInput, Device, DivergenceInput,
    Elementwise, ElementwiseInput, ElementwiseLoss, KlDivergence, Matrix, Softmax, SoftmaxBackward,
    SoftmaxBackwardInput, Upstream, wgpu,
};

use super::Result;
use super::gpu::{Bench, Bound};

/// A mean loss over the rows of a batch of scores.
#[derive(Debug)]
pub enum Loss<'a> {
    /// Cross-entropy of the softmax with class labels.
    CrossEntropy(&'a [i32]),
    /// Cross-entropy of the sigmoid, one score a row.
    Binary(BinaryLabels, Vec<f32>),
    /// KL divergence from a teacher's logits, at a temperature.
    Distillation { teacher: &'a [f32], temperature: f64 },
    /// Squared error of the softmax against one-hot labels, summed over classes.
    SquaredError { one_hot: Vec<f32> },
}

/// A loss and its gradient with respect to the scores.
type Evaluated = (f64, Vec<f32>);

impl Loss<'_> {
    pub fn squared_error(labels: &[i32], classes: usize) -> Self {
        let is = |label: i32, j| u8::from(usize::try_from(label) == Ok(j));
        let row = |&label: &i32| (0..classes).map(move |j| f32::from(is(label, j)));
        Self::SquaredError { one_hot: labels.iter().flat_map(row).collect() }
    }

    /// Prepares the calls that turn the scores into their gradient, where they stand.
    pub fn bind(&self, bench: &Bench, scores: &wgpu::Buffer, shape: [u64; 2]) -> Result<Bound> {
        let gpu = &bench.gpu;
        let matrix = |buffer| MatrixBuffer::new(buffer, shape[0], shape[1]);
        let scores = matrix(scores);
        let one = |call| Bound { calls: vec![call], loss: (0, 1.0) };
        match self {
            Self::CrossEntropy(labels) => {
                let targets = bench.buffer(labels);
                let targets = TargetsBuffer::I32(VectorBuffer::new(&targets));
                let buffers =
                    CrossEntropyBuffers::new(scores, targets).with_dlogits(OutputBuffer::InPlace);
                Ok(one(gpu.prepare_blocking(&cross_entropy(), buffers)?))
            }
            Self::Binary(labels, targets) => {
                let targets = bench.buffer(targets);
                let buffers = ElementwiseBuffers::new(scores, matrix(&targets))
                    .with_dinput(OutputBuffer::InPlace);
                Ok(one(gpu.prepare_blocking(&binary(*labels), buffers)?))
            }
            Self::Distillation { teacher, temperature } => {
                let teacher = bench.buffer(teacher);
                let buffers = DivergenceBuffers::new(matrix(&teacher), scores)
                    .with_dstudent(OutputBuffer::InPlace);
                Ok(one(gpu.prepare_blocking(&distillation(*temperature), buffers)?))
            }
            Self::SquaredError { one_hot } => {
                let empty = vec![0.0f32; one_hot.len()];
                let (probs, dprobs) = (bench.buffer(&empty), bench.buffer(&empty));
                let (probs, dprobs) = (matrix(&probs), matrix(&dprobs));
                let one_hot = bench.buffer(one_hot);
                let softmax = TransformBuffers::new(scores, OutputBuffer::Separate(probs));
                // The mean is over elements; classes of them are a row.
                let classes = shape[1] as f32;
                let error = ElementwiseBuffers::new(probs, matrix(&one_hot))
                    .with_upstream(UpstreamBuffer::Scalar(classes))
                    .with_dinput(OutputBuffer::Separate(dprobs));
                let backward = BackwardBuffers::new(probs, dprobs, OutputBuffer::Separate(scores));
                let calls = vec![
                    gpu.prepare_blocking(&Softmax, softmax)?,
                    gpu.prepare_blocking(&squared_error(), error)?,
                    gpu.prepare_blocking(&SoftmaxBackward, backward)?,
                ];
                Ok(Bound { calls, loss: (1, classes.into()) })
            }
        }
    }

    /// The same on scores in host memory.
    pub fn run(&self, device: &Device, scores: &[f32], outputs: usize) -> Result<Evaluated> {
        let matrix = |values| Matrix::new(values, scores.len() / outputs, outputs);
        let logits = matrix(scores)?;
        let (loss, gradient) = match self {
            Self::CrossEntropy(labels) => {
                let input = CrossEntropyInput::new(logits, *labels);
                let output = device.run(&cross_entropy(), input)?;
                (output.loss, output.dlogits)
            }
            Self::Binary(labels, targets) => {
                let input = ElementwiseInput::new(logits, matrix(targets)?);
                let output = device.run(&binary(*labels), input)?;
                (output.loss, output.dinput)
            }
            Self::Distillation { teacher, temperature } => {
                let input = DivergenceInput::new(matrix(teacher)?, logits);
                let output = device.run(&distillation(*temperature), input)?;
                (output.loss, output.dstudent)
            }
            Self::SquaredError { one_hot } => {
                let probs = device.run(&Softmax, logits)?;
                let probs = Matrix::new(probs.values(), logits.rows(), outputs)?;
                let classes = outputs as f64;
                let input = ElementwiseInput::new(probs, matrix(one_hot)?)
                    .with_upstream(Upstream::Scalar(classes));
                let output = device.run(&squared_error(), input)?;
                let dprobs = output.dinput.ok_or("asked for")?;
                let dprobs = Matrix::new(dprobs.values(), logits.rows(), outputs)?;
                let dlogits =
                    device.run(&SoftmaxBackward, SoftmaxBackwardInput::new(probs, dprobs))?;
                let loss = output.loss.reduced().ok_or("it is a mean")? * classes;
                return Ok((loss, dlogits.values().to_f32()));
            }
        };
        let gradient = gradient.ok_or("asked for")?.values().to_f32();
        Ok((loss.reduced().ok_or("it is a mean")?, gradient))
    }
}

fn cross_entropy() -> CrossEntropy {
    CrossEntropy::new().with_gradient()
}

fn binary(labels: BinaryLabels) -> BinaryCrossEntropy {
    BinaryCrossEntropy::new().with_labels(labels).with_gradient()
}

fn distillation(temperature: f64) -> KlDivergence {
    KlDivergence::new().with_temperature(temperature).with_gradient()
}

fn squared_error() -> Elementwise {
    Elementwise::new(ElementwiseLoss::Squared).with_gradient()
}
