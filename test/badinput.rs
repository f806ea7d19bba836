//! Bad input from the outside: command line, configuration, modules, services, files and ports.
//!
//! Each case ends with a line that names the culprit, in upstream's words where those are known, and
//! with a non-zero exit code where the process cannot run. Nothing hangs and nothing panics. What
//! upstream leaves unsaid or undefined is asked of our node only.

mod common;

use std::fs::File;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::time::Duration;

use common::{From, Level, Node, SOON, Stage, Tree};
use regex::Regex;

fn stage() -> Stage {
    Stage::new(&Tree::node())
}

/// Runs a node that cannot start: exit code 1, and the error stream holds what `pattern` says.
#[track_caller]
fn refused(config: &str, pattern: &str) -> (Stage, Node) {
    let stage = stage();
    let node = Node::start(&stage, config);
    (stage, refuses(node, pattern))
}

#[track_caller]
fn refuses(mut node: Node, pattern: &str) -> Node {
    node.expect_code(1, SOON);
    node.expect_no_panic();
    let said = node.lines_from(From::Err).join("\n");
    let regex = Regex::new(pattern).expect("a valid pattern");
    assert!(
        regex.is_match(&said),
        "stderr should match /{pattern}/\n{}",
        node.report()
    );
    node
}

/// A configuration text of its own, without the common settings.
#[track_caller]
fn refused_file(text: &[u8], pattern: &str) {
    let stage = stage();
    std::fs::write(stage.file("own"), text).expect("the stage is writable");
    refuses(Node::start_args(&stage, &["own"]), pattern);
}

/// Runs the Lua service text as `main` and returns the ended node; it must abort by itself.
#[track_caller]
fn run_service(stage: &Stage, config: &str, lua: &str) -> Node {
    stage.write("lua/main.lua", lua);
    let paths = "luaservice = './service/?.lua;./lua/?.lua' cpath = './cservice/?.so;./extra/?.so'";
    let mut node = Node::start(stage, &format!("{paths}\n{config}"));
    node.expect_code(0, SOON);
    node.expect_no_panic();
    node
}

// ---- command line and configuration

#[test]
fn no_config_argument() {
    let node = refuses(
        Node::start_args(&stage(), &[]),
        r"^Need a config file\. Please read skynet wiki :",
    );
    assert_eq!(node.lines_from(From::Err).len(), 2, "{}", node.report());
    assert_eq!(
        node.lines_from(From::Err)[1],
        "usage: skynet configfilename"
    );
}

#[test]
fn config_file_missing() {
    let pattern = r"^(\[skynet config\]:\d+: )?\./nosuch: No such file or directory$";
    refuses(Node::start_args(&stage(), &["nosuch"]), pattern);
    let pattern = r"^(\[skynet config\]:\d+: )?\./sub/nosuch: No such file or directory$";
    refuses(Node::start_args(&stage(), &["sub/nosuch"]), pattern);
}

#[test]
fn config_is_a_folder() {
    refuses(Node::start_args(&stage(), &["/tmp"]), "Is a directory");
}

#[test]
fn config_with_syntax_error() {
    refused_file(
        b"thread = 4\nx = = 1\n",
        r"\bown:2: unexpected symbol near '='$",
    );
    refused_file(b"x = 'abc\n", r"\bown:1: unfinished string near");
}

#[test]
fn config_with_runtime_error() {
    refused_file(
        b"x = nil .. 'a'",
        r"\bown:1: attempt to concatenate a nil value",
    );
    // No library is visible.
    refused_file(
        b"error('boom')",
        r"\bown:1: attempt to call a nil value \(global 'error'\)",
    );
}

#[test]
fn config_as_binary_chunk() {
    refused_file(
        b"\x1bLua\x54\x00",
        r"attempt to load a binary chunk \(mode is 't'\)",
    );
}

#[test]
fn config_names_unset_variable() {
    refused_file(
        b"x = '$SKYNET_TEST_UNSET'",
        r"os\.getenv\(\) failed: SKYNET_TEST_UNSET$",
    );
    // The text is searched before it is compiled, comments too.
    refused_file(
        b"-- $SKYNET_TEST_UNSET",
        r"os\.getenv\(\) failed: SKYNET_TEST_UNSET$",
    );
}

