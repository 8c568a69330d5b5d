//! Arrays in Fortran order, whose first index is the fastest: their elements in C order.

use std::io;
use std::ops::Range;

use bytemuck::Pod;

use crate::files::source::Source;

/// Bytes that are in memory while elements are picked out of a file.
pub(super) const BUFFER: usize = 64 << 10;
/// Elements of a column that are read at a time: rows that are written to in turn stay in a cache.
const STRIP: usize = 4096;
/// Bytes between columns up to which what lies between is read too.
const GAP: usize = 4096;

/// Reads those elements of an array which have the numbers of `range` in C order.
pub(super) fn gather<T: Pod>(
    source: &mut Source,
    offset: u64,
    shape: &[u64],
    range: Range<usize>,
    out: &mut [T],
) -> io::Result<()> {
    if range.is_empty() {
        return Ok(());
    }
    let sizes: Vec<usize> = shape.iter().map(|&n| n as usize).collect();
    let mut strides = vec![1; sizes.len()];
    for axis in (1..sizes.len()).rev() {
        strides[axis - 1] = strides[axis] * sizes[axis];
    }
    let end = offset + (strides[0] * sizes[0] * size_of::<T>()) as u64;
    let reads_between = sizes[0] * size_of::<T>() <= GAP;
    let buffer = Buffer { source, end, reads_between, start: 0, bytes: Vec::new() };
    let first = range.start;
    let mut gather = Gather { buffer, offset, sizes, strides, first, out };
    gather.range(&mut Vec::new(), range)
}

struct Gather<'a, T> {
    buffer: Buffer<'a>,
    offset: u64,
    sizes: Vec<usize>,
    /// Of C order, in elements.
    strides: Vec<usize>,
    /// The number of what comes first in `out`.
    first: usize,
    out: &'a mut [T],
}

impl<T: Pod> Gather<'_, T> {
    /// Cuts a range of the subarray at some first indices into boxes.
    fn range(&mut self, fixed: &mut Vec<usize>, range: Range<usize>) -> io::Result<()> {
        let inner = self.strides[fixed.len()];
        let (start, end) = (range.start.div_ceil(inner), range.end / inner);
        let mut at = |index: usize, range: Range<usize>| {
            fixed.push(index);
            let result = self.range(fixed, range);
            fixed.pop();
            result
        };
        if start > end {
            return at(end, range.start - end * inner..range.end - end * inner);
        }
        if range.start < start * inner {
            at(start - 1, range.start - (start - 1) * inner..inner)?;
        }
        if end * inner < range.end {
            at(end, 0..range.end - end * inner)?;
        }
        if start < end { self.block(fixed, start..end) } else { Ok(()) }
    }

    /// Copies what has the fixed first indices and then one of some.
    fn block(&mut self, fixed: &[usize], along: Range<usize>) -> io::Result<()> {
        let bounds: Vec<Range<usize>> = (0..self.sizes.len())
            .map(|axis| match fixed.get(axis) {
                Some(&index) => index..index + 1,
                None if axis == fixed.len() => along.clone(),
                None => 0..self.sizes[axis],
            })
            .collect();
        for start in bounds[0].clone().step_by(STRIP) {
            let strip = start..bounds[0].end.min(start + STRIP);
            let mut index: Vec<usize> = bounds.iter().map(|bound| bound.start).collect();
            index[0] = start;
            loop {
                self.run(&index, strip.len())?;
                // The next column, in the order of the file.
                let next = (1..index.len()).find(|&axis| {
                    index[axis] += 1;
                    let is_within = index[axis] < bounds[axis].end;
                    if !is_within {
                        index[axis] = bounds[axis].start;
                    }
                    is_within
                });
                if next.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Copies a part of a column: it lies together in the file.
    fn run(&mut self, index: &[usize], count: usize) -> io::Result<()> {
        let in_file = index.iter().zip(&self.sizes).rev().fold(0, |at, (i, size)| at * size + i);
        let in_order: usize = index.iter().zip(&self.strides).map(|(i, stride)| i * stride).sum();
        let size = size_of::<T>();
        let bytes = self.buffer.read(self.offset + (in_file * size) as u64, count * size)?;
        let out = self.out[in_order - self.first..].iter_mut().step_by(self.strides[0]);
        for (out, bytes) in out.zip(bytes.chunks_exact(size)) {
            *out = bytemuck::pod_read_unaligned(bytes);
        }
        Ok(())
    }
}

struct Buffer<'a> {
    source: &'a mut Source,
    /// Where the elements end.
    end: u64,
    reads_between: bool,
    /// Where what is in memory begins.
    start: u64,
    bytes: Vec<u8>,
}

impl Buffer<'_> {
    fn read(&mut self, offset: u64, count: usize) -> io::Result<&[u8]> {
        let is_there =
            offset >= self.start && offset + count as u64 <= self.start + self.bytes.len() as u64;
        if !is_there {
            let more = if self.reads_between { BUFFER } else { count };
            let more = (self.end - offset).min(more as u64) as usize;
            self.start = offset;
            self.bytes.resize(more.max(count), 0);
            self.source.read_at(offset, &mut self.bytes)?;
        }
        let at = (offset - self.start) as usize;
        Ok(&self.bytes[at..at + count])
    }
}
