//! Whatever bytes say, read as a file of either format: what comes back is an error of bad input or
//! an array that is the file's bytes; memory is that for what the file holds. The fuzzers in `fuzz/`
//! drive the same functions.

use std::io::Cursor;
use std::ops::Range;

use peak_alloc::PeakAlloc;
use surprisal::Array;
use surprisal_cli::error::Failure;
use surprisal_cli::files::{Data, FileDtype, InputArray};
use surprisal_cli::progress::{Progress, Quiet};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Bytes of memory, whatever the file is.
const ONCE: usize = 64 << 10;
/// And bytes for each of the file's. A header's `1,` becomes a size of eight bytes, in a list that
/// doubles as it grows.
const EACH: usize = 24;

/// What an archive's directory is read with, an inflater, and what a pipe is read with.
const STREAMED: usize = 256 << 10;
/// Bytes that deflate makes of one, at most.
const INFLATED: usize = 1032;

/// Reads `bytes` as the `.npy` file that they may be.
pub fn npy(bytes: &[u8]) -> Result<(), Failure> {
    measured("x.npy", bytes)
}

/// Reads `bytes` as the `.npz` archive that they may be: its only member, and the one called `a`.
pub fn npz(bytes: &[u8]) -> Result<(), Failure> {
    let one = |spec: &str| {
        let allowed = STREAMED + EACH * INFLATED * bytes.len();
        within(allowed, bytes, |bytes| {
            let mut input = InputArray::from_source(&spec.parse().expect("an ending"), bytes)?;
            input.read(&Progress::new(Quiet::Yes)).map(|_| ())
        })
    };
    one("x.npz").or_else(|_| one("x.npz:a"))
}

/// Reads `bytes` as the `.safetensors` file that they may be: its only tensor, and the one called `a`.
pub fn safetensors(bytes: &[u8]) -> Result<(), Failure> {
    measured("x.safetensors", bytes).or_else(|_| measured("x.safetensors:a", bytes))
}

fn measured(spec: &str, bytes: &[u8]) -> Result<(), Failure> {
    let progress = Progress::new(Quiet::Yes);
    let file = within(ONCE + EACH * bytes.len(), bytes, |source| {
        read(InputArray::from_source(&spec.parse().expect("an ending"), source)?, bytes, &progress)
    });
    // A pipe says the same of them, but for what the length of a file tells beforehand.
    let pipe = within(STREAMED + EACH * bytes.len(), bytes, |source| {
        InputArray::from_pipe(&spec.parse().expect("an ending"), source)?.read(&progress)
    });
    assert_eq!(file.is_ok(), pipe.is_ok(), "{:?}, {:?}", file.err(), pipe.err());
    file
}

/// Does something with bytes, in so much memory.
fn within<T>(
    allowed: usize,
    bytes: &[u8],
    run: impl FnOnce(Cursor<Vec<u8>>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let source = Cursor::new(bytes.to_vec());
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let result = run(source);
    let peak = MEMORY.peak_usage() - before;
    assert!(peak <= allowed, "{} bytes took {peak} of {allowed}", bytes.len());
    if let Err(failure) = &result {
        assert_eq!(failure.code, 2, "{}", failure.message);
    }
    result
}

fn read(mut input: InputArray, bytes: &[u8], progress: &Progress) -> Result<(), Failure> {
    let size = input.dtype.size() as usize;
    let start = usize::try_from(input.offset()).expect("it lies in the file");
    let elements = &in_order(&input, &bytes[start..start + input.len() * size]);
    for range in [0..input.len() / 3, input.len() / 3..input.len()] {
        check_window(&mut input, range, elements);
    }
    match input.read(progress)? {
        Data::Floats(array) => assert_eq!(array.as_bytes(), &elements[..]),
        Data::I32(values) => assert_integers(input.dtype, elements, values.iter().copied()),
        Data::I64(values) => assert_integers(input.dtype, elements, values.iter().copied()),
    }
    Ok(())
}

/// The elements in C order, little-endian.
fn in_order(input: &InputArray, elements: &[u8]) -> Vec<u8> {
    let size = input.dtype.size() as usize;
    let mut ordered = Vec::new();
    for number in 0..input.len() {
        // The indices in C order, and the place that they have in Fortran order.
        let (mut rest, mut place) = (number, 0);
        for &length in input.shape.iter().rev() {
            place = place * length as usize + rest % length as usize;
            rest /= length as usize;
        }
        let at = if input.layout.is_fortran { place } else { number };
        let mut element = elements[at * size..(at + 1) * size].to_vec();
        if input.layout.is_big_endian {
            element.reverse();
        }
        ordered.extend(element);
    }
    ordered
}

/// Some elements: floats as they are, integers as f64.
fn check_window(input: &mut InputArray, range: Range<usize>, elements: &[u8]) {
    let size = input.dtype.size() as usize;
    let elements = &elements[range.start * size..range.end * size];
    let mut window = Array::F32(Vec::new());
    input.read_window(range, &mut window).expect("it lies in the file");
    match window {
        Array::F64(values) if input.dtype != FileDtype::F64 => {
            let want = elements.chunks_exact(size).map(|bytes| integer(input.dtype, bytes) as f64);
            assert!(values.into_iter().eq(want));
        }
        window => assert_eq!(window.as_bytes(), elements),
    }
}

fn assert_integers<T: Into<i128>>(
    dtype: FileDtype,
    elements: &[u8],
    values: impl Iterator<Item = T>,
) {
    let want = elements.chunks_exact(dtype.size() as usize).map(|bytes| integer(dtype, bytes));
    assert!(values.map(Into::into).eq(want));
}

/// A little-endian integer.
fn integer(dtype: FileDtype, bytes: &[u8]) -> i128 {
    if dtype == FileDtype::Bool {
        return i128::from(bytes[0] != 0);
    }
    let signed = matches!(dtype, FileDtype::I8 | FileDtype::I16 | FileDtype::I32 | FileDtype::I64);
    let negative = signed && bytes.last().is_some_and(|&byte| byte >= 0x80);
    let sign = if negative { -1 } else { 0 };
    bytes.iter().rev().fold(sign, |number, &byte| number << 8 | i128::from(byte))
}
