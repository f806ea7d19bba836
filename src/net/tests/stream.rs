//! Listening, accepting, starting, reading, pausing.

use super::*;
use std::io::Write;

#[test]
fn the_life_of_a_listener_and_a_connection() {
    let mut rig = Rig::idle(resolve::lookup);
    let listener = rig.server.listen(ME, Some(c"127.0.0.1"), 0, 16).unwrap();
    assert_eq!(listener, SocketId(1));
    rig.run();
    let seen = rig.expect(EventKind::Connect, listener);
    assert_eq!(seen.text(), "127.0.0.1");
    let address = SocketAddr::from(([127, 0, 0, 1], seen.ud as u16));

    // The backlog holds whoever comes before start.
    let mut peer = TcpStream::connect(address).unwrap();
    rig.quiet();
    rig.server.start(ME, listener);
    rig.expect_text(EventKind::Connect, listener, "start");
    let seen = rig.expect(EventKind::Accept, listener);
    assert_eq!(seen.text(), peer.local_addr().unwrap().to_string());
    let id = SocketId(seen.ud);

    let sent: Vec<u8> = (0..1000).map(|n| n as u8).collect();
    peer.write_all(&sent).unwrap();
    rig.quiet();
    rig.server.start(ME, id);
    rig.expect_text(EventKind::Connect, id, "start");
    let mut received = Vec::new();
    for len in [64, 128, 256, 512, 40] {
        let seen = rig.expect(EventKind::Data, id);
        assert_eq!(seen.ud, len);
        received.extend(seen.bytes);
    }
    assert_eq!(received, sent);

    rig.server.start(ME, id);
    rig.expect_text(EventKind::Connect, id, "transfer");
    rig.server.start(ME, listener);
    rig.quiet();
}

#[test]
fn start_changes_the_owner() {
    let rig = Rig::new();
    let listener = rig.listener();
    let (id, mut peer) = rig.accepted(listener);
    rig.server.start(7, id);
    assert_eq!(rig.expect_for(7, EventKind::Connect, id).text(), "start");
    peer.write_all(b"x").unwrap();
    rig.expect_for(7, EventKind::Data, id);
    rig.server.start(8, id);
    assert_eq!(rig.expect_for(8, EventKind::Connect, id).text(), "transfer");
    // Close is told to the owner, whoever asked for it.
    rig.server.close(id);
    rig.expect_for(8, EventKind::Close, id);
}

#[test]
fn a_paused_connection_keeps_its_data() {
    let rig = Rig::new();
    let (id, mut peer) = rig.pair();
    rig.server.pause(id);
    rig.settle();
    peer.write_all(b"later").unwrap();
    rig.quiet();
    rig.server.start(ME, id);
    rig.expect_text(EventKind::Connect, id, "transfer");
    assert_eq!(rig.expect_data(id, 5), b"later");
    rig.server.pause(NOBODY);
    rig.quiet();
}

#[test]
fn a_paused_listener_accepts_nobody() {
    let rig = Rig::new();
    let (listener, address) = rig.listener();
    rig.server.pause(listener);
    rig.settle();
    let _peer = TcpStream::connect(address).unwrap();
    rig.quiet();
    rig.server.start(ME, listener);
    rig.expect(EventKind::Accept, listener);
    rig.quiet();
}

#[test]
fn start_of_what_is_not_there_is_told_to_the_caller() {
    let rig = Rig::new();
    rig.server.start(5, NOBODY);
    assert_eq!(
        rig.expect_for(5, EventKind::Error, NOBODY).text(),
        "invalid socket"
    );
    rig.server.start(5, SocketId(0));
    assert_eq!(
        rig.expect_for(5, EventKind::Error, SocketId(0)).text(),
        "invalid socket"
    );
    rig.server.start(5, SocketId(-3));
    assert_eq!(
        rig.expect_for(5, EventKind::Error, SocketId(-3)).text(),
        "invalid socket"
    );
}

#[test]
fn a_port_in_use_is_refused() {
    let rig = Rig::new();
    let (_, address) = rig.listener();
    let again = rig
        .server
        .listen(ME, Some(c"127.0.0.1"), i32::from(address.port()), 16);
    assert_eq!(again, Err("Address already in use".to_string()));
    assert!(rig.server.listen(ME, Some(c"no such host"), 0, 16).is_err());
    rig.quiet();
    assert_eq!(rig.sockets(), 1);
}

