//! Inputs by family; each family says what it catches.

use std::sync::OnceLock;

use half::{bf16, f16};
use surprisal::{Array, Dtype, Matrix};

/// A batch of logits with targets; -100 is the ignored value.
#[derive(Debug, Clone)]
pub struct Case {
    pub name: String,
    pub rows: usize,
    pub classes: usize,
    /// Values that the dtype has.
    pub logits: Vec<f32>,
    pub targets: Vec<i64>,
    pub storage: Storage,
}

/// How the matrices of a case are stored, and its logits stored so: made when asked for, and anew
/// for every copy of a case, whose logits may be others.
#[derive(Debug)]
pub struct Storage {
    dtype: Dtype,
    logits: OnceLock<Array>,
}

impl Storage {
    fn new(dtype: Dtype) -> Self {
        Self { dtype, logits: OnceLock::new() }
    }
}

impl Default for Storage {
    fn default() -> Self {
        Self::new(Dtype::F32)
    }
}

impl Clone for Storage {
    fn clone(&self) -> Self {
        Self::new(self.dtype)
    }
}

/// Values stored in a dtype, each rounded to nearest.
pub fn stored(values: &[f32], dtype: Dtype) -> Array {
    match dtype {
        Dtype::F16 => Array::F16(values.iter().map(|&x| f16::from_f32(x)).collect()),
        Dtype::Bf16 => Array::Bf16(values.iter().map(|&x| bf16::from_f32(x)).collect()),
        _ => Array::F32(values.to_vec()),
    }
}

impl Case {
    pub fn matrix(&self) -> Matrix<'_> {
        let logits = if self.storage.dtype == Dtype::F32 {
            (&self.logits).into()
        } else {
            self.storage.logits.get_or_init(|| self.stored(&self.logits)).values()
        };
        Matrix::new(logits, self.rows, self.classes).expect("cases have their shape")
    }

    /// Other values, stored as the logits are.
    pub fn stored(&self, values: &[f32]) -> Array {
        stored(values, self.storage.dtype)
    }

    /// Other values, as the logits' dtype has them.
    pub fn rounded(&self, values: &[f32]) -> Vec<f32> {
        self.stored(values).to_f64().into_iter().map(|x| x as f32).collect()
    }

    /// The same case, rounded to another dtype and stored in it.
    pub fn in_dtype(&self, dtype: Dtype) -> Self {
        let case = Self { storage: Storage::new(dtype), ..self.clone() };
        let name = format!("{} in {dtype}", case.name);
        Self { logits: case.rounded(&case.logits), name, ..case }
    }
}

