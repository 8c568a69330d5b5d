//! Softmax, log-softmax, logsumexp, entropy, surprisal and their backward, row by row.

use crate::cpu::columns::Sweep;
use crate::cpu::lanes::{Io, Lanes, with_pair};
use crate::cpu::math::exp;
use crate::cpu::plain::{
    Columns, Finished, Pick, PlainRows, RowResults, Swept, for_each_plain_row,
};
use crate::cpu::rows::{Rows, Work, for_each_row};
use crate::cpu::simd::{InstructionSet, Simd};
use crate::cpu::{RowStat, select_times, zeros};
use crate::error::Result;
use crate::matrix::{Array, MatrixMut, Values, with_values, with_values_mut};
use crate::op::{Data, Transform, Unit, Upstream, counts};

pub(crate) fn transform(
    set: InstructionSet,
    (op, unit): (Transform, Unit),
    data: &Data<'_>,
) -> Result<Array> {
    op.validate(data)?;
    with_values!(data.input.values(), x => {
        if op.reduces() {
            return Ok(Array::F32(reduced(set, (op, unit), data, x)));
        }
        let mut out = zeros(x.len())?;
        evaluate(set, (op, unit), data, Io::Separate(x, &mut out));
        Ok(out.into())
    })
}

/// With the result in `out`, which fits.
pub(crate) fn transform_into(
    set: InstructionSet,
    (op, unit): (Transform, Unit),
    data: &Data<'_>,
    out: MatrixMut<'_>,
) -> Result<()> {
    op.validate(data)?;
    with_pair!(data.input.values(), out.into_values(), (x, out) => {
        evaluate(set, (op, unit), data, Io::Separate(x, out));
        Ok(())
    })
}

/// With the result of a transform of nothing but a matrix over that.
pub(crate) fn transform_in_place(
    set: InstructionSet,
    (op, unit): (Transform, Unit),
    matrix: MatrixMut<'_>,
    mask: Option<&[bool]>,
) -> Result<()> {
    let shape = (matrix.as_matrix().rows(), matrix.as_matrix().columns());
    op.validate(&Data { mask, ..Data::of(matrix.as_matrix()) })?;
    let of_rows = OfRows { mask, drows: None, unit: unit.per_nat() as f32 };
    with_values_mut!(matrix.into_values(), x => {
        plain(set, op, shape, &of_rows, Io::InPlace(x));
    });
    Ok(())
}

/// One number a row.
fn reduced<T: Lanes>(
    set: InstructionSet,
    (op, unit): (Transform, Unit),
    data: &Data<'_>,
    x: &[T],
) -> Vec<f32> {
    let mut results = vec![0.0; data.input.rows()];
    let classes = data.input.columns();
    if op == Transform::LogSumExp {
        let shape = (data.input.rows(), classes);
        let lse = RowResults { lse: &mut results, ..RowResults::default() };
        for_each_plain_row(set, &LogSumExps { mask: data.mask }, shape, Io::Read(x), lse);
    } else {
        let job = Entropies { mask: data.mask, unit: unit.per_nat() as f32 };
        for_each_row(set, &job, classes, Io::Read(x), &mut results);
    }
    results
}

/// The result goes where `io` says, which also has the matrix.
fn evaluate<T: Lanes>(
    set: InstructionSet,
    (op, unit): (Transform, Unit),
    data: &Data<'_>,
    io: Io<'_, T>,
) {
    let (rows, classes) = (data.input.rows(), data.input.columns());
    let drows = match data.upstream {
        Upstream::Each(drows) => Some(drows.to_f32()),
        Upstream::Scalar(_) => None,
    };
    let of_rows = OfRows { mask: data.mask, drows, unit: unit.per_nat() as f32 };
    let mut nothing = vec![(); rows];
    if let Some(dy) = data.second {
        let job = Backward { op, dy: dy.values(), of_rows: &of_rows };
        for_each_row(set, &job, classes, io, &mut nothing);
    } else if op == Transform::EntropyBackward {
        for_each_row(set, &EntropyGradient(&of_rows), classes, io, &mut nothing);
    } else {
        plain(set, op, (rows, classes), &of_rows, io);
    }
}

/// Which rows count, and what rows are multiplied by.
struct OfRows<'a> {
    mask: Option<&'a [bool]>,
    drows: Option<Vec<f32>>,
    unit: f32,
}

impl OfRows<'_> {
    fn upstream(&self, row: usize) -> f32 {
        self.drows.as_ref().map_or(1.0, |drows| drows[row])
    }
}

fn pick(mask: Option<&[bool]>, row: usize) -> Pick {
    if counts(mask, row) { Pick::Nothing } else { Pick::Ignored }
}

/// Transforms that a row's statistic is enough for.
fn plain<T: Lanes>(
    set: InstructionSet,
    op: Transform,
    shape: (usize, usize),
    of_rows: &OfRows<'_>,
    io: Io<'_, T>,
) {
    let nothing = RowResults::default();
    let scale = match op {
        Transform::LogSoftmax => -1.0,
        Transform::Surprisal => of_rows.unit,
        _ => return for_each_plain_row(set, &Exps(of_rows), shape, io, nothing),
    };
    for_each_plain_row(set, &Logs { mask: of_rows.mask, scale }, shape, io, nothing);
}

struct LogSumExps<'a> {
    mask: Option<&'a [bool]>,
}

