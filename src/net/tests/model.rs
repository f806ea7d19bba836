//! Random sequences of calls and peer actions against a model of what owners are promised:
//! - every connection that came to be ends with exactly one CLOSE; at most one ERROR comes before it,
//!   and only warnings come after it;
//! - a connect that fails ends with exactly one ERROR, or with one CLOSE when it was closed before;
//! - both directions carry exactly the bytes that were sent, in order, cut short only by a reset or a
//!   shutdown;
//! - in the end no slot and no descriptor is left.

use super::*;
use std::collections::HashMap;
use std::io::Write;
use std::net::Shutdown;
use std::sync::LazyLock;
use std::time::Instant;

/// A small generator: the sequence for a seed is the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit
    }
}

/// The bytes that every stream carries at these positions. They repeat after a prime number.
fn bytes(from: usize, len: usize) -> &'static [u8] {
    const PERIOD: usize = 65_521;
    const LONGEST: usize = 2 << 20;
    static TABLE: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut random = Random(42);
        let once: Vec<u8> = (0..PERIOD).map(|_| random.below(256) as u8).collect();
        once.into_iter().cycle().take(PERIOD + LONGEST).collect()
    });
    &TABLE[from % PERIOD..][..len]
}

/// What the model knows about one id.
#[derive(Debug, Default)]
struct Track {
    // What owners saw.
    connected: bool,
    started: bool,
    errors: usize,
    closes: usize,
    received: usize,
    // What was done to it.
    sent: usize,
    paused: bool,
    closed: bool,
    /// Cut short: a reset or a shutdown may have lost bytes.
    cut: bool,
    /// A connect to where nobody listens.
    doomed: bool,
    far: Option<Far>,
}

impl Track {
    /// Close was called. What the far end has on its way, beyond what the kernel surely holds for us,
    /// may arrive too late and reset the connection.
    fn close(&mut self) {
        self.closed = true;
        self.cut |= self
            .far
            .as_ref()
            .is_some_and(|far| far.sent - self.received > 30_000);
    }
}

/// The other end.
#[derive(Debug)]
struct Far {
    stream: TcpStream,
    sent: usize,
    received: usize,
    finished: bool,
    ended: bool,
}

impl Far {
    fn new(stream: TcpStream) -> Far {
        stream.set_nonblocking(true).unwrap();
        // What it sends is with the engine at once, not held back until after a close.
        stream.set_nodelay(true).unwrap();
        Far {
            stream,
            sent: 0,
            received: 0,
            finished: false,
            ended: false,
        }
    }

    fn send(&mut self, len: usize) {
        if let Ok(count) = self.stream.write(bytes(self.sent, len)) {
            self.sent += count;
        }
    }

    /// Reads at most `len` bytes; notes the end.
    fn receive(&mut self, len: usize) {
        let mut space = vec![0; len];
        match self.stream.read(&mut space) {
            Ok(0) if len > 0 => self.ended = true,
            Ok(count) => {
                assert_eq!(&space[..count], bytes(self.received, count));
                self.received += count;
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => self.ended = true,
        }
    }
}

struct Model {
    rig: Rig,
    random: Random,
    listener: (SocketId, SocketAddr),
    outside: TcpListener,
    closed_port: i32,
    tracks: HashMap<SocketId, Track>,
    ids: Vec<SocketId>,
    /// Peers whose ACCEPT has not come yet, by their address.
    arriving: HashMap<String, TcpStream>,
}

impl Model {
    /// With 0 pollers, somebody else's loop polls.
    fn new(seed: u64, pollers: usize) -> Model {
        let rig = match pollers {
            0 => Rig::new(),
            pollers => Rig::spread(pollers),
        };
        let listener = rig.listener();
        let outside = TcpListener::bind("127.0.0.1:0").unwrap();
        outside.set_nonblocking(true).unwrap();
        Model {
            rig,
            random: Random(seed),
            listener,
            outside,
            closed_port: closed_port(),
            tracks: HashMap::new(),
            ids: Vec::new(),
            arriving: HashMap::new(),
        }
    }

