//! The one place that says which atomics, cells and locks the core uses, so that a model checker can be put
//! in their stead. With `--cfg modelled` only what is modelled is built: over loom's with `--cfg loom`, over
//! shuttle's with `--cfg shuttle`.

/// A `const fn`, except under a model checker, whose types are made at run time.
macro_rules! const_fn {
    ($(#[$attribute:meta])* $vis:vis fn $($rest:tt)*) => {
        #[cfg(not(modelled))]
        $(#[$attribute])*
        $vis const fn $($rest)*

        #[cfg(modelled)]
        $(#[$attribute])*
        $vis fn $($rest)*
    };
}
pub(crate) use const_fn;

#[cfg(not(modelled))]
mod real {
    pub use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
    pub use std::hint::spin_loop;
    pub use std::sync::Arc;
    pub use std::sync::atomic;
    pub use std::thread;
}

#[cfg(not(modelled))]
pub use real::*;

#[cfg(not(loom))]
mod cell {
    /// `std::cell::UnsafeCell` with the interface of loom's.
    #[derive(Debug, Default)]
    #[repr(transparent)]
    pub struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub const fn new(value: T) -> Self {
            UnsafeCell(std::cell::UnsafeCell::new(value))
        }

        /// Runs `f` on the address of the value, for reading.
        #[inline(always)]
        pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            f(self.0.get())
        }

        /// Runs `f` on the address of the value, for writing.
        #[inline(always)]
        pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }
}

#[cfg(not(loom))]
pub use cell::UnsafeCell;

#[cfg(modelled)]
#[allow(unsafe_code)]
mod checker {
    #[cfg(loom)]
    use loom as model;
    #[cfg(shuttle)]
    use shuttle as model;

    #[cfg(loom)]
    pub use loom::cell::UnsafeCell;
    pub use model::hint::spin_loop;
    pub use model::sync::{Arc, MutexGuard, atomic};
    pub use model::thread;
    use std::time::Duration;

    /// The checker's mutex with the interface of parking_lot's.
    #[derive(Debug, Default)]
    pub struct Mutex<T>(model::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub fn new(value: T) -> Self {
            Mutex(model::sync::Mutex::new(value))
        }

        pub fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap()
        }
    }

    /// The checker's condition variable with the interface of parking_lot's; it knows no time.
    #[derive(Debug, Default)]
    pub struct Condvar(model::sync::Condvar);

    impl Condvar {
        pub fn new() -> Self {
            Condvar(model::sync::Condvar::new())
        }

        pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
            // SAFETY: the checker's takes the guard by value and gives it back locked, or ends the model.
            unsafe {
                let taken = std::ptr::read(guard);
                std::ptr::write(guard, self.0.wait(taken).unwrap());
            }
        }

        pub fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, _limit: Duration) {
            self.wait(guard);
        }

        pub fn notify_one(&self) {
            self.0.notify_one();
        }

        pub fn notify_all(&self) {
            self.0.notify_all();
        }
    }
}

#[cfg(modelled)]
pub use checker::*;
