//! 16-bit matrices at any element of a buffer, and several matrices in one buffer.

mod common;

use common::bench::{Bench, case};
use common::cases::Case;
use common::reference;
use half::{bf16, f16};
use surprisal::gpu::{
    BackwardBuffers, CrossEntropyBuffers, ElementwiseBuffers, MatrixBuffer, OutputBuffer,
    TargetsBuffer, TransformBuffers, VectorBuffer,
};
use surprisal::{
    Array, CrossEntropy, CrossEntropyInput, Dtype, Elementwise, ElementwiseLoss, Error, Reduction,
    Softmax, SoftmaxBackward, wgpu,
};

const NARROW: [Dtype; 2] = [Dtype::F16, Dtype::Bf16];

/// What stands where nothing is to be written.
const BESIDE: u16 = 0x3c7b;

fn bits_of(array: &Array) -> Vec<u16> {
    match array {
        Array::F16(v) => v.iter().map(|x| x.to_bits()).collect(),
        Array::Bf16(v) => v.iter().map(|x| x.to_bits()).collect(),
        other => panic!("{}", other.dtype()),
    }
}

fn values_of(dtype: Dtype, bits: &[u16]) -> Vec<f64> {
    let value = |&bits: &u16| match dtype {
        Dtype::F16 => f64::from(f16::from_bits(bits)),
        _ => f64::from(bf16::from_bits(bits)),
    };
    bits.iter().map(value).collect()
}

/// A matrix in a larger buffer: so many elements from its start, and from row to row.
#[derive(Clone, Copy)]
struct Place {
    offset: usize,
    stride: usize,
}

impl Place {
    fn put(self, case: &Case, into: &mut [u16]) {
        let bits = bits_of(&case.stored(&case.logits));
        for (row, bits) in bits.chunks(case.classes).enumerate() {
            into[self.offset + row * self.stride..][..case.classes].copy_from_slice(bits);
        }
    }

    fn take(self, case: &Case, from: &[u16]) -> Vec<u16> {
        let row = |row| from[self.offset + row * self.stride..][..case.classes].to_vec();
        (0..case.rows).flat_map(row).collect()
    }

    /// Everything that is not the matrix.
    fn beside(self, case: &Case, of: &[u16]) -> Vec<u16> {
        let mut rest = of.to_vec();
        for row in 0..case.rows {
            rest[self.offset + row * self.stride..][..case.classes].fill(0);
        }
        rest
    }

    fn matrix<'a>(self, case: &Case, dtype: Dtype, buffer: &'a wgpu::Buffer) -> MatrixBuffer<'a> {
        MatrixBuffer::new(buffer, case.rows as u64, case.classes as u64)
            .with_dtype(dtype)
            .with_offset(2 * self.offset as u64)
            .with_row_stride(self.stride as u64)
    }
}

fn room(case: &Case, place: Place) -> Vec<u16> {
    vec![BESIDE; (place.offset + case.rows * place.stride + 8).next_multiple_of(2)]
}

fn assert_near(dtype: Dtype, got: &[u16], want: &[f64], what: &str) {
    let got = values_of(dtype, got);
    assert_eq!(got.len(), want.len());
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let bound = common::tolerance::storage(dtype, *want) + 1e-5 * want.abs() + 1e-7;
        assert!((got - want).abs() <= bound, "{what}[{i}]: got {got:e}, want {want:e}");
    }
}

/// Rows, classes, where the input lies, where the output: all parities of all of them.
fn layouts() -> Vec<(Case, Place, Place)> {
    let mut layouts = Vec::new();
    for (rows, classes) in [(5, 10), (70, 3), (9, 64), (6, 33), (3, 1031), (4, 1), (1, 7)] {
        for bits in 0..16 {
            let one = |bit: usize| bits >> bit & 1;
            let input = Place { offset: 4 + one(0), stride: classes + one(1) };
            let output = Place { offset: 6 + 3 * one(2), stride: classes + 2 * one(1) + one(3) };
            layouts.push((case(rows, classes), input, output));
        }
    }
    layouts
}

