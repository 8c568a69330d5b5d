//! Shapes that go together, and those that do not: every pair of up to four axes.

mod common;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use common::{DEVICES, surprisal, write_npy};
use surprisal_cli::shapes::by_row;

/// All shapes of up to so many axes of these extents.
fn shapes(axes: usize, extents: &[u64]) -> Vec<Vec<u64>> {
    let mut all = vec![vec![]];
    let mut longest = all.clone();
    for _ in 0..axes {
        longest = longest
            .iter()
            .flat_map(|shape: &Vec<u64>| extents.iter().map(|&n| [&shape[..], &[n]].concat()))
            .collect();
        all.extend(longest.clone());
    }
    all
}

fn count(shape: &[u64]) -> u64 {
    shape.iter().product()
}

/// The rule for what belongs to rows, said another way than the command says it: cut off a trailing 1, or
/// take the whole of it, and what is left is the matrix without its last axis; or it is one axis as long as
/// there are rows.
fn belongs_to_rows(shape: &[u64], matrix: &[u64]) -> bool {
    if matrix.is_empty() {
        return false;
    }
    let leading = &matrix[..matrix.len() - 1];
    let is_flat = shape.len() == 1 && shape[0] == count(leading);
    let is_leading = shape == leading;
    let with_one = shape.len() == matrix.len()
        && shape[shape.len() - 1] == 1
        && shape.iter().zip(leading).all(|(a, b)| a == b);
    is_leading || with_one || is_flat
}

/// A matrix that an operation on rows takes: with columns, if it has rows.
fn has_rows(matrix: &[u64]) -> bool {
    matrix.last().is_some_and(|&columns| columns > 0 || count(&matrix[..matrix.len() - 1]) == 0)
}

#[test]
fn the_rule_is_that_of_every_pair_of_shapes() {
    let all = shapes(4, &[0, 1, 2, 3, 5]);
    for matrix in all.iter().filter(|matrix| !matrix.is_empty()) {
        let taken = by_row(matrix);
        for shape in &all {
            let want = belongs_to_rows(shape, matrix);
            assert_eq!(taken.contains(shape), want, "{shape:?} for the rows of {matrix:?}");
        }
    }
}

/// Files of every shape, written once: numbers, and class indices that are all 0.
struct Files {
    folder: tempfile::TempDir,
    all: Vec<Vec<u64>>,
}

impl Files {
    fn new(all: Vec<Vec<u64>>) -> Self {
        let files = Self { folder: tempfile::tempdir().expect("a folder"), all };
        for shape in &files.all {
            let len = count(shape) as usize;
            write_npy(&files.path("x", shape), shape, &vec![0.5f32; len]);
            write_npy(&files.path("y", shape), shape, &vec![0u8; len]);
        }
        files
    }

    fn path(&self, kind: &str, shape: &[u64]) -> PathBuf {
        let sizes: Vec<_> = shape.iter().map(u64::to_string).collect();
        self.folder.path().join(format!("{kind}_{}.npy", sizes.join("x")))
    }
}

/// What the command says of these arguments, in this process: nothing, or why not.
fn said(words: &[&str], files: &[&Path]) -> Option<String> {
    let mut args: Vec<OsString> = vec!["surprisal".into(), words[0].into()];
    args.extend(files.iter().map(OsString::from));
    args.extend(words[1..].iter().map(OsString::from));
    args.extend(["--quiet", "--device", "cpu"].map(OsString::from));
    let failure = surprisal_cli::run(&args).err()?;
    assert_eq!(failure.code, 2, "{}", failure.message);
    Some(failure.message)
}

fn shown(shape: &[u64]) -> String {
    format!("{shape:?}")
}

/// The command's answer is this, and where it is no, both files and their whole shapes are named.
fn check(words: &[&str], a: (&Path, &[u64]), b: (&Path, &[u64]), want: bool) {
    match said(words, &[a.0, b.0]) {
        None => assert!(want, "{words:?} took {:?} with {:?}", a.1, b.1),
        Some(text) => {
            assert!(!want, "{words:?} refused {:?} with {:?}: {text}", a.1, b.1);
            for (file, shape) in [a, b] {
                let named = text.contains(&*file.to_string_lossy()) && text.contains(&shown(shape));
                // A file that has no rows at all is at fault alone.
                assert!(named || !has_rows(a.1) || !has_rows(b.1), "{words:?}: {text}");
            }
        }
    }
}

