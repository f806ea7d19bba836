//! libskynet inside other programs: an installed node is used through its headers, its pkg-config files
//! and its libraries. Installs the staged node (`SKYNET_NODE`, set by `make test`) into a scratch prefix.
//!
//! With `SKYNET_UPSTREAM` naming a tree of upstream, its main program and its start file, unchanged,
//! run a node on the library.

mod common;

use common::{From, Process, SOON, Stage, Tree};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::Duration;
use tempfile::TempDir;

/// A program that was not given an end ends in this time anyway.
const LONG: Duration = Duration::from_secs(60);

const LUA: &str = if cfg!(feature = "lua55") {
    "5.5"
} else {
    "5.4"
};

/// A folder that lives until the last test is done.
fn scratch() -> &'static Path {
    static SCRATCH: OnceLock<PathBuf> = OnceLock::new();
    SCRATCH.get_or_init(|| {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("embed");
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).expect("a folder for the tests");
        dir
    })
}

/// Runs make in this package without building anything.
#[track_caller]
fn make(goal: &str, prefix: &Path, destination: &Path) -> String {
    let node = std::env::var("SKYNET_NODE")
        .expect("SKYNET_NODE names the staged node: run `make test`, or set it by hand");
    let level = if skynet::core::API_HEAD {
        "head"
    } else {
        "1.8"
    };
    let mut make = Command::new("make");
    // Variables of the make that runs the tests are not for this one.
    make.env_remove("MAKEFLAGS").env_remove("MFLAGS");
    make.current_dir(common::tree::package()).arg(goal);
    make.arg(format!("LUA={LUA}")).arg(format!("API={level}"));
    make.arg(format!("NODE={node}"));
    make.arg(format!("PREFIX={}", prefix.display()));
    make.arg(format!("DESTDIR={}", destination.display()));
    succeed(&mut make)
}

/// The installed node that the tests share.
fn prefix() -> &'static Path {
    static PREFIX: OnceLock<PathBuf> = OnceLock::new();
    PREFIX.get_or_init(|| {
        let prefix = scratch().join("prefix");
        make("install-staged", &prefix, Path::new(""));
        prefix
    })
}

fn text(output: &Output) -> String {
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    format!("{out}{err}")
}

