//! Cross-entropy between rows of logits and targets: class indices or probabilities.

use std::borrow::Cow;

use crate::error::{Error, Result};
use crate::op::options::{Common, common_options, unit_option};
use crate::op::{
    BatchTargets, CrossEntropyInput, CrossEntropyOutput, Data, InputForm, Kind, Op, Operation,
    Results, RowTargets, Targets, sealed,
};

/// Cross-entropy of rows of logits against their targets, with its gradient on request.
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
/// [`ignore_index`](Self::ignore_index), or that a [mask](CrossEntropyInput::with_mask) leaves out, is
/// not read: its loss, its log-sum-exp and its gradient are exactly 0.
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
/// **Probability targets** `q` `[rows, classes]`, soft or one-hot ([`Targets::Probs`]; formulas (15)
/// and (16)): with `a[j] = w[j] ((1 - e) q[j] + e / classes)`
///
/// ```text
/// loss        = sum_j a[j] nll[j] + z_loss lse^2          mean: over the rows that count
/// dlogits[j]  = dloss ((sum_k a[k]) softmax(z)[j] - a[j])  without z-loss
/// dtargets[j] = dloss (1 - e) w[j] nll[j]                  on request
/// ```
///
/// They are not asked to sum to 1. One outside [0, 1] is an error that names its row and column; NaN makes
/// its row NaN. Rows of them are left out by a mask.
///
/// **Normalised input** ([`with_form`](Self::with_form); formula (17)): of log-probabilities the
/// `nll` above is `-log_probs[j]` (PyTorch's `nll_loss`), of probabilities
/// `-log(max(probs[j], clamp))`, and the gradient is with respect to them. Nothing is normalised,
/// so there is no chain, no smoothing and no z-loss, and the log-sum-exp is 0. An index target reads
/// its own column alone. Probabilities outside [0, 1], or NaN, are an error; log-probabilities are not
/// checked.
///
/// **Accuracy.** Neither term of the loss is negative, so nothing cancels: a row whose loss is
/// 6e-9 has all its digits, and adding 1e6 to every logit changes the result only as far as
/// rounding changed the logits. In f32 the loss of a class index is good to about 2^-22 relative, plus what
/// rounding `logits - max` and summing the row force; see `docs/NUMERICS.md`.
///
/// **Special values** of logits (the same on every device; see `docs/NUMERICS.md` for what a backend may be
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
    pub(super) common: Common,
    pub(super) ignore_index: Option<i64>,
    /// Whether it was asked for that some value be ignored.
    pub(super) ignores: bool,
    pub(super) form: InputForm,
    pub(super) clamp: Option<f64>,
    pub(super) metrics: bool,
    pub(super) target_gradient: bool,
    pub(super) class_weights: Option<Vec<f64>>,
    pub(super) label_smoothing: f64,
    pub(super) z_loss: f64,
    pub(super) softcap: Option<f64>,
    pub(super) logit_scale: f64,
    /// The sum of -log p over the rows before this window of a batch, for metrics.
    pub(crate) nll_before: f64,
}

impl Default for CrossEntropy {
    fn default() -> Self {
        Self {
            common: Common::default(),
            ignore_index: Some(-100),
            ignores: false,
            form: InputForm::Logits,
            clamp: None,
            metrics: false,
            target_gradient: false,
            class_weights: None,
            label_smoothing: 0.0,
            z_loss: 0.0,
            softcap: None,
            logit_scale: 1.0,
            nll_before: 0.0,
        }
    }
}

impl CrossEntropy {
    /// The mean loss, rows with target -100 ignored, no gradient.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the target value that marks a row to be skipped: any i64, inside or outside the
    /// classes, or `None` to skip no row.
    #[must_use]
    pub fn with_ignore_index(mut self, value: impl Into<Option<i64>>) -> Self {
        self.ignore_index = value.into();
        self.ignores = self.ignore_index.is_some();
        self
    }

    /// Asks for the gradient with respect to probability targets, beside whatever else is asked for.
    #[must_use]
    pub fn with_target_gradient(mut self) -> Self {
        self.target_gradient = true;
        self
    }

    /// Asks for accuracy and perplexity, from the same sweep over the logits.
    ///
    /// ```
    /// use surprisal::{CrossEntropy, CrossEntropyInput, Device, Matrix};
    ///
    /// let logits = Matrix::new(&[2.0f32, 1.0, 0.0, 3.0], 2, 2)?;
    /// let op = CrossEntropy::new().with_metrics();
    /// let output = Device::cpu().run(&op, CrossEntropyInput::new(logits, &[1i64, 1]))?;
    /// let metrics = output.metrics.unwrap();
    /// assert_eq!((metrics.argmax, metrics.accuracy), (vec![0, 1], 0.5));
    /// # Ok::<(), surprisal::Error>(())
    /// ```
    #[must_use]
    pub fn with_metrics(mut self) -> Self {
        self.metrics = true;
        self
    }

