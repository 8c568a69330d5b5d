//! Plans of products and of linear layers, for made-up limits.

use std::collections::BTreeMap;

use proptest::prelude::*;
use surprisal::gpu::plan::{
    Destination, Ignored, Layer, MAX_DEPTH, Operand, Plan, Problem, Product, Region, Role, Step,
};
use surprisal::gpu::{Caps, Form, Kernel, Params, RowOp, Slot, Start, Tuning};
use surprisal::{Dtype, Error, Reduction};

use crate::problems::{caps, cases, main_pass};
use crate::{bound, h200, loss_and_gradient, tight};

fn operand(slot: Slot, dtype: Dtype, width: u64, (offset, gap): (u64, u64)) -> Operand {
    let region = Region { offset: offset * dtype.size() as u64, row_stride: width + gap, dtype };
    Operand { role: Role::Slot(slot), region }
}

fn product() -> impl Strategy<Value = Product> {
    let forms = [Form::RightTransposed, Form::Plain, Form::LeftTransposed];
    let dtypes = [Dtype::F32, Dtype::F16, Dtype::Bf16];
    let shape = (1u64..200, 1u64..200, 1u64..20_000);
    let places = [(0u64..50, 0u64..9), (0u64..50, 0u64..9), (0u64..50, 0u64..9)];
    let starts = [Start::Zero, Start::Bias, Start::Stored];
    let choices = (
        prop::sample::select(forms.to_vec()),
        prop::sample::select(dtypes.to_vec()),
        prop::sample::select(starts.to_vec()),
    );
    (shape, places, choices).prop_map(|((rows, columns, depth), places, (form, dtype, start))| {
        let left = if form == Form::LeftTransposed { rows } else { depth };
        let right = if form == Form::RightTransposed { depth } else { columns };
        let of_left = if form == Form::RightTransposed { dtype } else { Dtype::F32 };
        Product {
            form,
            rows,
            columns,
            depth,
            left: operand(Slot::Input, of_left, left, places[0]),
            right: operand(Slot::Second, dtype, right, places[1]),
            output: operand(Slot::Output, Dtype::F32, columns, places[2]),
            start,
            bias: Some(operand(Slot::Bias, Dtype::F32, 0, places[2])),
        }
    })
}

/// The first byte of a matrix that a step reads or writes.
fn first_byte(step: &Step, slot: Slot, dtype: Dtype) -> u64 {
    let Kernel::Product(kernel) = step.kernel else { panic!("{:?}", step.kernel) };
    let (offset, grain) = match slot {
        Slot::Input => (step.params.input_offset, kernel.left.grain()),
        Slot::Second => (step.params.second_offset, kernel.right.grain()),
        Slot::Bias => (step.params.bias_offset, 1),
        _ => (step.params.output_offset, if kernel.by_four { 4 } else { 1 }),
    };
    let bound = bound(step, slot).expect("it is bound");
    bound.offset + u64::from(offset) * grain * dtype.size() as u64
}