/// Every pair would take minutes; a stride that is no divisor of their number takes each shape many times
/// on either side.
fn pairs(all: &[Vec<u64>], stride: usize) -> impl Iterator<Item = (&[u64], &[u64])> {
    let pairs = all.len() * all.len();
    assert!(!pairs.is_multiple_of(stride));
    (0..pairs).step_by(stride).map(|i| (&all[i / all.len()][..], &all[i % all.len()][..]))
}

#[test]
fn class_indices_belong_to_rows() {
    let files = Files::new(shapes(4, &[0, 1, 2, 3]));
    for command in [&["cross-entropy"][..], &["focal"], &["cross-entropy", "--memory-limit", "1M"]]
    {
        // All that are taken, and of the others some.
        let some = pairs(&files.all, 29).map(|pair| (pair.0, pair.1));
        let taken = files.all.iter().filter(|matrix| has_rows(matrix)).flat_map(|matrix| {
            let of_rows = files.all.iter().filter(|shape| belongs_to_rows(shape, matrix));
            of_rows.map(|shape| (&matrix[..], &shape[..]))
        });
        for (x, y) in some.chain(taken) {
            let want = has_rows(x) && belongs_to_rows(y, x);
            check(command, (&files.path("x", x), x), (&files.path("y", y), y), want);
        }
    }
}

