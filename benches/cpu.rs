//! The CPU path against what else there is, and against the machine's memory.
//!
//!     cargo bench --bench cpu
//!     cargo bench --bench cpu -- 'loss\+gradient 1024x32000 f32'
//!
//! Data and results are in memory, and the memory is reused. Throughput counts the ideal bytes:
//! each logit read once, and its result written once. The copies and `write in place` move exactly
//! those, `read` the former. Every answer is checked against the reference before it is timed.
//!
//! Whoever is timed later has a warmer or a busier machine: to compare, take `pairs`.

mod common;

use std::cell::{Cell, OnceCell, RefCell};
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use half::{bf16, f16};
use surprisal::cpu::InstructionSet;

use common::contest::{Contest, Contested, Op, contestants};
use common::data::Shape;

fn bench<T: Contested>(criterion: &mut Criterion, op: Op, shape: Shape) {
    let set = InstructionSet::best();
    let names: Vec<_> = contestants::<T>(op, set).iter().map(|who| who.name).collect();
    // A filter may leave nobody: then there is nothing to make or to check.
    let contest = OnceCell::new();
    let mut group = criterion.benchmark_group(format!("{} {shape} {}", op.name(), T::DTYPE));
    group.throughput(Throughput::Bytes((op.passes() * shape.len() * T::DTYPE.size()) as u64));
    group.sample_size(10).warm_up_time(Duration::from_millis(300));
    group.measurement_time(Duration::from_secs(1));
    for (index, name) in names.into_iter().enumerate() {
        let is_checked = Cell::new(false);
        group.bench_function(name, |bencher| {
            let contest = contest
                .get_or_init(|| RefCell::new(Contest::<T>::new(op, shape, contestants(op, set))));
            let mut contest = contest.borrow_mut();
            if !is_checked.replace(true) {
                contest.check(index);
            }
            bencher.iter_custom(|times| (0..times).map(|_| contest.time(index)).sum());
        });
    }
    group.finish();
}

fn benches(criterion: &mut Criterion) {
    for shape in Shape::ALL {
        for op in Op::ALL {
            bench::<f32>(criterion, op, shape);
        }
    }
    for shape in Shape::LARGE {
        for op in [Op::Loss, Op::LossGradient] {
            bench::<bf16>(criterion, op, shape);
            bench::<f16>(criterion, op, shape);
        }
    }
}

criterion_group!(all, benches);
criterion_main!(all);
