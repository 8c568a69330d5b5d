//! A small language model: the next character from the eight before it, learned from this project's own
//! documentation, ending in a linear layer whose logits are never stored.
//!
//!     cargo run --release --example language_model [-- --device cpu|gpu]
//!
//! The curve goes to `target/plots/language_model.svg`.

#![expect(clippy::print_stdout, reason = "it is what the example does")]

mod training;

use plotters::prelude::SeriesLabelPosition;
use surprisal::{
    CrossEntropy, Device, LinearCrossEntropy, LinearCrossEntropyInput, LinearCrossEntropyOutput,
    Matrix, Unit, Values,
};

use training::adam::{Adam, Normal};
use training::plot::{self, Line, Panel};
use training::{Place, Result};

const TEXT: [&str; 5] = [
    include_str!("../README.md"),
    include_str!("../docs/LOSSES.md"),
    include_str!("../docs/NUMERICS.md"),
    include_str!("../docs/DESIGN.md"),
    include_str!("../docs/PERFORMANCE.md"),
];
/// Characters that the next one is told from.
const CONTEXT: usize = 8;
const HIDDEN: usize = 128;
const BATCH: usize = 1024;
const STEPS: usize = 400;
const RATE: f32 = 4e-3;

fn main() -> Result<()> {
    let place = Place::from_args()?;
    println!("{}", place.info());
    let clock = std::time::Instant::now();
    let (text, characters) = tokens();
    let (train, held_out) = text.split_at(text.len() / 10 * 9);
    println!("{} characters to learn from, {} to tell", train.len(), held_out.len());
    let unigrams = unigram_bits(train, held_out, characters);

    let mut model = Model::new(characters);
    let mut random = Normal::new(7);
    let mut curve = Vec::new();
    for step in 0..STEPS {
        let ends: Vec<usize> =
            (0..BATCH).map(|_| CONTEXT + random.below(train.len() - CONTEXT)).collect();
        let bits = model.learn(place.device(), train, &ends)?;
        curve.push((step as f64, bits));
        if step.is_multiple_of(50) {
            println!("  step {step:3}: {bits:.3} bits a character");
        }
    }
    let ends: Vec<usize> = (CONTEXT..held_out.len()).collect();
    let told = model.bits(place.device(), held_out, &ends)?;
    println!("held out: {told:.3} bits a character; by the characters' frequencies {unigrams:.3}");
    println!("{:.2} s", clock.elapsed().as_secs_f64());
    assert!(told < 0.8 * unigrams, "it has learned");

    let path = plot::path("target/plots", "language_model");
    let flat = |bits: f64| [(0.0, bits), (STEPS as f64, bits)];
    let panel = Panel {
        title: "The next character",
        x: ("step", 0.0..STEPS as f64),
        y: ("cross-entropy (bits a character)", 0.0..8.0),
        legend: SeriesLabelPosition::UpperRight,
        lines: vec![
            Line::new("a batch to learn from", curve),
            Line::new("held out, in the end", flat(told)),
            Line::new("held out, by frequencies", flat(unigrams)),
        ],
    };
    plot::draw(&path, &[panel])?;
    println!("{}", path.display());
    Ok(())
}

/// The text, each character by its number, and how many there are.
fn tokens() -> (Vec<usize>, usize) {
    let text = TEXT.concat();
    let mut alphabet: Vec<char> = text.chars().collect();
    alphabet.sort_unstable();
    alphabet.dedup();
    let number = |c: char| alphabet.binary_search(&c).unwrap_or(0);
    (text.chars().map(number).collect(), alphabet.len())
}

/// What the frequencies of the characters alone would come to, each counted once more than it was seen.
fn unigram_bits(train: &[usize], held_out: &[usize], characters: usize) -> f64 {
    let mut counts = vec![1.0; characters];
    for &token in train {
        counts[token] += 1.0;
    }
    let total: f64 = counts.iter().sum();
    let bits = held_out.iter().map(|&token| -(counts[token] / total).log2());
    bits.sum::<f64>() / held_out.len() as f64
}

