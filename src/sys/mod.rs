//! Unsafe islands over the operating system, one concern per file. Imports nothing of ours.

pub mod alarm;
pub mod alloc;
pub mod block;
pub mod buffer;
pub mod cabi;
pub mod clock;
pub mod daemon;
pub mod dl;
pub mod lua;
pub mod num;
pub mod poll;
pub mod resident;
pub mod resolve;
pub mod signal;
pub mod socket;
pub mod stack;
pub mod stderr;
pub mod tally;
pub mod ticks;
