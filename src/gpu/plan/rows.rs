//! Which kernels rows go through, by their length and number.

use super::{
    Bound, Destination, HELD_WORDS, MAX_WORDS_A_LANE, Pass, Planner, Role, SCRATCH_WORD,
    UpstreamRegion,
};
use crate::gpu::fragment::Slot;
use crate::gpu::kernel::{Columns, Family, Kernel, RowKernel, TargetType, UpstreamFrom};
use crate::gpu::params::Params;
use crate::op::Reduction;

impl Planner<'_> {
    /// How many pieces a row has to be cut into so that no lane handles too many words; 0 if it
    /// need not be cut.
    fn needed_pieces(&self) -> u64 {
        let words = self.problem.classes.div_ceil(self.word.width().into());
        let needed = words.div_ceil(MAX_WORDS_A_LANE * u64::from(self.caps.lanes()));
        if needed > 1 { needed } else { 0 }
    }

    /// Whether the device has the bindings for split rows: they need one more than others.
    fn can_split(&self) -> bool {
        let families = [Family::SplitSweep, Family::SplitFinish, Family::SplitColumns];
        self.problem.passes.iter().flat_map(|pass| families.map(|family| (pass, family))).all(
            |(pass, family)| {
                let kernel = self.row_kernel(pass, family);
                kernel.storage_bindings() <= self.caps.max_storage_bindings
            },
        )
    }

    /// Cuts rows in pieces where they have to be, or where it pays.
    pub(super) fn split_rows(&mut self) {
        let needed = self.needed_pieces();
        self.splits = if self.can_split() { self.pieces_a_row().max(needed) } else { needed };
    }

    /// How many pieces a row is cut into so that all workgroups have work; 0 for none.
    fn pieces_a_row(&self) -> u64 {
        let (rows, classes) = (self.problem.rows, self.problem.classes);
        let are_few = rows > 0 && rows <= u64::from(self.tuning.split_max_rows);
        if !are_few || classes < u64::from(self.tuning.split_min_classes) {
            return 0;
        }
        // A piece keeps a whole workgroup busy for a while, whatever the row's length.
        let longest = classes.div_ceil(4 * u64::from(self.tuning.max_row_workgroup)).max(1);
        u64::from(self.tuning.split_workgroups).div_ceil(rows).clamp(2.min(longest), longest)
    }

    pub(super) fn row_kernel(&self, pass: &Pass, family: Family) -> Kernel {
        let columns = match pass.output {
            Destination::None => Columns::None,
            Destination::InPlace => Columns::InPlace,
            Destination::Separate(_) => Columns::Separate,
        };
        let problem = self.problem;
        let upstream = match problem.upstream {
            UpstreamRegion::Rows(_) => UpstreamFrom::Rows,
            UpstreamRegion::Elements(_) => UpstreamFrom::Elements,
            // Elsewhere what a mean divides by is known beforehand.
            UpstreamRegion::Scalar(_)
                if problem.reduction == Reduction::Mean && problem.is_counted() =>
            {
                UpstreamFrom::Mean
            }
            UpstreamRegion::Scalar(_) => UpstreamFrom::Scalar,
        };
        let kernel = RowKernel {
            family,
            op: pass.op,
            word: self.word,
            columns,
            reduce: self.tuning.reduce,
            targets: problem.targets.map_or(TargetType::I32, |targets| targets.width),
            upstream,
            weighting: problem.loss.weighting,
            chain: problem.loss.chain,
            form: problem.loss.form,
            metrics: problem.loss.metrics,
            factors: problem.factors.is_some(),
            masked: problem.row_mask.is_some() || problem.element_mask.is_some(),
            sharing: problem.sharing,
        };
        Kernel::Rows(kernel.canonical())
    }

    pub(super) fn row_workgroup(&self, words: u64) -> u32 {
        // A handful of words a lane, as far as the sizes allow.
        let wanted = (words / 4).next_power_of_two().min(1 << 16) as u32;
        let needed = words.div_ceil(MAX_WORDS_A_LANE).next_power_of_two().min(1 << 16) as u32;
        wanted.clamp(self.tuning.min_row_workgroup, self.tuning.max_row_workgroup).max(needed)
    }

    /// How a workgroup of a size handles a row that is neither short nor split. With columns or
    /// without, it is of one size, so that their bits agree.
    fn row_family(&self, pass: &Pass, params: &Params, size: u32) -> Family {
        let kernel = self.row_kernel(pass, Family::Held);
        let can_hold = matches!(kernel, Kernel::Rows(kernel) if kernel.family == Family::Held);
        let fits = params.words.div_ceil(size) <= HELD_WORDS
            && params.classes <= self.tuning.held_max_classes
            && params.swept_words == params.words;
        if can_hold && fits { Family::Held } else { Family::Row }
    }

    pub(super) fn row_steps(&mut self, pass: &Pass, first_row: u64, rows: u64) {
        let (params, mut available) = self.bind(pass, first_row, rows);
        let classes = self.problem.classes;
        if self.splits > 0 {
            let piece = self.row_kernel(pass, Family::SplitSweep).piece_words();
            let size = rows * (2 + self.splits * piece) * SCRATCH_WORD;
            available.push(Bound::new(Slot::Scratch, 0, size));
            self.split_steps(pass, params, &available);
        } else if classes <= MAX_WORDS_A_LANE.min(self.tuning.lane_max_classes.into()) {
            let size = 64.min(self.caps.lanes());
            let groups = rows.div_ceil(size.into());
            self.push(self.row_kernel(pass, Family::Lane), size, groups, params, &available);
        } else {
            let size = self.row_workgroup(params.words.into());
            let kernel = self.row_kernel(pass, self.row_family(pass, &params, size));
            self.push(kernel, size, rows, params, &available);
        }
        if self.problem.has_edges(pass) {
            self.join_edges(pass, first_row, params, &available);
        }
    }

    fn split_steps(&mut self, pass: &Pass, mut params: Params, available: &[Bound]) {
        let (rows, words) = (u64::from(params.rows), u64::from(params.words));
        params.split_words = words.div_ceil(self.splits) as u32;
        let sweep = self.row_workgroup(params.split_words.into());
        let fold = self.tuning.min_row_workgroup;
        let pieces = rows * self.splits;
        self.push(self.row_kernel(pass, Family::SplitSweep), sweep, pieces, params, available);
        self.push(self.row_kernel(pass, Family::SplitFinish), fold, rows, params, available);
        let columns = self.row_kernel(pass, Family::SplitColumns);
        let in_sweep = matches!(columns, Kernel::Rows(kernel) if kernel.writes_in_sweep());
        if pass.output != Destination::None && !in_sweep {
            self.push(columns, sweep, pieces, params, available);
        }
    }

    /// After rows of 16-bit elements: what they share u32s with others for.
    fn join_edges(&mut self, pass: &Pass, first_row: u64, mut params: Params, from: &[Bound]) {
        let (region, role) = match pass.output {
            Destination::Separate(region) => (region, pass.role),
            Destination::InPlace => (self.problem.input, Role::Slot(Slot::Input)),
            Destination::None => return,
        };
        let rows = u64::from(params.rows);
        let (output, offset, stride) =
            self.matrix_window(Slot::Output, region, [first_row - self.held.first, rows]);
        (params.output_offset, params.output_stride) = (offset, stride);
        let edges = from.iter().copied().filter(|bound| bound.slot == Slot::Edges);
        let bound: Vec<_> = edges.chain([Bound { role, ..output }]).collect();
        let size = 64.min(self.caps.lanes());
        // A place more than there are rows: behind the last.
        self.push(Kernel::JoinEdges, size, (rows + 1).div_ceil(size.into()), params, &bound);
    }
}
