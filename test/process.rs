//! The process as its operator sees it: the configuration language, the environment, logs, signals,
//! daemon mode, the end of the process, and the lines that warn of trouble.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::{Entry, From, Level, Node, SOON, Stage, Tree};
use regex::Regex;

/// Two reports of the monitor are five seconds apart, and the first look may come too early.
const MONITOR: Duration = Duration::from_secs(30);

const PATHS: &str =
    "luaservice = './service/?.lua;./lua/?.lua' cpath = './cservice/?.so;./extra/?.so'\n";

fn stage() -> Stage {
    Stage::new(&Tree::node())
}

/// A stage with the Lua service `main`.
fn stage_with(main: &str) -> Stage {
    let stage = stage();
    stage.write("lua/main.lua", main);
    stage
}

fn start(stage: &Stage, config: &str) -> Node {
    Node::start(stage, &format!("{PATHS}{config}"))
}

/// A first service that needs nothing but the C side: it logs the environment variables named in
/// `keys`, then stays.
fn environment_probe(keys: &str) -> String {
    format!(
        r#"local core = require "skynet.core"
for key in ("{keys}"):gmatch "%S+" do
    local value = core.command("GETENV", key)
    core.error(key .. "=" .. (value and "[" .. value .. "]" or "nil"))
end
core.error "complete"
core.callback(function() end)
"#
    )
}

#[track_caller]
fn expect_log(node: &Node, text: &str) -> Entry {
    let found = node.log().into_iter().find(|e| e.text == text);
    found.unwrap_or_else(|| panic!("no log message {text:?}\n{}", node.report()))
}

// ---- configuration and environment

#[test]
fn config_language() {
    let stage = stage();
    stage.write("lua/probe.lua", &environment_probe(
        "text int float exp yes no gone sum loc include outer inner after abs up env mid comment name9",
    ));
    stage.write(
        "sub/outer",
        "outer = 'in outer'\ninclude 'deep/inner'\nafter = inner .. ' seen'\ninclude 'sibling'\n",
    );
    stage.write("sub/deep/inner", "inner = 'in inner'\n");
    stage.write("sub/sibling", "up = 'sibling of outer'\n");
    let absolute = stage.write(
        "elsewhere/absolute",
        "abs = 'absolute'\ninclude 'neighbour'\n",
    );
    stage.write("elsewhere/neighbour", "abs = abs .. ' and its neighbour'\n");
    stage.write(
        "own",
        &format!(
            r#"-- A comment may name a variable: $SKYNET_TEST_VALUE
thread = 2 harbor = 0 logger = "./node.log" bootstrap = "snlua probe"
luaservice = "./lua/?.lua"
text = "plain text"
int = 8
float = 0.5
exp = 2 ^ 3
yes, no = true, false
gone = "soon" gone = nil
local l = 20
sum = l * 2 + 2
loc = l == 20 and os == nil and string == nil and print == nil
include "sub/outer"
include "{}"
env = "$SKYNET_TEST_VALUE"
mid = "a$SKYNET_TEST_VALUE,b"
name9 = "$SKYNET_TEST_9"
"#,
            absolute.display()
        ),
    );
    let mut node = Node::start_with(&stage, &["own", "ignored", "also ignored"], |command| {
        command
            .env("SKYNET_TEST_VALUE", "from outside")
            .env("SKYNET_TEST_9", "nine");
    });
    node.expect("complete", SOON);
    for line in [
        "text=[plain text]",
        "int=[8]",
        "float=[0.5]",
        "exp=[8.0]",
        "yes=[true]",
        "no=[false]",
        "gone=nil",
        "sum=[42]",
        "loc=[true]",
        "include=nil",
        "outer=[in outer]",
        "inner=[in inner]",
        "after=[in inner seen]",
        "up=[sibling of outer]",
        "abs=[absolute and its neighbour]",
        "env=[from outside]",
        "mid=[afrom outside,b]",
        "name9=[nine]",
        "comment=nil",
    ] {
        expect_log(&node, line);
    }
    node.expect_no_panic();
}

#[test]
fn settings_have_defaults() {
    let stage = stage();
    let keys = "thread harbor cpath bootstrap logservice profile daemon logger lua_path";
    stage.write("lua/bootstrap.lua", &environment_probe(keys));
    stage.write("own", "luaservice = './lua/?.lua'");
    let mut node = Node::start_args(&stage, &["own"]);
    node.expect("complete", SOON);
    for line in [
        "thread=[8]",
        "harbor=[1]",
        "cpath=[./cservice/?.so]",
        "bootstrap=[snlua bootstrap]",
        "logservice=[logger]",
        "profile=[true]",
        "daemon=nil",
        "logger=nil",
        "lua_path=nil",
    ] {
        // Node 1, second service; the log goes to stdout without time stamps.
        assert_eq!(expect_log(&node, line).source, 0x0100_0002);
    }
    assert_eq!(
        node.lines_from(From::Out)[0],
        "[:01000002] LAUNCH snlua bootstrap"
    );
}

/// Numbers are read from the start of the text; the environment keeps the text.
#[test]
fn settings_as_text() {
    let stage = stage();
    stage.write("lua/probe.lua", &environment_probe("thread harbor profile"));
    let mut node = start(
        &stage,
        "bootstrap = 'snlua probe' thread = '3 workers' harbor = '5.9' profile = 1",
    );
    node.expect("complete", SOON);
    assert_eq!(expect_log(&node, "thread=[3 workers]").source, 0x0500_0002);
    expect_log(&node, "harbor=[5.9]");
    expect_log(&node, "profile=[1]");
}

