//! Where messages go, and how every connection stands.
//!
//! A connection to a node goes through these states:
//! 1. `Waiting`: there is none yet; messages are queued.
//! 2. `Greeting`: we made the connection and have sent our number; the first byte that arrives must be the
//!    node's number. Messages are queued.
//! 3. `Up`: messages are sent as they come.
//! 4. `Down`: not reachable. Requests are answered with an error.
//!
//! A connection that is lost is not made again: the slave is told, the node is `Down` and keeps the number of
//! its socket, by which a second connection is recognised and refused. A connection that we end ourselves,
//! because the other side does not keep to the protocol, leaves no such trace.

use std::collections::HashMap;
use std::ffi::c_int;

use crate::command::{self, Command, GlobalName};
use crate::payload::Payload;
use crate::wire::{self, Broken, Inbox, Trailer};

/// Message types that answer a request. They are not answered themselves: their session is the requester's,
/// and the answer would hit a call of the answerer that happens to have the same number.
const RESPONSE: u8 = 1;
const ERROR: u8 = 7;

const NODES: usize = 256;

/// What the router asks of the core.
pub trait Host {
    /// Sends to a service of this node. False if there is none.
    fn deliver(&self, parcel: Parcel) -> bool;
    /// Tells `to`, in the name of `from`, that its request has failed.
    fn fail(&self, from: u32, to: u32, session: c_int);
    /// Sends a text to the slave.
    fn tell_slave(&self, text: &[u8]);
    fn write(&self, socket: c_int, data: Payload);
    /// Takes a socket over.
    fn start(&self, socket: c_int);
    fn close(&self, socket: c_int);
    fn log(&self, text: &[u8]);
}

/// A message and its sender and receiver.
pub struct Parcel {
    pub source: u32,
    pub destination: u32,
    pub kind: u8,
    pub session: c_int,
    pub data: Payload,
}

#[derive(Clone, Copy, PartialEq)]
enum Link {
    Waiting,
    Greeting,
    Up,
    Down,
}

struct Node {
    /// 0 = there is and was none.
    socket: c_int,
    link: Link,
    queue: Vec<Parcel>,
    inbox: Inbox,
}

#[derive(Default)]
struct Name {
    /// 0 = not known yet.
    handle: u32,
    /// Messages that wait for it.
    queue: Vec<Parcel>,
}

pub struct Router<H: Host> {
    pub host: H,
    /// The number of this node; 0 = it is the only one.
    own: u8,
    nodes: Vec<Node>,
    names: HashMap<GlobalName, Name>,
}

fn node_of(handle: u32) -> u8 {
    (handle >> 24) as u8
}

/// A name without its padding.
fn trim(name: &GlobalName) -> &[u8] {
    let end = name.iter().position(|&b| b == 0).unwrap_or(name.len());
    &name[..end]
}

impl<H: Host> Router<H> {
    pub fn new(host: H, own: u8) -> Self {
        let nodes = (0..NODES).map(|number| Node {
            socket: 0,
            // Nobody has number 0; and a node with number 0 has no others.
            link: if own == 0 || number == 0 {
                Link::Down
            } else {
                Link::Waiting
            },
            queue: Vec::new(),
            inbox: Inbox::default(),
        });
        Self {
            nodes: nodes.collect(),
            host,
            own,
            names: HashMap::new(),
        }
    }

    fn log(&self, text: String) {
        self.host.log(text.as_bytes());
    }

    fn node(&mut self, number: u8) -> &mut Node {
        &mut self.nodes[usize::from(number)]
    }

    /// The node whose connection this is, or was.
    fn owner(&self, socket: c_int) -> Option<u8> {
        let same = |node: &Node| node.socket == socket && socket != 0;
        Some(self.nodes.iter().position(same)? as u8)
    }

    /// A message for the service with the handle `parcel.destination`.
    pub fn send(&mut self, parcel: Parcel) {
        let number = node_of(parcel.destination);
        if number == self.own {
            return self.send_here(parcel);
        }
        let node = self.node(number);
        match node.link {
            Link::Up => self.transmit(number, parcel),
            Link::Waiting | Link::Greeting => node.queue.push(parcel),
            Link::Down => self.refuse(number, parcel),
        }
    }

