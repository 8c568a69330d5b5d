//! What comes before the loss: an element's z, and a row's normalisation.

use crate::cpu::RowStat;
use crate::cpu::columns::Sweep;
use crate::cpu::math::{exp, log, tanh};
use crate::cpu::simd::Simd;
use crate::op::{CrossEntropy, InputForm, split_scale};

/// What happens to an element of the input before the softmax, formulas (11) and (17).
#[derive(Clone, Copy)]
pub(super) enum Chain {
    None,
    /// Times the first; the second is the derivative of z. See [`Options::z_scale`].
    Scale(f32, f32),
    Softcap {
        scale: f32,
        cap: f32,
    },
    /// The logarithm, of no less than this.
    Log(f32),
}

impl Chain {
    /// With what distances between its results are multiplied by, 1 where they are those of z.
    pub(super) fn of(op: &CrossEntropy) -> (Self, f32) {
        let scale = op.logit_scale() as f32;
        match (op.form(), op.softcap()) {
            (InputForm::Probs, _) => (Self::Log(op.clamp() as f32), 1.0),
            (InputForm::Logits, Some(cap)) => (Self::Softcap { scale, cap: cap as f32 }, 1.0),
            (InputForm::Logits, None) if op.has_chain() => {
                let (of_logits, of_distances) = split_scale(scale.into());
                (Self::Scale(of_logits as f32, scale), of_distances as f32)
            }
            (InputForm::Logits, None) | (InputForm::LogProbs, _) => (Self::None, 1.0),
        }
    }

    /// Whether z is the element itself; distances may be multiplied all the same.
    pub(super) fn is_identity(self) -> bool {
        match self {
            Self::None => true,
            Self::Scale(scale, _) => scale == 1.0,
            Self::Softcap { .. } | Self::Log(_) => false,
        }
    }

    #[inline(always)]
    pub(super) fn z<S: Simd>(self, s: S, x: S::F) -> S::F {
        match self {
            Self::None => x,
            Self::Scale(scale, _) => s.mul(x, s.splat(scale)),
            Self::Softcap { scale, cap } => {
                let z = s.mul(x, s.splat(scale));
                s.mul(s.splat(cap), tanh(s, s.div(z, s.splat(cap))))
            }
            Self::Log(clamp) => log(s, s.max(x, s.splat(clamp))),
        }
    }

    /// dz / dx. 1 - tanh^2 = 4 e / (1 + e)^2 keeps its digits near tanh = 1.
    #[inline(always)]
    pub(super) fn slope<S: Simd>(self, s: S, x: S::F) -> S::F {
        match self {
            Self::None => s.splat(1.0),
            Self::Scale(_, slope) => s.splat(slope),
            Self::Softcap { scale, cap } => {
                let z = s.div(s.mul(x, s.splat(scale)), s.splat(cap));
                let e = exp(s, s.mul(s.splat(-2.0), s.abs(z)));
                let sum = s.add(s.splat(1.0), e);
                let slope = s.div(s.mul(s.splat(4.0), e), s.mul(sum, sum));
                s.mul(s.splat(scale), slope)
            }
            Self::Log(clamp) => {
                let is_low = s.lt(x, s.splat(clamp));
                s.select(is_low, s.splat(0.0), s.div(s.splat(1.0), x))
            }
        }
    }
}

/// The statistic of a row and `log1p(rest)`; none of a row that is normalised already. And what
/// distances are multiplied by.
#[derive(Clone, Copy)]
pub(super) struct Norm(pub(super) Option<(RowStat, f32)>, f32);

impl Norm {
    pub(super) fn of<S: Simd>(sweep: Sweep<S>, stat: Option<RowStat>, z_scale: f32) -> Self {
        Self(stat.map(|stat| (stat, sweep.log1p(stat.rest()))), z_scale)
    }

    /// Formulas (5) and (17).
    #[inline(always)]
    pub(super) fn nll<S: Simd>(self, s: S, z: S::F) -> S::F {
        match self.0 {
            Some((stat, log_sum)) => {
                let distance = s.mul(s.splat(self.1), s.sub(s.splat(stat.max()), z));
                s.add(distance, s.splat(log_sum))
            }
            None => s.neg(z),
        }
    }

    pub(super) fn nll_of(self, z: f32) -> f32 {
        match self.0 {
            Some((stat, log_sum)) => self.1 * (stat.max() - z) + log_sum,
            None => -z,
        }
    }

    pub(super) fn is_defined(self) -> bool {
        self.0.is_none_or(|(stat, _)| stat.is_defined())
    }

    pub(super) fn lse(self) -> f32 {
        self.0.map_or(0.0, |(stat, _)| stat.lse_scaled(self.1))
    }

    /// `factor lse`, finite where it is, though lse be not: its maximum alone is as large as that.
    pub(super) fn lse_times(self, factor: f32) -> f32 {
        match self.0 {
            Some((stat, _)) if !self.lse().is_finite() => factor * self.1 * stat.max(),
            _ => factor * self.lse(),
        }
    }

    /// p and p - 1 of a column; of a normalised row, whose gradient is the shares alone, 0 and -1.
    #[inline(always)]
    pub(super) fn p<S: Simd>(self, s: S, z: S::F) -> (S::F, S::F) {
        let Some((stat, _)) = self.0 else { return (s.splat(0.0), s.splat(-1.0)) };
        let (one, max) = (s.splat(1.0), s.splat(stat.max()));
        let p = s.mul(exp(s, s.mul(s.splat(self.1), s.sub(z, max))), s.splat(1.0 / stat.sum()));
        // Where z is the maximum the 1 cancels before anything is rounded.
        let top = s.splat(-stat.rest() / stat.sum());
        (p, s.select(s.eq(z, max), top, s.sub(p, one)))
    }
}
