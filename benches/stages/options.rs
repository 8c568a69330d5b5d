//! What the command line says.

use std::path::PathBuf;

use crate::Result;

/// KiB of a window, as the command has them.
const WINDOW: usize = 8 << 10;

/// What is measured, and where.
pub(crate) struct Options {
    pub(crate) bytes: usize,
    pub(crate) classes: usize,
    pub(crate) window_kib: usize,
    pub(crate) ring: Option<usize>,
    pub(crate) folder: PathBuf,
    pub(crate) rounds: usize,
    pub(crate) device: Option<String>,
    pub(crate) is_cold: bool,
}

impl Options {
    #[expect(clippy::cast_sign_loss, reason = "a negative size is as small as none")]
    pub(crate) fn parse(args: impl Iterator<Item = String>) -> Result<Self> {
        let folder = std::env::temp_dir();
        let mut options = Self {
            bytes: 2 << 30,
            window_kib: WINDOW,
            ring: None,
            classes: 32_000,
            folder,
            rounds: 5,
            device: None,
            is_cold: false,
        };
        // Cargo adds this one.
        let mut args = args.filter(|arg| arg != "--bench");
        while let Some(name) = args.next() {
            if name == "--cold" {
                options.is_cold = true;
                continue;
            }
            let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--gigabytes" => options.bytes = (value.parse::<f64>()? * 1e9) as usize,
                "--classes" => options.classes = value.parse::<usize>()?.max(1),
                "--window" => options.window_kib = value.parse()?,
                "--ring" => options.ring = Some(value.parse::<usize>()?.max(1)),
                "--folder" => options.folder = value.into(),
                "--rounds" => options.rounds = value.parse::<usize>()?.max(1),
                "--device" if value == "cpu" || value == "gpu" => options.device = Some(value),
                _ => return Err(format!("{name} {value} is none of its options").into()),
            }
        }
        Ok(options)
    }

    pub(crate) fn takes(&self, device: &str) -> bool {
        self.device.as_ref().is_none_or(|name| name == device)
    }
}
