//! An operation with its data, lowered: the one form that every device executes. What a device knows it
//! lists in one `match` on [`Kind`], without a wildcard.

use std::borrow::Cow;

use crate::error::{Error, Result};
use crate::matrix::{Array, Matrix, MatrixMut, Place, Values};
use crate::op::mask::validate_mask;
use crate::op::{
    Common, CrossEntropy, CrossEntropyInput, CrossEntropyOutput, DivergenceInput, DivergenceOutput,
    DivergenceSpec, ElementwiseInput, ElementwiseOutput, ElementwiseSpec, Focal, Labels,
    LinearCrossEntropy, LinearCrossEntropyInput, LinearCrossEntropyOutput, Loss, Metrics,
    Reduction, Targets, Transform, Unit, Upstream,
};

/// Which operation, with its numbers.
#[doc(hidden)]
#[derive(Debug, Clone)]
pub struct Operation<'a>(pub(crate) Kind<'a>);

/// The closed set of operations.
#[derive(Debug, Clone)]
pub(crate) enum Kind<'a> {
    CrossEntropy(Cow<'a, CrossEntropy>),
    Focal(Cow<'a, Focal>),
    LinearCrossEntropy(&'a LinearCrossEntropy),
    Divergence(DivergenceSpec),
    Elementwise(ElementwiseSpec<'a>),
    Transform(Transform, Unit),
}

/// What an operation reads, by role.
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub struct Data<'a> {
    /// What gradients and a transform's matrix have the shape of.
    pub(crate) input: Matrix<'a>,
    /// Probability targets, a teacher, the targets of elements, or the gradient of a matrix.
    pub(crate) second: Option<Matrix<'a>>,
    /// The weights of elements.
    pub(crate) factors: Option<Matrix<'a>>,
    /// Class indices.
    pub(crate) targets: Option<Targets<'a>>,
    /// The gradient of the loss, or of each row's result.
    pub(crate) upstream: Upstream<'a>,
    /// Which rows, or which elements, count.
    pub(crate) mask: Option<&'a [bool]>,
    /// What makes logits of the input.
    pub(crate) layer: Option<(Matrix<'a>, Option<Values<'a>>)>,
}

/// What an operation comes to. Of what was not asked for there is nothing.
#[doc(hidden)]
#[derive(Debug)]
pub struct Results {
    pub(crate) loss: Loss,
    /// A number a row: the log-sum-exp, or what a transform makes of it.
    pub(crate) rows: Array,
    /// The gradient of the input, or a transform's matrix.
    pub(crate) matrix: Option<Array>,
    pub(crate) dtargets: Option<Array>,
    pub(crate) dweight: Option<Array>,
    pub(crate) dbias: Option<Array>,
    pub(crate) metrics: Option<Metrics>,
    pub(crate) kept_rows: u64,
    pub(crate) total_weight: f64,
}

/// What an operation makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutputKind {
    /// A loss a row, and a gradient if so.
    RowLosses { gradient: bool },
    /// A loss an element, and a gradient if so.
    ElementLosses { each: bool, gradient: bool, by_column: bool },
    /// A matrix.
    Matrix,
    /// A number a row: this of the two columns that a GPU has of them.
    Rows { column: usize },
}

impl OutputKind {
    /// Whether there is a matrix like the input.
    pub(crate) fn has_matrix(self) -> bool {
        match self {
            Self::RowLosses { gradient } | Self::ElementLosses { gradient, .. } => gradient,
            Self::Matrix => true,
            Self::Rows { .. } => false,
        }
    }

    pub(crate) fn by_element(self) -> bool {
        matches!(self, Self::ElementLosses { .. })
    }

    /// Whether an element's column matters.
    #[cfg(feature = "gpu")]
    pub(crate) fn by_column(self) -> bool {
        !matches!(self, Self::ElementLosses { by_column: false, .. })
    }
}

impl Kind<'_> {
    /// The options that every loss has; a transform has a unit.
    pub(crate) fn common(&self) -> Common {
        match self {
            Self::CrossEntropy(op) => op.common,
            Self::Focal(op) => op.common,
            Self::LinearCrossEntropy(op) => op.loss().common,
            Self::Divergence(spec) => spec.common,
            Self::Elementwise(spec) => spec.common,
            Self::Transform(_, unit) => {
                Common { reduction: Reduction::None, unit: *unit, ..Common::default() }
            }
        }
    }

    pub(crate) fn output(&self) -> OutputKind {
        match self {
            Self::CrossEntropy(op) => OutputKind::RowLosses { gradient: op.has_gradient() },
            Self::Focal(op) => OutputKind::RowLosses { gradient: op.has_gradient() },
            Self::LinearCrossEntropy(op) => {
                OutputKind::RowLosses { gradient: op.has_hidden_gradient() }
            }
            Self::Divergence(spec) => OutputKind::RowLosses { gradient: spec.common.gradient },
            Self::Elementwise(spec) => OutputKind::ElementLosses {
                each: spec.common.reduction == Reduction::None,
                gradient: spec.common.gradient,
                by_column: spec.has_columns(),
            },
            Self::Transform(Transform::LogSumExp, _) => OutputKind::Rows { column: 1 },
            Self::Transform(Transform::Entropy, _) => OutputKind::Rows { column: 0 },
            Self::Transform(_, _) => OutputKind::Matrix,
        }
    }

    pub(crate) fn has_metrics(&self) -> bool {
        match self {
            Self::CrossEntropy(op) => op.has_metrics(),
            Self::LinearCrossEntropy(op) => op.loss().has_metrics(),
            Self::Focal(_) | Self::Divergence(_) | Self::Elementwise(_) | Self::Transform(_, _) => {
                false
            }
        }
    }

    /// Whether its targets may be class indices.
    #[cfg(feature = "gpu")]
    pub(crate) fn takes_indices(&self) -> bool {
        match self {
            Self::CrossEntropy(_) | Self::Focal(_) | Self::LinearCrossEntropy(_) => true,
            Self::Divergence(_) | Self::Elementwise(_) | Self::Transform(_, _) => false,
        }
    }

    /// The same with losses one by one, of a window after others with this sum of -log p.
    pub(crate) fn of_window(&self, nll_before: f64) -> Kind<'_> {
        let common = Common { reduction: Reduction::None, normalizer: None, ..self.common() };
        match self {
            Self::CrossEntropy(op) => {
                let op = op.clone().into_owned().with_reduction(Reduction::None);
                Kind::CrossEntropy(Cow::Owned(op.for_window(nll_before)))
            }
            Self::Focal(op) => {
                let op = op.clone().into_owned().with_reduction(Reduction::None);
                Kind::Focal(Cow::Owned(op.with_normalizer(None)))
            }
            Self::Divergence(spec) => Kind::Divergence(DivergenceSpec { common, ..*spec }),
            Self::Elementwise(spec) => Kind::Elementwise(ElementwiseSpec { common, ..*spec }),
            Self::LinearCrossEntropy(op) => Kind::LinearCrossEntropy(op),
            Self::Transform(transform, unit) => Kind::Transform(*transform, *unit),
        }
    }

    /// Everything that can be said about data before any of it is computed.
    pub(crate) fn validate(&self, data: &Data<'_>) -> Result<()> {
        match self {
            Self::CrossEntropy(op) => op.validate(&data.labelled()),
            Self::Focal(op) => op.validate(&data.labelled()),
            Self::LinearCrossEntropy(op) => op.validate(&data.linear()),
            Self::Divergence(spec) => spec.validate(&data.divergence()),
            Self::Elementwise(spec) => spec.validate(&data.elementwise()),
            Self::Transform(transform, _) => transform.validate(data),
        }
    }

    /// Which elements of an elementwise loss count; none if all do.
    pub(crate) fn element_mask<'d>(&self, data: &Data<'d>) -> Option<Cow<'d, [bool]>> {
        if let Self::Elementwise(spec) = self { spec.mask(&data.elementwise()) } else { None }
    }
}

