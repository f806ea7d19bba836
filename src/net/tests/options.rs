//! Limits, time-outs, and names that do not come.

use super::super::options::{Action, Setting};
use super::*;
use crate::sys::resolve::{LookupError, Transport};
use rustix::net::sockopt;
use std::io::Write;
use std::sync::{Condvar, Mutex};
use std::time::Instant;

/// Until the socket is over its limit and that was seen to; bounded by what kernels buffer.
fn overflow(rig: &Rig, id: SocketId) {
    for _ in 0..1000 {
        rig.send(id, &[b'.'; 100_000]).unwrap();
        if rig
            .server
            .slots
            .lock(id)
            .is_none_or(|socket| socket.over_limit)
        {
            return;
        }
    }
    panic!("everything was sent");
}

impl Rig {
    fn set(&self, id: SocketId, settings: &[Setting]) {
        for setting in settings {
            self.server.set_option(id, *setting).unwrap();
        }
    }

    /// The next event that is no warning.
    fn past_warnings(&self) -> Seen {
        loop {
            let seen = self.next();
            if seen.kind != EventKind::Warning {
                return seen;
            }
        }
    }
}

/// `error` is the event of an end that a limit brought: as after a reset, CLOSE follows.
fn expect_forced_end(rig: &Rig, error: &Seen, id: SocketId, text: &str) {
    assert_eq!(
        (error.kind, error.id, error.text()),
        (EventKind::Error, id, text)
    );
    let close = rig.next();
    assert_eq!((close.kind, close.id), (EventKind::Close, id));
}

#[test]
fn too_much_output_ends_the_socket() {
    let rig = Rig::new();
    let (id, peer) = rig.pair();
    rig.set(
        id,
        &[
            Setting::WriteLimit(300_000),
            Setting::WriteAction(Action::Close),
        ],
    );
    overflow(&rig, id);
    expect_forced_end(&rig, &rig.past_warnings(), id, "output buffer overflow");
    rig.expect_gone(id);
    assert_eq!(rig.server.limits.pending(), 0);
    // The peer sees a reset behind what the kernels had already moved.
    let mut bytes = Vec::new();
    let mut stream = &peer;
    assert!(stream.read_to_end(&mut bytes).is_err());
}

#[test]
fn a_limit_that_pauses_reads_on_when_half_is_gone() {
    let rig = Rig::new();
    let (id, mut peer) = rig.pair();
    rig.set(
        id,
        &[
            Setting::WriteLimit(300_000),
            Setting::WriteAction(Action::Pause),
        ],
    );
    overflow(&rig, id);
    rig.settle();
    peer.write_all(b"request").unwrap();
    rig.quiet();
    eventually("the output is read", || {
        read_exact(&peer, 50_000);
        rig.pending(id) == 0
    });
    let mut bytes = Vec::new();
    while bytes.len() < 7 {
        let seen = rig.past_warnings();
        assert_eq!((seen.kind, seen.id), (EventKind::Data, id));
        bytes.extend(seen.bytes);
    }
    assert_eq!(bytes, b"request");
}

#[test]
fn a_limit_that_warns_changes_nothing() {
    let rig = Rig::new();
    let (id, peer) = rig.pair();
    rig.set(id, &[Setting::WriteLimit(300_000)]);
    overflow(&rig, id);
    rig.send(id, b"!").unwrap();
    rig.server.close(id);
    assert_eq!(rig.past_warnings().kind, EventKind::Close);
    assert_eq!(read_all(&peer).last(), Some(&b'!'));
}

#[test]
fn an_action_that_comes_later_is_taken_at_the_next_send() {
    let rig = Rig::new();
    let (id, _peer) = rig.pair();
    rig.set(id, &[Setting::WriteLimit(300_000)]);
    overflow(&rig, id);
    rig.set(id, &[Setting::WriteAction(Action::Close)]);
    rig.send(id, b"one more").unwrap();
    expect_forced_end(&rig, &rig.past_warnings(), id, "output buffer overflow");
    rig.expect_gone(id);
}

