//! Masks: which rows, or which elements, count.

use crate::error::{Error, Result};

/// Whether a row or an element counts; all do where there is no mask.
pub(crate) fn counts(mask: Option<&[bool]>, i: usize) -> bool {
    mask.is_none_or(|mask| mask[i])
}

/// How many of so many rows or elements count.
pub(crate) fn kept(mask: Option<&[bool]>, all: usize) -> usize {
    mask.map_or(all, |mask| mask.iter().filter(|&&counts| counts).count())
}

/// Fails unless a mask has a bool for each of `count` rows or elements.
pub(crate) fn validate_mask(mask: Option<&[bool]>, count: usize, each: &str) -> Result<()> {
    match mask {
        Some(mask) if mask.len() != count => Err(Error::ShapeMismatch {
            what: "mask",
            expected: format!("[{count}], one for each {each}"),
            found: format!("[{}]", mask.len()),
        }),
        _ => Ok(()),
    }
}

/// The builder's method for the mask of an input, `$each` of which it has a bool for.
macro_rules! mask_option {
    ($type:ident, $each:literal) => {
        impl<'a> $type<'a> {
            #[doc = concat!("Sets which ", $each, " count: one bool each, true counts.")]
            ///
            /// What does not count is not read, whatever stands there; its results and its gradient
            /// are exactly 0, and a mean does not count it.
            #[must_use]
            pub fn with_mask(mut self, mask: &'a [bool]) -> Self {
                self.mask = Some(mask);
                self
            }
        }
    };
}
pub(crate) use mask_option;
