//! A machine that carries plans out on whole numbers, which never round: a dispatch reads and writes what
//! its shader would, by the same params, bindings and workgroups. In the place of cross-entropy stand
//! sums that every class, the target and the upstream gradient have their part in.

#![allow(clippy::cast_possible_wrap, clippy::cast_sign_loss, reason = "the numbers are small")]

mod kept;

use std::collections::HashMap;

use surprisal::gpu::plan::{Bound, ROW_BLOCK, Step};
use surprisal::gpu::plan::{Plan, Role};
use surprisal::gpu::{
    Columns, Family, Form, Kernel, Limit, Params, ProductKernel, RowKernel, Slot, Start, TileSweep,
    UpstreamFrom,
};

/// What a class adds to its row's sum.
pub(crate) fn term(class: u64, x: i64) -> i64 {
    (class as i64 + 1) * x
}

/// The loss of a row with this sum, and this logit of its target.
pub(crate) fn loss(sum: i64, target_logit: i64) -> i64 {
    sum + 7 * target_logit
}

/// What a logit becomes.
pub(crate) fn gradient(x: i64, sum: i64, is_target: bool, upstream: i64) -> i64 {
    upstream * (x + 3 * sum + 5 * i64::from(is_target))
}

/// Elements of so many bytes each.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Buffer {
    pub(crate) width: u64,
    pub(crate) data: Vec<i64>,
}

impl Buffer {
    /// What stands where nothing has been written.
    pub(crate) const UNTOUCHED: i64 = -77;

    pub(crate) fn new(width: u64, bytes: u64) -> Self {
        Self { width, data: vec![Self::UNTOUCHED; bytes.div_ceil(width) as usize] }
    }
}

pub(crate) struct Machine {
    pub(crate) memory: HashMap<Role, Buffer>,
    scratch: Vec<[i64; 2]>,
    /// Elements before what a plan takes for the start of a buffer, where a layer comes in blocks.
    pub(crate) skipped: HashMap<Role, u64>,
    pub(crate) kept_rows: i64,
    pub(crate) reduced: i64,
    /// The params of the dispatches that are fitted, and what they are fitted to.
    fitted: Vec<u32>,
    limits: Vec<Limit>,
    /// Numbers from one dispatch's params to the next one's.
    stride: usize,
}

/// What a finished row's columns are made of.
#[derive(Clone, Copy)]
struct Coefficients {
    sum: i64,
    upstream: i64,
    /// None of a row that is ignored.
    target: Option<i64>,
}

impl Machine {
    /// With the caller's buffers, and those that a plan asks for.
    pub(crate) fn new(caller: HashMap<Role, Buffer>, plan: &Plan) -> Self {
        let mut memory = caller;
        // Loss and log-sum-exp, of which only the loss is minded.
        let stats = Buffer::new(8, plan.stats_bytes);
        memory.insert(Role::Slot(Slot::Stats), stats);
        if plan.logits_bytes > 0 {
            memory.insert(Role::Slot(Slot::Input), Buffer::new(4, plan.logits_bytes));
        }
        for &(role, bytes) in &plan.kept {
            let width = match role {
                Role::KeptTargets => memory[&Role::Slot(Slot::Targets)].width,
                Role::KeptHidden => memory[&Role::Hidden].width,
                Role::KeptStats => 8,
                _ => 4,
            };
            memory.insert(role, Buffer::new(width, bytes));
        }
        let scratch = vec![[Buffer::UNTOUCHED; 2]; (plan.scratch_bytes / 16) as usize];
        let stride = Params::STRIDE as usize / 4;
        let mut fitted = vec![0; plan.fitted.len() * stride];
        for (params, step) in fitted.chunks_mut(stride).zip(&plan.steps[plan.fitted.clone()]) {
            let numbers: &[u32] = bytemuck::cast_slice(std::slice::from_ref(&step.params));
            params[..numbers.len()].copy_from_slice(numbers);
        }
        let limits = plan.limits.clone();
        let (skipped, kept_rows, reduced) = (HashMap::new(), 0, 0);
        Self { memory, scratch, skipped, kept_rows, reduced, fitted, limits, stride }
    }

    /// A dispatch of the plan, with the numbers that it has by now.
    pub(crate) fn step(&self, plan: &Plan, index: usize) -> Step {
        let mut step = plan.steps[index].clone();
        if plan.fitted.contains(&index) {
            let params = &self.fitted[(index - plan.fitted.start) * self.stride..];
            step.params =
                *bytemuck::from_bytes(bytemuck::cast_slice(&params[..size_of::<Params>() / 4]));
        }
        step
    }

    pub(crate) fn run(&mut self, step: &Step) {
        Dispatch { machine: self, step, p: &step.params }.run();
    }
}

struct Dispatch<'a> {
    machine: &'a mut Machine,
    step: &'a Step,
    p: &'a Params,
}

