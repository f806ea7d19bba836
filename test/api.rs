//! Runs the conformance programs of `test/api` (see `harness.h` there): C services that use the core
//! the way compiled projects do, and say what they find.
//!
//! `SKYNET_NODE` is the folder with the executable `skynet` (default: the package root, where `make`
//! leaves it); the services are compiled against `include/`. With `SKYNET_UPSTREAM` naming a built
//! tree of upstream, the same services are compiled against its headers and run by its executable:
//! what they expect is what it does.
//!
//! With `SKYNET_ASAN` set (`make asan` does it) everything in C is compiled with AddressSanitizer, which
//! then watches the whole process; the executable has to be one that leaves malloc alone.

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

/// The exit code of a process in which AddressSanitizer found something.
const ASAN_FOUND: i32 = 86;

/// A core and the services compiled for it.
struct Subject {
    executable: PathBuf,
    /// Where the services are, and where runs may leave files.
    dir: PathBuf,
    /// Folders of the headers.
    include: Vec<PathBuf>,
    /// Its API level.
    head: bool,
    /// Whether the headers are held to what we promise of ours.
    strict: bool,
}

fn asan() -> bool {
    std::env::var_os("SKYNET_ASAN").is_some()
}

/// This package's node.
fn ours() -> &'static Subject {
    static OURS: OnceLock<Subject> = OnceLock::new();
    OURS.get_or_init(|| Subject::ours("ours", C))
}

/// What the cases are compiled as. They keep to C99; as C++, which they are not written in, they say
/// whether everything is declared and called as C there.
const C: &[&str] = &["-std=c99", "-Werror"];
const CXX: &[&str] = &["-xc++", "-std=gnu++20", "-fpermissive", "-w"];

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
            C,
        ))
    };
    UPSTREAM.get_or_init(build).as_ref()
}

impl Subject {
    /// This package's node, with `name` for the folder of its services.
    fn ours(name: &str, cases: &[&str]) -> Subject {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let node = std::env::var_os("SKYNET_NODE").map_or(root.to_owned(), PathBuf::from);
        let head = skynet::core::API_HEAD;
        let include = [root.join("include")];
        Subject::new(name, node.join("skynet"), head, &include, cases)
    }

    fn new(
        name: &str,
        executable: PathBuf,
        head: bool,
        include: &[PathBuf],
        cases: &[&str],
    ) -> Subject {
        assert!(
            executable.exists(),
            "{} is not there; make builds it",
            executable.display()
        );
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("api-{name}"));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        // As much of Lua as malloc_hook.h needs, for when nobody built one.
        fs::write(dir.join("lua.h"), "typedef struct lua_State lua_State;\n").unwrap();
        let subject = Subject {
            executable,
            dir,
            include: include.to_owned(),
            head,
            strict: name == "ours",
        };

