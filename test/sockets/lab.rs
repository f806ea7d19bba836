//! A node with the C services of `sockets/`, told what to do through its standard input (`puppet.c`), and what
//! the system knows of it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use regex::Regex;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with, sockopt};

use super::common::{Node, SOON, Stage, Tree, tree};

/// Whether the long forms were asked for.
pub fn long() -> bool {
    std::env::var_os("SKYNET_SOCKETS_LONG").is_some_and(|value| value == "1")
}

/// Asks until it holds.
#[track_caller]
pub fn wait_until(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + limit;
    while !holds() {
        assert!(Instant::now() < end, "{what}: not within {limit:?}");
        thread::sleep(Duration::from_millis(10));
    }
}

pub struct Lab {
    // Ends before its directory goes.
    pub node: Node,
    pub stage: Stage,
    /// For whatever the node listens on.
    pub port: u16,
    /// The puppet's listener; 0 as long as there is none.
    listener: i32,
}

/// The counters that `front.c` prints.
#[derive(Debug, Default)]
pub struct Front {
    pub accepted: u64,
    pub ended: u64,
    pub errors: u64,
    pub bytes: u64,
    pub flooded: u64,
    pub refused: u64,
}

impl Lab {
    pub fn new(modules: &[&str], config: &str) -> Lab {
        Lab::changed(modules, config, |_, _| ())
    }

    /// With a last change of the command.
    pub fn changed(
        modules: &[&str],
        config: &str,
        change: impl FnOnce(&Stage, &mut Command),
    ) -> Lab {
        let stage = Stage::new(&Tree::node());
        for name in ["puppet"].iter().chain(modules) {
            stage.c_module(&tree::package().join(format!("test/sockets/{name}.c")));
        }
        let settings = format!(
            "cpath = './cservice/?.so;./extra/?.so' bootstrap = 'puppet'
             {config}"
        );
        let node = Node::start_changed(&stage, &settings, |command| change(&stage, command));
        let port = stage.port(1);
        let mut lab = Lab {
            node,
            stage,
            port,
            listener: 0,
        };
        lab.node.expect("^PUPPET ready$", SOON);
        lab
    }

    /// With `front.c` listening.
    pub fn front(modules: &[&str], config: &str, change: impl FnOnce(&Stage, &mut Command)) -> Lab {
        let modules: Vec<&str> = ["front"].iter().chain(modules).copied().collect();
        let mut lab = Lab::changed(&modules, config, change);
        lab.say(&format!("launch front 127.0.0.1 {}", lab.port));
        lab.node.expect("^FRONT listens$", SOON);
        lab
    }

    pub fn say(&mut self, command: &str) {
        self.node.type_line(command);
    }

    /// The first line that matches among those that come from now on.
    #[track_caller]
    pub fn ask(&mut self, command: &str, pattern: &str) -> String {
        let before = self.node.count(pattern);
        self.say(command);
        self.node.expect_count(pattern, before + 1, SOON);
        let regex = Regex::new(pattern).expect("a valid pattern");
        let lines = self.node.lines();
        let line = lines.iter().filter(|l| regex.is_match(&l.text)).nth(before);
        line.expect("it was just there").text.clone()
    }

    pub fn front_stats(&mut self) -> Front {
        let line = self.ask("tell .front stats", "^FRONT accepted=");
        let number = |name: &str| {
            let word = line
                .split(' ')
                .find_map(|w| w.strip_prefix(name)?.strip_prefix('='));
            word.and_then(|w| w.parse().ok())
                .unwrap_or_else(|| panic!("{name} in {line}"))
        };
        Front {
            accepted: number("accepted"),
            ended: number("ended"),
            errors: number("errors"),
            bytes: number("bytes"),
            flooded: number("flooded"),
            refused: number("refused"),
        }
    }

    /// Waits until the counters are as they should be.
    #[track_caller]
    pub fn expect_front(&mut self, what: &str, limit: Duration, holds: impl Fn(&Front) -> bool) {
        let end = Instant::now() + limit;
        loop {
            let stats = self.front_stats();
            if holds(&stats) {
                return;
            }
            assert_eq!(self.node.count("^FAIL"), 0, "{}", self.node.report());
            let report = || format!("{what}: {stats:?}\n{}", self.node.report());
            assert!(Instant::now() < end, "{}", report());
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Has the puppet listen.
    pub fn listen(&mut self) {
        let line = self.ask(&format!("listen {}", self.port), "^listen ");
        self.listener = number_in(&line, 1);
        assert!(self.listener > 0, "{line}");
        let started = format!("^EVENT CONNECT {} 0 start$", self.listener);
        self.ask(&format!("start {}", self.listener), &started);
    }

    /// A connection that the puppet has accepted and not started, and its id.
    pub fn accept(&mut self) -> (TcpStream, i32) {
        let client = self.connect();
        let port = client.local_addr().expect("a socket").port();
        let pattern = format!("^EVENT ACCEPT {} \\d+ 127.0.0.1:{port}$", self.listener);
        let line = self.node.expect(&pattern, SOON);
        (client, number_in(&line, 3))
    }

    /// A connection that the puppet has made, and its id.
    pub fn dial(&mut self) -> (TcpStream, i32) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("a socket").port();
        let line = self.ask(&format!("connect 127.0.0.1 {port}"), "^connect ");
        let id = number_in(&line, 1);
        self.node
            .expect(&format!("^EVENT CONNECT {id} 0 127.0.0.1$"), SOON);
        let (client, _) = listener.accept().expect("somebody connected");
        (ready(client), id)
    }

    /// Starts a connection and waits until it is.
    pub fn start(&mut self, id: i32) {
        let started = format!("^EVENT CONNECT {id} 0 start$");
        self.ask(&format!("start {id}"), &started);
    }

    /// Sends so much that some of it has to wait in the node, if the client does not read.
    pub fn fill(&mut self, id: i32) {
        for _ in 0..2 {
            let sent = self.ask(&format!("send {id} 8000000"), "^send ");
            assert_eq!(sent, "send 0");
        }
        self.node.expect(&format!("^EVENT WARNING {id} "), SOON);
    }

    /// What the puppet has seen of a socket, as `NAME ud text`.
    pub fn events(&self, id: i32) -> Vec<String> {
        let mut events = Vec::new();
        for line in self.node.lines() {
            let mut words = line.text.splitn(4, ' ');
            if (words.next(), words.clone().nth(1)) == (Some("EVENT"), Some(&id.to_string()[..])) {
                let name = words.next().unwrap_or_default();
                let rest = words.nth(1).unwrap_or_default();
                events.push(format!("{name} {rest}"));
            }
        }
        events
    }

    pub fn pid(&self) -> i32 {
        self.node.pid()
    }

    /// How many descriptors the node has open.
    pub fn descriptors(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.pid());
        std::fs::read_dir(folder).expect("the node runs").count()
    }

