//! The engine as its pollers see it: commands, ready descriptors, deadlines, events.
//!
//! Each poller is served by one thread at a time, and each socket by one poller. A round: wait; execute the
//! commands that came; see to the deadlines that passed; serve the descriptors that are ready
//! (`incoming.rs`, `outgoing.rs`, `transfer.rs`).

use super::event::{Body, Event, EventKind, Owner, SocketId};
use super::poller::{Command, Poller, REST, Turn};
use super::server::{LOG_PREFIX, SocketServer};
use super::slots::Locked;
use super::socket::{Closing, Kind, Phase, Socket};
use super::transfer::discard_input;
use crate::core::log;
use crate::sys::clock;
use crate::sys::poll::Ready;
use crate::sys::socket::{self as sys, error_text};
use std::cmp::Reverse;
use std::net::SocketAddr;
use std::time::Instant;

/// An event, and whether more can be had without waiting.
#[derive(Debug)]
pub struct Polled {
    pub event: Event,
    pub more: bool,
}

impl SocketServer {
    /// Waits for the next event of the first poller. After [`SocketServer::exit`] it is EXIT every time. Who
    /// calls this in a loop serves all sockets of an engine with one poller.
    pub fn poll(&self) -> Polled {
        let poller = self.poller_at(0);
        let mut turn = poller.turn.lock();
        loop {
            if let Some(event) = turn.events.pop_front() {
                let more = !turn.events.is_empty() || !turn.batch.is_empty();
                return Polled { event, more };
            }
            if turn.exited {
                let event = Event::plain(EventKind::Exit, SocketId(0), 0, 0);
                return Polled { event, more: false };
            }
            match poller.next_ready(&mut turn) {
                Some(ready) => self.ready(&mut turn, ready),
                None => self.advance(poller, &mut turn),
            }
        }
    }

    /// Body of a polling thread: serves the sockets of one poller until [`SocketServer::exit`], and hands each
    /// event to `deliver` as it happens. That is before anything that follows from it: a connection is not
    /// watched before its ACCEPT was delivered. `deliver` is called under the lock of the socket, so it may not
    /// use the engine; it returns how many messages wait at the owner then.
    pub fn run(&self, index: usize, deliver: impl Fn(Event) -> usize + Send + 'static) {
        let poller = self.poller_at(index);
        let mut turn = poller.turn.lock();
        clock::sleep_exactly();
        turn.deliver = Some(Box::new(deliver));
        while !turn.exited {
            if turn.may_rest() {
                poller.rest(REST);
            }
            self.advance(poller, &mut turn);
            while let Some(ready) = poller.next_ready(&mut turn) {
                self.ready(&mut turn, ready);
            }
        }
        turn.deliver = None;
    }

    /// Waits, and executes commands. Looks at the descriptors, then does what was asked meanwhile; what was
    /// seen is served after that: so a command that was given before some input arrived is carried out before
    /// that input (core.md §8.3(1)).
    fn advance(&self, poller: &Poller, turn: &mut Turn) {
        if let Err(error) = poller.wait(turn) {
            log(0, format_args!("{LOG_PREFIX}{}", error_text(&error)));
        }
        for _ in 0..poller.commands() {
            match poller.next_command() {
                Some(command) if !turn.exited => self.execute(turn, command),
                _ => break,
            }
        }
        self.pass_deadlines(turn);
    }

    fn execute(&self, turn: &mut Turn, command: Command) {
        match command {
            Command::Listen(id) => self.listening(turn, id),
            Command::LookUp(job) => {
                let result = self.resolver.now(&job);
                self.resolved(turn, job.id, result);
            }
            Command::Dial(id, result) => self.resolved(turn, id, result),
            Command::Bind(id) => self.bound(turn, id),
            Command::Start { id, caller } => self.started(turn, id, caller),
            Command::Pause(id) => self.paused(id),
            Command::Close { id, discard } => self.closed(turn, id, discard),
            Command::Warn(id, kib) => {
                if let Some(socket) = self.slots.lock(id)
                    && socket.closing != Closing::Flushing
                {
                    turn.report(&socket, EventKind::Warning, kib, Body::None);
                }
            }
            Command::Mismatch(id) => {
                if let Some(socket) = self.slots.lock(id) {
                    turn.error(&socket, "protocol mismatch");
                }
            }
            Command::Arm(id) => {
                if let Some(mut socket) = self.slots.lock(id) {
                    turn.arm(&mut socket);
                }
            }
            Command::Overflow(id) => self.overflowed(turn, id),
            Command::Exit => turn.exited = true,
        }
    }