/// Words, and whether they take a matrix of a shape.
type Command<'a> = (&'a [&'a str], fn(&[u64]) -> bool);

#[test]
fn two_matrices_have_one_shape() {
    let files = Files::new(shapes(4, &[0, 1, 2, 3]));
    let rows = |shape: &[u64]| has_rows(shape);
    let any = |_: &[u64]| true;
    let commands: [Command<'_>; 5] = [
        (&["kl-divergence"], rows),
        (&["js-divergence", "--memory-limit", "1M"], rows),
        (&["cross-entropy"], rows),
        (&["binary-cross-entropy"], any),
        (&["elementwise", "--loss", "squared", "--memory-limit", "1M"], any),
    ];
    for (command, is_taken) in commands {
        let alike = files.all.iter().map(|shape| (&shape[..], &shape[..]));
        for (a, b) in pairs(&files.all, 37).chain(alike) {
            let (a_file, b_file) = (files.path("x", a), files.path("x", b));
            check(command, (&a_file, a), (&b_file, b), a == b && is_taken(a));
        }
    }
}

#[test]
fn upstream_gradients_belong_to_losses() {
    let files = Files::new(shapes(4, &[1, 2, 3]));
    let (folder, out) = (files.folder.path(), files.folder.path().join("grad.npy"));
    let out = out.to_str().expect("a name");
    assert!(folder.exists());
    for (x, up) in pairs(&files.all, 23) {
        let (x_file, up_file) = (files.path("x", x), files.path("x", up));
        let upstream = up_file.to_str().expect("a name");
        let of = |command: &str, reduction: &str, more: &[&str], want: bool| {
            let words = ["--upstream", upstream, "--reduction", reduction, "--grad", out];
            let words = [&[command], &words[..], more].concat();
            match said(&words, &[&x_file, &x_file]) {
                None => assert!(want, "{words:?} took {up:?} for {x:?}"),
                Some(text) => {
                    assert!(!want, "{words:?} refused {up:?} for {x:?}: {text}");
                    let both = [(&x_file, x), (&up_file, up)].iter().all(|(file, shape)| {
                        text.contains(&*file.to_string_lossy()) && text.contains(&shown(shape))
                    });
                    assert!(both || x.is_empty(), "{text}");
                }
            }
        };
        of("kl-divergence", "none", &[], belongs_to_rows(up, x));
        of("cross-entropy", "none", &["--memory-limit", "1M"], belongs_to_rows(up, x));
        of("elementwise", "none", &["--loss", "absolute"], up == x);
        of("kl-divergence", "mean", &[], !x.is_empty() && up.is_empty());
        of("binary-cross-entropy", "sum", &[], up.is_empty());
    }
}

/// As NumPy saves them: what these were is to be read in the line, whichever device was to compute them.
#[test]
fn swapped_axes_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    for (name, shape) in [("x", &[3, 4, 5][..]), ("t", &[4, 3, 5]), ("nchw", &[2, 3, 4, 3])] {
        let len = count(shape) as usize;
        write_npy(&path(&format!("{name}.npy")), shape, &vec![0.25f32; len]);
    }
    write_npy(&path("w.npy"), &[7, 5], &[0.5f32; 35]);
    write_npy(&path("b.npy"), &[6], &[0.5f32; 6]);
    write_npy(&path("y.npy"), &[4, 3], &[0i64; 12]);
    write_npy(&path("y4.npy"), &[2, 4, 3], &[0i64; 24]);
    write_npy(&path("good.npy"), &[3, 4, 1], &[0i64; 12]);
    write_npy(&path("up.npy"), &[4, 3], &[1f32; 12]);
    let swapped = ["[3, 4, 5]", "[4, 3]", "[3, 4], [3, 4, 1] or [12]"];
    let none = ["--reduction", "none", "--grad", "g.npy", "--upstream", "up.npy"];
    let layer = ["linear-cross-entropy", "x.npy", "w.npy"];
    for (args, parts) in [
        (vec!["cross-entropy", "x.npy", "y.npy"], &swapped[..]),
        (vec!["focal", "x.npy", "y.npy"], &swapped),
        ([&layer[..], &["y.npy"]].concat(), &swapped),
        ([&layer[..], &["y.npy", "--memory-limit", "1M"]].concat(), &swapped),
        ([&layer[..], &["good.npy"], &none].concat(), &swapped),
        ([&layer[..], &["good.npy", "--bias", "b.npy"]].concat(), &["[6]", "w.npy [7, 5]", "[7]"]),
        ([&["cross-entropy", "x.npy", "good.npy"], &none[..]].concat(), &swapped),
        (vec!["cross-entropy", "nchw.npy", "y4.npy"], &["[2, 4, 3]", "[2, 3, 4, 3]", "[2, 3, 4]"]),
        (vec!["kl-divergence", "x.npy", "t.npy"], &["t.npy", "[4, 3, 5]", "x.npy [3, 4, 5]"]),
        (vec!["js-divergence", "t.npy", "x.npy"], &["x.npy", "[3, 4, 5]", "t.npy [4, 3, 5]"]),
        (vec!["elementwise", "--loss", "huber", "x.npy", "t.npy"], &["[4, 3, 5]", "[3, 4, 5]"]),
        (vec!["focal", "--binary", "x.npy", "t.npy"], &["[4, 3, 5]", "[3, 4, 5]"]),
        (vec!["cross-entropy", "x.npy", "t.npy"], &["f32 [4, 3, 5]", "x.npy [3, 4, 5]"]),
    ] {
        for device in DEVICES {
            surprisal(folder.path(), &[&args[..], &["--device", device]].concat()).fails(2, parts);
        }
    }
}

#[test]
fn one_hot_integers_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    write_npy(&path("x.npy"), &[3, 3], &[0.5f32; 9]);
    write_npy(&path("one_hot.npy"), &[3, 3], &[1i32, 0, 0, 0, 1, 0, 0, 0, 1]);
    let all = ["one_hot.npy", "i32 [3, 3]", "x.npy [3, 3]", "integers are class indices"];
    let shape = "the shape [3] or [3, 1]";
    for (command, more) in [
        ("cross-entropy", "one-hot labels are wanted as floats"),
        ("focal", "takes no one-hot labels"),
    ] {
        let run = surprisal(folder.path(), &[command, "x.npy", "one_hot.npy", "--device", "cpu"]);
        run.fails(2, &[&all[..], &[more, shape]].concat());
    }
    let layer = ["linear-cross-entropy", "x.npy", "x.npy", "one_hot.npy", "--device", "cpu"];
    surprisal(folder.path(), &layer).fails(2, &[&all[..], &[shape]].concat());
}
