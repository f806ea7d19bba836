//! UDP, both families.

use super::*;
use crate::net::udp::{MAX_ADDRESS, decode, encode};
use std::net::UdpSocket;

fn peer(host: &str) -> Option<(UdpSocket, SocketAddr)> {
    let socket = UdpSocket::bind((host, 0)).ok()?;
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let address = socket.local_addr().unwrap();
    Some((socket, address))
}

fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut bytes = vec![0; 70_000];
    let (len, from) = socket.recv_from(&mut bytes).unwrap();
    bytes.truncate(len);
    (bytes, from)
}

fn encoded(address: &SocketAddr) -> Vec<u8> {
    let mut bytes = [0; MAX_ADDRESS];
    let len = encode(address, &mut bytes);
    bytes[..len].to_vec()
}

/// The bound port of a UDP id.
fn port(rig: &Rig, id: SocketId) -> u16 {
    let socket = rig.server.slots.lock(id).unwrap();
    crate::sys::socket::local_address(socket.fd.as_ref().unwrap())
        .unwrap()
        .port()
}

fn expect_datagram(rig: &Rig, id: SocketId, payload: &[u8], from: &SocketAddr) {
    let seen = rig.expect(EventKind::Udp, id);
    let (data, address) = seen.bytes.split_at(seen.ud as usize);
    assert_eq!((data, decode(address)), (payload, Some(*from)));
}

fn there_and_back(host: &str) {
    let rig = Rig::new();
    let Some((peer, address)) = peer(host) else {
        return eprintln!("no address {host} here");
    };
    let id = rig.server.udp(ME, Some(c_host(&address)), 0).unwrap();
    let own = SocketAddr::new(address.ip(), port(&rig, id));
    for payload in [&b"hello"[..], b"", &[7; 9000]] {
        peer.send_to(payload, own).unwrap();
        expect_datagram(&rig, id, payload, &address);
        rig.server
            .udp_send(id, &encoded(&address), Outgoing::Borrowed(payload))
            .unwrap();
        assert_eq!(receive(&peer), (payload.to_vec(), own));
    }
    rig.server.close(id);
    rig.expect_plain(EventKind::Close, id, 0);
    rig.expect_gone(id);
}

#[test]
fn datagrams_v4() {
    there_and_back("127.0.0.1");
}

#[test]
fn datagrams_v6() {
    there_and_back("::1");
}

#[test]
fn the_largest_datagram() {
    let rig = Rig::new();
    let (peer, address) = peer("127.0.0.1").unwrap();
    let id = rig
        .server
        .udp_dial(ME, c"127.0.0.1", i32::from(address.port()))
        .unwrap();
    let payload = vec![b'u'; 65507];
    rig.send(id, &payload).unwrap();
    let (bytes, from) = receive(&peer);
    assert_eq!(bytes, payload);
    peer.send_to(&payload, from).unwrap();
    expect_datagram(&rig, id, &payload, &address);
    // One byte more is no datagram at all: dropped with a log line.
    rig.send(id, &vec![0; 65508]).unwrap();
    rig.send(id, b"next").unwrap();
    assert_eq!(receive(&peer).0, b"next");
}

#[test]
fn default_destinations() {
    let rig = Rig::new();
    let (first, first_address) = peer("127.0.0.1").unwrap();
    let (second, second_address) = peer("127.0.0.1").unwrap();
    let id = rig.server.udp(ME, None, 0).unwrap();
    assert_eq!(rig.send(id, b"where to"), Err(Refused));

    let port_of = |address: &SocketAddr| i32::from(address.port());
    rig.server
        .udp_connect(id, c"127.0.0.1", port_of(&first_address))
        .unwrap();
    rig.send(id, b"one").unwrap();
    rig.server
        .udp_connect(id, c"127.0.0.1", port_of(&second_address))
        .unwrap();
    rig.send(id, b"two").unwrap();
    rig.send_low(id, b"three").unwrap();
    let (bytes, own) = receive(&first);
    assert_eq!(bytes, b"one");
    assert_eq!(receive(&second).0, b"two");
    assert_eq!(receive(&second).0, b"three");
    // Anybody may still write to it.
    let own = SocketAddr::from(([127, 0, 0, 1], own.port()));
    first.send_to(b"stranger", own).unwrap();
    expect_datagram(&rig, id, b"stranger", &first_address);

    let dialed = rig
        .server
        .udp_dial(ME, c"127.0.0.1", port_of(&first_address))
        .unwrap();
    rig.send(dialed, b"dialed").unwrap();
    assert_eq!(receive(&first).0, b"dialed");
    rig.quiet();
}

