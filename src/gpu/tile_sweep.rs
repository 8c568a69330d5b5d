//! The loss of a linear layer by tiles of logits: which shader files make up its kernels.

use std::collections::HashSet;

use crate::gpu::caps::Reduce;
#[allow(clippy::wildcard_imports, reason = "the list below is made of their names")]
use crate::gpu::fragment::*;
use crate::gpu::kernel::{
    Chain, Columns, Family, Kernel, RowKernel, Sharing, TargetType, UpstreamFrom, Weighting,
};
use crate::gpu::ops::RowOp;
use crate::gpu::product::{Form, ProductKernel, Start, Tile};
use crate::gpu::word::Word;
use crate::op::InputForm;

/// Everything that distinguishes one kernel that sweeps tiles of logits from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TileSweep {
    /// What it collects of a row, as the sweep of a piece of a split row does.
    pub row: RowKernel,
    /// What makes the logits.
    pub product: ProductKernel,
    /// The targets' width.
    pub targets: TargetType,
}

impl TileSweep {
    /// The kernel for rows with these options.
    pub(super) fn new(row: RowKernel, product: ProductKernel, targets: TargetType) -> Self {
        // Lanes leave what they collect, and reduce nothing.
        let (family, word, reduce) = (Family::SplitSweep, Word::F32, Reduce::Tree);
        let row = RowKernel { family, word, reduce, ..row }.canonical();
        Self { row, product: ProductKernel { by_four: false, ..product }, targets }
    }

    /// Its name, for labels and messages.
    pub(super) fn name(self) -> String {
        format!("{} {} {:?} targets", self.row.name(), self.product.name(), self.targets)
    }

    pub(super) fn fragments(self) -> Vec<&'static Fragment> {
        let files = self.row.files();
        let mut list = vec![&PARAMS, &STARTS, &FLOATS, &WORD_F32];
        list.extend(self.product.tile_files());
        list.push(&LOGITS_TILE);
        list.extend(&files.reads);
        list.extend(files.acc.files);
        list.extend([files.sweep, &SWEEP_WHOLE, self.targets.fragment()]);
        list.extend([&SCRATCH, &SCRATCH_PIECES, &TILE_SWEEP]);
        list
    }

    /// Every kernel of tiles that a plan can ask for.
    pub(super) fn all() -> Vec<Kernel> {
        let mut all = Vec::new();
        for product in ProductKernel::all() {
            let is_swept = product.form == Form::RightTransposed
                && product.start != Start::Stored
                && product.tile.sweeps()
                && !product.by_four;
            if !is_swept {
                continue;
            }
            for row in rows() {
                all.push(Kernel::TileSweep(Self::new(row, product, row.targets)));
            }
        }
        all.extend(rows().into_iter().map(|row| Kernel::TileFinish(row.canonical())));
        let mut seen = HashSet::new();
        all.retain(|kernel| seen.insert(*kernel));
        all
    }
}

/// Cross-entropy by pieces of rows, with all that it may have.
fn rows() -> Vec<RowKernel> {
    let mut rows = Vec::new();
    for weighting in [Weighting::None, Weighting::Weights, Weighting::Smoothed] {
        for chain in [Chain::None, Chain::Softcap] {
            for metrics in [false, true] {
                for targets in [TargetType::I32, TargetType::I64] {
                    for reduce in [Reduce::Subgroup, Reduce::Tree] {
                        rows.push(RowKernel {
                            family: Family::SplitFinish,
                            op: RowOp::CrossEntropy,
                            word: Word::F32,
                            columns: Columns::None,
                            reduce,
                            targets,
                            upstream: UpstreamFrom::Scalar,
                            weighting,
                            chain,
                            form: InputForm::Logits,
                            metrics,
                            factors: false,
                            masked: false,
                            sharing: Sharing::Apart,
                        });
                    }
                }
            }
        }
    }
    rows
}

impl Tile {
    /// Whether there is room for a tile of logits beside what makes them.
    pub(super) const fn sweeps(self) -> bool {
        !matches!(self, Self::Large)
    }

    /// Bytes of workgroup memory with a tile of logits, whose rows are a word apart.
    pub(super) const fn sweep_memory(self) -> u32 {
        self.memory() + self.rows() * (self.columns() + 4) * 4
    }

    /// Lanes that sweep a row together.
    pub(super) const fn lanes_a_row(self) -> u32 {
        self.lanes() / self.rows()
    }
}
