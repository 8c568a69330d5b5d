//! Writes the WGSL of every kernel on f32 matrices, and of some on 16-bit matrices and in shared
//! buffers, as it is handed to the driver, for profilers and readers.
//!
//!     cargo run --release --example dump_wgsl [FOLDER]

#![expect(clippy::print_stdout, reason = "it is what the example does")]

use std::path::PathBuf;

use surprisal::gpu::{Kernel, Sources, compose};

fn main() -> std::io::Result<()> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or("target/wgsl".to_owned()));
    std::fs::create_dir_all(&folder)?;
    let kernels = Kernel::spanning();
    for (i, kernel) in kernels.iter().enumerate() {
        let name = kernel.name().to_lowercase().replace([' ', '(', ')'], "_");
        let path = folder.join(format!("{i:03}_{name}.wgsl"));
        std::fs::write(path, compose(kernel, &Sources::default()).source)?;
    }
    println!("{} kernels in {}", kernels.len(), folder.display());
    Ok(())
}