/// Only `true` switches accounting on.
#[test]
fn profile_switch() {
    let seconds = Regex::new(r"^\d+\.\d{6}$").expect("valid");
    for (setting, on) in [
        ("true", true),
        ("'true'", true),
        ("false", false),
        ("1", false),
    ] {
        let stage = stage();
        stage.write(
            "lua/probe.lua",
            r#"local core = require "skynet.core"
local n = 0 for i = 1, 300000 do n = n + i % 7 end
core.error("time=" .. core.command("STAT", "time"))
core.callback(function() end)
"#,
        );
        let mut node = start(
            &stage,
            &format!("bootstrap = 'snlua probe' profile = {setting}"),
        );
        let line = node.expect(r"\] time=", SOON);
        let time = line.split_once("time=").expect("it matched").1;
        if on {
            assert!(seconds.is_match(time), "profile={setting}: {time}");
            assert_ne!(time, "0.000000", "profile={setting}");
        } else {
            assert_eq!(time, "0", "profile={setting}");
        }
    }
}

/// Setting an existing variable again is a programming error that ends the process.
#[test]
fn environment_is_write_once() {
    let stage = stage();
    stage.write(
        "lua/probe.lua",
        r#"local core = require "skynet.core"
core.command("SETENV", "fresh some text")
core.error("fresh=" .. core.command("GETENV", "fresh"))
core.callback(function(_, _, _, session)
    core.command("SETENV", "fresh again")
end)
core.command("TIMEOUT", "20")
"#,
    );
    let mut node = start(&stage, "bootstrap = 'snlua probe'");
    node.expect("fresh=some text$", SOON);
    let status = node.expect_exit(SOON);
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(libc::SIGABRT)
    );
    node.expect_no_panic();
}

// ---- log

#[test]
fn log_on_stdout() {
    let stage = stage_with(
        "local skynet = require 'skynet'\nskynet.start(function()\nskynet.error('one\\ntwo')\nend)\n",
    );
    let mut node = start(&stage, "logger = nil");
    node.expect("^two$", SOON);
    let lines = node.lines_from(From::Out);
    // The log service itself is launched before there is a log.
    assert_eq!(
        lines[0],
        "[:00000002] LAUNCH snlua bootstrap",
        "{}",
        node.report()
    );
    assert!(
        lines.iter().any(|l| l == "[:00000008] one"),
        "{}",
        node.report()
    );
    assert!(!stage.file("node.log").exists());
}

