//! Which shader files make up a kernel over rows.

use crate::gpu::caps::Reduce;
#[allow(clippy::wildcard_imports, reason = "the lists below are made of their names")]
use crate::gpu::fragment::*;
use crate::gpu::kernel::{Chain, Columns, Family, RowKernel, Sharing, UpstreamFrom, Weighting};
use crate::gpu::ops::{OpFiles, RowOp};
use crate::op::InputForm;

impl RowKernel {
    /// Its name, for labels and messages.
    pub(super) fn name(self) -> String {
        let mut name = format!(
            "{:?} {:?} {:?} {:?} {:?}",
            self.op, self.family, self.word, self.columns, self.reduce
        );
        // What an operation does not have is left out.
        let has_targets = self.op.has_index_targets() && self.has_row();
        let options = [
            (has_targets, format!("{:?} targets", self.targets)),
            (self.upstream != UpstreamFrom::Scalar, format!("{:?} upstream", self.upstream)),
            (self.weighting != Weighting::None, format!("{:?}", self.weighting)),
            (self.chain != Chain::None, format!("{:?}", self.chain)),
            (self.form != InputForm::Logits, self.form.to_string()),
            (self.metrics, "metrics".to_owned()),
            (self.factors, "factors".to_owned()),
            (self.masked, "masked".to_owned()),
            (self.sharing == Sharing::Shared, "shared".to_owned()),
        ];
        for (_, option) in options.into_iter().filter(|(is_there, _)| *is_there) {
            name += " ";
            name += &option;
        }
        name
    }

    /// Whether the kernel begins and finishes rows.
    pub(super) fn has_row(self) -> bool {
        matches!(self.family, Family::Row | Family::Held | Family::Lane | Family::SplitFinish)
    }

    /// Whether it matters to the kernel which rows count.
    pub(super) fn finds_rows(self) -> bool {
        self.has_row() || self.family == Family::SplitColumns
    }

    /// Whether the kernel goes through the words of rows and accumulates.
    pub(super) fn sweeps(self) -> bool {
        matches!(self.family, Family::Row | Family::Held | Family::Lane | Family::SplitSweep)
    }

    /// Whether lanes have to agree on a result.
    pub(super) fn reduces(self) -> bool {
        matches!(self.family, Family::Row | Family::Held | Family::SplitSweep | Family::SplitFinish)
    }

    /// Whether a row's words can stay with the lanes that sweep them: where they are written after
    /// the sweep, each in the place of one that was read.
    pub(super) fn can_hold(self) -> bool {
        self.columns != Columns::None && !self.word.is_ragged() && !self.writes_in_sweep()
    }

    /// Whether its columns are written while it sweeps: in one visit, where every word has its own
    /// place in the output.
    pub(super) fn writes_in_sweep(self) -> bool {
        match self.op {
            RowOp::Elements(_) => !self.word.is_ragged(),
            RowOp::ElementLosses(_) => true,
            _ => false,
        }
    }

    /// Whether it writes rows that may share a u32 with others.
    pub(super) fn has_edges(self) -> bool {
        self.word.is_ragged()
            && matches!(self.family, Family::Row | Family::Lane | Family::SplitColumns)
            && self.columns != Columns::None
            && !self.writes_in_sweep()
    }