#[test]
fn config_with_bad_keys_and_values() {
    refused("_ENV[1] = 2", r"^Invalid config table$");
    refused("_ENV[true] = 2", r"^Invalid config table$");
    refused("x = {}", r"^Invalid config table key = x$");
    refused("f = function() end", r"^Invalid config table key = f$");
}

#[test]
fn config_includes_missing_or_broken_file() {
    refused("include 'nosuch'", r"\./nosuch: No such file or directory$");
    let stage = stage();
    stage.write("sub/broken", "x = 1\n= 2\n");
    refuses(
        Node::start_args(&stage, &["sub/broken"]),
        r"\bsub/broken:2: unexpected symbol near '='$",
    );
    stage.write("outer", "include 'sub/broken'");
    refuses(
        Node::start_args(&stage, &["outer"]),
        r"\bsub/broken:2: unexpected symbol near '='$",
    );
    refused("include()", r"\[skynet config\]:\d+: ");
    refused("include {}", r"\[skynet config\]:\d+: ");
}

/// Level 1.8 upstream checks nothing: it hangs with 0 threads and misbehaves with others.
#[test]
fn thread_out_of_range() {
    let tree = Tree::node();
    if tree.level() == Level::V18 && tree.is_upstream() {
        return common::skipped("upstream 1.8 does not check the number of threads");
    }
    for (value, number) in [("0", "0"), ("-3", "-3"), ("'many'", "0")] {
        let pattern = match tree.level() {
            Level::Head => format!(r"^Invalid thread {number} , should be in \[1,1024\]$"),
            Level::V18 => format!(r"(?i)\bthread\b.*{number}"),
        };
        refused(&format!("thread = {value}"), &pattern);
    }
    if tree.level() == Level::Head {
        refused(
            "thread = 1025",
            r"^Invalid thread 1025 , should be in \[1,1024\]$",
        );
    }
}

// ---- modules

#[test]
fn cpath_without_mark() {
    refused(
        "cpath = './cservice/logger.so'",
        r"^Invalid C service path$",
    );
    // Only when the search gets there.
    refused(
        "cpath = './cservice/?.so;./nomark' bootstrap = 'nosuch'",
        r"^Invalid C service path$",
    );
}

#[test]
fn cpath_empty() {
    refused(
        "cpath = ''",
        r"(?s)try open logger failed : .*Can't launch logger service\b",
    );
}

#[test]
fn unknown_log_service() {
    let pattern = r"(?s)^try open nosuch failed : \./cservice/nosuch\.so: cannot open shared object file: .*
Can't launch nosuch service\b";
    refused("logservice = 'nosuch'", pattern);
}

#[test]
fn unknown_bootstrap_module() {
    let pattern =
        r"^try open nosuch failed : \./cservice/nosuch\.so: cannot open shared object file: ";
    let (stage, node) = refused("bootstrap = 'nosuch  some parm'", pattern);
    // The line has a newline of its own. Ours may log the reason as well.
    let log = node.log();
    let last = log.last().expect("a log message");
    assert_eq!(last.source, 0);
    assert_eq!(last.text, "Bootstrap error : nosuch  some parm\n");
    assert!(
        log.len() == 1 || !stage.tree.is_upstream(),
        "{}",
        node.report()
    );
}

/// The error of the last path is the one that is shown.
#[test]
fn module_in_no_path() {
    let pattern = r"^try open nosuch failed : \./b/nosuch\.so: ";
    refused(
        "cpath = './cservice/?.so;;./a/?.so;./b/?.so;' bootstrap = 'nosuch'",
        pattern,
    );
}

#[test]
fn module_is_not_a_library() {
    let stage = stage();
    stage.write("extra/text.so", "this is not ELF\n");
    let config = "cpath = './cservice/?.so;./extra/?.so' bootstrap = 'text'";
    refuses(
        Node::start(&stage, config),
        r"^try open text failed : \./extra/text\.so: ",
    );
}