#[test]
fn log_file_has_time_stamps() {
    let stage = stage_with(
        "local skynet = require 'skynet'\nskynet.start(function()\nskynet.error 'hello'\nend)\n",
    );
    stage.write("node.log", "an earlier line\n");
    let mut node = start(&stage, "");
    node.expect("hello$", SOON);
    node.stop();
    let text = stage.read("node.log");
    let mut lines = text.lines();
    assert_eq!(
        lines.next(),
        Some("an earlier line"),
        "the file is appended to"
    );
    let format =
        Regex::new(r"^(\d\d/\d\d/\d\d \d\d:\d\d:\d\d)\.\d\d \[:[0-9a-f]{8}\] .+$").expect("valid");
    let mut stamps = Vec::new();
    for line in lines {
        let found = format
            .captures(line)
            .unwrap_or_else(|| panic!("odd log line {line:?}"));
        stamps.push(local_seconds(&found[1]));
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_secs() as i64;
    assert!(stamps.is_sorted(), "{text}");
    let late = now - stamps.last().expect("there are lines");
    assert!(
        (-2..120).contains(&late),
        "the last line is {late} seconds old\n{text}"
    );
}

/// Seconds since the epoch of a local time `dd/mm/yy HH:MM:SS`.
fn local_seconds(stamp: &str) -> i64 {
    let n: Vec<i32> = stamp
        .split(['/', ' ', ':'])
        .map(|p| p.parse().expect("a number"))
        .collect();
    // SAFETY: `tm` is a plain C struct for which all zeros is a value; mktime only reads and
    // normalises it.
    unsafe {
        let mut tm: libc::tm = std::mem::zeroed();
        (tm.tm_mday, tm.tm_mon, tm.tm_year) = (n[0], n[1] - 1, n[2] + 100);
        (tm.tm_hour, tm.tm_min, tm.tm_sec) = (n[3], n[4], n[5]);
        tm.tm_isdst = -1;
        libc::mktime(&mut tm)
    }
}

const TICKER: &str = r#"local skynet = require "skynet"
skynet.start(function()
    skynet.fork(function()
        for i = 1, 400 do
            skynet.error("tick", i)
            skynet.sleep(5)
        end
    end)
end)
"#;

/// A log file that was moved away goes on under its old name until SIGHUP, then a new one is opened.
#[test]
fn hangup_reopens_the_log() {
    let stage = stage_with(TICKER);
    let mut node = start(&stage, "");
    node.expect("tick 2$", SOON);
    fs::rename(stage.file("node.log"), stage.file("moved.log")).expect("the log can be moved");
    let moved = stage.read("moved.log").len();
    let grown = wait_until(|| stage.read("moved.log").len() > moved);
    assert!(grown, "the open file is written to\n{}", node.report());
    assert!(!stage.file("node.log").exists());

    node.signal(libc::SIGHUP);
    let reopened = wait_until(|| logged(&stage, "tick"));
    assert!(reopened, "no new log file after SIGHUP\n{}", node.report());
    node.stop();
    // No line is lost or written twice.
    let both = stage.read("moved.log") + &stage.read("node.log");
    let ticks: Vec<u32> = both
        .lines()
        .filter_map(|l| l.split_once("tick ")?.1.parse().ok())
        .collect();
    assert_eq!(ticks, (1..=ticks.len() as u32).collect::<Vec<_>>());
}

/// A log on stdout cannot be opened again; the signal changes nothing.
#[test]
fn hangup_with_log_on_stdout() {
    let stage = stage_with(TICKER);
    let mut node = start(&stage, "logger = nil");
    node.expect("tick 1$", SOON);
    node.signal(libc::SIGHUP);
    let seen = node.count("tick");
    node.expect_count("tick", seen + 5, SOON);
}

fn wait_until(mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + SOON;
    while Instant::now() < end {
        if done() {
            return true;
        }
        thread::sleep(Duration::from_millis(10));
    }
    done()
}

/// A Lua service as log service gets the lines as text and SIGHUP as a system message.
#[test]
fn lua_log_service() {
    let stage = stage_with(TICKER);
    stage.write(
        "lua/userlog.lua",
        r#"local skynet = require "skynet"
skynet.register_protocol {
    name = "text", id = skynet.PTYPE_TEXT, unpack = skynet.tostring,
    dispatch = function(_, source, text) print(string.format("USERLOG %08x %s", source, text)) end,
}
skynet.register_protocol {
    name = "SYSTEM", id = skynet.PTYPE_SYSTEM, unpack = function(...) return ... end,
    dispatch = function(_, source) print("HANGUP", source) end,
}
skynet.start(function() end)
"#,
    );
    let mut node = start(&stage, "logservice = 'snlua' logger = 'userlog'");
    node.expect("^USERLOG 00000002 LAUNCH snlua bootstrap$", SOON);
    node.expect("^USERLOG 0000000[0-9a-f] tick 1$", SOON);
    node.signal(libc::SIGHUP);
    node.expect("^HANGUP\t0$", SOON);
    assert!(!stage.file("node.log").exists());
}

const LOGGED: &str = r#"local core = require "skynet.core"
core.callback(function(_, _, _, session, source)
    if session ~= 0 then
        core.send(source, 1, session, "")
    end
end)
"#;

/// The message log of one service: what was dispatched, as hex.
#[test]
fn message_log() {
    let stage = stage();
    fs::create_dir(stage.file("logs")).expect("the stage is writable");
    stage.write("lua/logged.lua", LOGGED);
    stage.write(
        "lua/probe.lua",
        r#"local core = require "skynet.core"
local target = core.command("LAUNCH", "snlua logged")
local handle = tonumber(target:sub(2), 16)
core.callback(function(_, _, _, session)
    if session == 3 then
        -- An answer: by now the target has had its start message.
        core.command("LOGON", target)
        core.command("LOGON", target)
        core.command("LOGON", ":00ffffff")
        core.send(handle, 10, 0, "")
        core.send(handle, 0, 5, "AB\0\xff")
    elseif session == 5 then
        core.command("LOGOFF", target)
        core.error "complete"
    end
end)
core.send(handle, 0, 3, "")
"#,
    );
    let mut node = start(&stage, "bootstrap = 'snlua probe' logpath = './logs'");
    node.expect("complete", SOON);
    let path = "./logs/00000003.log";
    assert_eq!(
        expect_log(&node, &format!("Open log file {path}")).source,
        2
    );
    assert_eq!(expect_log(&node, "Close log file :00000003").source, 2);
    assert_eq!(node.count("log file"), 2, "{}", node.report());
    let text = stage.read(path);
    let lines: Vec<&str> = text.lines().collect();
    let want = [
        r"^open time: \d+ \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}$",
        r"^:00000002 10 0 \d+ $",
        r"^:00000002 0 5 \d+ 414200ff$",
        r"^close time: \d+$",
    ];
    assert_eq!(lines.len(), want.len(), "{text}");
    for (line, pattern) in lines.iter().zip(want) {
        assert!(
            Regex::new(pattern).expect("valid").is_match(line),
            "{line:?} is not /{pattern}/"
        );
    }
}

/// Socket events are logged by their fields.
#[test]
fn message_log_of_socket_events() {
    let stage = stage();
    fs::create_dir(stage.file("logs")).expect("the stage is writable");
    stage.write(
        "lua/probe.lua",
        r#"local core = require "skynet.core"
local driver = require "skynet.socketdriver"
core.command("LOGON", core.command("REG"))
local listener = driver.listen("127.0.0.1", tonumber(core.command("GETENV", "port")))
core.callback(function(kind, msg, size)
    if kind ~= 6 then return end
    local event, id, ud, data = driver.unpack(msg, size)
    if event == 4 then
        driver.start(ud)
    elseif event == 1 then
        driver.drop(data, ud)
        driver.close(id)
        core.error "complete"
    end
end)
driver.start(listener)
"#,
    );
    let port = stage.port(1);
    let mut node = start(
        &stage,
        &format!("bootstrap = 'snlua probe' logpath = './logs' port = {port}"),
    );
    assert!(
        wait_until(|| TcpStream::connect(("127.0.0.1", port)).is_ok()),
        "{}",
        node.report()
    );
    let mut client = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    client.write_all(b"hi\0!").expect("it reads");
    node.expect("complete", SOON);
    node.stop();
    let text = stage.read("logs/00000002.log");
    // Upstream prints stray bytes behind a text.
    let end = if stage.tree.is_upstream() { "" } else { "$" };
    let line = |pattern: &str| {
        let regex = Regex::new(&format!("(?m){pattern}")).expect("valid");
        assert!(regex.is_match(&text), "no line /{pattern}/ in\n{text}");
    };
    line(&format!(
        r"^\[socket\] 4 \d+ \d+ \[127\.0\.0\.1:\d+{}",
        if end.is_empty() { "" } else { r"\]$" }
    ));
    line(r"^\[socket\] 1 \d+ 4 68690021$");
}

/// Without a folder, or with one that cannot be written, nothing is logged.
#[test]
fn message_log_that_cannot_be_opened() {
    for (setting, said) in [("", 0), ("logpath = './nowhere'", 1)] {
        let stage = stage();
        stage.write(
            "lua/probe.lua",
            r#"local core = require "skynet.core"
core.command("LOGON", core.command("REG"))
core.command("LOGOFF", core.command("REG"))
core.error "complete"
core.callback(function() end)
"#,
        );
        let mut node = start(&stage, &format!("bootstrap = 'snlua probe' {setting}"));
        node.expect("complete", SOON);
        assert_eq!(
            node.count(r"Open log file \./nowhere/00000002\.log fail$"),
            said,
            "{}",
            node.report()
        );
        assert_eq!(node.count("log file"), said, "{}", node.report());
    }
}

// ---- preload

#[test]
fn preload_runs_before_every_service() {
    let stage = stage_with(
        "local skynet = require 'skynet'\nprint('MAIN', LOADED)\nskynet.start(function() end)\n",
    );
    stage.write("pre.lua", "print('PRELOAD', ...)\nLOADED = 'yes'\n");
    let mut node = start(&stage, "preload = './pre.lua'");
    node.expect("^MAIN\tyes$", SOON);
    let seen: Vec<String> = node.lines_from(From::Out);
    assert_eq!(seen[0], "PRELOAD\tbootstrap", "{}", node.report());
    for name in ["launcher", "main"] {
        let line = format!("PRELOAD\t{name}");
        assert_eq!(
            seen.iter().filter(|l| **l == line).count(),
            1,
            "{line}\n{}",
            node.report()
        );
    }
}

// ---- signals and the end of the process

#[test]
fn abort_ends_with_code_0() {
    let stage = stage_with(
        "local skynet = require 'skynet'\nrequire 'skynet.manager'\nprint 'here'\nskynet.abort()\n",
    );
    let mut node = start(&stage, "");
    node.expect_code(0, SOON);
    node.expect("^here$", SOON);
    node.expect_no_panic();
    assert!(node.lines_from(From::Err).is_empty(), "{}", node.report());
}

/// The process ends when the last service has gone, the log service included.
#[test]
fn ends_with_its_last_service() {
    let stage = stage();
    stage.write(
        "lua/only.lua",
        r#"local core = require "skynet.core"
core.callback(function()
    print "last words"
    core.command("KILL", ".logger")
    core.command("EXIT")
end)
core.command("TIMEOUT", "10")
"#,
    );
    let mut node = start(&stage, "bootstrap = 'snlua only'");
    node.expect_code(0, SOON);
    node.expect("^last words$", SOON);
    node.expect_no_panic();
}

/// With its log service alive it stays.
#[test]
fn stays_while_the_log_service_lives() {
    let stage = stage();
    stage.write("lua/only.lua", "require('skynet.core').command('EXIT')\n");
    let mut node = start(&stage, "bootstrap = 'snlua only'");
    node.expect(r"\[:00000002\] KILL self", SOON);
    assert!(
        node.wait_exit(Duration::from_millis(1500)).is_none(),
        "{}",
        node.report()
    );
}

#[test]
fn terminate_and_interrupt_keep_their_default() {
    for number in [libc::SIGTERM, libc::SIGINT] {
        let stage = stage_with(TICKER);
        let mut node = start(&stage, "");
        node.expect("tick 1$", SOON);
        node.signal(number);
        let status = node.expect_exit(SOON);
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&status),
            Some(number)
        );
    }
}

