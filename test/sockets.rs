//! Nodes with real clients: many writers on one socket, more clients than descriptors, clients that do not
//! read, ten thousand connections, names that are never found, resets at every moment.
//!
//! `SKYNET_SOCKETS_LONG=1` makes the long forms of those that have one (`make sockets-long`).

mod common;
#[path = "sockets/lab.rs"]
mod lab;

use std::io::{BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use common::SOON;
use lab::{Lab, long, ready, wait_until};

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

// ---- more clients than descriptors ----

/// How many descriptors the node may have.
fn limit_descriptors(command: &mut Command, limit: u64) {
    let set = move || {
        let limit = libc::rlimit {
            rlim_cur: limit,
            rlim_max: limit,
        };
        // SAFETY: setrlimit only reads the struct.
        match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        }
    };
    // SAFETY: the closure is a plain system call, which is allowed between fork and exec.
    unsafe { command.pre_exec(set) };
}

fn exhausted(pollers: u32) {
    const CLIENTS: usize = 500;
    let config = format!("sk_poller = {pollers}");
    let mut lab = Lab::front(&[], &config, |_, command| limit_descriptors(command, 64));
    let mut clients: Vec<Option<TcpStream>> = Vec::new();
    for number in 0..CLIENTS as u32 {
        let mut client = lab.connect();
        client.write_all(&number.to_be_bytes()).expect("room");
        client.set_nonblocking(true).expect("a socket");
        clients.push(Some(client));
    }
    lab.node
        .expect("^FRONT listener ERROR Too many open files$", SOON);

    // They wait, and the node does nothing about it, apart from a look now and then.
    let (begin, used) = (Instant::now(), lab.processor_time());
    let told = lab.front_stats().refused;
    thread::sleep(Duration::from_secs(3));
    let used = lab.processor_time() - used;
    let stats = lab.front_stats();
    let seconds = begin.elapsed().as_secs_f64();
    println!("{pollers} pollers: {used:?} in {seconds:.1} s, {stats:?}");
    assert!(
        used.as_secs_f64() < 0.1 * seconds,
        "{used:?} of {seconds} s"
    );
    let errors = stats.refused - told;
    assert!(
        errors as f64 <= seconds + 1.0,
        "{errors} errors in {seconds} s"
    );
    assert!((10..64).contains(&stats.accepted), "{stats:?}");

    // As soon as some go, others come.
    let mut left = CLIENTS;
    wait_until("500 echoes", 4 * SOON, || {
        for (number, place) in (0u32..).zip(&mut clients) {
            let Some(client) = place else { continue };
            let mut back = [0; 4];
            match client.read(&mut back) {
                Ok(4) => assert_eq!(u32::from_be_bytes(back), number),
                Ok(n) => panic!("client {number} reads {n} bytes"),
                Err(e) if e.kind() == ErrorKind::WouldBlock => continue,
                Err(e) => panic!("client {number}: {e}"),
            }
            *place = None;
            left -= 1;
        }
        left == 0
    });
    lab.expect_front("all are served", SOON, |s| {
        s.accepted == CLIENTS as u64 && s.ended == CLIENTS as u64
    });
    lab.quit();
}

#[test]
fn clients_wait_for_descriptors() {
    exhausted(1);
}

#[test]
fn clients_wait_for_descriptors_with_four_pollers() {
    exhausted(4);
}
