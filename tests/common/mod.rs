//! What the test binaries share.

#![allow(dead_code, unreachable_pub, reason = "no test binary uses all of it")]

pub mod bench;
pub mod bits;
pub mod cases;
pub mod golden;
pub mod hostile;
pub mod kept;
pub mod linear;
pub mod losses;
pub mod masks;
pub mod products;
pub mod reference;
pub mod suite;
pub mod sums;
pub mod tolerance;

use surprisal::cpu::InstructionSet;
use surprisal::gpu::{Caps, Gpu, Reduce, Tuning};
use surprisal::{AdapterChoice, Device, wgpu};

use self::tolerance::Arithmetic;

/// The adapter under test: the one that `SURPRISAL_TEST_ADAPTER` names, or the machine's best; with
/// `SURPRISAL_TEST_LIMITS` a device of the least that a standard allows, without any feature.
/// Without any, the test fails: a GPU test that cannot run has not passed.
pub fn gpu() -> Gpu {
    match std::env::var("SURPRISAL_TEST_LIMITS").as_deref() {
        Ok("webgpu") => return gpu_with_limits(wgpu::Limits::default()),
        Ok("downlevel") => return gpu_with_limits(wgpu::Limits::downlevel_defaults()),
        Ok(other) => panic!("SURPRISAL_TEST_LIMITS is {other}, neither webgpu nor downlevel"),
        Err(_) => {}
    }
    let choice = std::env::var("SURPRISAL_TEST_ADAPTER")
        .map_or(AdapterChoice::Best, |name| name.parse().expect("an adapter is named"));
    let device = Device::gpu_with(&choice)
        .unwrap_or_else(|error| panic!("{error} (scripts/test.sh installs a software driver)"));
    device.as_gpu().expect("it is a GPU").clone()
}

fn gpu_with_limits(required_limits: wgpu::Limits) -> Gpu {
    let instance =
        wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    let adapter = instance.request_adapter(&wgpu::RequestAdapterOptions::default());
    let adapter = pollster::block_on(adapter).expect("an adapter");
    let descriptor = wgpu::DeviceDescriptor { required_limits, ..Default::default() };
    let (device, queue) =
        pollster::block_on(adapter.request_device(&descriptor)).expect("it has the least of all");
    Gpu::new(&device, &queue)
}

/// A device under test, with what its arithmetic promises.
#[derive(Debug)]
pub struct Subject {
    pub name: String,
    pub device: Device,
    pub arithmetic: Arithmetic,
}

impl Subject {
    pub fn reference() -> Self {
        let arithmetic = Arithmetic::REFERENCE;
        Self { name: "reference".to_owned(), device: Device::reference(), arithmetic }
    }

    pub fn cpu() -> Self {
        Self { name: "cpu".to_owned(), device: Device::cpu(), arithmetic: Arithmetic::CPU }
    }

    fn cpu_with(set: InstructionSet) -> Self {
        let device = Device::cpu_with(set).expect("it is available");
        Self { name: format!("cpu {set}"), device, arithmetic: Arithmetic::CPU }
    }

    pub fn gpu(name: &str, gpu: Gpu) -> Self {
        let one_lane = gpu.tuning().lane_max_classes > 1000;
        let arithmetic = if one_lane { Arithmetic::GPU_ONE_LANE } else { Arithmetic::GPU };
        Self { name: format!("gpu {name}"), device: Device::with_gpu(gpu), arithmetic }
    }
}

/// The CPU path with each instruction set that this machine has.
pub fn cpu_subjects() -> Vec<Subject> {
    let available = InstructionSet::ALL.into_iter().filter(|set| set.is_available());
    available.map(Subject::cpu_with).collect()
}

/// Tunings that send every shape through one family of kernels.
pub fn one_family_each(base: Tuning) -> Vec<(&'static str, Tuning)> {
    let mut lane = base;
    lane.lane_max_classes = u32::MAX;
    lane.split_max_rows = 0;
    let mut row = base;
    row.lane_max_classes = 0;
    row.held_max_classes = 0;
    row.split_max_rows = 0;
    let mut held = row;
    held.held_max_classes = u32::MAX;
    // 1000 columns are all that they have room for.
    held.max_row_workgroup = 32;
    let mut split = base;
    split.lane_max_classes = 0;
    split.split_min_classes = 1;
    split.split_max_rows = u32::MAX;
    split.split_workgroups = 64;
    vec![("lane", lane), ("row", row), ("held", held), ("split", split)]
}

/// Whether the tests are to do without a GPU, as those are that mutants of what all devices share have
/// to fail: `SURPRISAL_TEST_ADAPTER` is `none`. A test that is about a GPU then fails.
fn is_without_gpu() -> bool {
    std::env::var("SURPRISAL_TEST_ADAPTER").as_deref() == Ok("none")
}

/// The definition, the CPU path and the GPU.
pub fn devices() -> Vec<Device> {
    let mut devices = vec![Device::reference(), Device::cpu()];
    if !is_without_gpu() {
        devices.push(Device::with_gpu(gpu()));
    }
    devices
}

/// The GPU in all its variants: as it chooses itself, each family of kernels with each reduction,
/// and cut into many small windows and folded grids.
pub fn gpu_subjects() -> Vec<Subject> {
    if is_without_gpu() {
        return Vec::new();
    }
    let gpu = gpu();
    let card = Caps { software: false, discrete: true, ..gpu.caps().clone() };
    let mut subjects = vec![
        Subject::gpu("as it chooses", gpu.clone()),
        Subject::gpu("as a card chooses", gpu.with_tuning(Tuning::new(&card))),
    ];
    let reductions: &[Reduce] = if gpu.caps().subgroups.is_some() {
        &[Reduce::Subgroup, Reduce::Tree]
    } else {
        &[Reduce::Tree]
    };
    for &reduce in reductions {
        for (family, mut tuning) in one_family_each(gpu.tuning()) {
            tuning.reduce = reduce;
            subjects.push(Subject::gpu(&format!("{family} {reduce:?}"), gpu.with_tuning(tuning)));
        }
    }
    // Of many subgroups, as a card's are too, but reduced without them.
    let mut wide = gpu.tuning();
    wide.reduce = Reduce::Tree;
    (wide.lane_max_classes, wide.held_max_classes) = (0, 0);
    wide.min_row_workgroup = 64.min(gpu.caps().max_workgroup_size);
    wide.max_row_workgroup = wide.min_row_workgroup;
    subjects.push(Subject::gpu("wide Tree", gpu.with_tuning(wide)));
    subjects.push(Subject::gpu("in small windows", small_windows(&gpu)));
    subjects
}

/// Bindings that hold one row of 50,257 and little more, and grids three workgroups wide.
pub fn small_windows(gpu: &Gpu) -> Gpu {
    let mut caps = gpu.caps().clone();
    caps.max_binding_bytes = 220_000;
    caps.max_workgroups = 3;
    gpu.with_caps(caps)
}
