//! Adam (Kingma and Ba, "Adam: a method for stochastic optimization").

/// A parameter tensor with its moments.
#[derive(Debug)]
pub struct Adam {
    pub values: Vec<f32>,
    mean: Vec<f32>,
    square: Vec<f32>,
    step: i32,
}

impl Adam {
    pub fn new(values: Vec<f32>) -> Self {
        let zeros = vec![0.0; values.len()];
        Self { values, mean: zeros.clone(), square: zeros, step: 0 }
    }

    /// A step down a gradient.
    pub fn descend(&mut self, gradient: &[f32], rate: f32) {
        const BETA1: f32 = 0.9;
        const BETA2: f32 = 0.99;
        self.step += 1;
        let (first, second) = (1.0 - BETA1.powi(self.step), 1.0 - BETA2.powi(self.step));
        let moments = self.mean.iter_mut().zip(&mut self.square);
        for ((value, g), (mean, square)) in self.values.iter_mut().zip(gradient).zip(moments) {
            *mean += (1.0 - BETA1) * (g - *mean);
            *square += (1.0 - BETA2) * (g * g - *square);
            *value -= rate * (*mean / first) / ((*square / second).sqrt() + 1e-8);
        }
    }
}

/// The same numbers on every machine, normal with deviation `scale` (Marsaglia's xorshift, Irwin and
/// Hall's sum of twelve).
#[derive(Debug)]
pub struct Normal(u64);

impl Normal {
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// In [0, 1).
    pub fn uniform(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u32 << 24) as f32
    }

    fn bits(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.bits() >> 11) as usize % n
    }

    pub fn values(&mut self, count: usize, scale: f32) -> Vec<f32> {
        let mut normal = || (0..12).map(|_| self.uniform()).sum::<f32>() - 6.0;
        (0..count).map(|_| scale * normal()).collect()
    }
}