#[test]
fn the_sum_hits_those_with_more_than_their_share() {
    let rig = Rig::new();
    rig.server.set_default(Setting::WriteAction(Action::Close));
    let listener = rig.listener();
    let mut pairs: Vec<_> = (0..3).map(|_| rig.accepted(listener)).collect();
    for (id, _) in &pairs {
        rig.server.start(ME, *id);
        rig.expect_text(EventKind::Connect, *id, "start");
    }
    let (modest, peer) = pairs.pop().unwrap();
    rig.clog(modest);
    rig.server.limits.set_total(1_000_000);
    overflow(&rig, pairs[0].0);
    let error = rig.past_warnings();
    expect_forced_end(&rig, &error, pairs[0].0, "output buffer overflow");
    overflow(&rig, pairs[1].0);
    let error = rig.past_warnings();
    expect_forced_end(&rig, &error, pairs[1].0, "output buffer overflow");
    // The third had its share and no more.
    rig.send(modest, b"last").unwrap();
    rig.server.close(modest);
    assert_eq!(rig.past_warnings().kind, EventKind::Close);
    assert!(read_all(&peer).ends_with(b"last"));
}

#[test]
fn silence_ends_a_connection() {
    let rig = Rig::new();
    rig.server
        .set_default(Setting::Idle(Some(Duration::from_secs(4))));
    let listener = rig.listener();
    let (silent, peer) = rig.accepted(listener);
    let (talking, mut other) = rig.accepted(listener);
    let outgoing = rig
        .server
        .connect(ME, c_host(&listener.1), i32::from(listener.1.port()))
        .unwrap();
    let mut accepted = None;
    for _ in 0..2 {
        let seen = rig.next();
        if seen.kind == EventKind::Accept {
            accepted = Some(SocketId(seen.ud));
        } else {
            assert_eq!((seen.kind, seen.id), (EventKind::Connect, outgoing));
        }
    }
    // Its far end is in the engine as well, and may not have an idle time.
    rig.set(accepted.unwrap(), &[Setting::Idle(None)]);
    for id in [silent, talking] {
        rig.server.start(ME, id);
        rig.expect_text(EventKind::Connect, id, "start");
    }
    let begin = Instant::now();
    let mut received = 0;
    let ended = loop {
        other.write_all(b"x").unwrap();
        match rig.poll_event(Duration::from_millis(20)) {
            Some(seen) if seen.kind == EventKind::Data => received += seen.bytes.len(),
            Some(seen) => break seen,
            None => assert!(begin.elapsed() < PATIENCE),
        }
    };
    assert!(begin.elapsed() >= Duration::from_millis(3900) && received > 0);
    expect_forced_end(&rig, &ended, silent, "idle for too long");
    assert!((&peer).read(&mut [0]).is_err());
    // What is paused is not idle.
    rig.server.pause(talking);
    rig.server.start(MARK, NOBODY);
    while rig.next().owner != MARK {}
    rig.set(talking, &[Setting::Idle(Some(Duration::from_millis(300)))]);
    assert_eq!(rig.poll_event(Duration::from_millis(800)), None);
    assert_eq!(rig.send(talking, b"x"), Ok(()));
    assert_eq!(rig.send(outgoing, b"x"), Ok(()));
}

#[test]
fn options_of_a_listener_go_over_to_its_connections() {
    let rig = Rig::new();
    rig.server.set_default(Setting::KeepAliveIdle(77));
    let listener = rig.listener();
    rig.set(
        listener.0,
        &[
            Setting::NoDelay(true),
            Setting::KeepAliveInterval(5),
            Setting::KeepAliveCount(3),
        ],
    );
    let (id, _peer) = rig.accepted(listener);
    let fd = rig.server.slots.lock(id).unwrap().fd.clone().unwrap();
    assert!(sockopt::tcp_nodelay(&fd).unwrap());
    assert_eq!(sockopt::tcp_keepidle(&fd).unwrap(), Duration::from_secs(77));
    assert_eq!(sockopt::tcp_keepintvl(&fd).unwrap(), Duration::from_secs(5));
    assert_eq!(sockopt::tcp_keepcnt(&fd).unwrap(), 3);
    rig.set(id, &[Setting::NoDelay(false), Setting::KeepAliveCount(4)]);
    assert!(!sockopt::tcp_nodelay(&fd).unwrap());
    assert_eq!(sockopt::tcp_keepcnt(&fd).unwrap(), 4);
}

#[test]
fn options_are_refused_where_they_make_no_sense() {
    let rig = Rig::new();
    let (id, _peer) = rig.pair();
    let udp = rig.server.udp(ME, None, 0).unwrap();
    let limit = Setting::Connect(Some(PATIENCE));
    assert_eq!(rig.server.set_option(id, limit), Err(Refused));
    assert_eq!(
        rig.server.set_option(udp, Setting::NoDelay(true)),
        Err(Refused)
    );
    assert_eq!(
        rig.server.set_option(NOBODY, Setting::WriteLimit(1)),
        Err(Refused)
    );
}

