//! The one place that says which atomics and locks the core uses, so that model checkers can be put
//! in their stead.

pub use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
pub use std::sync::Arc;
pub use std::sync::atomic;
