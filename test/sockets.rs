//! Nodes with real clients: many writers on one socket, more clients than descriptors, clients that do not
//! read, ten thousand connections, names that are never found, resets at every moment.
//!
//! `SKYNET_SOCKETS_LONG=1` makes the long forms of those that have one (`make sockets-long`).

mod common;
#[path = "sockets/lab.rs"]
mod lab;

use std::io::{BufReader, Read};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use common::SOON;
use lab::{Lab, long, ready};

// ---- several services write on one socket ----

/// Reads the records of `sockets/writers.c` to the end and checks each: it is whole, and the next one of its
/// writer and priority. How many there were of each writer.
fn read_records(stream: &TcpStream) -> [u64; 4] {
    let mut input = BufReader::with_capacity(1 << 18, stream);
    let mut next = [[0u32; 2]; 4];
    let mut pattern = Vec::new();
    loop {
        let mut head = [0; 12];
        match input.read(&mut head[..1]) {
            Ok(0) => return next.map(|n| u64::from(n[0]) + u64::from(n[1])),
            Ok(_) => {}
            Err(e) => panic!("the records end with {e}: {next:?}"),
        }
        input.read_exact(&mut head[1..]).expect("a whole head");
        let (writer, low) = (usize::from(head[0]), usize::from(head[1]));
        let word = |at: usize| u32::from_ne_bytes(head[at..at + 4].try_into().expect("four"));
        let (length, number) = (word(4), word(8));
        assert!(writer < 4 && low < 2 && length < 200_000, "{head:?}");
        assert_eq!(number, next[writer][low], "writer {writer}, low {low}");
        next[writer][low] += 1;
        pattern.resize(length as usize, 0);
        input.read_exact(&mut pattern).expect("a whole record");
        let first = number
            .wrapping_mul(31)
            .wrapping_add(writer as u32 * 7 + low as u32);
        let wrong = (0u32..)
            .zip(&pattern)
            .find(|(i, byte)| **byte != first.wrapping_add(*i) as u8);
        assert_eq!(wrong, None, "writer {writer}, record {number}");
    }
}

/// `slow`: the client does not read for a while, so that queues form.
fn writers(pollers: u32, records: u64, slow: bool) {
    let mut lab = Lab::new(&["writers"], &format!("sk_poller = {pollers}"));
    lab.say(&format!("launch writers {} {records}", lab.port));
    lab.node.expect("^WRITERS listen$", SOON);
    let stream = ready(lab.connect());
    if slow {
        lab.node.expect("^WRITERS wait$", SOON);
        thread::sleep(Duration::from_millis(300));
    }
    let counts = read_records(&stream);
    assert_eq!(counts, [records; 4], "{}", lab.node.report());
    lab.node.expect("^WRITERS closed$", SOON);
    lab.quit();
}

#[test]
fn writers_share_a_socket() {
    let records = if long() { 1_250_000 } else { 40_000 };
    writers(1, records, false);
    writers(4, records, false);
}

#[test]
fn writers_share_a_slow_socket() {
    let records = if long() { 1_250_000 } else { 20_000 };
    writers(1, records, true);
    writers(4, records, true);
}
