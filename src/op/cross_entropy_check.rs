//! What can be wrong with a cross-entropy and its input, before anything is computed.

use crate::error::{Error, Result};
use crate::op::mask::validate_mask;
use crate::op::options::{Range, validate_number, validate_probs, validate_weights};
use crate::op::search::Nan;
use crate::op::{CrossEntropy, CrossEntropyInput, InputForm};

impl CrossEntropy {
    /// The options that a batch of any shape could be wrong about, with the classes it has.
    pub(crate) fn validate_options(&self, classes: u64) -> Result<()> {
        validate_weights("class_weights", self.class_weights(), classes)?;
        validate_number("label_smoothing", self.label_smoothing, Range::Unit)?;
        validate_number("z_loss", self.z_loss, Range::Finite)?;
        validate_number("logit_scale", self.logit_scale, Range::Finite)?;
        if let Some(softcap) = self.softcap {
            validate_number("softcap", softcap, Range::Positive)?;
        }
        self.common.validate()?;
        self.validate_form()
    }

    /// Options that only logits can have, and those that only probabilities can.
    fn validate_form(&self) -> Result<()> {
        let form = self.form;
        let excluded = |what, reason| Err(Error::InvalidInput { what, reason });
        if let Some(clamp) = self.clamp {
            if form != InputForm::Probs {
                return excluded("clamp", format!("bounds probabilities; the input is {form}"));
            }
            validate_number("clamp", clamp, Range::Positive)?;
            validate_number("clamp", clamp, Range::Unit)?;
        }
        if form == InputForm::Logits {
            return Ok(());
        }
        let for_logits = [
            ("label_smoothing", self.label_smoothing != 0.0),
            ("z_loss", self.z_loss != 0.0),
            ("softcap", self.softcap.is_some()),
            ("logit_scale", self.logit_scale != 1.0),
        ];
        match for_logits.into_iter().find(|(_, is_set)| *is_set) {
            Some((what, _)) => {
                excluded(what, format!("is for logits; the input is {form}, normalised already"))
            }
            None => Ok(()),
        }
    }

    /// The options that go with one kind of targets.
    pub(crate) fn validate_kind(&self, targets_are_probs: bool) -> Result<()> {
        let excluded =
            |what, reason: &str| Err(Error::InvalidInput { what, reason: reason.to_owned() });
        if self.ignores && targets_are_probs {
            return excluded("ignore_index", "marks an index target; these are probabilities");
        }
        if self.target_gradient && !targets_are_probs {
            return excluded("target_gradient", "is of probability targets; these are indices");
        }
        Ok(())
    }

    /// Everything that can be said about an input before any of it is computed.
    pub(crate) fn validate(&self, input: &CrossEntropyInput<'_>) -> Result<()> {
        self.validate_but_targets(input)?;
        self.rows(input.targets, input.mask).validate(input.logits.columns())
    }

    /// The same but for the values of the targets.
    pub(crate) fn validate_but_targets(&self, input: &CrossEntropyInput<'_>) -> Result<()> {
        let (rows, classes) = (input.logits.rows(), input.logits.columns());
        self.validate_options(classes as u64)?;
        self.validate_kind(input.targets.probs().is_some())?;
        if let Some(probs) = input.targets.probs() {
            input.logits.expect_same_shape(&probs, "targets")?;
        } else if input.targets.len() != rows {
            return Err(Error::ShapeMismatch {
                what: "targets",
                expected: format!("[{rows}], one for each row of logits {}", input.logits.shape()),
                found: format!("[{}]", input.targets.len()),
            });
        }
        input.upstream.validate(self.reduction(), rows, "row of logits")?;
        validate_mask(input.mask, rows, "row of logits")?;
        if self.form == InputForm::Probs {
            let of_rows = self.rows(input.targets, input.mask);
            let counts = |i| of_rows.counts(i / classes);
            validate_probs("logits", &input.logits, Nan::Refused, counts)?;
        }
        Ok(())
    }
}
