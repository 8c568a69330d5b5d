//! How many times as fast as each of its peers is the CPU path?
//!
//!     cargo bench --bench pairs
//!     cargo bench --bench pairs -- --op loss,loss+gradient --shape 1024x32000 --rounds 31
//!     RUSTFLAGS="-C target-cpu=native" cargo bench --bench pairs
//!
//! A machine that others use too, or whose clock moves, is now fast and now slow, for seconds at a
//! time: two figures that were not taken together differ by more than their programs do. Here each
//! round times everybody once, one after another, on the same data in the same memory, in an order
//! that moves on with the rounds. A peer's ratio is the median over rounds of its time over ours in
//! the same round, and so are the shares of what the memory allows. On a noisy machine these are the
//! figures to trust, and the milliseconds beside them tell the order of magnitude.
//!
//! Options, all of which may be given: `--op` and `--peer` (names, with commas between them; of a
//! peer's name a part will do), `--shape` (any rows x classes), `--rounds N`, `--threads N`,
//! `--dtype f32|bf16|f16`, `--set portable|neon|avx2|avx-512` for this crate's vector instructions.
//!
//! This crate chooses its instructions when it runs and is as fast in a plain build as in a native
//! one. rten-vecmath is not, so its best figures are those of the third command.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a table is what it is for")]

mod common;

use std::process::ExitCode;
use std::time::Duration;

use half::{bf16, f16};
use surprisal::Dtype;
use surprisal::cpu::InstructionSet;

use common::contest::{self, Contest, Contestant, Contested, Op, Role, contestants};
use common::data::Shape;

/// Rounds that are not counted: they warm the machine up.
const UNCOUNTED: usize = 2;

struct Options {
    ops: Vec<Op>,
    shapes: Vec<Shape>,
    peers: Vec<String>,
    rounds: usize,
    dtype: Dtype,
    set: InstructionSet,
}

impl Options {
    fn parse(args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            ops: Op::ALL.to_vec(),
            shapes: Shape::ALL.to_vec(),
            peers: Vec::new(),
            rounds: 15,
            dtype: Dtype::F32,
            set: InstructionSet::best(),
        };
        // Cargo adds this one.
        let mut args = args.filter(|arg| arg != "--bench");
        while let Some(name) = args.next() {
            let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
            let number = || value.parse::<usize>().map_err(|error| format!("{value}: {error}"));
            match name.as_str() {
                "--op" => options.ops = named(&value, &Op::ALL, |op| op.name().to_owned())?,
                "--shape" => {
                    options.shapes = value.split(',').map(str::parse).collect::<Result<_, _>>()?;
                }
                "--peer" => options.peers = value.split(',').map(str::to_owned).collect(),
                "--rounds" => options.rounds = number()?.max(1),
                "--dtype" => options.dtype = contest::dtype(&value).ok_or(value)?,
                "--set" => options.set = available(&value)?,
                "--threads" => {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(number()?);
                    pool.build_global().map_err(|error| error.to_string())?;
                }
                _ => return Err(format!("{name} is none of its options")),
            }
        }
        Ok(options)
    }

    fn takes<T>(&self, who: &Contestant<T>) -> bool {
        let is_named = || self.peers.iter().any(|name| who.name.contains(name.as_str()));
        who.role != Role::Peer || self.peers.is_empty() || is_named()
    }
}

fn named<T: Copy>(names: &str, all: &[T], name: impl Fn(&T) -> String) -> Result<Vec<T>, String> {
    let find = |wanted| {
        let found = all.iter().find(|it| name(it) == wanted).copied();
        let known = || all.iter().map(&name).collect::<Vec<_>>().join(", ");
        found.ok_or_else(|| format!("{wanted} is none of {}", known()))
    };
    names.split(',').map(find).collect()
}

fn available(name: &str) -> Result<InstructionSet, String> {
    let sets = InstructionSet::ALL.into_iter().filter(|set| set.is_available());
    let sets: Vec<_> = sets.collect();
    Ok(named(name, &sets, |set| set.to_string().to_lowercase())?[0])
}

/// The times of everybody in a contest, by contestant and round, in ms.
struct Times {
    shape: Shape,
    names: Vec<(&'static str, Role)>,
    ms: Vec<Vec<f64>>,
}

impl Times {
    fn of<T: Contested>(options: &Options, op: Op, shape: Shape) -> Self {
        let mut all = contestants::<T>(op, options.set);
        all.retain(|who| options.takes(who));
        let names: Vec<_> = all.iter().map(|who| (who.name, who.role)).collect();
        let count = names.len();
        let mut contest = Contest::new(op, shape, all);
        (0..count).for_each(|index| contest.check(index));
        let mut ms = vec![Vec::new(); count];
        for round in 0..UNCOUNTED + options.rounds {
            for place in 0..count {
                let index = (place + round) % count;
                let time = contest.time(index);
                if round >= UNCOUNTED {
                    ms[index].push(1e3 * Duration::as_secs_f64(&time));
                }
            }
        }
        Self { shape, names, ms }
    }

    /// The median over rounds of its time over ours.
    fn ratio(&self, index: usize) -> f64 {
        median(self.ms[index].iter().zip(&self.ms[0]).map(|(its, ours)| its / ours))
    }

    fn line(&self) -> String {
        let mut line = format!("| {} |", self.shape);
        for (index, (_, role)) in self.names.iter().enumerate() {
            let ms = median(self.ms[index].iter().copied());
            line += &match role {
                Role::Ours => format!(" {ms:.2} |"),
                Role::Peer => format!(" {ms:.2} | {:.2} |", self.ratio(index)),
                Role::Ceiling => format!(" {ms:.2} | {:.0} % |", 100.0 * self.ratio(index)),
            };
        }
        line
    }

    fn head(&self) -> String {
        let mut names = "| |".to_owned();
        let mut rule = "|---|".to_owned();
        for (name, role) in &self.names {
            names += &match role {
                Role::Ours => format!(" {name} |"),
                Role::Peer => format!(" {name} | x |"),
                Role::Ceiling => format!(" {name} | share |"),
            };
            rule += if *role == Role::Ours { "---|" } else { "---|---|" };
        }
        format!("{names}\n{rule}")
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    let (low, high) = ((values.len() - 1) / 2, values.len() / 2);
    f64::midpoint(values[low], values[high])
}

fn main() -> ExitCode {
    match Options::parse(std::env::args().skip(1)) {
        Ok(options) => tables(&options),
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn tables(options: &Options) {
    let device = contest::device(options.set);
    let build =
        if cfg!(target_feature = "avx2") { "with AVX2 or more for all code" } else { "plain" };
    println!(
        "{}; {} rounds, {}; build: {build}.\n\nMedians in ms; x: how many times ours, share: of \
         what the memory allows; medians of the rounds' ratios.",
        device.info(),
        options.rounds,
        options.dtype,
    );
    for &op in &options.ops {
        println!("\n## {}\n", op.name());
        for (index, &shape) in options.shapes.iter().enumerate() {
            let times = match options.dtype {
                Dtype::Bf16 => Times::of::<bf16>(options, op, shape),
                Dtype::F16 => Times::of::<f16>(options, op, shape),
                _ => Times::of::<f32>(options, op, shape),
            };
            if index == 0 {
                println!("{}", times.head());
            }
            println!("{}", times.line());
        }
    }
}
