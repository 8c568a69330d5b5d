//! How far an f32 device may be from the f64 reference. Every bound is derived here, and nowhere
//! else; `docs/NUMERICS.md` tells the same in words.
//!
//! With u = 2^-24, the largest relative rounding error of f32:
//!
//! - An exponential. Rounding x - max alone changes it by u |x - max|, relatively. The function
//!   itself is good to one ulp (2u) on the CPU; WGSL allows 3 + 2 |x - max| ulp.
//! - A sum of exponentials. Each is added to at most `chain` partial sums in turn, and each
//!   addition (with the rescaling that goes with it) costs a few u.
//! - log1p: 3 ulp in the shaders, 1 on the CPU. Division: 2.5 ulp in WGSL.
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
    /// `src/cpu/row_stat.rs`: runs of 256 in 8 lanes, cut in two beyond.
    pub const CPU: Self =
        Self { exp: 2.0, exp_slope: 1.0, function: 4.0, run: 48.0, lanes: 1e9, scale: 1.0 };
    /// `shaders/fragments/sweep_words.wgsl`: runs of 64 words, at least 8 lanes to a row, or one
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

/// Of a sum of `rows` losses, beyond the losses' own errors: the CPU adds in f64, the shaders in
/// blocks of 4096 with at least eight lanes.
pub fn loss_sum(arithmetic: Arithmetic, rows: usize, sum_of_magnitudes: f64) -> f64 {
    let chain = (rows as f64).min(512.0) + 16.0 + rows as f64 / 4096.0;
    arithmetic.scale * U * chain * sum_of_magnitudes
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
            z,
            arithmetic,
        }
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
        let slope_error = 40.0 * U * magnitude * slope.abs();
        let terms = if j == target { (a - self.own).max(0.0) * p_error + own } else { a * p_error };
        let dz = terms + more * p + sums * magnitude;
        self.arithmetic.scale * dloss * (slope.abs() * dz + slope_error + FLUSH)
    }
}
