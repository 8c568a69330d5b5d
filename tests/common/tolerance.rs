//! How far an f32 device may be from the f64 reference. Every bound is derived here, and nowhere
//! else; `docs/NUMERICS.md` tells the same in words.
//!
//! With u = 2^-24, the largest relative rounding error of f32:
//!
//! - An exponential. Rounding x - max alone changes it by u |x - max|, relatively. The function
//!   itself is good to two ulp (4u) on the CPU; WGSL allows 3 + 2 |x - max| ulp.
//! - A sum of exponentials. Each is added to at most `chain` partial sums in turn, and each
//!   addition (with the rescaling that goes with it) costs a few u.
//! - log1p: 3 ulp in the shaders, 2 on the CPU. Division: 2.5 ulp in WGSL.
//! - log: 2 ulp on the CPU, 3 in WGSL and 2^-21 absolute in [1/2, 2]; a power is exp2 of a product
//!   with log2.
//! - Numbers below 2^-126 may be flushed to 0, on the way in, between, and on the way out.

use surprisal::Dtype;

const U: f64 = 1.0 / (1u64 << 24) as f64;
/// The smallest normal f32: what flushing a number can cost.
const FLUSH: f64 = 1.2e-38;

/// What a device's arithmetic promises.
#[derive(Debug, Clone, Copy)]
pub struct Arithmetic {
    /// Relative error of exp(d), in u: constant part.
    exp: f64,
    /// The same, for each unit of |d|; 1 of it is the rounding of d.
    exp_slope: f64,
    /// Relative error of log1p and of a division, in u.
    function: f64,
    /// Elements that are added up one after the other in the longest run.
    run: f64,
    /// Independent sums that share a row's elements.
    lanes: f64,
    /// 0: exact, for the reference against itself.
    scale: f64,
}

impl Arithmetic {
    pub const REFERENCE: Self =
        Self { exp: 0.0, exp_slope: 0.0, function: 0.0, run: 0.0, lanes: 1.0, scale: 0.0 };
    /// `src/cpu/columns.rs`: a statistic's runs of 128 vectors in 4 chains, whose sums a lane of 4
    /// adds up over 65,536 elements (32 + 128); other sums' runs of 128 vectors; cut in two beyond.
    pub const CPU: Self =
        Self { exp: 4.0, exp_slope: 1.0, function: 4.0, run: 168.0, lanes: 1e9, scale: 1.0 };
    /// `shaders/reduce/sweep.wgsl`: runs of 64 words, at least 8 lanes to a row, or one
    /// lane where rows are short.
    pub const GPU: Self =
        Self { exp: 6.0, exp_slope: 5.0, function: 10.0, run: 80.0, lanes: 8.0 * 64.0, scale: 1.0 };
    /// The same with one lane to a row, however long.
    pub const GPU_ONE_LANE: Self = Self { lanes: 64.0, ..Self::GPU };

    /// Whether there is no rounding to f32 at all.
    pub fn is_exact(&self) -> bool {
        self.scale == 0.0
    }

    /// Relative error of exp(-distance).
    fn exponential(&self, distance: f64) -> f64 {
        U * (self.exp + self.exp_slope * distance)
    }

    /// Relative error that adding up a row adds to its terms' own.
    fn sum(&self, classes: usize) -> f64 {
        let chain = self.run.min(classes as f64) + classes as f64 / self.lanes;
        U * (4.0 + 2.0 * chain)
    }
}

/// The bounds for one row.
#[derive(Debug, Clone)]
pub struct RowBounds {
    arithmetic: Arithmetic,
    max: f64,
    rest: f64,
    /// Absolute error of `rest`.
    rest_error: f64,
}

impl RowBounds {
    pub fn new(x: &[f32], arithmetic: Arithmetic) -> Self {
        let max = x.iter().fold(f64::MIN, |max, &x| max.max(f64::from(x)));
        let argmax = x.iter().position(|&x| f64::from(x) == max).unwrap_or(0);
        let (mut rest, mut rest_error) = (0.0, 0.0);
        for (j, &x) in x.iter().enumerate() {
            if j != argmax && x.is_finite() {
                let distance = max - f64::from(x);
                let e = (-distance).exp();
                rest += e;
                rest_error += e * arithmetic.exponential(distance.min(200.0)) + FLUSH;
            }
        }
        rest_error += rest * arithmetic.sum(x.len());
        Self { arithmetic, max, rest, rest_error }
    }

