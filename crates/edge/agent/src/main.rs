//! `vouchsafe-agent`.
fn main() {}
