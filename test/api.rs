//! Runs the conformance programs of `test/api` (see `harness.h` there): C services that use the core
//! the way compiled projects do, and say what they find.
//!
//! `SKYNET_NODE` is the folder with the executable `skynet` (default: the package root, where `make`
//! leaves it); the services are compiled against `include/`. With `SKYNET_UPSTREAM` naming a built
//! tree of upstream, the same services are compiled against its headers and run by its executable:
//! what they expect is what it does.

use std::fs;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/test/api");

/// Longer than any group takes on a busy machine. Nobody waits this long unless a test fails.
const LONG: Duration = Duration::from_secs(120);

/// A core and the services compiled for it.
struct Subject {
    executable: PathBuf,
    /// Where the services are, and where runs may leave files.
    dir: PathBuf,
}

/// This package's node.
fn ours() -> &'static Subject {
    static OURS: OnceLock<Subject> = OnceLock::new();
    OURS.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let node = std::env::var_os("SKYNET_NODE").map_or(root.to_owned(), PathBuf::from);
        let head = skynet::core::API_HEAD;
        Subject::new("ours", node.join("skynet"), head, &[root.join("include")])
    })
}

/// Upstream's, if there is one.
fn upstream() -> Option<&'static Subject> {
    static UPSTREAM: OnceLock<Option<Subject>> = OnceLock::new();
    let build = || {
        let tree = PathBuf::from(std::env::var_os("SKYNET_UPSTREAM")?);
        let headers = tree.join("skynet-src");
        let head = headers.join("mem_info.h").exists();
        let include = [headers, tree.join("3rd/lua")];
        Some(Subject::new(
            "upstream",
            tree.join("skynet"),
            head,
            &include,
        ))
    };
    UPSTREAM.get_or_init(build).as_ref()
}

impl Subject {
    fn new(name: &str, executable: PathBuf, head: bool, include: &[PathBuf]) -> Subject {
        assert!(
            executable.exists(),
            "{} is not there; make builds it",
            executable.display()
        );
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("api-{name}"));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(dir.join("logs")).unwrap();
        // As much of Lua as malloc_hook.h needs, for when nobody built one.
        fs::write(dir.join("lua.h"), "typedef struct lua_State lua_State;\n").unwrap();
        let subject = Subject { executable, dir };

        let cases = fs::read_dir(SOURCES)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut driver: Vec<String> = cases.filter(|name| name.starts_with("cases_")).collect();
        driver.extend(["apitest.c".into(), "heap.c".into()]);
        let compile = |module: &str, sources: &[String], define: &str| {
            let mut cc = Command::new(std::env::var("CC").unwrap_or_else(|_| "cc".into()));
            cc.args([
                "-std=gnu11",
                "-g",
                "-O1",
                "-fno-builtin",
                "-Wall",
                "-Wextra",
            ])
            .args(["-Werror", "-Wno-format-security", "-shared", "-fPIC"])
            .args(["-pthread", define])
            .arg(format!("-DSKYNET_API_HEAD={}", u8::from(head)));
            for path in include {
                cc.arg("-I").arg(path);
            }
            cc.arg("-I").arg(&subject.dir);
            cc.arg("-o").arg(subject.dir.join(format!("{module}.so")));
            cc.args(sources.iter().map(|name| format!("{SOURCES}/{name}")));
            let done = cc.output().expect("a C compiler");
            let errors = String::from_utf8_lossy(&done.stderr);
            assert!(done.status.success(), "{cc:?}\n{errors}");
        };
        compile("apitest", &driver, "-DAPITEST");
        compile("agent", &["agent.c".into()], "-DAGENT");
        compile("apilog", &["apilog.c".into()], "-DAPILOG");
        for (module, define) in [
            ("nocreate", "-DNOCREATE"),
            ("noinit", "-DNOINIT"),
            ("nullcreate", "-DNULLCREATE"),
            ("some.othername", "-DOTHERNAME"),
        ] {
            compile(module, &["modules.c".into()], define);
        }
        subject
    }

    /// Runs a node to its end. `name` is for files, `settings` override the usual ones.
    fn run(&self, name: &str, settings: &[(&str, &str)]) -> Run {
        let dir = self.dir.display();
        let mut text = format!(
            "thread = 4\nharbor = 0\ncpath = \"{dir}/?.so\"\nlogservice = \"apilog\"\n\
             logpath = \"{dir}/logs\"\ncase_from_config = \"a value\"\n"
        );
        // As in `common`: counters begin just below their limits.
        if self.dir.ends_with("api-ours")
            && std::env::var_os("SKYNET_TEST_WRAP").is_some_and(|value| value == "1")
        {
            text += "sk_debug_wrap = true\n";
        }
        for (key, value) in settings {
            text += &format!("{key} = {value}\n");
        }
        let config = self.dir.join(format!("{name}.config"));
        fs::write(&config, text).unwrap();
        let mut child = Guard(
            Command::new(&self.executable)
                .arg(&config)
                .current_dir(&self.dir)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap(),
        );
        let mut out = child.0.stdout.take().unwrap();
        let mut err = child.0.stderr.take().unwrap();
        let out = std::thread::spawn(move || read(&mut out));
        let err = std::thread::spawn(move || read(&mut err));
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = child.0.try_wait().unwrap() {
                break Some(status);
            }
            if begin.elapsed() > LONG {
                child.0.kill().unwrap();
                break None;
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        Run {
            status,
            out: out.join().unwrap(),
            err: err.join().unwrap(),
        }
    }

    /// Runs a group of cases, none of which may fail.
    fn group(&self, name: &str, settings: &[(&str, &str)]) -> Run {
        let bootstrap = format!("\"apitest {name}\"");
        let mut all = vec![("bootstrap", bootstrap.as_str())];
        all.extend(settings);
        let run = self.run(name, &all);
        let passed = run
            .out
            .lines()
            .filter(|line| line.contains(&format!("] PASS {name}.")))
            .count();
        let summary = format!("] apitest {name}: {passed} passed, 0 failed\n");
        assert!(
            passed > 0 && run.out.contains(&summary) && run.code() == Some(0),
            "{run}"
        );
        run
    }
}