impl PlainRows for LogSumExps<'_> {
    const COLUMNS: Columns = Columns::Exps;

    #[inline(always)]
    fn pick(&self, row: usize) -> Pick {
        pick(self.mask, row)
    }

    #[inline(always)]
    fn finish<S: Simd>(&self, s: S, swept: &Swept<S::F>) -> Finished<S::F> {
        Finished { lse: swept.lse(s), ..Finished::nothing(s) }
    }
}

/// Softmax, times a number for each row.
struct Exps<'a>(&'a OfRows<'a>);

impl PlainRows for Exps<'_> {
    const COLUMNS: Columns = Columns::Exps;

    #[inline(always)]
    fn pick(&self, row: usize) -> Pick {
        pick(self.0.mask, row)
    }

    #[inline(always)]
    fn upstream(&self, row: usize) -> f32 {
        self.0.upstream(row)
    }

    #[inline(always)]
    fn finish<S: Simd>(&self, s: S, swept: &Swept<S::F>) -> Finished<S::F> {
        Finished { scale: s.mul(swept.upstream, swept.over_sum), ..Finished::nothing(s) }
    }
}

/// The surprisal, by a number.
struct Logs<'a> {
    mask: Option<&'a [bool]>,
    scale: f32,
}

impl PlainRows for Logs<'_> {
    const COLUMNS: Columns = Columns::Logs;

    #[inline(always)]
    fn pick(&self, row: usize) -> Pick {
        pick(self.mask, row)
    }

    #[inline(always)]
    fn finish<S: Simd>(&self, s: S, swept: &Swept<S::F>) -> Finished<S::F> {
        Finished { scale: swept.defined(s, s.splat(self.scale)), ..Finished::nothing(s) }
    }
}

/// The statistic of a row, `log1p(rest)` and the entropy, formula (21): two terms of one sign.
fn entropy<S: Simd>(sweep: Sweep<S>, x: &[f32], classes: usize) -> (RowStat, f32, f32) {
    let s = sweep.s;
    let stat = sweep.stat(&x[..classes]);
    let log_sum = sweep.log1p(stat.rest());
    let max = stat.max();
    let sum = sweep.sum(
        classes,
        #[inline(always)]
        |j| {
            let distance = s.sub(s.splat(max), s.load(&x[j..]));
            select_times(s, exp(s, s.neg(distance)), distance)
        },
    );
    (stat, log_sum, sum as f32 / stat.sum() + log_sum)
}

struct Entropies<'a> {
    mask: Option<&'a [bool]>,
    unit: f32,
}

impl Rows for Entropies<'_> {
    type Result = f32;

    fn counts(&self, row: usize) -> bool {
        counts(self.mask, row)
    }

    fn row<S: Simd>(&self, sweep: Sweep<S>, _row: usize, work: &mut Work, result: &mut f32) {
        *result = self.unit * entropy(sweep, &work.x, work.classes).2;
    }
}

struct EntropyGradient<'a>(&'a OfRows<'a>);

impl Rows for EntropyGradient<'_> {
    type Result = ();

    fn counts(&self, row: usize) -> bool {
        counts(self.0.mask, row)
    }

    fn row<S: Simd>(&self, sweep: Sweep<S>, row: usize, work: &mut Work, (): &mut ()) {
        let s = sweep.s;
        let Work { classes, x, out, .. } = work;
        let x = &*x;
        let (stat, log_sum, entropy) = entropy(sweep, x, *classes);
        let (max, inverse) = (stat.max(), 1.0 / stat.sum());
        let dentropy = self.0.unit * self.0.upstream(row);
        sweep.fill(
            out,
            #[inline(always)]
            |j| {
                let distance = s.sub(s.splat(max), s.load(&x[j..]));
                let p = s.mul(exp(s, s.neg(distance)), s.splat(inverse));
                let nll = s.add(distance, s.splat(log_sum));
                select_times(s, s.mul(s.splat(dentropy), p), s.sub(nll, s.splat(entropy)))
            },
        );
    }
}

/// The backward of softmax and of log-softmax; the matrix is what these returned.
struct Backward<'a> {
    op: Transform,
    dy: Values<'a>,
    of_rows: &'a OfRows<'a>,
}

impl Rows for Backward<'_> {
    type Result = ();

    fn counts(&self, row: usize) -> bool {
        counts(self.of_rows.mask, row)
    }

    fn row<S: Simd>(&self, sweep: Sweep<S>, row: usize, work: &mut Work, (): &mut ()) {
        let s = sweep.s;
        let Work { classes, x: y, out, a: dy, .. } = work;
        let columns = row * *classes..(row + 1) * *classes;
        with_values!(self.dy, values => sweep.widen(&values[columns], dy));
        let (y, dy) = (&*y, &*dy);
        if self.op == Transform::SoftmaxBackward {
            let dot = sweep.sum(
                *classes,
                #[inline(always)]
                |j| s.mul(s.load(&y[j..]), s.load(&dy[j..])),
            ) as f32;
            sweep.fill(
                out,
                #[inline(always)]
                |j| s.mul(s.load(&y[j..]), s.sub(s.load(&dy[j..]), s.splat(dot))),
            );
        } else {
            let sum = sweep.sum(
                *classes,
                #[inline(always)]
                |j| s.load(&dy[j..]),
            ) as f32;
            sweep.fill(
                out,
                #[inline(always)]
                |j| s.sub(s.load(&dy[j..]), s.mul(exp(s, s.load(&y[j..])), s.splat(sum))),
            );
        }
    }
}
