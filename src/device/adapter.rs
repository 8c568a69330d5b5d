//! Finding an adapter and opening a device on it.

use std::str::FromStr;

use crate::device::gpu::OwnedGpu;
use crate::error::{Error, Result};
use crate::gpu::Gpu;

/// Every adapter that wgpu finds, in the order that [`AdapterChoice::Index`] counts.
pub async fn adapters() -> Vec<wgpu::Adapter> {
    if wgpu::Instance::enabled_backend_features().is_empty() {
        return Vec::new();
    }
    let descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
    let backends = descriptor.backends;
    wgpu::Instance::new(descriptor).enumerate_adapters(backends).await
}

/// [`adapters`], blocking.
#[cfg(not(target_arch = "wasm32"))]
pub fn adapters_blocking() -> Vec<wgpu::Adapter> {
    pollster::block_on(adapters())
}

/// Which adapter to open.
///
/// ```
/// use surprisal::AdapterChoice;
///
/// assert_eq!("0".parse(), Ok(AdapterChoice::Index(0)));
/// let llvmpipe = AdapterChoice::Name { backend: Some("vulkan".into()), name: "llvmpipe".into() };
/// assert_eq!("vulkan:llvmpipe".parse(), Ok(llvmpipe));
/// assert!("vulkan:".parse::<AdapterChoice>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdapterChoice {
    /// The best there is: a discrete GPU before an integrated one, a software driver last.
    Best,
    /// The best there is that is no software driver.
    Real,
    /// By its place among [`adapters`].
    Index(usize),
    /// The first whose name contains this, on this backend if one is named; case does not matter.
    Name {
        /// `vulkan`, `metal`, `dx12` or `gl`.
        backend: Option<String>,
        /// A part of the adapter's name.
        name: String,
    },
}

impl FromStr for AdapterChoice {
    type Err = Error;

    /// `INDEX` or `[BACKEND:]NAME`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const BACKENDS: [&str; 4] = ["vulkan", "metal", "dx12", "gl"];
        if let Ok(index) = text.parse() {
            return Ok(Self::Index(index));
        }
        let lower = text.to_lowercase();
        let (backend, name) = match lower.split_once(':') {
            Some((backend, name)) if BACKENDS.contains(&backend) => (Some(backend), name),
            _ => (None, lower.as_str()),
        };
        if name.is_empty() {
            let reason = format!("`{text}` names none; write INDEX or [BACKEND:]NAME");
            return Err(Error::InvalidInput { what: "adapter", reason });
        }
        Ok(Self::Name { backend: backend.map(str::to_owned), name: name.to_owned() })
    }
}

impl AdapterChoice {
    pub(crate) async fn open(&self) -> Result<OwnedGpu> {
        let adapter = self.choose(adapters().await)?;
        open_device(&adapter).await.map(OwnedGpu::new)
    }

    fn choose(&self, mut adapters: Vec<wgpu::Adapter>) -> Result<wgpu::Adapter> {
        let names: Vec<_> = adapters.iter().map(describe).collect();
        let found = if names.is_empty() { "no adapter".to_owned() } else { names.join(", ") };
        let missing = |what: String| Error::NoAdapter { reason: format!("{what}; found {found}") };
        let position = match self {
            Self::Best | Self::Real => adapters
                .iter()
                .enumerate()
                .map(|(i, adapter)| (rank(adapter.get_info().device_type), i))
                .filter(|(rank, _)| *self == Self::Best || *rank < SOFTWARE)
                .min()
                .map(|(_, i)| i)
                .ok_or_else(|| missing("a GPU is wanted".to_owned())),
            Self::Index(index) if *index < adapters.len() => Ok(*index),
            Self::Index(index) => Err(missing(format!("there is no adapter {index}"))),
            Self::Name { backend, name } => adapters
                .iter()
                .position(|adapter| matches(adapter, backend.as_deref(), name))
                .ok_or_else(|| {
                    let backend = backend.as_ref().map_or(String::new(), |b| format!(" on {b}"));
                    missing(format!("none{backend} is called `{name}`"))
                }),
        }?;
        Ok(adapters.swap_remove(position))
    }
}

fn matches(adapter: &wgpu::Adapter, backend: Option<&str>, name: &str) -> bool {
    let info = adapter.get_info();
    backend.is_none_or(|backend| backend.eq_ignore_ascii_case(info.backend.to_str()))
        && info.name.to_lowercase().contains(&name.to_lowercase())
}

fn describe(adapter: &wgpu::Adapter) -> String {
    let info = adapter.get_info();
    format!("{}:{}", info.backend, info.name)
}

const SOFTWARE: u32 = 4;

fn rank(kind: wgpu::DeviceType) -> u32 {
    match kind {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => SOFTWARE,
    }
}

/// What the kernels can use, and the clock that measurements want.
const WANTED: wgpu::Features = wgpu::Features::SUBGROUP.union(wgpu::Features::TIMESTAMP_QUERY);

/// A device with the limits and features that are of use here, and no more.
async fn open_device(adapter: &wgpu::Adapter) -> Result<Gpu> {
    let available = adapter.limits();
    let required_limits = wgpu::Limits {
        max_buffer_size: available.max_buffer_size,
        max_storage_buffer_binding_size: available.max_storage_buffer_binding_size,
        max_storage_buffers_per_shader_stage: available.max_storage_buffers_per_shader_stage.min(8),
        max_compute_invocations_per_workgroup: available.max_compute_invocations_per_workgroup,
        max_compute_workgroup_size_x: available.max_compute_workgroup_size_x,
        max_compute_workgroup_storage_size: available.max_compute_workgroup_storage_size,
        max_compute_workgroups_per_dimension: available.max_compute_workgroups_per_dimension,
        min_storage_buffer_offset_alignment: available.min_storage_buffer_offset_alignment,
        min_uniform_buffer_offset_alignment: available.min_uniform_buffer_offset_alignment,
        ..wgpu::Limits::downlevel_defaults()
    };
    let descriptor = wgpu::DeviceDescriptor {
        label: Some("surprisal"),
        required_features: adapter.features() & WANTED,
        required_limits,
        ..Default::default()
    };
    let refused = |error: wgpu::RequestDeviceError| Error::NoAdapter {
        reason: format!("{} refused a device: {error}", describe(adapter)),
    };
    let (device, queue) = adapter.request_device(&descriptor).await.map_err(refused)?;
    Ok(Gpu::new(&device, &queue))
}
