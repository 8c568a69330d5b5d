//! Cross-entropy of rows whose columns come in blocks: what each says of its rows is combined, and the
//! gradient is made of that when the blocks come again.

use super::Options;
use super::chain::Norm;
use super::row::{Row, RowResult, Span};
use super::seen::Seen;
use crate::cpu::columns::Sweep;
use crate::cpu::lanes::Io;
use crate::cpu::rows::{Rows, Work, for_each_row};
use crate::cpu::simd::{InstructionSet, Simd};
use crate::op::{CrossEntropy, Labels, Metrics, Upstream};

/// Rows without ignored ones, of `classes` columns in all, with losses one by one.
pub(crate) struct Blocks<'a> {
    set: InstructionSet,
    options: Options<'a>,
    targets: &'a [i64],
}

/// What rows come to.
pub(crate) struct BlockResults {
    pub(crate) losses: Vec<f32>,
    pub(crate) lse: Vec<f32>,
    pub(crate) metrics: Option<Metrics>,
}

impl<'a> Blocks<'a> {
    /// `op` has losses one by one; each target is a class.
    pub(crate) fn new(
        set: InstructionSet,
        op: &'a CrossEntropy,
        classes: usize,
        targets: &'a [i64],
        upstream: Upstream<'a>,
    ) -> Self {
        let labels = Labels::new(targets).with_upstream(upstream);
        Self { set, options: Options::new(op, labels, classes, 1.0), targets }
    }

    /// Takes a block of the rows' logits, which begins with the class `first`, into what was seen.
    pub(crate) fn see(&self, first: usize, logits: &[f32], seen: &mut [Seen]) {
        let job = Block { of: self, span: self.span(first, logits, seen.len()) };
        for_each_row(self.set, &job, job.span.columns, Io::Read(logits), seen);
    }

    /// What rows come to whose blocks were all seen.
    pub(crate) fn results(&self, seen: &[Seen]) -> BlockResults {
        let mut results = vec![RowResult::IGNORED; seen.len()];
        let job = Finish { of: self, seen };
        for_each_row(self.set, &job, 0, Io::Read(&[] as &[f32]), &mut results);
        let metrics = self.options.metrics(&results, seen.len() as u64);
        let (losses, lse) = results.into_iter().map(|row| (row.loss, row.lse)).unzip();
        BlockResults { losses, lse, metrics }
    }

    /// Puts the gradient of a block of logits in its place.
    pub(crate) fn columns(&self, first: usize, logits: &mut [f32], seen: &[Seen]) {
        let job = BlockColumns { of: self, seen, span: self.span(first, logits, seen.len()) };
        let mut nothing = vec![(); seen.len()];
        for_each_row(self.set, &job, job.span.columns, Io::InPlace(logits), &mut nothing);
    }

    fn span(&self, first: usize, logits: &[f32], rows: usize) -> Span {
        let columns = logits.len() / rows.max(1);
        let weight = |class| f64::from(self.options.weight_of(class));
        Span { first, columns, weight: (first..first + columns).map(weight).sum() }
    }

    /// A row's target.
    fn class(&self, row: usize) -> usize {
        usize::try_from(self.targets[row]).unwrap_or(usize::MAX)
    }
}

struct Block<'a> {
    of: &'a Blocks<'a>,
    span: Span,
}

impl Rows for Block<'_> {
    type Result = Seen;

    fn row<S: Simd>(&self, sweep: Sweep<S>, row: usize, work: &mut Work, seen: &mut Seen) {
        let (options, span) = (&self.of.options, self.span);
        let z = options.chain_of(sweep, &work.x, &mut work.b);
        let block = Row { options, sweep, span, x: &work.x, z };
        *seen = seen.combine(block.seen(self.of.class(row)), options.z_scale);
    }
}

struct Finish<'a> {
    of: &'a Blocks<'a>,
    seen: &'a [Seen],
}

impl Rows for Finish<'_> {
    type Result = RowResult;

    fn row<S: Simd>(&self, sweep: Sweep<S>, row: usize, _: &mut Work, result: &mut RowResult) {
        let seen = &self.seen[row];
        let norm = Norm::of(sweep, seen.stat, self.of.options.z_scale);
        *result = self.of.options.class_result(norm, seen, self.of.class(row));
    }
}

struct BlockColumns<'a> {
    of: &'a Blocks<'a>,
    seen: &'a [Seen],
    span: Span,
}

impl Rows for BlockColumns<'_> {
    type Result = ();

    fn row<S: Simd>(&self, sweep: Sweep<S>, row: usize, work: &mut Work, (): &mut ()) {
        let (options, span, seen) = (&self.of.options, self.span, &self.seen[row]);
        let norm = Norm::of(sweep, seen.stat, options.z_scale);
        let dloss = options.dloss.at(row);
        let of_row = options.class_columns(sweep, norm, seen, (self.of.class(row), dloss));
        let z = options.chain_of(sweep, &work.x, &mut work.b);
        Row { options, sweep, span, x: &work.x, z }.class_columns(&of_row, &mut work.out);
    }
}
