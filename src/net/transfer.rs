//! Bytes and datagrams: reading, writing, and what goes wrong on the way.

use super::event::{Event, EventKind};
use super::output::Flush;
use super::poller::{Command, Turn};
use super::server::{SocketServer, log_send_failure};
use super::slots::Locked;
use super::socket::{Closing, Kind, Phase, Socket, next_read_size};
use super::udp;
use crate::sys::block::Block;
use crate::sys::poll::Ready;
use crate::sys::socket::{self as sys, error_text};
use std::io;
use std::time::{Duration, Instant};

/// Reads of one socket per round, as long as each fills its buffer.
const MAX_READS: usize = 16;
/// Datagrams of one socket per round.
const MAX_DATAGRAMS: usize = 32;
/// How long a socket waits when the kernel has no memory for its output.
const REST: Duration = Duration::from_millis(50);

/// How a series of reads ended.
enum End {
    /// One round allows no more.
    Full,
    /// Nothing more is there at the moment.
    Drained,
    /// Nothing more will come: the peer's end of output, or a failure.
    Over(Option<io::Error>),
}

/// What reading a socket led to.
enum Input<'a> {
    /// The socket is gone.
    Gone,
    /// Everything there was was taken.
    Drained(Locked<'a>),
    /// As much was taken as one round allows.
    More(Locked<'a>),
}

impl SocketServer {
    /// Reads, writes, and looks at what went wrong.
    pub(super) fn transfer<'a>(&'a self, turn: &mut Turn, socket: Locked<'a>, ready: Ready) {
        let kind = socket.kind;
        let input = match kind {
            _ if !ready.readable => Input::Drained(socket),
            Kind::Udp { .. } => self.receive(turn, socket),
            Kind::Tcp | Kind::Bound => self.read(turn, socket, ready.hang_up),
        };
        let (socket, drained) = match input {
            Input::Gone => return,
            Input::Drained(socket) => (socket, true),
            Input::More(socket) => (socket, false),
        };
        let mut socket = match ready.writable {
            true => match self.write(turn, socket) {
                Some(socket) => socket,
                None => return,
            },
            false => socket,
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
        if hang_up && drained {
            self.finish(turn, socket);
        }
    }

    fn read<'a>(&'a self, turn: &mut Turn, mut socket: Locked<'a>, hang_up: bool) -> Input<'a> {
        let id = socket.id;
        if socket.closing == Closing::Flushing {
            discard_input(turn, &mut socket);
            let _ = self.poller(id).adapt(&mut socket);
            return Input::Drained(socket);
        }
        if !socket.interest().read {
            return Input::Drained(socket);
        }
        let Some(fd) = socket.fd.clone() else {
            return Input::Drained(socket);
        };
        let (owner, mut size) = (socket.owner, socket.read_size);
        let stream = socket.kind == Kind::Tcp;
        drop(socket);

        // Nobody but us closes the socket or changes its owner, so the lock can wait until the end.
        let mut any = false;
        let mut end = End::Full;
        for _ in 0..MAX_READS {
            match sys::read_block(&fd, size, stream) {
                Ok((_, 0)) => {
                    end = End::Over(None);
                    break;
                }
                Ok((block, len)) => {
                    // Counted when its owner sees it; the owner may answer at once, so not under the lock.
                    match self.slots.lock(id) {
                        Some(mut socket) => socket.count_read(len, self.now()),
                        None => return Input::Gone,
                    }
                    turn.emit(Event::data(EventKind::Data, id, owner, block, len));
                    any = true;
                    let full = len == size;
                    size = next_read_size(size, len);
                    // Behind the last data of a connection that is gone comes the reason.
                    if !full && !hang_up {
                        end = End::Drained;
                        break;
                    }
                }
                Err(error) if sys::is_transient(&error) => {
                    end = End::Drained;
                    break;
                }
                Err(error) => {
                    end = End::Over(Some(error));
                    break;
                }
            }
        }
        let Some(mut socket) = self.slots.lock(id) else {
            return Input::Gone;
        };
        socket.read_size = size;
        if any {
            socket.touch();
        }
        let failure = match end {
            End::Full => return Input::More(socket),
            End::Drained => return Input::Drained(socket),
            // With a hang-up there is no output to live on for: the caller ends the socket.
            End::Over(None) if hang_up => return Input::Drained(socket),
            End::Over(failure) => failure,
        };
        let failed = failure.is_some();
        if let Some(error) = failure {
            self.error_once(turn, &mut socket, error_text(&error));
        }
        if socket.write_broken || (failed && hang_up) {
            // Not the clean end after which an adopted descriptor would stay open.
            fd.take_over();
            drop(fd);
            self.finish(turn, socket);
            return Input::Gone;
        }
        self.end_input(turn, &mut socket);
        let _ = self.poller(id).adapt(&mut socket);
        Input::Drained(socket)
    }

    fn receive<'a>(&'a self, turn: &mut Turn, socket: Locked<'a>) -> Input<'a> {
        if !socket.interest().read {
            return Input::Drained(socket);
        }
        let Some(fd) = socket.fd.clone() else {
            return Input::Drained(socket);
        };
        let (id, owner, kind) = (socket.id, socket.owner, socket.kind);
        drop(socket);

        let mut end = End::Full;
        let room = turn.datagram.len() - udp::MAX_ADDRESS;
        for _ in 0..MAX_DATAGRAMS {
            match sys::receive_from(&fd, &mut turn.datagram[..room]) {
                Ok((len, Some(from))) if kind == (Kind::Udp { v6: from.is_ipv6() }) => {
                    let mut address = [0; udp::MAX_ADDRESS];
                    let whole = len + udp::encode(&from, &mut address);
                    turn.datagram[len..whole].copy_from_slice(&address[..whole - len]);
                    let block = Block::copy_of(&turn.datagram[..whole]);
                    match self.slots.lock(id) {
                        Some(mut socket) => socket.count_read(len, self.now()),
                        None => return Input::Gone,
                    }
                    turn.emit(Event::data(EventKind::Udp, id, owner, block, len));
                }
                Ok(_) => {}
                Err(error) if sys::is_transient(&error) => {
                    end = End::Drained;
                    break;
                }
                Err(error) => {
                    end = End::Over(Some(error));
                    break;
                }
            }
        }
        let Some(socket) = self.slots.lock(id) else {
            return Input::Gone;
        };
        match end {
            End::Full => Input::More(socket),
            End::Drained | End::Over(None) => Input::Drained(socket),
            End::Over(Some(error)) => {
                turn.error(&socket, error_text(&error));
                self.release(socket);
                Input::Gone
            }
        }
    }

    /// Writes what is queued. Nothing comes back when the socket ended.
    fn write<'a>(&'a self, turn: &mut Turn, mut guard: Locked<'a>) -> Option<Locked<'a>> {
        let socket = &mut *guard;
        let id = socket.id;
        let Some(fd) = socket.fd.clone() else {
            return Some(guard);
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
            socket.touch();
            self.account(socket);
        }
        match end {
            Flush::Drained if socket.closing == Closing::Flushing => {
                discard_input(turn, socket);
                self.release(guard);
                return None;
            }
            Flush::Drained if socket.output.take_all_clear() => {
                // Behind the warnings that senders posted before.
                self.poller(id).post(Command::Warn(id, 0));
            }
            Flush::Drained | Flush::Blocked => {}
            Flush::Starved => {
                socket.rest_until = Some(Instant::now() + REST);
                turn.arm(socket);
            }
            Flush::Failed(_) if socket.half_closed => {
                self.release(guard);
                return None;
            }
            Flush::Failed(error) => {
                socket.write_broken = true;
                socket.output.clear();
                self.account(socket);
                sys::shut_output(&fd);
                self.error_once(turn, socket, error_text(&error));
            }
        }
        let _ = self.poller(id).adapt(&mut guard);
        Some(guard)
    }
}

/// Reads what nobody wants any more. A connection that is closed with unread input is reset, and then
/// the peer may miss the last of our output.
pub(super) fn discard_input(turn: &mut Turn, socket: &mut Socket) {
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
