//! Products of matrices on the GPU: shapes across the edges of tiles, every way that matrices lie, and
//! the same bits wherever a product is cut.

mod common;

use common::products::{Case, FORMS, check};
use surprisal::Dtype;
use surprisal::gpu::{Gpu, Start, Tile};

const DTYPES: [Dtype; 3] = [Dtype::F32, Dtype::F16, Dtype::Bf16];

fn with_tile(tile: Tile) -> Gpu {
    let gpu = common::gpu();
    let mut tuning = gpu.tuning();
    tuning.product_tile = tile;
    gpu.with_tuning(tuning)
}

/// Every form, of every type.
fn cases(shape: [usize; 3]) -> impl Iterator<Item = Case> {
    let forms = FORMS.into_iter().flat_map(|form| DTYPES.map(|dtype| (form, dtype)));
    forms.map(move |(form, dtype)| Case::new(form, shape, dtype))
}

#[test]
fn shapes_across_the_edges_of_tiles() {
    let gpu = with_tile(Tile::Slim);
    let shapes = [[1, 1, 1], [1, 64, 16], [33, 65, 15], [31, 63, 33], [5, 3, 130], [64, 128, 32]];
    for case in shapes.into_iter().flat_map(cases) {
        check(&gpu, &case).expect("within bounds");
    }
}

#[test]
fn tiles_of_other_sizes() {
    // More than 256 large tiles: fewer are cut into smaller ones.
    let large = with_tile(Tile::Large);
    check(&large, &Case::new(FORMS[0], [2049, 2049, 3], Dtype::F32)).expect("within bounds");
    for form in FORMS {
        for shape in [[129, 131, 20], [31, 66, 17]] {
            let case = Case::new(form, shape, Dtype::F32);
            check(&with_tile(Tile::Medium), &case).expect("within bounds");
        }
    }
}

#[test]
fn starts_offsets_and_gaps() {
    let gpu = common::gpu();
    for start in [Start::Zero, Start::Bias, Start::Stored] {
        for (shape, gaps) in [([9, 12, 20], [4, 4]), ([9, 12, 20], [3, 0]), ([7, 13, 5], [1, 5])] {
            for case in cases(shape) {
                check(&gpu, &Case { start, gaps, ..case }).expect("within bounds");
            }
        }
    }
}

#[test]
fn windows_of_small_bindings_and_short_dispatches() {
    let gpu = common::gpu();
    let mut caps = gpu.caps().clone();
    (caps.max_binding_bytes, caps.max_workgroups) = (6000, 3);
    let mut tuning = gpu.tuning();
    tuning.operations_per_second = 1;
    for gpu in [gpu.with_caps(caps), gpu.with_tuning(tuning)] {
        for case in [[100, 200, 36], [70, 99, 131]].into_iter().flat_map(cases) {
            let case = Case { start: Start::Bias, ..case };
            check(&gpu, &case).expect("within bounds");
        }
    }
}

#[test]
fn a_depth_past_what_one_dispatch_goes() {
    let gpu = common::gpu();
    for form in FORMS {
        let case = Case::new(form, [3, 5, 40_001], Dtype::F32);
        check(&gpu, &case).expect("within bounds");
    }
}
