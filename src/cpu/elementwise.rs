//! Losses of single elements, formulas (18), (22) and (23).

use crate::cpu::columns::Sweep;
use crate::cpu::focal::modulation;
use crate::cpu::lanes::{Io, Lanes, store};
use crate::cpu::math::{exp, log, log1p};
use crate::cpu::rows::{Rows, Work, for_each_row};
use crate::cpu::simd::{InstructionSet, Simd};
use crate::cpu::{Dloss, reduce, select_times, zeros};
use crate::error::Result;
use crate::matrix::with_values;
use crate::op::{
    ElementKind, ElementwiseInput, ElementwiseOutput, ElementwiseSpec, PosWeight, kept,
};

/// Elements that are handled as a row, whatever the matrix's shape; the last row may be shorter.
const CHUNK: usize = 2048;

pub(crate) fn elementwise(
    set: InstructionSet,
    spec: &ElementwiseSpec<'_>,
    input: &ElementwiseInput<'_>,
) -> Result<ElementwiseOutput> {
    spec.validate(input)?;
    let common = spec.common;
    let elements = input.input.values().len();
    let mask = spec.mask(input);
    let divisor = common.divisor(kept(mask.as_deref(), elements) as f64);
    let job = Elements {
        spec,
        input,
        mask: mask.as_deref(),
        first: 0,
        dloss: Dloss::of(input.upstream, common.reduction, divisor, common.unit),
        unit: common.unit.per_nat() as f32,
        positive: match spec.pos_weight {
            None => vec![1.0],
            Some(PosWeight::All(weight)) => vec![*weight as f32],
            Some(PosWeight::Columns(weights)) => weights.iter().map(|&w| w as f32).collect(),
        },
    };
    let mut losses: Vec<f32> = zeros(elements)?;
    let dinput = with_values!(input.input.values(), x => {
        let mut dinput = Vec::new();
        if common.gradient {
            dinput = zeros(x.len())?;
            job.run(set, Io::Separate(x, &mut dinput), &mut losses);
        } else {
            job.run(set, Io::Read(x), &mut losses);
        }
        common.gradient.then(|| dinput.into())
    });
    Ok(ElementwiseOutput { loss: reduce(losses, common.reduction, divisor), dinput })
}

struct Elements<'a> {
    spec: &'a ElementwiseSpec<'a>,
    input: &'a ElementwiseInput<'a>,
    mask: Option<&'a [bool]>,
    /// Where the first row begins.
    first: usize,
    dloss: Dloss,
    unit: f32,
    /// The weights of labels that are 1: of all, or of each column.
    positive: Vec<f32>,
}

impl Elements<'_> {
    fn run<T: Lanes>(mut self, set: InstructionSet, mut io: Io<'_, T>, losses: &mut [f32]) {
        let whole = losses.len() / CHUNK * CHUNK;
        let (losses, rest) = losses.split_at_mut(whole);
        let mut chunks: Vec<_> = losses.chunks_exact_mut(CHUNK).map(Losses).collect();
        for_each_row(set, &self, CHUNK, io.split_off(whole), &mut chunks);
        if !rest.is_empty() {
            self.first = whole;
            let len = rest.len();
            for_each_row(set, &self, len, io, &mut [Losses(rest)]);
        }
    }
}

/// Of some elements.
struct Losses<'a>(&'a mut [f32]);

impl<'a> Rows for Elements<'a> {
    type Result = Losses<'a>;

    fn row<S: Simd>(&self, sweep: Sweep<S>, row: usize, work: &mut Work, losses: &mut Losses<'a>) {
        let Work { classes, x, out, a: y, b: weights } = work;
        let first = self.first + row * CHUNK;
        let elements = first..first + *classes;
        with_values!(self.input.targets.values(), targets => {
            sweep.widen(&targets[elements.clone()], y);
        });
        match self.input.weights {
            None => weights.fill(1.0),
            Some(of) => with_values!(of.values(), of => sweep.widen(&of[elements], weights)),
        }
        let of = &self.positive[..];
        let mut positive = [of.first().copied().unwrap_or(1.0); CHUNK];
        if of.len() > 1 {
            let columns = of.iter().cycle().skip(first % of.len());
            positive.iter_mut().zip(columns).for_each(|(positive, weight)| *positive = *weight);
        }
        let mut dloss = [0.0; CHUNK];
        match &self.dloss {
            Dloss::Scalar(all) => dloss.fill(*all),
            Dloss::Each(of) => dloss[..*classes].copy_from_slice(&of[first..first + *classes]),
        }
        if let Some(mask) = self.mask {
            // What weighs 0 contributes 0, whatever its element and its label are.
            let of_chunk = mask[first..first + *classes].iter();
            for (i, _) in of_chunk.enumerate().filter(|(_, counts)| !**counts) {
                (weights[i], dloss[i]) = (0.0, 0.0);
            }
        }
        let chunk = Chunk {
            x,
            y,
            label: self.spec.labels.scale_and_offset(),
            weights,
            positive: &positive,
            dloss: &dloss,
            unit: self.unit,
        };
        chunk.run(sweep.s, self.spec.kind, losses.0, out);
    }
}

