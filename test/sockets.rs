//! Nodes with real clients: many writers on one socket, more clients than descriptors, clients that do not
//! read, ten thousand connections, names that are never found, resets at every moment.
//!
//! `SKYNET_SOCKETS_LONG=1` makes the long forms of those that have one (`make sockets-long`).

mod common;
#[path = "sockets/lab.rs"]
mod lab;

use std::io::{BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{SOON, Stage, skipped, tree};
use lab::{Lab, connect_from, echo, long, matches, number_in, reset, wait_until};

// ---- several services write on one socket ----

/// Reads the records of `sockets/writers.c` to the end and checks each: it is whole, and the next one of its
/// writer and priority. How many there were of each writer.
fn read_records(stream: impl Read) -> [u64; 4] {
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

/// A client that takes its time, so that queues form.
struct Slow(TcpStream);

impl Read for Slow {
    fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
        thread::sleep(Duration::from_millis(2));
        let some = room.len().min(1 << 15);
        self.0.read(&mut room[..some])
    }
}

fn writers(pollers: u32, records: u64, slow: bool) {
    let mut lab = Lab::new(&["writers"], &format!("sk_poller = {pollers}"));
    lab.say(&format!("launch writers {} {records}", lab.port));
    lab.node.expect("^WRITERS listen$", SOON);
    let stream = lab.connect();
    let counts = if slow {
        lab.node.expect("^WRITERS wait$", SOON);
        read_records(Slow(stream))
    } else {
        read_records(stream)
    };
    assert_eq!(counts, [records; 4], "{}", lab.node.report());
    lab.node.expect("^WRITERS closed$", SOON);
    let waits = lab.node.count("^WRITERS wait$");
    println!("{pollers} pollers: the writers had to wait {waits} times");
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
    // A loop takes all of a processor. A machine with other work may count some of that for the node.
    if long() {
        assert!(used.as_secs_f64() < 0.5 * seconds, "{used:?}");
    }
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

// ---- clients that do not read ----

const MIB: u64 = 1 << 20;

/// Has one client talk with the node while `work` is done, and says how often it was answered.
fn beside_an_echo(lab: &mut Lab, work: impl FnOnce(&mut Lab)) -> u64 {
    let mut client = lab.connect();
    let over = Arc::new(AtomicBool::new(false));
    let until = over.clone();
    let talker = thread::spawn(move || {
        let mut rounds = 0;
        while !until.load(Ordering::Relaxed) {
            // What one first read takes, so that the answer is one write and nothing waits for an acknowledgement.
            echo(&mut client, &[b'e'; 64]);
            rounds += 1;
        }
        rounds
    });
    work(lab);
    assert!(!talker.is_finished(), "an answer did not come");
    over.store(true, Ordering::Relaxed);
    talker.join().expect("every answer came")
}

/// Two hundred at a time are sent to all the time and never read. They are thrown out, and others come in their
/// place. The node never has more than `bound` bytes of output for them.
fn flood(pollers: u32, config: &str, bound: u64) {
    const AT_A_TIME: u64 = 200;
    const ALL: u64 = 600;
    let config =
        format!("thread = 1 sk_poller = {pollers} sk_write_limit_action = 'close' {config}");
    // The allocator is to give back what is freed: otherwise, if it had become one large piece, it would lie
    // idle for ten seconds, and small requests take new memory beside it.
    let mut lab = Lab::front(&[], &config, |_, command| {
        command.env("JE_MALLOC_CONF", "dirty_decay_ms:0");
    });
    let before = lab.memory("VmHWM");
    let mut clients = Vec::new();
    let rounds = beside_an_echo(&mut lab, |lab| {
        let end = Instant::now() + 4 * SOON;
        loop {
            let stats = lab.front_stats();
            if stats.errors == ALL {
                break;
            }
            assert!(Instant::now() < end, "{stats:?}\n{}", lab.node.report());
            while (clients.len() as u64) < ALL.min(stats.errors + AT_A_TIME) {
                let mut client = connect_from(Ipv4Addr::LOCALHOST, lab.port, Some(4096));
                client.write_all(b"F").expect("room");
                clients.push(client);
            }
            thread::sleep(Duration::from_millis(10));
        }
    });
    let used = lab.memory("VmHWM") - before;
    let stats = lab.front_stats();
    println!(
        "{pollers} pollers: {} MiB offered, {} MiB used, {rounds} echoes, {stats:?}",
        stats.flooded / MIB,
        used / MIB
    );
    // A quarter for what the allocator needs, and something for the connections.
    let bound = bound + bound / 4 + 32 * MIB;
    assert!(used < bound, "{used} of {bound} bytes");
    assert!(stats.flooded > 4 * used, "there was nothing to keep");
    // They were reset, so that nothing is left of them in the kernel either.
    for client in &mut clients {
        let mut rest = Vec::new();
        let end = client.read_to_end(&mut rest).expect_err("a reset");
        assert_eq!(end.kind(), ErrorKind::ConnectionReset);
    }
    let said = lab
        .node
        .count("does not take its output, .* bytes wait, closed$");
    assert!(said > 0, "{}", lab.node.report());
    lab.expect_front("all ended", SOON, |s| s.ended == ALL + 1);
    lab.quit();
}

#[test]
fn who_does_not_read_is_thrown_out() {
    flood(1, "sk_write_limit = '1M'", 200 * (MIB + 32768));
    flood(4, "sk_write_limit = '1M'", 200 * (MIB + 32768));
}

#[test]
fn all_together_may_have_so_much() {
    flood(1, "sk_write_limit_total = '16M'", 16 * MIB);
    flood(4, "sk_write_limit_total = '16M'", 16 * MIB);
}

/// The largest buffer that the kernel gives a TCP socket for one direction, `rmem` or `wmem`, of itself.
fn most_buffered(which: &str) -> usize {
    let text = std::fs::read_to_string(format!("/proc/sys/net/ipv4/tcp_{which}")).expect("Linux");
    let most = text.split_whitespace().nth(2).and_then(|n| n.parse().ok());
    most.expect("three numbers")
}

/// Clients that ask and do not read the answers are not read any more, so that they have to wait. When they read
/// at last, they get everything.
fn pause(pollers: u32) {
    const CLIENTS: usize = 4;
    const LIMIT: usize = 1 << 20;
    const NOT_READ: &str = "does not take its output, .* bytes wait, not read meanwhile$";
    // More than a client gets rid of while nothing comes back: the limit, what the kernel keeps in both
    // directions, and what is on its way through the node.
    let each = LIMIT + most_buffered("rmem") + 2 * most_buffered("wmem") + (8 << 20);
    let config =
        format!("sk_poller = {pollers} sk_write_limit = {LIMIT} sk_write_limit_action = 'pause'");
    let mut lab = Lab::front(&[], &config, |_, command| {
        command.env("JE_MALLOC_CONF", "dirty_decay_ms:0");
    });
    let before = lab.memory("VmHWM");
    // The first byte may not be the one that asks for a flood.
    let question: Vec<u8> = (0..each).map(|at| (at % 251) as u8).collect();
    let asked: [AtomicUsize; CLIENTS] = Default::default();
    let mut stuck_at = 0;
    let rounds = beside_an_echo(&mut lab, |lab| {
        let clients: Vec<TcpStream> = (0..CLIENTS)
            .map(|_| connect_from(Ipv4Addr::LOCALHOST, lab.port, Some(16384)))
            .collect();
        thread::scope(|scope| {
            for (mut client, asked) in clients.iter().zip(&asked) {
                let question = &question;
                scope.spawn(move || {
                    for piece in question.chunks(1 << 16) {
                        client.write_all(piece).expect("in the end it is read");
                        asked.fetch_add(piece.len(), Ordering::Relaxed);
                        // Not faster than the service can answer: what it has not seen yet is no output.
                        thread::sleep(Duration::from_millis(2));
                    }
                });
            }
            // They are stuck when the node has said so of each, and at none of a hundred looks anything moved.
            let sum = || {
                asked
                    .iter()
                    .map(|a| a.load(Ordering::Relaxed))
                    .sum::<usize>()
            };
            let (mut last, mut same) = (0, 0);
            let mut report = String::new();
            wait_until("all are stuck", 2 * SOON, || {
                let now = sum();
                same = if now == last { same + 1 } else { 0 };
                last = now;
                report = format!("{:?}", asked);
                same >= 100 && lab.node.count(NOT_READ) >= CLIENTS
            });
            println!("{pollers} pollers: stuck at {report}");
            stuck_at = sum();
            let stuck = asked.iter().all(|a| a.load(Ordering::Relaxed) < each);
            assert!(stuck, "the node read everything: {report}");
            for client in &clients {
                let question = &question;
                scope.spawn(move || {
                    let mut answer = vec![0; each];
                    let mut client = client;
                    client.read_exact(&mut answer).expect("all comes back");
                    assert!(&answer == question, "another answer");
                });
            }
        });
    });
    let used = lab.memory("VmHWM") - before;
    println!(
        "{pollers} pollers: {} MiB used, {rounds} echoes",
        used / MIB
    );
    // Each may have its limit, and what lay in the kernel's buffers may be read before the service has seen what
    // came before it: no more than what they were stuck with. A quarter for what the allocator needs.
    let bound = (CLIENTS * LIMIT + stuck_at) as u64;
    let bound = bound + bound / 4 + 32 * MIB;
    assert!(used < bound, "{used} of {bound} bytes");
    let stats = lab.front_stats();
    assert_eq!(stats.errors, 0, "{stats:?}");
    lab.quit();
}

#[test]
fn who_does_not_read_is_not_read() {
    pause(1);
    pause(4);
}

/// A warning changes nothing else.
#[test]
fn who_does_not_read_is_warned_of() {
    const ALL: usize = 12 << 20;
    let mut lab = Lab::new(&[], "sk_write_limit = '1M' sk_write_limit_action = 'warn'");
    lab.listen();
    let (mut client, id) = lab.accept();
    lab.start(id);
    for _ in 0..3 {
        assert_eq!(
            lab.ask(&format!("send {id} {}", ALL / 3), "^send "),
            "send 0"
        );
    }
    lab.node
        .expect("does not take its output, [0-9]+ bytes wait$", SOON);
    let mut all = vec![0; ALL];
    client.read_exact(&mut all).expect("all comes");
    let right = all.chunks(ALL / 3).flat_map(|part| part.iter().enumerate());
    let wrong = right
        .clone()
        .find(|(at, byte)| usize::from(**byte) != at % 251);
    assert_eq!(wrong, None);
    // It is as usable as before.
    client.write_all(b"still here").expect("the node reads");
    lab.node.expect(&format!("^EVENT DATA {id} 10 $"), SOON);
    lab.quit();
}

// ---- ten thousand connections ----

/// Through a gate: each sends a packet and gets it back, half of the clients leave, the others are sent away.
fn ten_thousand(pollers: u32) {
    const CLIENTS: usize = 10_000;
    let most = CLIENTS as u64 + 200;
    if let Err(why) = raise_descriptors(most) {
        return skipped(&why);
    }
    let config = format!("sk_poller = {pollers} sk_backlog = 1024");
    let mut lab = Lab::changed(&["watchdog"], &config, |_, command| {
        limit_descriptors(command, most);
    });
    lab.say(&format!("launch watchdog {} {CLIENTS}", lab.port));
    lab.node.expect("^WATCHDOG ready$", SOON);
    let before = lab.descriptors();
    let mut clients: Vec<TcpStream> = Vec::new();
    for number in 0..CLIENTS as u32 {
        let mut client = lab.connect();
        let mut packet = vec![0, 0];
        packet.extend(number.to_be_bytes());
        packet.extend(vec![number as u8; number as usize % 300]);
        let length = packet.len() as u16 - 2;
        packet[..2].copy_from_slice(&length.to_be_bytes());
        client.write_all(&packet).expect("room");
        clients.push(client);
    }
    lab.node
        .expect(&format!("^WATCHDOG opened {CLIENTS}$"), 2 * SOON);
    lab.expect_descriptors(before + CLIENTS);
    for (number, client) in (0u32..).zip(&mut clients) {
        let mut head = [0; 6];
        let read = client.read_exact(&mut head);
        read.unwrap_or_else(|e| panic!("client {number}: {e}\n{}", lab.node.report()));
        assert_eq!(head[2..], number.to_be_bytes());
        let rest = number as usize % 300;
        assert_eq!(
            usize::from(u16::from_be_bytes([head[0], head[1]])),
            rest + 4
        );
        let mut bytes = vec![0; rest];
        client.read_exact(&mut bytes).expect("a whole packet");
        assert!(bytes.iter().all(|b| *b == number as u8));
    }
    let sent_away = clients.split_off(CLIENTS / 2);
    drop(clients);
    lab.node
        .expect(&format!("^WATCHDOG closed {}$", CLIENTS / 2), 2 * SOON);
    lab.say("tell .watchdog kick");
    lab.node
        .expect(&format!("^WATCHDOG closed {CLIENTS}$"), 2 * SOON);
    for mut client in sent_away {
        let mut rest = Vec::new();
        let end = client.read_to_end(&mut rest);
        assert!(matches!(end, Ok(0)), "{end:?}, {rest:?}");
    }
    lab.expect_descriptors(before);
    let opened = lab.ask("tell .watchdog stats", "^WATCHDOG opened");
    assert_eq!(opened, format!("WATCHDOG opened {CLIENTS}"));
    lab.quit();
}

/// Lets this process have so many descriptors.
fn raise_descriptors(least: u64) -> Result<(), String> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: getrlimit fills in the struct.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    // Other tests run beside this one.
    let least = least + 2000;
    if limit.rlim_cur >= least {
        return Ok(());
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: setrlimit only reads the struct.
    let set = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
    if set == 0 && limit.rlim_max >= least {
        return Ok(());
    }
    let most = limit.rlim_max;
    Err(format!(
        "{least} descriptors are too many, the limit is {most}"
    ))
}

#[test]
fn ten_thousand_connections() {
    ten_thousand(1);
    ten_thousand(4);
}

// ---- the order of events ----

/// Twenty thousand clients that send and leave at once. `front.c` checks what it is told: of each its ACCEPT
/// before anything else.
fn short(pollers: u32) {
    const THREADS: u8 = 4;
    const EACH: u64 = 5_000;
    // Who resets while the kernel's queue of the listener is full was never there for the node: the kernel
    // forgets it. The queue has room for somaxconn clients, so not more than half of that may be waiting.
    let config = format!("sk_poller = {pollers} sk_backlog = 65535");
    let ahead = most_waiting() / 2;
    let mut lab = Lab::front(&[], &config, |_, _| ());
    let before = lab.descriptors();
    let all = u64::from(THREADS) * EACH;
    let begun = AtomicU64::new(0);
    let accepted = AtomicU64::new(0);
    let port = lab.port;
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (begun, accepted) = (&begun, &accepted);
            scope.spawn(move || {
                // Each thread has its own address, and with it its own ports.
                let source = Ipv4Addr::new(127, 0, 0, 10 + number);
                for round in 0..EACH {
                    let mine = begun.fetch_add(1, Ordering::Relaxed);
                    wait_until("room in the kernel's queue", 2 * SOON, || {
                        mine < accepted.load(Ordering::Relaxed) + ahead
                    });
                    let mut client = connect_from(source, port, None);
                    client.write_all(b"short life").expect("room");
                    if round % 8 == 0 {
                        reset(client);
                    }
                }
            });
        }
        lab.expect_front("every client came and went", 4 * SOON, |s| {
            accepted.store(s.accepted, Ordering::Relaxed);
            s.accepted == all && s.ended == all
        });
    });
    let stats = lab.front_stats();
    println!("{pollers} pollers: {stats:?}");
    // What was reset may be lost.
    let least = 10 * (all - all / 8);
    assert!((least..=10 * all).contains(&stats.bytes), "{stats:?}");
    lab.expect_descriptors(before);
    lab.quit();
}

