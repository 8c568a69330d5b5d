//! Losses of single elements: binary cross-entropy, binary focal loss, and the losses that
//! cross-entropy is compared with.

use std::borrow::Cow;

use crate::error::{Error, Result};
use crate::op::elementwise_data::validate_signs;
use crate::op::mask::{counts, validate_mask};
use crate::op::options::{
    Common, Range, common_options, unit_option, validate_number, validate_probs, validate_weights,
};
use crate::op::search::Nan;
use crate::op::{
    BinaryLabels, Data, ElementwiseInput, ElementwiseOutput, InputForm, Kind, Op, Operation,
    Results, sealed,
};

/// Which loss, with its numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum ElementKind {
    BinaryLogits,
    BinaryProbs,
    /// The factors of an element that is 1 and of one that is 0.
    BinaryFocal {
        gamma: f64,
        one: f64,
        zero: f64,
    },
    Squared,
    Absolute,
    Huber {
        delta: f64,
    },
    Hinge,
}

/// The weight of the part of a binary cross-entropy that is 1.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum PosWeight {
    /// One number for all elements.
    All(f64),
    /// One for each column `[columns]`.
    Columns(Vec<f64>),
}

impl PosWeight {
    /// That of a column.
    ///
    /// # Panics
    /// If there are some for columns, and none for this.
    pub fn of(&self, column: usize) -> f64 {
        match self {
            Self::All(weight) => *weight,
            Self::Columns(weights) => weights[column],
        }
    }
}

/// An elementwise loss as all its implementations take it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ElementwiseSpec<'a> {
    pub(crate) kind: ElementKind,
    pub(crate) labels: BinaryLabels,
    pub(crate) pos_weight: Option<&'a PosWeight>,
    /// The label of elements that do not count.
    pub(crate) ignore_index: Option<f64>,
    pub(crate) common: Common,
}

impl ElementwiseSpec<'_> {
    /// The weight of an element's part that is 1, by its column.
    pub(crate) fn positive(&self, column: usize) -> f64 {
        self.pos_weight.map_or(1.0, |weights| weights.of(column))
    }

    /// Whether an element's column matters.
    pub(crate) fn has_columns(&self) -> bool {
        matches!(self.pos_weight, Some(PosWeight::Columns(_)))
    }

    pub(crate) fn validate_options(&self, columns: u64) -> Result<()> {
        self.common.validate()?;
        match self.kind {
            ElementKind::BinaryFocal { gamma, one, .. } => {
                validate_number("gamma", gamma, Range::NotNegative)?;
                validate_number("alpha", one, Range::Unit)?;
            }
            ElementKind::Huber { delta } => validate_number("delta", delta, Range::Positive)?,
            ElementKind::BinaryProbs if self.pos_weight.is_some() => {
                return Err(Error::InvalidInput {
                    what: "pos_weight",
                    reason: "is for logits; the input is probs".to_owned(),
                });
            }
            _ => {}
        }
        if self.ignore_index.is_some_and(f64::is_nan) {
            let reason = "NaN is equal to no label; a mask leaves elements out".to_owned();
            return Err(Error::InvalidInput { what: "ignore_index", reason });
        }
        match self.pos_weight {
            None => Ok(()),
            Some(PosWeight::All(weight)) => validate_number("pos_weight", *weight, Range::Finite),
            Some(PosWeight::Columns(weights)) => {
                validate_weights("pos_weight", Some(weights), columns)
            }
        }
    }

    /// Whether an element counts.
    fn counts(&self, input: &ElementwiseInput<'_>, i: usize) -> bool {
        counts(input.mask, i) && self.ignore_index.is_none_or(|ignored| input.label(i) != ignored)
    }

    /// Which elements count, by mask and by label; none if all do.
    pub(crate) fn mask<'a>(&self, input: &ElementwiseInput<'a>) -> Option<Cow<'a, [bool]>> {
        if self.ignore_index.is_none() {
            return input.mask.map(Cow::Borrowed);
        }
        let elements = 0..input.targets.values().len();
        Some(elements.map(|i| self.counts(input, i)).collect())
    }

    pub(crate) fn validate(&self, input: &ElementwiseInput<'_>) -> Result<()> {
        self.validate_options(input.input.columns() as u64)?;
        input.input.expect_same_shape(&input.targets, "targets")?;
        if let Some(weights) = &input.weights {
            input.input.expect_same_shape(weights, "weights")?;
        }
        let elements = input.input.values().len();
        input.upstream.validate(self.common.reduction, elements, "element")?;
        validate_mask(input.mask, elements, "element")?;
        let counts = |i| self.counts(input, i);
        if self.kind == ElementKind::BinaryProbs {
            validate_probs("input", &input.input, Nan::Refused, counts)?;
        }
        match self.kind {
            ElementKind::BinaryLogits
            | ElementKind::BinaryProbs
            | ElementKind::BinaryFocal { .. } => self.labels.validate(&input.targets, counts),
            ElementKind::Hinge => validate_signs(&input.targets, counts),
            _ => Ok(()),
        }
    }
}

