//! Outgoing connections, names included.

use super::*;
use crate::sys::resolve::{LookupError, Transport};
use std::ffi::CString;
use std::io::Write;
use std::sync::Mutex;

/// A free loopback port and who listens there.
fn server() -> (TcpListener, i32) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = i32::from(listener.local_addr().unwrap().port());
    (listener, port)
}

/// Held by a test to keep the resolver from answering.
static GATE: Mutex<()> = Mutex::new(());

/// Knows three names: `gate` waits for the lock, `twice` has a refusing address first, and everything
/// else does not exist.
fn resolver(host: &CStr, port: i32, _: Transport) -> Result<Vec<SocketAddr>, LookupError> {
    let here = SocketAddr::from(([127, 0, 0, 1], port as u16));
    match host.to_bytes() {
        b"gate" => {
            drop(GATE.lock());
            Ok(vec![here])
        }
        b"twice" => Ok(vec![SocketAddr::from(([127, 0, 0, 2], port as u16)), here]),
        _ => Err(LookupError("no such thing".into())),
    }
}

#[test]
fn a_connection_is_reported_and_carries_data() {
    let rig = Rig::new();
    let (listener, port) = server();
    let id = rig.server.connect(ME, c"127.0.0.1", port).unwrap();
    rig.expect_text(EventKind::Connect, id, "127.0.0.1");
    let (mut peer, _) = listener.accept().unwrap();
    peer.write_all(b"hello").unwrap();
    assert_eq!(rig.expect_data(id, 5), b"hello");
    rig.send(id, b"there").unwrap();
    assert_eq!(read_exact(&peer, 5), b"there");
    rig.server.close(id);
    rig.expect_plain(EventKind::Close, id, 0);
    assert_eq!(read_all(&peer), b"");
}

#[test]
fn names_are_looked_up() {
    let rig = Rig::new();
    let (_listener, port) = server();
    let id = rig.server.connect(ME, c"localhost", port).unwrap();
    rig.expect_text(EventKind::Connect, id, "127.0.0.1");
}

#[test]
fn a_refused_connection_gives_one_error() {
    let rig = Rig::new();
    let id = rig.server.connect(ME, c"127.0.0.1", closed_port()).unwrap();
    rig.expect_text(EventKind::Error, id, "Connection refused");
    rig.expect_gone(id);
    assert_eq!(rig.sockets(), 0);
}

#[test]
fn a_bad_name_gives_the_resolvers_text() {
    let mut rig = Rig::idle(resolver);
    rig.run();
    let id = rig.server.connect(ME, c"nowhere", 1).unwrap();
    rig.expect_text(EventKind::Error, id, "no such thing");
    rig.expect_gone(id);
}

#[test]
fn a_host_that_is_too_long_is_refused_at_once() {
    let rig = Rig::new();
    let host = |len| CString::new(vec![b'x'; len]).unwrap();
    assert_eq!(rig.server.connect(ME, &host(232), 1), None);
    let id = rig.server.connect(ME, &host(231), 1).unwrap();
    assert_eq!(rig.expect(EventKind::Error, id).kind, EventKind::Error);
}

#[test]
fn the_next_address_is_tried() {
    let mut rig = Rig::idle(resolver);
    rig.run();
    let (listener, port) = server();
    let id = rig.server.connect(ME, c"twice", port).unwrap();
    rig.send(id, b"x").unwrap();
    rig.expect_text(EventKind::Connect, id, "127.0.0.1");
    let (peer, _) = listener.accept().unwrap();
    assert_eq!(read_exact(&peer, 1), b"x");
    let id = rig.server.connect(ME, c"twice", closed_port()).unwrap();
    rig.expect_text(EventKind::Error, id, "Connection refused");
    rig.quiet();
}

#[test]
fn what_is_sent_before_the_connection_goes_out_after_it() {
    let mut rig = Rig::idle(resolver);
    let (listener, port) = server();
    let gate = GATE.lock();
    let named = rig.server.connect(ME, c"gate", port).unwrap();
    let numeric = rig.server.connect(ME, c"127.0.0.1", port).unwrap();
    // Nobody polls yet.
    for id in [named, numeric] {
        rig.send(id, b"one ").unwrap();
        rig.send_low(id, b"two ").unwrap();
    }
    rig.run();
    rig.expect_text(EventKind::Connect, numeric, "127.0.0.1");
    let (first, _) = listener.accept().unwrap();
    assert_eq!(read_exact(&first, 8), b"one two ");

    // A pending name keeps nobody else waiting.
    rig.send(named, b"three").unwrap();
    rig.server.no_delay(named);
    rig.quiet();
    drop(gate);
    rig.expect_text(EventKind::Connect, named, "127.0.0.1");
    let (second, _) = listener.accept().unwrap();
    // The first buffer in line is never low, the second one is.
    assert_eq!(read_exact(&second, 13), b"one threetwo ");
}

#[test]
fn closing_while_connecting_gives_close_only() {
    let mut rig = Rig::idle(resolver);
    let (listener, port) = server();
    let gate = GATE.lock();
    let idle = rig.server.connect(ME, c"gate", port).unwrap();
    let busy = rig.server.connect(ME, c"gate", port).unwrap();
    let doomed = rig.server.connect(ME, c"gate", closed_port()).unwrap();
    let cut = rig.server.connect(ME, c"gate", port).unwrap();
    for id in [busy, doomed, cut] {
        rig.send(id, b"flush me").unwrap();
    }
    rig.server.close(idle);
    rig.server.close(busy);
    rig.server.close(doomed);
    rig.server.shutdown(cut);
    rig.run();
    for id in [idle, busy, doomed, cut] {
        rig.expect_plain(EventKind::Close, id, 0);
    }
    assert_eq!(rig.send(busy, b"late"), Err(Refused));
    drop(gate);
    let (peer, _) = listener.accept().unwrap();
    assert_eq!(read_all(&peer), b"flush me");
    eventually("all slots free", || rig.sockets() == 0);
    rig.quiet();
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err());
}

#[test]
fn numeric_connects_can_be_closed_while_they_last() {
    let mut rig = Rig::idle(resolve::lookup);
    let (listener, port) = server();
    let id = rig.server.connect(ME, c"127.0.0.1", port).unwrap();
    rig.send(id, b"bye").unwrap();
    rig.server.close(id);
    rig.run();
    rig.expect_plain(EventKind::Close, id, 0);
    assert_eq!(read_all(&listener.accept().unwrap().0), b"bye");
    rig.quiet();
}

#[test]
fn pause_and_start_are_remembered_while_connecting() {
    let mut rig = Rig::idle(resolver);
    let (listener, port) = server();
    let id = rig.server.connect(ME, c"127.0.0.1", port).unwrap();
    rig.server.pause(id);
    rig.run();
    rig.expect_text(EventKind::Connect, id, "127.0.0.1");
    let (mut peer, _) = listener.accept().unwrap();
    peer.write_all(b"x").unwrap();
    rig.quiet();
    rig.server.start(ME, id);
    rig.expect_text(EventKind::Connect, id, "transfer");
    rig.expect_data(id, 1);
}

#[test]
fn an_unanswered_name_does_not_outlive_its_engine() {
    let gate = GATE.lock();
    let mut rig = Rig::idle(resolver);
    rig.run();
    rig.server.connect(ME, c"gate", 1).unwrap();
    drop(rig);
    drop(gate);
}