/// How many clients the kernel lets wait for their ACCEPT, whatever the backlog.
fn most_waiting() -> u64 {
    let path = "/proc/sys/net/core/somaxconn";
    let text = std::fs::read_to_string(path).expect(path);
    text.trim().parse().expect(path)
}

#[test]
fn accept_comes_first() {
    short(1);
    short(4);
}

// ---- resets ----

/// The last events of a socket, from its first CLOSE or ERROR on.
fn end_of(events: &[String]) -> &[String] {
    let first = |e: &String| e.starts_with("CLOSE") || e.starts_with("ERROR");
    &events[events.iter().position(first).unwrap_or(events.len())..]
}

/// How a connection comes about.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    In,
    Out,
}

/// Lets `scene` bring a connection into some state; then its client resets it. The owner sees one of `ends`, and
/// after it has closed the socket nothing more.
fn reset_in(
    pollers: u32,
    name: &str,
    way: Way,
    ends: &[&[&str]],
    scene: impl Fn(&mut Lab, &mut TcpStream, i32),
) {
    let mut lab = Lab::new(&[], &format!("sk_poller = {pollers}"));
    if way == Way::In {
        lab.listen();
    }
    let before = lab.descriptors();
    for _ in 0..8 {
        let (mut client, id) = match way {
            Way::In => lab.accept(),
            Way::Out => lab.dial(),
        };
        scene(&mut lab, &mut client, id);
        let closed = end_of(&lab.events(id)).len();
        reset(client);
        if closed == 0 {
            lab.node
                .expect(&format!("^EVENT (CLOSE|ERROR) {id} "), SOON);
        }
        // What comes of itself has come when the descriptor is gone; an owner closes what it was told the end of.
        lab.say(&format!("close {id}"));
        lab.expect_descriptors(before);
        // The id is gone, and what was to be said about it was said.
        lab.ask(
            &format!("start {id}"),
            &format!("^EVENT ERROR {id} 0 invalid socket$"),
        );
        let events = lab.events(id);
        let end = end_of(&events);
        let (answer, end) = end.split_last().expect("the answer to start");
        assert_eq!(answer, "ERROR 0 invalid socket");
        let fits = ends.iter().any(|want| {
            want.len() == end.len() && want.iter().zip(end).all(|(w, e)| e.starts_with(w))
        });
        assert!(fits, "{name}, {pollers} pollers: {events:?}");
    }
    lab.quit();
}