    /// A message for the service with a global name; `parcel.destination` means nothing.
    pub fn send_by_name(&mut self, name: GlobalName, mut parcel: Parcel) {
        let known = self.names.entry(name).or_default();
        if known.handle == 0 {
            known.queue.push(parcel);
            self.host.tell_slave(&[b"Q ", trim(&name)].concat());
        } else {
            parcel.destination = known.handle;
            self.send(parcel);
        }
    }

    fn send_here(&self, parcel: Parcel) {
        let Parcel {
            source,
            destination,
            kind,
            session,
            ..
        } = parcel;
        if !self.host.deliver(parcel) {
            self.answer(kind, destination, source, session);
        }
    }

    fn transmit(&self, number: u8, parcel: Parcel) {
        let Parcel {
            source,
            destination,
            kind,
            session,
            ref data,
        } = parcel;
        let trailer = Trailer {
            source,
            local: destination,
            kind,
            session,
        };
        match wire::encode(trailer, data.bytes()) {
            Some(packet) => self
                .host
                .write(self.nodes[usize::from(number)].socket, packet),
            None => {
                self.log(format!(
                    "remote message from :{source:08x} to :{destination:08x} is too large."
                ));
                self.answer(kind, destination, source, session);
            }
        }
    }

    /// A message that cannot reach its node.
    fn refuse(&self, number: u8, parcel: Parcel) {
        let (from, to) = (parcel.source, parcel.destination);
        let (session, size) = (parcel.session, parcel.data.bytes().len());
        self.answer(parcel.kind, to, from, session);
        self.log(format!(
            "Drop message to harbor {number} from {from:x} to {to:x} (session = {session}, msgsz = {size})"
        ));
    }

    /// Tells the sender of a request that nobody will answer it.
    fn answer(&self, kind: u8, from: u32, to: u32, session: c_int) {
        if kind != RESPONSE && kind != ERROR {
            self.host.fail(from, to, session);
        }
    }

    /// A control message.
    pub fn control(&mut self, sender: u32, text: &[u8]) {
        match command::parse(text) {
            Command::Name(name) => self.name(name, sender),
            Command::Link {
                socket,
                node,
                greet,
            } => self.link(socket, node, greet),
            Command::BadName(name) => self.host.log(&[b"Invalid global name ", name].concat()),
            Command::BadLink(letter, rest) => self
                .host
                .log(&[b"Invalid command ", &[letter][..], b" ", rest].concat()),
            Command::Unknown => self.host.log(&[b"Unknown command ", text].concat()),
        }
    }

    fn name(&mut self, name: GlobalName, handle: u32) {
        let known = self.names.entry(name).or_default();
        known.handle = handle;
        let queue = std::mem::take(&mut known.queue);
        let number = node_of(handle);
        let down = number != self.own && self.node(number).link == Link::Down;
        if down && !queue.is_empty() {
            let place = format!(" (in harbor {number})");
            let text = [b"Drop message to ", trim(&name), place.as_bytes()].concat();
            self.host.log(&text);
        }
        for mut parcel in queue {
            if down {
                self.answer(parcel.kind, handle, parcel.source, parcel.session);
            } else {
                parcel.destination = handle;
                self.send(parcel);
            }
        }
    }

    fn link(&mut self, socket: c_int, number: u8, greet: bool) {
        let own = self.own;
        let node = self.node(number);
        if node.socket != 0 {
            self.log(format!("Harbor {number} alreay exist"));
            // Nobody else will, and the other side should know.
            self.host.close(socket);
            return;
        }
        node.socket = socket;
        node.link = if greet { Link::Greeting } else { Link::Up };
        node.inbox = Inbox::default();
        self.host.start(socket);
        self.host.write(socket, Payload::concat(&[&[own]]));
        if !greet {
            self.flush(number);
        }
    }

    /// Sends what has waited for the connection.
    fn flush(&mut self, number: u8) {
        for parcel in std::mem::take(&mut self.node(number).queue) {
            self.transmit(number, parcel);
        }
    }

    /// No connection to this node any more.
    fn take_down(&mut self, number: u8) {
        let node = self.node(number);
        node.link = Link::Down;
        node.inbox = Inbox::default();
        for parcel in std::mem::take(&mut node.queue) {
            self.refuse(number, parcel);
        }
    }

    /// The other side does not keep to the protocol.
    fn hang_up(&mut self, number: u8) {
        let socket = std::mem::take(&mut self.node(number).socket);
        self.host.close(socket);
        self.take_down(number);
    }

