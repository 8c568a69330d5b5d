//! What the parts that something comes in have in common, and that none of them failed.

use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::matrix::Matrix;
use crate::op::Upstream;

/// Parts that have to be like the first.
#[derive(Debug)]
pub(super) struct Alike {
    part: &'static str,
    whole: &'static str,
    first: Option<First>,
    failed: bool,
}

#[derive(Debug, Clone, Copy)]
struct First {
    dtypes: [Option<Dtype>; 3],
    has_mask: bool,
    /// The bits of a number, so that NaN is like NaN.
    upstream: Option<u64>,
}

impl Alike {
    /// For the windows of a batch.
    pub(super) fn windows() -> Self {
        Self { part: "window", whole: "batch", first: None, failed: false }
    }

    /// For the blocks of a layer, with a window of rows.
    pub(super) fn blocks() -> Self {
        Self { part: "block", whole: "window", ..Self::windows() }
    }

    /// Fails if a part is not like the first, or one has failed.
    pub(super) fn check(
        &mut self,
        matrices: [Option<Matrix<'_>>; 3],
        upstream: Upstream<'_>,
        has_mask: bool,
    ) -> Result<()> {
        self.check_whole()?;
        let dtypes = matrices.map(|matrix| matrix.map(|matrix| matrix.dtype()));
        let upstream = match upstream {
            Upstream::Scalar(number) => Some(number.to_bits()),
            Upstream::Each(_) => None,
        };
        let first = *self.first.get_or_insert(First { dtypes, has_mask, upstream });
        let which = if first.dtypes != dtypes {
            "its matrices and their dtypes"
        } else if first.upstream != upstream {
            "its upstream gradients"
        } else if first.has_mask != has_mask {
            "a mask, or none,"
        } else {
            return Ok(());
        };
        let reason = format!("{which} are not those of the first");
        Err(Error::InvalidInput { what: self.part, reason })
    }

    /// Fails if a part has failed: nobody knows how much of it was counted.
    pub(super) fn check_whole(&self) -> Result<()> {
        if self.failed {
            let reason = format!("a {} failed: begin the {} anew", self.part, self.whole);
            return Err(Error::InvalidInput { what: "stream", reason });
        }
        Ok(())
    }

    /// What a part came to, which may be that it failed.
    pub(super) fn note<T>(&mut self, result: Result<T>) -> Result<T> {
        self.failed |= result.is_err();
        result
    }
}