#[test]
fn module_with_unresolved_symbol() {
    let stage = stage();
    stage.c_service(
        "needy",
        "int there_is_no_such_function(void);
         int needy_init(void *inst, void *ctx, const char *parm) { return there_is_no_such_function(); }",
    );
    let config = "cpath = './cservice/?.so;./extra/?.so' bootstrap = 'needy'";
    let node = refuses(
        Node::start(&stage, config),
        r"^try open needy failed : .*needy\.so.*there_is_no_such_function",
    );
    assert_eq!(
        node.count("Bootstrap error : needy"),
        1,
        "{}",
        node.report()
    );
}

/// Upstream says nothing here; ours names the file and the symbol.
#[test]
fn module_without_init() {
    let stage = stage();
    stage.c_service("noinit", "void *noinit_create(void) { return (void *)1; }");
    let config = "cpath = './cservice/?.so;./extra/?.so' bootstrap = 'noinit'";
    let mut node = Node::start(&stage, config);
    node.expect_code(1, SOON);
    node.expect_no_panic();
    assert_eq!(
        node.count("Bootstrap error : noinit"),
        1,
        "{}",
        node.report()
    );
    if !stage.tree.is_upstream() {
        let named = node
            .lines()
            .into_iter()
            .any(|l| l.text.contains("noinit.so") && l.text.contains("noinit_init"));
        assert!(named, "no line names file and symbol\n{}", node.report());
    }
}

/// `_create` may be missing: the instance is then all ones. When it gives NULL the launch fails.
#[test]
fn module_without_create() {
    let stage = stage();
    stage.c_service(
        "nocreate",
        r#"#include <stdint.h>
        void skynet_error(void *ctx, const char *msg, ...);
        int nocreate_init(void *inst, void *ctx, const char *parm) {
            skynet_error(ctx, "instance is all ones: %d", (uintptr_t)inst == UINTPTR_MAX);
            return 0;
        }"#,
    );
    stage.c_service(
        "nullcreate",
        "void *nullcreate_create(void) { return 0; }
         int nullcreate_init(void *inst, void *ctx, const char *parm) { return 0; }",
    );
    stage.c_service(
        "badinit",
        "int badinit_init(void *inst, void *ctx, const char *parm) { return 1; }",
    );
    let node = run_service(
        &stage,
        "",
        r#"local skynet = require "skynet"
require "skynet.manager"
skynet.start(function()
    skynet.error("created", skynet.launch("nocreate") ~= nil)
    skynet.error("null", skynet.launch("nullcreate") ~= nil)
    skynet.error("bad", skynet.launch("badinit") ~= nil)
    skynet.error("module", skynet.launch("nosuch") ~= nil)
    skynet.sleep(20)
    skynet.abort()
end)"#,
    );
    let failed = match stage.tree.level() {
        Level::Head => r"error: launch badinit FAILED$",
        Level::V18 => r"FAILED launch badinit$",
    };
    for pattern in [
        "instance is all ones: 1$",
        "created true$",
        "null false$",
        "bad false$",
        failed,
        "module false$",
    ] {
        assert_eq!(node.count(pattern), 1, "/{pattern}/\n{}", node.report());
    }
    assert_eq!(
        node.count("^try open nosuch failed : "),
        1,
        "{}",
        node.report()
    );
}

// ---- Lua services

