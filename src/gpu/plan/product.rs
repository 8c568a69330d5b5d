//! From a product of matrices to its dispatches.
//!
//! An element is summed step by step of its depth, whatever is cut: a dispatch that goes on in the
//! depth starts from what is stored. So the bits depend on nothing that is decided here.

use super::bind::window;
use super::{Bound, Region, Role, Step, check_bindings, grid, too_large};
use crate::error::Result;
use crate::gpu::caps::{Caps, Tuning};
use crate::gpu::fragment::Slot;
use crate::gpu::kernel::Kernel;
use crate::gpu::params::Params;
use crate::gpu::product::{Form, ProductKernel, Start, Tile};
use crate::gpu::word::Word;

/// Steps of the depth that a dispatch goes at most. llvmpipe ends every loop once an invocation has
/// gone through 65,535 iterations, all its loops together; a step takes less than two.
pub const MAX_DEPTH: u64 = 16_384;

/// Fewer large tiles than this leave much of a GPU idle.
const FEW_TILES: u64 = 256;

/// A matrix in a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operand {
    /// Whose buffer it is.
    pub role: Role,
    /// Where it lies there.
    pub region: Region,
}

/// A product of two matrices, with everything that its plan depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Product {
    /// How the factors lie.
    pub form: Form,
    /// Rows of the product.
    pub rows: u64,
    /// Columns of the product.
    pub columns: u64,
    /// How many products are summed for each element.
    pub depth: u64,
    /// The left factor.
    pub left: Operand,
    /// The right factor.
    pub right: Operand,
    /// The product itself, f32.
    pub output: Operand,
    /// What it is added to.
    pub start: Start,
    /// A number for each column, f32, row stride 0; bound for [`Start::Bias`].
    pub bias: Option<Operand>,
}

/// A dimension of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dimension {
    Rows,
    Columns,
    Depth,
}
use Dimension::{Columns, Depth, Rows};

/// How far a dispatch goes along each dimension, or which part of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extents<T> {
    pub(super) rows: T,
    pub(super) columns: T,
    pub(super) depth: T,
}

impl<T: Copy> Extents<T> {
    fn along(&self, dimension: Dimension) -> T {
        match dimension {
            Rows => self.rows,
            Columns => self.columns,
            Depth => self.depth,
        }
    }
}

impl Product {
    /// The dispatches that compute it on a device.
    ///
    /// # Errors
    /// [`Error::TooLarge`](crate::Error::TooLarge) if a row of a matrix does not fit a binding;
    /// [`Error::DeviceTooSmall`](crate::Error::DeviceTooSmall) if the device lacks bindings.
    pub fn steps(&self, caps: &Caps, tuning: &Tuning) -> Result<Vec<Step>> {
        let tile = self.tile(tuning.fit(caps).product_tile);
        if tile.lanes() > caps.max_workgroup_size {
            return Err(too_large(
                "a workgroup",
                tile.lanes().into(),
                caps.max_workgroup_size.into(),
            ));
        }
        let cuts = self.cuts(caps, tuning, tile)?;
        let kernel = self.kernel(caps, &cuts, tile);
        check_bindings(Kernel::Product(kernel).storage_bindings(), caps)?;
        let mut steps = Vec::new();
        for rows in parts(self.rows, cuts.rows) {
            for columns in parts(self.columns, cuts.columns) {
                for depth in parts(self.depth, cuts.depth) {
                    let part = Extents { rows, columns, depth };
                    steps.push(self.step(caps, tuning, kernel, part));
                }
            }
        }
        Ok(steps)
    }

    /// The device's tile, or a smaller one where there would be too few of them.
    fn tile(&self, largest: Tile) -> Tile {
        let tiles = self.rows.div_ceil(largest.rows().into())
            * self.columns.div_ceil(largest.columns().into());
        if largest == Tile::Large && tiles < FEW_TILES { Tile::Medium } else { largest }
    }

    /// Each matrix, with the dimensions that its rows and its columns are.
    fn matrices(&self) -> [(Slot, Operand, [Dimension; 2]); 3] {
        let left = if self.form == Form::LeftTransposed { [Depth, Rows] } else { [Rows, Depth] };
        let right =
            if self.form == Form::RightTransposed { [Columns, Depth] } else { [Depth, Columns] };
        [
            (Slot::Input, self.left, left),
            (Slot::Second, self.right, right),
            (Slot::Output, self.output, [Rows, Columns]),
        ]
    }

    fn whole(&self) -> Extents<u64> {
        Extents { rows: self.rows, columns: self.columns, depth: self.depth }
    }