/// Some elements and all that belongs to them, whole vectors long.
struct Chunk<'a> {
    x: &'a [f32],
    y: &'a [f32],
    /// The factor and the summand that make a label a probability.
    label: (f32, f32),
    weights: &'a [f32],
    positive: &'a [f32],
    dloss: &'a [f32],
    unit: f32,
}

/// What a logit's losses are made of.
struct Logistic<F> {
    /// log(1 + exp(-|x|)), from which softplus(x) and softplus(-x) are a sum away.
    low: F,
    /// sigmoid(x)
    p: F,
    /// sigmoid(-x)
    miss: F,
}

#[inline(always)]
fn logistic<S: Simd>(s: S, x: S::F) -> Logistic<S::F> {
    let e = exp(s, s.neg(s.abs(x)));
    let large = s.div(s.splat(1.0), s.add(s.splat(1.0), e));
    let small = s.mul(e, large);
    let is_negative = s.lt(x, s.splat(0.0));
    Logistic {
        low: log1p(s, e),
        p: s.select(is_negative, small, large),
        miss: s.select(is_negative, large, small),
    }
}

/// What is above 0 of x; NaN of NaN.
#[inline(always)]
fn above<S: Simd>(s: S, x: S::F) -> S::F {
    let zero = s.splat(0.0);
    s.select(s.lt(x, zero), zero, x)
}

/// 0 at the kink, NaN for NaN.
#[inline(always)]
fn sign<S: Simd>(s: S, d: S::F) -> S::F {
    let (zero, one) = (s.splat(0.0), s.splat(1.0));
    let d = s.select(s.lt(zero, d), one, d);
    s.select(s.lt(d, zero), s.splat(-1.0), d)
}

/// The loss of an element and its derivative, formula (18); `positive` weighs the label's 1.
#[inline(always)]
fn binary_logits<S: Simd>(s: S, x: S::F, y: S::F, positive: S::F) -> (S::F, S::F) {
    let Logistic { low, p, miss } = logistic(s, x);
    let (absent, present) = (s.sub(s.splat(1.0), y), s.mul(positive, y));
    let up = select_times(s, absent, s.add(low, above(s, x)));
    let down = select_times(s, present, s.add(low, above(s, s.neg(x))));
    (s.add(up, down), s.sub(s.mul(absent, p), s.mul(present, miss)))
}

/// The same of a probability; logarithms are no less than -100.
#[inline(always)]
fn binary_probs<S: Simd>(s: S, x: S::F, y: S::F) -> (S::F, S::F) {
    let (one, low) = (s.splat(1.0), s.splat(-100.0));
    let hit = select_times(s, y, s.max(log(s, x), low));
    let miss = select_times(s, s.sub(one, y), s.max(log1p(s, s.neg(x)), low));
    let spread = s.mul(x, s.sub(one, x));
    let slope = s.div(s.sub(x, y), s.max(spread, s.splat(1e-12)));
    // From 0, so that no loss is -0.
    (s.sub(s.splat(0.0), s.add(hit, miss)), slope)
}