impl Dispatch<'_> {
    fn run(&mut self) {
        match self.step.kernel {
            Kernel::Product(kernel) => self.product(kernel),
            Kernel::ColumnSums => self.column_sums(),
            Kernel::TileSweep(kernel) => self.tile_sweep(kernel),
            Kernel::TileFinish(kernel) => self.finish(kernel, true),
            Kernel::Rows(kernel) => match kernel.family {
                Family::SplitSweep => self.split_sweep(kernel),
                Family::SplitFinish => self.finish(kernel, false),
                Family::SplitColumns => self.split_columns(kernel),
                _ => self.rows(kernel),
            },
            Kernel::ScanTargets(..) => self.scan_targets(),
            Kernel::FinishTargets => self.machine.kept_rows = self.fold(2),
            Kernel::SumLoss { .. } => self.sum_losses(),
            Kernel::FinishSum | Kernel::FinishMean => self.machine.reduced = self.fold(1),
            Kernel::ListKept(_) => self.list_kept(),
            Kernel::ClearIgnored(_) => self.clear_ignored(),
            Kernel::GatherRows => self.gather_rows(),
            Kernel::SpreadRows => self.spread_rows(),
            Kernel::FitParams => self.fit_params(),
            // Rows write their elements one by one here, whatever shares a u32.
            Kernel::JoinEdges => {}
            other => panic!("{other:?} is nothing that these plans need"),
        }
    }

    fn bound(&self, slot: Slot) -> Bound {
        let bound = self.step.bindings.iter().find(|bound| bound.slot == slot);
        *bound.unwrap_or_else(|| panic!("{slot:?} is not bound"))
    }

    /// The place of an element, counted from the start of what is bound.
    fn place(&mut self, slot: Slot, index: u64) -> &mut i64 {
        let bound = self.bound(slot);
        let buffer = self.machine.memory.get_mut(&bound.role).expect("there is such a buffer");
        let end = (index + 1) * buffer.width;
        assert!(end <= bound.size, "byte {end} of {bound:?}");
        let skipped = self.machine.skipped.get(&bound.role).copied().unwrap_or(0);
        &mut buffer.data[(skipped + bound.offset / buffer.width + index) as usize]
    }

    fn scratch(&mut self, word: u64) -> &mut [i64; 2] {
        let bound = self.bound(Slot::Scratch);
        assert!((word + 1) * 16 <= bound.size, "word {word} of {bound:?}");
        &mut self.machine.scratch[(bound.offset / 16 + word) as usize]
    }

    /// The numbers of the workgroups that are started.
    fn groups(&self) -> Vec<u64> {
        let [width, height] = self.step.grid.map(u64::from);
        let at = |y| (0..width).map(move |x| y * u64::from(self.p.grid_width) + x);
        (0..height).flat_map(at).collect()
    }

    /// The numbers of the lanes that are started, below a limit.
    fn lanes(&self, below: u64) -> Vec<u64> {
        let size = u64::from(self.step.workgroup_size);
        let lanes = self.groups().into_iter().flat_map(|group| group * size..(group + 1) * size);
        lanes.filter(|lane| *lane < below).collect()
    }

    fn offset_and_stride(&self, slot: Slot) -> [u64; 2] {
        let p = self.p;
        let [offset, stride] = match slot {
            Slot::Input => [p.input_offset, p.input_stride],
            Slot::Second => [p.second_offset, p.second_stride],
            _ => [p.output_offset, p.output_stride],
        };
        [offset.into(), stride.into()]
    }

    /// An element of a matrix whose rows start at words of so many elements. Like a shader's, an index
    /// goes round at 2^32: the columns of a window of classes count from the layer's first.
    fn element(&mut self, slot: Slot, grain: u64, row: u64, column: u64) -> &mut i64 {
        let [offset, stride] = self.offset_and_stride(slot);
        let word = u64::from((offset + row * stride + column / grain) as u32);
        self.place(slot, word * grain + column % grain)
    }

    fn product(&mut self, kernel: ProductKernel) {
        let (height, width) = (u64::from(kernel.tile.rows()), u64::from(kernel.tile.columns()));
        let [rows, columns] = [self.p.rows, self.p.columns].map(u64::from);
        let across = columns.div_ceil(width);
        for group in self.groups() {
            let (top, left) = (group / across * height, group % across * width);
            for row in top..rows.min(top + height) {
                for column in left..columns.min(left + width) {
                    let sum = self.product_element(kernel, row, column);
                    let grain = if kernel.by_four { 4 } else { 1 };
                    *self.element(Slot::Output, grain, row, column) = sum;
                }
            }
        }
    }

    fn product_element(&mut self, kernel: ProductKernel, row: u64, column: u64) -> i64 {
        let mut sum = match kernel.start {
            Start::Zero => 0,
            Start::Bias => *self.place(Slot::Bias, u64::from(self.p.bias_offset) + column),
            _ => {
                let grain = if kernel.by_four { 4 } else { 1 };
                *self.element(Slot::Output, grain, row, column)
            }
        };
        for k in 0..self.p.depth.into() {
            let left = if kernel.form == Form::LeftTransposed { [k, row] } else { [row, k] };
            let upright = kernel.form == Form::RightTransposed;
            let right = if upright { [column, k] } else { [k, column] };
            let left = *self.element(Slot::Input, kernel.left.grain(), left[0], left[1]);
            sum += left * *self.element(Slot::Second, kernel.right.grain(), right[0], right[1]);
        }
        sum
    }

    fn column_sums(&mut self) {
        for column in self.lanes(self.p.columns.into()) {
            let at = u64::from(self.p.output_offset) + column;
            let mut sum = if self.p.continued == 0 { 0 } else { *self.place(Slot::Output, at) };
            for row in 0..self.p.rows.into() {
                sum += *self.element(Slot::Input, 1, row, column);
            }
            *self.place(Slot::Output, at) = sum;
        }
    }

    /// The target of a row, unless the row is ignored.
    fn target(&mut self, row: u64) -> Option<i64> {
        let target = *self.place(Slot::Targets, u64::from(self.p.targets_offset) + row);
        let ignored = u64::from(self.p.ignore_high) << 32 | u64::from(self.p.ignore_low);
        let is_ignored = self.p.ignore_used != 0 && target.cast_unsigned() == ignored;
        (!is_ignored).then_some(target)
    }

    fn upstream(&mut self, kernel: RowKernel, row: u64) -> i64 {
        match kernel.upstream {
            UpstreamFrom::Rows => *self.place(Slot::Dloss, u64::from(self.p.dloss_offset) + row),
            UpstreamFrom::Mean => self.p.upstream as i64 * self.machine.kept_rows,
            _ => self.p.upstream as i64,
        }
    }

    fn store_loss(&mut self, row: u64, loss: i64) {
        *self.place(Slot::Stats, u64::from(self.p.stats_offset) + row) = loss;
    }

    /// The sum of some words of a row.
    fn sum_of(&mut self, kernel: RowKernel, row: u64, words: [u64; 2]) -> i64 {
        let [first, end] = words.map(|word| word * u64::from(kernel.word.width()));
        let mut sum = 0;
        for class in first..end.min(self.p.classes.into()) {
            sum += term(class, *self.element(Slot::Input, kernel.word.grain(), row, class));
        }
        sum
    }

    /// Rows by a workgroup or by a lane each.
    fn rows(&mut self, kernel: RowKernel) {
        let rows = u64::from(self.p.rows);
        let by_lane = kernel.family == Family::Lane;
        let indices = if by_lane { self.lanes(rows) } else { self.groups() };
        for row in indices.into_iter().filter(|row| *row < rows) {
            let target = self.target(row);
            let sum = match target {
                Some(_) => self.sum_of(kernel, row, [0, self.p.swept_words.into()]),
                None => 0,
            };
            let upstream =
                if kernel.columns == Columns::None { 0 } else { self.upstream(kernel, row) };
            let logit = target
                .map_or(0, |y| *self.element(Slot::Input, kernel.word.grain(), row, y as u64));
            self.store_loss(row, loss(sum, logit));
            let classes = [0, self.p.classes.into()];
            self.columns(kernel, row, classes, Coefficients { sum, upstream, target });
        }
    }

    /// Writes some classes of a row.
    fn columns(&mut self, kernel: RowKernel, row: u64, classes: [u64; 2], from: Coefficients) {
        let to = match kernel.columns {
            Columns::None => return,
            Columns::InPlace => Slot::Input,
            _ => Slot::Output,
        };
        let grain = kernel.word.grain();
        for class in classes[0]..classes[1] {
            let x = *self.element(Slot::Input, grain, row, class);
            let dx =
                from.target.map_or(0, |y| gradient(x, from.sum, y == class as i64, from.upstream));
            *self.element(to, grain, row, class) = dx;
        }
    }

    fn piece(&self, row: u64, piece: u64) -> u64 {
        let [rows, splits] = [self.p.rows, self.p.splits].map(u64::from);
        2 * rows + (row * splits + piece) * self.step.kernel.piece_words()
    }

    /// Row and piece of a workgroup, and the piece's first word and what is behind its last.
    fn pieces(&self) -> Vec<([u64; 2], [u64; 2])> {
        let [rows, splits, words, each] =
            [self.p.rows, self.p.splits, self.p.words, self.p.split_words].map(u64::from);
        let groups = self.groups().into_iter().filter(|piece| *piece < rows * splits);
        let range = |split| [split * each, words.min((split + 1) * each)];
        groups.map(|piece| ([piece / splits, piece % splits], range(piece % splits))).collect()
    }

    fn split_sweep(&mut self, kernel: RowKernel) {
        for ([row, split], words) in self.pieces() {
            let sum = self.sum_of(kernel, row, words);
            let at = self.piece(row, split);
            self.scratch(at)[0] = sum;
        }
    }

    /// Folds the pieces of rows; of tiles, the target's logit is in scratch too.
    fn finish(&mut self, kernel: RowKernel, of_tiles: bool) {
        let rows = u64::from(self.p.rows);
        for row in self.groups().into_iter().filter(|row| *row < rows) {
            let target = self.target(row);
            let logit = match target {
                None => 0,
                Some(_) if of_tiles => self.scratch(2 * row)[0],
                Some(y) => *self.element(Slot::Input, kernel.word.grain(), row, y as u64),
            };
            let pieces: Vec<_> = (0..self.p.splits.into()).map(|n| self.piece(row, n)).collect();
            let sum = pieces.into_iter().map(|at| self.scratch(at)[0]).sum();
            self.store_loss(row, if target.is_some() { loss(sum, logit) } else { 0 });
            if kernel.columns != Columns::None {
                *self.scratch(2 * row) = [sum, self.upstream(kernel, row)];
                *self.scratch(2 * row + 1) = [target.is_some().into(), target.unwrap_or(0)];
            }
        }
    }

    fn split_columns(&mut self, kernel: RowKernel) {
        let first = u64::from(self.p.first_column);
        let end = u64::from(self.p.classes);
        for ([row, _], words) in self.pieces() {
            let ([sum, upstream], [is_kept, target]) =
                (*self.scratch(2 * row), *self.scratch(2 * row + 1));
            let target = (is_kept != 0).then_some(target);
            let classes = words.map(|word| end.min(first + word * u64::from(kernel.word.width())));
            self.columns(kernel, row, classes, Coefficients { sum, upstream, target });
        }
    }

    fn tile_sweep(&mut self, kernel: TileSweep) {
        let tile = kernel.product.tile;
        let (height, width) = (u64::from(tile.rows()), u64::from(tile.columns()));
        let lanes_a_row = u64::from(tile.lanes()) / height;
        let [rows, columns, splits, first_column] =
            [self.p.rows, self.p.columns, self.p.splits, self.p.first_column].map(u64::from);
        let stripes = splits / lanes_a_row;
        for group in self.groups() {
            let (top, stripe) = (group / stripes * height, group % stripes);
            let turn = first_column / width % stripes;
            let first = (stripe + stripes - turn) % stripes;
            for row in top..rows.min(top + height) {
                for part in 0..lanes_a_row {
                    let at = self.piece(row, stripe * lanes_a_row + part);
                    let mut sum = if self.p.continued == 0 { 0 } else { self.scratch(at)[0] };
                    let tiles = (first * width..columns).step_by((stripes * width) as usize);
                    for column in tiles.flat_map(|left| left..columns.min(left + width)) {
                        if column % lanes_a_row == part {
                            sum += self.logit(kernel.product, row, column);
                        }
                    }
                    self.scratch(at)[0] = sum;
                }
            }
        }
    }

    /// What a logit of a tile adds to its row's sum; the target's stays in scratch.
    fn logit(&mut self, kernel: ProductKernel, row: u64, column: u64) -> i64 {
        let class = u64::from(self.p.first_column) + column;
        let logit = self.product_element(kernel, row, column);
        if self.target(row) == Some(class as i64) {
            self.scratch(2 * row)[0] = logit;
        }
        term(class, logit)
    }

    /// The rows of each block, with the block's number in the batch.
    fn blocks(&self) -> Vec<(u64, std::ops::Range<u64>)> {
        let rows = u64::from(self.p.rows);
        let groups = self.groups().into_iter().filter(|block| block * ROW_BLOCK < rows);
        let range = |block| block * ROW_BLOCK..rows.min((block + 1) * ROW_BLOCK);
        groups.map(|block| (u64::from(self.p.first_block) + block, range(block))).collect()
    }

    fn scan_targets(&mut self) {
        for (block, rows) in self.blocks() {
            let kept = rows.filter(|row| self.target(*row).is_some()).count();
            self.scratch(2 * block)[0] = kept as i64;
        }
    }

    fn sum_losses(&mut self) {
        for (block, rows) in self.blocks() {
            let offset = u64::from(self.p.stats_offset);
            let losses = rows.map(|row| *self.place(Slot::Stats, offset + row));
            let sum = losses.sum();
            self.scratch(block)[0] = sum;
        }
    }

    /// The sum over all blocks, each so many words from the one before.
    fn fold(&mut self, words: u64) -> i64 {
        (0..self.p.blocks.into()).map(|block| self.scratch(words * block)[0]).sum()
    }
}