    #[track_caller]
    pub fn expect_descriptors(&self, count: usize) {
        let end = Instant::now() + SOON;
        while self.descriptors() != count {
            let now = self.descriptors();
            let report = || format!("{now} descriptors, not {count}\n{}", self.node.report());
            assert!(Instant::now() < end, "{}", report());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Processor time of the node's threads so far. What /proc/PID/stat says counts whole ticks, and who wakes
    /// for less than that is often not seen.
    pub fn processor_time(&self) -> Duration {
        let folder = format!("/proc/{}/task", self.pid());
        let mut sum = 0;
        for task in std::fs::read_dir(folder).expect("the node runs") {
            let file = task.expect("a readable folder").path().join("schedstat");
            let text = std::fs::read_to_string(file).unwrap_or_default();
            let first = text.split(' ').next().and_then(|n| n.parse::<u64>().ok());
            sum += first.unwrap_or(0);
        }
        assert!(sum > 0, "the system does not count processor time");
        Duration::from_nanos(sum)
    }

    /// A line of /proc/PID/status in bytes: VmRSS, VmHWM.
    pub fn memory(&self, name: &str) -> u64 {
        let text =
            std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("running");
        let line = text.lines().find_map(|l| l.strip_prefix(name));
        let kib = line.and_then(|l| {
            l.trim_matches([':', ' ', '\t', 'k', 'B'])
                .parse::<u64>()
                .ok()
        });
        kib.unwrap_or_else(|| panic!("{name} in {text}")) * 1024
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port));
        ready(stream.unwrap_or_else(|e| panic!("connect: {e}\n{}", self.node.report())))
    }

    /// Nothing went wrong in the services, and the node ends in order.
    #[track_caller]
    pub fn quit(mut self) {
        self.say("quit");
        self.node.expect_code(0, SOON);
        self.node.expect_no_panic();
        let wrong = self
            .node
            .count("^FAIL|Unknown socket message|invalid socket$");
        let wrong = wrong - self.node.count("^EVENT ERROR .* invalid socket$");
        assert_eq!(wrong, 0, "{}", self.node.report());
    }
}

/// Whether a pattern is found in a text.
pub fn matches(text: &str, pattern: &str) -> bool {
    Regex::new(pattern).expect("a valid pattern").is_match(text)
}

/// The number at a place of a line, counted from 0.
#[track_caller]
pub fn number_in(line: &str, place: usize) -> i32 {
    let word = line.split(' ').nth(place).and_then(|w| w.parse().ok());
    word.unwrap_or_else(|| panic!("no number at {place} of {line}"))
}

/// Nothing a client waits for takes forever.
pub fn ready(stream: TcpStream) -> TcpStream {
    let limit = Some(2 * SOON);
    stream.set_read_timeout(limit).expect("a limit");
    stream.set_write_timeout(limit).expect("a limit");
    stream
}

/// A connection to a port of this machine from a source address of its own choice, with an input buffer of so
/// many bytes.
#[track_caller]
pub fn connect_from(source: Ipv4Addr, port: u16, input: Option<usize>) -> TcpStream {
    let dial = || -> rustix::io::Result<OwnedFd> {
        // Not for the nodes that other tests start meanwhile.
        let flags = SocketFlags::CLOEXEC;
        let fd = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        if let Some(bytes) = input {
            sockopt::set_socket_recv_buffer_size(&fd, bytes)?;
        }
        bind(&fd, &SocketAddr::from((source, 0)))?;
        connect(&fd, &SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        Ok(fd)
    };
    let fd = dial().unwrap_or_else(|e| panic!("connect from {source}: {e}"));
    ready(TcpStream::from(fd))
}

/// Sends something and waits until it comes back.
#[track_caller]
pub fn echo(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).expect("the node reads");
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back).expect("an echo");
    assert!(back == bytes, "the echo is another");
}

/// Closes with a reset.
pub fn reset(stream: TcpStream) {
    sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).expect("a socket");
}