/// CLOSE, ERROR, or an ERROR and the CLOSE behind it: what the end of a connection may look like.
const ANY_END: &[&[&str]] = &[&["CLOSE"], &["ERROR"], &["ERROR", "CLOSE"]];
/// The owner knew already.
const KNOWN: &[&[&str]] = &[&["CLOSE"]];

fn resets(pollers: u32) {
    reset_in(pollers, "accepted", Way::In, ANY_END, |_, _, _| ());
    reset_in(pollers, "started", Way::In, ANY_END, |lab, client, id| {
        lab.start(id);
        client.write_all(b"hello").expect("room");
        lab.node.expect(&format!("^EVENT DATA {id} 5 $"), SOON);
    });
    reset_in(pollers, "paused", Way::In, ANY_END, |lab, client, id| {
        lab.start(id);
        lab.say(&format!("pause {id}"));
        client.write_all(b"hello").expect("room");
    });
    reset_in(pollers, "output", Way::In, ANY_END, |lab, _, id| {
        lab.start(id);
        lab.fill(id);
    });
    reset_in(pollers, "half closed", Way::In, KNOWN, |lab, client, id| {
        lab.start(id);
        client.shutdown(Shutdown::Write).expect("a socket");
        lab.node.expect(&format!("^EVENT CLOSE {id} "), SOON);
    });
    reset_in(
        pollers,
        "half closed, output",
        Way::In,
        KNOWN,
        |lab, client, id| {
            lab.start(id);
            lab.fill(id);
            client.shutdown(Shutdown::Write).expect("a socket");
            lab.node.expect(&format!("^EVENT CLOSE {id} "), SOON);
        },
    );
    reset_in(
        pollers,
        "flush after close",
        Way::In,
        KNOWN,
        |lab, client, id| {
            lab.start(id);
            lab.fill(id);
            lab.say(&format!("close {id}"));
            lab.node.expect(&format!("^EVENT CLOSE {id} "), SOON);
            // It is still being written.
            let mut some = [0; 1000];
            client.read_exact(&mut some).expect("the output goes on");
        },
    );

    reset_in(
        pollers,
        "connected",
        Way::Out,
        ANY_END,
        |lab, client, id| {
            client.write_all(b"hello").expect("room");
            lab.node.expect(&format!("^EVENT DATA {id} 5 $"), SOON);
        },
    );
    reset_in(
        pollers,
        "connected, output",
        Way::Out,
        ANY_END,
        |lab, _, id| {
            lab.fill(id);
        },
    );
}