    // Commands

    fn listening(&self, turn: &mut Turn, id: SocketId) {
        let Some(mut socket) = self.slots.lock(id) else {
            return;
        };
        match self.poller(id).watch(&mut socket) {
            Ok(()) => {
                let address = socket.fd.as_ref().and_then(sys::local_address);
                let (port, ip) = address.map_or((0, String::new()), |address| {
                    (i32::from(address.port()), address.ip().to_string())
                });
                turn.report(&socket, EventKind::Connect, port, ip);
            }
            Err(error) => {
                turn.error(&socket, error_text(&error));
                self.release(socket);
            }
        }
    }

    fn bound(&self, turn: &mut Turn, id: SocketId) {
        let Some(mut socket) = self.slots.lock(id) else {
            return;
        };
        socket.phase = Phase::Open;
        if socket.fd.is_none() || self.poller(id).watch(&mut socket).is_err() {
            turn.error(&socket, "reach skynet socket number limit");
            return self.release(socket);
        }
        if let Some(fd) = &socket.fd {
            sys::set_nonblocking(fd);
        }
        turn.report(&socket, EventKind::Connect, 0, "binding");
    }

    fn started(&self, turn: &mut Turn, id: SocketId, caller: Owner) {
        let Some(mut socket) = self.slots.lock(id) else {
            return turn.emit(error_for(caller, id, "invalid socket"));
        };
        if socket.half_closed {
            return turn.emit(error_for(caller, id, "socket closed"));
        }
        socket.wants_input = true;
        socket.touch();
        turn.arm(&mut socket);
        let done = match socket.phase {
            Phase::Accepted { .. } => {
                socket.phase = Phase::Open;
                Some("start")
            }
            Phase::Listen => {
                socket.phase = Phase::Listening;
                Some("start")
            }
            Phase::Open if socket.kind != Kind::Bound && !socket.write_broken => Some("transfer"),
            _ => None,
        };
        if self.poller(id).adapt(&mut socket).is_err() {
            return turn.emit(error_for(caller, id, "enable read failed"));
        }
        if let Some(text) = done {
            socket.owner = caller;
            turn.report(&socket, EventKind::Connect, 0, text);
        }
    }

    fn paused(&self, id: SocketId) {
        if let Some(mut socket) = self.slots.lock(id) {
            socket.wants_input = false;
            let _ = self.poller(id).adapt(&mut socket);
        }
    }

    fn closed(&self, turn: &mut Turn, id: SocketId, discard: bool) {
        let Some(mut socket) = self.slots.lock(id) else {
            return;
        };
        if socket.closing == Closing::Flushing && !discard {
            return;
        }
        if !discard && !socket.output.is_empty() {
            self.end_input(turn, &mut socket);
            socket.closing = Closing::Flushing;
            let _ = self.poller(id).adapt(&mut socket);
        } else {
            if !discard {
                discard_input(turn, &mut socket);
            }
            self.finish(turn, socket);
        }
    }

    // Ready descriptors and deadlines

    fn ready(&self, turn: &mut Turn, ready: Ready) {
        let id = SocketId(ready.token as i32);
        // An earlier event of the batch may have ended it.
        let Some(socket) = self.slots.lock(id) else {
            return;
        };
        match socket.phase {
            Phase::Dialing(_) => self.dialed(turn, socket),
            Phase::Listening => {
                drop(socket);
                self.accept(turn, id);
            }
            Phase::Binding | Phase::Listen => {}
            Phase::Accepted { .. } | Phase::Open => self.transfer(turn, socket, ready),
        }
    }

    fn pass_deadlines(&self, turn: &mut Turn) {
        if turn.deadlines.is_empty() {
            return;
        }
        let now = Instant::now();
        while let Some(&Reverse((at, id))) = turn.deadlines.peek()
            && at <= now
        {
            turn.deadlines.pop();
            if let Some(mut socket) = self.slots.lock(id)
                && socket.armed == Some(at)
            {
                socket.armed = None;
                self.deadline(turn, socket, now);
            }
        }
    }

