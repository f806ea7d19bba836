//! Looks names up beside the poller: one thread per pending name. Only an engine that was told so
//! does this, see [`super::server::SocketServer::look_up_aside`].
//!
//! A name server that does not answer keeps one such thread and one socket waiting, nothing else.

use super::event::SocketId;
use super::poller::{Command, Poller};
use crate::sync::Arc;
use crate::sys::resolve::{LookupError, Transport};
use crate::sys::socket::error_text;
use std::ffi::CStr;
use std::net::SocketAddr;
use std::thread;

/// A blocking look-up.
pub type Resolve = fn(&CStr, i32, Transport) -> Result<Vec<SocketAddr>, LookupError>;

/// Looks `host` up and posts the result, good or bad, as the dial command of socket `id`.
pub fn look_up(poller: &Arc<Poller>, resolve: Resolve, id: SocketId, host: &CStr, port: i32) {
    let answer = {
        let poller = Arc::clone(poller);
        move |result| poller.post(Command::Dial(id, result))
    };
    let host = host.to_owned();
    let spawned = thread::Builder::new()
        .name("resolver".into())
        .spawn(move || answer(resolve(&host, port, Transport::Tcp)));
    if let Err(error) = spawned {
        poller.post(Command::Dial(id, Err(LookupError(error_text(&error)))));
    }
}