#[test]
fn resets_in_every_state() {
    resets(1);
}

#[test]
fn resets_in_every_state_with_four_pollers() {
    resets(4);
}

// ---- idle connections, options ----

fn idle(pollers: u32) {
    /// Longer than a busy machine holds anybody up who wants to say something.
    const LIMIT: Duration = Duration::from_secs(8);
    let seconds = LIMIT.as_secs();
    let config = format!("sk_poller = {pollers} sk_idle_seconds = {seconds}");
    let mut lab = Lab::front(&[], &config, |_, _| ());
    let begin = Instant::now();
    let mut silent = lab.connect();
    echo(&mut silent, b"the last word");
    let never = lab.connect();
    let mut talking = lab.connect();
    let end_of = |client: TcpStream| {
        thread::spawn(move || {
            let mut client = client;
            // Not `read`, which ends when the process was stopped meanwhile.
            let end = client.read_exact(&mut [0]);
            let kind = end.expect_err("a reset").kind();
            assert_eq!(kind, ErrorKind::ConnectionReset);
            begin.elapsed()
        })
    };
    let ends = [&silent, &never].map(|c| end_of(c.try_clone().expect("a descriptor")));
    // It says something far more often than it has to, for longer than the others last.
    let mut over = Duration::MAX;
    while begin.elapsed() < over {
        echo(&mut talking, b".");
        thread::sleep(Duration::from_millis(50));
        if over == Duration::MAX && ends.iter().all(|end| end.is_finished()) {
            over = begin.elapsed() + Duration::from_secs(2);
        }
    }
    for end in ends {
        let after = end.join().expect("a reset came");
        assert!(after >= LIMIT, "after {after:?} only");
    }
    let stats = lab.front_stats();
    assert_eq!((stats.accepted, stats.errors), (3, 2), "{stats:?}");
    drop(never);
    drop(silent);
    drop(talking);
    lab.expect_front("all ended", SOON, |s| s.ended == 3 && s.errors == 2);
    lab.quit();
}

