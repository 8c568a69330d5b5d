//! The GPU and the CPU path on the same cases.
//!
//!     cargo bench --bench gpu
//!     cargo bench --bench gpu -- 'loss\+gradient 1024x32000 f32'
//!     cargo bench --bench gpu -- encode
//!
//! Resident: the data is on the GPU and stays there; by the GPU's own timestamps where the adapter has
//! them, as the names say, and else by the wall clock from the submission to its end. Host to host:
//! with the upload of the logits and the download of the result, by the wall clock. The CPU path writes
//! to memory that is reused. The copies are of the same matrix. Encode is what recording a call costs
//! the CPU, alone and as a command buffer of its own.
//!
//! Throughput counts the ideal bytes: each logit read once and its result written once; a copy moves the
//! same whatever the operation. Every answer is checked against the reference before it is timed.
//!
//! Whoever is timed later has a warmer or a busier machine: shares of a copy that was timed in turns
//! are `surprisal bench`'s.

mod common;

use std::cell::{OnceCell, RefCell};
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use half::bf16;
use surprisal::Device;
use surprisal::cpu::InstructionSet;

use common::contest::{Contest, Contested, Op, contestants};
use common::data::{Batch, Shape};
use common::gpu::{Resident, Work};
use common::ours;

const OPS: [Op; 3] = [Op::Loss, Op::LossGradient, Op::Softmax];

fn group<T: Contested>(
    criterion: &mut Criterion,
    op: Op,
    shape: Shape,
) -> BenchmarkGroup<'_, WallTime> {
    let mut group = criterion.benchmark_group(format!("{} {shape} {}", op.name(), T::DTYPE));
    group.sample_size(10).warm_up_time(Duration::from_millis(300));
    group.measurement_time(Duration::from_secs(1));
    group
}

fn bench<T: Contested>(criterion: &mut Criterion, device: &Device, op: Op, shape: Shape) {
    let matrix = (shape.len() * T::DTYPE.size()) as u64;
    let (ideal, copied) =
        (Throughput::Bytes(op.passes() as u64 * matrix), Throughput::Bytes(2 * matrix));
    let mut group = group::<T>(criterion, op, shape);
    on_cpu::<T>(&mut group, op, shape, [&ideal, &copied]);

    let gpu = device.as_gpu().expect("it is one");
    // A filter may leave nobody: then there is nothing to make or to check.
    let resident = OnceCell::new();
    let make = || {
        let batch = Batch::<T>::new(shape);
        let resident = Resident::new(gpu, op, &batch);
        resident.check(&batch);
        resident
    };
    for (name, work, bytes) in
        [("resident", Work::Operation, &ideal), ("copy", Work::Copy, &copied)]
    {
        let name = format!("gpu {name}, {}", Resident::clock(gpu));
        group.throughput(bytes.clone()).bench_function(name, |bencher| {
            let resident = resident.get_or_init(make);
            bencher.iter_custom(|times| (0..times).map(|_| resident.run(work)).sum());
        });
    }
    let transfer = OnceCell::new();
    group.throughput(ideal).bench_function("gpu host to host, wall clock", |bencher| {
        let contest = transfer.get_or_init(|| {
            let it = ours::contestant(op, Device::with_gpu(gpu.clone()));
            let mut contest = Contest::<T>::new(op, shape, vec![it]);
            contest.check(0);
            RefCell::new(contest)
        });
        let mut contest = contest.borrow_mut();
        bencher.iter_custom(|times| (0..times).map(|_| contest.time(0)).sum());
    });
    group.finish();
}

/// The CPU path, and copies of its matrix.
fn on_cpu<T: Contested>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    op: Op,
    shape: Shape,
    [ideal, copied]: [&Throughput; 2],
) {
    let contest = OnceCell::new();
    // The ceilings of what writes a matrix are those of a copy.
    let copies = || {
        let all = contestants::<T>(Op::Softmax, InstructionSet::best());
        all.into_iter().filter(|it| it.name.contains("copy"))
    };
    let names: Vec<_> = copies().map(|it| format!("cpu {}", it.name)).collect();
    let names =
        [("cpu".to_owned(), ideal)].into_iter().chain(names.into_iter().map(|n| (n, copied)));
    for (index, (name, bytes)) in names.enumerate() {
        group.throughput(bytes.clone()).bench_function(name, |bencher| {
            let contest = contest.get_or_init(|| {
                let ours = ours::contestant(op, common::contest::device(InstructionSet::best()));
                let all: Vec<_> = [ours].into_iter().chain(copies()).collect();
                RefCell::new(Contest::<T>::new(op, shape, all))
            });
            let mut contest = contest.borrow_mut();
            contest.check(index);
            bencher.iter_custom(|times| (0..times).map(|_| contest.time(index)).sum());
        });
    }
}

/// What recording costs, whatever the GPU.
fn encode(criterion: &mut Criterion, device: &Device) {
    let gpu = device.as_gpu().expect("it is one");
    // One window, and a split of few long rows.
    for (op, shape) in OPS.into_iter().flat_map(|op| ["256x1000", "1x128256"].map(|it| (op, it))) {
        let shape: Shape = shape.parse().expect("a shape");
        let resident = OnceCell::new();
        let make = || Resident::new(gpu, op, &Batch::<f32>::new(shape));
        let mut group = criterion.benchmark_group(format!("encode {} {shape}", op.name()));
        group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
        group.bench_function("in a pass", |bencher| {
            let resident = resident.get_or_init(make);
            bencher.iter_custom(|times| {
                // A pass of a million commands is no use to anybody.
                let all = (0..times).step_by(1000).map(|from| (times - from).min(1000));
                all.map(|calls| resident.encode(calls)).sum()
            });
        });
        group.bench_function("a command buffer", |bencher| {
            let resident = resident.get_or_init(make);
            bencher.iter(|| resident.record());
        });
        group.finish();
    }
}

fn benches(criterion: &mut Criterion) {
    let device = Device::gpu().expect("the benchmark compares with a GPU");
    encode(criterion, &device);
    for op in OPS {
        for shape in Shape::ALL {
            bench::<f32>(criterion, &device, op, shape);
        }
        for shape in Shape::LARGE {
            bench::<bf16>(criterion, &device, op, shape);
        }
    }
}

criterion_group!(all, benches);
criterion_main!(all);