/// A service that cannot be loaded ends, its creator gets an error, the log says why.
#[test]
fn lua_services_that_fail_to_start() {
    let stage = stage();
    stage.write("lua/raises.lua", "local x = 1\nerror 'boom'\n");
    stage.write("lua/syntax.lua", "x = = 1\n");
    stage.write(
        "lua/starts.lua",
        "local skynet = require 'skynet'\nskynet.start(function()\nerror 'bang'\nend)\n",
    );
    stage.write("lua/table.lua", "error {}\n");
    let node = run_service(
        &stage,
        "",
        r#"local skynet = require "skynet"
require "skynet.manager"
skynet.start(function()
    for _, name in ipairs { "nosuch", "raises", "syntax", "table", "starts" } do
        local ok, err = pcall(skynet.newservice, name)
        skynet.error("creating", name, ok, string.match(err, "call failed"))
    end
    skynet.sleep(20)
    skynet.abort()
end)"#,
    );
    let log = node.log();
    let said = |text: &str| {
        log.iter()
            .any(|e| e.text.contains("lua loader error : ") && e.text.contains(text))
    };
    assert!(
        said("cannot open ./lua/nosuch.lua: No such file or directory"),
        "{}",
        node.report()
    );
    assert!(said("./lua/raises.lua:2: boom"), "{}", node.report());
    assert!(
        said("./lua/syntax.lua:1: unexpected symbol near '='"),
        "{}",
        node.report()
    );
    assert_eq!(
        node.count(r"init service failed: .*\./lua/starts\.lua:3: bang$"),
        1,
        "{}",
        node.report()
    );
    for name in ["nosuch", "raises", "syntax", "table", "starts"] {
        let pattern = format!("creating {name} false call failed$");
        assert_eq!(node.count(&pattern), 1, "/{pattern}/\n{}", node.report());
    }
}

/// The node stays up when its `start` service is missing; the log says what happened.
#[test]
fn start_service_missing() {
    let stage = stage();
    let mut node = Node::start(&stage, "start = 'nosuch'");
    node.expect(
        r"lua loader error : .*cannot open \./service/nosuch\.lua: No such file or directory",
        SOON,
    );
    node.expect(r"\[:00000002\] KILL self", SOON);
    assert!(
        node.wait_exit(Duration::ZERO).is_none(),
        "{}",
        node.report()
    );
    node.expect_no_panic();
}

#[test]
fn loader_script_missing() {
    let stage = stage();
    let mut node = Node::start(&stage, "lualoader = './nosuch.lua'");
    node.expect(
        r"\[:00000002\] Can't load \./nosuch\.lua : cannot open \./nosuch\.lua: No such file",
        SOON,
    );
    node.expect(r"\[:00000002\] KILL self", SOON);
    node.expect_no_panic();
}

#[test]
fn preload_script_missing() {
    let stage = stage();
    let mut node = Node::start(&stage, "preload = './nosuch.lua'");
    node.expect(r"\[:00000002\] lua loader error : .*\./nosuch\.lua", SOON);
    node.expect_no_panic();
}

// ---- files and ports

#[test]
fn log_file_unwritable() {
    // A folder cannot be written either.
    for path in ["/nonexistent/folder/node.log", "/tmp"] {
        let (stage, node) = refused(
            &format!("logger = '{path}'"),
            r"(?m)^Can't launch logger service\b",
        );
        // Upstream does not say which file.
        if !stage.tree.is_upstream() {
            assert!(
                node.text().contains(path),
                "no line names {path}\n{}",
                node.report()
            );
        }
    }
}

/// Upstream has left its parent process by then, which has reported success.
#[test]
fn pid_file_unwritable() {
    for path in ["/nonexistent/folder/node.pid", "/tmp"] {
        let stage = stage();
        let mut node = Node::start(&stage, &format!("daemon = '{path}'"));
        let status = node.expect_exit(SOON);
        node.expect_count(
            &format!(r"^Can't (create|open) pidfile \[{path}\]\.$"),
            1,
            SOON,
        );
        node.expect_no_panic();
        if !stage.tree.is_upstream() {
            assert_eq!(status.code(), Some(1), "{}", node.report());
        }
    }
}

#[test]
fn pid_file_of_a_live_process() {
    let stage = stage();
    let pid = std::process::id();
    stage.write("node.pid", &format!("{pid}\n"));
    let node = Node::start(&stage, "daemon = './node.pid'");
    refuses(
        node,
        &format!(r"^Skynet is already running, pid = {pid}\.$"),
    );
    assert_eq!(stage.read("node.pid"), format!("{pid}\n"));
}