#[test]
fn silent_connections_end() {
    idle(1);
}

#[test]
fn silent_connections_end_with_four_pollers() {
    idle(4);
}

/// The options that the config asks for are those of the descriptors, accepted and connected.
#[test]
fn descriptors_have_their_options() {
    let config = "sk_keepalive = '77,8,5' sk_nodelay = true";
    for (config, wanted) in [
        (config, "idle=77 interval=8 count=5 nodelay=1"),
        ("", "idle=[0-9]+ interval=[0-9]+ count=[0-9]+ nodelay=0"),
    ] {
        let mut lab = Lab::new(&[], config);
        lab.listen();
        let (accepted, _) = lab.accept();
        let (connected, _) = lab.dial();
        for client in [accepted, connected] {
            let port = client.local_addr().expect("a socket").port();
            let line = lab.ask(&format!("options {port}"), "^options ");
            let wanted = format!("^options keepalive=1 {wanted}$");
            assert!(matches(&line, &wanted), "{line}, not {wanted}");
        }
        lab.quit();
    }
}

// ---- names that are never found ----

/// Has the look-up of names that end in `.blackhole` wait for the file `end` of the stage.
fn blackhole(stage: &Stage, command: &mut Command) {
    stage.c_module(&tree::package().join("test/sockets/blackhole.c"));
    command
        .env("LD_PRELOAD", stage.file("extra/blackhole.so"))
        .env("BLACKHOLE_END", stage.file("end"));
}

