//! The generalised Jensen-Shannon divergence: numbers from elsewhere, its two ends, and its middle.

mod common;

use common::bench::{Bench, assert_close};
use common::reference;
use surprisal::gpu::{DivergenceBuffers, MatrixBuffer, OutputBuffer};
use surprisal::stream::Batch;
use surprisal::{
    Array, Device, DeviceKind, DivergenceInput, DivergenceOutput, Error, InputForm, JsDivergence,
    KlDivergence, Matrix, Reduction, Unit, Upstream,
};

const CLASSES: usize = 4;
const TEACHER: [f32; 12] = [0.5, -1.25, 2.0, 0.0, 3.0, 3.0, -2.0, 1.0, -40.0, 0.0, 10.0, 1.0];
const STUDENT: [f32; 12] = [1.0, 0.25, -0.5, 2.0, 3.0, 2.5, -2.0, 1.5, 5.0, 0.0, -30.0, 1.0];

/// A row's divergence and its gradient.
type Row = (f64, [f64; CLASSES]);

/// Of each row, by beta: the formula itself with mpmath in 40 digits, M = beta P + (1 - beta) Q and
/// beta KL(P || M) + (1 - beta) KL(Q || M); gradients by differences of 1e-15 there.
#[rustfmt::skip]
const GOLDEN: [(f64, [Row; 3]); 5] = [
    (0.01, [
        (0.015_797_422_081_952_8, [0.000_566_865_371_736_593, 0.000_742_291_505_796_755, -0.006_207_775_569_742_91, 0.004_898_618_692_209_56]),
        (0.000_473_832_802_433_474, [0.000_767_268_729_871_425, -0.001_350_667_824_161_38, 5.169_816_035_929_29e-6, 0.000_578_229_278_254_031]),
        (0.055_983_693_200_934_7, [1.646_502_776_503_02e-6, -4.428_127_920_188_76e-7, -1.853_002_162_982_19e-14, -1.203_689_965_954_12e-6]),
    ]),
    (0.25, [
        (0.239_274_451_473_623, [-0.005_900_287_122_883_51, 0.007_497_397_742_588_47, -0.059_431_693_420_981_2, 0.057_834_582_801_276_2]),
        (0.008_993_561_710_556_21, [0.013_627_050_081_410_6, -0.025_098_837_521_529_8, 9.181_834_120_242_82e-5, 0.011_379_969_098_916_8]),
        (0.562_036_604_938_51, [4.111_670_018_971_79e-5, -1.105_798_378_685_75e-5, -1.565_089_949_597_94e-14, -3.005_871_638_720_95e-5]),
    ]),
    (0.5, [
        (0.293_151_354_399_1, [-0.018_187_628_931_419_7, 0.007_618_256_278_373_7, -0.059_287_614_344_451, 0.069_856_986_997_497_1]),
        (0.012_066_000_065_245, [0.016_924_186_709_334_4, -0.032_990_904_946_616_4, 0.000_114_034_273_050_122, 0.015_952_683_964_231_9]),
        (0.692_642_620_110_887, [8.204_504_927_303_45e-5, -2.206_531_216_496_42e-5, -1.077_177_741_065_21e-14, -5.997_973_709_729_85e-5]),
    ]),
    (0.9, [
        (0.106_597_037_116_143, [-0.014_152_785_052_659, 0.001_766_717_476_135_67, -0.017_623_359_285_314_8, 0.030_009_426_861_838_1]),
        (0.004_430_110_208_403_13, [0.005_328_612_322_267_76, -0.011_756_402_671_598_7, 3.590_390_740_611_39e-5, 0.006_391_886_441_924_8]),
        (0.324_504_427_582_135, [0.000_143_767_705_360_497, -3.866_509_102_613_89e-5, -2.289_426_725_255_26e-15, -0.000_105_102_614_332_068]),
    ]),
    (1e-6, [
        (1.624_279_272_479_73e-6, [6.686_859_063_944_02e-8, 7.926_977_645_095_93e-8, -6.651_389_374_731_15e-7, 5.190_005_703_827_16e-7]),
        (4.786_118_968_632_46e-8, [7.770_649_197_496_6e-8, -1.365_546_442_492_61e-7, 5.235_822_244_121_81e-10, 5.832_457_004_988_24e-8]),
        (1.481_216_970_597_38e-5, [1.646_687_445_248_03e-10, -4.428_273_767_621_14e-11, -1.304_570_892_739_18e-14, -1.203_729_611_396_64e-10]),
    ]),
];