fn dlogits(case: &Case, op: &CrossEntropy) -> Vec<f64> {
    let input = CrossEntropyInput::new(case.matrix(), &case.targets);
    let output = reference::cross_entropy(op, &input).expect("sound");
    output.dlogits.as_ref().map(Array::to_f64).expect("asked for")
}

/// Rows that share u32s bind one buffer more than GL's floor of four has.
fn bench() -> Bench {
    Bench { gpu: common::gpu() }
}

#[test]
fn rows_at_any_element_and_nothing_written_beside() {
    let bench = bench();
    let mut small = bench.gpu.caps().clone();
    // Rows of one u32 in two windows.
    small.max_binding_bytes = 3000;
    let gpus = [bench.gpu.clone(), bench.gpu.with_caps(small)];
    let tunings = common::one_family_each(bench.gpu.tuning());
    let families = tunings.into_iter().map(|(_, tuning)| bench.gpu.with_tuning(tuning));
    let gpus: Vec<_> = gpus.into_iter().chain(families).collect();
    for (i, (case, input, output)) in layouts().into_iter().enumerate() {
        let dtype = NARROW[i % 2];
        let case = case.in_dtype(dtype);
        let op = CrossEntropy::new().with_reduction(Reduction::Sum).with_gradient();
        let want = dlogits(&case, &op);
        let mut logits = room(&case, input);
        input.put(&case, &mut logits);
        let empty = room(&case, output);
        let targets = bench.buffer(&case.targets);
        for gpu in &gpus {
            let [logits_buffer, output_buffer] = [&logits, &empty].map(|v| bench.buffer(v));
            let buffers = CrossEntropyBuffers::new(
                input.matrix(&case, dtype, &logits_buffer),
                TargetsBuffer::I64(VectorBuffer::new(&targets)),
            );
            let separate = OutputBuffer::Separate(output.matrix(&case, dtype, &output_buffer));
            let call = gpu.prepare_blocking(&op, buffers.with_dlogits(separate)).expect("sound");
            bench.submit(|encoder| call.encode(encoder));
            let got: Vec<u16> = bench.read(&output_buffer);
            assert_near(dtype, &output.take(&case, &got), &want, &case.name);
            assert_eq!(output.beside(&case, &got), output.beside(&case, &empty), "{}", case.name);
            assert_eq!(bench.read::<u16>(&logits_buffer), logits, "the input was written");

            let buffers = buffers.with_dlogits(OutputBuffer::InPlace);
            let call = gpu.prepare_blocking(&op, buffers).expect("sound");
            bench.submit(|encoder| call.encode(encoder));
            let in_place: Vec<u16> = bench.read(&logits_buffer);
            let (in_place, beside) = (input.take(&case, &in_place), input.beside(&case, &in_place));
            assert_eq!(in_place, output.take(&case, &got), "{}: in place", case.name);
            assert_eq!(beside, input.beside(&case, &logits), "{}: in place", case.name);
        }
    }
}

