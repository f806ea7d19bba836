//! A poller: what one thread needs to serve its sockets, and how other threads reach it.
//!
//! Commands come through a lock-free queue. A sender wakes the poller only if it sleeps:
//! 1. the sender pushes, then looks at `state`;
//! 2. the poller sets `state`, then looks at the queue, then waits.
//!
//! Sequentially consistent fences between the two steps on both sides make sure that at least one of
//! them sees the other.
//!
//! A poller that is woken for each packet takes the processor from those that work on the packets before, and
//! what it reads then waits in a mailbox. So it *rests* when its events went to services that have a lot to do
//! ([`BUSY`]): what comes meanwhile is read in one go. A command or a worker that runs out of work ends the rest.

use super::event::{Event, Owner, SocketId};
use super::resolver::Job;
use super::socket::Socket;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU8, Ordering, fence};
use crate::sys::poll::{Batch, Poll, Ready, SetupError};
use crate::sys::resolve::LookupError;
use crossbeam_queue::SegQueue;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How many ready descriptors are taken at a time.
const BATCH: usize = 64;
/// With so many messages in its mailbox a service will not miss the next for a while.
const BUSY: usize = 8;
/// The longest that a poller rests.
pub const REST: Duration = Duration::from_micros(200);

/// What a poller does, as others need to know it.
mod state {
    /// It will look at its commands.
    pub const AWAKE: u8 = 0;
    /// It waits for descriptors, or is about to.
    pub const WAITING: u8 = 1;
    /// It rests, or is about to.
    pub const RESTING: u8 = 2;
}

/// What other threads ask of a poller. Executed in the order of their arrival.
pub enum Command {
    /// Report a new listener.
    Listen(SocketId),
    /// Look the name up, and connect.
    LookUp(Job),
    /// Connect: the name was looked up.
    Dial(SocketId, Result<Vec<SocketAddr>, LookupError>),
    /// Take on an adopted descriptor.
    Bind(SocketId),
    Start {
        id: SocketId,
        caller: Owner,
    },
    Pause(SocketId),
    Close {
        id: SocketId,
        discard: bool,
    },
    /// Tell the owner how much output waits.
    Warn(SocketId, i32),
    /// Tell the owner that a destination has the wrong family.
    Mismatch(SocketId),
    /// A deadline of the socket has changed.
    Arm(SocketId),
    /// End a socket whose output is over its limit.
    Overflow(SocketId),
    Exit,
}

/// The shared part of a poller.
pub struct Poller {
    poll: Poll,
    commands: SegQueue<Command>,
    /// One of [`state`].
    state: AtomicU8,
    /// The polling thread's own data. Held while it polls, waiting included.
    pub turn: Mutex<Turn>,
}

/// Takes events as they happen. Returns how many messages wait at the event's owner then.
pub type Deliver = Box<dyn Fn(Event) -> usize + Send>;

/// What belongs to the thread that polls.
pub struct Turn {
    /// Where events go as they happen; without it they wait in `events` for whoever polls.
    pub deliver: Option<Deliver>,
    /// Events that were not taken yet.
    pub events: VecDeque<Event>,
    /// Descriptors of the last wait that were not looked at yet.
    pub batch: Batch,
    /// Room for one datagram and its sender.
    pub datagram: Box<[u8]>,
    /// When which socket has to be looked at, see [`Socket::armed`].
    pub deadlines: BinaryHeap<Reverse<(Instant, SocketId)>>,
    /// The engine was told to stop.
    pub exited: bool,
    /// The least that waited at the owner of an event since [`Turn::may_rest`]; `None` without events.
    least: Option<usize>,
}

impl Turn {
    /// Hands an event over.
    pub fn emit(&mut self, event: Event) {
        match &self.deliver {
            Some(deliver) => {
                let waiting = deliver(event);
                self.least = Some(self.least.map_or(waiting, |least| least.min(waiting)));
            }
            None => self.events.push_back(event),
        }
    }

    /// Whether there were events since the last call, all for services that have enough to do.
    pub fn may_rest(&mut self) -> bool {
        self.least.take().is_some_and(|least| least >= BUSY)
    }
}

impl Poller {
    pub fn new() -> Result<Poller, SetupError> {
        let turn = Turn {
            deliver: None,
            events: VecDeque::new(),
            batch: Batch::new(BATCH),
            datagram: vec![0; 65535 + super::udp::MAX_ADDRESS].into(),
            deadlines: BinaryHeap::new(),
            exited: false,
            least: None,
        };
        Ok(Poller {
            poll: Poll::new()?,
            commands: SegQueue::new(),
            state: AtomicU8::new(state::AWAKE),
            turn: turn.into(),
        })
    }

    /// Hands a command over; never blocks.
    pub fn post(&self, command: Command) {
        self.commands.push(command);
        fence(Ordering::SeqCst);
        if self.state.swap(state::AWAKE, Ordering::Relaxed) != state::AWAKE {
            self.poll.wake();
        }
    }

    /// Ends the rest, if the poller rests.
    pub fn hurry(&self) {
        let (resting, awake) = (state::RESTING, state::AWAKE);
        if self.state.load(Ordering::Relaxed) == resting
            && self
                .state
                .compare_exchange(resting, awake, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            self.poll.wake();
        }
    }

