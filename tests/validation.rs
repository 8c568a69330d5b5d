//! What Vulkan's validation layers are to complain about: the proof that they look and that it is
//! seen. `scripts/test-all.sh` runs it beside the tests about which they are to say nothing.

mod common;

use surprisal::wgpu;

/// wgpu takes this buffer, which no command can use; Vulkan does not.
#[test]
#[ignore = "a fault that is there for scripts/test-all.sh to find"]
fn a_planted_fault() {
    let _ = common::gpu().device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 4,
        usage: wgpu::BufferUsages::MAP_WRITE,
        mapped_at_creation: true,
    });
}
