//! (room to be furnished)
fn main() {}