    /// The log-sum-exp itself.
    fn lse_value(&self) -> f64 {
        self.max + self.rest.ln_1p()
    }

    /// Of log1p(rest).
    fn log_sum(&self) -> f64 {
        U * self.arithmetic.function * self.rest.ln_1p() + self.rest_error / (1.0 + self.rest)
    }

    /// Of -log p.
    pub fn nll(&self, x: f32) -> f64 {
        let distance = self.max - f64::from(x);
        let value = distance + self.rest.ln_1p();
        self.arithmetic.scale * (U * (distance + 2.0 * value) + self.log_sum() + FLUSH)
    }

    pub fn lse(&self) -> f64 {
        let value = self.max + self.rest.ln_1p();
        self.arithmetic.scale * (2.0 * U * value.abs() + self.log_sum() + FLUSH)
    }

    fn relative_p(&self, x: f32) -> f64 {
        let distance = (self.max - f64::from(x)).min(200.0);
        self.arithmetic.exponential(distance)
            + U * self.arithmetic.function
            + self.rest_error / (1.0 + self.rest)
    }

    /// Of softmax p, where p is its value.
    pub fn p(&self, x: f32, p: f64) -> f64 {
        self.arithmetic.scale * (p * self.relative_p(x) + FLUSH)
    }

    /// Of p - 1, the target's gradient.
    pub fn p_minus_1(&self, x: f32) -> f64 {
        let a = &self.arithmetic;
        let sum = 1.0 + self.rest;
        if f64::from(x) == self.max {
            let value = self.rest / sum;
            return a.scale
                * (value * U * (a.function + 2.0) + self.rest_error / (sum * sum) + FLUSH);
        }
        let p = (f64::from(x) - self.max).exp() / sum;
        self.p(x, p) + a.scale * U
    }
}

/// Relatively, of a reduced loss beyond the losses' own errors: they are added in f64, and rounded once.
/// On a GPU, where losses are of elements, four neighbours of a word are added in f32 first.
pub const REDUCED: f64 = 4.0 * U;

/// The same of a sum over rows in a recorded call: pairwise.
pub fn recorded_sum(rows: usize) -> f64 {
    U * ((rows as f64).log2() + 1.0)
}

/// Of a division in WGSL, 2.5 ulp.
pub const QUOTIENT: f64 = 5.0 * U;

/// Of a sum of losses, beyond the losses' own errors.
pub fn loss_sum(arithmetic: Arithmetic, sum_of_magnitudes: f64) -> f64 {
    arithmetic.scale * REDUCED * sum_of_magnitudes
}

/// Of sum(a b) over a row, from the sum of the magnitudes.
pub fn dot(arithmetic: Arithmetic, classes: usize, sum_of_magnitudes: f64) -> f64 {
    arithmetic.scale * arithmetic.sum(classes) * sum_of_magnitudes
}

/// Of a product or difference of two or three numbers of this magnitude.
pub fn rounding(arithmetic: Arithmetic, magnitude: f64) -> f64 {
    arithmetic.scale * (U * (arithmetic.function + 4.0) * magnitude + FLUSH)
}

/// Of exp(lp) for a log-probability.
pub fn exp_of(arithmetic: Arithmetic, lp: f64) -> f64 {
    arithmetic.scale * (lp.exp() * arithmetic.exponential(lp.abs().min(200.0)) + FLUSH)
}

/// What storing a value in a dtype adds.
pub fn storage(dtype: Dtype, value: f64) -> f64 {
    match dtype {
        Dtype::F16 => value.abs() * (2f64).powi(-11) + (2f64).powi(-25),
        Dtype::Bf16 => value.abs() * (2f64).powi(-8) + FLUSH,
        _ => 0.0,
    }
}

/// The same of a value that is off by a bound already.
pub fn stored(dtype: Dtype, value: f64, bound: f64) -> f64 {
    storage(dtype, value.abs() + bound)
}

/// Of cross-entropy with options, for one row: the bounds of plain cross-entropy on z, and what the
/// options add.
#[derive(Debug)]
pub struct OptionBounds {
    arithmetic: Arithmetic,
    plain: RowBounds,
    z: Vec<f32>,
    /// Absolute error of z: a product, a quotient, and a tanh of a few ulp.
    z_error: f64,
    /// `(1 - e) w_y`, `(e / C) w_j` for each j, and `2 z_loss lse`: what the row's terms are multiplied by.
    own: f64,
    smooth: Vec<f64>,
    z_slope: f64,
    /// Relative error of the chain's slope that the error of its input makes.
    slope_error: f64,
}