    /// Says what the input is: logits unless set.
    ///
    /// ```
    /// use surprisal::{CrossEntropy, CrossEntropyInput, Device, InputForm, Matrix, Unit};
    ///
    /// let probs = Matrix::new(&[0.5f32, 0.2, 0.3], 1, 3)?;
    /// let op = CrossEntropy::new().with_form(InputForm::Probs).with_unit(Unit::Hartleys);
    /// let output = Device::cpu().run(&op, CrossEntropyInput::new(probs, &[0i64]))?;
    /// assert!((output.loss.reduced().unwrap() - 0.301_03).abs() < 1e-6);
    /// # Ok::<(), surprisal::Error>(())
    /// ```
    #[must_use]
    #[doc(alias = "nll_loss")]
    pub fn with_form(mut self, form: InputForm) -> Self {
        self.form = form;
        self
    }

    /// Sets the bound, in (0, 1], below which a probability counts as the bound itself, and has no
    /// gradient; 1e-10 unless set. For [`InputForm::Probs`] only.
    #[must_use]
    pub fn with_clamp(mut self, clamp: impl Into<Option<f64>>) -> Self {
        self.clamp = clamp.into();
        self
    }

    /// Sets a weight for each class, `[classes]`. A mean divides by the sum of the kept targets'
    /// weights, as in PyTorch; with probability targets by the number of rows that count.
    #[must_use]
    pub fn with_class_weights<W: Into<f64>>(
        mut self,
        weights: impl IntoIterator<Item = W>,
    ) -> Self {
        self.class_weights = Some(weights.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the weight of each class from how rarely it occurs: kept rows / (classes * count), and 0
    /// for a class that does not occur. Set the ignored value first; rows that a mask leaves out are not counted.
    ///
    /// # Errors
    /// [`Error::TargetOutOfRange`]; [`Error::InvalidInput`] if the targets are probabilities;
    /// [`Error::OutOfMemory`] if there is none for so many classes.
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
        targets: impl Into<BatchTargets<'a>>,
        classes: usize,
    ) -> Result<Self> {
        let BatchTargets { targets, mask } = targets.into();
        if targets.probs().is_some() {
            return Err(Error::InvalidInput {
                what: "class_weights",
                reason: "inverse frequencies are counted from class indices".to_owned(),
            });
        }
        let rows = self.rows(targets, mask);
        rows.validate(classes)?;
        let mut counts: Vec<f64> = bytemuck::try_zeroed_vec(classes)
            .map_err(|()| Error::OutOfMemory { what: format!("{classes} weights") })?;
        for class in (0..rows.len()).filter_map(|row| rows.class(row)) {
            counts[class] += 1.0;
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

    /// Of a window whose mean is taken elsewhere, after rows with this sum of -log p.
    pub(crate) fn for_window(mut self, nll_before: f64) -> Self {
        (self.common.normalizer, self.nll_before) = (None, nll_before);
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

    /// The target value that marks a row to be skipped.
    pub fn ignore_index(&self) -> Option<i64> {
        self.ignore_index
    }

    /// Whether the gradient with respect to probability targets is asked for.
    pub fn has_target_gradient(&self) -> bool {
        self.target_gradient
    }

    /// Whether metrics are asked for.
    pub fn has_metrics(&self) -> bool {
        self.metrics
    }

    /// What the input is.
    pub fn form(&self) -> InputForm {
        self.form
    }

    /// The bound below which a probability counts as the bound itself.
    pub fn clamp(&self) -> f64 {
        self.clamp.unwrap_or(1e-10)
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

    /// Targets, with which of their rows count.
    pub(crate) fn rows<'a>(
        &self,
        targets: Targets<'a>,
        mask: Option<&'a [bool]>,
    ) -> RowTargets<'a> {
        RowTargets::new(targets, mask, self.ignore_index)
    }

    /// Rows that count, and what a mean divides by unless it is told.
    pub(crate) fn totals(&self, rows: &RowTargets<'_>) -> (u64, f64) {
        if self.class_weights().is_none() || rows.targets.probs().is_some() {
            let kept = rows.kept();
            return (kept as u64, kept as f64);
        }
        let classes = (0..rows.len()).filter_map(|row| rows.class(row));
        classes.fold((0, 0.0), |(count, sum), class| (count + 1, sum + self.weight(class)))
    }
}

common_options!(CrossEntropy, "logits");
unit_option!(CrossEntropy);

impl sealed::Sealed for CrossEntropy {}
impl Op for CrossEntropy {
    type Input<'a> = CrossEntropyInput<'a>;
    type Output = CrossEntropyOutput;

    fn operation(&self) -> Result<Operation<'_>> {
        Ok(Operation(Kind::CrossEntropy(Cow::Borrowed(self))))
    }

    fn data(input: Self::Input<'_>) -> Data<'_> {
        input.data()
    }

    fn raise(results: Results) -> CrossEntropyOutput {
        results.into_labelled()
    }
}
