//! A poller: what one thread needs to serve its sockets, and how other threads reach it.
//!
//! Commands come through a lock-free queue. A sender wakes the poller only if it sleeps:
//! 1. the sender pushes, then looks at `asleep`;
//! 2. the poller sets `asleep`, then looks at the queue, then waits.
//!
//! Sequentially consistent fences between the two steps on both sides make sure that at least one of
//! them sees the other.

use super::event::{Event, Owner, SocketId};
use super::resolver::Job;
use super::socket::Socket;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering, fence};
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
    /// True while the poller waits or is about to.
    asleep: AtomicBool,
    /// The polling thread's own data. Held while it polls, waiting included.
    pub turn: Mutex<Turn>,
}

/// Takes events as they happen.
pub type Deliver = Box<dyn Fn(Event) + Send>;

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
}

impl Turn {
    /// Hands an event over.
    pub fn emit(&mut self, event: Event) {
        match &self.deliver {
            Some(deliver) => deliver(event),
            None => self.events.push_back(event),
        }
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
        };
        Ok(Poller {
            poll: Poll::new()?,
            commands: SegQueue::new(),
            asleep: AtomicBool::new(false),
            turn: turn.into(),
        })
    }

    /// Hands a command over; never blocks.
    pub fn post(&self, command: Command) {
        self.commands.push(command);
        fence(Ordering::SeqCst);
        if self.asleep.swap(false, Ordering::Relaxed) {
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
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let timeout = if self.commands.is_empty() {
            let next = turn.deadlines.peek();
            next.map(|Reverse((at, _))| at.saturating_duration_since(Instant::now()))
        } else {
            Some(Duration::ZERO)
        };
        let result = self.poll.wait(&mut turn.batch, timeout);
        self.asleep.store(false, Ordering::Relaxed);
        result
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
    use super::*;
    use std::sync::atomic::AtomicUsize;

    /// Senders and a sleeping poller: if a wake-up were lost, the wait would not end.
    #[test]
    fn no_wake_up_is_lost() {
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
                poller.wait(&mut turn).unwrap();
                while poller.next_ready(&mut turn).is_some() {}
                while poller.next_command().is_some() {
                    taken.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
}