    /// Bytes from a node.
    pub fn receive(&mut self, socket: c_int, mut data: &[u8]) {
        let Some(number) = self.owner(socket) else {
            return self.log(format!("Invalid socket fd ({socket}) data"));
        };
        let node = self.node(number);
        if node.link == Link::Greeting {
            let Some((&greeting, rest)) = data.split_first() else {
                return;
            };
            if greeting != number {
                self.log(format!(
                    "Invalid shakehand id ({greeting}) from fd = {socket} , harbor = {number}"
                ));
                return self.hang_up(number);
            }
            node.link = Link::Up;
            data = rest;
            self.flush(number);
        }
        if self.node(number).link != Link::Up {
            // Lost; this was on its way.
            return;
        }
        let mut inbox = std::mem::take(&mut self.node(number).inbox);
        inbox.push(data);
        let broken = loop {
            match inbox.next() {
                Ok(Some((trailer, payload))) => self.arrive(trailer, payload),
                Ok(None) => {
                    self.node(number).inbox = inbox;
                    return;
                }
                Err(broken) => break broken,
            }
        };
        let what = match broken {
            Broken::TooLong => "long",
            Broken::TooShort => "short",
        };
        self.log(format!("Message is too {what} from harbor {number}"));
        self.hang_up(number);
    }

    /// A message from another node for a service of this one.
    fn arrive(&self, trailer: Trailer, payload: &[u8]) {
        let Trailer {
            source,
            local,
            kind,
            session,
        } = trailer;
        let destination = u32::from(self.own) << 24 | local;
        let delivered = self.host.deliver(Parcel {
            source,
            destination,
            kind,
            session,
            data: Payload::concat(&[payload]),
        });
        if !delivered {
            self.answer(kind, destination, source, session);
            self.log(format!(
                "Unknown destination :{destination:x} from :{source:x} type({kind})"
            ));
        }
    }

    /// A connection has ended, or failed.
    pub fn lost(&mut self, socket: c_int) {
        let Some(number) = self.owner(socket) else {
            return self.log(format!("Unknown fd ({socket}) closed"));
        };
        if self.node(number).link == Link::Down {
            // The second event of the same end.
            return;
        }
        self.host.tell_slave(format!("D {number}").as_bytes());
        self.host.close(socket);
        self.take_down(number);
    }

    /// A connection that is too slow: so many KiB wait to be sent.
    pub fn congested(&self, socket: c_int, size: c_int) {
        if let Some(number) = self.owner(socket) {
            self.log(format!(
                "message havn't send to Harbor ({number}) reach {size} K"
            ));
        }
    }
}

