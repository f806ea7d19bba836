//! Counts the bytes of one Lua state, refuses what goes beyond a limit, and notices growth.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The first total that is reported.
const FIRST_MARK: usize = 32 << 20;

/// Written by the thread that runs the service; `used` may be read by any thread at any time, which is
/// all that the atomics are for.
pub struct Account {
    used: AtomicUsize,
    /// 0 = none.
    limit: AtomicUsize,
    /// The total above which growth is reported next. Never falls.
    mark: AtomicUsize,
}

/// The answer to a wish for memory.
#[derive(Debug, PartialEq)]
pub enum Answer {
    Granted,
    /// Granted, and the total (in bytes) has passed the mark.
    GrantedAboveMark(usize),
    Refused,
}

impl Account {
    pub fn new() -> Self {
        Self {
            used: AtomicUsize::new(0),
            limit: AtomicUsize::new(0),
            mark: AtomicUsize::new(FIRST_MARK),
        }
    }

    /// The total, for those who read it without asking us.
    pub fn counter(&self) -> *const usize {
        self.used.as_ptr()
    }

    pub fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    pub fn set_limit(&self, bytes: usize) {
        self.limit.store(bytes, Relaxed);
    }

    /// A block of `old` bytes is to become one of `new` bytes; 0 is no block. A block may always shrink.
    #[inline]
    pub fn resize(&self, old: usize, new: usize) -> Answer {
        let used = self.used().wrapping_sub(old).wrapping_add(new);
        let limit = self.limit.load(Relaxed);
        if limit != 0 && used > limit && new > old {
            return Answer::Refused;
        }
        self.used.store(used, Relaxed);
        let mark = self.mark.load(Relaxed);
        if used > mark {
            self.mark.store(mark.saturating_mul(2), Relaxed);
            return Answer::GrantedAboveMark(used);
        }
        Answer::Granted
    }

    /// Takes back a granted `resize` with the same arguments, because there was no memory after all.
    pub fn take_back(&self, old: usize, new: usize) {
        let used = self.used().wrapping_sub(new).wrapping_add(old);
        self.used.store(used, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts() {
        let account = Account::new();
        assert_eq!(account.resize(0, 100), Answer::Granted);
        assert_eq!(account.resize(100, 30), Answer::Granted);
        assert_eq!(account.resize(0, 5), Answer::Granted);
        assert_eq!(account.used(), 35);
        // SAFETY: the account is alive, and nobody else counts in it.
        assert_eq!(unsafe { *account.counter() }, 35);
        account.take_back(0, 5);
        assert_eq!(account.used(), 30);
        account.resize(30, 0);
        assert_eq!(account.used(), 0);
    }

    #[test]
    fn the_limit_refuses_growth_only() {
        let account = Account::new();
        account.resize(0, 100);
        account.set_limit(50);
        assert_eq!(account.resize(0, 1), Answer::Refused);
        assert_eq!(account.resize(100, 101), Answer::Refused);
        assert_eq!(account.resize(100, 100), Answer::Granted);
        assert_eq!(account.resize(100, 90), Answer::Granted);
        assert_eq!(account.resize(90, 40), Answer::Granted);
        assert_eq!(account.resize(0, 10), Answer::Granted);
        assert_eq!(account.resize(0, 1), Answer::Refused);
        assert_eq!(account.used(), 50);
        account.set_limit(0);
        assert_eq!(account.resize(0, 1), Answer::Granted);
    }

    #[test]
    fn the_mark_doubles_and_never_falls() {
        let account = Account::new();
        let mib = 1 << 20;
        assert_eq!(account.resize(0, 32 * mib), Answer::Granted);
        let above = Answer::GrantedAboveMark(32 * mib + 1);
        assert_eq!(account.resize(0, 1), above);
        assert_eq!(account.resize(0, 1), Answer::Granted);
        assert_eq!(account.resize(32 * mib, 0), Answer::Granted);
        assert_eq!(account.resize(0, 60 * mib), Answer::Granted);
        let above = Answer::GrantedAboveMark(300 * mib + 2);
        assert_eq!(account.resize(60 * mib, 300 * mib), above);
        // One doubling at a time: a large jump is reported more than once.
        assert_eq!(account.resize(0, 0), above);
        assert_eq!(account.resize(0, 0), above);
        assert_eq!(account.resize(0, 0), Answer::Granted);
    }
}
