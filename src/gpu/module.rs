//! Shader modules without the run-time checks that these shaders make superfluous.

#![expect(unsafe_code, reason = "trusted shader modules are unsafe to create; argued below")]

use crate::gpu::compose::Sources;

/// Makes a module with buffer bounds checked, loops not bounded and integer division not checked.
///
/// Bounding adds a counter and a branch to every iteration of every loop, which has been measured
/// to cost up to a hundred times the loop itself.
///
/// The argument for that holds for this crate's own shaders; with any of them replaced, all checks
/// are on.
pub(crate) fn create(
    device: &wgpu::Device,
    label: &str,
    source: &str,
    sources: &Sources,
) -> wgpu::ShaderModule {
    let checks = wgpu::ShaderRuntimeChecks {
        bounds_checks: true,
        force_loop_bounding: false,
        int_div_checks: false,
        ..wgpu::ShaderRuntimeChecks::checked()
    };
    let descriptor = wgpu::ShaderModuleDescriptor {
        label: Some(label),
        source: wgpu::ShaderSource::Wgsl(source.into()),
    };
    if !sources.are_original() {
        return device.create_shader_module(descriptor);
    }
    // SAFETY: what is switched off must not be needed. Every loop in shaders/ counts a u32 up (or
    // halves one) towards a bound that is fixed before the loop starts, so all are finite, and the
    // bounds are far enough from 2^32 that the counters do not wrap: a plan binds at most 2^31
    // bytes and steps by at most 64 times 1024 words. Divisors are WIDTH, WG_SIZE, splits and the
    // like, none of them zero where they are used. Buffer accesses stay checked where
    // naga checks them: in GLSL it is left to the context, which wgpu asks to be robust.
    unsafe { device.create_shader_module_trusted(descriptor, checks) }
}
