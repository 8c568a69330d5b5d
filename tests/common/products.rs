//! Products of matrices on a GPU, against sums in f64.

use surprisal::gpu::plan::{Operand, Product, Region, Role};
use surprisal::gpu::{Form, Gpu, Slot, Start};
use surprisal::wgpu::{self, BufferUsages as Usage};
use surprisal::{Array, Dtype};

use super::bench;
use super::cases::{Rng, stored};
use super::suite::Outcome;
use super::tolerance::{self, Arithmetic};

pub const FORMS: [Form; 3] = [Form::RightTransposed, Form::Plain, Form::LeftTransposed];

/// A product to be computed: shape, storage, and where its matrices lie.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    pub form: Form,
    pub start: Start,
    /// Rows, columns, depth.
    pub shape: [usize; 3],
    /// Of the left and the right factor.
    pub dtypes: [Dtype; 2],
    /// Elements before a matrix, and between its rows.
    pub gaps: [usize; 2],
}

impl Case {
    pub fn new(form: Form, shape: [usize; 3], dtype: Dtype) -> Self {
        // The gradient of logits is f32, whatever it is multiplied with.
        let left = if form == Form::RightTransposed { dtype } else { Dtype::F32 };
        Self { form, start: Start::Zero, shape, dtypes: [left, dtype], gaps: [0; 2] }
    }
}

/// A matrix in a buffer with gaps, and its values.
struct Stored {
    operand: Operand,
    buffer: wgpu::Buffer,
    values: Vec<f64>,
    width: usize,
}

impl Stored {
    fn new(gpu: &Gpu, slot: Slot, shape: [usize; 2], dtype: Dtype, case: &Case) -> Self {
        let ([rows, width], [before, between]) = (shape, case.gaps);
        let stride = width + between;
        let mut rng = Rng::new((slot as usize * 7 + rows * 31 + width) as u64);
        // NaN where nothing may be read, and nothing written.
        let mut all = vec![f32::NAN; (before + rows * stride + 1).next_multiple_of(4)];
        for row in 0..rows {
            all[before + row * stride..][..width].fill_with(|| rng.normal() as f32);
        }
        let all = stored(&all, dtype);
        let values = all.to_f64();
        let values = (0..rows).flat_map(|row| values[before + row * stride..][..width].to_vec());
        let region =
            Region { offset: (before * dtype.size()) as u64, row_stride: stride as u64, dtype };
        Self {
            operand: Operand { role: Role::Slot(slot), region },
            buffer: upload(gpu, &all),
            values: values.collect(),
            width,
        }
    }

    fn at(&self, row: usize, column: usize) -> f64 {
        self.values[row * self.width + column]
    }
}

fn upload(gpu: &Gpu, values: &Array) -> wgpu::Buffer {
    let buffer = gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: values.as_bytes().len().next_multiple_of(4) as u64,
        usage: Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST,
        mapped_at_creation: false,
    });
    gpu.queue().write_buffer(&buffer, 0, values.as_bytes());
    buffer
}

/// Computes it, and compares every element, and every gap.
pub fn check(gpu: &Gpu, case: &Case) -> Outcome {
    let [rows, columns, depth] = case.shape;
    let of_left = if case.form == Form::LeftTransposed { [depth, rows] } else { [rows, depth] };
    let of_right =
        if case.form == Form::RightTransposed { [columns, depth] } else { [depth, columns] };
    let left = Stored::new(gpu, Slot::Input, of_left, case.dtypes[0], case);
    let right = Stored::new(gpu, Slot::Second, of_right, case.dtypes[1], case);
    let output = Stored::new(gpu, Slot::Output, [rows, columns], Dtype::F32, case);
    let bias = Stored::new(gpu, Slot::Bias, [1, columns], Dtype::F32, case);
    let product = Product {
        form: case.form,
        rows: rows as u64,
        columns: columns as u64,
        depth: depth as u64,
        left: left.operand,
        right: right.operand,
        output: output.operand,
        start: case.start,
        bias: (case.start == Start::Bias).then_some(bias.operand),
    };
    let all = [&left, &right, &output, &bias].map(|it| (it.operand.role, &it.buffer));
    let call = pollster::block_on(gpu.prepare_product(&product, &all));
    let call = call.map_err(|error| error.to_string())?;
    let bench = bench::Bench { gpu: gpu.clone() };
    bench.submit(|encoder| call.encode(encoder));
    let got: Vec<f32> = bench.read(&output.buffer);

    let [before, between] = case.gaps;
    for (i, got) in got.iter().enumerate() {
        let within =
            i.checked_sub(before).map(|i| (i / (columns + between), i % (columns + between)));
        let Some((row, column)) = within.filter(|(row, column)| *row < rows && *column < columns)
        else {
            if !got.is_nan() {
                return Err(format!("{case:?}: [{i}], which is beside the product, is {got}"));
            }
            continue;
        };
        let start = match case.start {
            Start::Bias => bias.at(0, column),
            Start::Stored => output.at(row, column),
            _ => 0.0,
        };
        let term = |k| {
            let turned = case.form == Form::LeftTransposed;
            let left = if turned { left.at(k, row) } else { left.at(row, k) };
            let upright = case.form == Form::RightTransposed;
            left * if upright { right.at(column, k) } else { right.at(k, column) }
        };
        let want = start + (0..depth).map(term).sum::<f64>();
        let magnitude = start.abs() + (0..depth).map(|k| term(k).abs()).sum::<f64>();
        let bound = tolerance::product(Arithmetic::GPU, depth + 1, magnitude);
        let off = (f64::from(*got) - want).abs();
        if off > bound || off.is_nan() {
            return Err(format!(
                "{case:?}: [{row}, {column}]: got {got}, want {want}, bound {bound:e}"
            ));
        }
    }
    Ok(())
}
