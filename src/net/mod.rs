//! The socket engine (core.md §8).
//!
//! - [`server`]: what callers can do, from any thread
//! - [`drive`]: what the polling threads do: commands, readiness, deadlines, events; with [`incoming`],
//!   [`outgoing`], [`transfer`]
//! - [`poller`]: the queue and the wake-up between the two; [`resolver`]: names
//! - [`slots`]: ids; [`socket`]: the state of one socket; [`output`]: what it still has to send;
//!   [`options`]: options and limits
//! - [`event`]: what comes out; [`deliver`]: as messages to services; [`info`]: snapshots
//! - [`udp`]: encoded addresses
//!
//! This file holds the node's own engine. It is made once and kept: a node that ends clears it, and
//! one that starts again in the same process reopens it.

pub mod deliver;
pub mod drive;
pub mod event;
mod incoming;
pub mod info;
pub mod options;
mod outgoing;
pub mod output;
pub mod poller;
pub mod resolver;
pub mod server;
pub mod slots;
pub mod socket;
#[cfg(test)]
mod tests;
mod transfer;
pub mod udp;

use crate::core;
use event::EventKind;
use server::{Clock, SocketServer};
use std::io;
use std::sync::OnceLock;

static ENGINE: OnceLock<SocketServer> = OnceLock::new();

/// What serving one event came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// The engine was told to stop, or was never started.
    Stop,
    /// The last event of a batch.
    Last,
    /// More events may follow at once.
    More,
}

/// Makes the node's engine ready, with so many pollers. Starts no thread.
pub fn start(pollers: usize) -> io::Result<()> {
    if ENGINE.get().is_none() {
        // Two first starts at once: one engine is kept, the other was never used.
        let _ = ENGINE.set(SocketServer::new(Clock::Live(core::about_now))?);
    }
    let engine = ENGINE.get().expect("set above");
    engine.set_pollers(pollers)?;
    engine.reopen();
    Ok(())
}

/// How many pollers the node's engine has.
pub fn pollers() -> usize {
    engine().map_or(0, SocketServer::pollers)
}

/// For tests: lets the ids of the node's engine begin just below their limit.
pub fn skip_ids() {
    if let Some(engine) = engine() {
        engine.skip_ids();
    }
}

/// The node's engine, once it was started.
pub fn engine() -> Option<&'static SocketServer> {
    ENGINE.get()
}

/// Waits for one event and hands it to its owner.
pub fn serve() -> Served {
    let Some(engine) = engine() else {
        return Served::Stop;
    };
    let polled = engine.poll();
    if polled.event.kind == EventKind::Exit {
        return Served::Stop;
    }
    deliver::deliver(polled.event);
    if polled.more {
        Served::More
    } else {
        Served::Last
    }
}

/// Body of the thread of one poller: serves its sockets until [`close`].
pub fn run(index: usize) {
    if let Some(engine) = engine() {
        engine.run(index, deliver::deliver);
    }
}

/// A worker has nothing to do: pollers that rest go on.
pub fn hurry() {
    if let Some(engine) = engine() {
        engine.hurry();
    }
}

/// Tells the polling threads to end, after what was asked for before.
pub fn close() {
    if let Some(engine) = engine() {
        engine.exit();
    }
}

/// Ends all sockets without events.
pub fn stop() {
    if let Some(engine) = engine() {
        engine.clear();
    }
}
