//! How matrices are stored on the device, and what becomes of them in files.

use half::{bf16, f16};
use surprisal::{Array, Device, DeviceKind, Dtype, Values};

use crate::args::DtypeArg;
use crate::files::FileDtype;

/// A matrix as `--dtype` has it stored: each value rounded to nearest.
pub(crate) fn stored(array: Array, asked: Option<DtypeArg>) -> Array {
    match asked {
        Some(dtype) => converted(array, dtype.into()),
        None => array,
    }
}

/// A result in the dtype of the file that it is like, if it was stored in another. What the
/// reference returns is f64 whatever it is like.
pub(crate) fn returned(
    array: Array,
    like: FileDtype,
    asked: Option<DtypeArg>,
    device: &Device,
) -> Array {
    let is_reference = device.info().kind == DeviceKind::Reference;
    match like.dtype() {
        Some(dtype) if asked.is_some() && !is_reference => converted(array, dtype),
        _ => array,
    }
}

/// A sum in f32, each number rounded to nearest.
pub(crate) fn rounded(sum: Array, dtype: Dtype) -> Array {
    converted(sum, dtype)
}

fn converted(array: Array, dtype: Dtype) -> Array {
    if array.dtype() == dtype {
        return array;
    }
    let values = array.values();
    // Rounded once: f64 has digits past f32's.
    let wide = matches!(values, Values::F64(_)).then(|| values.to_f64());
    match (dtype, wide) {
        (Dtype::F16, Some(wide)) => Array::F16(wide.into_iter().map(f16::from_f64).collect()),
        (Dtype::Bf16, Some(wide)) => Array::Bf16(wide.into_iter().map(bf16::from_f64).collect()),
        (Dtype::F16, None) => Array::F16(values.to_f32().into_iter().map(f16::from_f32).collect()),
        (Dtype::Bf16, None) => {
            Array::Bf16(values.to_f32().into_iter().map(bf16::from_f32).collect())
        }
        (Dtype::F64, _) => Array::F64(values.to_f64()),
        _ => Array::F32(values.to_f32()),
    }
}

/// The dtypes that a run's matrices have on the device, from those of their files. Integers are read
/// as f32.
pub(crate) fn on_device(
    device: &Device,
    files: &[FileDtype],
    asked: Option<DtypeArg>,
) -> Vec<Dtype> {
    let read: Vec<Dtype> =
        files.iter().map(|&file| asked.map_or(as_read(file), Dtype::from)).collect();
    device.storage(&read)
}

/// What a file's elements are computed as. Integers are small.
pub(crate) fn as_read(file: FileDtype) -> Dtype {
    file.dtype().unwrap_or(Dtype::F32)
}
