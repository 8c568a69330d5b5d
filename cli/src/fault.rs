//! A GPU that fails, for the command's tests.

use surprisal::Device;
use surprisal::gpu::{Fault, Sources};

use crate::error::{Failure, Result};

/// Names the fault; builds without debug assertions do not look at it.
const VARIABLE: &str = "SURPRISAL_FAULT";

/// The device with the fault that the environment names, if it is a GPU: `lost:K` and `memory:K` at
/// call K, from 0, that creates or submits something, `shader:NAME` in the shaders' fragment of that name.
pub(crate) fn injected(device: Device) -> Result<Device> {
    let fault = if cfg!(debug_assertions) { std::env::var(VARIABLE).ok() } else { None };
    let (Some(gpu), Some(fault)) = (device.as_gpu(), fault) else { return Ok(device) };
    let unknown = || Failure::input(format!("{VARIABLE}: there is no fault `{fault}`"));
    let (kind, place) = fault.split_once(':').ok_or_else(unknown)?;
    let at_call = |kind| match place.parse() {
        Ok(call) => Ok(gpu.with_fault_at(call, kind)),
        Err(_) => Err(unknown()),
    };
    Ok(Device::with_gpu(match kind {
        "lost" => at_call(Fault::DeviceLost)?,
        "memory" => at_call(Fault::OutOfMemory)?,
        "shader" => gpu.with_sources(Sources::default().replace(place, "no shader")),
        _ => return Err(unknown()),
    }))
}
