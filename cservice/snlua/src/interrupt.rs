//! Lets any thread interrupt the Lua code that a service runs.
//!
//! To interrupt is to install a hook in the coroutine that runs, from a thread that does not run it, as one
//! would from a signal handler. What has to hold is that this coroutine cannot be collected meanwhile:
//!
//! 1. The thread that interrupts first announces itself in `installing`, then reads `active`.
//! 2. The thread that runs the service first changes `active`, then waits until `installing` is 0. Only then
//!    does it go on, and only then may the coroutine that it left become garbage.
//!
//! Both are sequentially consistent, so either 1 sees the new coroutine or 2 sees the announcement.

use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::SeqCst};

/// `T` is the Lua state; nothing here looks into it.
pub struct Interrupt<T> {
    /// The coroutine that runs, or would run if the service had something to do.
    active: AtomicPtr<T>,
    /// An interrupt was asked for and has not happened yet.
    pending: AtomicBool,
    /// How many threads are about to use `active`.
    installing: AtomicUsize,
}

impl<T> Interrupt<T> {
    pub fn new() -> Self {
        Self {
            active: AtomicPtr::new(std::ptr::null_mut()),
            pending: AtomicBool::new(false),
            installing: AtomicUsize::new(0),
        }
    }

    /// Asks for an interrupt: `install` puts the hook into the coroutine that runs. From any thread. Nothing
    /// happens while an earlier interrupt is pending.
    pub fn ask(&self, install: impl FnOnce(*mut T)) {
        if self.pending.swap(true, SeqCst) {
            return;
        }
        self.installing.fetch_add(1, SeqCst);
        install(self.active.load(SeqCst));
        self.installing.fetch_sub(1, SeqCst);
    }

    /// The service goes on in another coroutine. If this is true, an interrupt is pending and the caller
    /// installs the hook there: the one in the coroutine that was left has not fired.
    #[inline]
    #[must_use]
    pub fn switch(&self, to: *mut T) -> bool {
        self.active.store(to, SeqCst);
        while self.installing.load(SeqCst) != 0 {
            std::thread::yield_now();
        }
        self.pending.load(SeqCst)
    }

    /// The hook fires. False: it was left over from an interrupt that has happened elsewhere.
    pub fn take(&self) -> bool {
        self.pending.swap(false, SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn one_interrupt_at_a_time() {
        let interrupt = Interrupt::<u8>::new();
        let mut coroutine = 0;
        let here = &raw mut coroutine;
        assert!(!interrupt.switch(here));
        let hooked = Cell::new(0);
        let install = |at| {
            assert_eq!(at, here);
            hooked.set(hooked.get() + 1);
        };
        interrupt.ask(install);
        interrupt.ask(install);
        assert_eq!(hooked.get(), 1);
        assert!(interrupt.take());
        assert!(!interrupt.take());
        interrupt.ask(install);
        assert_eq!(hooked.get(), 2);
    }

    #[test]
    fn a_pending_interrupt_moves_along() {
        let interrupt = Interrupt::<u8>::new();
        let (mut a, mut b) = (0, 0);
        assert!(!interrupt.switch(&raw mut a));
        interrupt.ask(|_| ());
        assert!(interrupt.switch(&raw mut b));
        assert!(interrupt.take());
        assert!(!interrupt.switch(&raw mut a));
    }

    /// A coroutine that was left is never touched: here it is marked dead at once, and `install` looks.
    #[test]
    fn nobody_touches_a_coroutine_that_was_left() {
        let interrupt = Interrupt::<AtomicBool>::new();
        let alive: Vec<AtomicBool> = (0..2).map(|_| AtomicBool::new(false)).collect();
        let pointer = |i: usize| &raw const alive[i] as *mut AtomicBool;
        alive[0].store(true, SeqCst);
        let _ = interrupt.switch(pointer(0));
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(SeqCst) {
                    // SAFETY: points into `alive`, which outlives the threads.
                    interrupt.ask(|at| assert!(unsafe { &*at }.load(SeqCst)));
                    interrupt.take();
                }
            });
            for i in 0..20_000 {
                let (old, new) = (i % 2, (i + 1) % 2);
                alive[new].store(true, SeqCst);
                let _ = interrupt.switch(pointer(new));
                alive[old].store(false, SeqCst);
            }
            done.store(true, SeqCst);
        });
    }
}
