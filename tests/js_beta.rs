//! The generalised Jensen-Shannon divergence: numbers from elsewhere, its two ends, and its middle.

mod common;

use common::bench::{Bench, assert_close};
use surprisal::gpu::{DivergenceBuffers, MatrixBuffer, OutputBuffer};
use surprisal::{
    Array, Batch, Device, DeviceKind, DivergenceInput, DivergenceOutput, Error, InputForm,
    JsDivergence, KlDivergence, Matrix, Reduction, Unit, Upstream, reference,
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
        (0.0157974220819528, [0.000566865371736593, 0.000742291505796755, -0.00620777556974291, 0.00489861869220956]),
        (0.000473832802433474, [0.000767268729871425, -0.00135066782416138, 5.16981603592929e-6, 0.000578229278254031]),
        (0.0559836932009347, [1.64650277650302e-6, -4.42812792018876e-7, -1.85300216298219e-14, -1.20368996595412e-6]),
    ]),
    (0.25, [
        (0.239274451473623, [-0.00590028712288351, 0.00749739774258847, -0.0594316934209812, 0.0578345828012762]),
        (0.00899356171055621, [0.0136270500814106, -0.0250988375215298, 9.18183412024282e-5, 0.0113799690989168]),
        (0.56203660493851, [4.11167001897179e-5, -1.10579837868575e-5, -1.56508994959794e-14, -3.00587163872095e-5]),
    ]),
    (0.5, [
        (0.2931513543991, [-0.0181876289314197, 0.0076182562783737, -0.059287614344451, 0.0698569869974971]),
        (0.012066000065245, [0.0169241867093344, -0.0329909049466164, 0.000114034273050122, 0.0159526839642319]),
        (0.692642620110887, [8.20450492730345e-5, -2.20653121649642e-5, -1.07717774106521e-14, -5.99797370972985e-5]),
    ]),
    (0.9, [
        (0.106597037116143, [-0.014152785052659, 0.00176671747613567, -0.0176233592853148, 0.0300094268618381]),
        (0.00443011020840313, [0.00532861232226776, -0.0117564026715987, 3.59039074061139e-5, 0.0063918864419248]),
        (0.324504427582135, [0.000143767705360497, -3.86650910261389e-5, -2.28942672525526e-15, -0.000105102614332068]),
    ]),
    (1e-6, [
        (1.62427927247973e-6, [6.68685906394402e-8, 7.92697764509593e-8, -6.65138937473115e-7, 5.19000570382716e-7]),
        (4.78611896863246e-8, [7.7706491974966e-8, -1.36554644249261e-7, 5.23582224412181e-10, 5.83245700498824e-8]),
        (1.48121697059738e-5, [1.64668744524803e-10, -4.42827376762114e-11, -1.30457089273918e-14, -1.20372961139664e-10]),
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
