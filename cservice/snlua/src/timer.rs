//! The CPU time of one coroutine, as `skynet.profile` measures it.

/// Counts while its coroutine is on a stack of resumed coroutines. All times are readings of the same
/// thread clock in nanoseconds: a coroutine begins and yields on one thread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timer {
    /// What complete stretches have cost.
    total: u64,
    /// When the present stretch began.
    since: Option<u64>,
}

impl Timer {
    /// `now`: given if the coroutine is running already.
    pub fn new(now: Option<u64>) -> Self {
        Self {
            total: 0,
            since: now,
        }
    }

    pub fn running(&self) -> bool {
        self.since.is_some()
    }

    /// The coroutine is resumed.
    pub fn enter(&mut self, now: u64) {
        self.since = Some(now);
    }

    /// The coroutine has yielded or ended.
    pub fn leave(&mut self, now: u64) {
        self.total = self.elapsed(now);
        self.since = None;
    }

    pub fn elapsed(&self, now: u64) -> u64 {
        let present = self.since.map_or(0, |since| now.saturating_sub(since));
        self.total + present
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_stretches_count() {
        let mut timer = Timer::new(None);
        assert!(!timer.running());
        assert_eq!(timer.elapsed(50), 0);
        timer.enter(100);
        assert!(timer.running());
        assert_eq!(timer.elapsed(107), 7);
        timer.leave(110);
        // The next stretch is on another thread, whose clock shows less.
        assert_eq!(timer.elapsed(5), 10);
        timer.enter(20);
        assert_eq!(timer.elapsed(25), 15);
        timer.leave(30);
        assert_eq!(timer.elapsed(1000), 20);
    }

    #[test]
    fn a_running_coroutine_counts_at_once() {
        let timer = Timer::new(Some(10));
        assert!(timer.running());
        assert_eq!(timer.elapsed(12), 2);
    }
}
