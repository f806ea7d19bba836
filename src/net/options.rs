//! Options of sockets and limits of an engine, all additions: with nothing set everything is as upstream
//! has it.
//!
//! Who reads and writes what: a socket's [`Options`] lie under its lock; the defaults for sockets made
//! later and the [`Limits`] are the engine's and may be changed at any time by any thread.

use super::drive::endpoint;
use super::event::SocketId;
use super::server::{LOG_PREFIX, Refused, SocketServer};
use super::socket::{Closing, Kind, Phase, Socket};
use crate::core::log;
use crate::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use crate::sync::{Mutex, RwLock};
use crate::sys::socket::{self as sys, KeepAlive};
use std::time::{Duration, Instant};

/// What happens to a socket whose unsent output is over its limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Action {
    /// A log line.
    #[default]
    Warn,
    /// A log line, and nothing is read from it until half of the limit is left.
    Pause,
    /// A log line, an ERROR, and the end.
    Close,
}

/// Options of one socket; those of a listener go over to the connections it accepts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Nagle's algorithm is off.
    pub no_delay: bool,
    /// Unsent bytes above which `action` is taken; 0 for no limit.
    pub write_limit: usize,
    pub action: Action,
    /// The connection ends when nothing came in and no queued output went out for so long. A default is
    /// for accepted connections only: outgoing ones may well lie in a pool.
    pub idle: Option<Duration>,
    pub keep_alive: KeepAlive,
}

/// What can be set; see `skynetx_socket_option` for the meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    NoDelay(bool),
    WriteLimit(usize),
    WriteAction(Action),
    Idle(Option<Duration>),
    KeepAliveIdle(u32),
    KeepAliveInterval(u32),
    KeepAliveCount(u32),
    /// How long a connect may take, look-up included.
    Connect(Option<Duration>),
}

/// What holds for the engine as a whole.
#[derive(Debug, Default)]
pub struct Limits {
    /// Options of sockets made from now on.
    defaults: RwLock<Options>,
    /// How long a connect may take.
    connect: RwLock<Option<Duration>>,
    /// Unsent bytes of all sockets above which those with more than their share are over the limit.
    total: AtomicUsize,
    /// The least backlog of a listener.
    backlog: AtomicI32,
    /// Unsent bytes of all sockets.
    pending: AtomicUsize,
    /// How many sockets have unsent bytes.
    pending_sockets: AtomicUsize,
    /// Whether a line about the total was written since it was last under its limit.
    told: AtomicBool,
    /// When the log said last that there is no free id.
    said_full: Mutex<Option<Instant>>,
}

impl Limits {
    pub fn defaults(&self) -> Options {
        self.defaults.read().clone()
    }

    /// When a connect that begins now has to be done.
    pub fn connect_until(&self) -> Option<Instant> {
        let limit = *self.connect.read();
        limit.map(|limit| Instant::now() + limit)
    }

    /// Sets the limit of all sockets together; 0 for none.
    pub fn set_total(&self, bytes: usize) {
        self.total.store(bytes, Ordering::Relaxed);
    }

    pub fn set_backlog(&self, least: i32) {
        self.backlog.store(least, Ordering::Relaxed);
    }

    /// The backlog for a listener whose owner wants `wanted`.
    pub fn backlog(&self, wanted: i32) -> i32 {
        wanted.max(self.backlog.load(Ordering::Relaxed))
    }

    /// Says, at most once a second, that connections are refused because the table is full.
    pub fn say_full(&self) {
        let now = Instant::now();
        let mut said = self.said_full.lock();
        if said.is_none_or(|said| now.duration_since(said) >= Duration::from_secs(1)) {
            *said = Some(now);
            drop(said);
            log(
                0,
                format_args!("{LOG_PREFIX}no free socket id, connections are refused"),
            );
        }
    }

    /// Notes that the unsent bytes of a socket went from `before` to `now`.
    pub fn account(&self, before: usize, now: usize) {
        self.pending
            .fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
        match (before, now) {
            (0, 1..) => _ = self.pending_sockets.fetch_add(1, Ordering::Relaxed),
            (1.., 0) => _ = self.pending_sockets.fetch_sub(1, Ordering::Relaxed),
            _ => {}
        }
    }

    /// Unsent bytes of all sockets.
    #[cfg(test)]
    pub fn pending(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }

    /// Whether a socket with `pending` unsent bytes has more than its share of too much.
    fn over_total(&self, pending: usize) -> bool {
        let limit = self.total.load(Ordering::Relaxed);
        if limit == 0 {
            return false;
        }
        let all = self.pending.load(Ordering::Relaxed);
        if all <= limit {
            self.told.store(false, Ordering::Relaxed);
            return false;
        }
        let sockets = self.pending_sockets.load(Ordering::Relaxed).max(1);
        pending >= all / sockets
    }
}

