//! Looks names up beside the pollers, on a bounded number of threads of its own. Only an engine that was
//! told so does this, see [`super::server::SocketServer::look_up_aside`].
//!
//! A name server that does not answer keeps these threads and the sockets that wait for it, nothing else.
//! Threads start when they are needed and end when there was nothing to do for a while.

use super::event::SocketId;
use super::poller::{Command, Poller};
use super::server::LOG_PREFIX;
use crate::core::log;
use crate::sync::{Arc, Condvar, Mutex};
use crate::sys::resolve::{LookupError, Transport};
use crate::sys::socket::error_text;
use std::collections::VecDeque;
use std::ffi::{CStr, CString};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

/// A blocking look-up.
pub type Resolve = fn(&CStr, i32, Transport) -> Result<Vec<SocketAddr>, LookupError>;

/// How many names are looked up at the same time unless it is said otherwise.
pub const DEFAULT_LIMIT: usize = 16;
/// How long a thread waits for something to do.
const LINGER: Duration = Duration::from_secs(10);
/// How often the log says that names have to wait.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// A name that is wanted. The answer, good or bad, is the dial command of socket `id`.
pub struct Job {
    pub id: SocketId,
    pub host: CString,
    pub port: i32,
    pub poller: Arc<Poller>,
}

/// The look-ups of one engine.
pub struct Resolver {
    shared: Arc<Shared>,
}

struct Shared {
    resolve: Resolve,
    state: Mutex<State>,
    wanted: Condvar,
}

struct State {
    limit: usize,
    /// Names that no thread has taken yet, first come, first served.
    queue: VecDeque<Job>,
    threads: usize,
    /// Threads that wait for a name, or were woken for one and have not taken it yet.
    idle: usize,
    /// When the log said last that names have to wait.
    said: Option<Instant>,
}

impl Resolver {
    pub fn new(resolve: Resolve) -> Resolver {
        let state = State {
            limit: DEFAULT_LIMIT,
            queue: VecDeque::new(),
            threads: 0,
            idle: 0,
            said: None,
        };
        Resolver {
            shared: Arc::new(Shared {
                resolve,
                state: state.into(),
                wanted: Condvar::new(),
            }),
        }
    }

    /// Looks a name up on the calling thread.
    pub fn now(&self, job: &Job) -> Result<Vec<SocketAddr>, LookupError> {
        self.shared.look_up(job)
    }

    /// Sets how many names are looked up at the same time.
    pub fn set_limit(&self, limit: usize) {
        self.shared.state.lock().limit = limit.max(1);
    }

    /// Has a name looked up.
    pub fn ask(&self, job: Job) {
        let mut state = self.shared.state.lock();
        state.queue.push_back(job);
        if state.queue.len() <= state.idle {
            self.shared.wanted.notify_one();
        } else if state.threads < state.limit {
            let shared = Arc::clone(&self.shared);
            let run = move || shared.run();
            match thread::Builder::new().name("resolver".into()).spawn(run) {
                Ok(_) => state.threads += 1,
                // With others at work, they will come to it.
                Err(error) if state.threads == 0 => {
                    for job in state.queue.drain(..) {
                        let failure = Err(LookupError(error_text(&error)));
                        job.poller.post(Command::Dial(job.id, failure));
                    }
                }
                Err(_) => {}
            }
        } else if state.said.is_none_or(|said| said.elapsed() >= SAY_AGAIN) {
            state.said = Some(Instant::now());
            let (threads, waiting) = (state.threads, state.queue.len());
            drop(state);
            log(
                0,
                format_args!(
                    "{LOG_PREFIX}all {threads} resolvers are busy, {waiting} names wait (sk_resolver)"
                ),
            );
        }
    }

    /// The socket has ended: its name is not wanted any more.
    pub fn forget(&self, id: SocketId) {
        self.shared.state.lock().queue.retain(|job| job.id != id);
    }
}

impl Shared {
    fn look_up(&self, job: &Job) -> Result<Vec<SocketAddr>, LookupError> {
        (self.resolve)(&job.host, job.port, Transport::Tcp)
    }

    /// A thread: one name after the other.
    fn run(&self) {
        let mut state = self.state.lock();
        loop {
            if let Some(job) = state.queue.pop_front() {
                drop(state);
                let answer = self.look_up(&job);
                job.poller.post(Command::Dial(job.id, answer));
                state = self.state.lock();
                continue;
            }
            state.idle += 1;
            let late = self.wanted.wait_for(&mut state, LINGER).timed_out();
            state.idle -= 1;
            if late && state.queue.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }
}
