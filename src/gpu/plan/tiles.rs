//! The loss of a linear layer without a matrix of logits: tiles of them are swept where they are made,
//! and what their rows come to is folded as that of split rows is.

use super::bind::window;
use super::layer::{Chunk, Planner, chunk_region};
use super::product::{Extents, parts};
use super::{Bound, Pass, SCRATCH_WORD, Step};
use crate::error::Result;
use crate::gpu::fragment::Slot;
use crate::gpu::kernel::{Family, Kernel, RowKernel, TargetType};
use crate::gpu::ops::RowOp;
use crate::gpu::params::Params;
use crate::gpu::product::Tile;
use crate::gpu::tile_sweep::TileSweep;
use crate::gpu::word::Word;

/// Iterations of an invocation in one dispatch: see [`super::MAX_DEPTH`].
const MAX_ITERATIONS: u64 = 28_000;

/// Columns that a lane writes, unless they are few.
const WORDS_A_LANE: u64 = 8;

/// A layer whose loss is computed by tiles.
pub(super) struct Tiles<'a> {
    planner: &'a Planner<'a>,
    pass: Pass,
    tile: Tile,
    /// What the finished rows are, as pieces.
    row: RowKernel,
    /// Workgroups that share a row's tiles.
    stripes: u64,
    /// Rows and classes of a dispatch.
    cut: [u64; 2],
}

impl<'a> Tiles<'a> {
    /// Unless there are gradients, targets are probabilities, or the device lacks the room.
    pub(super) fn new(planner: &'a Planner<'a>) -> Result<Option<Self>> {
        let scratch = planner.layer.scratch_bytes;
        if planner.layer.has_gradient() { Ok(None) } else { Self::with(planner, scratch) }
    }

    /// With all rows' pieces in scratch at a time, for blocks of classes to add to; unless the device
    /// lacks the room.
    pub(super) fn of_blocks(planner: &'a Planner<'a>) -> Result<Option<Self>> {
        let Some(mut tiles) = Self::with(planner, u64::MAX)? else { return Ok(None) };
        // The pieces of a whole tile of rows are a multiple of 512 bytes, and so of any alignment.
        let height = u64::from(tiles.tile.rows());
        tiles.cut[0] = tiles.cut[0].next_multiple_of(height);
        let (layer, rows) = (planner.layer, tiles.cut[0].min(planner.problem.rows));
        let bound = [rows * tiles.row_bytes(), layer.hidden.extent(rows, layer.width)];
        let room = planner.caps.max_binding_bytes.saturating_sub(planner.caps.storage_alignment);
        let fits = bound.into_iter().all(|bytes| bytes <= room);
        Ok(fits.then_some(tiles))
    }

    /// With so many bytes of scratch.
    fn with(planner: &'a Planner<'a>, scratch_bytes: u64) -> Result<Option<Self>> {
        let (layer, problem, caps) = (planner.layer, planner.problem, planner.caps);
        let tile = match planner.tuning.fit(caps).product_tile {
            Tile::Slim => Tile::Slim,
            _ => Tile::Medium,
        };
        let fits =
            tile.lanes() <= caps.max_workgroup_size && tile.sweep_memory() <= caps.workgroup_memory;
        let [pass] = problem.passes[..] else { return Ok(None) };
        if pass.op != RowOp::CrossEntropy {
            return Ok(None);
        }
        let (height, width) = (u64::from(tile.rows()), u64::from(tile.columns()));
        // Rows of hidden and of the weights that a binding holds.
        let room = caps.max_binding_bytes.saturating_sub(caps.storage_alignment);
        let fitting = [layer.hidden, layer.weight].map(|region| {
            let row = region.bytes(layer.width);
            room.checked_sub(row).map_or(0, |more| 1 + more / region.bytes(region.row_stride))
        });
        if !fits {
            return Ok(None);
        }
        let blocks = problem.rows.div_ceil(height).max(1);
        let wanted = u64::from(planner.tuning.split_workgroups).div_ceil(blocks);
        let stripes = wanted.clamp(1, problem.classes.div_ceil(width).max(1));
        // What a step of a tile's depth takes, and the sweep of a tile.
        let iterations = layer.width + layer.width / 4 + 2 + width;
        let tiles = (MAX_ITERATIONS / iterations * stripes).min(fitting[1] / width);
        if tiles == 0 {
            return Ok(None);
        }
        let mut windows = planner.windows(problem).planner(0)?;
        windows.word = Word::F32;
        let Kernel::Rows(row) = windows.row_kernel(&pass, Family::SplitFinish) else {
            return Ok(None);
        };
        let mut tiles = Self { planner, pass, tile, row, stripes, cut: [0, tiles * width] };
        let operations = 2 * height * tiles.cut[1] * layer.width;
        let by_time = (planner.tuning.operations_a_dispatch() / operations).max(1);
        let by_grid = (u64::from(caps.max_workgroups).pow(2) / stripes).max(1);
        let by_scratch = scratch_bytes.min(room) / tiles.row_bytes();
        let rows = fitting[0].min(by_scratch).min(height * by_time.min(by_grid)).max(1);
        tiles.cut[0] = if rows >= height { rows - rows % height } else { rows };
        let needed = tiles.sweep_kernel().storage_bindings();
        Ok((needed <= caps.max_storage_bindings).then_some(tiles))
    }

