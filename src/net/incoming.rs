//! Incoming connections.

use super::drive::endpoint;
use super::event::{Event, EventKind, Owner, SocketId};
use super::options::Options;
use super::poller::Turn;
use super::server::SocketServer;
use super::slots::Locked;
use super::socket::{Kind, Phase, Socket};
use crate::sys::socket::{self as sys, Descriptor, error_text};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Connections of one listener per round.
const MAX_ACCEPTS: usize = 32;
/// How long a listener rests that cannot accept.
const REST: Duration = Duration::from_millis(100);
/// How often its owner hears that there is no descriptor.
const TELL_AGAIN: Duration = Duration::from_secs(1);

impl SocketServer {
    /// Takes the connections that wait at a listener.
    pub(super) fn accept(&self, turn: &mut Turn, id: SocketId) {
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
                    let (owner, options) = (listener.owner, listener.options.clone());
                    drop(listener);
                    self.welcome(turn, id, owner, options, connection, peer);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return,
                    // Given up by the client before it was accepted.
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted => {}
                    _ => return self.accept_failed(turn, listener, &error),
                },
            }
        }
    }

    /// Makes a socket of a connection. It may belong to another poller: its owner hears of it first, and only
    /// then can there be anything else to hear.
    fn welcome(
        &self,
        turn: &mut Turn,
        listener: SocketId,
        owner: Owner,
        options: Options,
        connection: Descriptor,
        peer: Option<SocketAddr>,
    ) {
        options.apply(&connection);
        let phase = Phase::Accepted { started: false };
        let make = |id| Socket::new(id, owner, Kind::Tcp, phase, Some(connection));
        let Some(mut socket) = self.slots.insert(make) else {
            return self.limits.say_full();
        };
        let id = socket.id;
        let idle = options.idle.is_some();
        socket.options = options;
        socket.touch();
        drop(socket);
        let peer = peer.map_or(String::new(), |peer| endpoint(&peer));
        turn.emit(Event {
            kind: EventKind::Accept,
            id: listener,
            owner,
            ud: id.0,
            body: peer.into(),
        });
        // Its owner may have started or closed it by now.
        let Some(mut socket) = self.slots.lock(id) else {
            return;
        };
        if let Err(error) = self.poller(id).watch(&mut socket) {
            self.error_once(turn, &mut socket, error_text(&error));
            return self.finish(turn, socket);
        }
        drop(socket);
        if idle {
            self.arm_later(id);
        }
    }

    /// Lets a listener rest for a moment; the connections wait in its backlog. Without a descriptor its owner
    /// is told, but not every time.
    fn accept_failed(&self, turn: &mut Turn, mut listener: Locked<'_>, error: &io::Error) {
        let now = Instant::now();
        if sys::is_exhausted(error)
            && listener
                .exhausted
                .is_none_or(|told| now.duration_since(told) >= TELL_AGAIN)
        {
            listener.exhausted = Some(now);
            turn.error(&listener, error_text(error));
        }
        listener.rest_until = Some(now + REST);
        turn.arm(&mut listener);
        let _ = self.poller(listener.id).adapt(&mut listener);
    }
}
