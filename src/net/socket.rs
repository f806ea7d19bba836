//! One socket: its state and the rules that follow from the state alone.
//!
//! A socket lives in a slot and is only touched under the slot's lock. Who may do what:
//! 1. Any thread creates it, sends on it (directly to the descriptor when nothing is queued), notes
//!    that start or close was asked for, and adapts what the descriptor is watched for.
//! 2. Only a poller reads, accepts, connects, changes the phase, reports events and ends it.
//!
//! The life of a stream socket:
//! - *dialing* (connect) → *open*; *binding* (adopted descriptor) → *open*
//! - *listen* → start → *listening*
//! - *accepted* → start → *open*
//! - *open* may become, in any combination, half-closed (its CLOSE was reported, nothing is read any
//!   more) and write-broken (nothing is sent any more); both together end it.
//! - close: at once when nothing is queued; otherwise half-closed, and the end comes with the last
//!   byte. shutdown: at once.

use super::event::{Owner, SocketId};
use super::options::{Action, Options};
use super::output::{Output, Priority};
use crate::sys::poll::Interest;
use crate::sys::socket::Descriptor;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use std::vec;

/// The smallest read.
pub const MIN_READ: usize = 64;
/// The largest read.
const MAX_READ: usize = 16 << 20;

/// What kind of descriptor it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Tcp,
    /// UDP; true for IPv6.
    Udp {
        v6: bool,
    },
    /// Adopted from the caller: a pipe, a terminal, a socket.
    Bound,
}

/// An outgoing connection that is not there yet.
#[derive(Debug, Default)]
pub struct Dialing {
    /// The addresses that were not tried.
    pub addresses: vec::IntoIter<SocketAddr>,
    /// When the time for all of it is over.
    pub until: Option<Instant>,
    /// When the time for the present address is over.
    pub attempt_until: Option<Instant>,
}

/// How far it has come.
#[derive(Debug)]
pub enum Phase {
    /// Outgoing, not connected yet. No descriptor while the name is looked up.
    Dialing(Dialing),
    /// Adopted, not yet seen by a poller.
    Binding,
    /// Listens, but was never started.
    Listen,
    /// Listens and accepts, unless paused.
    Listening,
    /// Came in, and is not read before it is started. `started`: start was asked for, so what is
    /// sent from then on counts.
    Accepted { started: bool },
    /// In use.
    Open,
}

/// Whether the owner wants it closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    No,
    /// Asked for, or made necessary by too much output; the poller has not got to it yet.
    Asked,
    /// CLOSE was reported, and the queued output is still going out.
    Flushing,
}

/// What to do with data that is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Tell the sender that it is too late.
    Refuse,
    /// Drop it silently.
    Discard,
    /// A listening socket: drop it and say so.
    Listener,
    /// Write now if nothing is queued, queue otherwise.
    Write,
    /// Queue it.
    Queue,
}

/// Counters for `skynet_socket_info`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stat {
    pub read: u64,
    pub write: u64,
    pub read_time: u64,
    pub write_time: u64,
}

/// One socket.
#[derive(Debug)]
pub struct Socket {
    pub id: SocketId,
    pub owner: Owner,
    pub kind: Kind,
    pub phase: Phase,
    /// Shared with the poller while it reads, so that it needs no lock for that.
    pub fd: Option<Arc<Descriptor>>,
    /// What the descriptor is watched for; `None` while it is not watched at all.
    pub watched: Option<Interest>,
    /// False after pause.
    pub wants_input: bool,
    /// CLOSE was reported; nothing is read any more.
    pub half_closed: bool,
    pub closing: Closing,
    /// Nothing more can come from the peer. Only known, and only used, while flushing.
    pub input_over: bool,
    /// The writing direction failed; nothing is sent any more.
    pub write_broken: bool,
    /// ERROR was reported; it is not repeated.
    pub error_reported: bool,
    /// A listener that could not accept, or a socket whose output found no memory in the kernel: until
    /// when it is left alone.
    pub rest_until: Option<Instant>,
    /// When a listener's owner was last told that there is no descriptor.
    pub exhausted: Option<Instant>,
    pub options: Options,
    pub output: Output,
    /// How much of the output the engine's sum counts.
    pub accounted: usize,
    /// Its output is over a limit, and what follows was done.
    pub over_limit: bool,
    /// When something last came in or queued output went out; kept for sockets with an idle time only.
    pub active: Option<Instant>,
    /// The earliest deadline that its poller knows of. Only the poller touches it.
    pub armed: Option<Instant>,
    /// Size of the next read.
    pub read_size: usize,
    /// Where datagrams without an address go.
    pub default_to: Option<SocketAddr>,
    pub stat: Stat,
}

impl Socket {
    pub fn new(
        id: SocketId,
        owner: Owner,
        kind: Kind,
        phase: Phase,
        fd: Option<Descriptor>,
    ) -> Socket {
        Socket {
            id,
            owner,
            kind,
            phase,
            fd: fd.map(Arc::new),
            watched: None,
            wants_input: true,
            half_closed: false,
            closing: Closing::No,
            input_over: false,
            write_broken: false,
            error_reported: false,
            rest_until: None,
            exhausted: None,
            options: Options::default(),
            output: Output::default(),
            accounted: 0,
            over_limit: false,
            active: None,
            armed: None,
            read_size: MIN_READ,
            default_to: None,
            stat: Stat::default(),
        }
    }

    pub fn is_udp(&self) -> bool {
        matches!(self.kind, Kind::Udp { .. })
    }

