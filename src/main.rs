//! The executable.
#[cfg(feature = "jemalloc")]
mod malloc_hook;

fn main() {}