macro_rules! elementwise {
    ($op:ident, |$self:ident| $spec:expr) => {
        common_options!($op, "input");

        impl $op {
            /// Sets the label that marks an element to be skipped, such as -100 or 255; none unless
            /// set. Labels are compared with it as they come, in their own dtype.
            #[must_use]
            pub fn with_ignore_index(mut self, label: impl Into<Option<f64>>) -> Self {
                self.ignore_index = label.into();
                self
            }

            /// The label that marks an element to be skipped.
            pub fn ignore_index(&self) -> Option<f64> {
                self.ignore_index
            }

            /// The loss in common form, or why there is none.
            #[allow(clippy::unnecessary_wraps, reason = "one of them may have none")]
            pub(crate) fn spec(&self) -> Result<ElementwiseSpec<'_>> {
                let $self = self;
                $spec
            }
        }

        impl sealed::Sealed for $op {}
        impl Op for $op {
            type Input<'a> = ElementwiseInput<'a>;
            type Output = ElementwiseOutput;

            fn operation(&self) -> Result<Operation<'_>> {
                self.spec().map(|spec| Operation(Kind::Elementwise(spec)))
            }

            fn data(input: Self::Input<'_>) -> Data<'_> {
                let ElementwiseInput { input, targets, weights, upstream, mask } = input;
                let second = Some(targets);
                Data { second, factors: weights, upstream, mask, ..Data::of(input) }
            }

            fn raise(results: Results) -> ElementwiseOutput {
                results.into_elementwise()
            }
        }
    };
}

/// Binary cross-entropy of each element, from logits or from probabilities.
///
/// With `sigmoid(x) = 1 / (1 + exp(-x))` and `softplus(x) = log1p(exp(-|x|)) + max(x, 0)`
/// (formula (22) of `docs/NUMERICS.md`), element weights `w` and `pos_weight`, one or by column:
///
/// ```text
/// logits   loss   = w ((1 - y) softplus(x) + pos_weight y softplus(-x))
///          dinput = dloss w ((1 - y) sigmoid(x) - pos_weight y sigmoid(-x))
/// probs    loss   = -w (y max(log p, -100) + (1 - y) max(log1p(-p), -100))
///          dinput = dloss w (p - y) / max(p (1 - p), 1e-12)
/// ```
///
/// Both are PyTorch's; `softplus` keeps all digits of an element that is far on the right side. With
/// labels -1 and +1 the first is `log(1 + exp(-y x))`. A mean divides by the number of elements that count.
///
/// **Errors.** A probability outside [0, 1], as input or as a 0/1 label, and a label that is neither
/// -1 nor +1, where those are expected, name their row and column. On buffers that only the GPU
/// sees nothing is checked, and the formulas apply.
///
/// **Special values.** Infinite logits give the limit, 0 or +inf, and its gradient; NaN gives NaN.
///
/// ```
/// use surprisal::{BinaryCrossEntropy, Device, ElementwiseInput, Matrix};
///
/// let logits = Matrix::new(&[0.0f32, 30.0], 2, 1)?;
/// let labels = Matrix::new(&[1.0f32, 1.0], 2, 1)?;
/// let op = BinaryCrossEntropy::new().with_gradient();
/// let output = Device::cpu().run(&op, ElementwiseInput::new(logits, labels))?;
/// assert!((output.loss.reduced().unwrap() - 0.5 * f64::ln(2.0)).abs() < 1e-7);
/// assert_eq!(output.dinput.unwrap().as_f32().unwrap()[0], -0.25);
/// # Ok::<(), surprisal::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BinaryCrossEntropy {
    common: Common,
    form: InputForm,
    labels: BinaryLabels,
    pos_weight: Option<PosWeight>,
    ignore_index: Option<f64>,
}

