//! Random operations, shapes, dtypes and devices for as long as one likes, against the reference; and
//! whether memory stays what it is. `scripts/soak.sh` runs it.

mod common;

use std::time::{Duration, Instant};

use common::cases::{Case, Family, Rng};
use common::losses::{self, Divergence};
use common::suite::{self, Outcome};
use common::{Subject, cpu_subjects, gpu_subjects, hostile};
use surprisal::{
    BinaryCrossEntropy, CrossEntropy, Dtype, Focal, JsDivergence, KlDivergence, Reduction, Unit,
};

/// How much more than in the middle third of the time may be left in the last third when all devices are
/// closed: a part, for what random sizes make of an allocator's pages, and MiB.
const SLACK: (f64, f64) = (1.05, 16.0);
/// Operations before all devices are closed and opened again.
const ROUNDS: usize = 40;

fn pick<T: Copy>(rng: &mut Rng, of: &[T]) -> T {
    of[rng.below(of.len())]
}

/// A batch of up to 40 rows of up to 6000 classes, short rows as likely as long ones.
fn case(rng: &mut Rng) -> Case {
    const FAMILIES: [Family; 7] = [
        Family::Normal,
        Family::Confident,
        Family::Shifted,
        Family::Masked,
        Family::Sorted,
        Family::Ties,
        Family::Special,
    ];
    #[expect(clippy::cast_sign_loss, reason = "a power of a positive number")]
    let classes = 6000f64.powf(rng.uniform()) as usize;
    let rows = 1 + rng.below(40.min(1 + 40_000 / classes));
    let seed = rng.next_u64();
    pick(rng, &FAMILIES).case(rows, classes, seed)
}

fn reduction(rng: &mut Rng) -> Reduction {
    pick(rng, &[Reduction::Mean, Reduction::Sum, Reduction::None])
}

fn weights(rng: &mut Rng, classes: usize) -> Vec<f64> {
    (0..classes).map(|_| if rng.below(5) == 0 { 0.0 } else { 2.0 * rng.uniform() }).collect()
}

fn options(rng: &mut Rng, classes: usize) -> CrossEntropy {
    let mut op = CrossEntropy::new().with_reduction(reduction(rng));
    if rng.below(3) == 0 {
        op = op.with_class_weights(weights(rng, classes));
    }
    if rng.below(3) == 0 {
        op = op.with_label_smoothing(rng.uniform());
    }
    if rng.below(3) == 0 {
        op = op.with_z_loss(0.1 * rng.uniform());
    }
    if rng.below(3) == 0 {
        op = op.with_softcap(5.0 + 30.0 * rng.uniform()).with_logit_scale(0.5 + rng.uniform());
    }
    op
}

/// One operation, any of them, on one device.
fn operation(rng: &mut Rng, subject: &Subject) -> Outcome {
    let case = case(rng);
    let narrow = || case.in_dtype(Dtype::F16);
    match rng.below(9) {
        0 => suite::check(subject, &case),
        1 => suite::check(subject, &case.in_dtype(pick(rng, &[Dtype::F16, Dtype::Bf16]))),
        2 => suite::with_options(subject, &case, &options(rng, case.classes)),
        3 => {
            let case = losses::without_ignored(case);
            let q = losses::labels(&case, rng.next_u64());
            let op = CrossEntropy::new().with_metrics().with_reduction(reduction(rng));
            losses::cross_entropy(subject, &case, Some(&q), &op)
        }
        4 => {
            let op = Focal::new().with_gamma(pick(rng, &[0.0, 0.5, 2.0]));
            losses::focal(subject, &case, &op.with_reduction(reduction(rng)))
        }
        5 => {
            let teacher = Family::Normal.case(case.rows, case.classes, rng.next_u64());
            let kl = KlDivergence::new().with_reduction(reduction(rng));
            let js = JsDivergence::new().with_reduction(reduction(rng));
            let op = pick(rng, &[Divergence::Kl(kl), Divergence::Js(js)]);
            losses::divergence(subject, &teacher.logits, &case, op)
        }
        6 => losses::entropies(subject, &case, Unit::Nats),
        7 => {
            let case = losses::without_ignored(case);
            let y: Vec<f32> = case.logits.iter().map(|_| rng.uniform() as f32).collect();
            let op = BinaryCrossEntropy::new().with_reduction(reduction(rng));
            losses::elementwise(subject, &case, (&y, None), &op)
        }
        _ => {
            let len = 40 + rng.below(400);
            let bytes: Vec<u8> = (0..len).map(|_| rng.next_u64() as u8).collect();
            hostile::run(&bytes);
            suite::softmaxes(subject, &narrow())
        }
    }
}

/// MiB of memory that the process has.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it says so");
    let kib: f64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number");
    kib / 1024.0
}

fn subjects() -> Vec<Subject> {
    let mut subjects = gpu_subjects();
    subjects.extend(cpu_subjects());
    subjects
}

/// A number that the environment may give.
fn setting<T: std::str::FromStr>(name: &str, default: T) -> T {
    std::env::var(name).map_or(default, |text| {
        text.parse().unwrap_or_else(|_| panic!("{name} is {text}, which is no number"))
    })
}

#[test]
#[ignore = "it takes as long as it is told to: scripts/soak.sh"]
fn soak() {
    let minutes: f64 = setting("SURPRISAL_SOAK_MINUTES", 1.0);
    let seed = setting("SURPRISAL_SOAK_SEED", 1);
    let (time, clock) = (Duration::from_secs_f64(60.0 * minutes), Instant::now());
    let mut rng = Rng::new(seed);
    let (mut done, mut peak, mut left, mut failures) = (0, 0.0f64, Vec::new(), Vec::new());
    while clock.elapsed() < time {
        let subjects = subjects();
        for _ in 0..ROUNDS {
            let subject = &subjects[rng.below(subjects.len())];
            failures.extend(operation(&mut rng, subject).err());
            done += 1;
            peak = peak.max(resident());
        }
        drop(subjects);
        left.push(resident());
    }
    println!(
        "{done} operations in {minutes} minutes, seed {seed}, {} out of bounds",
        failures.len()
    );
    println!("at most {peak:.0} MiB; left when devices were closed, every time: {left:.0?}");
    let shown = failures.iter().take(10).cloned().collect::<Vec<_>>().join("\n");
    assert!(failures.is_empty(), "{shown}");
    let largest = |of: &[f64]| of.iter().copied().fold(0.0, f64::max);
    assert!(left.len() >= 6, "the devices were opened {} times, too few to tell", left.len());
    let (middle, last) = (&left[left.len() / 3..2 * left.len() / 3], &left[2 * left.len() / 3..]);
    let (middle, last) = (largest(middle), largest(last));
    assert!(
        last <= SLACK.0 * middle + SLACK.1,
        "memory grows: {middle:.0} MiB, then {last:.0} MiB"
    );
}
