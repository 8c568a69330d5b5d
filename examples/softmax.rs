//! The softmax of a small batch, on the best device of this machine and on the reference.
//!
//!     cargo run --release --example softmax

#![expect(clippy::print_stdout, reason = "it is what the example does")]

use surprisal::{Device, Matrix, Softmax};

fn main() -> surprisal::Result<()> {
    // A confident row, an undecided one, and one with a masked class.
    let logits = [9.0f32, 1.0, 0.0, 0.5, 0.5, 0.5, 2.0, f32::NEG_INFINITY, 1.0];
    let logits = Matrix::new(&logits, 3, 3)?;

    for device in [Device::auto(), Device::reference()] {
        println!("{}", device.info());
        let probs = device.run(&Softmax, logits)?;
        for row in probs.to_f64().chunks(3) {
            println!("  {row:.6?}");
        }
    }
    Ok(())
}
