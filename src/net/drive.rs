//! The engine as its poller sees it: commands, ready descriptors, events.
//!
//! One thread at a time polls. A turn: hand out events; look at ready descriptors; when there are no
//! more, execute the commands that wait; when there was nothing to do, wait.

use super::event::{Body, Event, EventKind, Owner, SocketId};
use super::output::Flush;
use super::poller::{Command, Turn};
use super::server::{LOG_PREFIX, SocketServer, log_send_failure};
use super::slots::Locked;
use super::socket::{Closing, Kind, Phase, Socket, next_read_size};
use super::udp;
use crate::core::log;
use crate::sys::block::Block;
use crate::sys::poll::Ready;
use crate::sys::resolve::{LookupError, Transport};
use crate::sys::socket::{self as sys, Dialed, error_text};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Reads of one socket per turn, as long as each fills its buffer.
const MAX_READS: usize = 16;
/// Datagrams of one socket per turn.
const MAX_DATAGRAMS: usize = 32;
/// Connections of one listener per turn.
const MAX_ACCEPTS: usize = 32;
/// How long a listener rests that cannot accept.
const REST: Duration = Duration::from_millis(100);

/// An event, and whether more can be had without waiting.
#[derive(Debug)]
pub struct Polled {
    pub event: Event,
    pub more: bool,
}

/// What reading a socket led to.
enum Input {
    /// The socket is gone.
    Gone,
    /// Everything there was.
    Drained,
    /// As much as one turn allows.
    More,
}

impl SocketServer {
    /// Waits for the next event. After [`SocketServer::exit`] it is EXIT every time.
    pub fn poll(&self) -> Polled {
        let mut turn = self.poller.turn.lock();
        loop {
            if let Some(event) = turn.events.pop_front() {
                let more = !turn.events.is_empty() || !turn.batch.is_empty();
                return Polled { event, more };
            }
            if turn.exited {
                let event = Event::plain(EventKind::Exit, SocketId(0), 0, 0);
                return Polled { event, more: false };
            }
            if let Some(ready) = self.poller.next_ready(&mut turn) {
                self.ready(&mut turn, ready);
                continue;
            }
            // Look at the descriptors, then do what was asked meanwhile, then serve what was seen: so a command
            // that was given before some input arrived is carried out before that input (core.md §8.3(1)).
            self.wait(&mut turn);
            for _ in 0..self.poller.commands() {
                match self.poller.next_command() {
                    Some(command) if !turn.exited => self.execute(&mut turn, command),
                    _ => break,
                }
            }
        }
    }

    fn wait(&self, turn: &mut Turn) {
        if let Err(error) = self.poller.wait(turn) {
            log(0, format_args!("{LOG_PREFIX}{}", error_text(&error)));
        }
        if turn.rest_until.is_some_and(|end| end <= Instant::now()) {
            turn.rest_until = None;
            self.poller.refill_reserve(turn);
            for id in std::mem::take(&mut turn.resting) {
                if let Some(mut listener) = self.slots.lock(id) {
                    listener.resting = false;
                    let _ = self.poller.adapt(&mut listener);
                }
            }
        }
    }

