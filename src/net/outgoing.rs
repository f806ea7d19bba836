//! Outgoing connections: one address of a name after the other until one answers.

use super::event::{EventKind, SocketId};
use super::poller::Turn;
use super::server::SocketServer;
use super::slots::Locked;
use super::socket::{Closing, Dialing, Phase};
use crate::sys::resolve::LookupError;
use crate::sys::socket::{self as sys, Dialed, error_text};
use std::io;
use std::net::SocketAddr;
use std::time::Instant;

impl Dialing {
    /// The next address to try, and until when: each of those that are left gets an equal part of the time.
    fn next(&mut self, now: Instant) -> Option<SocketAddr> {
        let address = self.addresses.next()?;
        self.attempt_until = self.until.map(|until| {
            let tries = 1 + self.addresses.len() as u32;
            now + until.saturating_duration_since(now) / tries
        });
        Some(address)
    }
}

impl SocketServer {
    /// The name of a socket was looked up, or cannot be.
    pub(super) fn resolved(
        &self,
        turn: &mut Turn,
        id: SocketId,
        result: Result<Vec<SocketAddr>, LookupError>,
    ) {
        let Some(mut socket) = self.slots.lock(id) else {
            return;
        };
        match result {
            Ok(found) => {
                if let Phase::Dialing(Dialing { addresses, .. }) = &mut socket.phase {
                    *addresses = found.into_iter();
                    self.dial_next(turn, socket, None);
                }
            }
            Err(LookupError(text)) => self.dial_failed(turn, socket, text),
        }
    }

    /// Tries the next address; `error` is what became of the one before.
    fn dial_next(&self, turn: &mut Turn, mut socket: Locked<'_>, mut error: Option<io::Error>) {
        let id = socket.id;
        self.poller(id).unwatch(&mut socket);
        socket.fd = None;
        while let Phase::Dialing(dialing) = &mut socket.phase
            && let Some(address) = dialing.next(Instant::now())
        {
            turn.arm(&mut socket);
            match sys::dial(&address) {
                Ok((fd, dialed)) => {
                    socket.options.apply(&fd);
                    socket.fd = Some(fd.into());
                    match self.poller(id).watch(&mut socket) {
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
        let id = socket.id;
        socket.touch();
        turn.arm(&mut socket);
        let _ = self.poller(id).adapt(&mut socket);
    }

    /// A connect came to its end.
    pub(super) fn dialed(&self, turn: &mut Turn, socket: Locked<'_>) {
        match socket.fd.as_ref().and_then(sys::take_error) {
            None => self.connected(turn, socket),
            error => self.dial_next(turn, socket, error),
        }
    }

    /// The time for an address, or for all of it, is over.
    pub(super) fn dial_timed_out(&self, turn: &mut Turn, mut socket: Locked<'_>, now: Instant) {
        let error = io::Error::from_raw_os_error(libc::ETIMEDOUT);
        if let Phase::Dialing(dialing) = &mut socket.phase
            && dialing.until.is_some_and(|until| until <= now)
        {
            dialing.addresses = Vec::new().into_iter();
        }
        self.dial_next(turn, socket, Some(error));
    }
}