#[test]
fn broken_pipe_is_ignored() {
    let stage = stage_with(TICKER);
    let mut node = start(&stage, "");
    node.expect("tick 1$", SOON);
    node.signal(libc::SIGPIPE);
    let seen = node.count("tick");
    node.expect_count("tick", seen + 2, SOON);
}

// ---- daemon

/// A process that has left us; killed with the test.
struct Daemon(i32);

impl Daemon {
    /// Waits for a pid file with a number in it.
    fn of(stage: &Stage, node: &Node) -> Daemon {
        let mut pid = None;
        let found = wait_until(|| {
            pid = pid_of(stage);
            pid.is_some()
        });
        assert!(found, "no pid file\n{}", node.report());
        Daemon(pid.expect("it was found"))
    }

    fn alive(&self) -> bool {
        // SAFETY: kill with signal 0 only asks.
        unsafe { libc::kill(self.0, 0) == 0 }
    }

    fn link(&self, name: &str) -> String {
        let path = fs::read_link(format!("/proc/{}/{name}", self.0));
        path.map(|p| p.to_string_lossy().into_owned())
            .unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // SAFETY: the pid came from the pid file of our own node, which ends by itself only when told to.
        unsafe { libc::kill(self.0, libc::SIGKILL) };
    }
}

/// The number in the pid file. A file that was there before is not truncated.
fn pid_of(stage: &Stage) -> Option<i32> {
    let text = fs::read_to_string(stage.file("node.pid")).ok()?;
    text.lines().next()?.parse().ok()
}

fn logged(stage: &Stage, text: &str) -> bool {
    fs::read_to_string(stage.file("node.log")).is_ok_and(|log| log.contains(text))
}

#[test]
fn daemon_life() {
    let stage = stage_with(
        r#"local skynet = require "skynet"
require "skynet.manager"
skynet.start(function()
    skynet.fork(function()
        skynet.error "daemon runs"
        for _ = 1, 600 do
            if io.open "stop" then skynet.abort() end
            skynet.sleep(5)
        end
        skynet.abort()
    end)
end)
"#,
    );
    stage.write("node.pid", "not a number\n");
    let config = "daemon = './node.pid'";
    let mut node = start(&stage, config);
    node.expect_code(0, SOON);
    let daemon = Daemon::of(&stage, &node);
    assert!(wait_until(|| logged(&stage, "daemon runs")));
    assert!(daemon.alive());
    assert_ne!(daemon.0, node.pid());
    // SAFETY: both only ask.
    let (session, group) = unsafe { (libc::getsid(daemon.0), libc::getpgid(daemon.0)) };
    assert_eq!(session, group, "a session of its own");
    let here = stage.path().canonicalize().expect("it exists");
    assert_eq!(daemon.link("cwd"), here.to_string_lossy());
    for stream in ["fd/0", "fd/1", "fd/2"] {
        assert_eq!(daemon.link(stream), "/dev/null", "{stream}");
    }
    // A second one is refused and disturbs nothing.
    let mut second = start(&stage, config);
    second.expect_code(1, SOON);
    second.expect(
        &format!(r"^Skynet is already running, pid = {}\.$", daemon.0),
        SOON,
    );
    assert!(daemon.alive());

    stage.write("stop", "");
    assert!(
        wait_until(|| !stage.file("node.pid").exists()),
        "the pid file is left behind"
    );
    assert!(wait_until(|| !daemon.alive()));
}

