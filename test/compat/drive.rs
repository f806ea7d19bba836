//! The outside part of cases that need one: TCP clients and second processes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{From, Node, Process, SOON, Stage, Tree};

/// A connection to a node that is about to listen. Reads and writes give up after a while.
pub fn connect(port: u16) -> Result<TcpStream, String> {
    let end = Instant::now() + SOON;
    loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => {
                let limits = stream.set_read_timeout(Some(SOON)).and(stream.set_write_timeout(Some(SOON)));
                limits.map_err(|e| e.to_string())?;
                return Ok(stream);
            }
            Err(e) if Instant::now() >= end => return Err(format!("port {port}: {e}")),
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Reads exactly as many bytes as `want` has and compares.
fn read_text(stream: &mut TcpStream, want: &str) -> Result<String, String> {
    let mut bytes = vec![0; want.len()];
    stream.read_exact(&mut bytes).map_err(|e| format!("no {want:?}: {e}"))?;
    let got = String::from_utf8_lossy(&bytes).into_owned();
    if got == want { Ok(got) } else { Err(format!("got {got:?}, want {want:?}")) }
}

/// testsocket: greeted, echoed, and let go.
pub fn echo_client(_: &mut Node, stage: &Stage, _: &Tree) -> Result<Vec<String>, String> {
    let mut stream = connect(stage.port(8001))?;
    let mut seen = vec![read_text(&mut stream, "Hello Skynet\n")?];
    for text in ["one", "two\n", "three four"] {
        stream.write_all(text.as_bytes()).map_err(|e| e.to_string())?;
        seen.push(read_text(&mut stream, text)?);
    }
    Ok(seen)
}

/// The settings of upstream's example configuration, with a harbor of its own.
pub fn main_config(stage: &Stage) -> String {
    format!(
        r#"harbor = 1
address = "127.0.0.1:{}"
master = "127.0.0.1:{master}"
standalone = "0.0.0.0:{master}""#,
        stage.port(2526),
        master = stage.port(2013),
    )
}

/// The example client: handshake, two requests by itself, then what is typed.
pub fn example_client(node: &mut Node, stage: &Stage, upstream: &Tree) -> Result<Vec<String>, String> {
    node.wait_count("Watchdog listen on", 1, SOON)?;
    // A tree without an interpreter of its own borrows upstream's of the same version.
    let own = &stage.tree.lua;
    let lua = if own.is_file() { own } else { &upstream.lua };
    let mut command = Command::new(lua);
    command.arg("examples/client.lua").current_dir(stage.path());
    let mut client = Process::start("client.lua", command, None);
    client.wait_count(r"^RESPONSE\t2", 1, SOON)?;
    for (word, reply) in [("hello", r"^RESPONSE\t3"), ("foo", r"^RESPONSE\t4")] {
        client.type_line(word);
        client.wait_count(reply, 1, SOON)?;
    }
    client.wait_count(r"heartbeat", 1, SOON)?;
    client.type_line("quit");
    let status = client.wait_exit(SOON).ok_or("the client does not end")?;
    let mut seen = vec![format!("exit code {:?}", status.code())];
    let mut lines = client.lines_from(From::Out);
    // The heartbeat has a clock of its own.
    lines.retain(|l| !l.contains("heartbeat"));
    seen.extend(lines);
    seen.extend(client.lines_from(From::Err).into_iter().filter(|l| l.contains("Server closed")));
    Ok(seen)
}