impl OptionBounds {
    /// For z and the lse as the reference has them.
    pub fn new(
        arithmetic: Arithmetic,
        op: &surprisal::CrossEntropy,
        z: &[f64],
        target: usize,
        lse: f64,
    ) -> Self {
        let e = op.label_smoothing();
        let weight = |j: usize| op.class_weights().map_or(1.0, |weights| weights[j]);
        let largest = z.iter().filter(|z| z.is_finite()).fold(0.0, |m: f64, z| m.max(z.abs()));
        let has_chain = op.softcap().is_some() || op.logit_scale() != 1.0;
        let z: Vec<f32> = z.iter().map(|&z| z as f32).collect();
        let smooth = (0..z.len()).map(|j| e / z.len() as f64 * weight(j).abs()).collect();
        Self {
            plain: RowBounds::new(&z, arithmetic),
            z_error: if has_chain { U * (10.0 + arithmetic.function) * largest } else { 0.0 },
            own: (1.0 - e) * weight(target).abs(),
            smooth,
            z_slope: 2.0 * op.z_loss().abs() * if lse.is_finite() { lse.abs() } else { 0.0 },
            slope_error: 0.0,
            z,
            arithmetic,
        }
    }

    /// Of logits that are off by this themselves. The chain multiplies it by no more than the scale,
    /// and its slope, 1 - tanh^2, has a logarithm that changes no faster than by 2 / softcap.
    pub fn with_logit_error(mut self, op: &surprisal::CrossEntropy, error: f64) -> Self {
        let scaled = self.arithmetic.scale * error * op.logit_scale().abs();
        self.z_error += scaled;
        self.slope_error = op.softcap().map_or(0.0, |cap| 2.0 * scaled / cap);
        self
    }

    fn smooth_sum(&self) -> f64 {
        self.smooth.iter().sum()
    }

    /// Of the row's loss.
    pub fn loss(&self, target: usize, loss: f64) -> f64 {
        let terms = self.z.iter().zip(&self.smooth).filter(|(z, _)| z.is_finite());
        let smoothing: f64 = terms.map(|(z, smooth)| smooth * self.plain.nll(*z)).sum();
        let sums = self.arithmetic.sum(self.z.len()) + 8.0 * U;
        let own = if self.own == 0.0 { 0.0 } else { self.own * self.plain.nll(self.z[target]) };
        let through_z = 2.0 * self.z_error * (self.own + self.smooth_sum() + self.z_slope);
        let bound = own + smoothing + self.z_slope * self.plain.lse() + through_z;
        self.arithmetic.scale * (bound + sums * loss.abs() + FLUSH)
    }

    /// Of the log-sum-exp.
    pub fn lse(&self) -> f64 {
        self.plain.lse() + self.arithmetic.scale * self.z_error
    }

    /// What a column's gradient is at most, in the same terms as its bound.
    pub fn column_size(&self, j: usize, target: usize, dloss: f64, slope: f64) -> f64 {
        let p = (f64::from(self.z[j]) - self.plain.lse_value()).exp();
        let own = if j == target { self.own } else { 0.0 };
        let dz = (self.own + self.smooth_sum() + self.z_slope) * p + self.smooth[j] + own;
        dloss * slope.abs() * dz
    }

    /// Of a column's gradient, for the upstream gradient and the chain's slope there.
    pub fn column(&self, j: usize, target: usize, dloss: f64, slope: f64) -> f64 {
        let z = self.z[j];
        let p = (f64::from(z) - self.plain.lse_value()).exp();
        let a = self.own + self.smooth_sum() + self.z_slope;
        let p_error = self.plain.p(z, p) + 2.0 * p * self.z_error;
        let own = if j == target {
            self.own * (self.plain.p_minus_1(z) + 2.0 * self.z_error * p * (1.0 - p).max(U))
        } else {
            0.0
        };
        let more = self.z_slope * self.plain.lse() / self.plain.lse_value().abs().max(1e-30);
        let sums = self.arithmetic.sum(self.z.len()) + (8.0 + self.arithmetic.function) * U;
        let magnitude =
            a * p + self.smooth[j] + if j == target { self.own * (1.0 - p) } else { 0.0 };
        // 1 / cosh^2: an exponential of twice the distance, squared.
        let slope_error = (40.0 * U + self.slope_error) * magnitude * slope.abs();
        let terms = if j == target { (a - self.own).max(0.0) * p_error + own } else { a * p_error };
        let dz = terms + more * p + sums * magnitude;
        self.arithmetic.scale * dloss * (slope.abs() * dz + slope_error + FLUSH)
    }
}

