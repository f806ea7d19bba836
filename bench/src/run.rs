//! One run of one workload on one subject: a directory, a config file, a process, its results.
//!
//! Nothing here waits without a limit; a process that goes beyond it is killed.

use std::fmt::Write;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::load::{self, Load, Target};
use crate::subject::{self, Subject};
use crate::workload::{Kind, Measured, Workload};

pub struct Run<'a> {
    pub workload: &'a Workload,
    pub subject: &'a Subject,
    pub threads: u32,
    pub scale: f64,
    pub limit: Duration,
    /// Free for the node to listen on.
    pub port: u16,
}

pub enum Outcome {
    /// A value for each measure of the workload.
    Results(Vec<Value>),
    /// The subject does not have what the workload measures.
    Skipped(String),
    /// What went wrong, with the end of what the node printed and logged.
    Failed(String),
}

#[derive(Debug, PartialEq)]
pub struct Value {
    pub name: String,
    pub value: f64,
    pub unit: String,
}

impl Value {
    /// From a line `RESULT name value unit`.
    fn parse(line: &str) -> Option<Value> {
        let mut words = line.strip_prefix("RESULT ")?.split_whitespace();
        let value = Value {
            name: words.next()?.to_owned(),
            value: words.next()?.parse().ok().filter(|v: &f64| v.is_finite())?,
            unit: words.next()?.to_owned(),
        };
        words.next().is_none().then_some(value)
    }

    pub fn new(name: &str, value: f64, unit: &str) -> Value {
        Value {
            name: name.to_owned(),
            value,
            unit: unit.to_owned(),
        }
    }
}

impl Run<'_> {
    /// Runs it; `work` is a directory of the driver's own.
    pub fn go(&self, work: &Path) -> Outcome {
        match self.try_go(work) {
            Ok(outcome) => outcome,
            Err(why) => Outcome::Failed(why),
        }
    }

    fn try_go(&self, work: &Path) -> Result<Outcome, String> {
        let dir = tempfile::tempdir_in(work).map_err(|e| format!("a directory: {e}"))?;
        let modules = match self.workload.kind {
            Kind::C => self.subject.compile(self.workload.program, work)?,
            Kind::Lua => dir.path().to_owned(),
        };
        let config = dir.path().join("config");
        if let Measured::Loaded(_) = self.workload.measured {
            load::raise_limit();
        }
        fs::write(&config, self.config(&modules))
            .map_err(|e| format!("{}: {e}", config.display()))?;
        let mut node = Node::start(&self.subject.bin, dir.path(), self.limit)?;
        let measured = match self.workload.measured {
            Measured::Inside => node.finish(),
            Measured::Watched => self.watch(&mut node),
            Measured::StartStop => start_stop(&mut node),
            Measured::Loaded(load) => self.load(&mut node, load),
        };
        drop_quietly(&mut node.child);
        let failed = |why: String| {
            let log = fs::read_to_string(dir.path().join("node.log")).unwrap_or_default();
            format!(
                "{why}\n--- printed\n{}\n--- logged\n{}\n---",
                tail(&node.printed),
                tail(&log.lines().map(str::to_owned).collect::<Vec<_>>())
            )
        };
        measured.map_err(failed)?;
        if let Some(why) = node.skipped {
            return Ok(Outcome::Skipped(why));
        }
        for measure in self.workload.measures {
            let found = node
                .results
                .iter()
                .filter(|r| r.name == measure.name && r.unit == measure.unit)
                .count();
            if found != 1 {
                let why = format!("{found} results {} in {}", measure.name, measure.unit);
                return Err(failed(why));
            }
        }
        Ok(Outcome::Results(node.results))
    }

    fn config(&self, modules: &Path) -> String {
        let tree = self.subject.tree.display();
        let sources = subject::sources();
        let sources = sources.display();
        let program = self.workload.program;
        let mut text = format!("thread = {}\nharbor = 0\n", self.threads);
        let mut set = |key: &str, value: &str| {
            // Lua's quotes and escapes are Rust's.
            writeln!(text, "{key} = {value:?}").expect("a String takes all");
        };
        set("logger", "./node.log");
        match self.workload.kind {
            Kind::C => set("bootstrap", &format!("{program} main")),
            Kind::Lua => {
                set("bootstrap", "snlua bootstrap");
                set("start", program);
            }
        }
        set(
            "cpath",
            &format!("{tree}/cservice/?.so;{}/?.so", modules.display()),
        );
        set(
            "luaservice",
            &format!("{sources}/?.lua;{tree}/service/?.lua"),
        );
        set("lualoader", &format!("{tree}/lualib/loader.lua"));
        set(
            "lua_path",
            &format!("{sources}/?.lua;{tree}/lualib/?.lua;{tree}/lualib/?/init.lua"),
        );
        set("lua_cpath", &format!("{tree}/luaclib/?.so"));
        for (key, value) in self.workload.settings {
            set(key, &value.to_string());
        }
        set("count", &self.workload.count(self.scale).to_string());
        set("port", &self.port.to_string());
        for (key, value) in &self.subject.settings {
            set(key, value);
        }
        text
    }

    /// Looks at the process while it does nothing.
    fn watch(&self, node: &mut Node) -> Result<(), String> {
        node.expect("READY")?;
        // What the start left behind settles.
        node.sleep(Duration::from_secs(1).mul_f64(self.scale.clamp(0.1, 1.0)))?;
        let id = node.child.id();
        let (before, begin) = (Usage::of(id)?, Instant::now());
        node.sleep(Duration::from_secs(self.workload.count(self.scale).into()))?;
        let (after, seconds) = (Usage::of(id)?, begin.elapsed().as_secs_f64());
        let switches = after.switches.saturating_sub(before.switches) as f64;
        let cpu = after.nanos.saturating_sub(before.nanos) as f64;
        node.results
            .push(Value::new("switches", switches / seconds, "/s"));
        node.results
            .push(Value::new("cpu", cpu / 1e6 / seconds, "ms/s"));
        Ok(())
    }
}