    /// Takes what the engine reported and what the outside accepted.
    fn observe(&mut self, patience: Duration) {
        let mut patience = patience;
        while let Some(seen) = self.rig.poll_event(patience) {
            patience = Duration::ZERO;
            self.check(seen);
        }
        while let Ok((stream, _)) = self.outside.accept() {
            let address = stream.peer_addr().ok();
            // The engine's end of it is the one with this address.
            let owner = self.ids.iter().copied().find(|id| {
                let socket = self.rig.server.slots.lock(*id);
                let fd = socket.as_ref().and_then(|socket| socket.fd.as_ref());
                fd.and_then(crate::sys::socket::local_address) == address && address.is_some()
            });
            // None: it ended meanwhile, and nobody looks at its far end.
            if let Some(track) = owner.and_then(|id| self.tracks.get_mut(&id)) {
                track.far = Some(Far::new(stream));
            }
        }
    }

    fn check(&mut self, seen: Seen) {
        if seen.owner == MARK {
            return;
        }
        if seen.kind == EventKind::Accept {
            let far = self.arriving.remove(seen.text()).map(Far::new);
            let id = SocketId(seen.ud);
            self.tracks.insert(
                id,
                Track {
                    far,
                    connected: true,
                    ..Track::default()
                },
            );
            self.ids.push(id);
            return;
        }
        let track = self
            .tracks
            .get_mut(&seen.id)
            .unwrap_or_else(|| panic!("{seen:?}"));
        if seen.kind == EventKind::Error
            && matches!(seen.text(), "invalid socket" | "socket closed")
        {
            // The answer to a late start.
            assert!(track.closes + track.errors > 0, "{seen:?} {track:?}");
            return;
        }
        assert!(
            track.closes == 0 || seen.kind == EventKind::Warning,
            "{seen:?} {track:?}"
        );
        assert!(track.connected || track.errors == 0, "{seen:?} {track:?}");
        match seen.kind {
            EventKind::Connect => {
                assert!(!track.doomed && track.errors == 0, "{seen:?} {track:?}");
                track.connected = true;
            }
            EventKind::Close => track.closes += 1,
            EventKind::Error => {
                track.errors += 1;
                assert_eq!(track.errors, 1, "{seen:?} {track:?}");
            }
            EventKind::Data => {
                assert!(track.connected, "{seen:?} {track:?}");
                assert_eq!(seen.bytes, bytes(track.received, seen.bytes.len()));
                track.received += seen.bytes.len();
            }
            EventKind::Warning => {}
            _ => panic!("{seen:?}"),
        }
    }

    fn step(&mut self) {
        let choice = self.random.below(100);
        match choice {
            0..6 => {
                let stream = TcpStream::connect(self.listener.1).unwrap();
                self.arriving
                    .insert(stream.local_addr().unwrap().to_string(), stream);
            }
            6..10 => {
                let port = i32::from(self.outside.local_addr().unwrap().port());
                let id = self.rig.server.connect(ME, c"127.0.0.1", port).unwrap();
                self.tracks.insert(
                    id,
                    Track {
                        started: true,
                        ..Track::default()
                    },
                );
                self.ids.push(id);
            }
            10..12 => {
                let id = self
                    .rig
                    .server
                    .connect(ME, c"127.0.0.1", self.closed_port)
                    .unwrap();
                self.tracks.insert(
                    id,
                    Track {
                        doomed: true,
                        ..Track::default()
                    },
                );
                self.ids.push(id);
            }
            12..14 => self.rig.server.start(MARK, NOBODY),
            14..20 => self.observe(Duration::from_millis(1)),
            _ if self.ids.is_empty() => {}
            _ => {
                let id = self.ids[self.random.below(self.ids.len())];
                self.act(id, choice);
            }
        }
        self.observe(Duration::ZERO);
    }

