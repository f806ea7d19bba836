//! Adopted descriptors, and running out of descriptors.

use super::*;
use crate::sys::socket::Descriptor;
use std::fs::File;
use std::io::{PipeReader, Write, pipe};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

impl Rig {
    fn bind(&self, raw: RawFd) -> SocketId {
        // SAFETY: the tests keep the descriptor open as long as the engine has it.
        self.server
            .bind(ME, unsafe { Descriptor::adopt(raw) })
            .unwrap()
    }

    fn bound(&self, fd: &impl AsRawFd) -> SocketId {
        let id = self.bind(fd.as_raw_fd());
        self.expect_text(EventKind::Connect, id, "binding");
        id
    }
}

fn is_open(fd: &impl AsRawFd) -> bool {
    // SAFETY: F_GETFD takes any number.
    unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFD) >= 0 }
}

#[test]
fn a_pipe_is_read_until_its_writer_goes() {
    let rig = Rig::new();
    let (reader, mut writer) = pipe().unwrap();
    let id = rig.bound(&reader);
    writer.write_all(&[b'p'; 500]).unwrap();
    assert_eq!(rig.expect_data(id, 500), [b'p'; 500]);
    writer.write_all(b"the end").unwrap();
    drop(writer);
    assert_eq!(rig.expect_data(id, 7), b"the end");
    rig.expect_plain(EventKind::Close, id, 0);
    rig.expect_gone(id);
    assert!(is_open(&reader));
}

#[test]
fn a_pipe_is_written() {
    let rig = Rig::new();
    let (mut reader, writer) = pipe().unwrap();
    let id = rig.bound(&writer);
    rig.send(id, b"one ").unwrap();
    rig.send_low(id, b"two").unwrap();
    let mut bytes = [0; 7];
    reader.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"one two");
    eventually("nothing is pending", || rig.pending(id) == 0);
    rig.server.close(id);
    rig.expect_plain(EventKind::Close, id, 0);
    rig.settle();
    assert!(is_open(&writer));
}

#[test]
fn a_pipe_that_nobody_reads_ends_without_a_storm() {
    let rig = Rig::new();
    let (reader, writer) = pipe().unwrap();
    let id = rig.bound(&writer);
    drop(reader);
    rig.expect_text(EventKind::Error, id, "Unknown error");
    rig.expect_plain(EventKind::Close, id, 0);
    rig.quiet();
    rig.expect_gone(id);
    assert!(is_open(&writer));
}

#[test]
fn a_full_pipe_is_flushed_and_then_closed() {
    let rig = Rig::new();
    let (reader, writer) = pipe().unwrap();
    let id = rig.bound(&writer);
    rig.send(id, &[b'f'; 300_000]).unwrap();
    eventually("the pipe is full", || rig.pending(id) < 300_000);
    rig.server.close(id);
    rig.expect_plain(EventKind::Close, id, 0);
    // Closed by the engine, because it had something left to write.
    std::mem::forget(writer);
    assert_eq!(read_to_end(reader), vec![b'f'; 300_000]);
    rig.quiet();
    assert_eq!(rig.sockets(), 0);
}

fn read_to_end(mut reader: PipeReader) -> Vec<u8> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn an_adopted_socket_is_closed_after_its_peer() {
    let rig = Rig::new();
    let (near, mut far) = UnixStream::pair().unwrap();
    let id = rig.bound(&near);
    far.write_all(b"abc").unwrap();
    rig.expect_data(id, 3);
    far.shutdown(std::net::Shutdown::Write).unwrap();
    rig.expect_plain(EventKind::Close, id, 0);
    rig.send(id, b"still there").unwrap();
    let mut bytes = [0; 11];
    far.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"still there");
    // It is the engine's now.
    std::mem::forget(near);
    rig.server.close(id);
    assert_eq!(far.read(&mut bytes).unwrap(), 0);
    rig.quiet();
}

#[test]
fn start_of_an_adopted_descriptor_says_nothing() {
    let rig = Rig::new();
    let (reader, mut writer) = pipe().unwrap();
    let id = rig.bound(&reader);
    rig.server.pause(id);
    rig.settle();
    writer.write_all(b"x").unwrap();
    rig.quiet();
    rig.server.start(5, id);
    assert_eq!(rig.expect_data(id, 1), b"x");
    rig.server.close(id);
    rig.expect_plain(EventKind::Close, id, 0);
}

#[test]
fn what_cannot_be_polled_is_refused_and_left_open() {
    let rig = Rig::new();
    let file = File::open("/proc/self/exe").unwrap();
    for raw in [-1, 1_000_000, file.as_raw_fd()] {
        let id = rig.bind(raw);
        rig.expect_text(EventKind::Error, id, "reach skynet socket number limit");
        rig.expect_gone(id);
    }
    assert!(is_open(&file));
}

#[test]
fn an_adopted_descriptor_survives_the_engine() {
    let rig = Rig::new();
    let (reader, writer) = pipe().unwrap();
    rig.bound(&reader);
    rig.bound(&writer);
    drop(rig);
    assert!(is_open(&reader) && is_open(&writer));
}

#[test]
fn running_out_of_descriptors() {
    if !in_own_process("descriptors::running_out_of_descriptors") {
        return;
    }
    let server = SocketServer::new(Clock::Manual(AtomicU64::new(0))).unwrap();
    let expect = |kind, ud| {
        let event = server.poll().event;
        assert_eq!((event.kind, event.id), (kind, SocketId(1)), "{event:?}");
        match event.body {
            Body::Text(text) if event.ud == ud => text.into_owned(),
            _ => panic!("{event:?}"),
        }
    };
    let listener = server.listen(ME, Some(c"127.0.0.1"), 0, 16).unwrap();
    let port = server.poll().event.ud as u16;
    let clients: Vec<TcpStream> = (0..3)
        .map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap())
        .collect();

    // From here on there is not one descriptor left.
    let hole = File::open("/dev/null").unwrap();
    let limit = hole.as_raw_fd() as u64 + 1;
    let limit = libc::rlimit {
        rlim_cur: limit,
        rlim_max: limit,
    };
    // SAFETY: the struct is filled.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
    server.start(ME, listener);
    assert_eq!(expect(EventKind::Connect, 0), "start");

    // The clients wait until there are descriptors again, and the owner hears of it once a second.
    assert_eq!(expect(EventKind::Error, 0), "Too many open files");
    let begin = Instant::now();
    assert_eq!(expect(EventKind::Error, 0), "Too many open files");
    assert!(begin.elapsed() >= Duration::from_millis(900));
    drop(hole);
    let peer = expect(EventKind::Accept, 2);
    assert_eq!(peer, clients[0].local_addr().unwrap().to_string());

    // As many as have left are accepted.
    assert_eq!(expect(EventKind::Error, 0), "Too many open files");
    server.shutdown(SocketId(2));
    loop {
        let event = server.poll().event;
        match event.kind {
            EventKind::Accept => break assert_eq!((event.id, event.ud), (listener, 3)),
            EventKind::Close => assert_eq!(event.id, SocketId(2)),
            EventKind::Error => assert_eq!(event.id, listener),
            _ => panic!("{event:?}"),
        }
    }
    drop(clients);
}
