//! Leaving ignored rows out: a list of the others, moves by it, and numbers that are fitted to how many
//! there are.

use surprisal::gpu::Slot;

use super::{Buffer, Dispatch};

impl Dispatch<'_> {
    pub(super) fn list_kept(&mut self) {
        for (block, rows) in self.blocks() {
            let before = (0..block).map(|block| self.scratch(2 * block)[0]);
            let mut place = before.sum::<i64>() as u64;
            for row in rows {
                if self.target(row).is_some() {
                    let row = u64::from(self.p.first_row) + row;
                    *self.place(Slot::Kept, place) = row as i64;
                    place += 1;
                }
            }
        }
    }

    pub(super) fn clear_ignored(&mut self) {
        let [rows, words] = [self.p.rows, self.p.words].map(u64::from);
        for lane in self.lanes(rows * words) {
            if self.target(lane / words).is_some() {
                continue;
            }
            let is_last = lane % words + 1 == words;
            let value = if is_last { self.p.last_word.into() } else { 0 };
            let [offset, stride] = [self.p.output_offset, self.p.output_stride].map(u64::from);
            let byte = 4 * (offset + lane / words * stride + lane % words);
            let width = self.width(Slot::Output);
            if byte.is_multiple_of(width) {
                *self.place(Slot::Output, byte / width) = value;
            }
        }
    }

    pub(super) fn gather_rows(&mut self) {
        let [offset, stride] = [self.p.input_offset, self.p.input_stride].map(u64::from);
        for (index, row, word) in self.moved() {
            let from = 2 * (offset + row * stride) + 4 * word;
            self.copy_word(from, 4 * (u64::from(self.p.output_offset) + index));
        }
    }

    pub(super) fn spread_rows(&mut self) {
        let [offset, stride] = [self.p.output_offset, self.p.output_stride].map(u64::from);
        for (index, row, word) in self.moved() {
            let to = 4 * (offset + row * stride + word);
            self.copy_word(4 * (u64::from(self.p.input_offset) + index), to);
        }
    }

    /// The words that are moved: where each is among the kept rows, its row in the window, and its place
    /// in that.
    fn moved(&mut self) -> Vec<(u64, u64, u64)> {
        let [rows, words, first, window, end] =
            [self.p.rows, self.p.words, self.p.first_row, self.p.window_row, self.p.window_rows]
                .map(u64::from);
        let mut moved = Vec::new();
        for index in self.lanes(rows * words) {
            let row = *self.place(Slot::Kept, first + index / words) as u64;
            if row >= window && row < window + end {
                moved.push((index, row - window, index % words));
            }
        }
        moved
    }

    /// Copies the four bytes there: two elements, one, or half of one, which the first half brings along.
    fn copy_word(&mut self, from: u64, to: u64) {
        let width = self.width(Slot::Input);
        assert_eq!((width, to % width), (self.width(Slot::Output), from % width));
        let whole = if from.is_multiple_of(width) { 4u64.div_ceil(width) } else { 0 };
        for element in 0..whole {
            let (from, to) = (from / width + element, to / width + element);
            // What follows the last element of a row of halves is not minded.
            let is_there = element == 0 || (from + 1) * width <= self.bound(Slot::Input).size;
            let x = if is_there { *self.place(Slot::Input, from) } else { Buffer::UNTOUCHED };
            *self.place(Slot::Output, to) = x;
        }
    }

    fn width(&self, slot: Slot) -> u64 {
        self.machine.memory[&self.bound(slot).role].width
    }

    pub(super) fn fit_params(&mut self) {
        let [table, fitted] = [Slot::Limits, Slot::Fitted].map(|slot| self.bound(slot));
        for index in self.lanes(self.p.rows.into()) {
            let limit = u64::from(self.p.input_offset) + index;
            assert!((limit + 1) * 16 <= table.size, "limit {limit} of {table:?}");
            let limit = self.machine.limits[(table.offset / 16 + limit) as usize];
            let number = u64::from(limit.at - self.p.output_offset);
            assert!((number + 1) * 4 <= fitted.size, "number {number} of {fitted:?}");
            let rows = (self.machine.kept_rows as u32).saturating_sub(limit.first);
            let whole = if rows == 0 { 0 } else { limit.most };
            let fits = if limit.is_whole == 1 { whole } else { rows.min(limit.most) };
            self.machine.fitted[(fitted.offset / 4 + number) as usize] = fits;
        }
    }
}