impl Run<'_> {
    /// Puts it under the load of clients, once it says that it listens.
    fn load(&self, node: &mut Node, load: Load) -> Result<(), String> {
        node.expect("READY")?;
        let target = Target {
            port: self.port,
            pid: node.child.id(),
            time: Duration::from_millis(self.workload.count(self.scale).into()),
            scale: self.scale,
        };
        let values = load::run(load, &target).map_err(|e| e.to_string())?;
        node.results.extend(values);
        Ok(())
    }
}

/// Takes the time from the start to the line STOPPING, and from there to the end of the process.
fn start_stop(node: &mut Node) -> Result<(), String> {
    let stopping = node.expect("STOPPING")?;
    node.finish()?;
    let ms = |from: Instant, to: Instant| to.duration_since(from).as_secs_f64() * 1e3;
    let (start, stop) = (ms(node.started, stopping), ms(stopping, Instant::now()));
    node.results.push(Value::new("start", start, "ms"));
    node.results.push(Value::new("stop", stop, "ms"));
    Ok(())
}

/// What a process has used so far, all threads together.
#[derive(Debug, Default, PartialEq)]
pub struct Usage {
    switches: u64,
    pub nanos: u64,
}

impl Usage {
    pub fn of(id: u32) -> Result<Usage, String> {
        let mut usage = Usage::default();
        let tasks = format!("/proc/{id}/task");
        for task in fs::read_dir(&tasks).map_err(|e| format!("{tasks}: {e}"))? {
            let task = task.map_err(|e| format!("{tasks}: {e}"))?.path();
            // A thread may end between the two.
            let Ok(status) = fs::read_to_string(task.join("status")) else {
                continue;
            };
            let schedstat = task.join("schedstat");
            let schedstat = fs::read_to_string(&schedstat)
                .map_err(|e| format!("{}: {e}", schedstat.display()))?;
            usage.add(&status, &schedstat);
        }
        Ok(usage)
    }

    /// Adds a thread: the text of its `status` and `schedstat`.
    fn add(&mut self, status: &str, schedstat: &str) {
        for line in status.lines() {
            if let Some((name, value)) = line.split_once(':')
                && name.ends_with("voluntary_ctxt_switches")
            {
                self.switches += value.trim().parse::<u64>().unwrap_or(0);
            }
        }
        let on_cpu = schedstat.split_whitespace().next();
        self.nanos += on_cpu.and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    }
}

/// A running node and what it has printed.
struct Node {
    child: Child,
    started: Instant,
    limit: Duration,
    lines: Receiver<Line>,
    printed: Vec<String>,
    results: Vec<Value>,
    skipped: Option<String>,
}

struct Line {
    text: String,
    at: Instant,
}

