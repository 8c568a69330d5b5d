//! What a row with a class for its target is made of, gathered from its columns or from blocks of them.

use crate::cpu::RowStat;

/// What some columns of a row come to. Of two parts it combines to that of both, as [`RowStat`] does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// None of a row that is normalised already.
    pub(super) stat: Option<RowStat>,
    /// The sum of the classes' weights, and of `w (max - z)`, before distances are scaled, where labels
    /// are smoothed, formula (12).
    pub(super) weight: f64,
    pub(super) spread: f64,
    /// The best column and its rank, where metrics are asked for; none where nothing but -inf and NaN
    /// was seen.
    pub(super) best: Option<(f32, usize)>,
    /// None until its column was seen.
    pub(super) target: Option<Target>,
}

/// The target's element, as it is and after the chain.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    pub(super) x: f32,
    pub(super) z: f32,
}

impl Seen {
    pub(crate) const NOTHING: Self =
        Self { stat: None, weight: 0.0, spread: 0.0, best: None, target: None };

    pub(super) fn target(&self) -> Target {
        self.target.unwrap_or(Target { x: f32::NAN, z: f32::NAN })
    }

    /// What these columns and later ones come to; `z_scale` is that of distances.
    #[must_use]
    pub(super) fn combine(self, later: Self, z_scale: f32) -> Self {
        let stat = match (self.stat, later.stat) {
            (Some(a), Some(b)) => Some(a.combine_scaled(b, z_scale)),
            (a, b) => a.or(b),
        };
        let best = match (self.best, later.best) {
            (Some(a), Some(b)) if b.0 > a.0 => Some(b),
            (a, b) => a.or(b),
        };
        Self {
            stat,
            weight: self.weight + later.weight,
            spread: self.spread_below(stat) + later.spread_below(stat),
            best,
            target: self.target.or(later.target),
        }
    }

    /// The sum of `w (max - z)` with the maximum of more columns.
    fn spread_below(&self, whole: Option<RowStat>) -> f64 {
        match (self.stat, whole) {
            (Some(own), Some(whole)) if own.max() < whole.max() && self.weight != 0.0 => {
                self.spread + self.weight * (f64::from(whole.max()) - f64::from(own.max()))
            }
            _ => self.spread,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{RowStat, Seen, Target};

    fn seen(z: &[f32], first: usize) -> Seen {
        let stat = RowStat::of(z);
        let spread = z.iter().map(|z| f64::from(stat.max() - z)).sum();
        let best = z.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        Seen {
            stat: Some(stat),
            weight: z.len() as f64,
            spread,
            best: best.map(|(j, z)| (*z, first + j)),
            target: (first..first + z.len())
                .contains(&2)
                .then(|| Target { x: 0.5, z: z[2 - first] }),
        }
    }

    #[test]
    fn parts_make_the_whole() {
        let z = [1.0, -2.0, 0.5, 3.0, 3.0, -1.0];
        let whole = seen(&z, 0);
        for cut in 0..=z.len() {
            let (a, b) = z.split_at(cut);
            let parts = [seen(a, 0), seen(b, cut)].into_iter().zip([a, b]);
            let parts = parts.filter(|(_, part)| !part.is_empty()).map(|(seen, _)| seen);
            let both = parts.fold(Seen::NOTHING, |a, b| a.combine(b, 1.0));
            let close = |a: f64, b: f64| (a - b).abs() < 1e-6;
            let lse = |seen: &Seen| seen.stat.map_or(0.0, |stat| f64::from(stat.lse()));
            assert!(close(lse(&both), lse(&whole)) && close(both.spread, whole.spread), "{cut}");
            assert_eq!(both.target().z, 0.5);
            assert_eq!(both.best.map(|(rank, _)| rank), Some(3.0));
        }
        // The first of equals stays.
        let both = seen(&[3.0, 1.0], 0).combine(seen(&[3.0, 2.0], 2), 1.0);
        assert_eq!(both.best, Some((3.0, 0)));
    }

    #[test]
    fn a_weight_of_nothing_has_no_spread() {
        // Nothing but -inf, of classes that weigh 0.
        let none = Seen {
            stat: Some(RowStat::of(&[f32::NEG_INFINITY])),
            weight: 0.0,
            spread: 0.0,
            ..Seen::NOTHING
        };
        assert_eq!(none.combine(seen(&[0.0, -1.0], 1), 1.0).spread, 1.0);
    }
}
