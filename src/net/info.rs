//! Snapshots of the sockets, for `skynet_socket_info` (core.md §8.12).

use super::drive::endpoint;
use super::event::{Owner, SocketId};
use super::server::SocketServer;
use super::socket::{Kind, Phase, Socket, Stat};
use crate::sys::socket as sys;

/// What a socket counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Listen,
    Tcp,
    Udp,
    Bind,
    /// Half-closed or write-broken.
    Closing,
}

/// One socket at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub id: SocketId,
    pub kind: Type,
    pub owner: Owner,
    pub stat: Stat,
    /// Unsent bytes.
    pub pending: usize,
    /// Watched for input for the owner.
    pub reading: bool,
    /// Watched for room to write.
    pub writing: bool,
    /// Own address of a listener, peer of a connection, default destination of a UDP socket.
    pub name: String,
}

impl SocketServer {
    /// All sockets that are in use, by slot. What was not started or is not connected yet is left out.
    pub fn info(&self) -> Vec<Snapshot> {
        let mut list = Vec::new();
        self.slots.for_each(|socket| list.extend(snapshot(socket)));
        list
    }
}

fn snapshot(socket: &Socket) -> Option<Snapshot> {
    let fd = socket.fd.as_deref();
    let half = socket.half_closed || socket.write_broken;
    let (kind, address) = match (&socket.phase, socket.kind) {
        (Phase::Listening, _) => (Type::Listen, fd.and_then(sys::local_address)),
        (Phase::Open, Kind::Tcp) if !half => (Type::Tcp, fd.and_then(sys::peer_address)),
        (Phase::Open, Kind::Udp { .. }) if !half => (Type::Udp, socket.default_to),
        (Phase::Open, Kind::Bound) if !half => (Type::Bind, None),
        (Phase::Open, _) => (Type::Closing, fd.and_then(sys::peer_address)),
        _ => return None,
    };
    let watched = socket.watched.unwrap_or_default();
    Some(Snapshot {
        id: socket.id,
        kind,
        owner: socket.owner,
        stat: socket.stat,
        pending: socket.output.pending(),
        // What is read during a flush is not for the owner.
        reading: watched.read && !socket.half_closed,
        writing: watched.write,
        name: address.as_ref().map_or(String::new(), endpoint),
    })
}