impl BinaryCrossEntropy {
    /// The mean loss of logits against labels 0 and 1, no gradient.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says what the input is: [`InputForm::Logits`] unless set, or [`InputForm::Probs`].
    #[must_use]
    pub fn with_form(mut self, form: InputForm) -> Self {
        self.form = form;
        self
    }

    /// Says what the targets are: 0 and 1 unless set.
    #[must_use]
    pub fn with_labels(mut self, labels: BinaryLabels) -> Self {
        self.labels = labels;
        self
    }

    /// Sets the weight of the part that is 1, for each column `[columns]`. For logits only.
    #[must_use]
    pub fn with_pos_weight<W: Into<f64>>(mut self, weights: impl IntoIterator<Item = W>) -> Self {
        let weights = weights.into_iter().map(Into::into).collect();
        self.pos_weight = Some(PosWeight::Columns(weights));
        self
    }

    /// Sets one weight of the part that is 1, for all columns. For logits only.
    ///
    /// ```
    /// use surprisal::{BinaryCrossEntropy, Device, ElementwiseInput, Matrix};
    ///
    /// let logits = Matrix::new(&[0.0f32, 0.0, 0.0], 1, 3)?;
    /// let labels = Matrix::new(&[1.0f32, 0.0, 0.0], 1, 3)?;
    /// // One in three is positive: half of the loss is theirs then.
    /// let op = BinaryCrossEntropy::new().with_pos_weight_of_all(2.0);
    /// let output = Device::cpu().run(&op, ElementwiseInput::new(logits, labels))?;
    /// assert!((output.loss.reduced().unwrap() - 4.0 / 3.0 * f64::ln(2.0)).abs() < 1e-6);
    /// # Ok::<(), surprisal::Error>(())
    /// ```
    #[must_use]
    pub fn with_pos_weight_of_all(mut self, weight: impl Into<f64>) -> Self {
        self.pos_weight = Some(PosWeight::All(weight.into()));
        self
    }

    /// What the input is.
    pub fn form(&self) -> InputForm {
        self.form
    }

    /// What the targets are.
    pub fn labels(&self) -> BinaryLabels {
        self.labels
    }

    /// The weight of the part that is 1, if there is one.
    pub fn pos_weight(&self) -> Option<&PosWeight> {
        self.pos_weight.as_ref()
    }
}

unit_option!(BinaryCrossEntropy);
elementwise!(BinaryCrossEntropy, |op| {
    let kind = match op.form {
        InputForm::Logits => ElementKind::BinaryLogits,
        InputForm::Probs => ElementKind::BinaryProbs,
        InputForm::LogProbs => {
            return Err(Error::InvalidInput {
                what: "form",
                reason: "binary cross-entropy takes logits or probs, not log-probs".to_owned(),
            });
        }
    };
    let (labels, pos_weight) = (op.labels, op.pos_weight.as_ref());
    let (ignore_index, common) = (op.ignore_index, op.common);
    Ok(ElementwiseSpec { kind, labels, pos_weight, ignore_index, common })
});

/// Binary focal loss of each element, from logits.
///
/// [`Focal`](crate::Focal) on the two classes of a sigmoid, with `alpha` for `y = 1` and
/// `1 - alpha` for `y = 0` (formula (18) of `docs/NUMERICS.md`), `p = sigmoid(x)`:
///
/// ```text
/// loss = y alpha (1 - p)^gamma softplus(-x) + (1 - y) (1 - alpha) p^gamma softplus(x)
/// ```
///
/// A mean divides by the number of elements that count. With `gamma` 0 and no `alpha` it is
/// [`BinaryCrossEntropy`]. Errors and special values are as there.
///
/// ```
/// use surprisal::{BinaryFocal, Device, ElementwiseInput, Matrix};
///
/// // p = 3/4: an easy positive, and a hard negative.
/// let logits = [f32::ln(3.0); 2];
/// let logits = Matrix::new(&logits, 2, 1)?;
/// let labels = Matrix::new(&[1.0f32, 0.0], 2, 1)?;
/// let op = BinaryFocal::new().with_reduction(surprisal::Reduction::None);
/// let output = Device::cpu().run(&op, ElementwiseInput::new(logits, labels))?;
/// let losses = output.loss.each().unwrap().to_f64();
/// assert!((losses[0] - 0.017_980).abs() < 1e-6 && (losses[1] - 0.779_791).abs() < 1e-6);
/// # Ok::<(), surprisal::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BinaryFocal {
    common: Common,
    gamma: f64,
    alpha: Option<f64>,
    labels: BinaryLabels,
    ignore_index: Option<f64>,
}