#[test]
fn input_and_output_in_one_buffer() {
    let bench = bench();
    for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
        for classes in [64usize, 33] {
            let case = case(9, classes).in_dtype(dtype);
            let width = dtype.size();
            // Everything in one pool, one after the other: probs, dprobs, dlogits, targets.
            let bytes = 9 * classes * width;
            let start = |i: usize| (i * bytes).next_multiple_of(width);
            let targets_at = start(3).next_multiple_of(8);
            let mut pool = vec![0u8; targets_at + 72];
            let array = case.stored(&case.logits);
            pool[..bytes].copy_from_slice(array.as_bytes());
            pool[start(1)..][..bytes].copy_from_slice(array.as_bytes());
            pool[targets_at..].copy_from_slice(bytemuck::cast_slice(&case.targets));
            let pool = bench.buffer(&pool);
            let matrix = |i: usize| {
                MatrixBuffer::new(&pool, 9, classes as u64)
                    .with_dtype(dtype)
                    .with_offset(start(i) as u64)
            };
            let check = |what: &str, want: &[f64]| {
                let bytes_read = bench.read::<u8>(&pool)[start(2)..][..bytes].to_vec();
                for (got, want) in values_in(dtype, &bytes_read).iter().zip(want) {
                    let bound = common::tolerance::storage(dtype, *want) + 1e-5 * want.abs() + 1e-7;
                    assert!((got - want).abs() <= bound, "{what} {dtype}: {got:e}, {want:e}");
                }
            };
            let output = OutputBuffer::Separate(matrix(2));
            let buffers = BackwardBuffers::new(matrix(0), matrix(1), output);
            let call = bench.gpu.prepare_blocking(&SoftmaxBackward, buffers).expect("apart");
            bench.submit(|encoder| call.encode(encoder));
            let want = reference::softmax_backward(case.matrix(), case.matrix()).expect("sound");
            check("softmax backward", &want);

            let op = CrossEntropy::new().with_gradient();
            let targets = VectorBuffer::new(&pool).with_offset(targets_at as u64);
            let buffers = CrossEntropyBuffers::new(matrix(0), TargetsBuffer::I64(targets));
            let call = bench.gpu.prepare_blocking(&op, buffers.with_dlogits(output));
            let call = call.expect("apart");
            bench.submit(|encoder| call.encode(encoder));
            check("cross-entropy", &dlogits(&case, &op));
            call.read_summary_blocking().expect("the targets are sound");

            // In place, beside its targets.
            let in_place = buffers.with_dlogits(OutputBuffer::InPlace);
            bench.gpu.prepare_blocking(&op, in_place).expect("the targets are elsewhere");
            // The last element of the input is the first of the output.
            let over = OutputBuffer::Separate(matrix(0).with_offset((bytes - width) as u64));
            let buffers = TransformBuffers::new(matrix(0), over);
            let error = bench.gpu.prepare_blocking(&Softmax, buffers).expect_err("an overlap");
            assert!(matches!(error, Error::InvalidBuffer { name: "output", .. }), "{error}");
        }
    }
}

fn values_in(dtype: Dtype, bytes: &[u8]) -> Vec<f64> {
    if dtype == Dtype::F32 {
        let floats = bytes.chunks_exact(4).map(bytemuck::pod_read_unaligned::<f32>);
        return floats.map(f64::from).collect();
    }
    let bits: Vec<u16> = bytes.chunks_exact(2).map(bytemuck::pod_read_unaligned).collect();
    values_of(dtype, &bits)
}

#[test]
fn what_is_refused() {
    let bench = Bench::new();
    let [a, b] = [(); 2].map(|()| bench.buffer(&[0u16; 26]));
    let matrix = |buffer, dtype| MatrixBuffer::new(buffer, 5, 5).with_dtype(dtype);
    let softmax = |input, output| {
        let buffers = TransformBuffers::new(input, OutputBuffer::Separate(output));
        bench.gpu.prepare_blocking(&Softmax, buffers)
    };
    let f16 = matrix(&a, Dtype::F16);
    softmax(f16, matrix(&b, Dtype::F16)).expect("25 elements and a half u32");
    for (input, output, argument) in [
        (f16, matrix(&b, Dtype::Bf16), "probs"),
        (f16, matrix(&b, Dtype::F16).with_offset(1), "probs"),
        (f16, matrix(&b, Dtype::F16).with_offset(4), "probs"),
        (matrix(&a, Dtype::F64), f16, "logits"),
        (matrix(&a, Dtype::F32), f16, "logits"),
    ] {
        let error = softmax(input, output).expect_err("wrong");
        assert!(matches!(error, Error::InvalidBuffer { name, .. } if name == argument), "{error}");
    }
    // Losses of elements are f32, and an f32 has no place where an f16 was.
    let op = Elementwise::new(ElementwiseLoss::Squared).with_reduction(Reduction::None);
    let buffers = ElementwiseBuffers::new(f16, matrix(&b, Dtype::F16));
    for losses in [OutputBuffer::InPlace, OutputBuffer::Separate(matrix(&a, Dtype::F16))] {
        let error = bench.gpu.prepare_blocking(&op, buffers.with_losses(losses));
        let error = error.expect_err("losses are f32");
        assert!(matches!(error, Error::InvalidBuffer { name: "losses", .. }), "{error}");
    }
}
