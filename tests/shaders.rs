//! Every kernel compiles for every shading language, and agrees with the host: no GPU needed.

use std::collections::BTreeSet;

use naga::back::{glsl, hlsl, msl, spv};
use naga::valid::{Capabilities, SubgroupOperationSet, ValidationFlags, Validator};
use surprisal::gpu::{
    Access, Caps, Composed, FRAGMENTS, Kernel, Limit, Params, Slot, Sources, Summary, compose,
};
use surprisal::wgpu;

fn capabilities(kernel: Kernel) -> Capabilities {
    // Only what a kernel declares to need: the others must do without.
    let subgroups =
        if kernel.needs_subgroups() { Capabilities::SUBGROUP } else { Capabilities::empty() };
    // unpack2x16float and its kin: core WGSL.
    subgroups | Capabilities::SHADER_FLOAT16_IN_FLOAT32
}

fn parse(kernel: Kernel) -> (Composed, naga::Module) {
    let composed = compose(&kernel, &Sources::default());
    let module = naga::front::wgsl::parse_str(&composed.source).unwrap_or_else(|error| {
        let line = error.location(&composed.source).map_or(0, |location| location.line_number);
        let (file, line) = composed.origin(line);
        panic!("{}: shaders/{file}:{line}: {}", kernel.name(), error.message());
    });
    (composed, module)
}

fn validate(kernel: Kernel, module: &naga::Module) -> naga::valid::ModuleInfo {
    Validator::new(ValidationFlags::all(), capabilities(kernel))
        .subgroup_stages(naga::valid::ShaderStages::COMPUTE)
        .subgroup_operations(SubgroupOperationSet::all())
        .validate(module)
        .unwrap_or_else(|error| panic!("{}: {:?}", kernel.name(), error.into_inner()))
}

/// The module with its workgroup size put in, as a driver sees it.
fn specialized(kernel: Kernel, size: u32) -> (naga::Module, naga::valid::ModuleInfo) {
    let (_, module) = parse(kernel);
    let info = validate(kernel, &module);
    let mut constants = naga::back::PipelineConstants::default();
    constants.insert("WG_SIZE".to_owned(), f64::from(size));
    let entry = Some((naga::ShaderStage::Compute, "main"));
    let (module, info) =
        naga::back::pipeline_constants::process_overrides(&module, &info, entry, &constants)
            .unwrap_or_else(|error| panic!("{}: {error}", kernel.name()));
    (module.into_owned(), info.into_owned())
}

#[test]
fn every_kernel_lowers_to_every_shading_language() {
    let kernels = Kernel::spanning();
    assert!(kernels.len() > 6000, "the table has lost its variants: {}", kernels.len());
    for kernel in kernels {
        for size in [8, 256] {
            let (module, info) = specialized(kernel, size);
            let name = kernel.name();
            to_spirv(&module, &info, &name);
            to_msl(&module, &info, &name);
            to_hlsl(&module, &info, &name);
            to_glsl(&module, &info, &name, kernel.needs_subgroups());
        }
    }
}

fn to_spirv(module: &naga::Module, info: &naga::valid::ModuleInfo, name: &str) {
    let options = spv::Options { lang_version: (1, 3), ..Default::default() };
    let words = spv::write_vec(module, info, &options, None)
        .unwrap_or_else(|error| panic!("{name}: SPIR-V: {error}"));
    assert!(!words.is_empty());
}

fn to_msl(module: &naga::Module, info: &naga::valid::ModuleInfo, name: &str) {
    let options =
        msl::Options { lang_version: (2, 4), fake_missing_bindings: true, ..Default::default() };
    msl::write_string(module, info, &options, &msl::PipelineOptions::default())
        .unwrap_or_else(|error| panic!("{name}: MSL: {error}"));
}

