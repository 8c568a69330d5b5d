//! What the examples that train share: the data, a linear model on the GPU and on the host, the
//! losses, an optimizer, plots.

#![allow(dead_code, unreachable_pub, reason = "no example uses all of it")]

pub mod adam;
pub mod data;
pub mod gpu;
pub mod host;
pub mod loss;
pub mod plot;

use std::error::Error;

use surprisal::{Device, DeviceInfo};

use self::data::Table;
use self::gpu::Bench;
use self::loss::Loss;

pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Where to train.
#[derive(Debug)]
pub enum Place {
    Gpu(Bench),
    Cpu(Device),
}

/// How to train: `steps` down the full batch's gradient, with the loss read every so many.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    pub steps: usize,
    pub rate: f32,
    pub read_every: usize,
}

/// What training came to.
#[derive(Debug)]
pub struct Trained {
    /// The loss before the steps 0, `read_every`, 2 `read_every` and so on.
    pub losses: Vec<f64>,
    /// `[inputs + 1, outputs]`, the bias in the last row.
    pub weight: Vec<f32>,
}

impl Place {
    /// What `--device cpu|gpu` says; the GPU unless told.
    pub fn from_args() -> Result<Self> {
        let args: Vec<String> = std::env::args().skip(1).collect();
        match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [] | ["--device", "gpu"] => Self::gpu(),
            ["--device", "cpu"] => Ok(Self::cpu()),
            _ => Err("usage: [--device cpu|gpu]".into()),
        }
    }

    pub fn gpu() -> Result<Self> {
        let device = Device::gpu().map_err(|error| format!("{error}; try --device cpu"))?;
        Ok(Self::Gpu(Bench::new(device)?))
    }

    pub fn cpu() -> Self {
        Self::Cpu(Device::cpu())
    }

    pub fn device(&self) -> &Device {
        match self {
            Self::Gpu(bench) => &bench.device,
            Self::Cpu(device) => device,
        }
    }

    pub fn info(&self) -> DeviceInfo {
        self.device().info()
    }

    /// Trains a linear model from the given weights `[inputs + 1, outputs]`.
    pub fn train(
        &self,
        table: &Table,
        start: &[f32],
        loss: &Loss<'_>,
        schedule: Schedule,
    ) -> Result<Trained> {
        match self {
            Self::Gpu(bench) => gpu::train(bench, table, start, loss, schedule),
            Self::Cpu(device) => host::train(device, table, start, loss, schedule),
        }
    }
}