    /// How far a dispatch goes: as far as bindings, time and grids allow, in whole tiles if it can.
    fn cuts(&self, caps: &Caps, tuning: &Tuning, tile: Tile) -> Result<Extents<u64>> {
        let room = caps.max_binding_bytes.saturating_sub(caps.storage_alignment);
        let whole = self.whole();
        let mut cuts = Extents { depth: self.depth.min(MAX_DEPTH), ..whole };
        for (_, Operand { region, .. }, [down, along]) in self.matrices() {
            let row = region.bytes(whole.along(along));
            if row > room {
                return Err(too_large("a row", row, room));
            }
            let fitting = 1 + (room - row) / region.bytes(region.row_stride).max(1);
            let cut = match down {
                Rows => &mut cuts.rows,
                Columns => &mut cuts.columns,
                Depth => &mut cuts.depth,
            };
            *cut = fitting.min(*cut);
        }
        let (height, width): (u64, u64) = (tile.rows().into(), tile.columns().into());
        let operations = 2 * height * width * cuts.depth.max(1);
        let tiles = (tuning.operations_a_dispatch() / operations)
            .clamp(1, u64::from(caps.max_workgroups).pow(2));
        let (mut down, mut across) = (cuts.rows.div_ceil(height), cuts.columns.div_ceil(width));
        // The longer side is cut first.
        if down < across {
            across = across.min((tiles / down.max(1)).max(1));
            down = down.min(tiles);
        } else {
            down = down.min((tiles / across.max(1)).max(1));
            across = across.min(tiles);
        }
        cuts.rows = rounded(cuts.rows.min(down * height), self.rows, height);
        cuts.columns = rounded(cuts.columns.min(across * width), self.columns, width);
        cuts.depth = rounded(cuts.depth, self.depth, 4);
        Ok(cuts)
    }

    /// What computes it, cut so.
    pub(super) fn kernel(&self, caps: &Caps, cuts: &Extents<u64>, tile: Tile) -> ProductKernel {
        let whole = self.whole();
        // Whether every part of a matrix has a multiple of four columns and starts at one.
        let by_four = |(_, Operand { region, .. }, [_, along]): (Slot, Operand, [Dimension; 2])| {
            let parts = [region.row_stride, whole.along(along), cuts.along(along)];
            let starts = region.offset.is_multiple_of(region.bytes(4));
            starts && caps.storage_alignment.is_multiple_of(16) && parts.iter().all(|n| n % 4 == 0)
        };
        let word = |matrix: (Slot, Operand, [Dimension; 2])| {
            let dtype = matrix.1.region.dtype;
            let word = Word::anywhere(dtype);
            if word == Word::F32 && by_four(matrix) { Word::F32x4 } else { word }
        };
        let [left, right, output] = self.matrices();
        ProductKernel {
            form: self.form,
            left: word(left),
            right: word(right),
            by_four: by_four(output),
            start: self.start,
            tile,
        }
    }

    /// One dispatch of it.
    pub(super) fn step(
        &self,
        caps: &Caps,
        tuning: &Tuning,
        kernel: ProductKernel,
        part: Extents<[u64; 2]>,
    ) -> Step {
        let [rows, columns, depth] = [part.rows[1], part.columns[1], part.depth[1]];
        let start = if part.depth[0] > 0 { Start::Stored } else { self.start };
        let (kernel, tile) = (ProductKernel { start, ..kernel }, kernel.tile);
        let groups = rows.div_ceil(tile.rows().into()) * columns.div_ceil(tile.columns().into());
        let grid = grid(groups, caps.max_workgroups);
        let mut params = Params {
            rows: rows as u32,
            columns: columns as u32,
            depth: depth as u32,
            grid_width: grid[0],
            first_row: (if self.form == Form::LeftTransposed { part.depth } else { part.rows })[0]
                as u32,
            ..bytemuck::Zeroable::zeroed()
        };
        let mut bindings = Vec::new();
        for (slot, operand, [down, along]) in self.matrices() {
            let grain = match slot {
                Slot::Input => kernel.left.grain(),
                Slot::Second => kernel.right.grain(),
                _ if kernel.by_four => 4,
                _ => 1,
            };
            let region = operand.region;
            let ([row, rows], [column, columns]) = (part.along(down), part.along(along));
            let start = region.offset + region.bytes(row * region.row_stride + column);
            let bytes = region.extent(rows, columns);
            let (bound, residual) = window(caps, slot, start, bytes);
            bindings.push(Bound { role: operand.role, ..bound });
            let offset = (residual / region.bytes(grain)) as u32;
            let stride = (region.row_stride / grain) as u32;
            let (to_offset, to_stride) = match slot {
                Slot::Input => (&mut params.input_offset, &mut params.input_stride),
                Slot::Second => (&mut params.second_offset, &mut params.second_stride),
                _ => (&mut params.output_offset, &mut params.output_stride),
            };
            (*to_offset, *to_stride) = (offset, stride);
        }
        if let (Some(bias), Start::Bias) = (self.bias, start) {
            let region = bias.region;
            let at = region.offset + region.bytes(part.columns[0]);
            let (bound, residual) = window(caps, Slot::Bias, at, region.bytes(columns));
            bindings.push(Bound { role: bias.role, ..bound });
            params.bias_offset = (residual / 4) as u32;
        }
        bindings.sort_by_key(|bound| bound.slot);
        let kernel = Kernel::Product(kernel);
        let cost = tuning.elements_of(2 * rows * columns * depth);
        Step { kernel, workgroup_size: tile.lanes(), grid, cost, params, bindings }
    }
}

/// First elements and lengths of the parts of so many elements, cut after each so many.
pub(super) fn parts(whole: u64, cut: u64) -> impl Iterator<Item = [u64; 2]> {
    (0..whole).step_by(cut.max(1) as usize).map(move |first| [first, cut.min(whole - first)])
}

/// A cut at whole units where there is room for one, else at fours, unless nothing is cut.
fn rounded(cut: u64, whole: u64, unit: u64) -> u64 {
    let multiple = |of: u64| cut - cut % of;
    match cut {
        _ if cut >= whole => whole,
        _ if cut >= unit => multiple(unit),
        _ if cut >= 4 => multiple(4),
        _ => cut.max(1),
    }
}
