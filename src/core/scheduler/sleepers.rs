//! Who sleeps, and who looks for work: at most one worker at a time does.
//!
//! A worker is *running*, *searching* (awake, looking everywhere), *watching* (asleep for a moment at a time,
//! looking in between, because something may happen that nobody announces) or *parked* (asleep until it is
//! woken). Searcher and watcher are called the *seeker*; there is at most one. Who makes work visible calls
//! [`Sleepers::announce`]: with a searcher there is nothing to do, so a burst costs one wake-up; the seeker
//! that finds something wakes the next one if there is more.
//!
//! No wake-up is lost: a worker first says that it is parked, then looks once more ([`Sleepers::park`]), and who
//! makes work visible first does that and then reads who sleeps, each with a fence between.

use crate::sync::atomic::{AtomicU32, Ordering, fence};
use crate::sync::{Mutex, const_fn};
use std::time::Duration;

/// Bits of the word: a worker is searching, one is watching; above them the number of parked workers.
const SEARCHING: u32 = 1;
const WATCHING: u32 = 2;
const PARKED: u32 = 4;

/// What a worker sleeps on.
pub trait Bed {
    /// Sleeps until [`Bed::wake`], at most for `limit`. May return early; a `wake` that came before counts.
    fn sleep(&self, limit: Option<Duration>);
    fn wake(&self);
}

/// What became visible.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// Something that anybody may take.
    Work,
    /// Something that its worker will take itself unless it gets stuck in what it does now.
    Reserved,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Seeker {
    Nobody,
    Searching,
    Watching(usize),
}

struct State {
    seeker: Seeker,
    /// Last in, first out, so that the warmest works.
    parked: Vec<usize>,
    /// Nobody sleeps any more.
    closed: bool,
}

impl State {
    const fn new() -> Self {
        State {
            seeker: Seeker::Nobody,
            parked: Vec::new(),
            closed: false,
        }
    }
}

/// The workers of a node that do not run.
pub struct Sleepers {
    /// A copy of the state for those that announce. Written under the lock.
    word: AtomicU32,
    state: Mutex<State>,
}

impl Sleepers {
    const_fn! {
        pub fn new() -> Self {
            Sleepers {
                word: AtomicU32::new(0),
                state: Mutex::new(State::new()),
            }
        }
    }

    fn publish(&self, state: &State) {
        let seeker = match state.seeker {
            Seeker::Nobody => 0,
            Seeker::Searching => SEARCHING,
            Seeker::Watching(_) => WATCHING,
        };
        let word = seeker + state.parked.len() as u32 * PARKED;
        self.word.store(word, Ordering::SeqCst);
    }

    /// Whether some worker has nothing to do, as far as the caller can know.
    pub fn somebody(&self) -> bool {
        self.word.load(Ordering::Relaxed) != 0
    }

    /// Wakes a worker if `news` needs one. The caller has made the work visible before.
    pub fn announce<B: Bed>(&self, news: News, beds: &[B]) {
        // Pairs with the fence in `park`.
        if !cfg!(seeded = "park") {
            fence(Ordering::SeqCst);
        }
        let word = self.word.load(Ordering::Relaxed);
        let enough = match news {
            News::Work => SEARCHING,
            News::Reserved => SEARCHING | WATCHING,
        };
        if word & enough == 0 && word != 0 {
            self.wake(news, beds);
        }
    }

    #[cold]
    fn wake<B: Bed>(&self, news: News, beds: &[B]) {
        let mut state = self.state.lock();
        let who = match (state.seeker, news) {
            (Seeker::Searching, _) | (Seeker::Watching(_), News::Reserved) => return,
            (Seeker::Watching(who), News::Work) => Some(who),
            (Seeker::Nobody, _) => state.parked.pop(),
        };
        let Some(who) = who else { return };
        state.seeker = Seeker::Searching;
        self.publish(&state);
        drop(state);
        if let Some(bed) = beds.get(who) {
            bed.wake();
        }
    }

    /// The worker begins to search. False when another does.
    pub fn begin(&self) -> bool {
        if self.word.load(Ordering::Relaxed) & (SEARCHING | WATCHING) != 0 {
            return false;
        }
        let mut state = self.state.lock();
        if state.seeker != Seeker::Nobody {
            return false;
        }
        state.seeker = Seeker::Searching;
        self.publish(&state);
        true
    }

    /// The searcher has found something and stops.
    pub fn end(&self) {
        let mut state = self.state.lock();
        state.seeker = Seeker::Nobody;
        self.publish(&state);
    }

    /// The searcher sleeps for a moment and searches again. `work` looks once more for what anybody may take,
    /// after others can see that the worker only watches.
    pub fn watch<B: Bed>(&self, me: usize, bed: &B, moment: Duration, work: impl Fn() -> bool) {
        let mut state = self.state.lock();
        state.seeker = Seeker::Watching(me);
        self.publish(&state);
        drop(state);
        // Pairs with the fence in `announce`.
        fence(Ordering::SeqCst);
        if !work() {
            bed.sleep(Some(moment));
        }
        let mut state = self.state.lock();
        state.seeker = Seeker::Searching;
        self.publish(&state);
    }

    /// Sleeps until there is work; the worker is the searcher then. `seeking` says whether it is now.
    /// `anything` looks once more, after others can see that the worker is parked.
    pub fn park<B: Bed>(&self, me: usize, bed: &B, seeking: bool, anything: impl Fn() -> bool) {
        let mut state = self.state.lock();
        if state.closed {
            return;
        }
        if seeking {
            state.seeker = Seeker::Nobody;
        }
        state.parked.push(me);
        self.publish(&state);
        drop(state);
        // Pairs with the fence in `announce`.
        fence(Ordering::SeqCst);
        if anything() {
            let mut state = self.state.lock();
            let Some(at) = state.parked.iter().position(|who| *who == me) else {
                // Somebody was faster and made us the searcher; the wake-up ends a later sleep early.
                return;
            };
            // A seeker that exists looks, or parks and looks, after what we saw.
            if state.seeker == Seeker::Nobody {
                state.parked.remove(at);
                state.seeker = Seeker::Searching;
                self.publish(&state);
                return;
            }
        }
        loop {
            bed.sleep(None);
            let state = self.state.lock();
            if state.closed || !state.parked.contains(&me) {
                return;
            }
        }
    }

    /// Wakes every worker, for good.
    pub fn close<B: Bed>(&self, beds: &[B]) {
        self.state.lock().closed = true;
        beds.iter().for_each(Bed::wake);
    }
}

impl Default for Sleepers {
    fn default() -> Self {
        Self::new()
    }
}