impl Node {
    fn start(bin: &Path, dir: &Path, limit: Duration) -> Result<Node, String> {
        let started = Instant::now();
        let mut child = Command::new(bin)
            .arg("config")
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| format!("{}: {e}", bin.display()))?;
        let (send, lines) = channel();
        if let Some(out) = child.stdout.take() {
            read(out, send.clone());
        }
        if let Some(err) = child.stderr.take() {
            read(err, send);
        }
        Ok(Node {
            child,
            started,
            limit,
            lines,
            printed: Vec::new(),
            results: Vec::new(),
            skipped: None,
        })
    }

    /// The next line, None when it will print no more, until `end` at the latest.
    fn next(&mut self, end: Instant) -> Result<Option<Line>, RecvTimeoutError> {
        match self
            .lines
            .recv_timeout(end.saturating_duration_since(Instant::now()))
        {
            Ok(line) => {
                self.printed.push(line.text.clone());
                if let Some(value) = Value::parse(&line.text) {
                    self.results.push(value);
                } else if let Some(why) = line.text.strip_prefix("SKIPPED ") {
                    self.skipped = Some(why.to_owned());
                }
                Ok(Some(line))
            }
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(timeout) => Err(timeout),
        }
    }

    fn end(&self) -> Instant {
        self.started + self.limit
    }

    fn too_long(&self) -> String {
        format!("not done after {:?}", self.limit)
    }

    /// Waits for a line; when it was printed.
    fn expect(&mut self, text: &str) -> Result<Instant, String> {
        loop {
            match self.next(self.end()) {
                Ok(Some(line)) if line.text == text => return Ok(line.at),
                Ok(Some(_)) => {}
                Ok(None) => return Err(format!("it ended without the line {text}")),
                Err(_) => return Err(self.too_long()),
            }
        }
    }

    /// Lets it run for a while.
    fn sleep(&mut self, time: Duration) -> Result<(), String> {
        let end = Instant::now() + time;
        loop {
            match self.next(end) {
                Ok(Some(_)) => {}
                Ok(None) => return Err("it ended by itself".to_owned()),
                Err(_) => return Ok(()),
            }
        }
    }

    /// Waits until it has ended by itself, and well.
    fn finish(&mut self) -> Result<(), String> {
        while self
            .next(self.end())
            .map_err(|_| self.too_long())?
            .is_some()
        {}
        let status = self.wait()?;
        match status.success() {
            true => Ok(()),
            false => Err(format!("it ended with {status}")),
        }
    }

    /// Its streams are closed, so it ends now or hangs.
    fn wait(&mut self) -> Result<ExitStatus, String> {
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) if Instant::now() > self.end() => return Err(self.too_long()),
                Ok(None) => thread::sleep(Duration::from_micros(200)),
                Err(e) => return Err(format!("waiting for it: {e}")),
            }
        }
    }
}

/// Ends a process that may have ended.
fn drop_quietly(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// Reads lines in a thread of its own, which ends with the stream.
fn read(stream: impl Read + Send + 'static, lines: Sender<Line>) {
    thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut bytes = Vec::new();
        while stream.read_until(b'\n', &mut bytes).is_ok_and(|n| n > 0) {
            let line = Line {
                text: String::from_utf8_lossy(&bytes).trim_end().to_owned(),
                at: Instant::now(),
            };
            bytes.clear();
            // Who does not listen any more has seen enough.
            if lines.send(line).is_err() {
                return;
            }
        }
    });
}

/// The last lines.
fn tail(lines: &[String]) -> String {
    lines[lines.len().saturating_sub(30)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_whole_lines() {
        let value = Value::parse("RESULT rate 1.5e6 msg/s");
        assert_eq!(value, Some(Value::new("rate", 1.5e6, "msg/s")));
        for broken in [
            "RESULT rate 1.5e6",
            "RESULT rate nan msg/s",
            "RESULT rate x msg/s",
            "RESULT rate 1 msg/s more",
            "result rate 1 msg/s",
            "",
        ] {
            assert_eq!(Value::parse(broken), None, "{broken}");
        }
    }

    #[test]
    fn usage_is_the_sum_of_the_threads() {
        let mut usage = Usage::default();
        let status = "Name:\tx\nvoluntary_ctxt_switches:\t7\nnonvoluntary_ctxt_switches:\t2\n";
        usage.add(status, "1000 5 3\n");
        usage.add(status, "500 5 3\n");
        let sum = Usage {
            switches: 18,
            nanos: 1500,
        };
        assert_eq!(usage, sum);
    }
}