#[test]
fn families_do_not_mix() {
    let rig = Rig::new();
    let id = rig.server.udp(ME, None, 0).unwrap();
    let v6 = encoded(&"[::1]:9".parse().unwrap());
    assert_eq!(
        rig.server.udp_send(id, &v6, Outgoing::Borrowed(b"x")),
        Err(Refused)
    );
    assert_eq!(rig.server.udp_connect(id, c"::1", 9), Ok(()));
    rig.expect_text(EventKind::Error, id, "protocol mismatch");
    assert_eq!(rig.send(id, b"x"), Err(Refused));
}

#[test]
fn what_is_refused() {
    let rig = Rig::new();
    let (_, v4) = peer("127.0.0.1").unwrap();
    let v4 = encoded(&v4);
    let data = || Outgoing::Borrowed(b"x");
    assert_eq!(rig.server.udp_listen(ME, Some(c"127.0.0.1"), 0), None);
    assert_eq!(rig.server.udp_dial(ME, c"no such host", 1), None);
    assert_eq!(
        rig.server.udp_connect(NOBODY, c"127.0.0.1", 1),
        Err(Refused)
    );
    assert_eq!(rig.server.udp_send(NOBODY, &v4, data()), Err(Refused));
    let id = rig.server.udp(ME, None, 0).unwrap();
    assert_eq!(rig.server.udp_send(id, &[9; 7], data()), Err(Refused));
    assert_eq!(rig.server.udp_connect(id, c"no such host", 1), Err(Refused));
    let (tcp, _peer) = rig.pair();
    assert_eq!(rig.server.udp_send(tcp, &v4, data()), Err(Refused));
    assert_eq!(rig.server.udp_connect(tcp, c"127.0.0.1", 1), Err(Refused));
    rig.quiet();
}

#[test]
fn a_port_of_choice() {
    let rig = Rig::new();
    let port = UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let id = rig
        .server
        .udp_listen(ME, Some(c"127.0.0.1"), i32::from(port))
        .unwrap();
    let (peer, address) = peer("127.0.0.1").unwrap();
    peer.send_to(b"x", ("127.0.0.1", port)).unwrap();
    expect_datagram(&rig, id, b"x", &address);
}

#[test]
fn start_and_pause() {
    let rig = Rig::new();
    let (peer, address) = peer("127.0.0.1").unwrap();
    let id = rig.server.udp(ME, Some(c"127.0.0.1"), 0).unwrap();
    let port = port(&rig, id);
    rig.server.pause(id);
    rig.settle();
    peer.send_to(b"later", ("127.0.0.1", port)).unwrap();
    rig.quiet();
    rig.server.start(ME, id);
    rig.expect_text(EventKind::Connect, id, "transfer");
    expect_datagram(&rig, id, b"later", &address);
}

#[test]
fn many_datagrams_at_once() {
    let rig = Rig::new();
    let (peer, address) = peer("127.0.0.1").unwrap();
    let id = rig.server.udp(ME, Some(c"127.0.0.1"), 0).unwrap();
    let port = port(&rig, id);
    rig.server.pause(id);
    rig.settle();
    for number in 0..100u8 {
        peer.send_to(&[number], ("127.0.0.1", port)).unwrap();
    }
    rig.server.start(ME, id);
    rig.expect_text(EventKind::Connect, id, "transfer");
    for number in 0..100u8 {
        expect_datagram(&rig, id, &[number], &address);
    }
}

#[test]
fn a_destination_that_cannot_be_reached_is_dropped() {
    let rig = Rig::new();
    let id = rig.server.udp(ME, Some(c"127.0.0.1"), 0).unwrap();
    // Bound to loopback, the system refuses the outside at once.
    let outside = encoded(&"192.0.2.1:9".parse().unwrap());
    assert_eq!(
        rig.server.udp_send(id, &outside, Outgoing::Borrowed(b"x")),
        Ok(())
    );
    assert_eq!(rig.pending(id), 0);
    let (peer, address) = peer("127.0.0.1").unwrap();
    rig.server
        .udp_send(id, &encoded(&address), Outgoing::Borrowed(b"y"))
        .unwrap();
    assert_eq!(receive(&peer).0, b"y");
    rig.quiet();
}