/// A signal ends the process at once; its pid file stays, and a next start is not stopped by it.
#[test]
fn daemon_killed_leaves_its_pid_file() {
    let stage = stage_with(TICKER);
    let mut node = start(&stage, "daemon = './node.pid'");
    node.expect_code(0, SOON);
    let daemon = Daemon::of(&stage, &node);
    assert!(wait_until(|| logged(&stage, "tick 1")));
    // SAFETY: the pid is of our own node, alive a moment ago.
    unsafe { libc::kill(daemon.0, libc::SIGTERM) };
    assert!(wait_until(|| !daemon.alive()));
    assert_eq!(pid_of(&stage), Some(daemon.0));
    let mode = stage
        .file("node.pid")
        .metadata()
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o733, 0o600, "0644 without what the umask takes");
    let stale = daemon.0;
    std::mem::forget(daemon);

    let mut node = start(&stage, "daemon = './node.pid'");
    node.expect_code(0, SOON);
    let renewed = wait_until(|| pid_of(&stage).is_some_and(|pid| pid != stale));
    assert!(renewed, "{}", node.report());
    drop(Daemon::of(&stage, &node));
}

// ---- trouble

/// A service that does not come back is reported, and signal 0 breaks its loop.
#[test]
fn endless_loop_is_reported_and_broken() {
    let stage = stage_with(
        r#"local skynet = require "skynet"
local core = require "skynet.core"
skynet.start(function()
    local loop = skynet.newservice "loop"
    skynet.error("loop is", skynet.address(loop))
    skynet.error("quick", skynet.call(loop, "lua", "quick"))
    skynet.fork(function()
        local ok, err = pcall(skynet.call, loop, "lua", "endless")
        skynet.error("endless call", ok)
        skynet.error("quick again", skynet.call(loop, "lua", "quick"))
        skynet.error("endless flag", skynet.call(loop, "lua", "flag"))
        skynet.error("endless flag", skynet.call(loop, "lua", "flag"))
    end)
    skynet.fork(function()
        repeat skynet.sleep(10) until io.open "break"
        core.command("SIGNAL", skynet.address(loop) .. " 0")
    end)
end)
"#,
    );
    stage.write(
        "lua/loop.lua",
        r#"local skynet = require "skynet"
skynet.start(function()
    skynet.dispatch("lua", function(_, _, what)
        if what == "endless" then while true do end end
        skynet.ret(skynet.pack(what == "flag" and skynet.stat "endless" or "done"))
    end)
end)
"#,
    );
    let mut node = start(&stage, "sk_endless_seconds = 2");
    node.expect("quick done$", SOON);
    let line = match stage.tree.level() {
        Level::Head => r"error: A message from",
        Level::V18 => r"\] A message from",
    };
    let line = format!(
        r"{line} \[ :00000008 \] to \[ :00000009 \] maybe in an endless loop \(version = \d+\)$"
    );
    node.expect(&line, MONITOR);
    let by = node
        .log()
        .into_iter()
        .find(|e| e.text.contains("endless loop"))
        .expect("it is there");
    assert_eq!(by.source, 0, "the core says it");

    // Our own line about it.
    let mark = match stage.tree.level() {
        Level::Head => "error: ",
        Level::V18 => "",
    };
    node.expect(
        &format!(
            r"\[:00000000\] {mark}\[ :00000009 snlua loop \] is at a message of type 10 from \[ :00000008 snlua main \] for more than 2 seconds in thread worker-\d$"
        ),
        MONITOR,
    );
    // At the first look, the second, the fourth: not at the third.
    node.expect_count("maybe in an endless loop", 3, MONITOR);
    assert!(
        node.count("for more than 4 seconds") == 1 && node.count("for more than 6 seconds") == 0
    );

    stage.write("break", "");
    node.expect(r"\[:00000009\] recv a signal 0$", SOON);
    node.expect("endless call false$", SOON);
    node.expect("quick again done$", SOON);
    // The flag is cleared by asking.
    node.expect_count("endless flag", 2, SOON);
    expect_log(&node, "endless flag 1");
    expect_log(&node, "endless flag 0");
    let error = node
        .log()
        .into_iter()
        .find(|e| e.source == 9 && e.text.contains("signal 0") && e.text.contains("loop.lua:4"));
    assert!(
        error.is_some(),
        "the error names the place\n{}",
        node.report()
    );
}

#[test]
fn overload_is_reported() {
    let stage = stage_with(
        r#"local skynet = require "skynet"
skynet.start(function()
    local busy = skynet.newservice "busy"
    skynet.dispatch("lua", function()
        -- It is in the middle of a message now, and stays there until no more come in.
        for i = 1, 5000 do skynet.send(busy, "lua", i) end
        skynet.error("last", skynet.call(busy, "lua", "last"))
    end)
    skynet.send(busy, "lua", "wait", skynet.self())
end)
"#,
    );
    stage.write(
        "lua/busy.lua",
        r#"local skynet = require "skynet"
local count = 0
skynet.start(function()
    skynet.dispatch("lua", function(_, _, what, who)
        count = count + 1
        if what == "wait" then
            skynet.send(who, "lua", "waiting")
            repeat until skynet.mqlen() > 5000
        elseif what == "last" then
            skynet.ret(skynet.pack(count))
        end
    end)
end)
"#,
    );
    let mut node = start(&stage, "");
    node.expect("last 5002$", SOON);
    let prefix = match stage.tree.level() {
        Level::Head => "error: ",
        Level::V18 => "",
    };
    let text = format!("{prefix}May overload, message queue length = ");
    let lines: Vec<Entry> = node
        .log()
        .into_iter()
        .filter(|e| e.text.starts_with(&text))
        .collect();
    assert_eq!(lines.len(), 1, "{}", node.report());
    assert_eq!(lines[0].source, 9);
    assert_eq!(
        lines[0].text[text.len()..],
        *"5000",
        "what is left behind the message taken"
    );
}