fn matrix(values: &[f32]) -> Matrix<'_> {
    Matrix::new(values, values.len() / CLASSES, CLASSES).expect("whole rows")
}

fn input() -> DivergenceInput<'static> {
    DivergenceInput::new(matrix(&TEACHER), matrix(&STUDENT))
}

fn each(output: &DivergenceOutput) -> Vec<f64> {
    output.loss.each().expect("not reduced").to_f64()
}

fn gradient(output: &DivergenceOutput) -> Vec<f64> {
    output.dstudent.as_ref().map(Array::to_f64).expect("asked for")
}

/// Errors are absolute: a few roundings of the logarithms of the shares, by the shares.
fn bound(device: &Device, beta: f64) -> f64 {
    let size = beta * (1.0 - beta.ln()) - (1.0 - beta) * (-beta).ln_1p();
    if device.info().kind == DeviceKind::Reference { 1e-14 } else { 4e-6 * size }
}

#[test]
fn numbers_from_elsewhere() {
    for device in common::devices() {
        for (beta, rows) in GOLDEN {
            let bound = bound(&device, beta);
            let op = JsDivergence::new().with_beta(beta).with_gradient();
            let op = op.with_reduction(Reduction::None);
            let output = device.run(&op, input()).expect("sound");
            let (losses, dstudent) = (each(&output), gradient(&output));
            for (row, (loss, columns)) in rows.iter().enumerate() {
                let what = format!("beta {beta}, row {row} on {}", device.info());
                assert!((losses[row] - loss).abs() <= bound, "{what}: {} not {loss}", losses[row]);
                for (got, want) in dstudent[row * CLASSES..].iter().zip(columns) {
                    assert!((got - want).abs() <= bound, "{what}: {got} not {want}");
                }
            }
            // In bits, and with a temperature that undoes itself.
            let twice: Vec<f32> = STUDENT.iter().map(|x| 2.0 * x).collect();
            let teacher: Vec<f32> = TEACHER.iter().map(|x| 2.0 * x).collect();
            let op = op.with_unit(Unit::Bits).with_temperature(2.0);
            let output = device.run(&op, DivergenceInput::new(matrix(&teacher), matrix(&twice)));
            let output = output.expect("sound");
            for (got, (want, _)) in each(&output).iter().zip(&rows) {
                let want = want * std::f64::consts::LOG2_E;
                assert!((got - want).abs() <= 2.0 * bound, "{got} not {want} bits");
            }
        }
    }
}

/// What every option says of the ends is what the other operation says, to the last bit.
#[test]
fn the_ends_are_the_kullback_leibler_divergences() {
    let probs = reference::softmax(matrix(&TEACHER));
    let probs: Vec<f32> = probs.iter().map(|p| *p as f32).collect();
    let dloss = [2.0f32, -1.0, 0.5];
    for device in common::devices() {
        for (beta, kl) in [
            (0.0, KlDivergence::new()),
            (-0.0, KlDivergence::new()),
            (1.0, KlDivergence::new().with_reverse()),
        ] {
            let js = JsDivergence::new().with_beta(beta).with_gradient();
            let kl = kl.with_gradient();
            let same = |js: &JsDivergence, kl: &KlDivergence, input| {
                let (js, kl) = (device.run(js, input), device.run(kl, input));
                assert_eq!(js.expect("sound"), kl.expect("sound"), "{beta} on {}", device.info());
            };
            same(&js, &kl, input());
            same(
                &js.with_unit(Unit::Bits).with_temperature(3.0),
                &kl.with_unit(Unit::Bits).with_temperature(3.0),
                input(),
            );
            let none = Reduction::None;
            same(
                &js.with_reduction(none),
                &kl.with_reduction(none),
                input().with_upstream(Upstream::Each((&dloss).into())),
            );
            let form = InputForm::Probs;
            same(
                &js.with_teacher(form),
                &kl.with_teacher(form),
                DivergenceInput::new(matrix(&probs), matrix(&STUDENT)),
            );
        }
    }
}