/// Of a sum of `terms` products in f32, in any order, from the sum of their magnitudes: each product is
/// rounded or not, and each takes part in at most as many additions as there are terms.
pub fn product(arithmetic: Arithmetic, terms: usize, sum_of_magnitudes: f64) -> f64 {
    arithmetic.scale * (U * (terms as f64 + 1.0) * sum_of_magnitudes + terms as f64 * FLUSH)
}

/// Of a natural logarithm.
pub fn log_of(arithmetic: Arithmetic, x: f64) -> f64 {
    let coarse = if (0.5..=2.0).contains(&x) && arithmetic.exp > 4.0 { 8.0 * U } else { 0.0 };
    arithmetic.scale * (U * arithmetic.function * x.ln().abs() + coarse)
}

/// Relative error of x^power, 0 < x <= 1.
fn power(arithmetic: Arithmetic, x: f64, power: f64) -> f64 {
    let exponent = power * x.ln().abs();
    U * (arithmetic.exp + (arithmetic.exp_slope + 4.0) * exponent + 8.0 * power)
}

/// A row of logits, or of log-probabilities, as the losses of this family see it.
#[derive(Debug)]
pub struct Scores {
    plain: RowBounds,
    z: Vec<f32>,
    /// Absolute error of each z.
    z_error: f64,
    /// Whether z are log-probabilities already.
    normalized: bool,
}

impl Scores {
    /// `z_error` comes with what made z of the input.
    pub fn new(arithmetic: Arithmetic, z: &[f64], z_error: f64, normalized: bool) -> Self {
        let z: Vec<f32> = z.iter().map(|&z| z as f32).collect();
        Self { plain: RowBounds::new(&z, arithmetic), z, z_error, normalized }
    }

    fn u(&self) -> f64 {
        U * self.plain.arithmetic.scale
    }

    fn sums(&self) -> f64 {
        self.plain.arithmetic.scale * (self.plain.arithmetic.sum(self.z.len()) + 16.0 * U)
    }

    /// -log p of a column.
    fn nll_value(&self, j: usize) -> f64 {
        let z = f64::from(self.z[j]);
        if self.normalized { -z } else { self.plain.lse_value() - z }
    }

    fn p_value(&self, j: usize) -> f64 {
        (-self.nll_value(j)).exp()
    }

    /// How far a column is below the maximum.
    fn distance(&self, j: usize) -> f64 {
        (self.plain.max - f64::from(self.z[j])).max(0.0)
    }

    fn nll(&self, j: usize) -> f64 {
        // Rounding to and fro around the maximum, where z is one already.
        let around =
            if self.normalized { 4.0 * U * (self.distance(j) + self.plain.max.abs()) } else { 0.0 };
        self.plain.nll(self.z[j]) + 2.0 * self.z_error + around * self.plain.arithmetic.scale
    }

    fn p(&self, j: usize) -> f64 {
        let p = self.p_value(j);
        if !self.z[j].is_finite() {
            return self.plain.arithmetic.scale * FLUSH;
        }
        self.plain.p(self.z[j], p)
            + 2.0 * p * (self.z_error + if self.normalized { self.nll(j) } else { 0.0 })
    }

    pub fn lse(&self) -> f64 {
        self.plain.lse() + self.z_error
    }

    /// Of `sum_j a[j] nll[j]`, with what rounding the parts themselves costs.
    pub fn cross(&self, parts: &[f64]) -> f64 {
        let finite = (0..self.z.len()).filter(|&j| parts[j] != 0.0 && self.z[j].is_finite());
        finite
            .map(|j| {
                let part = parts[j].abs();
                let around = if self.normalized { self.plain.max.abs() } else { 0.0 };
                part * (self.nll(j)
                    + self.sums() * (self.nll_value(j).abs() + self.distance(j) + around))
            })
            .sum()
    }