impl<H: Host> Drop for Router<H> {
    fn drop(&mut self) {
        for node in &self.nodes {
            if node.socket != 0 && node.link != Link::Down {
                self.host.close(node.socket);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    /// Writes down what it is asked for. Local service 0xffff does not exist.
    #[derive(Default)]
    struct Notes(RefCell<Vec<String>>);

    impl Notes {
        fn add(&self, note: String) {
            self.0.borrow_mut().push(note);
        }
    }

    impl Host for &Notes {
        fn deliver(&self, p: Parcel) -> bool {
            let (kind, session) = (p.kind, p.session);
            let (from, to) = (p.source, p.destination);
            let text = String::from_utf8_lossy(p.data.bytes()).into_owned();
            self.add(format!("deliver {from:x} {to:x} {kind} {session} {text}"));
            to & 0xff_ffff != 0xffff
        }
        fn fail(&self, from: u32, to: u32, session: c_int) {
            self.add(format!("fail {from:x} {to:x} {session}"));
        }
        fn tell_slave(&self, text: &[u8]) {
            self.add(format!("slave {}", String::from_utf8_lossy(text)));
        }
        fn write(&self, socket: c_int, data: Payload) {
            self.add(format!("write {socket} {:?}", data.bytes()));
        }
        fn start(&self, socket: c_int) {
            self.add(format!("start {socket}"));
        }
        fn close(&self, socket: c_int) {
            self.add(format!("close {socket}"));
        }
        fn log(&self, text: &[u8]) {
            self.add(format!("log {}", String::from_utf8_lossy(text)));
        }
    }

    const REQUEST: u8 = 10;
    const HERE: u32 = 0x0100_0008;
    const THERE: u32 = 0x0200_0009;

    fn parcel(destination: u32, kind: u8, text: &str) -> Parcel {
        Parcel {
            source: HERE,
            destination,
            kind,
            session: 5,
            data: Payload::concat(&[text.as_bytes()]),
        }
    }

    /// The packet that carries `parcel(THERE, REQUEST, text)`, as `Notes` writes it down.
    fn sent(socket: c_int, text: &str) -> String {
        let mut bytes = vec![0, 0, 0, 12 + text.len() as u8];
        bytes.extend_from_slice(text.as_bytes());
        bytes.extend_from_slice(&[1, 0, 0, 8, REQUEST, 0, 0, 9, 0, 0, 0, 5]);
        format!("write {socket} {bytes:?}")
    }

    /// What has been written down since the last time.
    fn notes(notes: &Notes) -> Vec<String> {
        notes.0.take()
    }

    #[test]
    fn a_single_node_refuses() {
        let n = Notes::default();
        let mut router = Router::new(&n, 0);
        router.send(parcel(THERE, REQUEST, "abc"));
        assert_eq!(
            notes(&n),
            [
                "fail 2000009 1000008 5",
                "log Drop message to harbor 2 from 1000008 to 2000009 (session = 5, msgsz = 3)",
            ]
        );
        for kind in [RESPONSE, ERROR] {
            router.send(parcel(THERE, kind, ""));
            assert_eq!(notes(&n).len(), 1);
        }
        // Names of this node work.
        router.send_by_name(*b"X\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", parcel(0, REQUEST, "m"));
        assert_eq!(notes(&n), ["slave Q X"]);
        router.control(7, b"N X");
        assert_eq!(notes(&n), ["deliver 1000008 7 10 5 m"]);
    }

    #[test]
    fn an_outgoing_connection() {
        let n = Notes::default();
        let mut router = Router::new(&n, 1);
        router.send(parcel(THERE, REQUEST, "early"));
        assert!(notes(&n).is_empty());
        router.control(4, b"S 33 2");
        assert_eq!(notes(&n), ["start 33", "write 33 [1]"]);
        router.send(parcel(THERE, REQUEST, "b"));
        assert!(notes(&n).is_empty());
        router.receive(33, &[2]);
        assert_eq!(notes(&n), [sent(33, "early"), sent(33, "b")]);
        router.send(parcel(THERE, REQUEST, ""));
        assert_eq!(notes(&n), [sent(33, "")]);
        router.control(4, b"S 34 2");
        assert_eq!(notes(&n), ["log Harbor 2 alreay exist", "close 34"]);
        router.congested(33, 2048);
        assert_eq!(
            notes(&n),
            ["log message havn't send to Harbor (2) reach 2048 K"]
        );
        drop(router);
        assert_eq!(notes(&n), ["close 33"]);
    }

    #[test]
    fn an_accepted_connection_and_its_end() {
        let n = Notes::default();
        let mut router = Router::new(&n, 1);
        router.send(parcel(THERE, REQUEST, "a"));
        router.control(4, b"A 33 2");
        assert_eq!(
            notes(&n),
            ["start 33".into(), "write 33 [1]".into(), sent(33, "a")]
        );
        router.lost(33);
        assert_eq!(notes(&n), ["slave D 2", "close 33"]);
        // The other event of the same end, and data that was on its way.
        router.lost(33);
        router.receive(33, &[0, 0]);
        assert!(notes(&n).is_empty());
        router.send(parcel(THERE, REQUEST, ""));
        assert_eq!(notes(&n)[0], "fail 2000009 1000008 5");
        router.control(4, b"A 35 2");
        assert_eq!(notes(&n), ["log Harbor 2 alreay exist", "close 35"]);
        drop(router);
        assert!(notes(&n).is_empty());
    }

    #[test]
    fn a_wrong_greeting() {
        let n = Notes::default();
        let mut router = Router::new(&n, 1);
        router.control(4, b"S 33 2");
        router.send(parcel(THERE, REQUEST, "q"));
        notes(&n);
        router.receive(33, &[3]);
        assert_eq!(
            notes(&n),
            [
                "log Invalid shakehand id (3) from fd = 33 , harbor = 2",
                "close 33",
                "fail 2000009 1000008 5",
                "log Drop message to harbor 2 from 1000008 to 2000009 (session = 5, msgsz = 1)",
            ]
        );
        router.lost(33);
        assert_eq!(notes(&n), ["log Unknown fd (33) closed"]);
        router.receive(33, b"x");
        assert_eq!(notes(&n), ["log Invalid socket fd (33) data"]);
        // The slave may try again.
        router.control(4, b"S 34 2");
        assert_eq!(notes(&n), ["start 34", "write 34 [1]"]);
    }

    #[test]
    fn messages_that_arrive() {
        let n = Notes::default();
        let mut router = Router::new(&n, 1);
        router.control(4, b"S 33 2");
        notes(&n);
        // Greeting, one packet, and the start of another in one piece.
        let mut stream = vec![2];
        let packet = [0, 0, 0, 14, b'h', b'i', 2, 0, 0, 9, 10, 0, 0, 8, 0, 0, 0, 6];
        stream.extend_from_slice(&packet);
        stream.extend_from_slice(&packet[..7]);
        router.receive(33, &stream);
        assert_eq!(notes(&n), ["deliver 2000009 1000008 10 6 hi"]);
        router.receive(33, &packet[7..]);
        assert_eq!(notes(&n), ["deliver 2000009 1000008 10 6 hi"]);

        let unknown = |kind| [0, 0, 0, 12, 2, 0, 0, 5, kind, 0, 255, 255, 0, 0, 0, 77];
        router.receive(33, &unknown(10));
        assert_eq!(
            notes(&n),
            [
                "deliver 2000005 100ffff 10 77 ",
                "fail 100ffff 2000005 77",
                "log Unknown destination :100ffff from :2000005 type(10)",
            ]
        );
        for kind in [RESPONSE, ERROR] {
            router.receive(33, &unknown(kind));
            assert_eq!(notes(&n).len(), 2);
        }
        for (bad, word) in [([1, 0, 0, 0], "long"), ([0, 0, 0, 3], "short")] {
            router.receive(33, &bad);
            let log = format!("log Message is too {word} from harbor 2");
            assert_eq!(notes(&n), [log, "close 33".into()]);
            router.control(4, b"A 33 2");
            notes(&n);
        }
    }

    #[test]
    fn names() {
        let n = Notes::default();
        let mut router = Router::new(&n, 1);
        let name = *b"SIXTEEN BYTES AB";
        router.send_by_name(name, parcel(0, REQUEST, "a"));
        router.send_by_name(name, parcel(0, REQUEST, "b"));
        assert_eq!(notes(&n), ["slave Q SIXTEEN BYTES AB"; 2]);

        let name = *b"NAME\0\0\0\0\0\0\0\0\0\0\0\0";
        router.send_by_name(name, parcel(0, REQUEST, "a"));
        assert_eq!(notes(&n), ["slave Q NAME"]);
        // Known before its node is connected: the message waits for the connection.
        router.control(THERE, b"N NAME");
        assert!(notes(&n).is_empty());
        router.send_by_name(name, parcel(0, REQUEST, "b"));
        router.control(4, b"A 33 2");
        assert_eq!(notes(&n)[2..], [sent(33, "a"), sent(33, "b")]);
        // A name may move, also to this node.
        router.control(0x0100_0044, b"N NAME");
        router.send_by_name(name, parcel(0, REQUEST, "c"));
        assert_eq!(notes(&n), ["deliver 1000008 1000044 10 5 c"]);
        router.control(0x0100_ffff, b"N NAME");
        router.send_by_name(name, parcel(0, REQUEST, "d"));
        assert_eq!(notes(&n)[1], "fail 100ffff 1000008 5");
    }

    #[test]
    fn a_name_on_a_node_that_is_down() {
        let n = Notes::default();
        let mut router = Router::new(&n, 1);
        let name = *b"NAME\0\0\0\0\0\0\0\0\0\0\0\0";
        router.send_by_name(name, parcel(0, REQUEST, "a"));
        router.send_by_name(name, parcel(0, RESPONSE, "b"));
        router.control(4, b"A 33 2");
        router.lost(33);
        notes(&n);
        router.control(THERE, b"N NAME");
        assert_eq!(
            notes(&n),
            [
                "log Drop message to NAME (in harbor 2)",
                "fail 2000009 1000008 5",
            ]
        );
    }

    #[test]
    fn bad_control_messages() {
        let n = Notes::default();
        let mut router = Router::new(&n, 1);
        for text in ["N 1234567890123456", "S 0 1", "X", "Hello"] {
            router.control(4, text.as_bytes());
        }
        assert_eq!(
            notes(&n),
            [
                "log Invalid global name 1234567890123456",
                "log Invalid command S 0 1",
                "log Unknown command X",
                "log Unknown command Hello",
            ]
        );
    }
}