fn check(product: &Product, caps: &Caps, tuning: &Tuning) -> Result<(), TestCaseError> {
    let steps = match product.steps(caps, tuning) {
        Ok(steps) => steps,
        Err(Error::TooLarge { needed, limit, .. }) => {
            prop_assert!(needed > limit);
            return Ok(());
        }
        Err(Error::DeviceTooSmall { .. }) => return Ok(()),
        Err(other) => return Err(TestCaseError::fail(other.to_string())),
    };
    // How deep each part of the product is summed already, by its first byte; and its size.
    let mut summed = BTreeMap::new();
    for step in &steps {
        let Kernel::Product(kernel) = step.kernel else { panic!("{:?}", step.kernel) };
        let p = &step.params;
        let part = [p.rows, p.columns, p.depth].map(u64::from);
        prop_assert!(part[2] <= MAX_DEPTH);
        let region = product.output.region;
        let at = first_byte(step, Slot::Output, Dtype::F32);
        let element = (at - region.offset) / 4;
        let (row, column) = (element / region.row_stride, element % region.row_stride);
        let (depth, size) = summed.entry(at).or_insert((0, part[0] * part[1]));
        prop_assert_eq!(*size, part[0] * part[1]);
        let start = if *depth == 0 { product.start } else { Start::Stored };
        prop_assert_eq!(kernel.start, start);
        let left = if product.form == Form::LeftTransposed { [*depth, row] } else { [row, *depth] };
        let upright = product.form == Form::RightTransposed;
        let right = if upright { [column, *depth] } else { [*depth, column] };
        for (slot, operand, [row, column]) in
            [(Slot::Input, product.left, left), (Slot::Second, product.right, right)]
        {
            let region = operand.region;
            let bytes = (row * region.row_stride + column) * region.dtype.size() as u64;
            prop_assert_eq!(first_byte(step, slot, region.dtype), region.offset + bytes);
        }
        if start == Start::Bias {
            let offset = product.bias.map_or(0, |bias| bias.region.offset);
            prop_assert_eq!(first_byte(step, Slot::Bias, Dtype::F32), offset + 4 * column);
        }
        *depth += part[2];
        check_limits(step, caps)?;
        let (tile, groups) = (kernel.tile, u64::from(step.grid[0]) * u64::from(step.grid[1]));
        let tiles = part[0].div_ceil(tile.rows().into()) * part[1].div_ceil(tile.columns().into());
        prop_assert!(tiles <= groups && groups - tiles < u64::from(step.grid[0]).max(1));
        let of_tile = 2 * u64::from(tile.rows()) * u64::from(tile.columns()) * part[2];
        let a_second = tuning.operations_per_second as f64;
        let took = (tiles * of_tile) as f64 / a_second;
        prop_assert!(tiles == 1 || took <= tuning.budget.as_secs_f64(), "too long");
    }
    prop_assert!(summed.values().all(|(depth, _)| *depth == product.depth), "all of the depth");
    let size: u64 = summed.values().map(|(_, size)| size).sum();
    prop_assert_eq!(size, product.rows * product.columns, "every element");
    Ok(())
}