    fn splits(&self) -> u64 {
        self.stripes * u64::from(self.tile.lanes_a_row())
    }

    /// Bytes of scratch that a row takes.
    fn row_bytes(&self) -> u64 {
        (2 + self.splits() * Kernel::TileFinish(self.row).piece_words()) * SCRATCH_WORD
    }

    fn sweep_kernel(&self) -> Kernel {
        let rows = [self.planner.origin.row, self.cut[0].max(1)];
        let classes = [self.planner.origin.class, self.planner.problem.classes];
        let product = self.planner.logits(Chunk { rows, classes });
        let cuts = Extents { rows: self.cut[0], columns: self.cut[1], depth: product.depth };
        let kernel = product.kernel(self.planner.caps, &cuts, self.tile);
        let targets = self.planner.problem.targets.map_or(TargetType::I32, |it| it.width);
        Kernel::TileSweep(TileSweep::new(self.row, kernel, targets))
    }

    /// Bytes of scratch that as many rows as pass together take.
    pub(super) fn scratch_bytes(&self) -> u64 {
        self.cut[0].min(self.planner.problem.rows) * self.row_bytes()
    }

    /// The same of all rows.
    pub(super) fn scratch_of_all(&self) -> u64 {
        self.planner.problem.rows * self.row_bytes()
    }

    /// So many rows from the first.
    pub(super) fn steps(&self, [first, rows]: [u64; 2]) -> Result<Vec<Step>> {
        let mut steps = Vec::new();
        for [start, rows] in parts(rows, self.cut[0]) {
            steps.extend(self.rows([first + start, rows])?);
        }
        Ok(steps)
    }

    /// Some rows: all windows of classes, then the rows' results.
    fn rows(&self, rows: [u64; 2]) -> Result<Vec<Step>> {
        let mut windows = self.planner.windows(self.planner.problem).planner(rows[0])?;
        (windows.word, windows.splits) = (Word::F32, self.splits());
        let chunk = Chunk { rows, classes: [0, self.planner.problem.classes] };
        self.sweep(&mut windows, chunk, 0);
        self.finish(&mut windows, rows, 0);
        Ok(windows.steps)
    }