        let sources = fs::read_dir(SOURCES)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut driver: Vec<String> = sources.filter(|name| name.starts_with("cases_")).collect();
        driver.extend(["apitest.c".into(), "heap.c".into()]);
        let compile = |module: &str, sources: &[String], define: &str| {
            let flags = [cases, &["-D_GNU_SOURCE", "-fno-builtin", define]].concat();
            subject.compile(&format!("{module}.so"), &flags, sources);
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

    /// Compiles files of `test/api` to a module.
    fn compile(&self, module: &str, flags: &[&str], sources: &[String]) {
        let out = self.dir.join(module);
        fs::create_dir_all(out.parent().unwrap()).unwrap();
        let mut cc = Command::new(std::env::var("CC").unwrap_or_else(|_| "cc".into()));
        cc.args(["-g", "-O1", "-Wall", "-Wextra", "-Wno-format-security"])
            .args(["-shared", "-fPIC", "-pthread"])
            .arg(format!("-DSKYNET_API_HEAD={}", u8::from(self.head)))
            .args(flags);
        if asan() {
            cc.args(["-fsanitize=address", "-fno-omit-frame-pointer"]);
        }
        for path in &self.include {
            cc.arg("-I").arg(path);
        }
        cc.arg("-I").arg(&self.dir).arg("-o").arg(out);
        cc.args(sources.iter().map(|name| format!("{SOURCES}/{name}")));
        cc.args(["-x", "none", "-lstdc++"]);
        let done = cc.output().expect("a C compiler");
        let errors = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{cc:?}\n{errors}");
    }

    /// Compiles the services of `test/api/third` into a folder, as the language says.
    fn compile_third(&self, folder: &str, language: &[&str]) {
        let mut strict = vec!["-pedantic", "-Werror"];
        strict.retain(|_| self.strict);
        for entry in fs::read_dir(format!("{SOURCES}/third")).unwrap() {
            let file = entry.unwrap().file_name().into_string().unwrap();
            let (module, kind) = file.rsplit_once('.').unwrap();
            let language: &[&str] = match kind {
                "cpp" => &["-std=c++11"],
                // Upstream's atomic.h is C++ only where it is not included as C.
                _ if module == "broker" && !self.strict => &[],
                _ => language,
            };
            let flags = [language, &strict].concat();
            self.compile(
                &format!("{folder}/{module}.so"),
                &flags,
                &[format!("third/{file}")],
            );
        }
    }

    /// Runs a node to its end. `name` is for files, `settings` override the usual ones.
    fn run(&self, name: &str, settings: &[(&str, &str)]) -> Run {
        let dir = self.dir.display();
        // Logs are appended to, and handles are the same in every run.
        fs::create_dir_all(self.dir.join("logs").join(name)).unwrap();
        let mut text = format!(
            "thread = 4\nharbor = 0\ncpath = \"{dir}/?.so\"\nlogservice = \"apilog\"\n\
             logpath = \"{dir}/logs/{name}\"\ncase_from_config = \"a value\"\n"
        );
        // The driver's one callback takes long; a line about it could come between those a case looks at.
        text += "sk_endless_seconds = 3600\n";
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
        let mut command = Command::new(&self.executable);
        command.arg(&config).current_dir(&self.dir);
        if asan() {
            let options =
                format!("exitcode={ASAN_FOUND}:detect_leaks=1:allocator_may_return_null=1");
            command.env("LD_PRELOAD", asan_libraries());
            command.env("ASAN_OPTIONS", options);
            command.env(
                "LSAN_OPTIONS",
                format!("suppressions={SOURCES}/leaks.supp:print_suppressions=0"),
            );
        }
        let mut child = Guard(
            command
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
        self.group_as(name, name, settings)
    }

    /// The same with a name of its own for files.
    fn group_as(&self, file: &str, name: &str, settings: &[(&str, &str)]) -> Run {
        let bootstrap = format!("\"apitest {name}\"");
        let mut all = vec![("bootstrap", bootstrap.as_str())];
        all.extend(settings);
        let run = self.run(file, &all);
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

impl Subject {
    /// Runs the cases of the services in a folder, then a node that logs to one of them.
    fn third(&self, folder: &str) {
        let dir = self.dir.display();
        let path = format!("\"{dir}/?.so;{dir}/{folder}/?.so\"");
        self.group_as(&format!("third-{folder}"), "third", &[("cpath", &path)]);

        const LINES: usize = 3000;
        let file = self.dir.join(format!("{folder}.log"));
        let run = self.run(
            &format!("xlog-{folder}"),
            &[
                ("cpath", &path),
                ("logservice", "\"xlog\""),
                ("logger", &format!("\"{}\"", file.display())),
                ("bootstrap", &format!("\"talker {LINES}\"")),
            ],
        );
        assert_eq!(run.code(), Some(0), "{run}");
        let log = fs::read_to_string(&file).unwrap();
        let talker = |line: &&str| line.contains(" line ");
        let got: Vec<&str> = log.lines().filter(talker).collect();
        assert_eq!(got.len(), LINES, "{log}");
        for (line, i) in got.into_iter().zip(1..) {
            let (source, text) = line.split_once(' ').unwrap();
            assert_eq!(source.len(), 8);
            assert_eq!(text, format!("line {i} {i:0$}", i % 400));
        }
        assert!(log.starts_with("began at 1\n"), "{log}");
    }
}

/// What has to be loaded before everything else so that AddressSanitizer sees all of a process.
fn asan_libraries() -> String {
    let find = |name: &str| {
        let cc = std::env::var("CC").unwrap_or_else(|_| "cc".into());
        let done = Command::new(cc)
            .arg(format!("-print-file-name={name}"))
            .output()
            .expect("a C compiler");
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    };
    // libstdc++ as well, or exceptions of C++ modules would find no function to wrap.
    format!("{} {}", find("libasan.so"), find("libstdc++.so"))
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
    ours().group("socketx", &[]);
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
        on.group("endless", &[("sk_endless_seconds", "5")]);
    }

    socket(on) {
        on.group("socket", &[]);
    }
    core(on) {
        on.group("core", &[]);
    }
    wrap(on) {
        on.group("wrap", &[]);
    }

    // Services as other projects write them, compiled as either language.
    third_c99(on) {
        on.compile_third("c99", &["-std=c99", "-D_GNU_SOURCE"]);
        on.third("c99");
    }
    third_cxx(on) {
        on.compile_third("cxx", &["-xc++", "-std=c++11"]);
        on.third("cxx");
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

#[test]
fn cases_as_cxx() {
    let on = Subject::ours("cxx", CXX);
    for group in [
        "command", "send", "launch", "error", "timer", "memory", "msglog", "socket", "core",
    ] {
        on.group(group, &[]);
    }
    on.group("harbor", &[("harbor", "1")]);
}

/// AddressSanitizer sees what services do with messages; otherwise its silence would say nothing.
mod asan {
    #[test]
    fn misuse_is_found() {
        if !super::asan() {
            println!("skipped: SKYNET_ASAN is not set");
            return;
        }
        let node = super::ours();
        node.compile("misuse.so", &["-std=c99"], &["misuse.c".into()]);
        for (what, code, found) in [
            ("nothing", 0, ""),
            ("late", super::ASAN_FOUND, "heap-use-after-free"),
            ("twice", super::ASAN_FOUND, "attempting double-free"),
            ("lost", super::ASAN_FOUND, "detected memory leaks"),
        ] {
            let bootstrap = format!("\"misuse {what}\"");
            let run = node.run(&format!("misuse-{what}"), &[("bootstrap", &bootstrap)]);
            assert!(
                run.code() == Some(code) && run.err.contains(found),
                "{what}: {run}"
            );
        }
    }
}
