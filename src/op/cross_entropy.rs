//! Cross-entropy between rows of logits and index targets.

use crate::error::{Error, Result};
use crate::op::{CrossEntropyInput, CrossEntropyOutput, Op, Reduction, Targets, Upstream, sealed};

/// Cross-entropy of rows of logits against index targets, with its gradient on request.
///
/// For a kept row with target `y` (formulas (5) and (6) of `docs/NUMERICS.md`):
///
/// ```text
/// loss       = (max - logits[y]) + log1p(rest)          = -log softmax(logits)[y]
/// dlogits[j] = dloss * (softmax(logits)[j] - [j = y])
/// ```
///
/// with `rest`, the sum of `exp(logits[j] - max)` over all columns but one that holds the maximum.
/// The mean divides both by the number of kept rows. A row whose target is
/// [`ignore_index`](Self::ignore_index) is not read: its loss, its log-sum-exp and its gradient
/// are exactly 0.
///
/// With all options (formulas (11) to (14)), in the order in which they act:
///
/// ```text
/// z    = logit_scale logits;  then  z = softcap tanh(z / softcap)
/// loss = (1 - e) w[y] nll[y] + (e / classes) sum_j w[j] nll[j] + z_loss lse^2,   nll = -log softmax(z)
/// mean = sum of losses / (normalizer, or else the sum of w[y] over kept rows)
/// ```
///
/// with class weights `w` and label smoothing `e`. What has a coefficient of 0 contributes 0, though
/// it be infinite.
///
/// **Accuracy.** Neither term of the loss is negative, so nothing cancels: a row whose loss is
/// 6e-9 has all its digits, and adding 1e6 to every logit changes the result only as far as
/// rounding changed the logits. In f32 the loss is good to about 2^-22 relative, plus what
/// rounding `logits - max` and summing the row force; see `docs/NUMERICS.md`.
///
/// **Special values** (the same on every device; see `docs/NUMERICS.md` for what a backend may be
/// unable to promise):
///
/// | row | loss | gradient |
/// |---|---|---|
/// | -inf at a column that is not the target | finite | 0 there |
/// | -inf at the target | +inf | p - onehot |
/// | -inf everywhere, +inf or NaN anywhere | NaN | NaN |
/// | ignored, whatever its logits | 0 | 0 |
/// | no row kept | mean NaN, sum 0 | 0 |
///
/// ```
/// use surprisal::{CrossEntropy, CrossEntropyInput, Device, Matrix};
///
/// let logits = [2.0f32, 1.0, 0.1, 0.3, 0.2, 3.0];
/// let input = CrossEntropyInput::new(Matrix::new(&logits, 2, 3)?, &[0i64, 2]);
/// let output = Device::cpu().run(&CrossEntropy::new().with_gradient(), input)?;
///
/// assert!((output.loss.reduced().unwrap() - 0.268_745).abs() < 1e-6);
/// assert_eq!(output.dlogits.unwrap().len(), 6);
/// # Ok::<(), surprisal::Error>(())
/// ```
///
/// The defaults are PyTorch's:
///
/// ```
/// use surprisal::{CrossEntropy, Reduction};
///
/// let op = CrossEntropy::new();
/// assert_eq!(op.reduction(), Reduction::Mean);
/// assert_eq!(op.ignore_index(), Some(-100));
/// assert!(!op.has_gradient());
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct CrossEntropy {
    reduction: Reduction,
    ignore_index: Option<i64>,
    gradient: bool,
    class_weights: Option<Vec<f64>>,
    label_smoothing: f64,
    z_loss: f64,
    softcap: Option<f64>,
    logit_scale: f64,
    normalizer: Option<f64>,
}

impl Default for CrossEntropy {
    fn default() -> Self {
        Self {
            reduction: Reduction::Mean,
            ignore_index: Some(-100),
            gradient: false,
            class_weights: None,
            label_smoothing: 0.0,
            z_loss: 0.0,
            softcap: None,
            logit_scale: 1.0,
            normalizer: None,
        }
    }
}

impl CrossEntropy {
    /// The mean loss, rows with target -100 ignored, no gradient.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how the rows' losses are reduced.
    #[must_use]
    pub fn with_reduction(mut self, reduction: Reduction) -> Self {
        self.reduction = reduction;
        self
    }

    /// Sets the target value that marks a row to be skipped: any i64, inside or outside the
    /// classes, or `None` to skip no row.
    #[must_use]
    pub fn with_ignore_index(mut self, value: impl Into<Option<i64>>) -> Self {
        self.ignore_index = value.into();
        self
    }