    pub(super) fn fragments(self) -> Vec<&'static Fragment> {
        self.fragments_with(self.io())
    }

    /// The same with another file in the place of the one that knows where the matrices lie.
    pub(super) fn fragments_with(self, io: &'static Fragment) -> Vec<&'static Fragment> {
        let files = self.files();
        let mut list = vec![&PARAMS, &STARTS, &FLOATS];
        list.extend(self.word.fragments());
        list.push(io);
        if self.has_edges() {
            list.extend([&EDGES, &STORE_RAGGED]);
        }
        list.extend(&files.reads);
        if self.finds_rows() {
            list.extend(self.counted_rows());
        }
        if self.family != Family::SplitColumns {
            list.extend(files.acc.files);
        }
        if self.sweeps() {
            let swept = self.word.pick(&SWEEP_WHOLE, &SWEEP_RAGGED);
            let words = if self.family == Family::Held { &SWEEP_HELD } else { &SWEEP_WORDS };
            list.extend([files.sweep, swept, words]);
            if self.writes_in_sweep() && self.columns != Columns::None {
                list.extend(self.upstream_files());
            }
        }
        if self.reduces() {
            match (self.reduce, files.acc.subgroup) {
                (Reduce::Subgroup, Some(subgroup)) => list.extend([subgroup, &REDUCE_SUBGROUP]),
                (Reduce::OneSubgroup, Some(subgroup)) => {
                    list.extend([subgroup, &REDUCE_ONE_SUBGROUP]);
                }
                _ => list.push(&REDUCE_TREE),
            }
        }
        if self.has_row() {
            if !self.op.has_index_targets() {
                list.push(&ROW_SWEPT);
            }
            list.extend(&files.row);
            self.push_columns(&files, &mut list);
        }
        if self.family == Family::SplitColumns {
            list.extend(&files.column);
            list.extend(self.columns_files());
            if self.op.is_elementwise() {
                list.extend(self.upstream_files());
            }
        }
        list.extend(match self.family {
            Family::Row | Family::Held => vec![&ROW],
            Family::Lane => vec![&LANE],
            Family::SplitSweep => vec![&SCRATCH, &SCRATCH_PIECES, &SPLIT_SWEEP],
            Family::SplitFinish => vec![&SCRATCH, &SCRATCH_PIECES, &SPLIT_FINISH],
            Family::SplitColumns => vec![&SCRATCH, &SPLIT_COLUMNS],
        });
        list
    }

    /// Where its matrices lie.
    fn io(self) -> &'static Fragment {
        let word = self.word;
        match (self.family, self.columns) {
            (Family::SplitFinish, _) | (_, Columns::None) => word.pick(&IO_READ, &IO_READ_RAGGED),
            _ if word.is_narrow() && matches!(self.op, RowOp::ElementLosses(_)) => {
                word.pick(&IO_LOSSES, &IO_LOSSES_RAGGED)
            }
            (_, Columns::InPlace) => word.pick(&IO_IN_PLACE, &IO_IN_PLACE_RAGGED),
            (_, Columns::Separate) => word.pick(&IO_SEPARATE, &IO_SEPARATE_RAGGED),
        }
    }

    fn upstream_files(self) -> Vec<&'static Fragment> {
        match self.upstream {
            UpstreamFrom::Scalar => vec![&UPSTREAM_SCALAR],
            UpstreamFrom::Mean => vec![&SUMMARY, &UPSTREAM_MEAN],
            UpstreamFrom::Rows => vec![&UPSTREAM_ROWS],
            UpstreamFrom::Elements => {
                vec![self.word.pick(&UPSTREAM_ELEMENTS, &UPSTREAM_ELEMENTS_RAGGED)]
            }
        }
    }

    fn push_columns(self, files: &OpFiles, list: &mut Vec<&'static Fragment>) {
        if self.columns == Columns::None || self.writes_in_sweep() {
            list.push(&COLUMNS_NONE);
            return;
        }
        list.extend(self.upstream_files());
        list.extend(&files.column);
        list.push(files.finish);
        if self.family == Family::SplitFinish {
            list.push(&COLUMNS_LATER);
        } else {
            list.extend(self.columns_files());
            list.push(&COLUMNS_NOW);
        }
    }

    /// What goes through a row's words and writes them.
    fn columns_files(self) -> [&'static Fragment; 2] {
        let skips = if self.op.has_index_targets() { &SKIPS } else { &SKIPS_ROWS };
        if self.family == Family::Held {
            return [skips, &COLUMNS_HELD];
        }
        [skips, self.word.pick(&COLUMNS_WHOLE, &COLUMNS_RAGGED)]
    }
}
