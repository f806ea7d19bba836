//! Unsafe islands over the operating system, one concern per file. Imports nothing of ours.
pub mod block;
