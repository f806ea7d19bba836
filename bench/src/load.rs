//! The other side of the socket workloads: clients on loopback, all served by one thread that is as cheap as it
//! can be, since it shares the machine with the node.
//!
//! A load is a closed loop: a client has one request under way and sends the next when the answer was there and
//! right. Nothing waits without a limit: an answer that is missing for [`PATIENCE`] is a failure.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::event::{Timespec, epoll};

use crate::run::{Usage, Value};

/// What clients do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// Each sends `size` bytes, which come back; framed with the two bytes of a gate's length if asked.
    Echo {
        connections: usize,
        size: usize,
        framed: bool,
    },
    /// The same, beside a client that sends requests all the time and reads nothing.
    EchoBesideSlow { connections: usize, size: usize },
    /// One byte of the first client makes the node send `size` bytes to each: a round.
    Broadcast { connections: usize, size: usize },
    /// Connects, gets one byte back, and hangs up, so many at a time.
    Accept { parallel: usize },
    /// Connects and stays.
    Idle { connections: usize },
    /// Datagrams that come back.
    Udp { sockets: usize, size: usize },
}

/// The node under load.
pub struct Target {
    pub port: u16,
    pub pid: u32,
    /// How long to measure.
    pub time: Duration,
    /// Below 1 there are fewer clients.
    pub scale: f64,
}

const PATIENCE: Duration = Duration::from_secs(20);
/// What runs before the measuring, as a part of its time.
const WARM_UP: f64 = 0.2;

type Fault = Box<dyn std::error::Error>;

/// Puts the node under load and returns what was measured.
pub fn run(load: Load, target: &Target) -> Result<Vec<Value>, Fault> {
    raise_limit();
    match load {
        Load::Echo {
            connections,
            size,
            framed,
        } => echo(target, target.clients(connections), size, framed),
        Load::EchoBesideSlow { connections, size } => {
            let slow = Slow::begin(target)?;
            let values = echo(target, target.clients(connections), size, false);
            slow.end()?;
            values
        }
        Load::Broadcast { connections, size } => {
            broadcast(target, target.clients(connections), size)
        }
        Load::Accept { parallel } => accept(target, target.clients(parallel)),
        Load::Idle { connections } => idle(target, target.clients(connections)),
        Load::Udp { sockets, size } => udp(target, target.clients(sockets), size),
    }
}

/// As many descriptors as the system lets us have; nodes that are started later inherit it.
pub fn raise_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    // With less, connecting says so.
    let _ = setrlimit(Resource::Nofile, raised);
}

impl Target {
    fn clients(&self, wanted: usize) -> usize {
        let scaled = wanted as f64 * self.scale.min(1.0).sqrt();
        (scaled as usize).max(2)
    }

    fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.address(), PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    }
}

/// Bytes that tell where they are cut.
fn pattern(size: usize, seed: usize) -> Vec<u8> {
    (0..size)
        .map(|at| (at.wrapping_mul(31) ^ (at >> 8) ^ seed) as u8)
        .collect()
}

/// Waits for readable descriptors.
struct Poll {
    epoll: rustix::fd::OwnedFd,
    events: Vec<epoll::Event>,
}

impl Poll {
    fn new() -> io::Result<Poll> {
        Ok(Poll {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(256),
        })
    }

    fn add(&self, fd: impl AsFd, token: usize) -> io::Result<()> {
        let data = epoll::EventData::new_u64(token as u64);
        Ok(epoll::add(&self.epoll, fd, data, epoll::EventFlags::IN)?)
    }

    /// The tokens of what can be read; a failure when there is nothing for too long.
    fn wait(&mut self) -> Result<impl Iterator<Item = usize>, Fault> {
        self.events.clear();
        let limit = Timespec {
            tv_sec: PATIENCE.as_secs() as i64,
            tv_nsec: 0,
        };
        let space = rustix::buffer::spare_capacity(&mut self.events);
        if epoll::wait(&self.epoll, space, Some(&limit))? == 0 {
            return Err(format!("no answer for {PATIENCE:?}").into());
        }
        Ok(self.events.iter().map(|event| event.data.u64() as usize))
    }
}

/// Counts answers and their times once the warm-up is over.
struct Meter {
    pid: u32,
    begin: Instant,
    end: Instant,
    /// At the begin of the measuring.
    usage: Option<Usage>,
    answers: u64,
    times: Histogram<u64>,
}

impl Meter {
    fn new(target: &Target) -> Result<Meter, Fault> {
        let begin = Instant::now() + target.time.mul_f64(WARM_UP);
        Ok(Meter {
            pid: target.pid,
            begin,
            end: begin + target.time,
            usage: None,
            answers: 0,
            times: Histogram::new_with_max(60_000_000_000, 3)?,
        })
    }