const PENDING: usize = 100;

/// Begins connects to names that are not found; their ids.
fn dial_nowhere(lab: &mut Lab) -> Vec<i32> {
    for number in 0..PENDING {
        lab.say(&format!("connect name{number}.blackhole 80"));
    }
    let pattern = r"^connect \d+ name\d+\.blackhole$";
    lab.node.expect_count(pattern, PENDING, SOON);
    let lines = lab.node.lines();
    let begun = lines.iter().filter(|l| matches(&l.text, pattern));
    begun.map(|l| number_in(&l.text, 1)).collect()
}

/// While a hundred look-ups hang everything else goes on, and a connect that nobody wants any more ends at once.
fn nowhere(pollers: u32) {
    const CLIENTS: usize = 50;
    let rounds = if long() { 1_000 } else { 20 };
    let config = format!("sk_poller = {pollers}");
    let mut lab = Lab::front(&[], &config, blackhole);
    // The look-up is the one that hangs, and others are as ever.
    lab.ask("connect localhost 1", r"^connect \d+ localhost$");
    lab.node
        .expect(r"^EVENT ERROR \d+ 0 Connection refused$", SOON);
    let ids = dial_nowhere(&mut lab);

    let mut times: Vec<Duration> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let mut client = lab.connect();
                scope.spawn(move || {
                    let mut times = Vec::new();
                    for _ in 0..rounds {
                        let begin = Instant::now();
                        echo(&mut client, b"is anybody there?");
                        times.push(begin.elapsed());
                    }
                    times
                })
            })
            .collect();
        let times = clients.into_iter();
        times
            .flat_map(|c| c.join().expect("every answer"))
            .collect()
    });
    times.sort();
    println!(
        "{pollers} pollers: {} echoes beside {PENDING} look-ups, 99 % within {:?}",
        times.len(),
        times[times.len() * 99 / 100]
    );
    // Addresses need no look-up.
    let (mut client, id) = lab.dial();
    client.write_all(b"hello").expect("room");
    lab.node.expect(&format!("^EVENT DATA {id} 5 $"), SOON);
    assert_eq!(lab.node.count("^EVENT (CONNECT|ERROR|CLOSE) "), 2);

    // Closing each gives its CLOSE, and nothing else ever.
    let (gone, kept) = ids.split_at(PENDING / 2);
    for id in gone {
        lab.say(&format!("close {id}"));
    }
    for id in gone {
        lab.node.expect(&format!("^EVENT CLOSE {id} 0 $"), SOON);
    }
    // At last they are not found.
    lab.stage.write("end", "");
    for id in kept {
        let failed = format!("^EVENT ERROR {id} 0 Name or service not known$");
        lab.node.expect(&failed, SOON);
    }
    for id in &ids {
        assert_eq!(lab.events(*id).len(), 1, "{:?}", lab.events(*id));
    }
    lab.quit();
}

#[test]
fn look_ups_hold_nobody_up() {
    nowhere(1);
    nowhere(4);
}

/// A connect has its time, look-up included; and a node that ends does not wait for look-ups.
#[test]
fn look_ups_have_a_limit() {
    for pollers in [1, 4] {
        let config = format!("sk_poller = {pollers} sk_connect_seconds = 1 sk_resolver = 4");
        let mut lab = Lab::changed(&[], &config, blackhole);
        let begin = Instant::now();
        let ids = dial_nowhere(&mut lab);
        for id in &ids {
            let failed = format!("^EVENT ERROR {id} 0 Connection timed out$");
            lab.node.expect(&failed, SOON);
        }
        let took = begin.elapsed();
        println!("{pollers} pollers: {PENDING} connects given up within {took:?}");
        assert!(took >= Duration::from_secs(1), "{took:?} only");
        for id in &ids {
            assert_eq!(lab.events(*id).len(), 1, "{:?}", lab.events(*id));
        }
        lab.quit();
    }
}