    /// How the planner of windows sees all rows.
    pub(super) fn windows(&self) -> Result<super::Planner<'_>> {
        let mut windows = self.planner.windows(self.planner.problem).planner(0)?;
        (windows.word, windows.splits) = (Word::F32, self.splits());
        Ok(windows)
    }

    /// Rows that pass together, all of them held, and where their pieces start in scratch.
    pub(super) fn row_parts(&self) -> impl Iterator<Item = ([u64; 2], u64)> {
        parts(self.planner.problem.rows, self.cut[0]).map(|rows| (rows, rows[0] * self.row_bytes()))
    }

    fn scratch(&self, rows: u64, offset: u64) -> Bound {
        Bound::new(Slot::Scratch, offset, rows * self.row_bytes())
    }

    /// Sweeps a chunk, tile by tile, in windows of classes.
    pub(super) fn sweep(&self, windows: &mut super::Planner<'_>, chunk: Chunk, scratch: u64) {
        let Chunk { rows: [first, rows], classes: [first_class, classes] } = chunk;
        let (params, mut available) = windows.bind(&self.pass, first, rows);
        available.push(self.scratch(rows, scratch));
        for columns in parts(classes, self.cut[1]) {
            let of_product = self.factors(chunk, columns);
            let first_column = first_class + columns[0];
            let params = Params {
                input_offset: of_product.params.input_offset,
                input_stride: of_product.params.input_stride,
                second_offset: of_product.params.second_offset,
                second_stride: of_product.params.second_stride,
                bias_offset: of_product.params.bias_offset,
                columns: of_product.params.columns,
                depth: of_product.params.depth,
                first_column: first_column as u32,
                continued: u32::from(first_column > 0),
                ..params
            };
            // What the product binds comes before the row's.
            let from = [&of_product.bindings[..], &available[..]].concat();
            let groups = rows.div_ceil(self.tile.rows().into()) * self.stripes;
            windows.push(self.sweep_kernel(), self.tile.lanes(), groups, params, &from);
        }
    }

    /// What rows come to whose classes were all swept.
    pub(super) fn finish(
        &self,
        windows: &mut super::Planner<'_>,
        [first, rows]: [u64; 2],
        scratch: u64,
    ) {
        let (params, mut available) = windows.bind(&self.pass, first, rows);
        available.push(self.scratch(rows, scratch));
        let size = windows.tuning.min_row_workgroup;
        windows.push(Kernel::TileFinish(self.row), size, rows, params, &available);
    }

    /// The gradient of a chunk of logits, all rows of it, in its place.
    pub(super) fn columns(&self, windows: &mut super::Planner<'_>, classes: [u64; 2]) {
        let kernel = windows.row_kernel(&self.pass, Family::SplitColumns);
        let region = chunk_region(classes[1]);
        for ([first, rows], scratch) in self.row_parts() {
            let (params, mut available) = windows.bind(&self.pass, first, rows);
            available.push(self.scratch(rows, scratch));
            let at_a_time = (windows.tuning.elements_a_dispatch() / (2 * rows)).max(1);
            for [column, columns] in parts(classes[1], at_a_time) {
                let start = region.bytes(first * region.row_stride + column);
                let bytes = region.extent(rows, columns);
                let (bound, residual) = window(windows.caps, Slot::Input, start, bytes);
                let first_column = (classes[0] + column) as u32;
                let size = windows.row_workgroup(columns);
                let pieces = columns.div_ceil(u64::from(size) * WORDS_A_LANE);
                let params = Params {
                    words: columns as u32,
                    splits: pieces as u32,
                    split_words: columns.div_ceil(pieces) as u32,
                    columns: columns as u32,
                    first_column,
                    // Columns count from the layer's first class.
                    input_offset: ((residual / 4) as u32).wrapping_sub(first_column),
                    input_stride: region.row_stride as u32,
                    ..params
                };
                let from = [&[bound][..], &available].concat();
                windows.push(kernel, size, rows * pieces, params, &from);
            }
        }
    }

    /// The factors of a part of the logits, as a product binds them.
    fn factors(&self, chunk: Chunk, columns: [u64; 2]) -> Step {
        let product = self.planner.logits(chunk);
        let cuts = Extents { rows: self.cut[0], columns: self.cut[1], depth: product.depth };
        let kernel = product.kernel(self.planner.caps, &cuts, self.tile);
        let part = Extents { rows: [0, chunk.rows[1]], columns, depth: [0, product.depth] };
        product.step(self.planner.caps, self.planner.tuning, kernel, part)
    }
}
