//! Tests of the engine over real loopback sockets, by subject; and what they share.

#![allow(unsafe_code)]

mod connect;
mod descriptors;
mod ends;
mod model;
mod options;
mod sending;
mod stream;
mod udp;

use super::event::{Body, Event, EventKind, Owner, SocketId};
use super::output::Priority;
use super::resolver::Resolve;
use super::server::{Clock, Refused, SocketServer};
use super::udp::encoded_len;
use crate::sys::buffer::Outgoing;
use crate::sys::resolve;
use std::ffi::CStr;
use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The owner that tests use unless they say otherwise.
const ME: Owner = 100;
/// The owner of the events that mark an end.
const MARK: Owner = 999;
/// An id that no test reaches.
const NOBODY: SocketId = SocketId(i32::MAX);
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// An event whose data was copied out.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    kind: EventKind,
    id: SocketId,
    owner: Owner,
    ud: i32,
    bytes: Vec<u8>,
}

impl Seen {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).unwrap()
    }
}

impl From<Event> for Seen {
    fn from(event: Event) -> Seen {
        let bytes = match &event.body {
            Body::None => Vec::new(),
            Body::Text(text) => text.as_bytes().to_vec(),
            Body::Bytes(block) => {
                let start = block.as_ptr().cast::<u8>().cast_const();
                let mut len = event.ud as usize;
                if event.kind == EventKind::Udp {
                    // SAFETY: the address follows the payload.
                    len += encoded_len(unsafe { *start.add(len) }).unwrap();
                }
                // SAFETY: the block holds the payload and, for UDP, the address.
                unsafe { std::slice::from_raw_parts(start, len) }.to_vec()
            }
        };
        let (kind, id, owner, ud) = (event.kind, event.id, event.owner, event.ud);
        Seen {
            kind,
            id,
            owner,
            ud,
            bytes,
        }
    }
}

/// An engine with threads that poll it.
struct Rig {
    server: Arc<SocketServer>,
    events: Receiver<Seen>,
    sender: Option<Sender<Seen>>,
    threads: Vec<JoinHandle<()>>,
}

impl Rig {
    fn new() -> Rig {
        let mut rig = Rig::idle(resolve::lookup);
        rig.run();
        rig
    }

    /// An engine that nobody polls until `run` is called.
    fn idle(resolve: Resolve) -> Rig {
        let clock = Clock::Manual(AtomicU64::new(7));
        let server = Arc::new(SocketServer::with_resolver(clock, resolve).unwrap());
        server.look_up_aside();
        let (sender, events) = channel();
        Rig {
            server,
            events,
            sender: Some(sender),
            threads: Vec::new(),
        }
    }

    /// One thread that takes one event after the other.
    fn run(&mut self) {
        let (server, sender) = (Arc::clone(&self.server), self.sender.take().unwrap());
        self.threads.push(thread::spawn(move || {
            loop {
                let event = server.poll().event;
                if event.kind == EventKind::Exit || sender.send(event.into()).is_err() {
                    return;
                }
            }
        }));
    }

    /// An engine with several pollers, each with a thread of its own.
    fn spread(pollers: usize) -> Rig {
        let mut rig = Rig::idle(resolve::lookup);
        let sender = rig.sender.take().unwrap();
        rig.server.set_pollers(pollers).unwrap();
        for index in 0..pollers {
            let (server, sender) = (Arc::clone(&rig.server), sender.clone());
            rig.threads.push(thread::spawn(move || {
                server.run(index, move |event| {
                    // Every other owner is busy, so the poller rests now and then.
                    let waiting = if event.id.0 % 2 == 0 { 1000 } else { 0 };
                    let _ = sender.send(event.into());
                    waiting
                });
            }));
        }
        rig
    }

    fn next(&self) -> Seen {
        self.events.recv_timeout(PATIENCE).expect("an event")
    }

    fn poll_event(&self, time: Duration) -> Option<Seen> {
        match self.events.recv_timeout(time) {
            Ok(seen) => Some(seen),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => panic!("the poller ended"),
        }
    }

    /// The next event must be this one, for `ME`.
    fn expect(&self, kind: EventKind, id: SocketId) -> Seen {
        self.expect_for(ME, kind, id)
    }

    fn expect_for(&self, owner: Owner, kind: EventKind, id: SocketId) -> Seen {
        let seen = self.next();
        assert_eq!(
            (seen.kind, seen.id, seen.owner),
            (kind, id, owner),
            "{seen:?}"
        );
        seen
    }

    fn expect_text(&self, kind: EventKind, id: SocketId, text: &str) {
        let seen = self.expect(kind, id);
        assert_eq!((seen.text(), seen.ud), (text, 0));
    }

    fn expect_plain(&self, kind: EventKind, id: SocketId, ud: i32) {
        let seen = self.expect(kind, id);
        assert_eq!((seen.bytes.len(), seen.ud), (0, ud));
    }