fn to_hlsl(module: &naga::Module, info: &naga::valid::ModuleInfo, name: &str) {
    let options = hlsl::Options { shader_model: hlsl::ShaderModel::V6_0, ..Default::default() };
    let pipeline = hlsl::PipelineOptions::default();
    let mut text = String::new();
    hlsl::Writer::new(&mut text, &options, &pipeline)
        .write(module, info, None)
        .unwrap_or_else(|error| panic!("{name}: HLSL: {error}"));
}

fn to_glsl(module: &naga::Module, info: &naga::valid::ModuleInfo, name: &str, subgroups: bool) {
    // wgpu offers no subgroups on GL; the kernels with them are lowered for desktop GL 4.3 all the
    // same, those without for the floor, GLES 3.1.
    let version =
        if subgroups { glsl::Version::Desktop(430) } else { glsl::Version::new_gles(310) };
    let options = glsl::Options { version, ..Default::default() };
    let pipeline = glsl::PipelineOptions {
        shader_stage: naga::ShaderStage::Compute,
        entry_point: "main".to_owned(),
        multiview: None,
    };
    let policies = naga::proc::BoundsCheckPolicies::default();
    let mut text = String::new();
    glsl::Writer::new(&mut text, module, info, &options, &pipeline, policies)
        .and_then(|mut writer| writer.write())
        .unwrap_or_else(|error| panic!("{name}: GLSL: {error}"));
}

#[test]
fn bindings_agree_with_the_table() {
    for kernel in Kernel::spanning() {
        let (_, module) = parse(kernel);
        let declared: Vec<(u32, Access)> = module
            .global_variables
            .iter()
            .filter_map(|(_, variable)| {
                let binding = variable.binding.as_ref()?;
                assert_eq!(binding.group, 0, "{}", kernel.name());
                let access = match variable.space {
                    naga::AddressSpace::Uniform => Access::Uniform,
                    naga::AddressSpace::Storage { access }
                        if access.contains(naga::StorageAccess::STORE) =>
                    {
                        Access::ReadWrite
                    }
                    naga::AddressSpace::Storage { .. } => Access::Read,
                    other => panic!("{}: {other:?} has a binding", kernel.name()),
                };
                Some((binding.binding, access))
            })
            .collect();
        let declared: BTreeSet<_> = declared.iter().map(|d| format!("{d:?}")).collect();
        let table: BTreeSet<_> =
            kernel.bindings().iter().map(|(s, a)| format!("{:?}", (*s as u32, *a))).collect();
        assert_eq!(declared, table, "{}", kernel.name());
        let slots: BTreeSet<Slot> = kernel.bindings().into_iter().map(|(slot, _)| slot).collect();
        assert_eq!(slots.len(), kernel.bindings().len(), "{}: a slot twice", kernel.name());
    }
}

#[test]
fn core_kernels_bind_at_most_four_storage_buffers() {
    use surprisal::gpu::{Family, RowOp, UpstreamFrom, Weighting};
    for kernel in Kernel::all() {
        let Kernel::Rows(row) = kernel else {
            // Tiles of logits beyond it have a bias, and weights for label smoothing.
            let floor = if matches!(kernel, Kernel::TileSweep(_)) { 6 } else { 4 };
            assert!(kernel.storage_bindings() <= floor, "{}", kernel.name());
            continue;
        };
        // GL's floor is four. Beyond it: weights of classes or elements, an upstream gradient for
        // each row or element, split rows, which leave their pieces in a buffer of their own,
        // 16-bit rows, which leave their edges in another, masks, and the Jensen-Shannon divergence with
        // its two passes.
        let core = !matches!(row.upstream, UpstreamFrom::Rows | UpstreamFrom::Elements)
            && row.family != Family::SplitFinish
            && row.weighting == Weighting::None
            && row.op != RowOp::Js
            && !row.word.is_ragged()
            && !row.factors
            && !row.masked;
        if core {
            assert!(kernel.storage_bindings() <= 4, "{}", kernel.name());
        }
        // The floor of WebGPU; one more with a mask beside everything else that elements can have, and a
        // gradient that is not in place.
        let masked = u32::from(row.masked);
        assert!(kernel.storage_bindings() <= 8 + masked, "{}", kernel.name());
        if row.op == RowOp::Softmax && !row.word.is_ragged() {
            assert!(kernel.storage_bindings() <= 3 + masked, "{}", kernel.name());
        }
    }
}

