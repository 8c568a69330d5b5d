//! What the definition says, by an operation's name.

#![allow(dead_code, unreachable_pub, reason = "no test binary uses all of it")]

use surprisal::{
    BinaryCrossEntropy, BinaryFocal, CrossEntropy, CrossEntropyInput, CrossEntropyOutput, Device,
    DivergenceInput, DivergenceOutput, Elementwise, ElementwiseInput, ElementwiseOutput, Entropy,
    EntropyBackward, EntropyBackwardInput, Focal, JsDivergence, KlDivergence, LinearCrossEntropy,
    LinearCrossEntropyInput, LinearCrossEntropyOutput, LogSoftmax, LogSoftmaxBackward,
    LogSoftmaxBackwardInput, LogSumExp, LogSumExpBackward, LogSumExpBackwardInput, Matrix, Result,
    Softmax, SoftmaxBackward, SoftmaxBackwardInput, Surprisal,
};

macro_rules! losses {
    ($($name:ident: $op:ty, $input:ident => $output:ty;)*) => {$(
        pub fn $name(op: &$op, input: &$input<'_>) -> Result<$output> {
            Device::reference().run(op, *input)
        }
    )*};
}
losses! {
    cross_entropy: CrossEntropy, CrossEntropyInput => CrossEntropyOutput;
    focal: Focal, CrossEntropyInput => CrossEntropyOutput;
    linear_cross_entropy: LinearCrossEntropy, LinearCrossEntropyInput => LinearCrossEntropyOutput;
    kl_divergence: KlDivergence, DivergenceInput => DivergenceOutput;
    js_divergence: JsDivergence, DivergenceInput => DivergenceOutput;
    binary_cross_entropy: BinaryCrossEntropy, ElementwiseInput => ElementwiseOutput;
    binary_focal: BinaryFocal, ElementwiseInput => ElementwiseOutput;
    elementwise: Elementwise, ElementwiseInput => ElementwiseOutput;
}

macro_rules! transforms {
    ($($name:ident: $op:expr;)*) => {$(
        pub fn $name(logits: Matrix<'_>) -> Vec<f64> {
            Device::reference().run(&$op, logits).expect("any matrix will do").to_f64()
        }
    )*};
}
transforms! {
    softmax: Softmax;
    log_softmax: LogSoftmax;
    logsumexp: LogSumExp;
    entropy: Entropy::new();
    surprisal: Surprisal::new();
}

macro_rules! backwards {
    ($($name:ident: $op:expr, $input:ident;)*) => {$(
        /// Of matrices in whatever dtypes.
        pub fn $name(of: Matrix<'_>, upstream: Matrix<'_>) -> Result<Vec<f64>> {
            let [of_values, upstream_values] = [of, upstream].map(|it| it.values().to_f64());
            let of = Matrix::new(&of_values, of.rows(), of.columns())?;
            let upstream = Matrix::new(&upstream_values, upstream.rows(), upstream.columns())?;
            Ok(Device::reference().run(&$op, $input::new(of, upstream))?.to_f64())
        }
    )*};
}
backwards! {
    softmax_backward: SoftmaxBackward, SoftmaxBackwardInput;
    log_softmax_backward: LogSoftmaxBackward, LogSoftmaxBackwardInput;
}

macro_rules! row_backwards {
    ($($name:ident: $op:expr, $input:ident;)*) => {$(
        pub fn $name(logits: Matrix<'_>, upstream: &[f64]) -> Result<Vec<f64>> {
            Ok(Device::reference().run(&$op, $input::new(logits, upstream))?.to_f64())
        }
    )*};
}
row_backwards! {
    logsumexp_backward: LogSumExpBackward, LogSumExpBackwardInput;
    entropy_backward: EntropyBackward::new(), EntropyBackwardInput;
}
