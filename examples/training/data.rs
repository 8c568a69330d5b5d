//! The data sets, and their division into rows to train on and rows held out.

use std::path::Path;

use safetensors::SafeTensors;

use super::Result;

/// Rows of features, each with a label.
#[derive(Debug, Clone)]
pub struct Table {
    pub columns: usize,
    /// `[rows, columns]`
    pub features: Vec<f32>,
    pub labels: Vec<i32>,
}

impl Table {
    pub fn rows(&self) -> usize {
        self.labels.len()
    }

    /// 1797 images of handwritten digits, 8 x 8 pixels from 0 to 1.
    pub fn digits() -> Result<Self> {
        let (file, columns) = (read("digits.safetensors")?, 64);
        let tensors = SafeTensors::deserialize(&file)?;
        let features = values(&tensors, "features")?;
        let labels: Vec<i64> = values(&tensors, "labels")?;
        let labels =
            labels.into_iter().map(i32::try_from).collect::<std::result::Result<_, _>>()?;
        Ok(Self { columns, features, labels })
    }

    /// 569 breast tumours, 30 measurements each; label 1 for a benign one.
    pub fn breast_cancer() -> Result<Self> {
        let (file, columns) = (read("breast_cancer.safetensors")?, 30);
        let tensors = SafeTensors::deserialize(&file)?;
        let features = values(&tensors, "features")?;
        let labels: Vec<f32> = values(&tensors, "labels")?;
        let labels = labels.iter().map(|&label| i32::from(label > 0.5)).collect();
        Ok(Self { columns, features, labels })
    }

    /// The rows to train on, and every fifth row from `first`, which is held out.
    pub fn split(&self, first: usize) -> (Self, Self) {
        let held_out = |row: usize| row % 5 == first;
        (self.filter(|row| !held_out(row)), self.filter(held_out))
    }

    /// The rows that `keeps` keeps.
    pub fn filter(&self, keeps: impl Fn(usize) -> bool) -> Self {
        let rows: Vec<usize> = (0..self.rows()).filter(|&row| keeps(row)).collect();
        let features = rows.iter().flat_map(|&row| self.row(row).to_vec()).collect();
        let labels = rows.iter().map(|&row| self.labels[row]).collect();
        Self { columns: self.columns, features, labels }
    }

    /// The same rows with other features, made of each row's.
    pub fn map(&self, make: impl Fn(&[f32]) -> Vec<f32>) -> Self {
        let features: Vec<f32> = (0..self.rows()).flat_map(|row| make(self.row(row))).collect();
        let columns = features.len() / self.rows();
        Self { columns, features, labels: self.labels.clone() }
    }

    pub fn row(&self, row: usize) -> &[f32] {
        &self.features[row * self.columns..][..self.columns]
    }

    /// Each column's mean and standard deviation.
    pub fn moments(&self) -> Vec<(f32, f32)> {
        let count = self.rows() as f64;
        let column = |j| (0..self.rows()).map(move |row| f64::from(self.row(row)[j]));
        let moments = |j| {
            let mean = column(j).sum::<f64>() / count;
            let variance = column(j).map(|x| (x - mean).powi(2)).sum::<f64>() / count;
            (mean as f32, variance.sqrt() as f32)
        };
        (0..self.columns).map(moments).collect()
    }

    /// The share of rows whose label is `predict`ed from their scores under a linear model.
    pub fn accuracy(&self, weight: &[f32], predict: impl Fn(&[f32]) -> i32) -> f64 {
        let scores = super::host::scores(self, weight);
        let outputs = scores.len() / self.rows();
        let rows = scores.chunks(outputs).zip(&self.labels);
        rows.filter(|(scores, label)| predict(scores) == **label).count() as f64
            / self.rows() as f64
    }
}

/// The column of the largest score.
pub fn argmax(scores: &[f32]) -> i32 {
    let best = (0..scores.len()).rev().max_by(|&i, &j| scores[i].total_cmp(&scores[j]));
    best.and_then(|j| i32::try_from(j).ok()).unwrap_or(-1)
}

fn read(name: &str) -> Result<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()).into())
}

fn values<T: bytemuck::Pod>(tensors: &SafeTensors<'_>, name: &str) -> Result<Vec<T>> {
    let data = tensors.tensor(name)?.data();
    Ok(data.chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned).collect())
}