impl<'a> Data<'a> {
    pub(crate) fn of(input: Matrix<'a>) -> Self {
        Self {
            input,
            second: None,
            factors: None,
            targets: None,
            upstream: Upstream::default(),
            mask: None,
            layer: None,
        }
    }

    /// With targets of either kind.
    pub(crate) fn with_targets(self, targets: Targets<'a>) -> Self {
        match targets {
            Targets::Probs(probs) => Self { second: Some(probs), ..self },
            indices => Self { targets: Some(indices), ..self },
        }
    }

    /// Beside the input.
    pub(crate) fn labels(&self) -> Labels<'a> {
        Labels { targets: self.own_targets(), upstream: self.upstream, mask: self.mask }
    }

    fn own_targets(&self) -> Targets<'a> {
        self.targets.or(self.second.map(Targets::Probs)).unwrap_or(Targets::I32(&[]))
    }

    /// As a window of a batch.
    pub(crate) fn place(&mut self, place: Place) {
        self.input = self.input.at(place);
        self.second = self.second.map(|matrix| matrix.at(place));
        self.factors = self.factors.map(|matrix| matrix.at(place));
    }

    pub(crate) fn labelled(&self) -> CrossEntropyInput<'a> {
        self.labels().of(self.input)
    }

    pub(crate) fn divergence(&self) -> DivergenceInput<'a> {
        let (student, teacher) = (self.input, self.second.unwrap_or(self.input));
        DivergenceInput { teacher, student, upstream: self.upstream, mask: self.mask }
    }

    pub(crate) fn elementwise(&self) -> ElementwiseInput<'a> {
        let Self { input, second, factors: weights, upstream, mask, .. } = *self;
        ElementwiseInput { input, targets: second.unwrap_or(input), weights, upstream, mask }
    }

    pub(crate) fn linear(&self) -> LinearCrossEntropyInput<'a> {
        let (hidden, targets) = (self.input, self.own_targets());
        let (weight, bias) = self.layer.unwrap_or((hidden, None));
        let Self { upstream, mask, .. } = *self;
        LinearCrossEntropyInput { hidden, weight, bias, targets, upstream, mask }
    }
}