impl Options {
    fn set(&mut self, setting: Setting) {
        match setting {
            Setting::NoDelay(on) => self.no_delay = on,
            Setting::WriteLimit(bytes) => self.write_limit = bytes,
            Setting::WriteAction(action) => self.action = action,
            Setting::Idle(time) => self.idle = time,
            Setting::KeepAliveIdle(seconds) => self.keep_alive.idle = seconds,
            Setting::KeepAliveInterval(seconds) => self.keep_alive.interval = seconds,
            Setting::KeepAliveCount(count) => self.keep_alive.count = count,
            // Not kept: it is the business of the connect that goes on.
            Setting::Connect(_) => {}
        }
    }

    /// Makes a new descriptor follow the options.
    pub fn apply(&self, fd: &sys::Descriptor) {
        if self.no_delay {
            sys::set_no_delay(fd, true);
        }
        sys::set_keep_alive(fd, &self.keep_alive);
    }
}

impl SocketServer {
    /// Sets an option for sockets made from now on.
    pub fn set_default(&self, setting: Setting) {
        match setting {
            Setting::Connect(limit) => *self.limits.connect.write() = limit,
            setting => self.limits.defaults.write().set(setting),
        }
    }

    /// Sets an option of one socket: of a stream socket that was not closed.
    pub fn set_option(&self, id: SocketId, setting: Setting) -> Result<(), Refused> {
        let mut guard = self.slots.lock(id).ok_or(Refused)?;
        let socket = &mut *guard;
        if socket.kind != Kind::Tcp {
            return Err(Refused);
        }
        if let Setting::Connect(limit) = setting {
            let Phase::Dialing(dialing) = &mut socket.phase else {
                return Err(Refused);
            };
            let until = limit.map(|limit| Instant::now() + limit);
            (dialing.until, dialing.attempt_until) = (until, until);
        }
        socket.options.set(setting);
        match (setting, &socket.fd) {
            (Setting::NoDelay(on), Some(fd)) => sys::set_no_delay(fd, on),
            (
                Setting::KeepAliveIdle(_)
                | Setting::KeepAliveInterval(_)
                | Setting::KeepAliveCount(_),
                Some(fd),
            ) => sys::set_keep_alive(fd, &socket.options.keep_alive),
            _ => {}
        }
        if matches!(setting, Setting::Idle(_) | Setting::Connect(_)) {
            socket.active = Some(Instant::now());
            self.arm_later(id);
        }
        Ok(())
    }

    /// Counts a change of the unsent output of a socket, and lets a socket that was over its limit read
    /// again once half of it is gone.
    pub(super) fn account(&self, socket: &mut Socket) {
        let pending = socket.output.pending();
        self.limits.account(socket.accounted, pending);
        socket.accounted = pending;
        if socket.over_limit
            && socket.closing == Closing::No
            && pending <= socket.options.write_limit / 2
            && !self.limits.over_total(pending)
        {
            socket.over_limit = false;
        }
    }

    /// After output was queued: what follows when it is too much. True when the socket has to end.
    pub(super) fn over_limit(&self, socket: &mut Socket) -> bool {
        let (limit, pending) = (socket.options.write_limit, socket.output.pending());
        let own = limit > 0 && pending > limit;
        if !(own || self.limits.over_total(pending)) {
            return false;
        }
        // What is done once for the others is done at last when the action became this one meanwhile.
        if socket.over_limit && socket.options.action != Action::Close {
            return false;
        }
        socket.over_limit = true;
        let what = match socket.options.action {
            Action::Warn => "",
            Action::Pause => ", not read meanwhile",
            Action::Close => ", closed",
        };
        // One line for each socket, or one for all when it is the sum that is too much.
        if own || !self.limits.told.swap(true, Ordering::Relaxed) {
            let peer = socket.fd.as_ref().and_then(sys::peer_address);
            let peer = peer.map_or(String::new(), |peer| format!(" ({})", endpoint(&peer)));
            let bytes = if own {
                format!("{pending} bytes")
            } else {
                let all = self.limits.pending.load(Ordering::Relaxed);
                format!("{pending} of {all} bytes")
            };
            log(
                socket.owner as u32,
                format_args!(
                    "{LOG_PREFIX}socket {}{peer} does not take its output, {bytes} wait{what}",
                    socket.id
                ),
            );
        }
        if socket.options.action == Action::Close {
            // As if its owner had asked: what is sent from here on goes nowhere.
            socket.closing = Closing::Asked;
            socket.output.clear();
            self.account(socket);
            return true;
        }
        false
    }
}