/// Kills the node when the test ends before it.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn read(from: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What a node did.
struct Run {
    /// None when it had to be killed.
    status: Option<ExitStatus>,
    out: String,
    err: String,
}

impl Run {
    fn code(&self) -> Option<i32> {
        self.status.and_then(|status| status.code())
    }

    fn signal(&self) -> Option<i32> {
        self.status.and_then(|status| status.signal())
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A failed check is near the end; groups that send much print much.
        let tail = self.out.len().saturating_sub(20_000);
        let tail = self.out.ceil_char_boundary(tail);
        let (out, err) = (&self.out[tail..], &self.err);
        writeln!(f, "{:?}\n--- stdout\n{out}\n--- stderr\n{err}", self.status)
    }
}

/// The same test for both subjects.
macro_rules! on_both {
    ($($name:ident($subject:ident) $body:block)*) => {
        mod ours {
            $(#[test] fn $name() { super::$name(super::ours()); })*
        }
        mod upstream {
            $(#[test] fn $name() {
                match super::upstream() {
                    Some(subject) => super::$name(subject),
                    None => println!("skipped: SKYNET_UPSTREAM is not set"),
                }
            })*
        }
        $(fn $name($subject: &Subject) $body)*
    };
}

/// What skynetx.h adds.
#[test]
fn additions() {
    ours().group("timerx", &[]);
}

on_both! {
    command(on) {
        on.group("command", &[]);
    }
    send(on) {
        on.group("send", &[]);
    }
    launch(on) {
        let run = on.group("launch", &[]);
        // The only thing said about a module that is not found, and not in the log.
        assert!(run.err.contains("try open no_such_module failed : "), "{run}");
    }
    error(on) {
        on.group("error", &[]);
    }
    timer(on) {
        on.group("timer", &[]);
    }
    harbor(on) {
        on.group("harbor", &[("harbor", "1")]);
    }
    memory(on) {
        let run = on.group("memory", &[]);
        let line = run.err.lines().find(|line| line.contains("] apitest debug "));
        let (handle, bytes) = line.unwrap().split_once("] apitest debug ").unwrap();
        assert!(handle.len() == 10 && handle.starts_with("[:"), "{run}");
        assert!(bytes == "(nil)" || bytes.starts_with("0x"), "{run}");
    }
    msglog(on) {
        on.group("msglog", &[]);
    }
    endless(on) {
        on.group("endless", &[]);
    }

    core(on) {
        on.group("core", &[]);
    }

    // What the settings switch off.
    plain(on) {
        on.group("plain", &[("profile", "1"), ("logpath", "nil")]);
    }

    violations_abort(on) {
        for what in ["setenv-twice", "setenv-twice-c", "allocsession-with-session",
                     "remote-without-harbor"] {
            let bootstrap = format!("\"apitest {what}\"");
            let run = on.run(what, &[("bootstrap", &bootstrap), ("harbor", "1")]);
            assert!(run.signal() == Some(6) && !run.err.contains("still alive"), "{what}: {run}");
        }
    }

    the_last_service_ends_the_process(on) {
        for what in ["exit", "retireall", "register"] {
            let run = on.run(what, &[("bootstrap", &format!("\"apitest {what}\""))]);
            assert!(run.code() == Some(0), "{what}: {run}");
        }
    }

    bootstrap_failures(on) {
        for bootstrap in ["noinit", "noinit some  text", "no_such_module", "nullcreate x", "agent x"] {
            let quoted = format!("\"{bootstrap}\"");
            let run = on.run("bootstrap", &[("bootstrap", &quoted)]);
            let line = format!("[:00000000] Bootstrap error : {bootstrap}\n\n");
            assert!(run.code() == Some(1) && run.out.contains(&line), "{bootstrap}: {run}");
        }
    }

    log_service_failures(on) {
        for service in ["noinit", "no_such_module"] {
            let quoted = format!("\"{service}\"");
            let run = on.run("logservice", &[("logservice", &quoted), ("bootstrap", "\"apitest x\"")]);
            let line = format!("Can't launch {service} service");
            assert!(run.code() == Some(1) && run.err.contains(&line), "{service}: {run}");
        }
    }
}