    /// Whether it goes on. Called once for each batch.
    fn goes_on(&mut self, now: Instant) -> Result<bool, Fault> {
        if self.usage.is_none() && now >= self.begin {
            self.end = now + (self.end - self.begin);
            self.begin = now;
            self.usage = Some(Usage::of(self.pid)?);
        }
        Ok(now < self.end)
    }

    fn answer(&mut self, sent: Instant, now: Instant) {
        if self.usage.is_some() {
            self.answers += 1;
            self.times.saturating_record((now - sent).as_nanos() as u64);
        }
    }

    /// Rate, times and CPU, where an answer stands for `each` of what the rate counts.
    fn values(&self, unit: &str, each: u64) -> Result<Vec<Value>, Fault> {
        let seconds = self.begin.elapsed().as_secs_f64();
        let before = self.usage.as_ref().ok_or("there was no time to measure")?;
        let cpu = Usage::of(self.pid)?.nanos.saturating_sub(before.nanos);
        let count = self.answers * each;
        if count == 0 {
            return Err("no answer came while it was measured".into());
        }
        let time = |quantile| self.times.value_at_quantile(quantile) as f64 / 1e3;
        Ok(vec![
            Value::new("rate", count as f64 / seconds, unit),
            Value::new("p50", time(0.5), "us"),
            Value::new("p99", time(0.99), "us"),
            Value::new("p999", time(0.999), "us"),
            Value::new("cpu", cpu as f64 / 1e3 / count as f64, "us"),
        ])
    }
}

/// A connection with a request under way.
struct Client {
    stream: TcpStream,
    sent: Instant,
    received: usize,
}

fn connect_all(target: &Target, count: usize, poll: &Poll) -> Result<Vec<Client>, Fault> {
    let mut clients = Vec::with_capacity(count);
    for token in 0..count {
        let stream = target.connect()?;
        poll.add(&stream, token)?;
        clients.push(Client {
            stream,
            sent: Instant::now(),
            received: 0,
        });
    }
    Ok(clients)
}

