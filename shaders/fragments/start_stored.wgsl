// A product on top of what is stored where it goes: the sum goes on as if it had not been cut.

fn start_four(row: u32, column: u32) -> vec4<f32> {
    return stored_four(row, column);
}