impl Default for Results {
    fn default() -> Self {
        Self {
            loss: Loss::Reduced(f64::NAN),
            rows: Array::F32(Vec::new()),
            matrix: None,
            dtargets: None,
            dweight: None,
            dbias: None,
            metrics: None,
            kept_rows: 0,
            total_weight: 0.0,
        }
    }
}

impl Results {
    /// With the matrix in memory of the caller's, which fits.
    pub(crate) fn with_matrix_in(mut self, out: &mut MatrixMut<'_>) -> Self {
        if let Some(matrix) = self.matrix.take() {
            out.assign(&matrix);
        }
        self
    }

    pub(crate) fn labelled(output: CrossEntropyOutput) -> Self {
        let CrossEntropyOutput { loss, lse, dlogits, dtargets, metrics, kept_rows, total_weight } =
            output;
        let (rows, matrix) = (lse, dlogits);
        Self { loss, rows, matrix, dtargets, metrics, kept_rows, total_weight, ..Self::default() }
    }

    pub(crate) fn divergence(output: DivergenceOutput) -> Self {
        let DivergenceOutput { loss, lse, dstudent } = output;
        Self { loss, rows: lse, matrix: dstudent, ..Self::default() }
    }

    pub(crate) fn elementwise(output: ElementwiseOutput) -> Self {
        Self { loss: output.loss, matrix: output.dinput, ..Self::default() }
    }

    pub(crate) fn transform(transform: Transform, result: Array) -> Self {
        if transform.reduces() {
            return Self { rows: result, ..Self::default() };
        }
        Self { matrix: Some(result), ..Self::default() }
    }

    pub(crate) fn linear(output: LinearCrossEntropyOutput) -> Self {
        let LinearCrossEntropyOutput { loss, lse, dhidden, dweight, dbias, metrics, .. } = output;
        let LinearCrossEntropyOutput { kept_rows, total_weight, .. } = output;
        let (rows, matrix, dtargets) = (lse, dhidden, None);
        Self { loss, rows, matrix, dtargets, dweight, dbias, metrics, kept_rows, total_weight }
    }

    pub(crate) fn into_labelled(self) -> CrossEntropyOutput {
        let Self { loss, rows: lse, matrix: dlogits, dtargets, metrics, .. } = self;
        let (kept_rows, total_weight) = (self.kept_rows, self.total_weight);
        CrossEntropyOutput { loss, lse, dlogits, dtargets, metrics, kept_rows, total_weight }
    }

    pub(crate) fn into_divergence(self) -> DivergenceOutput {
        DivergenceOutput { loss: self.loss, lse: self.rows, dstudent: self.matrix }
    }

    pub(crate) fn into_elementwise(self) -> ElementwiseOutput {
        ElementwiseOutput { loss: self.loss, dinput: self.matrix }
    }

    pub(crate) fn into_transform(self) -> Array {
        self.matrix.unwrap_or(self.rows)
    }

    pub(crate) fn into_linear(self) -> LinearCrossEntropyOutput {
        let Self { loss, rows: lse, matrix: dhidden, dweight, dbias, metrics, .. } = self;
        let (kept_rows, total_weight) = (self.kept_rows, self.total_weight);
        LinearCrossEntropyOutput {
            loss,
            lse,
            dhidden,
            dweight,
            dbias,
            metrics,
            kept_rows,
            total_weight,
        }
    }
}

impl Transform {
    pub(crate) fn validate(self, data: &Data<'_>) -> Result<()> {
        let rows = data.input.rows();
        validate_mask(data.mask, rows, "row")?;
        if let Some(second) = &data.second {
            data.input.expect_same_shape(second, "upstream gradient")?;
            if second.dtype() != data.input.dtype() {
                let (own, input) = (second.dtype(), data.input.dtype());
                let reason = format!("is {own}, the matrix is {input}");
                return Err(Error::InvalidInput { what: "upstream gradient", reason });
            }
        }
        let what = if self == Self::EntropyBackward { "dentropy" } else { "dlse" };
        match data.upstream {
            Upstream::Each(drows) if drows.len() != rows => Err(Error::ShapeMismatch {
                what,
                expected: format!("[{rows}], one for each row of logits"),
                found: format!("[{}]", drows.len()),
            }),
            _ => Ok(()),
        }
    }
}
