//! 16-bit numbers by their bits, and whether a device rounds to them as the host does.

use half::{bf16, f16};
use surprisal::{
    Array, Device, Dtype, Elementwise, ElementwiseInput, ElementwiseLoss, Matrix, Reduction,
    Upstream,
};

use super::cases::{Rng, stored};
use super::suite::Outcome;

/// The array of a dtype with these bits.
pub fn of_bits(dtype: Dtype, bits: &[u16]) -> Array {
    match dtype {
        Dtype::F16 => Array::F16(bits.iter().copied().map(f16::from_bits).collect()),
        _ => Array::Bf16(bits.iter().copied().map(bf16::from_bits).collect()),
    }
}

/// Numbers at, just below and just above every tie between two neighbours of a dtype, and far
/// beyond its range; subnormal ones of the dtype's.
fn telling(dtype: Dtype) -> Vec<f32> {
    let mut values = vec![
        0.0,
        -0.0,
        f32::NAN,
        f32::from_bits(0x7fff_ffff),
        f32::from_bits(0xff80_0001),
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::MAX,
        f32::MIN,
        65_519.996,
        65_520.0,
        -65_535.996,
        65_536.0,
        1e5,
        2f32.powi(-25),
        -(2f32.powi(-25) * 1.000_001),
        2f32.powi(-26),
        1e-30,
    ];
    for bits in (0..=u16::MAX).step_by(7) {
        let [x, next] =
            [bits, bits.wrapping_add(1)].map(|bits| of_bits(dtype, &[bits]).to_f64()[0]);
        let tie = (0.5 * (x + next)) as f32;
        if tie.is_finite() {
            values.extend([
                tie,
                f32::from_bits(tie.to_bits() ^ 1),
                f32::from_bits(tie.to_bits() + 1),
            ]);
        }
    }
    let mut rng = Rng::new(71);
    values.extend((0..5000).map(|_| f32::from_bits(rng.next_u64() as u32)));
    values
}

/// Every telling number, stored by the device and by the host.
pub fn rounding(device: &Device, dtype: Dtype) -> Outcome {
    // x - y = 0.5: the derivative of the square is 1, and the gradient what comes from above.
    let mut above = telling(dtype);
    above.truncate(above.len() / 4 * 4);
    let op =
        Elementwise::new(ElementwiseLoss::Squared).with_reduction(Reduction::None).with_gradient();
    // Whole words, and an odd number of elements, which is folded into rows that have not.
    for _ in 0..2 {
        let n = above.len();
        let (x, y) = (stored(&vec![0.5; n], dtype), stored(&vec![0.0; n], dtype));
        let matrix = |array| Matrix::new(array, 1, n).expect("a row");
        let input = ElementwiseInput::new(matrix(x.values()), matrix(y.values()));
        let input = input.with_upstream(Upstream::Each((&above).into()));
        let got = device.run(&op, input).map_err(|error| error.to_string())?;
        let got = got.dinput.ok_or("no gradient")?;
        if got.dtype() != dtype {
            return Err(format!("{} for {dtype}", got.dtype()));
        }
        let (got, want) = (got.to_f64(), stored(&above, dtype).to_f64());
        for ((&x, got), want) in above.iter().zip(got).zip(want) {
            // Numbers: drivers may lose the sign of 0, and what is below 2^-126.
            let flushed = x.abs() < f32::MIN_POSITIVE && got == 0.0;
            if got != want && !(got.is_nan() && want.is_nan()) && !flushed {
                return Err(format!("{dtype} of {x:e}, {:#x}: {got:e}, not {want:e}", x.to_bits()));
            }
        }
        above.truncate(n - 3);
    }
    Ok(())
}