    /// Takes DATA events of `id` until there are `len` bytes.
    fn expect_data(&self, id: SocketId, len: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < len {
            let seen = self.expect(EventKind::Data, id);
            assert_eq!(seen.ud as usize, seen.bytes.len());
            bytes.extend(seen.bytes);
        }
        assert_eq!(bytes.len(), len);
        bytes
    }

    /// Waits until the poller did everything asked for so far; the next event must be that mark.
    fn settle(&self) {
        self.server.start(MARK, NOBODY);
        let seen = self.expect_for(MARK, EventKind::Error, NOBODY);
        assert_eq!(seen.text(), "invalid socket");
    }

    /// Nothing happens for a while.
    fn quiet(&self) {
        if let Some(seen) = self.poll_event(Duration::from_millis(30)) {
            panic!("unexpected event {seen:?}");
        }
        self.settle();
    }

    /// `start` on this id finds nothing.
    fn expect_gone(&self, id: SocketId) {
        self.server.start(ME, id);
        self.expect_text(EventKind::Error, id, "invalid socket");
        assert_eq!(self.send(id, b"x"), Err(Refused));
    }

    fn send(&self, id: SocketId, bytes: &[u8]) -> Result<(), Refused> {
        self.server
            .send(id, Outgoing::Borrowed(bytes), Priority::High)
    }

    fn send_low(&self, id: SocketId, bytes: &[u8]) -> Result<(), Refused> {
        self.server
            .send(id, Outgoing::Borrowed(bytes), Priority::Low)
    }

    /// A started listener on a free loopback port.
    fn listener(&self) -> (SocketId, SocketAddr) {
        let id = self.server.listen(ME, Some(c"127.0.0.1"), 0, 16).unwrap();
        let seen = self.expect(EventKind::Connect, id);
        assert_eq!(seen.text(), "127.0.0.1");
        self.server.start(ME, id);
        self.expect_text(EventKind::Connect, id, "start");
        (id, SocketAddr::from(([127, 0, 0, 1], seen.ud as u16)))
    }

    /// A connection to `listener` that was not started yet, and its far end.
    fn accepted(&self, (listener, address): (SocketId, SocketAddr)) -> (SocketId, TcpStream) {
        let peer = TcpStream::connect(address).unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        let seen = self.expect(EventKind::Accept, listener);
        assert_eq!(seen.text(), peer.local_addr().unwrap().to_string());
        (SocketId(seen.ud), peer)
    }

    /// A started connection and its far end.
    fn pair(&self) -> (SocketId, TcpStream) {
        let listener = self.listener();
        let (id, peer) = self.accepted(listener);
        self.server.start(ME, id);
        self.expect_text(EventKind::Connect, id, "start");
        (id, peer)
    }

    /// Queues output until the kernel takes no more: how many bytes were sent altogether.
    fn clog(&self, id: SocketId) -> usize {
        let chunk = [b'.'; 100_000];
        let mut sent = 0;
        loop {
            let before = self.pending(id);
            if before == 0 {
                self.send(id, &chunk).unwrap();
                sent += chunk.len();
                continue;
            }
            // The kernel takes some more when it comes to it.
            thread::sleep(Duration::from_millis(20));
            if self.pending(id) == before {
                return sent;
            }
        }
    }

    fn pending(&self, id: SocketId) -> usize {
        self.server
            .slots
            .lock(id)
            .map_or(0, |socket| socket.output.pending())
    }

    /// How many slots are in use.
    fn sockets(&self) -> usize {
        self.server.slots.used()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.server.exit();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        self.server.clear();
        // What was accounted for is gone with its socket.
        assert!(thread::panicking() || self.server.limits.pending() == 0);
    }
}

/// Everything until end of input.
fn read_all(mut stream: &TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

fn read_exact(mut stream: &TcpStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// Closes with a reset instead of an orderly end.
fn reset(stream: TcpStream) {
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
}

/// A loopback port on which nobody listens, nor will as long as this process runs.
fn closed_port() -> i32 {
    static BOUND: OnceLock<(OwnedFd, u16)> = OnceLock::new();
    let (_, port) = BOUND.get_or_init(|| {
        use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with};
        let flags = SocketFlags::CLOEXEC;
        let fd = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap();
        bind(&fd, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = SocketAddr::try_from(getsockname(&fd).unwrap()).unwrap();
        (fd, address.port())
    });
    i32::from(*port)
}

/// Runs one of these tests again in a process of its own, where it may count and limit descriptors.
/// True in that process.
fn in_own_process(test: &str) -> bool {
    const KEY: &str = "SKYNET_NET_TEST_CHILD";
    if std::env::var_os(KEY).is_some_and(|name| name == test) {
        thread::spawn(|| {
            thread::sleep(6 * PATIENCE);
            eprintln!("took too long");
            std::process::abort();
        });
        return true;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            &format!("net::tests::{test}"),
            "--exact",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(KEY, test)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
    false
}

/// How many descriptors this process has open.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Waits for a condition that has no event.
fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if condition() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("never: {what}");
}

fn c_host(address: &SocketAddr) -> &'static CStr {
    if address.is_ipv6() {
        c"::1"
    } else {
        c"127.0.0.1"
    }
}