/// Sends all of a request. What does not fit into the kernel's buffer follows as soon as there is room.
fn send_all(mut stream: &TcpStream, mut bytes: &[u8]) -> Result<(), Fault> {
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(sent) => bytes = &bytes[sent..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                use rustix::event::{PollFd, PollFlags, poll};
                let limit = Timespec {
                    tv_sec: PATIENCE.as_secs() as i64,
                    tv_nsec: 0,
                };
                let mut list = [PollFd::new(&stream, PollFlags::OUT)];
                if poll(&mut list, Some(&limit))? == 0 {
                    return Err("the node does not read".into());
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn echo(target: &Target, count: usize, size: usize, framed: bool) -> Result<Vec<Value>, Fault> {
    let mut request = pattern(size, 7);
    if framed {
        request.splice(0..0, (size as u16).to_be_bytes());
    }
    let mut poll = Poll::new()?;
    let mut clients = connect_all(target, count, &poll)?;
    let mut space = vec![0; request.len() + 1];
    let mut meter = Meter::new(target)?;
    for client in &mut clients {
        client.sent = Instant::now();
        send_all(&client.stream, &request)?;
    }
    while meter.goes_on(Instant::now())? {
        for token in poll.wait()? {
            let client = &mut clients[token];
            let count = match client.stream.read(&mut space) {
                Ok(0) => return Err("the node hung up".into()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error.into()),
            };
            let expected = request.get(client.received..client.received + count);
            if expected != Some(&space[..count]) {
                return Err("the answer is not what was sent".into());
            }
            client.received += count;
            if client.received == request.len() {
                let now = Instant::now();
                meter.answer(client.sent, now);
                (client.received, client.sent) = (0, now);
                send_all(&client.stream, &request)?;
            }
        }
    }
    meter.values("req/s", 1)
}

/// A client, in a thread of its own, that asks for more than it ever reads.
struct Slow {
    stream: TcpStream,
    thread: std::thread::JoinHandle<u64>,
}

impl Slow {
    fn begin(target: &Target) -> Result<Slow, Fault> {
        let stream = TcpStream::connect_timeout(&target.address(), PATIENCE)?;
        let mut writer = stream.try_clone()?;
        let thread = std::thread::spawn(move || {
            let request = pattern(16_384, 3);
            let mut sent = 0;
            while let Ok(count) = writer.write(&request) {
                sent += count as u64;
                // Fast enough to fill every buffer, and no load by itself.
                std::thread::sleep(Duration::from_millis(2));
            }
            sent
        });
        // Its buffers are full before anything is measured.
        std::thread::sleep(target.time.mul_f64(0.5));
        Ok(Slow { stream, thread })
    }

    fn end(self) -> Result<(), Fault> {
        self.stream.shutdown(std::net::Shutdown::Both)?;
        match self.thread.join() {
            Ok(0) => Err("the slow client could not ask".into()),
            Ok(_) => Ok(()),
            Err(_) => Err("the slow client panicked".into()),
        }
    }
}

fn broadcast(target: &Target, count: usize, size: usize) -> Result<Vec<Value>, Fault> {
    let mut poll = Poll::new()?;
    let mut clients = connect_all(target, count, &poll)?;
    // Each says hello and gets it back, so that the node knows all of them.
    for client in &clients {
        send_all(&client.stream, b"+")?;
    }
    let mut space = vec![0; size * 2];
    let mut known = 0;
    while known < clients.len() {
        for token in poll.wait()? {
            known += clients[token].stream.read(&mut space)?;
        }
    }
    let message = pattern(size, 5);
    let mut meter = Meter::new(target)?;
    while meter.goes_on(Instant::now())? {
        let sent = Instant::now();
        send_all(&clients[0].stream, b"!")?;
        let mut missing = clients.len();
        while missing > 0 {
            for token in poll.wait()? {
                let client = &mut clients[token];
                let count = client.stream.read(&mut space)?;
                let expected = message.get(client.received..client.received + count);
                if count == 0 || expected != Some(&space[..count]) {
                    return Err("what came is not what was sent".into());
                }
                client.received += count;
                if client.received == size {
                    client.received = 0;
                    missing -= 1;
                }
            }
        }
        meter.answer(sent, Instant::now());
    }
    meter.values("msg/s", clients.len() as u64)
}

fn accept(target: &Target, parallel: usize) -> Result<Vec<Value>, Fault> {
    let mut poll = Poll::new()?;
    let mut clients = Vec::with_capacity(parallel);
    let open = |poll: &Poll, token: usize| -> Result<Client, Fault> {
        let sent = Instant::now();
        let stream = target.connect()?;
        send_all(&stream, b"?")?;
        poll.add(&stream, token)?;
        Ok(Client {
            stream,
            sent,
            received: 0,
        })
    };
    for token in 0..parallel {
        clients.push(open(&poll, token)?);
    }
    let mut meter = Meter::new(target)?;
    while meter.goes_on(Instant::now())? {
        let tokens: Vec<usize> = poll.wait()?.collect();
        for token in tokens {
            let client = &mut clients[token];
            if client.stream.read(&mut [0; 2])? != 1 {
                return Err("the node hung up".into());
            }
            meter.answer(client.sent, Instant::now());
            // Without a reset the ports would run out.
            rustix::net::sockopt::set_socket_linger(&client.stream, Some(Duration::ZERO))?;
            clients[token] = open(&poll, token)?;
        }
    }
    meter.values("conn/s", 1)
}

/// Resident memory of a process in bytes.
fn resident(pid: u32) -> Result<f64, Fault> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    Ok(kib.ok_or("no VmRSS")?.parse::<f64>()? * 1024.0)
}

fn idle(target: &Target, count: usize) -> Result<Vec<Value>, Fault> {
    let poll = Poll::new()?;
    let talk = |clients: &mut [Client]| -> Result<(), Fault> {
        for client in clients {
            client.stream.set_nonblocking(false)?;
            client.stream.set_read_timeout(Some(PATIENCE))?;
            client.stream.write_all(b"?")?;
            client.stream.read_exact(&mut [0])?;
        }
        Ok(())
    };
    // What the first ones need, the node needs once.
    let mut first = connect_all(target, count.div_ceil(20), &poll)?;
    talk(&mut first)?;
    let before = resident(target.pid)?;
    let mut clients = connect_all(target, count, &poll)?;
    talk(&mut clients)?;
    std::thread::sleep(target.time.mul_f64(0.3));
    let used = (resident(target.pid)? - before).max(0.0);
    let each = used / clients.len() as f64;
    Ok(vec![Value::new("memory", each, "B/conn")])
}

fn udp(target: &Target, count: usize, size: usize) -> Result<Vec<Value>, Fault> {
    let request = pattern(size, 11);
    let mut poll = Poll::new()?;
    let mut clients = Vec::new();
    for token in 0..count {
        let socket = UdpSocket::bind(("127.0.0.1", 0))?;
        socket.connect(target.address())?;
        socket.set_nonblocking(true)?;
        poll.add(socket.as_fd() as BorrowedFd<'_>, token)?;
        clients.push((socket, Instant::now()));
    }
    let mut space = vec![0; size + 1];
    let mut meter = Meter::new(target)?;
    for (socket, sent) in &mut clients {
        *sent = Instant::now();
        socket.send(&request)?;
    }
    while meter.goes_on(Instant::now())? {
        for token in poll.wait()? {
            let (socket, sent) = &mut clients[token];
            let count = match socket.recv(&mut space) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                result => result?,
            };
            if space[..count] != request[..] {
                return Err("the answer is not what was sent".into());
            }
            let now = Instant::now();
            meter.answer(*sent, now);
            *sent = now;
            socket.send(&request)?;
        }
    }
    meter.values("req/s", 1)
}