/// A stale number in the file, but its lock is held.
#[test]
fn pid_file_locked() {
    let stage = stage();
    stage.write("node.pid", "0\n");
    let file = File::open(stage.file("node.pid")).expect("it was just written");
    // SAFETY: flock on a descriptor that `file` keeps open.
    let locked = unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) };
    assert_eq!(locked, 0);
    let mut node = Node::start(&stage, "daemon = './node.pid'");
    let status = node.expect_exit(SOON);
    node.expect_count(
        r"^Can't lock pidfile, lock is held by pid \d+\.$|^Can't lock and read pidfile\.$",
        1,
        SOON,
    );
    node.expect_no_panic();
    if !stage.tree.is_upstream() {
        assert_eq!(status.code(), Some(1), "{}", node.report());
    }
}

/// The caller gets an error; ours says which address it was.
#[test]
fn port_in_use() {
    let stage = stage();
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = taken.local_addr().expect("it is bound").port();
    stage.write(
        "lua/console_alone.lua",
        "local skynet = require 'skynet'\nskynet.start(function()\n\
         skynet.newservice('debug_console', skynet.getenv 'taken')\nend)\n",
    );
    let node = run_service(
        &stage,
        &format!("taken = {port}"),
        r#"local skynet = require "skynet"
require "skynet.manager"
local socket = require "skynet.socket"
skynet.start(function()
    local port = math.tointeger(skynet.getenv "taken")
    local ok, err = pcall(socket.listen, "127.0.0.1", port)
    skynet.error("socket", ok, string.match(err, "Listen error"))
    skynet.error("gate", skynet.launch("gate", "S ! 127.0.0.1:" .. port .. " 0 10") ~= nil)
    skynet.error("console", (pcall(skynet.newservice, "console_alone")))
    skynet.sleep(20)
    skynet.abort()
end)"#,
    );
    for pattern in [
        "socket false Listen error$",
        "gate false$",
        "console false$",
    ] {
        assert_eq!(node.count(pattern), 1, "/{pattern}/\n{}", node.report());
    }
    if !stage.tree.is_upstream() {
        let log = node.log();
        let named = log
            .iter()
            .filter(|e| e.text.contains(&port.to_string()) && !e.text.starts_with("LAUNCH"));
        assert!(
            named.count() > 0,
            "no line names port {port}\n{}",
            node.report()
        );
    }
}

/// The C gate checks its parameters in a fixed order and says which one it does not like.
#[test]
fn gate_parameters() {
    let stage = stage();
    let port = stage.port(1);
    let node = run_service(
        &stage,
        &format!("port = {port}"),
        r#"local skynet = require "skynet"
require "skynet.manager"
skynet.start(function()
    local bind = "127.0.0.1:" .. skynet.getenv "port"
    for _, parm in ipairs {
        "S !",
        "S ! " .. bind .. " 0",
        "S ! " .. bind .. " 0 0",
        "X ! " .. bind .. " 0 10",
        "S .nosuch " .. bind .. " 0 10",
        "S ! 127.0.0.1:0 0 10",
        "S ! nohost: 0 10",
    } do
        skynet.error("launched", skynet.launch("gate", parm) ~= nil)
    end
    skynet.error("good", skynet.launch("gate", "S ! " .. bind .. " 0 10") ~= nil)
    skynet.sleep(20)
    skynet.abort()
end)"#,
    );
    let said: Vec<String> = node.log().into_iter().map(|e| e.text).collect();
    let want = [
        ("Invalid gate parm S !", 1),
        ("Need max connection", 2),
        ("Invalid data header style", 1),
        ("Invalid watchdog .nosuch", 1),
        ("Invalid gate address 127.0.0.1:0", 1),
        ("Invalid gate address nohost:", 1),
        ("launched false", 7),
        ("good true", 1),
    ];
    for (text, count) in want {
        let found = said.iter().filter(|s| *s == text).count();
        assert_eq!(found, count, "{text:?}\n{}", node.report());
    }
}

/// A node of a network that is not told where its master is gives up.
#[test]
fn harbor_without_master() {
    let stage = stage();
    let mut node = Node::start(&stage, "harbor = 1");
    node.expect_exit(SOON);
    node.expect_no_panic();
}