#[test]
fn memory_limit_and_warning() {
    let stage = stage_with(
        r#"local skynet = require "skynet"
skynet.start(function()
    local limited = skynet.newservice "limited"
    skynet.error("limited", skynet.call(limited, "lua"))
    skynet.error("limited again", skynet.call(limited, "lua"))
    local keep = {}
    for i = 1, 70 do keep[i] = string.rep("x", 1024 * 1024) .. i end
    skynet.error("free", #keep)
end)
"#,
    );
    stage.write(
        "lua/limited.lua",
        r#"local skynet = require "skynet"
skynet.memlimit(4 * 1024 * 1024)
skynet.start(function()
    skynet.dispatch("lua", function()
        local ok, err = pcall(string.rep, "x", 16 * 1024 * 1024)
        skynet.ret(skynet.pack(ok, err))
    end)
end)
"#,
    );
    let mut node = start(&stage, "");
    node.expect("free 70$", SOON);
    assert_eq!(expect_log(&node, "Set memory limit to 4.00 M").source, 9);
    expect_log(&node, "limited false not enough memory");
    expect_log(&node, "limited again false not enough memory");
    // Above 32 MB, then above twice that.
    let warning = Regex::new(r"^Memory warning (\d+\.\d\d) M$").expect("valid");
    let log = node.log();
    let marks: Vec<f64> = log
        .iter()
        .filter(|e| e.source == 8)
        .filter_map(|e| warning.captures(&e.text))
        .map(|c| c[1].parse().expect("a float"))
        .collect();
    assert_eq!(marks.len(), 2, "{}", node.report());
    assert!(
        (32.0..40.0).contains(&marks[0]) && (64.0..72.0).contains(&marks[1]),
        "{marks:?}"
    );
}

#[test]
fn signal_1_tells_the_memory() {
    let stage = stage_with(
        r#"local skynet = require "skynet"
local core = require "skynet.core"
skynet.start(function()
    core.command("SIGNAL", skynet.address(skynet.self()) .. " 1")
    core.command("SIGNAL", skynet.address(skynet.self()) .. " 0x7")
    core.command("SIGNAL", ":00ffffff 1")
    skynet.error "complete"
end)
"#,
    );
    let mut node = start(&stage, "");
    node.expect("complete$", SOON);
    assert_eq!(
        node.count(r"\[:00000008\] recv a signal 1$"),
        1,
        "{}",
        node.report()
    );
    assert_eq!(
        node.count(r"\[:00000008\] recv a signal 7$"),
        1,
        "{}",
        node.report()
    );
    assert_eq!(
        node.count(r"\[:00000008\] Current Memory [1-9]\d*\.\d{3}K$"),
        1,
        "{}",
        node.report()
    );
    assert_eq!(node.count("recv a signal"), 2, "{}", node.report());
}

/// A client that closes while the node writes does not end the node.
/// The sum of all threads at the head of a heap profile of jemalloc's: bytes in use.
fn profiled(profile: &str) -> u64 {
    let total = Regex::new(r"(?m)^  t\*: \d+: (\d+) \[").expect("a valid pattern");
    let found = total.captures(profile);
    let found = found.unwrap_or_else(|| panic!("no total in {profile:.400}"));
    found[1].parse().expect("a number")
}

#[test]
fn heap_profiles_are_written() {
    if !cfg!(feature = "jemalloc") {
        return common::skipped("built without jemalloc");
    }
    const SIZE: u64 = 32 << 20;
    let stage = stage_with(&format!(
        r#"local skynet = require "skynet"
require "skynet.manager"
local core = require "skynet.core"
local memory = require "skynet.memory"
local driver = require "skynet.socketdriver"
skynet.start(function()
    assert(memory.profactive() == false)
    -- Setting it answers what it was.
    assert(memory.profactive(true) == false)
    assert(memory.profactive() == true)
    local ptr, len = driver.str2p(("x"):rep({SIZE}))
    memory.dumpheap()
    core.trash(ptr, len)
    memory.dumpheap()
    skynet.abort()
end)
"#
    ));
    stage.write(
        "config",
        &format!("logger = './node.log'\nharbor = 0\n{PATHS}"),
    );
    let options = "prof:true,prof_active:false,lg_prof_sample:16,prof_prefix:./heap";
    let mut node = Node::start_with(&stage, &["config"], |command| {
        command.env("JE_MALLOC_CONF", options);
    });
    // An assertion that fails leaves the node running.
    node.expect_code(0, SOON);
    let (with, without) = (
        stage.read(&format!("heap.{}.0.m0.heap", node.pid())),
        stage.read(&format!("heap.{}.1.m1.heap", node.pid())),
    );
    for profile in [&with, &without] {
        assert!(profile.starts_with("heap_v2/65536\n"), "{profile:.400}");
        // What pprof needs to name the places.
        assert!(profile.contains("\n@ 0x") && profile.contains("MAPPED_LIBRARIES:"));
    }
    // The string itself is Lua's and may be there both times.
    assert!(profiled(&with) >= profiled(&without) + SIZE, "{with:.400}");
}

#[test]
fn peer_that_vanishes() {
    let stage = stage_with(
        r#"local skynet = require "skynet"
local socket = require "skynet.socket"
skynet.start(function()
    local listener = socket.listen("127.0.0.1", math.tointeger(skynet.getenv "port"))
    socket.start(listener, function(id)
        skynet.fork(function()
            socket.start(id)
            for _ = 1, 50 do
                if not socket.write(id, string.rep("x", 100000)) then break end
                skynet.sleep(1)
            end
            socket.close(id)
            skynet.error "served"
        end)
    end)
end)
"#,
    );
    let port = stage.port(1);
    let mut node = start(&stage, &format!("port = {port}"));
    node.expect("LAUNCH snlua main", SOON);
    for _ in 0..3 {
        let mut client = None;
        assert!(wait_until(|| {
            client = TcpStream::connect(("127.0.0.1", port)).ok();
            client.is_some()
        }));
        let mut client = client.expect("it was just there");
        client.set_read_timeout(Some(SOON)).expect("a socket");
        client.read_exact(&mut [0; 1000]).expect("it writes");
    }
    node.expect_count("served$", 3, SOON);
    assert!(
        node.wait_exit(Duration::ZERO).is_none(),
        "{}",
        node.report()
    );
}

// ---- stopping, threads, idleness

/// Says what it gets from the core; ends the node when the file `end` is there.
const STOPPABLE: &str = r#"local skynet = require "skynet"
require "skynet.manager"
skynet.register_protocol { name = "system", id = skynet.PTYPE_SYSTEM, unpack = skynet.tostring }
skynet.start(function()
    skynet.dispatch("system", function(session, source, what)
        skynet.error("asked to stop", what, session, source)
        repeat skynet.sleep(1) until io.open "end"
        skynet.abort()
    end)
    skynet.register ".main"
    skynet.error "ready"
end)
"#;

#[test]
fn stop_by_signal_lets_a_service_end_the_node() {
    for (number, name) in [(libc::SIGTERM, "SIGTERM"), (libc::SIGINT, "SIGINT")] {
        let stage = stage_with(STOPPABLE);
        let mut node = start(&stage, "sk_stop = 'main' sk_stop_grace = 3600");
        node.expect("ready$", SOON);
        node.signal(number);
        node.expect(&format!("{name} : 3600 seconds for .main$"), SOON);
        node.expect(&format!("asked to stop {name} 0 0$"), SOON);
        stage.write("end", "");
        node.expect_code(0, SOON);
        assert_eq!(node.count("ABORT"), 0, "{}", node.report());
    }
}

#[test]
fn stop_by_signal_aborts_after_the_grace_time_and_writes_the_log() {
    let stage = stage_with(&STOPPABLE.replace(
        "\nskynet.start",
        r#"
-- Runs when the state is closed, which is after everything else that the service does.
LAST = setmetatable({}, { __gc = function()
    for i = 1, 2000 do
        skynet.error("last words", i)
    end
end })
skynet.start"#,
    ));
    let mut node = start(&stage, "sk_stop = '.main' sk_stop_grace = 1 harbor = 0");
    node.expect("ready$", SOON);
    let begin = Instant::now();
    node.signal(libc::SIGTERM);
    node.expect_code(0, SOON);
    assert!(begin.elapsed() >= Duration::from_secs(1));
    expect_log(&node, "ABORT");
    assert_eq!(node.count("last words"), 2000, "{}", node.report());
}

#[test]
fn a_second_signal_aborts_at_once() {
    let stage = stage_with(STOPPABLE);
    let mut node = start(&stage, "sk_stop = 'main' sk_stop_grace = 3600");
    node.expect("ready$", SOON);
    node.signal(libc::SIGINT);
    node.expect("asked to stop SIGINT", SOON);
    node.signal(libc::SIGTERM);
    node.expect_code(0, SOON);
    expect_log(&node, "ABORT");
}

#[test]
fn stop_by_signal_without_the_service_aborts() {
    let stage = stage_with(STOPPABLE);
    let mut node = start(&stage, "sk_stop = 'nobody'");
    node.expect("ready$", SOON);
    node.signal(libc::SIGTERM);
    node.expect("SIGTERM : abort, there is no service .nobody$", SOON);
    node.expect_code(0, SOON);
}

/// A callback that does not return keeps the node from ending; the signal after the abort does not.
#[test]
fn a_third_signal_has_its_default_action() {
    let stage = stage_with(&STOPPABLE.replace(
        "skynet.error \"ready\"",
        "skynet.error \"ready\" while true do end",
    ));
    let mut node = start(&stage, "thread = 2 sk_stop = 'main' sk_stop_grace = 3600");
    node.expect("ready$", SOON);
    node.signal(libc::SIGTERM);
    node.expect("SIGTERM : 3600 seconds", SOON);
    node.signal(libc::SIGTERM);
    node.expect("ABORT", SOON);
    node.signal(libc::SIGTERM);
    let status = node.expect_exit(SOON);
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(libc::SIGTERM)
    );
}