/// `SplitMix64`: the same numbers on every machine.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In [0, 1).
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next_u64() % n as u64) as usize
    }

    pub fn normal(&mut self) -> f64 {
        let (a, b) = (self.uniform().max(1e-300), self.uniform());
        (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Normal logits: gross errors, wrong indices, wrong strides.
    Normal,
    /// One logit far above the rest, somewhere: a missing rescale when the maximum moves.
    Peaked,
    /// The target is the maximum by 10 to 40: the digits of a small loss and of p - 1.
    Confident,
    /// A common offset of 1e6: a loss formed as lse - x.
    Shifted,
    /// -inf in most places, in leading blocks too: -inf minus -inf, and lanes that saw nothing.
    Masked,
    /// Few distinct values: every instance of the maximum left out, not one.
    Ties,
    /// One value throughout: the sum of a long row.
    Constant,
    /// Rising or falling along the row: a rescale at every element, or at none.
    Sorted,
    /// Up to the largest finite values: overflow on the way.
    Extremes,
    /// Tiny differences and subnormals: flushed inputs.
    Subnormal,
    /// Rows with NaN, +inf, -inf throughout, next to sound ones: the table of special values.
    Special,
}

impl Family {
    pub const ALL: [Self; 11] = [
        Self::Normal,
        Self::Peaked,
        Self::Confident,
        Self::Shifted,
        Self::Masked,
        Self::Ties,
        Self::Constant,
        Self::Sorted,
        Self::Extremes,
        Self::Subnormal,
        Self::Special,
    ];

    pub fn case(self, rows: usize, classes: usize, seed: u64) -> Case {
        let mut rng = Rng::new(seed ^ ((rows as u64) << 32) ^ classes as u64 ^ (self as u64) << 60);
        let mut logits = Vec::with_capacity(rows * classes);
        let mut targets = Vec::with_capacity(rows);
        for row in 0..rows {
            let y = rng.below(classes);
            let start = logits.len();
            let spread = 1.0 + 4.0 * rng.uniform();
            for _ in 0..classes {
                logits.push((spread * rng.normal()) as f32);
            }
            self.shape(&mut logits[start..], y, row, &mut rng);
            targets.push(i64::try_from(y).expect("classes are few"));
        }
        // A tenth of the rows is ignored, with values that would spoil everything if they were
        // read into anything.
        for row in 0..rows {
            if row % 10 == 7 {
                targets[row] = -100;
                logits[row * classes..(row + 1) * classes].fill(f32::NAN);
            }
        }
        let name = format!("{self:?} {rows}x{classes}");
        Case { name, rows, classes, logits, targets, storage: Storage::default() }
    }

    fn shape(self, x: &mut [f32], y: usize, row: usize, rng: &mut Rng) {
        let classes = x.len();
        match self {
            Self::Normal => {}
            Self::Peaked => x[rng.below(classes)] += 30.0,
            Self::Confident => x[y] = 25.0 + (30.0 * rng.uniform()) as f32,
            Self::Shifted => x.iter_mut().for_each(|x| *x += 1e6),
            Self::Masked => {
                let leading = rng.below(classes);
                for (j, x) in x.iter_mut().enumerate() {
                    if j != y && (j < leading || rng.below(4) > 0) {
                        *x = f32::NEG_INFINITY;
                    }
                }
                // The target itself is masked in some rows: its loss is +inf.
                if row % 5 == 3 && classes > 1 {
                    x[y] = f32::NEG_INFINITY;
                    x[(y + 1) % classes] = 1.5;
                }
            }
            Self::Ties => x.iter_mut().for_each(|x| *x = x.clamp(-1.0, 1.0).round()),
            Self::Constant => x.fill(-2.3),
            Self::Sorted => {
                x.sort_by(f32::total_cmp);
                if row % 2 == 1 {
                    x.reverse();
                }
            }
            Self::Extremes => {
                for x in x.iter_mut() {
                    *x = match rng.below(4) {
                        0 => 3.4e38,
                        1 => -3.4e38,
                        _ => *x * 1e37,
                    };
                }
            }
            Self::Subnormal => x.iter_mut().for_each(|x| *x *= 1e-39),
            Self::Special => match row % 6 {
                0 => x[rng.below(classes)] = f32::NAN,
                1 => x[rng.below(classes)] = f32::INFINITY,
                2 => x.fill(f32::NEG_INFINITY),
                3 => {
                    x[rng.below(classes)] = f32::INFINITY;
                    x[rng.below(classes)] = f32::INFINITY;
                }
                4 => {
                    x[rng.below(classes)] = f32::INFINITY;
                    x[0] = f32::NAN;
                }
                _ => {}
            },
        }
    }
}

/// Shapes, with the regime that each is there for.
pub const SHAPES: [(usize, usize); 19] = [
    (3, 1),     // one class: every loss is 0
    (64, 2),    // the smallest real row
    (13, 3),    // below one word of four
    (130, 4),   // exactly one word; more rows than a workgroup has lanes
    (21, 10),   // digits; not a multiple of four
    (9, 31),    // lanes without an element
    (9, 32),    // the last row length that one lane handles
    (9, 33),    // the first that a workgroup handles
    (12, 64),   // some lanes' worth of words
    (5, 127),   // odd: every row starts at another alignment
    (5, 256),   // a power of two
    (5, 257),   // one more
    (11, 1000), // ImageNet; a multiple of four and of nothing else
    (3, 1024),  // whole words, whole workgroups
    (3, 1031),  // prime
    (2, 4099),  // several runs of a sweep
    (2, 8192),  // many whole words
    (1, 32769), // the first length that is split, one row
    (3, 50257), // GPT-2's vocabulary: long and odd
];

/// Every family at every shape.
pub fn all_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (rows, classes) in SHAPES {
        for family in Family::ALL {
            // Long rows are the same code as medium ones for most families.
            let long = classes > 10_000;
            let telling = [
                Family::Normal,
                Family::Confident,
                Family::Masked,
                Family::Constant,
                Family::Sorted,
                Family::Special,
            ];
            if !long || telling.contains(&family) {
                cases.push(family.case(rows, classes, 1));
            }
        }
    }
    cases
}

/// Cases stored in 16 bits: every remainder of a row's length by a word's, rows that start in the
/// middle of a u32 and rows that do not.
pub fn narrow_cases(dtype: Dtype) -> Vec<Case> {
    let shapes = [
        (7, 1),
        (64, 2),
        (13, 3),
        (130, 4),
        (21, 10),
        (9, 31),
        (9, 33),
        (6, 66),
        (5, 127),
        (5, 256),
        (3, 1031),
        (2, 4099),
        (3, 50257),
    ];
    let mut cases = Vec::new();
    for (rows, classes) in shapes {
        for family in Family::ALL {
            let telling = [Family::Normal, Family::Confident, Family::Masked, Family::Special];
            if classes < 1000 || telling.contains(&family) {
                cases.push(family.case(rows, classes, 3).in_dtype(dtype));
            }
        }
    }
    cases
}