/// A listener that takes no connection any more: its backlog is full, and further ones hang.
fn full() -> (TcpListener, Vec<TcpStream>, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // Listening again sets the backlog.
    rustix::net::listen(&listener, 0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut inside = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        inside.push(stream);
        assert!(inside.len() < 10, "the backlog does not fill");
    }
    (listener, inside, address.port())
}

#[test]
fn a_connect_that_takes_too_long() {
    let rig = Rig::new();
    let (_listener, _inside, port) = full();
    rig.server
        .set_default(Setting::Connect(Some(Duration::from_millis(200))));
    let id = rig
        .server
        .connect(ME, c"127.0.0.1", i32::from(port))
        .unwrap();
    rig.expect_text(EventKind::Error, id, "Connection timed out");
    rig.expect_gone(id);
    // A limit of its own, given later.
    rig.server.set_default(Setting::Connect(None));
    let id = rig
        .server
        .connect(ME, c"127.0.0.1", i32::from(port))
        .unwrap();
    rig.quiet();
    rig.set(id, &[Setting::Connect(Some(Duration::from_millis(100)))]);
    rig.expect_text(EventKind::Error, id, "Connection timed out");
}

/// Answers `both` with an address that hangs, at the port of the listener, and one that answers.
fn both(_: &CStr, port: i32, _: Transport) -> Result<Vec<SocketAddr>, LookupError> {
    let hangs = SocketAddr::from(([127, 0, 0, 1], port as u16));
    let answers = *ANSWERS.lock().unwrap();
    Ok(vec![hangs, answers.unwrap()])
}

static ANSWERS: Mutex<Option<SocketAddr>> = Mutex::new(None);

#[test]
fn an_address_that_hangs_leaves_time_for_the_next() {
    let mut rig = Rig::idle(both);
    rig.run();
    let (_listener, _inside, port) = full();
    let answering = TcpListener::bind("127.0.0.2:0").unwrap();
    *ANSWERS.lock().unwrap() = Some(answering.local_addr().unwrap());
    rig.server
        .set_default(Setting::Connect(Some(Duration::from_secs(8))));
    let id = rig.server.connect(ME, c"both", i32::from(port)).unwrap();
    rig.expect_text(EventKind::Connect, id, "127.0.0.2");
}

/// How many look-ups of `stuck` go on, and whether they may end.
static STUCK: Mutex<(usize, bool)> = Mutex::new((0, false));
static CHANGED: Condvar = Condvar::new();

fn stuck(_: &CStr, _: i32, _: Transport) -> Result<Vec<SocketAddr>, LookupError> {
    let mut state = STUCK.lock().unwrap();
    state.0 += 1;
    CHANGED.notify_all();
    drop(CHANGED.wait_while(state, |state| !state.1).unwrap());
    Err(LookupError("nobody knows".into()))
}

#[test]
fn a_resolver_that_does_not_answer_stops_nobody() {
    let mut rig = Rig::idle(stuck);
    rig.server.resolver.set_limit(3);
    rig.run();
    let connect = || rig.server.connect(ME, c"somewhere", 1).unwrap();
    let ids: Vec<SocketId> = (0..20).map(|_| connect()).collect();
    let state = STUCK.lock().unwrap();
    let state = CHANGED.wait_while(state, |state| state.0 < 3).unwrap();
    assert_eq!(state.0, 3);
    drop(state);
    // Everything else goes on.
    let (id, mut peer) = rig.pair();
    peer.write_all(b"hello").unwrap();
    assert_eq!(rig.expect_data(id, 5), b"hello");
    // One is closed, one times out, both while they wait for their turn.
    rig.server.close(ids[19]);
    rig.expect_plain(EventKind::Close, ids[19], 0);
    rig.set(
        ids[18],
        &[Setting::Connect(Some(Duration::from_millis(50)))],
    );
    rig.expect_text(EventKind::Error, ids[18], "Connection timed out");
    STUCK.lock().unwrap().1 = true;
    CHANGED.notify_all();
    let mut failed: Vec<SocketId> = (0..18)
        .map(|_| {
            let seen = rig.next();
            assert_eq!((seen.kind, seen.text()), (EventKind::Error, "nobody knows"));
            seen.id
        })
        .collect();
    failed.sort();
    assert_eq!(failed, ids[..18]);
    // Those that were given up were not looked up.
    assert_eq!(STUCK.lock().unwrap().0, 18);
    rig.quiet();
}
