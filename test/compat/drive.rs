//! The outside part of cases that need one: TCP clients and second processes.

use std::io::{BufRead, BufReader, Read, Write};
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
                let limits = stream
                    .set_read_timeout(Some(SOON))
                    .and(stream.set_write_timeout(Some(SOON)));
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
    stream
        .read_exact(&mut bytes)
        .map_err(|e| format!("no {want:?}: {e}"))?;
    let got = String::from_utf8_lossy(&bytes).into_owned();
    if got == want {
        Ok(got)
    } else {
        Err(format!("got {got:?}, want {want:?}"))
    }
}

/// testsocket: greeted, echoed, and let go.
pub fn echo_client(node: &mut Node, stage: &Stage, _: &Tree) -> Result<Vec<String>, String> {
    // Which number the next service gets depends on whether the first one is gone.
    node.wait_count("KILL self", 1, SOON)?;
    let mut stream = connect(stage.port(8001))?;
    let mut seen = vec![read_text(&mut stream, "Hello Skynet\n")?];
    for text in ["one", "two\n", "three four"] {
        stream
            .write_all(text.as_bytes())
            .map_err(|e| e.to_string())?;
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
pub fn example_client(
    node: &mut Node,
    stage: &Stage,
    upstream: &Tree,
) -> Result<Vec<String>, String> {
    node.wait_count("Watchdog listen on", 1, SOON)?;
    let mut client = client(stage, upstream, "examples/client.lua");
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
    // The interpreter puts its own path in front.
    let errors = client.lines_from(From::Err).into_iter();
    seen.extend(errors.filter_map(|l| Some(l[l.find("examples/client.lua")?..].to_owned())));
    Ok(seen)
}

/// Runs a script of upstream's with the stand-alone interpreter; standard input stays open.
fn client(stage: &Stage, upstream: &Tree, script: &str) -> Process {
    // A tree without an interpreter of its own borrows upstream's of the same version.
    let own = &stage.tree.lua;
    let lua = if own.is_file() { own } else { &upstream.lua };
    let mut command = Command::new(lua);
    command.arg(script).current_dir(stage.path());
    Process::start(script, command, None)
}

/// The login demo: the client logs in, loses its connection, and comes back.
pub fn login_client(
    node: &mut Node,
    stage: &Stage,
    upstream: &Tree,
) -> Result<Vec<String>, String> {
    node.wait_count("Listen on 0.0.0.0", 1, SOON)?;
    let mut seen = Vec::new();
    for round in 1..=2 {
        let mut client = client(stage, upstream, "examples/login/client.lua");
        client.wait_count(r"^<===\ttrue\tagain\t1", 1, SOON)?;
        client.wait_count(r"^disconnect$", 2, SOON)?;
        client.stop();
        seen.push(format!("login {round}"));
        seen.extend(client.lines_from(From::Out));
    }
    Ok(seen)
}

/// Log and output of a second node, service by service.
fn shown(name: &str, node: &Node) -> Vec<String> {
    let mut log = node.log();
    log.sort_by_key(|entry| entry.source);
    let log = log.iter().map(|entry| format!("{name} {entry}"));
    let out = node.lines_from(From::Out);
    log.chain(out.iter().map(|line| format!("{name}: {line}")))
        .collect()
}

/// Settings of a second node of upstream's examples, which prints whole lines.
fn second_config(stage: &Stage, start: &str) -> String {
    stage.write("print.lua", super::cases::PRINT);
    format!(
        "{}{}preload = './print.lua' start = '{start}' harbor = 2\naddress = '127.0.0.1:{}' master = '127.0.0.1:{}'",
        super::cases::CONFIG,
        super::cases::AT_BASE,
        stage.port(2527),
        stage.port(2013),
    )
}

/// The cluster demo's second node.
pub fn cluster_peer(node: &mut Node, stage: &Stage, _: &Tree) -> Result<Vec<String>, String> {
    node.wait_count("ping server start", 1, SOON)?;
    let config = format!(
        "{}{}start = 'cluster2' cluster = './examples/clustername.lua'",
        super::cases::CONFIG,
        super::cases::AT_BASE
    );
    let mut peer = Node::start_beside(stage, "peer", &config);
    peer.wait_count("^hello$", 1, SOON)?;
    peer.wait_count(r"\[:00000002\] KILL self", 1, SOON)?;
    peer.stop();
    // The sender of a node that was taken out of the configuration is told after the reply to the
    // reload: the call that follows may come before that, meanwhile, or after.
    let late = |line: &String| {
        line.ends_with("assertion failed!")
            || line.ends_with("[Error: socket]")
            || line.ends_with("call failed")
            || line.ends_with("true\tfoobar")
    };
    let mut seen = shown("peer", &peer);
    seen.retain(|line| !late(line));
    Ok(seen)
}

/// A second harbor comes and goes.
pub fn harbor_peer(node: &mut Node, stage: &Stage, _: &Tree) -> Result<Vec<String>, String> {
    node.wait_count("run skynet examples/config_log", 1, SOON)?;
    let mut peer = Node::start_beside(stage, "peer", &second_config(stage, "main_log"));
    peer.wait_count("Log server start", 1, SOON)?;
    peer.wait_count(r"\[:02000002\] KILL self", 1, SOON)?;
    node.wait_count(r"^LOG =\t:02", 1, SOON)?;
    peer.stop();
    node.wait_count("disconnected", 1, SOON)?;
    Ok(shown("peer", &peer))
}

/// A second harbor subscribes to the first one's channel.
pub fn multicast_peer(node: &mut Node, stage: &Stage, _: &Tree) -> Result<Vec<String>, String> {
    node.wait_count("<===", 10, SOON)?;
    let mut peer = Node::start_beside(stage, "peer", &second_config(stage, "testmulticast2"));
    peer.wait_count("sub", 10, SOON)?;
    peer.wait_count("Remote message$", 10, SOON)?;
    peer.wait_count(r"KILL self", 2, SOON)?;
    peer.stop();
    // The channel is deleted behind the last message; what comes after that is lost.
    let mut seen = shown("peer", &peer);
    seen.retain(|line| !line.contains("Remote message2"));
    seen.sort();
    Ok(seen)
}

/// SIGHUP to a node with a Lua log service.
pub fn hangup(node: &mut Node, _: &Stage, _: &Tree) -> Result<Vec<String>, String> {
    node.wait_count("unblock the unexisted", 1, SOON)?;
    node.signal(libc::SIGHUP);
    Ok(Vec::new())
}

/// Requests to the web server demo, and the answers to the end of the connection.
pub fn web_client(_: &mut Node, stage: &Stage, _: &Tree) -> Result<Vec<String>, String> {
    let requests = [
        "GET /some/path%20here?k=v&x=1%2B1 HTTP/1.1\r\nHost: test\r\nX-One: 1\r\n\r\n",
        "POST /p HTTP/1.1\r\nHost: test\r\nContent-Length: 11\r\n\r\nhello world",
        "POST /c HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n",
        "POST /long HTTP/1.1\r\nHost: test\r\nContent-Length: 9000\r\n\r\n",
        "GET / HTTP/2.0\r\n\r\n",
        "GET / HTTP/1.1\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
    ];
    let mut seen = Vec::new();
    for request in requests {
        let mut stream = connect(stage.port(8001))?;
        stream
            .write_all(request.as_bytes())
            .map_err(|e| e.to_string())?;
        let mut answer = Vec::new();
        stream
            .read_to_end(&mut answer)
            .map_err(|e| format!("{request:?}: {e}"))?;
        let answer = String::from_utf8_lossy(&answer);
        // The order of headers is the hash table's.
        let mut lines: Vec<&str> = answer.lines().collect();
        if lines.len() > 1 {
            lines[1..].sort();
        }
        seen.push(format!("> {}", request.lines().next().unwrap_or_default()));
        seen.extend(lines.iter().map(|l| l.to_string()));
    }
    Ok(seen)
}

/// Types commands into the debug console; every answer ends with a line of its own.
fn console(stage: &Stage, commands: &[&str]) -> Result<Vec<String>, String> {
    let mut stream = connect(stage.port(8000))?;
    let mut lines = BufReader::new(stream.try_clone().map_err(|e| e.to_string())?).lines();
    let mut next = |command: &str| -> Result<String, String> {
        let line = lines
            .next()
            .ok_or(format!("{command}: connection closed"))?;
        line.map_err(|e| format!("{command}: {e}"))
    };
    let mut seen = vec![next("greeting")?];
    for command in commands {
        seen.push(format!("> {command}"));
        writeln!(stream, "{command}").map_err(|e| e.to_string())?;
        loop {
            let line = next(command)?;
            let last = line.starts_with("<CMD ");
            seen.push(line);
            if last {
                break;
            }
        }
    }
    Ok(seen)
}

pub fn console_config(stage: &Stage) -> String {
    format!("console = {} logpath = '.'", stage.port(8000))
}

/// What a small console has.
pub fn console_commands(node: &mut Node, stage: &Stage, _: &Tree) -> Result<Vec<String>, String> {
    node.wait_count("console is up", 1, SOON)?;
    console(
        stage,
        &[
            "list",
            "stat",
            "mem",
            "gc",
            "info a",
            "info :0000000a 1 two",
            "start target extra",
            "list",
            "exit b",
            "list",
            "start target again",
            "kill c",
            "kill :0000000a",
            "list",
            "start nosuch",
            "nosuch",
            "info .nosuch",
            "info zz",
        ],
    )
}

/// The rest of upstream's console.
pub fn console_more(node: &mut Node, stage: &Stage, _: &Tree) -> Result<Vec<String>, String> {
    node.wait_count("console is up", 1, SOON)?;
    let mut seen = console(
        stage,
        &[
            "help",
            "getenv thread",
            "getenv nosuch",
            "setenv fresh value",
            "getenv fresh",
            "service",
            "call a 'echo',1,nil,2",
            "call a",
            "task a",
            "uniqtask a",
            "killtask a nosuch",
            "dbgcmd a INFO",
            "log target logged",
            "logoff b",
            "logon a",
            "logoff a",
            "signal a 1",
            "clearcache",
            "inject 3 examples/injectlaunch.lua",
            "start target injected",
            "inject 3 examples/injectlaunch.lua",
            "inject a nosuch.lua",
            "netstat",
        ],
    )?;
    // A line that looks like HTTP is answered with plain text.
    let mut stream = connect(stage.port(8000))?;
    stream
        .write_all(b"GET /getenv/thread HTTP/1.0\r\n\r\n")
        .map_err(|e| e.to_string())?;
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .map_err(|e| e.to_string())?;
    seen.extend(answer.lines().map(str::to_owned));
    // Frames of a traceback name the functions of the Lua libraries.
    seen.retain(|line| !line.starts_with('\t'));
    Ok(seen)
}