    /// The next command.
    pub fn next_command(&self) -> Option<Command> {
        self.commands.pop()
    }

    /// How many commands wait.
    pub fn commands(&self) -> usize {
        self.commands.len()
    }

    /// Waits for commands, ready descriptors, or the next deadline.
    pub fn wait(&self, turn: &mut Turn) -> io::Result<()> {
        self.announce(state::WAITING);
        let timeout = if self.commands.is_empty() {
            let next = turn.deadlines.peek();
            next.map(|Reverse((at, _))| at.saturating_duration_since(Instant::now()))
        } else {
            Some(Duration::ZERO)
        };
        let result = self.poll.wait(&mut turn.batch, timeout);
        self.state.store(state::AWAKE, Ordering::Relaxed);
        result
    }

    /// Lets input gather, at most for `limit`.
    pub fn rest(&self, limit: Duration) {
        self.announce(state::RESTING);
        if self.commands.is_empty() {
            self.poll.wait_for_wake(limit);
        }
        self.state.store(state::AWAKE, Ordering::Relaxed);
    }

    /// Before a look at the commands, see the file comment.
    fn announce(&self, state: u8) {
        self.state.store(state, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// The next descriptor of the last wait.
    pub fn next_ready(&self, turn: &mut Turn) -> Option<Ready> {
        turn.batch.next(&self.poll)
    }

    /// Begins to watch a socket's descriptor.
    pub fn watch(&self, socket: &mut Socket) -> io::Result<()> {
        let Some(fd) = &socket.fd else { return Ok(()) };
        let interest = socket.interest();
        self.poll.add(fd, socket.id.0 as u64, interest)?;
        socket.watched = Some(interest);
        Ok(())
    }

    /// Adapts what a socket is watched for to its state.
    pub fn adapt(&self, socket: &mut Socket) -> io::Result<()> {
        let (Some(fd), Some(watched)) = (&socket.fd, socket.watched) else {
            return Ok(());
        };
        let interest = socket.interest();
        if interest != watched {
            self.poll.modify(fd, socket.id.0 as u64, interest)?;
            socket.watched = Some(interest);
        }
        Ok(())
    }

    /// Stops watching, before the descriptor is let go.
    pub fn unwatch(&self, socket: &mut Socket) {
        if let (Some(fd), Some(_)) = (&socket.fd, socket.watched.take()) {
            self.poll.remove(fd);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::EventKind;
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicUsize};

    /// Longer than any test may take: a wait that ends only then fails it.
    const FOR_EVER: Duration = Duration::from_secs(3600);

    /// Senders and a sleeping poller: if a wake-up were lost, `wait` would not end.
    fn lose_no_wake_up(wait: impl Fn(&Poller, &mut Turn)) {
        const SENDERS: usize = 2;
        const EACH: usize = 20_000;
        let poller = Poller::new().unwrap();
        let taken = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..SENDERS {
                scope.spawn(|| {
                    for number in 0..EACH {
                        poller.post(Command::Pause(SocketId(1)));
                        // Let the poller run dry now and then.
                        while number % 64 == 0 && taken.load(Ordering::Relaxed) < number {
                            std::thread::yield_now();
                        }
                    }
                });
            }
            let mut turn = poller.turn.lock();
            while taken.load(Ordering::Relaxed) < SENDERS * EACH {
                wait(&poller, &mut turn);
                while poller.next_ready(&mut turn).is_some() {}
                while poller.next_command().is_some() {
                    taken.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }

    #[test]
    fn a_command_ends_a_wait() {
        lose_no_wake_up(|poller, turn| poller.wait(turn).unwrap());
    }

    #[test]
    fn a_command_ends_a_rest() {
        lose_no_wake_up(|poller, turn| {
            poller.rest(FOR_EVER);
            poller.wait(turn).unwrap();
        });
    }

    #[test]
    fn a_worker_without_work_ends_a_rest() {
        let poller = Poller::new().unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    poller.hurry();
                    std::thread::yield_now();
                }
            });
            let mut turn = poller.turn.lock();
            for _ in 0..1000 {
                poller.rest(FOR_EVER);
                // Takes note of the wake-up, as the wait after a rest does.
                poller.post(Command::Pause(SocketId(1)));
                poller.wait(&mut turn).unwrap();
                while poller.next_ready(&mut turn).is_some() {}
                while poller.next_command().is_some() {}
            }
            done.store(true, Ordering::Relaxed);
        });
    }

    #[test]
    fn it_rests_when_every_owner_has_enough_to_do() {
        let poller = Poller::new().unwrap();
        let mut turn = poller.turn.lock();
        // The number that wait is the handle of the owner.
        turn.deliver = Some(Box::new(|event| event.owner));
        assert!(!turn.may_rest());
        for (owners, rests) in [
            (&[BUSY, 100, BUSY][..], true),
            (&[100, BUSY - 1, 100], false),
            (&[0], false),
            (&[BUSY], true),
        ] {
            for &owner in owners {
                turn.emit(Event::plain(EventKind::Data, SocketId(1), owner, 0));
            }
            assert_eq!(turn.may_rest(), rests, "{owners:?}");
            assert!(!turn.may_rest());
        }
    }
}