fn check_limits(step: &Step, caps: &Caps) -> Result<(), TestCaseError> {
    prop_assert!(step.workgroup_size <= caps.max_workgroup_size);
    prop_assert!(step.grid.iter().all(|&n| 0 < n && n <= caps.max_workgroups));
    prop_assert_eq!(step.params.grid_width, step.grid[0]);
    prop_assert_eq!(step.bindings.len() + 1, step.kernel.bindings().len());
    prop_assert!(step.kernel.storage_bindings() <= caps.max_storage_bindings);
    for bound in &step.bindings {
        prop_assert!(0 < bound.size && bound.size <= caps.max_binding_bytes, "{bound:?}");
        prop_assert_eq!((bound.offset % caps.storage_alignment, bound.size % 4), (0, 0));
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn products_are_computed_once(product in product(), caps in caps()) {
        check(&product, &caps, &Tuning::new(&caps))?;
    }

    #[test]
    fn layers_keep_the_limits(layer in layer(), caps in caps()) {
        check_layer(&layer, &caps)?;
    }

    #[test]
    fn ignored_rows_are_left_out(layer in layer(), caps in caps(), tenths in 0u64..=10) {
        check_kept(&layer, &caps, tenths)?;
    }

    #[test]
    fn layers_in_blocks_keep_the_limits(layer in layer(), caps in caps(), block in 1u64..700) {
        check_blocks(&layer, &caps, block)?;
    }
}

/// A layer and the problem over its logits.
fn layer() -> impl Strategy<Value = (Layer, Problem)> {
    let dtypes = prop::sample::select(vec![Dtype::F32, Dtype::F16, Dtype::Bf16]);
    let shape = (1u64..200, 1u64..100, 1u64..2000);
    (shape, dtypes, any::<bool>(), any::<[bool; 3]>(), 4u32..24).prop_map(
        |((rows, width, classes), dtype, has_bias, gradients, scratch)| {
            let region = |dtype| Region { offset: 0, row_stride: width, dtype };
            let vector = Region { offset: 0, row_stride: 0, dtype: Dtype::F32 };
            let [hidden, weight, bias] = gradients;
            let has_gradient = hidden || weight || bias && has_bias;
            let output = if has_gradient { Destination::InPlace } else { Destination::None };
            let problem = Problem {
                passes: vec![main_pass(RowOp::CrossEntropy, output)],
                ..loss_and_gradient(rows, classes)
            };
            let layer = Layer {
                width,
                hidden: region(dtype),
                weight: region(dtype),
                bias: has_bias.then_some(vector),
                dhidden: hidden.then_some(region(Dtype::F32)),
                dweight: weight.then_some(region(Dtype::F32)),
                dbias: (bias && has_bias).then_some(vector),
                scratch_bytes: 1 << scratch,
                ignored: Ignored::Multiplied,
            };
            (layer, problem)
        },
    )
}

fn check_layer((layer, problem): &(Layer, Problem), caps: &Caps) -> Result<(), TestCaseError> {
    let tuning = Tuning::new(caps);
    let plan = match layer.plan(problem, caps, &tuning) {
        Ok(plan) => plan,
        Err(Error::TooLarge { .. } | Error::DeviceTooSmall { .. }) => return Ok(()),
        Err(other) => return Err(TestCaseError::fail(other.to_string())),
    };
    let mut made = 0;
    let mut finished = 0;
    for step in &plan.steps {
        let p = &step.params;
        let size = u64::from(p.rows) * u64::from(p.columns);
        check_limits(step, caps)?;
        match step.kernel {
            Kernel::Product(kernel) if kernel.form == Form::RightTransposed => made += size,
            Kernel::TileSweep(_) => {
                made += size;
                prop_assert_eq!(u64::from(p.depth), layer.width);
            }
            Kernel::TileFinish(_) => finished += u64::from(p.rows),
            _ => {}
        }
        for bound in step.bindings.iter().filter(|bound| bound.role == Role::Slot(Slot::Scratch)) {
            prop_assert!(bound.offset + bound.size <= plan.scratch_bytes);
        }
        for bound in step.bindings.iter().filter(|bound| bound.role == Role::Slot(Slot::Input)) {
            prop_assert!(bound.offset + bound.size <= plan.logits_bytes, "{bound:?}");
        }
    }
    prop_assert_eq!(made, problem.rows * problem.classes, "every logit, once");
    prop_assert!(finished == 0 || finished == problem.rows);
    let by_chunks = plan.logits_bytes > 0;
    prop_assert!(by_chunks == (finished == 0), "logits that are stored, or are not");
    let one_row = 4 * problem.classes;
    prop_assert!(plan.logits_bytes <= layer.scratch_bytes.max(one_row));
    Ok(())
}

/// The plan as the device fits it where so many tenths of the rows are kept.
fn check_kept(
    (layer, problem): &(Layer, Problem),
    caps: &Caps,
    tenths: u64,
) -> Result<(), TestCaseError> {
    let layer = Layer { ignored: Ignored::LeftOut, ..layer.clone() };
    let mut plan = match layer.plan(problem, caps, &Tuning::new(caps)) {
        Ok(plan) => plan,
        Err(Error::TooLarge { .. } | Error::DeviceTooSmall { .. }) => return Ok(()),
        Err(other) => return Err(TestCaseError::fail(other.to_string())),
    };
    for step in &plan.steps {
        check_limits(step, caps)?;
        for bound in &step.bindings {
            let buffer = plan.kept.iter().find(|(role, _)| *role == bound.role);
            let fits =
                |(_, bytes): &(Role, u64)| bound.offset + bound.size <= bytes.next_multiple_of(4);
            prop_assert!(buffer.is_none_or(fits), "{bound:?} of {:?}", plan.kept);
        }
    }
    let kept = problem.rows * tenths / 10;
    fit(&mut plan, kept);
    let (mut logits, mut dhidden, mut depth, mut spread) = (0, 0, 0, 0);
    for step in &plan.steps {
        let p = &step.params;
        let (rows, columns) = (u64::from(p.rows), u64::from(p.columns));
        match step.kernel {
            Kernel::Product(kernel) => match kernel.form {
                Form::RightTransposed => logits += rows * columns,
                Form::Plain => dhidden += rows * columns * u64::from(p.depth),
                Form::LeftTransposed => depth += rows * columns * u64::from(p.depth),
                other => prop_assert!(false, "{other:?}"),
            },
            Kernel::TileSweep(_) => logits += rows * columns,
            // Each row may be anywhere up to the end of the batch.
            Kernel::SpreadRows
                if u64::from(p.window_row) + u64::from(p.window_rows) == problem.rows =>
            {
                spread += rows * u64::from(p.words);
            }
            _ => {}
        }
    }
    let product = kept * problem.classes * layer.width;
    prop_assert_eq!(logits, kept * problem.classes, "kept rows, once");
    prop_assert_eq!(dhidden, if layer.dhidden.is_some() { product } else { 0 });
    prop_assert_eq!(depth, if layer.dweight.is_some() { product } else { 0 });
    let words = if problem.loss.metrics { 4 } else { 2 } + layer.dhidden.map_or(0, |_| layer.width);
    prop_assert_eq!(spread, kept * words, "and what they come to is moved back");
    Ok(())
}

/// What `fit_params.wgsl` does.
fn fit(plan: &mut Plan, kept: u64) {
    let stride = Params::STRIDE as usize / 4;
    for limit in &plan.limits {
        let (step, field) = (limit.at as usize / stride, limit.at as usize % stride);
        let rows = kept.saturating_sub(limit.first.into()) as u32;
        let whole = if rows > 0 { limit.most } else { 0 };
        let params = &mut plan.steps[plan.fitted.clone()][step].params;
        let words: &mut [u32] = bytemuck::cast_slice_mut(std::slice::from_mut(params));
        assert_eq!(words[field], limit.most, "it is the number that is meant");
        words[field] = if limit.is_whole == 1 { whole } else { rows.min(limit.most) };
    }
}

fn check_blocks(
    (layer, problem): &(Layer, Problem),
    caps: &Caps,
    block: u64,
) -> Result<(), TestCaseError> {
    let problem = Problem { reduction: Reduction::None, ..problem.clone() };
    let plan = match layer.plan_in_blocks(&problem, caps, &Tuning::new(caps), block) {
        Ok(plan) => plan,
        Err(Error::TooLarge { .. } | Error::DeviceTooSmall { .. } | Error::InvalidInput { .. }) => {
            return Ok(());
        }
        Err(other) => return Err(TestCaseError::fail(other.to_string())),
    };
    let (mut swept, mut finished, mut made, mut written) = (0, 0, 0, 0);
    for step in &plan.steps {
        let p = &step.params;
        let size = u64::from(p.rows) * u64::from(p.columns);
        check_limits(step, caps)?;
        match step.kernel {
            Kernel::TileSweep(_) => swept += size,
            Kernel::TileFinish(_) => finished += u64::from(p.rows),
            Kernel::Product(kernel) if kernel.form == Form::RightTransposed => made += size,
            Kernel::Rows(_) => written += size,
            _ => {}
        }
        for bound in &step.bindings {
            let held = match bound.role {
                Role::Slot(Slot::Scratch) => plan.scratch_bytes,
                Role::Slot(Slot::Input) => plan.logits_bytes,
                Role::Weight => {
                    let elements = block.min(problem.classes) * layer.width;
                    elements * layer.weight.dtype.size() as u64 + 3
                }
                _ => continue,
            };
            prop_assert!(bound.offset + bound.size <= held, "{bound:?} of {held}");
        }
    }
    let logits = problem.rows * problem.classes;
    let has_gradient = [layer.dhidden, layer.dweight, layer.dbias].iter().any(Option::is_some);
    let again = if has_gradient { logits } else { 0 };
    prop_assert_eq!((swept, finished, made, written), (logits, problem.rows, again, again));
    prop_assert!(plan.logits_bytes <= layer.scratch_bytes);
    Ok(())
}

fn large_layer(gradients: bool, ignored: Ignored) -> Plan {
    let (rows, width, classes) = (8192, 256, 128_256);
    let region = tight(width);
    let gradient = gradients.then_some(region);
    let output = if gradients { Destination::InPlace } else { Destination::None };
    let problem = Problem {
        passes: vec![main_pass(RowOp::CrossEntropy, output)],
        ..loss_and_gradient(rows, classes)
    };
    let layer = Layer {
        width,
        hidden: region,
        weight: region,
        bias: None,
        dhidden: gradient,
        dweight: gradient,
        dbias: None,
        scratch_bytes: 256 << 20,
        ignored,
    };
    let caps = h200();
    layer.plan(&problem, &caps, &Tuning::new(&caps)).expect("it fits")
}

fn bytes_besides(plan: &Plan) -> u64 {
    let kept: u64 = plan.kept.iter().map(|(_, bytes)| bytes).sum();
    plan.logits_bytes + plan.scratch_bytes + kept
}

#[test]
fn a_loss_alone_takes_little_scratch() {
    // Stored, the logits of 8192 tokens and a vocabulary of 128,256 are 4.2 GB.
    for ignored in [Ignored::Multiplied, Ignored::LeftOut] {
        let plan = large_layer(false, ignored);
        assert_eq!(plan.logits_bytes, 0);
        assert!(bytes_besides(&plan) < 16_000_000, "{}", bytes_besides(&plan));
        let plan = large_layer(true, ignored);
        assert!(bytes_besides(&plan) <= 256 << 20, "{}", bytes_besides(&plan));
    }
}
