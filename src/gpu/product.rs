//! Products of matrices: which shader files make up each.

use crate::gpu::caps::Caps;
#[allow(clippy::wildcard_imports, reason = "the lists below are made of their names")]
use crate::gpu::fragment::*;
use crate::gpu::word::Word;

/// Which of a product's factors have a row for each step of the depth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Form {
    /// A B^T: neither; `[rows, depth]` and `[columns, depth]`.
    RightTransposed,
    /// A B: the right one; `[rows, depth]` and `[depth, columns]`.
    Plain,
    /// A^T B: both; `[depth, rows]` and `[depth, columns]`.
    LeftTransposed,
}

/// What a product is added to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Start {
    /// Nothing.
    Zero,
    /// A number for each column.
    Bias,
    /// What is stored where it goes.
    Stored,
}

/// What a workgroup of a product computes at a time: a tile, of which each of its lanes sums some
/// elements in registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Tile {
    /// 32 x 64, by 32 lanes of 8 x 8: for software drivers, and for few lanes.
    Slim,
    /// 32 x 64, by 128 lanes of 4 x 4.
    Medium,
    /// 128 x 128, by 256 lanes of 8 x 8.
    Large,
}

impl Tile {
    pub(super) const ALL: [Self; 3] = [Self::Slim, Self::Medium, Self::Large];

    /// Rows of the tile.
    pub const fn rows(self) -> u32 {
        if matches!(self, Self::Large) { 128 } else { 32 }
    }

    /// Columns of the tile.
    pub const fn columns(self) -> u32 {
        if matches!(self, Self::Large) { 128 } else { 64 }
    }

    /// Lanes of the workgroup.
    pub const fn lanes(self) -> u32 {
        match self {
            Self::Slim => 32,
            Self::Medium => 128,
            Self::Large => 256,
        }
    }

    /// Steps of the depth that are in workgroup memory at a time.
    const DEPTH: u32 = 16;

    /// Bytes of workgroup memory.
    pub(super) const fn memory(self) -> u32 {
        (self.rows() + self.columns()) * Self::DEPTH * 4
    }

    /// This tile, or the largest that a device has the lanes and the memory for.
    pub(super) fn fit(self, caps: &Caps) -> Self {
        let fits = |tile: &Self| {
            tile.lanes() <= caps.max_workgroup_size && tile.memory() <= caps.workgroup_memory
        };
        let not_larger = Self::ALL.into_iter().rev().skip_while(|tile| *tile != self);
        not_larger.into_iter().find(fits).unwrap_or(Self::Slim)
    }

    fn fragments(self) -> [&'static Fragment; 2] {
        match self {
            Self::Slim => [&TILE_SLIM, &SUMS_FOUR],
            Self::Medium => [&TILE_MEDIUM, &SUMS_ONE],
            Self::Large => [&TILE_LARGE, &SUMS_FOUR],
        }
    }
}

/// Everything that distinguishes one kernel of products from another. The result is f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProductKernel {
    /// How its factors lie.
    pub form: Form,
    /// How the left factor is stored.
    pub left: Word,
    /// How the right factor is stored.
    pub right: Word,
    /// Whether the result is written four at a time.
    pub by_four: bool,
    /// What it is added to.
    pub start: Start,
    /// What a workgroup and its lanes compute.
    pub tile: Tile,
}

impl ProductKernel {
    /// Its name, for labels and messages.
    pub(super) fn name(self) -> String {
        let by_four = if self.by_four { "x4" } else { "" };
        format!(
            "Product {:?} {:?} {:?} {:?} F32{by_four} {:?}",
            self.form, self.left, self.right, self.start, self.tile
        )
    }

    pub(super) fn fragments(self) -> Vec<&'static Fragment> {
        let mut list = vec![&PARAMS];
        list.extend(self.tile_files());
        list.extend([if self.by_four { &PRODUCT_F32X4 } else { &PRODUCT_F32 }, &PRODUCT]);
        list
    }

    /// The files that compute a tile.
    pub(super) fn tile_files(self) -> Vec<&'static Fragment> {
        let mut list = self.factors();
        list.push(match self.start {
            Start::Zero => &START_ZERO,
            Start::Bias => &START_BIAS,
            Start::Stored => &START_STORED,
        });
        list.extend(self.tile.fragments());
        list.push(&PRODUCT_TILE);
        list
    }

    /// The files that read both factors.
    fn factors(self) -> Vec<&'static Fragment> {
        let mut list = vec![
            match self.left {
                Word::F32 => &LEFT_F32,
                Word::F32x4 => &LEFT_F32X4,
                _ => &LEFT_HALVES,
            },
            match self.right {
                Word::F32 => &RIGHT_F32,
                Word::F32x4 => &RIGHT_F32X4,
                _ => &RIGHT_HALVES,
            },
        ];
        // Both have these or one of them; they are never of two kinds.
        match (self.left, self.right) {
            (Word::F16, _) | (_, Word::F16) => list.push(&HALVES_F16),
            (Word::Bf16, _) | (_, Word::Bf16) => list.push(&HALVES_BF16),
            _ => {}
        }
        list.push(if self.form == Form::LeftTransposed { &LEFT_TURNED } else { &LEFT_UPRIGHT });
        list.push(if self.form == Form::RightTransposed { &RIGHT_UPRIGHT } else { &RIGHT_TURNED });
        list
    }

    /// Every kernel of products that a plan can ask for.
    pub(super) fn all() -> Vec<Self> {
        let wide = [Word::F32, Word::F32x4];
        let any = [Word::F32, Word::F32x4, Word::F16, Word::Bf16];
        let mut all = Vec::new();
        for form in [Form::RightTransposed, Form::Plain, Form::LeftTransposed] {
            for left in any {
                for right in any {
                    // Logits come of two factors of one type, gradients of f32 and any.
                    let is_used = match form {
                        Form::RightTransposed => left.is_narrow() == right.is_narrow(),
                        _ => wide.contains(&left),
                    };
                    if !is_used || left.is_narrow() && left != right {
                        continue;
                    }
                    for by_four in [false, true] {
                        for start in [Start::Zero, Start::Bias, Start::Stored] {
                            let of = |tile| Self { form, left, right, by_four, start, tile };
                            all.extend(Tile::ALL.map(of));
                        }
                    }
                }
            }
        }
        all
    }
}