#[test]
fn no_host_means_any_address() {
    let rig = Rig::new();
    for host in [None, Some(c"")] {
        let id = rig.server.listen(ME, host, 0, 16).unwrap();
        assert_eq!(rig.expect(EventKind::Connect, id).text(), "0.0.0.0");
    }
}

#[test]
fn ipv6_has_no_brackets() {
    let rig = Rig::new();
    let Ok(listener) = rig.server.listen(ME, Some(c"::1"), 0, 16) else {
        return eprintln!("no IPv6 here");
    };
    let seen = rig.expect(EventKind::Connect, listener);
    assert_eq!(seen.text(), "::1");
    rig.server.start(ME, listener);
    rig.expect_text(EventKind::Connect, listener, "start");
    let id = rig.server.connect(ME, c"::1", seen.ud).unwrap();
    let mut events = [rig.next(), rig.next()];
    events.sort_by_key(|seen| seen.kind == EventKind::Accept);
    assert_eq!(
        (events[0].kind, events[0].id, events[0].text()),
        (EventKind::Connect, id, "::1")
    );
    assert!(events[1].text().starts_with("::1:"), "{:?}", events[1]);
}

#[test]
fn a_started_listener_that_is_closed_reports_it() {
    let rig = Rig::new();
    let (listener, address) = rig.listener();
    rig.server.close(listener);
    rig.expect_plain(EventKind::Close, listener, 0);
    rig.expect_gone(listener);
    assert!(TcpStream::connect(address).is_err());

    let mut rig = Rig::idle(resolve::lookup);
    let listener = rig.server.listen(ME, None, 0, 16).unwrap();
    rig.server.close(listener);
    rig.run();
    rig.expect(EventKind::Connect, listener);
    rig.expect_plain(EventKind::Close, listener, 0);
}

#[test]
fn info_shows_what_is_in_use() {
    use super::super::info::Type;
    let rig = Rig::new();
    let waiting = rig.server.listen(ME, None, 0, 16).unwrap();
    rig.expect(EventKind::Connect, waiting);
    let listener = rig.listener();
    let (unstarted, _peer) = rig.accepted(listener);
    let (id, mut peer) = rig.accepted(listener);
    rig.server.start(ME + 1, id);
    rig.expect_for(ME + 1, EventKind::Connect, id);
    peer.write_all(b"12345").unwrap();
    rig.expect_for(ME + 1, EventKind::Data, id);
    rig.send(id, b"123").unwrap();
    let udp = rig.server.udp_dial(ME, c"127.0.0.1", 9).unwrap();
    rig.settle();

    let list = rig.server.info();
    let ids: Vec<SocketId> = list.iter().map(|socket| socket.id).collect();
    assert_eq!(ids, [listener.0, id, udp]);
    assert!(!ids.contains(&waiting) && !ids.contains(&unstarted));
    assert_eq!((list[0].kind, list[0].stat.read), (Type::Listen, 2));
    assert_eq!(
        (list[0].name.clone(), list[0].reading),
        (listener.1.to_string(), true)
    );
    let tcp = &list[1];
    assert_eq!((tcp.kind, tcp.owner, tcp.pending), (Type::Tcp, ME + 1, 0));
    assert_eq!(tcp.name, peer.local_addr().unwrap().to_string());
    assert_eq!((tcp.stat.read, tcp.stat.write), (5, 3));
    assert_eq!((tcp.stat.read_time, tcp.stat.write_time), (7, 7));
    assert_eq!((tcp.reading, tcp.writing), (true, false));
    assert_eq!(
        (list[2].kind, list[2].name.as_str()),
        (Type::Udp, "127.0.0.1:9")
    );

    rig.server.set_time(8);
    let sent = rig.clog(id);
    rig.server.pause(id);
    rig.settle();
    let tcp = &rig.server.info()[1];
    assert_eq!((tcp.reading, tcp.writing), (false, true));
    assert_eq!(tcp.stat.write as usize + tcp.pending, 3 + sent);
    assert_eq!((tcp.stat.read_time, tcp.stat.write_time), (7, 8));

    rig.server.close(id);
    rig.expect_for(ME + 1, EventKind::Close, id);
    assert_eq!(rig.server.info()[1].kind, Type::Closing);
}