/// Names and offsets of a struct's members, as a shader declares them.
fn members(kernel: Kernel, structure: &str) -> (Vec<(String, u32)>, u32) {
    let (_, module) = parse(kernel);
    for (_, ty) in module.types.iter() {
        if ty.name.as_deref() != Some(structure) {
            continue;
        }
        if let naga::TypeInner::Struct { members, span } = &ty.inner {
            let name = |m: &naga::StructMember| m.name.clone().unwrap_or_default();
            return (members.iter().map(|m| (name(m), m.offset)).collect(), *span);
        }
    }
    panic!("{} has no struct {structure}", kernel.name());
}

macro_rules! offsets {
    ($type:ty, $($field:ident),*) => {
        vec![$((stringify!($field).to_owned(), std::mem::offset_of!($type, $field) as u32)),*]
    };
}

#[test]
fn params_agree_with_the_host() {
    let host = offsets!(
        Params,
        rows,
        classes,
        words,
        grid_width,
        input_offset,
        input_stride,
        second_offset,
        second_stride,
        output_offset,
        output_stride,
        stats_offset,
        targets_offset,
        dloss_offset,
        splits,
        split_words,
        ignore_used,
        ignore_low,
        ignore_high,
        upstream,
        nan,
        infinity,
        first_row,
        first_block,
        blocks,
        smooth_target,
        smooth_class,
        weight_sum,
        z_loss,
        logit_scale,
        z_scale,
        softcap,
        normalizer,
        swept_words,
        unit,
        clamp,
        gamma,
        delta,
        label_scale,
        label_offset,
        focal_one,
        focal_zero,
        factors_offset,
        factors_stride,
        dloss_stride,
        pairs_offset,
        edges_offset,
        columns,
        depth,
        bias_offset,
        first_column,
        continued,
        window_row,
        window_rows,
        last_word,
        mask_offset,
        mask_stride,
        ignored_label,
        zero,
        mix_teacher,
        mix_student,
        mix_log_teacher,
        mix_log_student,
        mix_shift,
        weight
    );
    let (shader, span) = members(Kernel::SumLoss { metrics: false }, "Params");
    assert_eq!(shader, host);
    assert_eq!(span as usize, size_of::<Params>());
}

#[test]
fn summary_agrees_with_the_host() {
    let host = offsets!(Summary, total_weight, loss, kept_rows, bad_row, bad_target, nll, correct);
    let (shader, span) = members(Kernel::FinishTargets, "Summary");
    assert_eq!(shader[..host.len()], host);
    assert_eq!(u64::from(span), Summary::SIZE);
}

#[test]
fn limits_agree_with_the_host() {
    let (shader, span) = members(Kernel::FitParams, "Limit");
    assert_eq!(shader, offsets!(Limit, at, first, most, is_whole));
    assert_eq!(span as usize, size_of::<Limit>());
}

#[test]
fn constants_agree_with_the_host() {
    let (composed, _) = parse(Kernel::SumLoss { metrics: false });
    let declared = format!("const ROW_BLOCK: u32 = {}u;", surprisal::gpu::plan::ROW_BLOCK);
    assert!(composed.source.contains(&declared));
    for kernel in Kernel::spanning() {
        let source = compose(&kernel, &Sources::default()).source;
        if source.contains("fn scratch_piece") {
            let declared = format!("const ACC_WORDS: u32 = {}u;", kernel.piece_words());
            assert!(source.contains(&declared), "{}", kernel.name());
        }
        if source.contains("const HELD:") {
            let declared = format!("const HELD: u32 = {}u;", surprisal::gpu::plan::HELD_WORDS);
            assert!(source.contains(&declared), "{}", kernel.name());
        }
    }
}

