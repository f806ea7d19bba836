//! Half close, close, shutdown, resets: how sockets end.

use super::*;
use std::io::Write;
use std::net::Shutdown;

#[test]
fn the_peers_close_is_reported_once() {
    let rig = Rig::new();
    let (id, mut peer) = rig.pair();
    peer.write_all(b"last words").unwrap();
    drop(peer);
    rig.expect_data(id, 10);
    rig.expect_plain(EventKind::Close, id, 0);
    rig.server.start(5, id);
    assert_eq!(
        rig.expect_for(5, EventKind::Error, id).text(),
        "socket closed"
    );
    rig.server.close(id);
    rig.quiet();
    rig.expect_gone(id);
}

#[test]
fn a_half_closed_connection_can_still_be_written() {
    let rig = Rig::new();
    let (id, peer) = rig.pair();
    peer.shutdown(Shutdown::Write).unwrap();
    rig.expect_plain(EventKind::Close, id, 0);
    rig.send(id, b"an answer").unwrap();
    rig.quiet();
    rig.server.close(id);
    assert_eq!(read_all(&peer), b"an answer");
    rig.quiet();
    assert_eq!(rig.sockets(), 1);
}

#[test]
fn a_half_closed_connection_flushes_before_it_ends() {
    let rig = Rig::new();
    let (id, peer) = rig.pair();
    peer.shutdown(Shutdown::Write).unwrap();
    rig.expect_plain(EventKind::Close, id, 0);
    let sent = rig.clog(id);
    rig.server.close(id);
    rig.quiet();
    assert_eq!(read_all(&peer).len(), sent);
    rig.quiet();
    assert_eq!(rig.sockets(), 1);
}

#[test]
fn own_close_is_reported_once() {
    let rig = Rig::new();
    let (id, peer) = rig.pair();
    rig.server.close(id);
    rig.expect_plain(EventKind::Close, id, 0);
    assert_eq!(read_all(&peer), b"");
    rig.server.close(id);
    rig.server.shutdown(id);
    rig.quiet();
    rig.expect_gone(id);
}

#[test]
fn close_flushes_in_the_background() {
    let rig = Rig::new();
    let (id, mut peer) = rig.pair();
    let sent = rig.clog(id);
    rig.server.close(id);
    rig.expect_plain(EventKind::Close, id, 0);
    assert_eq!(rig.send(id, b"late"), Err(Refused));
    assert_eq!(rig.send_low(id, b"late"), Ok(()));
    rig.server.start(ME, id);
    rig.expect_text(EventKind::Error, id, "socket closed");
    rig.server.close(id);
    // What comes in does not matter any more, and does not spoil what goes out.
    peer.write_all(&[b'x'; 100_000]).unwrap();
    rig.quiet();
    let mut received = 0;
    while rig.sockets() == 2 {
        received += read_exact(&peer, 10_000).len();
    }
    rig.expect_gone(id);
    thread::sleep(Duration::from_millis(30));
    assert_eq!(received + read_all(&peer).len(), sent);
}

#[test]
fn close_after_a_direct_write_does_not_reset() {
    let rig = Rig::new();
    let (id, mut peer) = rig.pair();
    rig.server.pause(id);
    rig.settle();
    peer.write_all(b"something nobody reads").unwrap();
    rig.send(id, &[b'.'; 30_000]).unwrap();
    rig.server.close(id);
    rig.expect_plain(EventKind::Close, id, 0);
    rig.settle();
    assert_eq!(read_all(&peer).len(), 30_000);
}

#[test]
fn what_is_sent_after_close_is_dropped() {
    let mut rig = Rig::idle(resolve::lookup);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = i32::from(listener.local_addr().unwrap().port());
    let id = rig.server.connect(ME, c"127.0.0.1", port).unwrap();
    rig.send(id, b"before").unwrap();
    rig.server.close(id);
    // The poller has not seen the close: accepted, but not sent.
    assert_eq!(rig.send(id, b"after"), Ok(()));
    assert_eq!(rig.send_low(id, b"after"), Ok(()));
    rig.run();
    rig.expect_plain(EventKind::Close, id, 0);
    assert_eq!(read_all(&listener.accept().unwrap().0), b"before");
    eventually("the slot is free", || rig.sockets() == 0);
}

#[test]
fn shutdown_discards() {
    let rig = Rig::new();
    let (id, peer) = rig.pair();
    let sent = rig.clog(id);
    rig.server.close(id);
    rig.expect_plain(EventKind::Close, id, 0);
    rig.server.shutdown(id);
    rig.settle();
    assert_eq!(rig.sockets(), 1);
    assert!(read_all(&peer).len() < sent);

    let (id, peer) = rig.pair();
    let sent = rig.clog(id);
    rig.server.shutdown(id);
    rig.expect_plain(EventKind::Close, id, 0);
    rig.quiet();
    assert!(read_all(&peer).len() < sent);
}