impl Default for BinaryFocal {
    fn default() -> Self {
        let (common, labels) = (Common::default(), BinaryLabels::ZeroOne);
        Self { common, gamma: 2.0, alpha: None, labels, ignore_index: None }
    }
}

impl BinaryFocal {
    /// The mean loss with gamma 2, labels 0 and 1, no gradient.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the exponent, from 0 up.
    #[must_use]
    pub fn with_gamma(mut self, gamma: f64) -> Self {
        self.gamma = gamma;
        self
    }

    /// Sets the factor of elements that are 1, in [0, 1]; those that are 0 have the rest.
    #[must_use]
    pub fn with_alpha(mut self, alpha: impl Into<Option<f64>>) -> Self {
        self.alpha = alpha.into();
        self
    }

    /// Says what the targets are: 0 and 1 unless set.
    #[must_use]
    pub fn with_labels(mut self, labels: BinaryLabels) -> Self {
        self.labels = labels;
        self
    }

    /// The exponent.
    pub fn gamma(&self) -> f64 {
        self.gamma
    }

    /// The factor of elements that are 1, if there is one.
    pub fn alpha(&self) -> Option<f64> {
        self.alpha
    }

    /// What the targets are.
    pub fn labels(&self) -> BinaryLabels {
        self.labels
    }
}

unit_option!(BinaryFocal);
elementwise!(BinaryFocal, |op| {
    let (one, zero) = op.alpha.map_or((1.0, 1.0), |alpha| (alpha, 1.0 - alpha));
    let kind = ElementKind::BinaryFocal { gamma: op.gamma, one, zero };
    let (labels, ignore_index, common) = (op.labels, op.ignore_index, op.common);
    Ok(ElementwiseSpec { kind, labels, pos_weight: None, ignore_index, common })
});

/// Which loss [`Elementwise`] computes, of an element `x` and its target `y`; `d = x - y`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum ElementwiseLoss {
    /// `d^2`
    Squared,
    /// `|d|`
    Absolute,
    /// `d^2 / 2` where `|d| <= delta`, `delta (|d| - delta / 2)` outside.
    Huber {
        /// Where the parabola becomes a line; a positive number.
        delta: f64,
    },
    /// `max(0, 1 - y x)` with `y` either -1 or +1.
    Hinge,
}

/// The losses of regression and of margins, to compare cross-entropy with; formula (23) of
/// `docs/NUMERICS.md`.
///
/// A mean divides by the number of elements that count. At a kink the gradient is 0. NaN gives NaN. None of them
/// is information, and none has a unit.
///
/// ```
/// use surprisal::{Device, Elementwise, ElementwiseInput, ElementwiseLoss, Matrix};
///
/// let input = Matrix::new(&[0.5f32, 3.0], 1, 2)?;
/// let targets = Matrix::new(&[0.0f32, 0.0], 1, 2)?;
/// let op = Elementwise::new(ElementwiseLoss::Huber { delta: 1.0 }).with_gradient();
/// let output = Device::cpu().run(&op, ElementwiseInput::new(input, targets))?;
/// assert_eq!(output.loss.reduced(), Some((0.125 + 2.5) / 2.0));
/// assert_eq!(output.dinput.unwrap().as_f32().unwrap(), [0.25, 0.5]);
/// # Ok::<(), surprisal::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Elementwise {
    common: Common,
    loss: ElementwiseLoss,
    ignore_index: Option<f64>,
}

impl Elementwise {
    /// The mean of a loss, no gradient.
    pub fn new(loss: ElementwiseLoss) -> Self {
        Self { common: Common::default(), loss, ignore_index: None }
    }

    /// Which loss.
    pub fn loss(&self) -> ElementwiseLoss {
        self.loss
    }
}

elementwise!(Elementwise, |op| {
    let kind = match op.loss {
        ElementwiseLoss::Squared => ElementKind::Squared,
        ElementwiseLoss::Absolute => ElementKind::Absolute,
        ElementwiseLoss::Huber { delta } => ElementKind::Huber { delta },
        ElementwiseLoss::Hinge => ElementKind::Hinge,
    };
    let (labels, ignore_index, common) = (BinaryLabels::ZeroOne, op.ignore_index, op.common);
    Ok(ElementwiseSpec { kind, labels, pos_weight: None, ignore_index, common })
});