    /// Of (A - a) p + a (p - 1) + more p, A the sum of all parts.
    pub fn pull(&self, j: usize, parts: &[f64], more: (f64, f64)) -> f64 {
        if self.normalized {
            return 8.0 * self.u() * parts[j].abs();
        }
        let (total, part): (f64, f64) = (parts.iter().map(|a| a.abs()).sum(), parts[j].abs());
        let p = self.p_value(j);
        let own = self.plain.p_minus_1(self.z[j]) + 2.0 * self.z_error * p * (1.0 - p).max(U);
        let rest = (total - part).max(0.0) + more.0;
        // A sum with zeros is exact.
        let is_exact = parts.iter().filter(|part| **part != 0.0).count() < 2;
        let sums = if is_exact { 0.0 } else { self.sums() * total } + 8.0 * self.u() * more.0;
        let terms = rest * self.p(j) + part * own + (more.1 + sums) * p;
        terms + 8.0 * self.u() * (rest * p + part * (1.0 - p).abs())
    }

    /// Of w nll.
    pub fn weighted_nll(&self, j: usize, weight: f64) -> f64 {
        if self.z[j].is_finite() {
            weight.abs() * (self.nll(j) + 8.0 * self.u() * self.nll_value(j).abs())
        } else {
            0.0
        }
    }

    /// Of the focal loss of a target, and of the factor of its gradient; with the factor.
    pub fn focal(&self, y: usize, gamma: f64) -> (f64, f64, f64) {
        let a = &self.plain.arithmetic;
        if !self.z[y].is_finite() {
            // A masked target: an infinite loss, and a gradient of p - onehot.
            return (0.0, a.scale * power(*a, 1.0, gamma) + 8.0 * self.u(), 1.0);
        }
        let (nll, p) = (self.nll_value(y).max(0.0), self.p_value(y));
        let is_max = f64::from(self.z[y]) == self.plain.max;
        let miss = if is_max { self.plain.rest / (1.0 + self.plain.rest) } else { 1.0 - p };
        if miss == 0.0 {
            return (FLUSH, FLUSH, 1.0);
        }
        let miss_relative = self.plain.p_minus_1(self.z[y]) / miss;
        let modulating = miss.powf(gamma);
        let relative =
            a.scale * power(*a, miss, gamma) + 1.5 * gamma * miss_relative + 8.0 * self.u();
        // The power may be flushed to 0, and so may its product.
        let flushed = a.scale * FLUSH;
        let loss = modulating * (self.nll(y) + nll * relative) + flushed * (1.0 + nll);
        let more = gamma * p * nll / miss;
        let nll_relative = if nll > 0.0 { self.nll(y) / nll } else { 0.0 };
        let p_relative = self.p(y) / p.max(1e-300);
        let factor = modulating * (1.0 + more);
        let slope = factor * relative
            + modulating * more * (nll_relative + miss_relative + p_relative + 8.0 * self.u())
            + flushed * (1.0 + more);
        (loss, slope, factor)
    }

    /// Of c (p - onehot) at a column.
    pub fn focal_column(&self, j: usize, y: usize, (slope, factor): (f64, f64)) -> f64 {
        let p = self.p_value(j);
        let (pull, error) = if j == y {
            ((1.0 - p).abs(), self.plain.p_minus_1(self.z[j]))
        } else {
            (p, self.p(j))
        };
        slope * pull + factor * (error + 8.0 * self.u() * pull)
    }

    /// Of `sum_j p[j] (log p[j] - log other.p[j])`. Every magnitude on the way is below the distances
    /// from both maxima, which only grow.
    pub fn kl(&self, other: &Self) -> f64 {
        let term = |j: usize| {
            let p = self.p_value(j);
            if p == 0.0 || !self.z[j].is_finite() || !other.z[j].is_finite() {
                return 0.0;
            }
            let ratio = (other.nll_value(j) - self.nll_value(j)).abs();
            let reach = self.distance(j) + other.distance(j) + ratio;
            p * (self.nll(j) + other.nll(j) + self.sums() * 2.0 * reach)
                + (ratio + reach) * self.p(j)
        };
        let norms = self.sums() * (self.norm() + other.norm());
        (0..self.z.len()).map(term).sum::<f64>() + norms
    }

    /// What is added to or taken from the distances.
    fn norm(&self) -> f64 {
        if self.normalized { self.plain.max.abs() } else { self.plain.rest.ln_1p() }
    }

