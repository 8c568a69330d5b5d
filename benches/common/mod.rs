//! What the benchmarks share: the data, the contestants, the check of their answers.

#![allow(dead_code, unreachable_pub, reason = "no benchmark uses all of it")]

pub mod ceilings;
pub mod check;
pub mod contest;
pub mod data;
#[cfg(feature = "gpu")]
pub mod gpu;
pub mod naive;
pub mod ndarray;
pub mod ours;
pub mod rten;
