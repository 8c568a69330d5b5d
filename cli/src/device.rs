//! Choosing a device, and listing what there is.

use std::io::Write as _;

use surprisal::wgpu::{Adapter, DeviceType};
use surprisal::{AdapterChoice, Device, DeviceKind};

use crate::args::{CommonArgs, DeviceArg};
use crate::error::{Failure, Result};
use crate::fault;

/// As many threads on the CPU as the options ask for. They are those of the process: once only.
pub(crate) fn set_threads(threads: Option<u32>) -> Result<()> {
    let Some(threads) = threads else { return Ok(()) };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads as usize);
    pool.build_global().map_err(Failure::run)
}

/// The device that the options ask for. `auto` says on stderr which one it takes.
pub(crate) fn open(args: &CommonArgs) -> Result<Device> {
    fault::injected(chosen(args)?)
}

fn chosen(args: &CommonArgs) -> Result<Device> {
    let gpu = |choice: &AdapterChoice| Device::gpu_with(choice).map_err(Failure::run);
    // An adapter that was named and is not there is bad usage, not a failed run.
    let named = |choice: &AdapterChoice| Device::gpu_with(choice).map_err(Failure::input);
    match (args.device, &args.adapter) {
        (DeviceArg::Cpu | DeviceArg::Reference, Some(_)) => {
            Err(Failure::input("--adapter chooses a GPU; it goes with --device gpu or auto"))
        }
        (DeviceArg::Cpu, None) => Ok(Device::cpu()),
        (DeviceArg::Reference, None) => Ok(Device::reference()),
        (DeviceArg::Gpu, None) => gpu(&AdapterChoice::Best),
        (DeviceArg::Gpu, Some(choice)) => named(choice),
        (DeviceArg::Auto, Some(choice)) => named(choice).inspect(|device| say(args, device, "")),
        (DeviceArg::Auto, None) => {
            let device = Device::auto();
            let why = match device.info().kind {
                DeviceKind::Gpu => "",
                _ => " (no GPU found; a software driver does not count)",
            };
            say(args, &device, why);
            Ok(device)
        }
    }
}

/// Which device `auto` takes.
fn say(args: &CommonArgs, device: &Device, why: &str) {
    if !args.quiet {
        // Nobody is left to tell if stderr is closed.
        let _ = writeln!(std::io::stderr(), "device: {}{why}", device.info());
    }
}

/// `surprisal devices`.
pub(crate) fn list() -> Result<()> {
    let mut text = String::new();
    let adapters = surprisal::adapters_blocking();
    for (index, adapter) in adapters.iter().enumerate() {
        text += &describe(index, adapter);
    }
    if adapters.is_empty() {
        text += "no GPU adapter: no driver for Vulkan, Metal or DX12 was found\n";
    }
    text += &format!("cpu        {}\n", Device::cpu().info().name);
    text += "reference  f64, one thread\n";
    text += &format!("auto takes {}\n", Device::auto().info());
    std::io::stdout().write_all(text.as_bytes()).map_err(Failure::stdout)
}

fn describe(index: usize, adapter: &Adapter) -> String {
    let (info, limits) = (adapter.get_info(), adapter.limits());
    let kind = match info.device_type {
        DeviceType::DiscreteGpu => "discrete GPU",
        DeviceType::IntegratedGpu => "integrated GPU",
        DeviceType::VirtualGpu => "virtual GPU",
        DeviceType::Cpu => "software driver",
        DeviceType::Other => "other",
    };
    let subgroups = match (info.subgroup_min_size, info.subgroup_max_size) {
        (least, most) if least == most => format!("{least} lanes"),
        (least, most) => format!("{least} to {most} lanes"),
    };
    let driver = [info.driver.as_str(), info.driver_info.as_str()]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(", ");
    format!(
        "{index:<10} {}:{}\n           {kind}; {driver}\n           buffers up to {}, bindings up \
         to {}, workgroups of {} lanes, subgroups of {subgroups}\n",
        info.backend,
        info.name,
        bytes(limits.max_buffer_size),
        bytes(limits.max_storage_buffer_binding_size),
        limits.max_compute_invocations_per_workgroup,
    )
}

fn bytes(count: u64) -> String {
    format!("{}", indicatif::BinaryBytes(count))
}