    fn execute(&self, turn: &mut Turn, command: Command) {
        match command {
            Command::Listen(id) => self.listening(turn, id),
            Command::LookUp { id, host, port } => {
                let result = (self.resolve)(&host, port, Transport::Tcp);
                self.resolved(turn, id, result);
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
            Command::Exit => turn.exited = true,
        }
    }

    // Commands

    fn listening(&self, turn: &mut Turn, id: SocketId) {
        let Some(mut socket) = self.slots.lock(id) else {
            return;
        };
        match self.poller.watch(&mut socket) {
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
        if socket.fd.is_none() || self.poller.watch(&mut socket).is_err() {
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
            return turn
                .events
                .push_back(error_for(caller, id, "invalid socket"));
        };
        if socket.half_closed {
            return turn
                .events
                .push_back(error_for(caller, id, "socket closed"));
        }
        socket.wants_input = true;
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
        if self.poller.adapt(&mut socket).is_err() {
            return turn
                .events
                .push_back(error_for(caller, id, "enable read failed"));
        }
        if let Some(text) = done {
            socket.owner = caller;
            turn.report(&socket, EventKind::Connect, 0, text);
        }
    }

    fn paused(&self, id: SocketId) {
        if let Some(mut socket) = self.slots.lock(id) {
            socket.wants_input = false;
            let _ = self.poller.adapt(&mut socket);
        }
    }

    fn closed(&self, turn: &mut Turn, id: SocketId, discard: bool) {
        let Some(mut socket) = self.slots.lock(id) else {
            return;
        };
        if socket.closing == Closing::Flushing && !discard {
            return;
        }
        let flush = !discard && !socket.output.is_empty();
        self.end_input(turn, &mut socket, flush);
        if flush {
            socket.closing = Closing::Flushing;
            let _ = self.poller.adapt(&mut socket);
        } else {
            if !discard {
                discard_input(turn, &mut socket);
            }
            self.release(socket);
        }
    }

    // Outgoing connections

    fn resolved(
        &self,
        turn: &mut Turn,
        id: SocketId,
        result: Result<Vec<SocketAddr>, LookupError>,
    ) {
        let Some(mut socket) = self.slots.lock(id) else {
            return;
        };
        match result {
            Ok(addresses) => {
                socket.phase = Phase::Dialing(addresses.into_iter());
                self.dial_next(turn, socket, None);
            }
            Err(LookupError(text)) => self.dial_failed(turn, socket, text),
        }
    }

    /// Tries the next address; `error` is what became of the one before.
    fn dial_next(&self, turn: &mut Turn, mut socket: Locked<'_>, mut error: Option<io::Error>) {
        self.poller.unwatch(&mut socket);
        socket.fd = None;
        while let Phase::Dialing(rest) = &mut socket.phase
            && let Some(address) = rest.next()
        {
            match sys::dial(&address) {
                Ok((fd, dialed)) => {
                    if socket.no_delay {
                        sys::no_delay(&fd);
                    }
                    socket.fd = Some(fd.into());
                    match self.poller.watch(&mut socket) {
                        Err(failure) => {
                            socket.fd = None;
                            error = Some(failure);
                        }
                        Ok(()) if dialed == Dialed::Connected => {
                            return self.connected(turn, socket);
                        }
                        Ok(()) => return,
                    }
                }
                Err(failure) => error = Some(failure),
            }
        }
        let text = error
            .as_ref()
            .map_or_else(|| "no address".into(), error_text);
        self.dial_failed(turn, socket, text);
    }

    fn dial_failed(&self, turn: &mut Turn, mut socket: Locked<'_>, text: String) {
        self.error_once(turn, &mut socket, text);
        self.release(socket);
    }

    fn connected(&self, turn: &mut Turn, mut socket: Locked<'_>) {
        socket.phase = Phase::Open;
        if socket.closing != Closing::Flushing {
            let peer = socket.fd.as_ref().and_then(sys::peer_address);
            let text = peer.map_or(String::new(), |peer| peer.ip().to_string());
            turn.report(&socket, EventKind::Connect, 0, text);
        }
        let _ = self.poller.adapt(&mut socket);
    }

    // Ready descriptors

    fn ready(&self, turn: &mut Turn, ready: Ready) {
        let id = SocketId(ready.token as i32);
        // An earlier event of the batch may have ended it.
        let Some(socket) = self.slots.lock(id) else {
            return;
        };
        match (&socket.phase, socket.kind) {
            (Phase::Dialing(_), _) => match socket.fd.as_ref().and_then(sys::take_error) {
                None => self.connected(turn, socket),
                error => self.dial_next(turn, socket, error),
            },
            (Phase::Listening, _) => {
                drop(socket);
                self.accept(turn, id);
            }
            (Phase::Binding | Phase::Listen, _) => {}
            (Phase::Accepted { .. } | Phase::Open, kind) => {
                drop(socket);
                self.transfer(turn, id, kind, ready);
            }
        }
    }

    /// Reads, writes, and looks at what went wrong.
    fn transfer(&self, turn: &mut Turn, id: SocketId, kind: Kind, ready: Ready) {
        let mut input = Input::Drained;
        if ready.readable {
            input = match kind {
                Kind::Udp { .. } => self.receive(turn, id),
                Kind::Tcp | Kind::Bound => self.read(turn, id, ready.hang_up),
            };
        }
        if matches!(input, Input::Gone) || (ready.writable && !self.write(turn, id)) {
            return;
        }
        let Some(mut socket) = self.slots.lock(id) else {
            return;
        };
        let mut hang_up = ready.hang_up;
        if ready.error && !ready.readable && !ready.writable {
            let error = socket.fd.as_ref().and_then(sys::take_error);
            let text = error.map_or("Unknown error".into(), |error| error_text(&error));
            self.error_once(turn, &mut socket, text);
            // What is no socket cannot tell its error, and keeps being in error.
            hang_up |= kind == Kind::Bound;
        }
        // What came before the hang-up is read first.
        if hang_up && matches!(input, Input::Drained) {
            self.end_input(turn, &mut socket, false);
            self.release(socket);
        }
    }

    fn read(&self, turn: &mut Turn, id: SocketId, hang_up: bool) -> Input {
        let Some(mut socket) = self.slots.lock(id) else {
            return Input::Gone;
        };
        if socket.closing == Closing::Flushing {
            discard_input(turn, &mut socket);
            let _ = self.poller.adapt(&mut socket);
            return Input::Drained;
        }
        if !socket.interest().read {
            return Input::Drained;
        }
        let Some(fd) = socket.fd.clone() else {
            return Input::Drained;
        };
        let (owner, mut size) = (socket.owner, socket.read_size);
        drop(socket);

        // Nobody but us closes the socket or changes its owner, so the lock can wait until the end.
        let mut total = 0;
        let mut end = Ok(Input::More);
        let mut reads = 0;
        while reads < MAX_READS {
            reads += 1;
            match sys::read_block(&fd, size) {
                // With a hang-up there is no output to live on for: the caller ends the socket.
                Ok((_, 0)) => {
                    end = if hang_up {
                        Ok(Input::Drained)
                    } else {
                        Err(None)
                    };
                    break;
                }
                Ok((block, len)) => {
                    turn.events
                        .push_back(Event::data(EventKind::Data, id, owner, block, len));
                    total += len;
                    let full = len == size;
                    size = next_read_size(size, len);
                    // Behind the last data of a connection that is gone comes the reason.
                    if !full && !hang_up {
                        end = Ok(Input::Drained);
                        break;
                    }
                }
                Err(error) if sys::is_transient(&error) => {
                    end = Ok(Input::Drained);
                    break;
                }
                Err(error) => {
                    end = Err(Some(error));
                    break;
                }
            }
        }
        let Some(mut socket) = self.slots.lock(id) else {
            return Input::Gone;
        };
        socket.read_size = size;
        if total > 0 {
            socket.count_read(total, self.now());
        }
        let failure = match end {
            Ok(input) => return input,
            Err(failure) => failure,
        };
        let failed = failure.is_some();
        if let Some(error) = failure {
            self.error_once(turn, &mut socket, error_text(&error));
        }
        self.end_input(turn, &mut socket, true);
        if socket.write_broken || (failed && hang_up) {
            self.release(socket);
            return Input::Gone;
        }
        let _ = self.poller.adapt(&mut socket);
        Input::Drained
    }

    fn receive(&self, turn: &mut Turn, id: SocketId) -> Input {
        let Some(socket) = self.slots.lock(id) else {
            return Input::Gone;
        };
        if !socket.interest().read {
            return Input::Drained;
        }
        let Some(fd) = socket.fd.clone() else {
            return Input::Drained;
        };
        let (owner, kind) = (socket.owner, socket.kind);
        drop(socket);

        let mut total = 0;
        let mut any = false;
        let mut end = Ok(Input::More);
        let room = turn.datagram.len() - udp::MAX_ADDRESS;
        for _ in 0..MAX_DATAGRAMS {
            match sys::receive_from(&fd, &mut turn.datagram[..room]) {
                Ok((len, Some(from))) if kind == (Kind::Udp { v6: from.is_ipv6() }) => {
                    let mut address = [0; udp::MAX_ADDRESS];
                    let whole = len + udp::encode(&from, &mut address);
                    turn.datagram[len..whole].copy_from_slice(&address[..whole - len]);
                    let block = Block::copy_of(&turn.datagram[..whole]);
                    turn.events
                        .push_back(Event::data(EventKind::Udp, id, owner, block, len));
                    total += len;
                    any = true;
                }
                Ok(_) => {}
                Err(error) if sys::is_transient(&error) => {
                    end = Ok(Input::Drained);
                    break;
                }
                Err(error) => {
                    end = Err(error);
                    break;
                }
            }
        }
        let Some(mut socket) = self.slots.lock(id) else {
            return Input::Gone;
        };
        if any {
            socket.count_read(total, self.now());
        }
        match end {
            Ok(input) => input,
            Err(error) => {
                turn.error(&socket, error_text(&error));
                self.release(socket);
                Input::Gone
            }
        }
    }

    /// Writes what is queued. False when the socket ended.
    fn write(&self, turn: &mut Turn, id: SocketId) -> bool {
        let Some(mut guard) = self.slots.lock(id) else {
            return false;
        };
        let socket = &mut *guard;
        let Some(fd) = socket.fd.clone() else {
            return true;
        };
        let (written, end) = match socket.kind {
            Kind::Tcp => socket
                .output
                .flush(|pieces| sys::send_vectored(&fd, pieces)),
            Kind::Bound => socket
                .output
                .flush(|pieces| sys::write_vectored(&fd, pieces)),
            Kind::Udp { .. } => socket.output.flush_datagrams(
                |bytes, to| sys::send_to(&fd, bytes, to),
                |error| log_send_failure(id, error),
            ),
        };
        if written > 0 {
            socket.count_write(written, self.now());
        }
        match end {
            Flush::Drained if socket.closing == Closing::Flushing => {
                discard_input(turn, socket);
                self.release(guard);
                return false;
            }
            Flush::Drained if socket.output.take_all_clear() => {
                // Behind the warnings that senders posted before.
                self.poller.post(Command::Warn(id, 0));
            }
            Flush::Drained | Flush::Blocked => {}
            Flush::Failed(_) if socket.half_closed => {
                self.release(guard);
                return false;
            }
            Flush::Failed(error) => {
                socket.write_broken = true;
                socket.output.clear();
                sys::shut_output(&fd);
                self.error_once(turn, socket, error_text(&error));
            }
        }
        let _ = self.poller.adapt(&mut guard);
        true
    }

    fn accept(&self, turn: &mut Turn, id: SocketId) {
        for _ in 0..MAX_ACCEPTS {
            let Some(mut listener) = self.slots.lock(id) else {
                return;
            };
            if !listener.interest().read {
                return;
            }
            let Some(fd) = listener.fd.clone() else {
                return;
            };
            match sys::accept(&fd) {
                Ok((connection, peer)) => {
                    listener.count_read(1, self.now());
                    let owner = listener.owner;
                    drop(listener);
                    let phase = Phase::Accepted { started: false };
                    let make = |id| Socket::new(id, owner, Kind::Tcp, phase, Some(connection));
                    let Some(mut socket) = self.slots.insert(make) else {
                        continue;
                    };
                    if self.poller.watch(&mut socket).is_err() {
                        self.release(socket);
                        continue;
                    }
                    let peer = peer.map_or(String::new(), |peer| endpoint(&peer));
                    let (kind, ud, body) = (EventKind::Accept, socket.id.0, peer.into());
                    turn.events.push_back(Event {
                        kind,
                        id,
                        owner,
                        ud,
                        body,
                    });
                }
                Err(error) if sys::is_exhausted(&error) => {
                    turn.error(&listener, error_text(&error));
                    return self.starve(turn, listener);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return,
                    // Given up by the client before it was accepted.
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted => {}
                    _ => return self.rest(turn, listener),
                },
            }
        }
    }

    /// Out of descriptors: gives up the reserve to turn one client away, or rests when it is gone.
    fn starve(&self, turn: &mut Turn, listener: Locked<'_>) {
        match turn.reserve.take() {
            Some(reserve) => {
                drop(reserve);
                if let Some(fd) = &listener.fd {
                    drop(sys::accept(fd));
                }
                self.poller.refill_reserve(turn);
            }
            None => self.rest(turn, listener),
        }
    }

    /// Stops accepting for a moment.
    fn rest(&self, turn: &mut Turn, mut listener: Locked<'_>) {
        listener.resting = true;
        let _ = self.poller.adapt(&mut listener);
        turn.resting.push(listener.id);
        turn.rest_until.get_or_insert_with(|| Instant::now() + REST);
    }

    // Ends

    /// The input is over: CLOSE, unless it was reported before. An adopted descriptor that lives on for
    /// its output becomes ours.
    fn end_input(&self, turn: &mut Turn, socket: &mut Socket, lives_on: bool) {
        if lives_on && let Some(fd) = &socket.fd {
            fd.take_over();
        }
        if !std::mem::replace(&mut socket.half_closed, true) {
            turn.report(socket, EventKind::Close, 0, Body::None);
        }
    }

    /// ERROR, unless there was one before or the socket's end was already reported.
    fn error_once(&self, turn: &mut Turn, socket: &mut Socket, text: String) {
        if !socket.half_closed && !std::mem::replace(&mut socket.error_reported, true) {
            turn.error(socket, text);
        }
    }

    /// Frees the id and lets go of the descriptor.
    fn release(&self, mut socket: Locked<'_>) {
        self.poller.unwatch(&mut socket);
        // Closing may take its time and freeing may call foreign code: after the lock.
        drop(socket.remove());
    }
}

/// Reads what nobody wants any more. A connection that is closed with unread input is reset, and then
/// the peer may miss the last of our output.
fn discard_input(turn: &mut Turn, socket: &mut Socket) {
    let (Kind::Tcp, Phase::Open | Phase::Accepted { .. }, Some(fd)) =
        (socket.kind, &socket.phase, &socket.fd)
    else {
        return;
    };
    for _ in 0..MAX_READS {
        match sys::read_into(fd, &mut turn.datagram) {
            Ok(0) => socket.input_over = true,
            Ok(_) => continue,
            Err(error) if sys::is_transient(&error) => {}
            Err(_) => socket.input_over = true,
        }
        return;
    }
}

impl Turn {
    fn report(&mut self, socket: &Socket, kind: EventKind, ud: i32, body: impl Into<Body>) {
        let (id, owner) = (socket.id, socket.owner);
        self.events.push_back(Event {
            kind,
            id,
            owner,
            ud,
            body: body.into(),
        });
    }

    fn error(&mut self, socket: &Socket, text: impl Into<Body>) {
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