    /// The sum of the probabilities, and how far it may be off.
    pub fn total(&self) -> (f64, f64) {
        let total: f64 = (0..self.z.len()).map(|j| self.p_value(j)).sum();
        let errors = || (0..self.z.len()).map(|j| self.p(j)).sum::<f64>();
        (total, if self.normalized { errors() + self.sums() * total } else { 0.0 })
    }

    /// Of Q sum(P) - P, with [`Self::total`] of the teacher.
    pub fn kl_column(&self, teacher: &Self, j: usize, (total, total_error): (f64, f64)) -> f64 {
        let (p, q) = (teacher.p_value(j), self.p_value(j));
        let is_top = |row: &Self| f64::from(row.z[j]) == row.plain.max && row.plain.rest < 1.0;
        if !teacher.normalized && is_top(self) && is_top(teacher) {
            // Both sure of this class: from what they miss.
            let misses = (1.0 - p).abs() + (1.0 - q).abs();
            return self.plain.p_minus_1(self.z[j])
                + teacher.plain.p_minus_1(teacher.z[j])
                + 2.0 * (self.z_error + teacher.z_error) * misses.max(FLUSH)
                + 8.0 * self.u() * misses;
        }
        total * self.p(j) + q * total_error + teacher.p(j) + 8.0 * self.u() * (q * total + p)
    }

    /// Of Q ((log Q - log P) - KL), with KL and [`Self::kl`].
    pub fn reverse_column(&self, teacher: &Self, j: usize, (kl, kl_error): (f64, f64)) -> f64 {
        let q = self.p_value(j);
        if q == 0.0 || !teacher.z[j].is_finite() || !self.z[j].is_finite() {
            return FLUSH;
        }
        let ratio = (teacher.nll_value(j) - self.nll_value(j)).abs();
        let magnitude = ratio + kl.abs() + self.nll_value(j).abs() + teacher.nll_value(j).abs();
        self.p(j) * (ratio + kl.abs())
            + q * (self.nll(j) + teacher.nll(j) + kl_error + 8.0 * self.u() * magnitude)
    }

    /// Of twice `share p log(p / m)`, m the mixture of p by this share and of the other's by the rest: twice,
    /// so that shares of one half are what two plain terms are.
    pub fn to_mixture(&self, other: &Self, j: usize, share: f64) -> f64 {
        let p = self.p_value(j);
        if p == 0.0 || !self.z[j].is_finite() {
            return FLUSH;
        }
        let ratio = (self.nll_value(j) - other.nll_value(j)).max(0.0);
        // The logarithms of the shares, and what they shift the ratio by.
        let (log, shift) = (-share.ln(), ((1.0 - share) / share).ln().abs());
        let shares = (log - std::f64::consts::LN_2).max(0.0) + shift;
        let size = 2.0 + shares + if ratio.is_finite() { ratio } else { 0.0 };
        let errors = self.nll(j) + if other.z[j].is_finite() { other.nll(j) } else { 0.0 };
        let a = &self.plain.arithmetic;
        let own = self.p(j) * size + p * (errors + self.u() * (16.0 + a.exp + a.function) * size);
        2.0 * share * own
    }

    /// Of the sum of both kinds of terms, by columns; the teacher has the share beta.
    pub fn js(&self, teacher: &Self, beta: f64) -> f64 {
        let columns = 0..self.z.len();
        let both = |j| self.to_mixture(teacher, j, 1.0 - beta) + teacher.to_mixture(self, j, beta);
        let size = |j| 4.0 * ((1.0 - beta) * self.p_value(j) + beta * teacher.p_value(j));
        columns.map(|j| both(j) + self.sums() * size(j)).sum()
    }

    /// Of sum(s), s what each column gives to one side.
    pub fn js_total(&self, teacher: &Self, beta: f64) -> f64 {
        (0..self.z.len()).map(|j| self.to_mixture(teacher, j, 1.0 - beta)).sum()
    }

    /// Of s - Q sum(s), with [`Self::js_total`].
    pub fn js_column(&self, teacher: &Self, j: usize, beta: f64, total_error: f64) -> f64 {
        let sums = self.sums() * 2.0;
        self.to_mixture(teacher, j, 1.0 - beta)
            + self.p_value(j) * (total_error + sums)
            + self.p(j)
            + 8.0 * self.u() * self.p_value(j)
    }

