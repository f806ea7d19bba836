//! Bytes and datagrams: reading, writing, and what goes wrong on the way.

use super::event::{Event, EventKind, SocketId};
use super::output::Flush;
use super::poller::{Command, Turn};
use super::server::{SocketServer, log_send_failure};
use super::socket::{Closing, Kind, Phase, Socket, next_read_size};
use super::udp;
use crate::sys::block::Block;
use crate::sys::poll::Ready;
use crate::sys::socket::{self as sys, error_text};
use std::time::{Duration, Instant};

/// Reads of one socket per round, as long as each fills its buffer.
const MAX_READS: usize = 16;
/// Datagrams of one socket per round.
const MAX_DATAGRAMS: usize = 32;
/// How long a socket waits when the kernel has no memory for its output.
const REST: Duration = Duration::from_millis(50);

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
    /// Reads, writes, and looks at what went wrong.
    pub(super) fn transfer(&self, turn: &mut Turn, id: SocketId, kind: Kind, ready: Ready) {
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
            let _ = self.poller(id).adapt(&mut socket);
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
                    turn.emit(Event::data(EventKind::Data, id, owner, block, len));
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
            socket.touch();
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
        let _ = self.poller(id).adapt(&mut socket);
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
                    turn.emit(Event::data(EventKind::Udp, id, owner, block, len));
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
            socket.touch();
            self.account(socket);
        }
        match end {
            Flush::Drained if socket.closing == Closing::Flushing => {
                discard_input(turn, socket);
                self.release(guard);
                return false;
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
                return false;
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
        true
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