#[test]
fn subgroup_slots_have_room() {
    // reduce_subgroup.wgsl has a slot for every four lanes: smaller subgroups are not used.
    let sizes = |least, most| {
        let mut info = wgpu::AdapterInfo::new(wgpu::DeviceType::DiscreteGpu, wgpu::Backend::Vulkan);
        (info.subgroup_min_size, info.subgroup_max_size) = (least, most);
        Caps::new(&wgpu::Limits::default(), wgpu::Features::SUBGROUP, &info).subgroups
    };
    assert_eq!(sizes(2, 32), None);
    assert_eq!(sizes(4, 4), Some((4, 4)));
    assert_eq!(sizes(8, 32), Some((8, 32)));
    assert_eq!(sizes(32, 512), None, "larger than a workgroup");
}

#[test]
fn errors_are_reported_where_they_stand() {
    let broken = "// broken\n\nfn component(values: Values, i: u32) -> f32 { return oops; }\n";
    let sources = Sources::default().replace("word_f32", broken);
    let composed = compose(&Kernel::SumLoss { metrics: false }, &sources);
    let error = naga::front::wgsl::parse_str(&composed.source).expect_err("it is broken");
    let line = composed
        .source
        .lines()
        .position(|line| line.contains("oops"))
        .expect("the replaced text is there");
    let first = FRAGMENTS.iter().find(|it| it.name == "word_f32").expect("it is there").source().1;
    assert_eq!(composed.origin(line as u32 + 1), ("storage/words.wgsl", first + 2));
    drop(error);
}

#[test]
fn files_keep_the_house_rules() {
    let used: BTreeSet<_> =
        Kernel::all().iter().flat_map(Kernel::fragments).map(|fragment| fragment.name).collect();
    let names: BTreeSet<_> = FRAGMENTS.iter().map(|fragment| fragment.name).collect();
    assert_eq!(names.len(), FRAGMENTS.len(), "two fragments have one name");
    for fragment in FRAGMENTS {
        let (name, (text, _)) = (fragment.name, fragment.source());
        assert!(used.contains(name), "{name} is in no kernel");
        assert!(text.starts_with("// "), "{name}: the first line says what it computes");
        assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "{name}: its last line");
    }
    // Every file is in the table, and so is every part of it.
    let mut parts = 0;
    for (file, text) in shader_files() {
        assert!(text.starts_with("// "), "{file}: the first line says what is in it");
        let named: BTreeSet<_> =
            text.lines().filter_map(|line| line.strip_prefix("// == ")).collect();
        let in_table: BTreeSet<_> =
            FRAGMENTS.iter().filter(|it| it.file == file).map(|it| it.name).collect();
        let whole = BTreeSet::from([file.trim_end_matches(".wgsl")]);
        assert_eq!(in_table, if named.is_empty() { whole } else { named }, "{file}");
        parts += in_table.len();
        for (i, line) in text.lines().enumerate() {
            assert!(line.chars().count() <= 100, "{file}:{}: past 100 columns", i + 1);
            assert!(!line.contains('\t') && line.trim_end() == line, "{file}:{}: blanks", i + 1);
        }
    }
    assert_eq!(parts, FRAGMENTS.len(), "a file of the table is not there");
}

/// Every shader file, by its path under `shaders/`.
fn shader_files() -> Vec<(String, String)> {
    let mut files = Vec::new();
    for folder in ["", "op/", "option/", "storage/", "reduce/", "product/"] {
        let entries = std::fs::read_dir(format!("shaders/{folder}")).expect("it is there");
        for path in entries.map(|entry| entry.expect("it can be read").path()) {
            if path.extension().is_some_and(|ending| ending == "wgsl") {
                let name = path.file_name().and_then(|name| name.to_str()).expect("text");
                let text = std::fs::read_to_string(&path).expect("it can be read");
                files.push((format!("{folder}{name}"), text));
            }
        }
    }
    files
}