    /// Of the entropy: minus the divergence from 1.
    pub fn entropy(&self) -> f64 {
        let term = |j: usize| {
            if !self.z[j].is_finite() {
                return 0.0;
            }
            let (p, nll) = (self.p_value(j), self.nll_value(j).abs());
            p * (self.nll(j) + self.sums() * 2.0 * (nll + self.distance(j))) + 2.0 * nll * self.p(j)
        };
        (0..self.z.len()).map(term).sum::<f64>() + self.sums() * self.norm()
    }

    /// Of p (nll - entropy), with the entropy and [`Self::entropy`].
    pub fn entropy_column(&self, j: usize, (entropy, entropy_error): (f64, f64)) -> f64 {
        if !self.z[j].is_finite() {
            return FLUSH;
        }
        let (p, nll) = (self.p_value(j), self.nll_value(j).abs());
        self.p(j) * (nll + entropy)
            + p * (self.nll(j) + entropy_error + 8.0 * self.u() * (nll + entropy))
    }
}

/// Of softplus(x), and of sigmoid(x).
fn softplus_and_sigmoid(a: Arithmetic, x: f64) -> (f64, f64) {
    let e = (-x.abs()).exp();
    let e_error = e * a.exponential(x.abs().min(200.0));
    let softplus = e.ln_1p() + x.max(0.0);
    let sigmoid = if x < 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) };
    let relative = U * (a.function + 4.0);
    let sigmoid_error = relative * sigmoid + if x < 0.0 { e_error } else { e_error.min(sigmoid) };
    (relative * softplus + e_error + FLUSH, sigmoid_error + FLUSH)
}

/// Of binary cross-entropy of a logit and of its derivative, weighed.
pub fn binary_logits(a: Arithmetic, x: f64, y: f64, positive: f64) -> (f64, f64) {
    let (up, up_slope) = softplus_and_sigmoid(a, x);
    let (down, down_slope) = softplus_and_sigmoid(a, -x);
    let (absent, present) = (1.0 - y, positive.abs() * y);
    let plus = |x: f64| (-x.abs()).exp().ln_1p() + x.max(0.0);
    let sigma = |x: f64| 1.0 / (1.0 + (-x).exp());
    (
        a.scale
            * (absent * up + present * down + 8.0 * U * (absent * plus(x) + present * plus(-x))),
        a.scale
            * (absent * up_slope
                + present * down_slope
                + 8.0 * U * (absent * sigma(x) + present * sigma(-x))),
    )
}

/// Of binary focal loss of a logit and of its derivative; `one` and `zero` have the label in them.
pub fn binary_focal(a: Arithmetic, x: f64, gamma: f64, one: f64, zero: f64) -> (f64, f64) {
    let side = |x: f64| {
        // p of the side's class is sigmoid(x): its miss sigmoid(-x), its nll softplus(-x).
        let e = (-x.abs()).exp();
        let (p, miss) = if x < 0.0 {
            (e / (1.0 + e), 1.0 / (1.0 + e))
        } else {
            (1.0 / (1.0 + e), e / (1.0 + e))
        };
        let nll = e.ln_1p() + (-x).max(0.0);
        if miss == 0.0 || !nll.is_finite() {
            return (0.0, FLUSH);
        }
        let (nll_error, _) = softplus_and_sigmoid(a, -x);
        let miss_relative = softplus_and_sigmoid(a, -x).1 / miss;
        let relative = power(a, miss, gamma) + 1.5 * gamma * miss_relative + 8.0 * U;
        let modulating = miss.powf(gamma);
        let more = gamma * p * nll / miss;
        let nll_relative = nll_error / nll.max(1e-300);
        let p_relative = softplus_and_sigmoid(a, x).1 / p.max(1e-300);
        let slope = modulating
            * ((1.0 + more) * (relative + miss_relative)
                + more * (nll_relative + miss_relative + p_relative + 8.0 * U));
        (modulating * (nll_error + nll * relative), miss * slope)
    };
    let ((one_loss, one_slope), (zero_loss, zero_slope)) = (side(x), side(-x));
    (
        a.scale * (one * one_loss + zero * zero_loss + FLUSH),
        a.scale * (one * one_slope + zero * zero_slope + FLUSH),
    )
}

/// Of a number that comes of a few roundings and logarithms of this magnitude.
pub fn few(arithmetic: Arithmetic, magnitude: f64) -> f64 {
    arithmetic.scale * (U * (2.0 * arithmetic.function + 8.0) * magnitude + FLUSH)
}
