//! A child process that a test can read, feed and wait for, and that never outlives its test.
//!
//! Every wait has a limit; the process runs in a group of its own that is killed with the value, and
//! the kernel kills it when the test itself dies. What it prints is collected line by line.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::ops::{Deref, DerefMut};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use regex::Regex;

use super::{Entry, Stage, log};

/// Where a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    Out,
    Err,
    /// The log file of a node.
    Log,
}

#[derive(Clone, Debug)]
pub struct Line {
    pub from: From,
    pub text: String,
}

#[derive(Default)]
struct Lines {
    all: Vec<Line>,
    /// Sources that can still deliver lines.
    open: usize,
}

/// The lines so far, shared by the reading threads and the test.
#[derive(Default)]
struct Output {
    lines: Mutex<Lines>,
    changed: Condvar,
}

impl Output {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn push(&self, from: From, text: &[u8]) {
        let text = String::from_utf8_lossy(text).into_owned();
        self.lock().all.push(Line { from, text });
        self.changed.notify_all();
    }

    fn close(&self) {
        self.lock().open -= 1;
        self.changed.notify_all();
    }
}

/// A running or ended child.
pub struct Process {
    name: String,
    child: Child,
    status: Option<ExitStatus>,
    stdin: Option<ChildStdin>,
    output: Arc<Output>,
    /// Tells the thread that follows the log file to finish.
    ended: Arc<AtomicBool>,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    /// Starts `command` with its streams read by us; `log` names a file to follow besides.
    pub fn start(name: &str, mut command: Command, log: Option<PathBuf>) -> Process {
        command
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // SAFETY: the closure runs between fork and exec and only calls prctl, setrlimit and signal, which
        // are plain system calls there.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                let none = libc::rlimit {
                    rlim_cur: 0,
                    rlim_max: 0,
                };
                libc::setrlimit(libc::RLIMIT_CORE, &none);
                // Whoever runs the tests, nohup for one, may ignore signals, which children inherit.
                for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGTERM] {
                    libc::signal(signal, libc::SIG_DFL);
                }
                Ok(())
            });
        }
        let mut child = command
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {:?}: {e}", command.get_program()));

        let output = Arc::new(Output::default());
        let ended = Arc::new(AtomicBool::new(false));
        let mut readers = Vec::new();
        let mut read = |from: From, stream: Box<dyn Read + Send>| {
            let output = output.clone();
            output.lock().open += 1;
            readers.push(thread::spawn(move || {
                read_lines(from, stream, &output);
                output.close();
            }));
        };
        read(From::Out, Box::new(child.stdout.take().expect("piped")));
        read(From::Err, Box::new(child.stderr.take().expect("piped")));
        if let Some(path) = log {
            let (output, ended) = (output.clone(), ended.clone());
            output.lock().open += 1;
            readers.push(thread::spawn(move || {
                follow(&path, &ended, &output);
                output.close();
            }));
        }
        Process {
            name: name.to_owned(),
            stdin: child.stdin.take(),
            child,
            status: None,
            output,
            ended,
            readers,
        }
    }

    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Sends a signal to the process (not to its group).
    pub fn signal(&self, number: i32) {
        // SAFETY: kill takes numbers only; the child has not been waited for while `status` is None,
        // so its pid is still its own.
        let sent = self.status.is_none() && unsafe { libc::kill(self.pid(), number) } == 0;
        assert!(sent, "{}: cannot send signal {number}", self.name);
    }

    /// Writes a line to the standard input.
    pub fn type_line(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("stdin is open");
        writeln!(stdin, "{line}").unwrap_or_else(|e| panic!("{}: stdin: {e}", self.name));
    }

    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// The lines so far.
    pub fn lines(&self) -> Vec<Line> {
        self.output.lock().all.clone()
    }

    /// The lines of one source, as text.
    pub fn lines_from(&self, from: From) -> Vec<String> {
        let lines = self.output.lock();
        lines
            .all
            .iter()
            .filter(|l| l.from == from)
            .map(|l| l.text.clone())
            .collect()
    }

    /// All lines as one text.
    pub fn text(&self) -> String {
        let lines = self.output.lock();
        lines.all.iter().map(|l| format!("{}\n", l.text)).collect()
    }

    /// Number of lines that match.
    pub fn count(&self, pattern: &str) -> usize {
        let regex = regex(pattern);
        self.output
            .lock()
            .all
            .iter()
            .filter(|l| regex.is_match(&l.text))
            .count()
    }

    /// Waits until `count` lines match `pattern`.
    pub fn wait_count(
        &mut self,
        pattern: &str,
        count: usize,
        limit: Duration,
    ) -> Result<(), String> {
        let regex = regex(pattern);
        let end = Instant::now() + limit;
        let (mut seen, mut found) = (0, 0);
        let output = self.output.clone();
        let why = loop {
            // Noted before looking: what an ended process wrote has been read by then.
            let ended = self.wait_exit(Duration::ZERO).is_some() && output.lock().open == 0;
            let lines = output.lock();
            found += lines.all[seen..]
                .iter()
                .filter(|l| regex.is_match(&l.text))
                .count();
            seen = lines.all.len();
            if found >= count {
                return Ok(());
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break format!("not within {limit:?}");
            }
            if ended {
                break "the process has ended".to_owned();
            }
            // Short naps, because the end of a process does not wake us.
            let nap = left.min(Duration::from_millis(100));
            drop(output.changed.wait_timeout(lines, nap));
        };
        Err(format!(
            "{}: {found} of {count} lines match /{pattern}/: {why}\n{}",
            self.name,
            self.report()
        ))
    }

    /// Waits for a line that matches and returns the first one.
    #[track_caller]
    pub fn expect(&mut self, pattern: &str, limit: Duration) -> String {
        if let Err(e) = self.wait_count(pattern, 1, limit) {
            panic!("{e}");
        }
        let regex = regex(pattern);
        let lines = self.output.lock();
        let line = lines.all.iter().find(|l| regex.is_match(&l.text));
        line.expect("it was just there").text.clone()
    }

    /// Waits for `count` matching lines.
    #[track_caller]
    pub fn expect_count(&mut self, pattern: &str, count: usize, limit: Duration) {
        if let Err(e) = self.wait_count(pattern, count, limit) {
            panic!("{e}");
        }
    }

    /// The exit status if the process ends within the limit.
    pub fn wait_exit(&mut self, limit: Duration) -> Option<ExitStatus> {
        let end = Instant::now() + limit;
        loop {
            if self.status.is_none() {
                self.status = self.child.try_wait().expect("wait for a child");
            }
            if self.status.is_some() {
                self.finish_reading();
                return self.status;
            }
            if Instant::now() >= end {
                return None;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for the end; anything else is a failure.
    #[track_caller]
    pub fn expect_exit(&mut self, limit: Duration) -> ExitStatus {
        match self.wait_exit(limit) {
            Some(status) => status,
            None => panic!(
                "{}: still running after {limit:?}\n{}\n{}",
                self.name,
                self.report(),
                self.backtraces()
            ),
        }
    }

    /// Waits for the end and checks the exit code.
    #[track_caller]
    pub fn expect_code(&mut self, code: i32, limit: Duration) {
        let status = self.expect_exit(limit);
        assert_eq!(
            status.code(),
            Some(code),
            "{}: signal {:?}\n{}",
            self.name,
            status.signal(),
            self.report()
        );
    }

    /// Ends the process at once, if it has not ended, and collects what it still printed.
    pub fn stop(&mut self) {
        if self.status.is_none() {
            // SAFETY: kill takes numbers only; the leader has not been waited for, so the group is
            // still ours.
            unsafe { libc::kill(-self.pid(), libc::SIGKILL) };
            self.status = self.child.wait().ok();
        }
        self.finish_reading();
    }

    fn finish_reading(&mut self) {
        self.ended.store(true, Ordering::Release);
        // A descendant that left the group may hold a pipe open: do not wait for it. Naps are counted, so that
        // the readers had their turns however slow the machine is.
        let mut naps = 2000;
        for reader in self.readers.drain(..) {
            while !reader.is_finished() && naps > 0 {
                thread::sleep(Duration::from_millis(1));
                naps -= 1;
            }
            if reader.is_finished() {
                reader
                    .join()
                    .expect("the reader of a stream does not panic");
            }
        }
    }

    /// What a failure report shows: the last lines of every source.
    pub fn report(&self) -> String {
        const LAST: usize = 60;
        let lines = self.output.lock();
        let skip = lines.all.len().saturating_sub(LAST);
        let mut text = format!("--- {} ---\n", self.name);
        if skip > 0 {
            text += &format!("({skip} lines left out)\n");
        }
        for line in &lines.all[skip..] {
            text += &format!("{:?}: {}\n", line.from, line.text);
        }
        text + "---"
    }

    /// Where every thread of the process is, if there is a debugger to ask.
    pub fn backtraces(&self) -> String {
        let mut gdb = Command::new("gdb");
        gdb.args(["-nx", "-batch", "-iex", "set debuginfod enabled off"])
            .args(["-ex", "thread apply all backtrace 20", "-p"])
            .arg(self.pid().to_string())
            // Modules are known by relative paths.
            .current_dir(format!("/proc/{}/cwd", self.pid()))
            .stdin(Stdio::null());
        match gdb.output() {
            Ok(told) => String::from_utf8_lossy(&told.stdout).into_owned(),
            Err(e) => format!("no backtraces: gdb: {e}"),
        }
    }

    /// Nothing in the output may look like the end of a Rust program that gave up.
    #[track_caller]
    pub fn expect_no_panic(&self) {
        for mark in ["panicked at", "RUST_BACKTRACE", "fatal runtime error"] {
            assert!(
                !self.text().contains(mark),
                "{} panicked\n{}",
                self.name,
                self.report()
            );
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).unwrap_or_else(|e| panic!("{e}"))
}

fn read_lines(from: From, stream: impl Read, output: &Output) {
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader.read_until(b'\n', &mut line) {
            Ok(0) => return,
            Ok(_) => output.push(from, line.strip_suffix(b"\n").unwrap_or(&line)),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// Reads a growing file until told that its writer has ended. Only complete lines count until then.
fn follow(path: &Path, ended: &AtomicBool, output: &Output) {
    let mut file = None;
    let mut pending = Vec::new();
    loop {
        // Looked at before reading: what was written before the end is seen by the last round.
        let last = ended.load(Ordering::Acquire);
        if file.is_none() {
            file = File::open(path).ok();
        }
        if let Some(file) = &mut file {
            // A read error would show as missing lines.
            let _ = file.read_to_end(&mut pending);
        }
        let complete = match pending.iter().rposition(|b| *b == b'\n') {
            _ if last => pending.len(),
            Some(at) => at + 1,
            None => 0,
        };
        let rest = pending.split_off(complete);
        let mut text = &pending[..];
        while !text.is_empty() {
            let end = text.iter().position(|b| *b == b'\n').unwrap_or(text.len());
            output.push(From::Log, &text[..end]);
            text = text.get(end + 1..).unwrap_or_default();
        }
        pending = rest;
        if last {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// A node: the executable of a stage's tree with a configuration.
///
/// Its log goes to the file `node.log` of the stage, apart from what services print, unless the
/// configuration says `logger = nil`.
pub struct Node(Process);

/// Settings that a test may overrule by assigning them again.
const BASE: &str = r#"thread = 4
harbor = 0
logger = "./node.log"
start = "main"
"#;

/// What every node of the tests has in its config, unless it says otherwise later on. Tests of absolute
/// numbers say `sk_debug_wrap = nil`.
fn base(stage: &Stage) -> String {
    let wrap = super::wrap_counters() && !stage.tree.is_upstream();
    let key = if wrap { "sk_debug_wrap = true\n" } else { "" };
    format!("{BASE}{key}")
}

impl Node {
    /// Starts a node; `config` is appended to the common settings.
    pub fn start(stage: &Stage, config: &str) -> Node {
        stage.write("config", &format!("{}{config}\n", base(stage)));
        Node::start_args(stage, &["config"])
    }

    /// The same, with a last change of the command.
    pub fn start_changed(stage: &Stage, config: &str, change: impl FnOnce(&mut Command)) -> Node {
        stage.write("config", &format!("{}{config}\n", base(stage)));
        Node::start_with(stage, &["config"], change)
    }

    /// Starts a node with a command line of its own, in the directory of the stage.
    pub fn start_args(stage: &Stage, args: &[&str]) -> Node {
        Node::start_with(stage, args, |_| ())
    }

    /// Starts another node in the same directory, with files of its own: it logs to `<name>.log`.
    pub fn start_beside(stage: &Stage, name: &str, config: &str) -> Node {
        let log = format!("{name}.log");
        let settings = format!("{}logger = './{log}'\n{config}\n", base(stage));
        stage.write(&format!("{name}.config"), &settings);
        let mut command = Command::new(&stage.tree.bin);
        command
            .arg(format!("{name}.config"))
            .current_dir(stage.path());
        Node(Process::start(name, command, Some(stage.file(&log))))
    }

    /// The same, with a last change of the command, of its environment for instance.
    pub fn start_with(stage: &Stage, args: &[&str], change: impl FnOnce(&mut Command)) -> Node {
        let mut command = Command::new(&stage.tree.bin);
        command.args(args).current_dir(stage.path());
        change(&mut command);
        Node(Process::start(
            &stage.tree.name,
            command,
            Some(stage.file("node.log")),
        ))
    }

    /// The log so far: of the log file, or of the standard output when nothing went to the file.
    pub fn log(&self) -> Vec<Entry> {
        let mut lines = self.lines_from(From::Log);
        if lines.is_empty() {
            lines = self.lines_from(From::Out);
        }
        log::entries(&lines)
    }
}

impl Deref for Node {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.0
    }
}

impl DerefMut for Node {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.0
    }
}
