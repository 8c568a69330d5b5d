//! Focal loss with index targets.

use std::borrow::Cow;

use crate::error::{Error, Result};
use crate::op::options::{
    Common, Range, common_options, unit_option, validate_number, validate_weights,
};
use crate::op::{
    CrossEntropyInput, CrossEntropyOutput, Data, Kind, Op, Operation, Results, RowTargets, Targets,
    sealed,
};

/// Multi-class focal loss: cross-entropy in which rows that are predicted well count less.
///
/// For a kept row with target `y` (Lin et al., 2017, for a softmax; formula (18) of
/// `docs/NUMERICS.md`):
///
/// ```text
/// loss       = alpha[y] (1 - p[y])^gamma nll[y]
/// dlogits[j] = dloss c (p[j] - [j = y])
///          c = alpha[y] ((1 - p[y])^gamma + gamma p[y] (1 - p[y])^(gamma - 1) nll[y])
/// ```
///
/// A mean divides by the number of kept rows. With `gamma` 0 and no `alpha` it is cross-entropy.
/// `1 - p[y]` is formed without cancellation. Input, output, ignored rows and special values are
/// those of [`CrossEntropy`](crate::CrossEntropy); targets are class indices, and `total_weight` is
/// the number of kept rows. For two classes by one logit see
/// [`BinaryFocal`](crate::BinaryFocal).
///
/// ```
/// use surprisal::{CrossEntropyInput, Device, Focal, Matrix};
///
/// // p of the target is 3/4: the loss is (1/4)^2 log(4/3).
/// let logits = [0.0f32, f32::ln(3.0)];
/// let input = CrossEntropyInput::new(Matrix::new(&logits, 1, 2)?, &[1i64]);
/// let output = Device::cpu().run(&Focal::new().with_gamma(2.0), input)?;
/// assert!((output.loss.reduced().unwrap() - 0.017_980).abs() < 1e-6);
/// # Ok::<(), surprisal::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Focal {
    pub(crate) common: Common,
    gamma: f64,
    alpha: Option<Vec<f64>>,
    ignore_index: Option<i64>,
}

impl Default for Focal {
    fn default() -> Self {
        Self { common: Common::default(), gamma: 2.0, alpha: None, ignore_index: Some(-100) }
    }
}

common_options!(Focal, "logits");
unit_option!(Focal);

impl Focal {
    /// The mean loss with gamma 2, rows with target -100 ignored, no gradient.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the exponent, from 0 up.
    #[must_use]
    pub fn with_gamma(mut self, gamma: f64) -> Self {
        self.gamma = gamma;
        self
    }

    /// Sets a factor for each class, `[classes]`. A mean does not divide by it.
    #[must_use]
    pub fn with_alpha<W: Into<f64>>(mut self, alpha: impl IntoIterator<Item = W>) -> Self {
        self.alpha = Some(alpha.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the target value that marks a row to be skipped, or `None` to skip no row.
    #[must_use]
    pub fn with_ignore_index(mut self, value: impl Into<Option<i64>>) -> Self {
        self.ignore_index = value.into();
        self
    }

    /// The exponent.
    pub fn gamma(&self) -> f64 {
        self.gamma
    }

    /// The factor of each class, if there are any.
    pub fn alpha(&self) -> Option<&[f64]> {
        self.alpha.as_deref()
    }

    /// The target value that marks a row to be skipped.
    pub fn ignore_index(&self) -> Option<i64> {
        self.ignore_index
    }

    /// The factor of a class; 1 where there are none.
    pub(crate) fn factor(&self, class: usize) -> f64 {
        self.alpha.as_ref().map_or(1.0, |alpha| alpha[class])
    }

    /// Targets, with which of their rows count.
    pub(crate) fn rows<'a>(
        &self,
        targets: Targets<'a>,
        mask: Option<&'a [bool]>,
    ) -> RowTargets<'a> {
        RowTargets::new(targets, mask, self.ignore_index)
    }

    pub(crate) fn validate_options(&self, classes: u64) -> Result<()> {
        self.common.validate()?;
        validate_number("gamma", self.gamma, Range::NotNegative)?;
        validate_weights("alpha", self.alpha(), classes)
    }

    pub(crate) fn validate(&self, input: &CrossEntropyInput<'_>) -> Result<()> {
        self.validate_options(input.logits.columns() as u64)?;
        if input.targets.probs().is_some() {
            return Err(Error::InvalidInput {
                what: "targets",
                reason: "focal loss takes class indices, not probabilities".to_owned(),
            });
        }
        // Shapes, targets and upstream are what they are for cross-entropy.
        crate::op::CrossEntropy::new()
            .with_reduction(self.reduction())
            .with_ignore_index(self.ignore_index)
            .validate(input)
    }
}

impl sealed::Sealed for Focal {}
impl Op for Focal {
    type Input<'a> = CrossEntropyInput<'a>;
    type Output = CrossEntropyOutput;

    fn operation(&self) -> Result<Operation<'_>> {
        Ok(Operation(Kind::Focal(Cow::Borrowed(self))))
    }

    fn data(input: Self::Input<'_>) -> Data<'_> {
        input.data()
    }

    fn raise(results: Results) -> CrossEntropyOutput {
        results.into_labelled()
    }
}