    /// One of the socket's deadlines may have passed.
    fn deadline(&self, turn: &mut Turn, mut socket: Locked<'_>, now: Instant) {
        let past = |time: Option<Instant>| time.is_some_and(|time| time <= now);
        if past(socket.rest_until) {
            socket.rest_until = None;
            let _ = self.poller(socket.id).adapt(&mut socket);
        }
        if past(socket.deadline()) {
            return match socket.phase {
                Phase::Dialing(_) => self.dial_timed_out(turn, socket, now),
                _ => self.end_by_force(turn, socket, "idle for too long"),
            };
        }
        turn.arm(&mut socket);
    }

    fn overflowed(&self, turn: &mut Turn, id: SocketId) {
        if let Some(socket) = self.slots.lock(id) {
            self.end_by_force(turn, socket, "output buffer overflow");
        }
    }

    /// ERROR and CLOSE, as after a reset, unless the end was reported before. What the kernel still has is
    /// thrown away: the peer has shown that it does not take it.
    fn end_by_force(&self, turn: &mut Turn, mut socket: Locked<'_>, why: &'static str) {
        self.error_once(turn, &mut socket, why);
        if let Some(fd) = &socket.fd {
            sys::reset_on_close(fd);
        }
        self.finish(turn, socket);
    }

    // Ends

    /// The end, and CLOSE unless it was reported before. The descriptor is closed by then: who hears of the end
    /// of a listener may listen at its address.
    pub(super) fn finish(&self, turn: &mut Turn, mut socket: Locked<'_>) {
        let told = std::mem::replace(&mut socket.half_closed, true);
        let (id, owner) = (socket.id, socket.owner);
        self.release(socket);
        if !told {
            turn.emit(Event::plain(EventKind::Close, id, owner, 0));
        }
    }

    /// The input is over: CLOSE, unless it was reported before. The socket lives on for its output; an adopted
    /// descriptor becomes ours.
    pub(super) fn end_input(&self, turn: &mut Turn, socket: &mut Socket) {
        if let Some(fd) = &socket.fd {
            fd.take_over();
        }
        if !std::mem::replace(&mut socket.half_closed, true) {
            turn.report(socket, EventKind::Close, 0, Body::None);
        }
    }

    /// ERROR, unless there was one before or the socket's end was already reported.
    pub(super) fn error_once(&self, turn: &mut Turn, socket: &mut Socket, text: impl Into<Body>) {
        if !socket.half_closed && !std::mem::replace(&mut socket.error_reported, true) {
            turn.error(socket, text);
        }
    }

    /// Frees the id and lets go of the descriptor.
    pub(super) fn release(&self, mut socket: Locked<'_>) {
        self.poller(socket.id).unwatch(&mut socket);
        self.forget(&socket);
        // Closing may take its time and freeing may call foreign code: after the lock.
        drop(socket.remove());
    }
}

impl Turn {
    /// Notes the socket's next deadline, unless an earlier one is noted.
    pub(super) fn arm(&mut self, socket: &mut Socket) {
        if let Some(next) = socket.deadline()
            && socket.armed.is_none_or(|armed| next < armed)
        {
            socket.armed = Some(next);
            self.deadlines.push(Reverse((next, socket.id)));
        }
    }

    pub(super) fn report(
        &mut self,
        socket: &Socket,
        kind: EventKind,
        ud: i32,
        body: impl Into<Body>,
    ) {
        let (id, owner) = (socket.id, socket.owner);
        self.emit(Event {
            kind,
            id,
            owner,
            ud,
            body: body.into(),
        });
    }

    pub(super) fn error(&mut self, socket: &Socket, text: impl Into<Body>) {
        self.report(socket, EventKind::Error, 0, text);
    }
}

fn error_for(caller: Owner, id: SocketId, text: &'static str) -> Event {
    Event {
        kind: EventKind::Error,
        id,
        owner: caller,
        ud: 0,
        body: text.into(),
    }
}

/// `ip:port`, also for IPv6 without brackets.
pub(super) fn endpoint(address: &SocketAddr) -> String {
    format!("{}:{}", address.ip(), address.port())
}
