//! Mistakes in masks of rows and of elements.

use super::{Mutant, in_kernels, mutant};
use crate::common::Subject;
use crate::common::bench::Bench;
use crate::common::cases::stored;
use crate::common::masks::{Data, Kept, check_elements, check_rows};
use surprisal::gpu::{
    CrossEntropyBuffers, ElementwiseBuffers, Gpu, MaskBuffer, MatrixBuffer, OutputBuffer,
    TargetsBuffer, VectorBuffer,
};
use surprisal::{BinaryCrossEntropy, CrossEntropy, Device, Dtype, ElementwiseInput};

const MASK: &str = "mask";
const MASK_TARGETS: &str = "mask_targets";
const MASK_LABELS: &str = "mask_labels";
const FOUR: &str = "elements_masked";
const COUNTS: &str = "element_counts(at, word)";

const fn of_elements(mutant: Mutant) -> Mutant {
    in_kernels("elements", mutant)
}

const fn recorded(mutant: Mutant) -> Mutant {
    in_kernels("recorded", mutant)
}

pub(crate) const MASKS: &[Mutant] = &[
    mutant("a mask turned round", MASK, "!= 0u", "== 0u"),
    mutant("a byte for its neighbour", MASK, "place % 4u", "place % 2u"),
    mutant("no mask among targets", MASK_TARGETS, "target_index, counts)", "target_index, true)"),
    mutant("masked rows counted", "counts_targets", "!target_is_ignored(target_at(row))", "true"),
    mutant("masked rows' losses", "stats", "row_counts(index)", "true"),
    mutant("masked rows' metrics", "stats_metrics", "row_counts(index)", "true"),
    mutant("masked rows' columns", "skips_rows", "!row_counts(row)", "false"),
    mutant("masked divergences", "row_js", "row_counts(index)", "true"),
    of_elements(mutant("no shift", FOUR, "8u * (first % 4u)", "0u")),
    of_elements(mutant("the second u32 left out", FOUR, "(mask[last / 4u] << 1u)", "0u")),
    of_elements(mutant(
        "one mask for all rows",
        "starts",
        "params.mask_offset + row * params.mask_stride",
        "params.mask_offset",
    )),
    of_elements(mutant(
        "one element for a row's",
        "elements_masked_one",
        "at.mask + word",
        "at.mask",
    )),
    of_elements(mutant("masked losses", "element", COUNTS, "Mask(true)")),
    of_elements(mutant(
        "masked gradients in the sweep",
        "sweep_elements_gradient",
        COUNTS,
        "Mask(true)",
    )),
    of_elements(mutant("masked gradients of ragged rows", "column_element", COUNTS, "Mask(true)")),
    recorded(mutant("labels turned round", MASK_LABELS, "!= params.ignored", "== params.ignored")),
    recorded(mutant("one label of four", MASK_LABELS, "4u * word + i", "4u * word")),
    recorded(mutant("one byte of four", MASK_LABELS, "8u * i", "8u")),
    recorded(mutant("labels without the mask", MASK_LABELS, "!mask_at(at.mask + column)", "false")),
    recorded(mutant(
        "elements counted twice",
        "sweep_element_counts",
        "Values(1.0)",
        "Values(2.0)",
    )),
    recorded(mutant("rows counted for elements", "row_element_counts", "acc.sum", "1.0")),
    recorded(mutant("nothing counted", "reduced_counts", "= sum", "= 0.0")),
    recorded(mutant(
        "a mean's gradient as a sum's",
        "upstream_mean",
        "Values(upstream_at(at.row))",
        "Values(params.upstream)",
    )),
    recorded(mutant(
        "a mask from its buffer's start",
        MASK_TARGETS,
        "params.mask_offset + row",
        "row",
    )),
    recorded(mutant("a bad target for a mask", MASK_TARGETS, "target_index.x += 1u", "return")),
];