    /// Asks for the gradient with respect to the logits, computed together with the loss.
    #[must_use]
    pub fn with_gradient(mut self) -> Self {
        self.gradient = true;
        self
    }

    /// Sets a weight for each class, `[classes]`. A mean divides by the sum of the kept targets'
    /// weights, as in PyTorch.
    #[must_use]
    pub fn with_class_weights<W: Into<f64>>(
        mut self,
        weights: impl IntoIterator<Item = W>,
    ) -> Self {
        self.class_weights = Some(weights.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the weight of each class from how rarely it occurs: kept rows / (classes * count), and 0
    /// for a class that does not occur. Set the ignored value first.
    ///
    /// # Errors
    /// [`Error::TargetOutOfRange`].
    ///
    /// ```
    /// use surprisal::CrossEntropy;
    ///
    /// let op = CrossEntropy::new().with_inverse_frequency_weights(&[0i64, 0, 0, 1, -100], 3)?;
    /// assert_eq!(op.class_weights().unwrap()[1..], [4.0 / 3.0, 0.0]);
    /// # Ok::<(), surprisal::Error>(())
    /// ```
    pub fn with_inverse_frequency_weights<'a>(
        self,
        targets: impl Into<Targets<'a>>,
        classes: usize,
    ) -> Result<Self> {
        let targets = targets.into();
        self.validate_targets(&targets, classes)?;
        let mut counts = vec![0.0f64; classes];
        for target in (0..targets.len()).map(|row| targets.get(row)) {
            if let Some(class) = usize::try_from(target).ok().filter(|_| self.keeps(target)) {
                counts[class] += 1.0;
            }
        }
        let kept = counts.iter().sum::<f64>();
        let weight = |count: &f64| match *count {
            0.0 => 0.0,
            count => kept / (classes as f64 * count),
        };
        Ok(self.with_class_weights(counts.iter().map(weight).collect::<Vec<f64>>()))
    }

    /// Sets the label smoothing `e` in [0, 1]: the target's share is `1 - e`, and `e` is spread over
    /// all classes alike.
    #[must_use]
    pub fn with_label_smoothing(mut self, e: f64) -> Self {
        self.label_smoothing = e;
        self
    }

    /// Adds `factor * lse^2` to the loss of each kept row, which keeps logits from drifting.
    #[must_use]
    #[doc(alias = "lse_square_scale")]
    pub fn with_z_loss(mut self, factor: f64) -> Self {
        self.z_loss = factor;
        self
    }

    /// Bounds the logits: `softcap * tanh(logits / softcap)`. Makes infinite logits finite.
    #[must_use]
    pub fn with_softcap(mut self, softcap: impl Into<Option<f64>>) -> Self {
        self.softcap = softcap.into();
        self
    }

    /// Multiplies the logits, before the softcap: 1 / temperature.
    #[must_use]
    #[doc(alias = "temperature")]
    pub fn with_logit_scale(mut self, scale: f64) -> Self {
        self.logit_scale = scale;
        self
    }

    /// Sets what a mean divides by, instead of the batch's own total weight: for a batch that is
    /// computed in parts.
    #[must_use]
    #[doc(alias = "num_items_in_batch")]
    pub fn with_normalizer(mut self, normalizer: impl Into<Option<f64>>) -> Self {
        self.normalizer = normalizer.into();
        self
    }

    /// The weight of each class, if there are any.
    pub fn class_weights(&self) -> Option<&[f64]> {
        self.class_weights.as_deref()
    }

    /// The label smoothing; 0 for none.
    pub fn label_smoothing(&self) -> f64 {
        self.label_smoothing
    }

    /// The factor of the squared log-sum-exp; 0 for none.
    pub fn z_loss(&self) -> f64 {
        self.z_loss
    }

    /// The bound of the logits, if there is one.
    pub fn softcap(&self) -> Option<f64> {
        self.softcap
    }

    /// The factor of the logits.
    pub fn logit_scale(&self) -> f64 {
        self.logit_scale
    }

    /// What a mean divides by, if it was given.
    pub fn normalizer(&self) -> Option<f64> {
        self.normalizer
    }

    /// How the rows' losses are reduced.
    pub fn reduction(&self) -> Reduction {
        self.reduction
    }

    /// The target value that marks a row to be skipped.
    pub fn ignore_index(&self) -> Option<i64> {
        self.ignore_index
    }

    /// Whether the gradient is asked for.
    pub fn has_gradient(&self) -> bool {
        self.gradient
    }

    /// The weight of a class; 1 where there are none.
    pub(crate) fn weight(&self, class: usize) -> f64 {
        self.class_weights.as_ref().map_or(1.0, |weights| weights[class])
    }

    /// The sum of all class weights.
    pub(crate) fn weight_sum(&self, classes: usize) -> f64 {
        self.class_weights.as_ref().map_or(classes as f64, |weights| weights.iter().sum())
    }

    /// Whether logits are not taken as they are.
    pub(crate) fn has_chain(&self) -> bool {
        self.softcap.is_some() || self.logit_scale != 1.0
    }

    /// Kept rows, and the sum of their targets' weights.
    pub(crate) fn totals(&self, targets: &Targets<'_>) -> (u64, f64) {
        let (mut rows, mut weight) = (0, 0.0);
        for target in (0..targets.len()).map(|row| targets.get(row)) {
            if let Some(class) = usize::try_from(target).ok().filter(|_| self.keeps(target)) {
                rows += 1;
                weight += self.weight(class);
            }
        }
        (rows, weight)
    }

    /// The options that a batch of any shape could be wrong about, with the classes it has.
    pub(crate) fn validate_options(&self, classes: u64) -> Result<()> {
        let invalid = |what, reason| Err(Error::InvalidInput { what, reason });
        if let Some(weights) = &self.class_weights
            && weights.len() as u64 != classes
        {
            return Err(Error::ShapeMismatch {
                what: "class_weights",
                expected: format!("[{classes}], one for each class"),
                found: format!("[{}]", weights.len()),
            });
        }
        let e = self.label_smoothing;
        if !(0.0..=1.0).contains(&e) {
            return invalid("label_smoothing", format!("{e} is not in [0, 1]"));
        }
        if !self.z_loss.is_finite() {
            return invalid("z_loss", format!("{} is not finite", self.z_loss));
        }
        if !self.logit_scale.is_finite() {
            return invalid("logit_scale", format!("{} is not finite", self.logit_scale));
        }
        match self.softcap {
            Some(cap) if !(cap > 0.0 && cap.is_finite()) => {
                return invalid("softcap", format!("{cap} is not a positive number"));
            }
            _ => {}
        }
        match self.normalizer {
            Some(n) if !(n > 0.0 && n.is_finite()) => {
                invalid("normalizer", format!("{n} is not a positive number"))
            }
            Some(n) if self.reduction != Reduction::Mean => {
                let reduction = self.reduction;
                invalid("normalizer", format!("{n} divides a mean; reduction {reduction} has none"))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn keeps(&self, target: i64) -> bool {
        self.ignore_index != Some(target)
    }

    /// Everything that can be said about an input before any of it is computed.
    pub(crate) fn validate(&self, input: &CrossEntropyInput<'_>) -> Result<()> {
        let (rows, classes) = (input.logits.rows(), input.logits.classes());
        self.validate_options(classes as u64)?;
        if input.targets.len() != rows {
            return Err(Error::ShapeMismatch {
                what: "targets",
                expected: format!("[{rows}], one for each row of logits {}", input.logits.shape()),
                found: format!("[{}]", input.targets.len()),
            });
        }
        self.validate_upstream(&input.upstream, rows)?;
        self.validate_targets(&input.targets, classes)
    }

    fn validate_targets(&self, targets: &Targets<'_>, classes: usize) -> Result<()> {
        for row in 0..targets.len() {
            let value = targets.get(row);
            if self.keeps(value) && usize::try_from(value).map_or(true, |y| y >= classes) {
                let (row, classes) = (row as u64, classes as u64);
                return Err(Error::TargetOutOfRange { row, value, classes });
            }
        }
        Ok(())
    }

    fn validate_upstream(&self, upstream: &Upstream<'_>, rows: usize) -> Result<()> {
        let Upstream::Rows(values) = upstream else { return Ok(()) };
        if self.reduction != Reduction::None {
            return Err(Error::InvalidInput {
                what: "upstream",
                reason: format!(
                    "reduction {} has one loss, so its upstream gradient is one number, not {}",
                    self.reduction,
                    values.len()
                ),
            });
        }
        if values.len() != rows {
            return Err(Error::ShapeMismatch {
                what: "upstream",
                expected: format!("[{rows}], one for each row of logits"),
                found: format!("[{}]", values.len()),
            });
        }
        Ok(())
    }
}

impl sealed::Sealed for CrossEntropy {}
impl Op for CrossEntropy {
    type Input<'a> = CrossEntropyInput<'a>;
    type Output = CrossEntropyOutput;
}
