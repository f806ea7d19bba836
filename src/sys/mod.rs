//! Unsafe islands over the operating system, one concern per file. Imports nothing of ours.
pub mod alloc;
pub mod block;
pub mod tally;