#[test]
fn one_half_is_the_divergence_itself() {
    for device in common::devices() {
        let plain = JsDivergence::new().with_gradient();
        assert_eq!(plain.beta(), 0.5);
        let output = device.run(&plain, input()).expect("sound");
        assert_eq!(device.run(&plain.with_beta(0.5), input()), Ok(output));
    }
}

/// A class that one side alone has: never infinite between the ends, and bounded by the shares' entropy.
#[test]
fn sides_that_exclude_each_other() {
    let inf = f32::INFINITY;
    let (teacher, student) = ([0.0, -inf, 0.0, -inf], [-inf, 0.0, -inf, -inf]);
    let teacher = Matrix::new(&teacher, 2, 2).expect("two rows");
    let student = Matrix::new(&student, 2, 2).expect("two rows");
    for device in common::devices() {
        for beta in [0.1, 0.25, 0.5, 0.75, 1e-30, 1.0 - 1e-9] {
            let op = JsDivergence::new().with_beta(beta).with_gradient();
            let op = op.with_reduction(Reduction::None);
            let output = device.run(&op, DivergenceInput::new(teacher, student)).expect("sound");
            let (losses, dstudent) = (each(&output), gradient(&output));
            let most = -beta * beta.ln() - (1.0 - beta) * (-beta).ln_1p();
            let what = format!("beta {beta} on {}", device.info());
            assert!((losses[0] - most).abs() <= bound(&device, beta), "{what}: {losses:?}, {most}");
            assert!(dstudent[..2].iter().all(|d| d.abs() <= bound(&device, beta)), "{what}");
            assert!(losses[1].is_nan() && dstudent[2..].iter().all(|d| d.is_nan()), "{what}");
        }
    }
}

#[test]
fn shares_out_of_range() {
    for device in common::devices() {
        for (beta, shown) in
            [(-0.1, "-0.1"), (1.5, "1.5"), (f64::NAN, "NaN"), (f64::INFINITY, "inf")]
        {
            let op = JsDivergence::new().with_beta(beta);
            let reason = format!("{shown} is not in [0, 1]");
            let error = Error::InvalidInput { what: "beta", reason };
            assert_eq!(device.run(&op, input()), Err(error.clone()), "{}", device.info());
            let stream = device.stream(&op, Batch::new(3, CLASSES, 1));
            assert_eq!(stream.map(|_| ()), Err(error), "{}", device.info());
        }
    }
}

/// Windows of a batch, at both ends and between, are the batch; so is a call into an encoder of one's own.
#[test]
fn in_windows_and_recorded() {
    let betas = [0.0, 0.125, 0.5, 0.9, 1.0];
    for device in common::devices() {
        for beta in betas {
            let op = JsDivergence::new().with_beta(beta).with_gradient();
            let whole = device.run(&op, input()).expect("sound");
            let mut stream = device.stream(&op, Batch::new(3, CLASSES, 2)).expect("sound");
            let mut parts = Vec::new();
            for columns in [0..2 * CLASSES, 2 * CLASSES..3 * CLASSES] {
                let (p, q) = (matrix(&TEACHER[columns.clone()]), matrix(&STUDENT[columns]));
                let part = stream.push(DivergenceInput::new(p, q)).expect("sound");
                parts.extend(part.matrix.expect("asked for").to_f64());
            }
            assert_eq!(parts, gradient(&whole), "{beta} on {}", device.info());
            assert_eq!(stream.finish().expect("whole").loss, whole.loss.reduced());
        }
    }
    let bench = Bench::new();
    for beta in betas {
        let op = JsDivergence::new().with_beta(beta).with_gradient();
        let want = reference::js_divergence(&op, &input()).expect("sound");
        let (teacher, student) = (bench.buffer(&TEACHER), bench.buffer(&STUDENT));
        let view = |buffer| MatrixBuffer::new(buffer, 3, CLASSES as u64);
        let buffers = DivergenceBuffers::new(view(&teacher), view(&student))
            .with_dstudent(OutputBuffer::InPlace);
        let call = bench.gpu.prepare_blocking(&op, buffers).expect("it can be prepared");
        bench.submit(|encoder| call.encode(encoder));
        let loss = call.read_summary_blocking().expect("there is one").loss;
        assert_close(&[loss], &[want.loss.reduced().expect("a mean")]);
        assert_close(&bench.read::<f32>(&student), &gradient(&want));
    }
}