#[test]
fn settings_of_ours_are_checked() {
    for (config, line) in [
        (
            "sk_endless_seconds = 0",
            "Invalid sk_endless_seconds 0 , should be in [1,86400]",
        ),
        (
            "sk_stop_grace = 'soon'",
            "Invalid sk_stop_grace soon , should be in [1,86400]",
        ),
        (
            "sk_poller = 0",
            "Invalid sk_poller 0 , should be auto or in [1,64]",
        ),
        (
            "sk_resolver = 'many'",
            "Invalid sk_resolver many , should be in [1,1024]",
        ),
        (
            "sk_backlog = -1",
            "Invalid sk_backlog -1 , should be in [1,65535]",
        ),
        (
            "sk_write_limit = '1T'",
            "Invalid sk_write_limit 1T , should be a number of bytes above 0, like 65536, 64K, 1M or 2G",
        ),
        (
            "sk_write_limit_action = 'stop'",
            "Invalid sk_write_limit_action stop , should be warn, pause or close",
        ),
        (
            "sk_keepalive = '60,10'",
            "Invalid sk_keepalive 60,10 , should be idle,interval,count",
        ),
        (
            "sk_nodelay = 'on'",
            "Invalid sk_nodelay on , should be true or false",
        ),
    ] {
        let stage = stage_with(STOPPABLE);
        let mut node = start(&stage, config);
        node.expect_code(1, SOON);
        assert!(node.text().contains(line), "{}", node.report());
    }
}