#[test]
fn a_reset_is_an_error_and_then_the_end() {
    let rig = Rig::new();
    let (id, mut peer) = rig.pair();
    peer.write_all(b"abc").unwrap();
    rig.expect_data(id, 3);
    reset(peer);
    rig.expect_text(EventKind::Error, id, "Connection reset by peer");
    rig.expect_plain(EventKind::Close, id, 0);
    rig.expect_gone(id);
}

#[test]
fn a_reset_of_a_paused_connection_ends_it() {
    let rig = Rig::new();
    let (id, peer) = rig.pair();
    rig.server.pause(id);
    rig.settle();
    reset(peer);
    rig.expect_text(EventKind::Error, id, "Connection reset by peer");
    rig.expect_plain(EventKind::Close, id, 0);
    rig.expect_gone(id);
}

#[test]
fn a_reset_before_start_is_told_to_the_listeners_owner() {
    let rig = Rig::new();
    let listener = rig.listener();
    let (id, peer) = rig.accepted(listener);
    reset(peer);
    rig.expect_text(EventKind::Error, id, "Connection reset by peer");
    rig.expect_plain(EventKind::Close, id, 0);
    rig.expect_gone(id);
}

#[test]
fn the_peers_close_before_start_is_seen_after_it() {
    let rig = Rig::new();
    let listener = rig.listener();
    let (id, mut peer) = rig.accepted(listener);
    peer.write_all(b"hi").unwrap();
    drop(peer);
    rig.quiet();
    rig.server.start(ME, id);
    rig.expect_text(EventKind::Connect, id, "start");
    rig.expect_data(id, 2);
    rig.expect_plain(EventKind::Close, id, 0);
}

#[test]
fn an_unstarted_connection_can_be_closed() {
    let rig = Rig::new();
    let listener = rig.listener();
    let (id, peer) = rig.accepted(listener);
    rig.server.close(id);
    rig.expect_plain(EventKind::Close, id, 0);
    assert_eq!(read_all(&peer), b"");
    rig.expect_gone(id);
}

#[test]
fn a_reset_of_a_half_closed_connection_frees_it_silently() {
    let rig = Rig::new();
    let (id, peer) = rig.pair();
    peer.shutdown(Shutdown::Write).unwrap();
    rig.expect_plain(EventKind::Close, id, 0);
    reset(peer);
    eventually("the slot is free", || rig.sockets() == 1);
    rig.quiet();
    rig.expect_gone(id);
}

#[test]
fn a_peer_that_dies_during_the_flush_ends_it() {
    let rig = Rig::new();
    let (id, peer) = rig.pair();
    rig.clog(id);
    rig.server.close(id);
    rig.expect_plain(EventKind::Close, id, 0);
    reset(peer);
    eventually("the slot is free", || rig.sockets() == 1);
    rig.quiet();
}

#[test]
fn a_peer_that_goes_with_unread_data_resets() {
    let rig = Rig::new();
    let (id, peer) = rig.pair();
    rig.send(id, b"never read").unwrap();
    eventually("the data is there", || {
        peer.peek(&mut [0; 16]).unwrap() == 10
    });
    drop(peer);
    rig.expect_text(EventKind::Error, id, "Connection reset by peer");
    rig.expect_plain(EventKind::Close, id, 0);
    rig.expect_gone(id);
}

#[test]
fn data_before_a_reset_is_delivered() {
    let rig = Rig::new();
    let listener = rig.listener();
    let (id, mut peer) = rig.accepted(listener);
    rig.server.start(ME, id);
    rig.expect_text(EventKind::Connect, id, "start");
    peer.write_all(&[b'd'; 300]).unwrap();
    assert_eq!(rig.expect_data(id, 300), [b'd'; 300]);
    reset(peer);
    rig.expect(EventKind::Error, id);
    rig.expect_plain(EventKind::Close, id, 0);
}

#[test]
fn exit_comes_after_what_was_asked_before() {
    let rig = Rig::idle(resolve::lookup);
    let id = rig.server.listen(ME, None, 0, 16).unwrap();
    rig.server.exit();
    rig.server.close(id);
    assert_eq!(rig.server.poll().event.kind, EventKind::Connect);
    assert_eq!(rig.server.poll().event.kind, EventKind::Exit);
    assert_eq!(rig.server.poll().event.kind, EventKind::Exit);
}

#[test]
fn a_cleared_engine_is_empty_and_can_be_reopened() {
    let mut rig = Rig::idle(resolve::lookup);
    let id = rig.server.listen(ME, Some(c"127.0.0.1"), 0, 16).unwrap();
    let port = rig.server.poll().event.ud;
    rig.server.start(ME, id);
    assert_eq!(rig.server.poll().event.kind, EventKind::Connect);
    let udp = rig.server.udp(ME, None, 0).unwrap();
    rig.server.clear();
    assert_eq!(rig.sockets(), 0);
    assert!(TcpStream::connect(("127.0.0.1", port as u16)).is_err());
    assert_eq!(rig.send(udp, b"x"), Err(Refused));
    assert_eq!(rig.server.poll().event.kind, EventKind::Exit);
    rig.server.reopen();
    rig.run();
    let (id, _peer) = rig.pair();
    rig.server.close(id);
    rig.expect_plain(EventKind::Close, id, 0);
}