/// `of` holds the factors of the label's 1 and of its 0.
#[inline(always)]
fn binary_focal<S: Simd>(s: S, x: S::F, y: S::F, gamma: f32, of: [f32; 2]) -> (S::F, S::F) {
    let Logistic { low, p, miss } = logistic(s, x);
    let (up, down) = (s.add(low, above(s, x)), s.add(low, above(s, s.neg(x))));
    let (hit, hit_slope) = modulation(s, gamma, p, miss, down);
    let (other, other_slope) = modulation(s, gamma, miss, p, up);
    let present = s.mul(s.splat(of[0]), y);
    let absent = s.mul(s.splat(of[1]), s.sub(s.splat(1.0), y));
    let loss = s
        .add(select_times(s, s.mul(present, hit), down), select_times(s, s.mul(absent, other), up));
    let away = s.mul(s.mul(absent, other_slope), p);
    (loss, s.sub(away, s.mul(s.mul(present, hit_slope), miss)))
}

#[inline(always)]
fn squared<S: Simd>(s: S, x: S::F, y: S::F) -> (S::F, S::F) {
    let d = s.sub(x, y);
    (s.mul(d, d), s.add(d, d))
}

#[inline(always)]
fn absolute<S: Simd>(s: S, x: S::F, y: S::F) -> (S::F, S::F) {
    let d = s.sub(x, y);
    (s.abs(d), sign(s, d))
}

#[inline(always)]
fn huber<S: Simd>(s: S, x: S::F, y: S::F, delta: f32) -> (S::F, S::F) {
    let (d, delta, half) = (s.sub(x, y), s.splat(delta), s.splat(0.5));
    let size = s.abs(d);
    let is_far = s.lt(delta, size);
    let far = s.mul(delta, s.sub(size, s.mul(delta, half)));
    let near = s.mul(s.mul(d, d), half);
    (s.select(is_far, far, near), s.select(is_far, s.mul(delta, sign(s, d)), d))
}

#[inline(always)]
fn hinge<S: Simd>(s: S, x: S::F, y: S::F) -> (S::F, S::F) {
    let zero = s.splat(0.0);
    let margin = s.sub(s.splat(1.0), s.mul(y, x));
    let slope = s.select(s.lt(zero, margin), s.neg(y), zero);
    (above(s, margin), s.select(s.eq(margin, margin), slope, margin))
}

impl Chunk<'_> {
    fn run<S: Simd>(&self, s: S, kind: ElementKind, losses: &mut [f32], slopes: &mut [f32]) {
        /// Calls `each` with a formula, inlined.
        macro_rules! each {
            (|$x:ident, $y:ident, $positive:pat_param| $formula:expr) => {
                self.each(
                    s,
                    losses,
                    slopes,
                    #[inline(always)]
                    |$x, $y, $positive| $formula,
                )
            };
        }
        match kind {
            ElementKind::BinaryLogits => each!(|x, y, positive| binary_logits(s, x, y, positive)),
            ElementKind::BinaryProbs => each!(|x, y, _| binary_probs(s, x, y)),
            ElementKind::BinaryFocal { gamma, one, zero } => {
                let (gamma, of) = (gamma as f32, [one as f32, zero as f32]);
                each!(|x, y, _| binary_focal(s, x, y, gamma, of));
            }
            ElementKind::Squared => each!(|x, y, _| squared(s, x, y)),
            ElementKind::Absolute => each!(|x, y, _| absolute(s, x, y)),
            ElementKind::Huber { delta } => {
                let delta = delta as f32;
                each!(|x, y, _| huber(s, x, y, delta));
            }
            ElementKind::Hinge => each!(|x, y, _| hinge(s, x, y)),
        }
    }

    /// Sets each loss and each derivative.
    #[inline(always)]
    fn each<S: Simd>(
        &self,
        s: S,
        losses: &mut [f32],
        slopes: &mut [f32],
        f: impl Fn(S::F, S::F, S::F) -> (S::F, S::F),
    ) {
        s.enable(
            #[inline(always)]
            || {
                let (scale, offset) = (s.splat(self.label.0), s.splat(self.label.1));
                for (i, losses) in losses.chunks_mut(S::LANES).enumerate() {
                    let j = i * S::LANES;
                    let y = s.add(s.mul(scale, s.load(&self.y[j..])), offset);
                    let (loss, slope) = f(s.load(&self.x[j..]), y, s.load(&self.positive[j..]));
                    let weight = s.load(&self.weights[j..]);
                    let loss = s.mul(s.splat(self.unit), select_times(s, weight, loss));
                    let slope = select_times(s, weight, slope);
                    s.store(&mut slopes[j..], s.mul(s.load(&self.dloss[j..]), slope));
                    store(s, losses, loss);
                }
            },
        );
    }
}