/// Standard output of a command that must succeed.
#[track_caller]
fn succeed(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let status = output.status;
    assert!(status.success(), "{command:?}: {status}\n{}", text(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn cc() -> Command {
    let cc = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let mut words = cc.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or("cc"));
    command.args(words);
    command
}

/// Our own programs are held to more than upstream's.
const STRICT: &[&str] = &[
    "-std=c99",
    "-D_GNU_SOURCE",
    "-pedantic",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-g",
];

/// Where a program of `test/embed` is.
fn source(name: &str) -> PathBuf {
    common::tree::package().join("test/embed").join(name)
}

/// Compiles sources and links them with the installed library.
fn compile(program: &str, flags: &[&str], sources: &[PathBuf]) -> PathBuf {
    let path = scratch().join(program);
    let library = prefix().join("lib");
    let mut cc = cc();
    cc.args(flags)
        .arg("-I")
        .arg(prefix().join("include/skynet"));
    cc.arg("-o").arg(&path).args(sources);
    cc.arg("-L").arg(&library).arg("-lskynet");
    cc.arg(format!("-Wl,-rpath,{}", library.display()));
    cc.args(["-lpthread", "-ldl"]);
    succeed(&mut cc);
    path
}

/// Runs a program that must print "done" and end well; what it printed.
#[track_caller]
fn run_to_the_end(program: &Path, args: &[&str]) -> Process {
    let mut command = Command::new(program);
    command.args(args);
    let mut process = Process::start(&args.join(" "), command, None);
    process.expect_code(0, LONG);
    process.expect_no_panic();
    let done = process
        .lines_from(From::Out)
        .last()
        .is_some_and(|line| line == "done");
    assert!(done, "{}", process.report());
    process
}

// ---- the example, and what make installs

/// What pkg-config says, if there is one.
fn pkg_config(args: &[&str]) -> Option<String> {
    let mut command = Command::new("pkg-config");
    command.env("PKG_CONFIG_PATH", prefix().join("lib/pkgconfig"));
    if Command::new("pkg-config")
        .arg("--version")
        .output()
        .is_err()
    {
        common::skipped("there is no pkg-config");
        return None;
    }
    Some(succeed(command.args(args)).trim().to_owned())
}

#[test]
fn modules_link_nothing_and_programs_the_library() {
    let Some(modules) = pkg_config(&["--cflags", "--libs", "skynet"]) else {
        return;
    };
    let prefix = prefix().display();
    assert_eq!(modules, format!("-I{prefix}/include/skynet"));
    let programs = pkg_config(&["--cflags", "--libs", "libskynet"]).unwrap_or_default();
    let words: Vec<_> = programs.split_whitespace().collect();
    assert_eq!(
        words,
        [
            format!("-I{prefix}/include/skynet"),
            format!("-L{prefix}/lib"),
            "-lskynet".to_owned()
        ]
    );
    let version = pkg_config(&["--modversion", "libskynet"]).unwrap_or_default();
    assert_eq!(version, env!("CARGO_PKG_VERSION"));
}

/// Builds the example the way its reader does, in a copy of its folder.
fn example(goal: &str, program: &str) {
    if pkg_config(&["--exists", "libskynet"]).is_none() {
        return;
    }
    let dir = scratch().join(format!("example-{goal}"));
    std::fs::create_dir_all(&dir).expect("a folder for the example");
    for name in ["Makefile", "embed.c", "main.lua"] {
        let from = common::tree::package().join("examples/embed").join(name);
        std::fs::copy(&from, dir.join(name)).expect("the example is there");
    }
    let mut make = Command::new("make");
    make.env_remove("MAKEFLAGS").env_remove("MFLAGS");
    make.env("PKG_CONFIG_PATH", prefix().join("lib/pkgconfig"));
    make.args(["-s", goal, "CFLAGS=-Wall -Wextra -Werror"]);
    succeed(make.current_dir(&dir));

    let mut command = Command::new(dir.join(program));
    // From another place, because all paths are those of the installation.
    command.arg(&dir).current_dir("/");
    let mut process = Process::start(program, command, None);
    process.expect_code(0, LONG);
    process.expect_no_panic();
    let lines = process.lines_from(From::Out);
    for name in ["Ada", "Grace", "Barbara"] {
        let greeting = format!("Good morning, {name}!");
        let found = lines.iter().any(|line| line.ends_with(&greeting));
        assert!(found, "{}", process.report());
    }
    let last = lines.last().map(String::as_str);
    assert_eq!(last, Some("the node has ended after 3 greetings"));
}

#[test]
fn the_example_runs_on_the_shared_library() {
    example("all", "embed");
}

#[test]
fn the_example_runs_with_the_static_library() {
    example("static", "embed-static");
}

/// The installed executable, with the installed modules and Lua libraries.
#[test]
fn the_installed_executable_runs_a_node() {
    let dir = TempDir::new().expect("a temporary directory");
    let path = prefix().join("share/skynet/config.path");
    let config = format!(
        "include '{}'\nthread = 2\nharbor = 0\nstart = 'main'\n\
         luaservice = luaservice .. ';{}/?.lua'\n",
        path.display(),
        dir.path().display()
    );
    std::fs::write(dir.path().join("config"), config).expect("the folder is writable");
    let main = "local skynet = require 'skynet'\nrequire 'skynet.manager'\n\
                skynet.start(function() print(require('md5').sumhexa('skynet')) skynet.abort() end)";
    std::fs::write(dir.path().join("main.lua"), main).expect("the folder is writable");
    let mut command = Command::new(prefix().join("bin/skynet"));
    command.arg(dir.path().join("config")).current_dir("/");
    let mut process = Process::start("installed", command, None);
    process.expect("^[0-9a-f]{32}$", SOON);
    process.expect_code(0, SOON);
}

#[test]
fn uninstalling_takes_away_what_was_installed_and_nothing_else() {
    let root = TempDir::new().expect("a temporary directory");
    let prefix = Path::new("/opt/some where");
    let inside = root.path().join("opt/some where");
    make("install-staged", prefix, root.path());
    assert!(inside.join("bin/skynet").is_file());
    // Files say where they will be, not where they are.
    for name in ["skynet.pc", "libskynet.pc"] {
        let file = inside.join("lib/pkgconfig").join(name);
        let text = std::fs::read_to_string(file).expect("it was installed");
        assert!(text.starts_with("prefix=/opt/some where\n"), "{text}");
        let at = root.path().display().to_string();
        assert!(!text.contains(&at), "{text}");
    }
    let own = inside.join("lib/skynet/cservice/mine.so");
    std::fs::write(&own, "").expect("the folder is there");
    // A second time, as an update does.
    make("install-staged", prefix, root.path());
    make("uninstall", prefix, root.path());
    let mut left = Vec::new();
    files(&inside, &mut left);
    assert_eq!(left, [own]);
    assert!(!inside.join("include/skynet").exists());
    assert!(!inside.join("share/skynet").exists());
}

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("a readable folder") {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() && !path.is_symlink() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

// ---- hosts

fn host(what: &str) -> Process {
    static HOST: OnceLock<PathBuf> = OnceLock::new();
    let host = HOST.get_or_init(|| compile("host", STRICT, &[source("host.c")]));
    run_to_the_end(host, &[what])
}

#[test]
fn a_node_ends_and_the_host_goes_on() {
    let process = host("run");
    assert_eq!(process.count("^a process can run one node"), 2);
}

#[test]
fn upstreams_preparations_may_come_first() {
    host("run_prepared");
}

#[test]
fn upstreams_start_function_runs_a_node_and_ends_the_process_when_it_cannot() {
    host("classic");
    let mut command = Command::new(scratch().join("host"));
    command.arg("classic_fails");
    let mut process = Process::start("classic_fails", command, None);
    process.expect_code(1, LONG);
    assert_eq!(process.count("^Can't launch nosuch service$"), 1);
    assert!(process.lines_from(From::Out).is_empty());
}

#[test]
fn signal_handlers_of_the_host_stay() {
    host("own_signals");
}

#[test]
fn a_start_that_got_nowhere_may_be_tried_again() {
    host("bad_settings");
}

#[test]
fn starts_that_fail_leave_nothing_running() {
    host("no_log_service");
    let process = host("no_first_service");
    let line = r"^\[:00000000\] Bootstrap error : nosuch some text$";
    assert_eq!(process.count(line), 1, "{}", process.report());
    host("no_threads");
}

#[test]
fn services_of_the_program_are_modules() {
    host("modules");
}

#[test]
fn a_host_ends_its_node_from_outside() {
    host("stopped");
}

/// Opens the library while the program runs; what it says about the start.
fn late(scope: &str) -> Process {
    let program = scratch().join(format!("late-{scope}"));
    let mut cc = cc();
    cc.args(STRICT)
        .arg("-I")
        .arg(prefix().join("include/skynet"));
    cc.arg("-o").arg(&program).arg(source("late.c")).arg("-ldl");
    succeed(&mut cc);
    let mut command = Command::new(&program);
    command.arg(prefix().join("lib/libskynet.so")).arg(scope);
    command.arg(prefix().join("lib/skynet/cservice"));
    let mut process = Process::start(scope, command, None);
    process.expect_code(0, LONG);
    process
}

#[test]
fn a_library_that_modules_cannot_see_is_named_as_the_reason() {
    let process = late("local");
    let hint = "^modules cannot see the core in this program: open libskynet.so with RTLD_GLOBAL";
    assert_eq!(process.count(hint), 1, "{}", process.report());
    let code = "^-5 Can't launch logger service$";
    assert_eq!(process.count(code), 1, "{}", process.report());
}

#[test]
fn a_library_that_is_opened_late_runs_modules() {
    let process = late("global");
    // The log service was loaded; what fails is the first service.
    let code = "^-6 Bootstrap error : gate$";
    assert_eq!(process.count(code), 1, "{}", process.report());
    assert_eq!(process.count("modules cannot see the core"), 0);
}

// ---- others' loops

#[test]
fn a_loop_of_the_programs_own_needs_no_thread_of_ours() {
    let program = compile("loop", STRICT, &[source("loop.c")]);
    let stage = Stage::new(&Tree::node());
    run_to_the_end(&program, &[&stage.port(1).to_string()]);
}

#[test]
fn queues_are_safe_with_many_threads_on_both_ends() {
    let program = compile("queues", STRICT, &[source("queues.c")]);
    run_to_the_end(&program, &[]);
}

/// Runs `foreign.lua` with a program in the place of the executable.
fn node_of(program: &Path, tree: &Tree) {
    let stage = Stage::new(tree);
    let lua = std::fs::read_to_string(source("foreign.lua")).expect("it is there");
    stage.write("lua/foreign.lua", &lua);
    let settings = |start: &str| {
        format!(
            "thread = 4\nharbor = 0\nlogger = nil\nstart = '{start}'\nport = {}\n\
             luaservice = './service/?.lua;./lua/?.lua'\ncpath = './cservice/?.so'\n\
             lualoader = './lualib/loader.lua'\nlua_cpath = './luaclib/?.so'\n\
             lua_path = './lualib/?.lua;./lualib/?/init.lua'\n",
            stage.port(1)
        )
    };
    let run = |config: &str| {
        stage.write("config", config);
        let mut command = Command::new(program);
        command.arg("config").current_dir(stage.path());
        Process::start(&format!("foreign with {}", tree.name), command, None)
    };
    let mut process = run(&settings("foreign"));
    process.expect_code(0, LONG);
    for case in ["timers", "calls", "sockets"] {
        let line = format!("passed {case}$");
        assert_eq!(process.count(&line), 1, "{}", process.report());
    }
    let mut process = run(&format!("{}bootstrap = 'nosuch x'", settings("foreign")));
    process.expect_code(1, LONG);
    let line = "Bootstrap error : nosuch x$";
    assert_eq!(process.count(line), 1, "{}", process.report());
}

#[test]
fn upstreams_main_and_start_files_run_a_node() {
    let Some(upstream) = Tree::upstream() else {
        return common::skipped("SKYNET_UPSTREAM is not set");
    };
    let sources = upstream.bin.with_file_name("skynet-src");
    let main = sources.join("skynet_main.c");
    let start = sources.join("skynet_start.c");
    // Our modules, and theirs, which find the core in the library as they did in the executable.
    let both = compile("foreign-both", &["-g", "-O1"], &[main.clone(), start]);
    node_of(&both, &Tree::node());
    node_of(&both, &upstream);
    // Their main program on our start.
    let only_main = compile("foreign-main", &["-g", "-O1"], &[main]);
    node_of(&only_main, &Tree::node());
}

// ---- modules that bring the library along

#[test]
fn the_executable_warns_of_modules_linked_with_the_library() {
    let flags: Vec<&str> = ["-shared", "-fPIC"]
        .into_iter()
        .chain(STRICT.iter().copied())
        .collect();
    // A reference that the linker cannot leave out.
    let module = compile("dependent.so", &flags, &[source("dependent.c")]);
    let stage = Stage::new(&Tree::node());
    let folder = module.parent().expect("a file lies in a folder");
    let config = format!(
        "logger = nil\ncpath = './cservice/?.so;{}/?.so'\nbootstrap = 'dependent hello'\n",
        folder.display()
    );
    let mut node = common::Node::start(&stage, &config);
    node.expect(r"^\[:00000002\] dependent runs: hello$", SOON);
    let warning =
        r"^module /.*/dependent\.so depends on /.*/libskynet.*, a second core beside this one";
    // Once on stderr and once in the log, which come by different ways.
    node.expect(warning, SOON);
    node.expect(
        r"^\[:00000000\] module /.*, a second core beside this one",
        SOON,
    );
    assert_eq!(node.count("a second core"), 2, "{}", node.report());
    node.stop();
}
