//! Where one kernel takes over from another on this GPU: what the numbers of `gpu::Tuning` come from.
//!
//!     cargo bench --bench tuning [-- part of a field's name]
//!
//! Each table varies one of them and nothing else. Loss and gradient of f32, resident, by the GPU's
//! clock where it has one; everybody has a turn in each round, and figures are medians in ms.

#![allow(clippy::print_stdout, reason = "a table is what it is for")]

mod common;

use surprisal::Device;
use surprisal::gpu::{Gpu, Tuning};

use common::contest::Op;
use common::data::{Batch, Shape};
use common::gpu::{Resident, Work};

/// Elements of a matrix, where rows become fewer as they become longer.
const ELEMENTS: usize = 1 << 20;
const ROUNDS: usize = 7;
/// Rounds that are not counted: they warm the machine up.
const UNCOUNTED: usize = 2;

/// The medians of one shape with each tuning.
fn times(gpu: &Gpu, shape: Shape, tunings: &[Tuning]) -> Vec<f64> {
    let batch = Batch::<f32>::new(shape);
    let with = |tuning: &Tuning| {
        let gpu = gpu.with_tuning(*tuning);
        let resident = Resident::new(&gpu, Op::LossGradient, &batch);
        resident.check(&batch);
        resident
    };
    let all: Vec<_> = tunings.iter().map(with).collect();
    let mut ms = vec![Vec::new(); all.len()];
    for round in 0..UNCOUNTED + ROUNDS {
        for place in 0..all.len() {
            let index = (place + round) % all.len();
            let time = all[index].run(Work::Operation);
            if round >= UNCOUNTED {
                ms[index].push(1e3 * time.as_secs_f64());
            }
        }
    }
    let median = |mut times: Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[ROUNDS / 2]
    };
    ms.into_iter().map(median).collect()
}

/// A table: a line for each shape, a column for each tuning.
fn table(gpu: &Gpu, title: &str, shapes: &[String], tunings: &[(String, Tuning)]) {
    // Cargo's own arguments are flags.
    let mut wanted = std::env::args().skip(1).filter(|word| !word.starts_with('-')).peekable();
    if wanted.peek().is_some() && !wanted.any(|word| title.contains(&word)) {
        return;
    }
    let names: Vec<_> = tunings.iter().map(|(name, _)| name.as_str()).collect();
    println!("\n## {title}\n\n| rows x classes | {} |", names.join(" | "));
    println!("|---|{}", "---|".repeat(names.len()));
    let tunings: Vec<_> = tunings.iter().map(|(_, tuning)| *tuning).collect();
    for shape in shapes {
        let times = times(gpu, shape.parse().expect("a shape"), &tunings);
        let times: Vec<_> = times.iter().map(|ms| format!("{ms:.3}")).collect();
        println!("| {shape} | {} |", times.join(" | "));
    }
}

fn varied(gpu: &Gpu, name: impl Into<String>, set: impl Fn(&mut Tuning)) -> (String, Tuning) {
    let mut tuning = gpu.tuning();
    set(&mut tuning);
    (name.into(), tuning)
}

fn main() {
    let device = Device::gpu().expect("it measures a GPU");
    let gpu = device.as_gpu().expect("it is one");
    println!("{}, {}\n\n{:?}", device.info(), Resident::clock(gpu), gpu.tuning());

    let square = |classes: usize| format!("{}x{classes}", ELEMENTS / classes);
    table(
        gpu,
        "lane_max_classes: a lane a row, or a workgroup",
        &[2, 8, 16, 32, 64, 128, 256].map(square),
        &[
            varied(gpu, "lane", |tuning| tuning.lane_max_classes = u32::MAX),
            varied(gpu, "workgroup", |tuning| tuning.lane_max_classes = 0),
        ],
    );
    table(
        gpu,
        "held_max_classes: a workgroup holds a row, or reads it twice",
        &[64, 128, 256, 512, 1000, 2048, 4096, 8192].map(square),
        &[
            varied(gpu, "held", |tuning| {
                (tuning.lane_max_classes, tuning.held_max_classes) = (0, u32::MAX);
            }),
            varied(gpu, "read twice", |tuning| {
                (tuning.lane_max_classes, tuning.held_max_classes) = (0, 0);
            }),
        ],
    );
    let sizes = [8, 16, 32, 64, 128, 256].map(|size| {
        varied(gpu, format!("{size} lanes"), |tuning| {
            (tuning.min_row_workgroup, tuning.max_row_workgroup) = (size, size);
            tuning.lane_max_classes = 0;
        })
    });
    table(
        gpu,
        "min_row_workgroup, max_row_workgroup",
        &[1000, 4096, 32_000, 128_256].map(square),
        &sizes,
    );
    let split = |workgroups| {
        varied(gpu, format!("{workgroups} pieces"), move |tuning| {
            (tuning.split_max_rows, tuning.split_min_classes) = (u32::MAX, 1);
            tuning.split_workgroups = workgroups;
        })
    };
    let whole = varied(gpu, "whole", |tuning| tuning.split_max_rows = 0);
    let shapes = [1, 4, 16, 64].map(|rows| format!("{rows}x131072"));
    let long = [8192, 32_768].map(|classes| format!("1x{classes}"));
    table(
        gpu,
        "split_max_rows, split_min_classes, split_workgroups",
        &[&long[..], &shapes[..]].concat(),
        &[whole, split(16), split(64), split(512)],
    );
}