/// tanh of a sum of embeddings, one for each character at each place before the next, and a linear layer.
struct Model {
    characters: usize,
    /// `[CONTEXT, characters, HIDDEN]`
    embeddings: Adam,
    /// `[characters, HIDDEN]`
    weight: Adam,
    /// `[characters]`
    bias: Adam,
}

impl Model {
    fn new(characters: usize) -> Self {
        let mut random = Normal::new(1);
        Self {
            characters,
            embeddings: Adam::new(random.values(CONTEXT * characters * HIDDEN, 0.1)),
            weight: Adam::new(random.values(characters * HIDDEN, 0.1)),
            bias: Adam::new(vec![0.0; characters]),
        }
    }

    /// Where the embeddings of the characters before `end` are.
    fn places(&self, text: &[usize], end: usize) -> impl Iterator<Item = usize> + use<> {
        let before: Vec<usize> = text[end - CONTEXT..end].to_vec();
        let characters = self.characters;
        before.into_iter().enumerate().map(move |(i, token)| (i * characters + token) * HIDDEN)
    }

    /// What stands before the linear layer, `[ends, HIDDEN]`.
    fn hidden(&self, text: &[usize], ends: &[usize]) -> Vec<f32> {
        let mut hidden = vec![0.0; ends.len() * HIDDEN];
        for (row, &end) in hidden.chunks_mut(HIDDEN).zip(ends) {
            for place in self.places(text, end) {
                for (sum, x) in row.iter_mut().zip(&self.embeddings.values[place..]) {
                    *sum += x;
                }
            }
            for x in row {
                *x = x.tanh();
            }
        }
        hidden
    }

    /// Loss and gradients of the layer.
    fn layer(
        &self,
        device: &Device,
        op: &LinearCrossEntropy,
        (hidden, targets): (&[f32], &[i64]),
    ) -> Result<LinearCrossEntropyOutput> {
        let hidden = Matrix::new(hidden, targets.len(), HIDDEN)?;
        let weight = Matrix::new(&self.weight.values, self.characters, HIDDEN)?;
        let bias = Values::from(&self.bias.values);
        let input = LinearCrossEntropyInput::new(hidden, weight, targets).with_bias(bias);
        Ok(device.run(op, input)?)
    }

    /// A step down the gradient of the next characters' mean surprisal, which is returned.
    fn learn(&mut self, device: &Device, text: &[usize], ends: &[usize]) -> Result<f64> {
        let hidden = self.hidden(text, ends);
        let op = LinearCrossEntropy::new(loss()).with_gradient();
        let output = self.layer(device, &op, (&hidden, &targets(text, ends)))?;
        let array = |array: Option<surprisal::Array>| {
            array.map(|array| array.values().to_f32()).ok_or("it was asked for")
        };
        let dhidden = array(output.dhidden)?;
        self.weight.descend(&array(output.dweight)?, RATE);
        self.bias.descend(&array(output.dbias)?, RATE);

        let mut gradient = vec![0.0; self.embeddings.values.len()];
        let rows = hidden.chunks(HIDDEN).zip(dhidden.chunks(HIDDEN));
        for ((row, drow), &end) in rows.zip(ends) {
            for place in self.places(text, end) {
                let tanhs = row.iter().zip(drow).map(|(y, dy)| dy * (1.0 - y * y));
                for (sum, dx) in gradient[place..].iter_mut().zip(tanhs) {
                    *sum += dx;
                }
            }
        }
        self.embeddings.descend(&gradient, RATE);
        output.loss.reduced().ok_or("it is a mean".into())
    }

    /// The next characters' mean surprisal.
    fn bits(&self, device: &Device, text: &[usize], ends: &[usize]) -> Result<f64> {
        let op = LinearCrossEntropy::new(loss());
        let hidden = self.hidden(text, ends);
        let output = self.layer(device, &op, (&hidden, &targets(text, ends)))?;
        output.loss.reduced().ok_or("it is a mean".into())
    }
}

fn loss() -> CrossEntropy {
    CrossEntropy::new().with_unit(Unit::Bits)
}

fn targets(text: &[usize], ends: &[usize]) -> Vec<i64> {
    ends.iter().map(|&end| i64::try_from(text[end]).unwrap_or(-1)).collect()
}