/// The failure of the checks that a mutant is for.
pub(crate) fn mask_failure(gpu: &Gpu, kernels: &str) -> Option<String> {
    match kernels {
        "elements" => {
            let subject = Subject::gpu(kernels, gpu.clone());
            [((29, 33), Dtype::F32), ((19, 131), Dtype::F16)].into_iter().find_map(
                |(shape, dtype)| check_elements(&subject, shape, dtype, Kept::MIXED).err(),
            )
        }
        "recorded" => recorded_elements(gpu).or_else(|| bad_target(gpu)),
        _ => {
            let subject = Subject::gpu(kernels, gpu.clone());
            check_rows(&subject, (29, 5), Dtype::F32, Kept::MIXED, |_| true).err()
        }
    }
}

/// A mean of elements that a mask and a label leave out, against the CPU path.
fn recorded_elements(gpu: &Gpu) -> Option<String> {
    let bench = Bench { gpu: gpu.clone() };
    let (rows, classes) = (21, 38);
    let mut data = Data::new(rows, classes, Dtype::F32);
    let mask = Kept::Some.mask(rows * classes);
    let labels = data.labels.to_f64().into_iter().enumerate();
    let labels: Vec<f32> = labels.map(|(i, y)| if i % 5 == 2 { 9.0 } else { y as f32 }).collect();
    data.labels = stored(&labels, Dtype::F32);
    let op = BinaryCrossEntropy::new().with_gradient().with_ignore_index(9.0);
    let input = ElementwiseInput::new(data.matrix(&data.logits), data.matrix(&data.labels));
    let want = Device::cpu().run(&op, input.with_mask(&mask)).expect("sound");
    let kept = (0..mask.len()).filter(|&i| mask[i] && i % 5 != 2).count();

    let x = bench.buffer(data.logits.as_f32().expect("f32"));
    let y = bench.buffer(&labels);
    let mut bytes: Vec<u8> = mask.iter().map(|&counts| counts.into()).collect();
    bytes.resize(bytes.len().next_multiple_of(4), 1);
    let bytes = bench.buffer(&bytes);
    let matrix = |buffer| MatrixBuffer::new(buffer, rows as u64, classes as u64);
    let buffers = ElementwiseBuffers::new(matrix(&x), matrix(&y))
        .with_dinput(OutputBuffer::InPlace)
        .with_mask(MaskBuffer::new(&bytes));
    let call = match bench.gpu.prepare_blocking(&op, buffers) {
        Ok(call) => call,
        Err(error) => return Some(error.to_string()),
    };
    bench.submit(|encoder| call.encode(encoder));
    let summary = call.read_summary_blocking().expect("it has one");
    if summary.total_weight != kept as f32 {
        return Some(format!("{} count, want {kept}", summary.total_weight));
    }
    let dinput: Vec<f32> = bench.read(&x);
    let want = want.dinput.expect("asked for").to_f64();
    let differs = |i: &usize| (f64::from(dinput[*i]) - want[*i]).abs() > 1e-6 * want[*i].abs();
    (0..want.len()).find(differs).map(|i| format!("[{i}]: {}, want {}", dinput[i], want[i]))
}

/// A row that counts, whose target is what stands for rows that do not.
fn bad_target(gpu: &Gpu) -> Option<String> {
    let bench = Bench { gpu: gpu.clone() };
    let logits = bench.buffer(&[0.0f32; 4]);
    // A byte before the mask.
    let (targets, mask) = (bench.buffer(&[i64::MIN, 1]), bench.buffer(&[0u8, 1, 1, 1]));
    let buffers = CrossEntropyBuffers::new(
        MatrixBuffer::new(&logits, 2, 2),
        TargetsBuffer::I64(VectorBuffer::new(&targets)),
    )
    .with_mask(MaskBuffer::new(&mask).with_offset(1));
    let op = CrossEntropy::new().with_ignore_index(None);
    let call = match bench.gpu.prepare_blocking(&op, buffers) {
        Ok(call) => call,
        Err(error) => return Some(error.to_string()),
    };
    bench.submit(|encoder| call.encode(encoder));
    let summary = call.read_summary_blocking();
    summary.is_ok().then(|| "a target that is no class was ignored".to_owned())
}
