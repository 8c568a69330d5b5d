//! What stands after an option.

use std::ffi::OsStr;
use std::str::FromStr;

use clap::ValueEnum;
use surprisal::{BinaryLabels, Dtype, InputForm, Reduction, Unit};

use crate::error::Failure;
use crate::files::{InputSpec, from_os_str};

/// An option that takes one of a few words, and what the library calls them.
macro_rules! words {
    ($name:ident => $type:ty: $($variant:ident),+) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
        pub(crate) enum $name {
            $($variant,)+
        }

        impl From<$name> for $type {
            fn from(word: $name) -> Self {
                match word {
                    $($name::$variant => Self::$variant,)+
                }
            }
        }
    };
}
words!(ReductionArg => Reduction: Mean, Sum, None);
words!(UnitArg => Unit: Nats, Bits, Hartleys);
words!(FormArg => InputForm: Logits, LogProbs, Probs);
words!(BinaryFormArg => InputForm: Logits, Probs);
words!(DtypeArg => Dtype: F32, F16, Bf16);
words!(LabelsArg => BinaryLabels: ZeroOne, PlusMinus);

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DeviceArg {
    Auto,
    Gpu,
    Cpu,
    Reference,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ElementwiseKind {
    Squared,
    Absolute,
    Huber,
    Hinge,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IgnoreIndex(pub(crate) Option<i64>);

impl FromStr for IgnoreIndex {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(None));
        }
        text.parse().map(|value| Self(Some(value))).map_err(|_| "not an integer or `none`".into())
    }
}

impl IgnoreIndex {
    /// As a label among floats, which integer labels become too.
    pub(crate) fn label(of: Option<Self>) -> Result<Option<f64>, Failure> {
        // From here on integers are rounded, and others could become the same number.
        const INEXACT: u64 = 1 << f64::MANTISSA_DIGITS;
        match of.and_then(|of| of.0) {
            Some(value) if value.unsigned_abs() >= INEXACT => {
                let reason = "labels of elements are told apart as f64, which rounds this number";
                Err(Failure::input(format!("--ignore-index: {value}: {reason}")))
            }
            value => Ok(value.map(|value| value as f64)),
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) enum ClassWeights {
    InverseFrequency,
    File(InputSpec),
}

impl ClassWeights {
    pub(crate) fn file(&self) -> Option<&InputSpec> {
        if let Self::File(spec) = self { Some(spec) } else { None }
    }
}

impl ClassWeights {
    pub(crate) fn parse(text: &OsStr) -> Result<Self, String> {
        if text == "inverse-frequency" {
            return Ok(Self::InverseFrequency);
        }
        InputSpec::parse(text).map(Self::File)
    }
}

#[derive(Debug, Clone)]
pub(crate) enum NumberOrFile {
    Number(f64),
    File(InputSpec),
}

impl NumberOrFile {
    pub(crate) fn file(&self) -> Option<&InputSpec> {
        if let Self::File(spec) = self { Some(spec) } else { None }
    }
}

impl NumberOrFile {
    pub(crate) fn parse(text: &OsStr) -> Result<Self, String> {
        match text.to_str().and_then(|text| text.parse().ok()) {
            Some(number) => Ok(Self::Number(number)),
            None => InputSpec::parse(text).map(Self::File),
        }
    }
}

from_os_str!(ClassWeights, NumberOrFile);

/// Bytes, as they were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MemoryLimit {
    pub(crate) bytes: u64,
    text: String,
}

impl FromStr for MemoryLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match text[digits.len()..].to_ascii_uppercase().as_str() {
            "" | "B" => 1,
            "K" | "KIB" => 1u64 << 10,
            "M" | "MIB" => 1 << 20,
            "G" | "GIB" => 1 << 30,
            "T" | "TIB" => 1 << 40,
            _ => return Err("not a size; sizes are like 4096, 64K, 512M, 2G".to_owned()),
        };
        let count: u64 =
            digits.parse().map_err(|_| "not a size; sizes are like 4096, 64K, 512M, 2G")?;
        let bytes = count.checked_mul(unit).ok_or("more bytes than any machine has")?;
        Ok(Self { bytes, text: text.to_owned() })
    }
}

impl std::fmt::Display for MemoryLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "--memory-limit {}", self.text)
    }
}