/// The threads of a process, by name.
fn threads(node: &Node) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", node.pid())).expect("it runs");
    let mut names: Vec<String> = tasks
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .map(|name| name.trim_end().to_owned())
        .collect();
    names.sort();
    names
}

/// Threads have their names soon after they have started.
#[track_caller]
fn expect_threads(node: &Node, prefix: &str, count: usize) {
    let mut names = Vec::new();
    let right = wait_until(|| {
        names = threads(node);
        names.iter().filter(|n| n.starts_with(prefix)).count() == count
    });
    assert!(right, "{count} of {prefix}: {names:?}");
}

#[test]
fn thread_auto_is_the_number_of_usable_processors() {
    let stage = stage_with(
        r#"local skynet = require "skynet"
skynet.start(function() skynet.error("thread is", skynet.getenv "thread") end)
"#,
    );
    let mut node = start(&stage, "thread = 'auto'");
    let count = thread::available_parallelism().map_or(1, usize::from);
    node.expect(&format!("thread is {count}$"), SOON);
    expect_threads(&node, "worker-", count);
    for name in ["monitor", "timer", "socket-0", "signal"] {
        expect_threads(&node, name, 1);
    }
}

#[test]
fn sockets_have_as_many_threads_as_asked_for() {
    let stage = stage_with(
        r#"local skynet = require "skynet"
skynet.start(function() skynet.error "ready" end)
"#,
    );
    let mut node = start(&stage, "sk_poller = 3");
    node.expect("ready$", SOON);
    expect_threads(&node, "socket-", 3);
}

/// How often threads of the process have gone to sleep.
fn sleeps(node: &Node) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{}/task", node.pid())).expect("it runs");
    tasks
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("status")).ok())
        .filter_map(|status| {
            let line = status.lines().find(|line| line.starts_with("voluntary"))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        })
        .sum()
}

#[test]
fn nothing_happens_when_nothing_is_to_do() {
    let stage = stage_with(
        r#"local skynet = require "skynet"
skynet.start(function()
    skynet.timeout(100000000, error)
    skynet.timeout_ms(100000000, error)
    skynet.error "ready"
end)
"#,
    );
    let mut node = start(&stage, "thread = 8");
    node.expect("ready$", SOON);
    // A busy machine takes its time to get everybody to sleep, and a node looks once whether there is memory to
    // give back. Who wakes regularly does so in each of the windows.
    thread::sleep(Duration::from_secs(1));
    let mut woken = Vec::new();
    for _ in 0..4 {
        let before = sleeps(&node);
        thread::sleep(Duration::from_secs(4));
        woken.push(sleeps(&node) - before);
        if woken.iter().any(|n| *n <= 8) {
            return;
        }
    }
    panic!("{woken:?} in 4 seconds each");
}

/// Handles, sessions, ticks, socket ids and message counts go past their limits while everything works.
#[test]
fn counters_pass_their_limits() {
    let stage = stage_with(
        r#"local skynet = require "skynet"
require "skynet.manager"
local socket = require "skynet.socket"
skynet.start(function()
    local now, first = skynet.now(), skynet.genid()
    local services, last, low = {}, 0, 0
    for round = 1, 130 do
        local service = skynet.newservice "echo"
        services[#services + 1] = service
        if service < last then low = low + 1 end
        last = service
        if round % 3 == 0 then
            skynet.kill(table.remove(services, 1))
        end
    end
    for _, service in ipairs(services) do
        for i = 1, 3 do
            assert(skynet.call(service, "lua", i) == i)
        end
    end
    skynet.error("handles begin again", low)
    local session = skynet.genid()
    skynet.error("sessions begin again", first > 0x7fffff00 and session > 0 and session < 1000)
    local listener = socket.listen("127.0.0.1", tonumber(skynet.getenv "port"))
    local ids, most = {}, 0
    socket.start(listener, function(id)
        socket.start(id)
        socket.write(id, socket.readline(id) .. "\n")
        socket.close(id)
    end)
    for i = 1, 60 do
        local id = assert(socket.open("127.0.0.1", tonumber(skynet.getenv "port")))
        assert(id > 0 and id <= 0x7fffffff)
        socket.write(id, i .. "\n")
        assert(socket.readline(id) == tostring(i))
        socket.close(id)
        ids[i] = id
    end
    skynet.error("ids begin again", ids[1] > 0x7fff0000 and ids[60] < 1000)
    -- over the second in which ticks pass 2^32
    local before = skynet.now()
    for i = 1, 25 do skynet.sleep(10) end
    local passed = skynet.now() - before
    skynet.error("time goes on", passed >= 225 and skynet.now() >= now)
    for i = 1, 100 do skynet.call(services[1], "lua", i) end
    skynet.error("messages", skynet.call(services[1], "debug", "STAT").message > 0xffffffff)
    skynet.error "end of test"
end)
"#,
    );
    stage.write(
        "lua/echo.lua",
        r#"local skynet = require "skynet"
skynet.start(function()
    skynet.dispatch("lua", function(_, _, what) skynet.ret(skynet.pack(what)) end)
end)
"#,
    );
    let config = format!("sk_debug_wrap = true port = {}", stage.port(1));
    let mut node = start(&stage, &config);
    node.expect("end of test$", Duration::from_secs(60));
    for line in [
        "handles begin again 1",
        "sessions begin again true",
        "ids begin again true",
        "time goes on true",
        "messages true",
    ] {
        expect_log(&node, line);
    }
    assert_eq!(node.count("stack traceback"), 0, "{}", node.report());
}