    /// What its descriptor has to be watched for.
    pub fn interest(&self) -> Interest {
        let input = match self.closing {
            // Read and thrown away, so that a peer that is stuck in sending gets to receive.
            Closing::Flushing => self.kind == Kind::Tcp && !self.input_over,
            _ => {
                let held = self.over_limit && self.options.action == Action::Pause;
                self.wants_input && !self.half_closed && !held
            }
        };
        let rests = self.rest_until.is_some();
        let output = !self.output.is_empty() && !self.write_broken && !rests;
        match self.phase {
            Phase::Dialing(_) => Interest {
                read: false,
                write: true,
            },
            Phase::Binding | Phase::Listen => Interest::default(),
            Phase::Listening => Interest {
                read: self.wants_input && !rests,
                write: false,
            },
            Phase::Accepted { .. } => Interest {
                read: false,
                write: output,
            },
            Phase::Open => Interest {
                read: input,
                write: output,
            },
        }
    }

    /// What becomes of data sent now, datagrams included.
    pub fn gate(&self, priority: Priority) -> Gate {
        match (self.closing, priority) {
            (Closing::Asked, _) | (Closing::Flushing, Priority::Low) => return Gate::Discard,
            (Closing::Flushing, Priority::High) => return Gate::Refuse,
            (Closing::No, _) => {}
        }
        match self.phase {
            Phase::Listen | Phase::Listening => Gate::Listener,
            Phase::Accepted { started: false } => Gate::Discard,
            _ if self.write_broken => Gate::Discard,
            Phase::Dialing(_) | Phase::Binding => Gate::Queue,
            // Writing to a foreign descriptor may block in spite of everything: not the sender's trouble.
            _ if self.kind == Kind::Bound => Gate::Queue,
            Phase::Accepted { started: true } | Phase::Open => {
                if self.output.is_empty() {
                    Gate::Write
                } else {
                    Gate::Queue
                }
            }
        }
    }

    /// The next moment at which its poller has to look at it of its own accord.
    pub fn deadline(&self) -> Option<Instant> {
        let mut next = self.rest_until;
        let mut earlier = |time: Option<Instant>| next = next.into_iter().chain(time).min();
        match &self.phase {
            Phase::Dialing(dialing) => earlier(dialing.attempt_until.or(dialing.until)),
            // What its owner does not want to read does not count as silence.
            Phase::Accepted { .. } | Phase::Open
                if self.closing == Closing::No && self.wants_input =>
            {
                earlier(self.idle_until());
            }
            _ => {}
        }
        next
    }

    /// When it has been idle for too long, if there is such a limit.
    pub fn idle_until(&self) -> Option<Instant> {
        Some(self.active? + self.options.idle?)
    }

    /// Notes that the peer gave a sign of life.
    pub fn touch(&mut self) {
        if self.options.idle.is_some() {
            self.active = Some(Instant::now());
        }
    }

    /// Counts input that came in at `now`.
    pub fn count_read(&mut self, bytes: usize, now: u64) {
        self.stat.read += bytes as u64;
        self.stat.read_time = now;
    }

    /// Counts output that went out at `now`.
    pub fn count_write(&mut self, bytes: usize, now: u64) {
        self.stat.write += bytes as u64;
        self.stat.write_time = now;
    }
}

/// The size of the read that follows one of `size` bytes that brought `len`.
pub fn next_read_size(size: usize, len: usize) -> usize {
    if len == size {
        (size * 2).min(MAX_READ)
    } else if size > MIN_READ && len * 2 < size {
        size / 2
    } else {
        size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(kind: Kind, phase: Phase) -> Socket {
        Socket::new(SocketId(1), 0, kind, phase, None)
    }

    #[test]
    fn read_sizes_follow_the_traffic() {
        let mut size = MIN_READ;
        for expected in [128, 256, 512, 1024] {
            size = next_read_size(size, size);
            assert_eq!(size, expected);
        }
        assert_eq!(next_read_size(1024, 512), 1024);
        assert_eq!(next_read_size(1024, 511), 512);
        assert_eq!(next_read_size(64, 1), 64);
        assert_eq!(next_read_size(MAX_READ, MAX_READ), MAX_READ);
    }

    #[test]
    fn a_listener_is_watched_only_while_it_may_accept() {
        let mut listener = socket(Kind::Tcp, Phase::Listen);
        assert_eq!(listener.interest(), Interest::default());
        listener.phase = Phase::Listening;
        assert!(listener.interest().read);
        listener.wants_input = false;
        assert!(!listener.interest().read);
        listener.wants_input = true;
        listener.rest_until = Some(Instant::now());
        assert!(!listener.interest().read);
    }

    #[test]
    fn the_gate_knows_the_states() {
        use Priority::{High, Low};
        let mut open = socket(Kind::Tcp, Phase::Open);
        assert_eq!(open.gate(High), Gate::Write);
        open.half_closed = true;
        assert_eq!(open.gate(High), Gate::Write);
        open.closing = Closing::Asked;
        assert_eq!(
            (open.gate(High), open.gate(Low)),
            (Gate::Discard, Gate::Discard)
        );
        open.closing = Closing::Flushing;
        assert_eq!(
            (open.gate(High), open.gate(Low)),
            (Gate::Refuse, Gate::Discard)
        );
        open.closing = Closing::No;
        open.write_broken = true;
        assert_eq!(open.gate(High), Gate::Discard);

        let accepted = |started| socket(Kind::Tcp, Phase::Accepted { started });
        assert_eq!(accepted(false).gate(High), Gate::Discard);
        assert_eq!(accepted(true).gate(High), Gate::Write);
        assert_eq!(socket(Kind::Tcp, Phase::Listen).gate(High), Gate::Listener);
        let dialing = Phase::Dialing(Dialing::default());
        assert_eq!(socket(Kind::Tcp, dialing).gate(High), Gate::Queue);
        assert_eq!(socket(Kind::Bound, Phase::Open).gate(Low), Gate::Queue);
    }
}