    fn act(&mut self, id: SocketId, choice: usize) {
        let len = match self.random.below(10) {
            0 => self.random.below(400_000),
            1..4 => self.random.below(5000),
            _ => self.random.below(100),
        };
        let server = &self.rig.server;
        let track = self.tracks.get_mut(&id).unwrap();
        match choice {
            20..50 => {
                let data = bytes(track.sent, len);
                let priority = Priority::High;
                let counted = track.started && !track.closed;
                let result = server.send(id, Outgoing::Borrowed(data), priority);
                if counted && result.is_ok() {
                    track.sent += len;
                }
            }
            50..60 => {
                server.start(ME, id);
                track.started = true;
                track.paused = false;
            }
            60..63 => {
                server.pause(id);
                track.paused = true;
            }
            63..65 => server.no_delay(id),
            65..67 => {
                server.close(id);
                track.close();
            }
            67..68 => {
                server.shutdown(id);
                (track.closed, track.cut) = (true, true);
            }
            _ => {
                let Some(far) = &mut track.far else { return };
                match choice {
                    68..80 if !far.finished => {
                        far.send(len);
                        // Data for a closed connection resets it.
                        track.cut |= track.closed;
                    }
                    80..96 => far.receive(len),
                    96..98 => {
                        let _ = far.stream.shutdown(Shutdown::Write);
                        far.finished = true;
                    }
                    98 => {
                        track.cut = true;
                        reset(track.far.take().unwrap().stream);
                    }
                    99 => {
                        // Vanishes without a word, and without having read everything.
                        track.cut = true;
                        track.far = None;
                    }
                    _ => {}
                }
            }
        }
    }

    /// Closes everything, reads every far end dry, and checks the sums.
    fn finish(mut self) {
        let deadline = Instant::now() + PATIENCE;
        self.observe(Duration::from_millis(20));
        while !self.arriving.is_empty() {
            assert!(
                Instant::now() < deadline,
                "{:?} did not arrive",
                self.arriving
            );
            self.observe(Duration::from_millis(1));
        }
        for id in &self.ids {
            self.rig.server.close(*id);
            self.tracks.get_mut(id).unwrap().close();
        }
        loop {
            self.observe(Duration::from_millis(1));
            let mut open = 0;
            for track in self.tracks.values_mut() {
                if let Some(far) = track.far.as_mut().filter(|far| !far.ended) {
                    far.receive(1 << 20);
                    open += 1;
                }
            }
            if open == 0 && self.rig.sockets() == 1 {
                break;
            }
            assert!(
                Instant::now() < deadline,
                "{open} far ends and {} sockets left",
                self.rig.sockets()
            );
        }
        self.rig.server.start(MARK, NOBODY);
        self.observe(Duration::from_millis(20));
        for (id, track) in &self.tracks {
            let ends = (track.errors, track.closes);
            // The far end may reset a connection before the engine saw that it came to be.
            if track.doomed || (track.cut && !track.connected) {
                assert!(matches!(ends, (1, 0) | (0, 1)), "{id} {track:?}");
            } else {
                assert_eq!(track.closes, 1, "{id} {track:?}");
                if track.errors == 1 {
                    assert!(track.cut, "{id} {track:?}");
                }
            }
            if let Some(far) = &track.far {
                assert!(track.received <= far.sent, "{id} {track:?}");
                if !track.cut {
                    assert_eq!(far.received, track.sent, "{id} {track:?}");
                }
            }
        }
    }
}

#[test]
fn random_sequences() {
    if !in_own_process("model::random_sequences") {
        return;
    }
    let seconds = std::env::var("SKYNET_MODEL_SECONDS").map_or(1.5, |text| text.parse().unwrap());
    let begin = Instant::now();
    drop(Model::new(1, 3));
    let before = descriptors();
    let mut seed = 1;
    while seed < 7 || begin.elapsed().as_secs_f64() < seconds {
        seed += 1;
        let pollers = [0, 1, 3][seed as usize % 3];
        let mut model = Model::new(u64::wrapping_mul(seed, 0x9E37_79B9_7F4A_7C15), pollers);
        for _ in 0..600 {
            model.step();
        }
        model.finish();
        assert_eq!(descriptors(), before, "seed {seed}");
    }
    println!("{} sequences", seed - 1);
}
