//! The poller: what one thread needs to serve sockets, and how other threads reach it.
//!
//! Commands come through a lock-free queue. A sender wakes the poller only if it sleeps:
//! 1. the sender pushes, then looks at `asleep`;
//! 2. the poller sets `asleep`, then looks at the queue, then waits.
//!
//! Sequentially consistent fences between the two steps on both sides make sure that at least one of
//! them sees the other.

use super::event::{Event, Owner, SocketId};
use super::socket::Socket;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering, fence};
use crate::sys::poll::{Batch, Poll, Ready, SetupError};
use crate::sys::resolve::LookupError;
use crossbeam_queue::SegQueue;
use std::collections::VecDeque;
use std::ffi::CString;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// How many ready descriptors are taken at a time.
const BATCH: usize = 64;

/// What other threads ask of a poller. Executed in the order of their arrival.
#[derive(Debug)]
pub enum Command {
    /// Report a new listener.
    Listen(SocketId),
    /// Look the name up, and connect.
    LookUp {
        id: SocketId,
        host: CString,
        port: i32,
    },
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

/// What belongs to the thread that polls.
pub struct Turn {
    /// Events that were not taken yet.
    pub events: VecDeque<Event>,
    /// Descriptors of the last wait that were not looked at yet.
    pub batch: Batch,
    /// Room for one datagram and its sender.
    pub datagram: Box<[u8]>,
    /// A descriptor to give up when there is no other (core.md §8.5(6)).
    pub reserve: Option<OwnedFd>,
    /// Listeners that rest because they could not accept.
    pub resting: Vec<SocketId>,
    /// When they try again.
    pub rest_until: Option<Instant>,
    /// The engine was told to stop.
    pub exited: bool,
}

impl Poller {
    pub fn new() -> Result<Poller, SetupError> {
        let poll = Poll::new()?;
        let turn = Turn {
            events: VecDeque::new(),
            batch: Batch::new(BATCH),
            datagram: vec![0; 65535 + super::udp::MAX_ADDRESS].into(),
            reserve: None,
            resting: Vec::new(),
            rest_until: None,
            exited: false,
        };
        let poller = Poller {
            poll,
            commands: SegQueue::new(),
            asleep: AtomicBool::new(false),
            turn: turn.into(),
        };
        poller.refill_reserve(&mut poller.turn.lock());
        Ok(poller)
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

    /// Waits for commands or ready descriptors.
    pub fn wait(&self, turn: &mut Turn) -> io::Result<()> {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let timeout = if self.commands.is_empty() {
            turn.rest_until
                .map(|end| end.saturating_duration_since(Instant::now()))
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

    /// Makes sure that there is a descriptor in reserve, if there is one to be had.
    pub fn refill_reserve(&self, turn: &mut Turn) {
        if turn.reserve.is_none() {
            turn.reserve = self.poll.spare();
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
