//! Order, priorities, warnings, and what becomes of data that cannot be sent.

use super::*;
use crate::sys::buffer::SendBytes;

#[test]
fn data_for_an_unstarted_connection_is_dropped() {
    let rig = Rig::new();
    let listener = rig.listener();
    let (id, peer) = rig.accepted(listener);
    assert_eq!(rig.send(id, b"too early"), Ok(()));
    rig.settle();
    rig.server.start(ME, id);
    rig.expect_text(EventKind::Connect, id, "start");
    rig.send(id, b"in time").unwrap();
    rig.server.close(id);
    rig.expect_plain(EventKind::Close, id, 0);
    assert_eq!(read_all(&peer), b"in time");
}

#[test]
fn data_right_after_start_counts() {
    let rig = Rig::new();
    let listener = rig.listener();
    for _ in 0..20 {
        let (id, peer) = rig.accepted(listener);
        rig.server.start(ME, id);
        rig.send(id, b"at once").unwrap();
        rig.expect_text(EventKind::Connect, id, "start");
        assert_eq!(read_exact(&peer, 7), b"at once");
        rig.server.close(id);
        rig.expect(EventKind::Close, id);
    }
}

#[test]
fn a_listener_takes_no_data() {
    let rig = Rig::new();
    let (listener, _) = rig.listener();
    assert_eq!(rig.send(listener, b"x"), Ok(()));
    rig.quiet();
}

#[test]
fn every_kind_of_buffer_arrives() {
    let rig = Rig::new();
    let (id, peer) = rig.pair();
    rig.send(id, b"").unwrap();
    rig.send(id, b"borrowed ").unwrap();
    let owned = Outgoing::Owned(SendBytes::copy_of(b"owned"));
    rig.server.send(id, owned, Priority::Low).unwrap();
    assert_eq!(read_exact(&peer, 14), b"borrowed owned");
}

#[test]
fn the_high_queue_goes_first() {
    let rig = Rig::new();
    let (id, peer) = rig.pair();
    let clogged = rig.clog(id);
    rig.send_low(id, b"<low>").unwrap();
    rig.send(id, b"<high>").unwrap();
    rig.send_low(id, b"<last>").unwrap();
    rig.server.close(id);
    rig.expect_plain(EventKind::Close, id, 0);
    let bytes = read_all(&peer);
    assert_eq!(bytes.len(), clogged + 17);
    assert_eq!(&bytes[clogged..], b"<high><low><last>");
    eventually("the slot is free", || rig.sockets() == 1);
}

#[test]
fn warnings_come_at_the_marks_and_end_with_zero() {
    let rig = Rig::new();
    let (id, peer) = rig.pair();
    let chunk = vec![b'w'; 1_000_000];
    let mut pending = Vec::new();
    // The kernel's buffers differ from machine to machine: enough to pass the third mark in any case.
    while rig.pending(id) < 5 << 20 {
        rig.send(id, &chunk).unwrap();
        pending.push(rig.pending(id));
    }
    let mut mark = 1 << 20;
    let first = pending.iter().position(|size| *size > 0).unwrap();
    // The rest of a direct write does not warn by itself.
    for size in &pending[first + 1..] {
        if *size >= mark {
            rig.expect_plain(EventKind::Warning, id, size.div_ceil(1024) as i32);
            mark = if mark == 1 << 20 { 2 << 20 } else { mark * 2 };
        }
    }
    assert_eq!(mark, 8 << 20);
    rig.quiet();
    assert_eq!(
        read_exact(&peer, pending.len() * chunk.len()),
        vec![b'w'; pending.len() * chunk.len()]
    );
    rig.expect_plain(EventKind::Warning, id, 0);

    // The marks begin again, and not with the rest of one large buffer.
    rig.send(id, &vec![b'w'; 20_000_000]).unwrap();
    assert!(rig.pending(id) > 1 << 20);
    rig.quiet();
    rig.send(id, b"x").unwrap();
    rig.expect(EventKind::Warning, id);
    rig.server.shutdown(id);
    rig.expect_plain(EventKind::Close, id, 0);
}

#[test]
fn low_priority_warns_as_well() {
    let rig = Rig::new();
    let (id, _peer) = rig.pair();
    let chunk = vec![b'w'; 1_000_000];
    rig.clog(id);
    while rig.pending(id) < 1 << 20 {
        rig.send_low(id, &chunk).unwrap();
    }
    assert!(rig.expect(EventKind::Warning, id).ud >= 1024);
}

#[test]
fn writers_of_one_socket_stay_in_order_and_whole() {
    const WRITERS: usize = 3;
    const EACH: u32 = 4000;
    let rig = Rig::new();
    let (id, peer) = rig.pair();
    let server = &rig.server;
    let bytes = thread::scope(|scope| {
        for writer in 0..WRITERS {
            scope.spawn(move || {
                for number in 0..EACH {
                    // Sizes from 8 bytes to 2 KB, the odd ones through the queue of owned buffers.
                    let len = 8 + (number as usize * 37 + writer * 11) % 2000;
                    let mut bytes = vec![writer as u8; len];
                    bytes[..2].copy_from_slice(&(len as u16).to_be_bytes());
                    bytes[4..8].copy_from_slice(&number.to_be_bytes());
                    let data = match number % 2 {
                        0 => Outgoing::Borrowed(&bytes),
                        _ => Outgoing::Owned(SendBytes::copy_of(&bytes)),
                    };
                    server.send(id, data, Priority::High).unwrap();
                }
            });
        }
        let mut seen = [0u32; WRITERS];
        let mut total = 0;
        while seen.iter().any(|count| *count < EACH) {
            let head = read_exact(&peer, 8);
            let len = usize::from(u16::from_be_bytes([head[0], head[1]]));
            let writer = usize::from(head[2]);
            assert_eq!(
                u32::from_be_bytes([head[4], head[5], head[6], head[7]]),
                seen[writer]
            );
            assert!(
                read_exact(&peer, len - 8)
                    .iter()
                    .all(|byte| usize::from(*byte) == writer)
            );
            seen[writer] += 1;
            total += len;
        }
        total
    });
    let stat = rig.server.slots.lock(id).unwrap().stat;
    assert_eq!(stat.write as usize, bytes);
}

#[test]
fn a_broken_writer_reports_once_and_then_ends_with_the_input() {
    let rig = Rig::new();
    let (id, peer) = rig.pair();
    // Make writing fail while the connection is otherwise alive.
    let fd = rig.server.slots.lock(id).unwrap().fd.clone().unwrap();
    rustix::net::shutdown(&fd, rustix::net::Shutdown::Write).unwrap();
    drop(fd);
    rig.send(id, b"x").unwrap();
    rig.expect_text(EventKind::Error, id, "Broken pipe");
    assert_eq!(rig.send(id, b"dropped"), Ok(()));
    assert_eq!(rig.send_low(id, b"dropped"), Ok(()));
    rig.server.start(5, id);
    rig.quiet();
    use std::io::Write;
    (&peer).write_all(b"still read").unwrap();
    rig.expect_data(id, 10);
    drop(peer);
    rig.expect_plain(EventKind::Close, id, 0);
    rig.expect_gone(id);
}
