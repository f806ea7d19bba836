//! Start, threads and stop of a node (core.md §2.6, §6.8, §6.9).

use crate::core::command;
use crate::core::context::{self, init_thread};
use crate::core::message::{Message, ptype};
use crate::core::monitor::WorkerMonitor;
use crate::core::node::NODE;
use crate::core::scheduler::worker_weight;
use crate::core::{ERROR_MARK, log, log_parts};
use crate::net;
use crate::sync::atomic::Ordering;
use crate::sys::{daemon, num, signal, stack};
use std::ffi::{CStr, CString};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Thread kinds (core.md §1.13(2)).
const THREAD_WORKER: i32 = 0;
const THREAD_MAIN: i32 = 1;
const THREAD_SOCKET: i32 = 2;
const THREAD_TIMER: i32 = 3;
const THREAD_MONITOR: i32 = 4;

/// The most worker threads a node can have.
pub const MAX_THREAD: i32 = 1024;

/// How often the monitor looks at the workers.
const MONITOR_PERIOD: Duration = Duration::from_secs(5);

/// What a node is started with: `struct skynet_config` (core.md §1.13).
pub struct Config {
    pub thread: i32,
    pub harbor: i32,
    pub profile: bool,
    /// Pid file; set means: run in the background.
    pub daemon: Option<CString>,
    pub module_path: CString,
    pub bootstrap: CString,
    pub logger: Option<CString>,
    pub logservice: CString,
}

/// Prepares what must exist before the first thread and the first service.
pub fn init() {
    NODE.initialised.store(true, Ordering::Release);
    init_thread(THREAD_MAIN);
}

impl Config {
    /// Reads the settings of core.md §2.4 from the environment store, and writes defaults back into it
    /// for the keys that are absent.
    pub fn from_env() -> Result<Config, Vec<u8>> {
        let thread = int(c"thread", 8);
        if !(1..=MAX_THREAD).contains(&thread) {
            return Err(
                format!("Invalid thread {thread} , should be in [1,{MAX_THREAD}]").into_bytes(),
            );
        }
        Ok(Config {
            thread,
            module_path: text(c"cpath", c"./cservice/?.so"),
            harbor: int(c"harbor", 1),
            bootstrap: text(c"bootstrap", c"snlua bootstrap"),
            daemon: NODE.env.get(c"daemon").map(CStr::to_owned),
            logger: NODE.env.get(c"logger").map(CStr::to_owned),
            logservice: text(c"logservice", c"logger"),
            profile: text(c"profile", c"true").as_c_str() == c"true",
        })
    }
}

fn text(key: &CStr, default: &CStr) -> CString {
    match NODE.env.get(key) {
        Some(value) => value.to_owned(),
        None => {
            command::set_env_once(key, default);
            default.to_owned()
        }
    }
}

fn int(key: &CStr, default: i32) -> i32 {
    match NODE.env.get(key) {
        Some(value) => num::strtol(value, 10) as i32,
        None => {
            let value = CString::new(default.to_string()).unwrap_or_default();
            command::set_env_once(key, &value);
            default
        }
    }
}

/// Runs a node until its last service is gone. The error is the line for the operator, empty when it
/// was printed already.
pub fn run(config: &Config) -> Result<(), Vec<u8>> {
    signal::watch_hangup().map_err(|error| format!("Can't watch SIGHUP: {error}").into_bytes())?;
    if let Some(pid_file) = &config.daemon {
        daemon::enter(pid_file)?;
    }
    let result = serve(config);
    if let Some(pid_file) = &config.daemon {
        let _ = daemon::leave(pid_file);
    }
    result
}

fn serve(config: &Config) -> Result<(), Vec<u8>> {
    NODE.harbor.set_node(config.harbor as u32);
    NODE.handles.set_node(config.harbor as u32);
    NODE.modules.set_path(&config.module_path);
    NODE.timer.start();
    net::start().map_err(|error| format!("Can't start the socket engine: {error}").into_bytes())?;
    NODE.profile.store(config.profile, Ordering::Relaxed);

    let Ok((logger, _)) = context::launch(&config.logservice, config.logger.as_deref()) else {
        let mut line = [b"Can't launch ", config.logservice.to_bytes(), b" service"].concat();
        if let Some(parm) = &config.logger {
            line.extend_from_slice(&[b" (logger = ", parm.to_bytes(), b")"].concat());
        }
        return Err(line);
    };
    let _ = NODE.handles.set_name(logger, c"logger");
    if !bootstrap(&config.bootstrap) {
        let whole = config.bootstrap.to_bytes();
        log_parts(0, &[b"Bootstrap error : ", whole, b"\n"]);
        if let Some(logger) = NODE.handles.grab(logger) {
            context::dispatch_all(&logger);
        }
        return Err(Vec::new());
    }
    threads(config.thread as usize)?;
    // The harbor service may still send on sockets while it ends, so sockets go last.
    NODE.harbor.release();
    net::stop();
    Ok(())
}

/// Launches the first service: a module name, blanks, and its parameter.
fn bootstrap(line: &CStr) -> bool {
    let line = line.to_bytes().trim_ascii_start();
    let end = line
        .iter()
        .position(u8::is_ascii_whitespace)
        .unwrap_or(line.len());
    let (Ok(name), Ok(parm)) = (
        CString::new(&line[..end]),
        CString::new(line[end..].trim_ascii_start()),
    ) else {
        return false;
    };
    context::launch(&name, Some(&parm)).is_ok()
}

fn spawn(
    name: String,
    kind: i32,
    body: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, Vec<u8>> {
    let run = move || {
        init_thread(kind);
        body();
    };
    thread::Builder::new()
        .name(name)
        .stack_size(stack::default_size())
        .spawn(run)
        .map_err(|error| format!("Create thread failed: {error}").into_bytes())
}

/// Starts every thread and waits for the end.
fn threads(workers: usize) -> Result<(), Vec<u8>> {
    let monitors: &'static [WorkerMonitor] =
        Box::leak((0..workers).map(|_| WorkerMonitor::new()).collect());
    let mut running = vec![
        spawn("monitor".into(), THREAD_MONITOR, || watch(monitors))?,
        spawn("timer".into(), THREAD_TIMER, || {
            NODE.timer.run(&mut |expiry| {
                command::expire(expiry);
            });
        })?,
        spawn("socket".into(), THREAD_SOCKET, net::run)?,
        spawn("signal".into(), THREAD_TIMER, forward_hangup)?,
    ];
    for (index, monitor) in monitors.iter().enumerate() {
        let weight = worker_weight(index);
        running.push(spawn(
            format!("worker-{index}"),
            THREAD_WORKER,
            move || {
                work(monitor, weight);
            },
        )?);
    }
    NODE.join();
    NODE.run_queue.close();
    NODE.timer.close();
    net::close();
    signal::close();
    for thread in running {
        let _ = thread.join();
    }
    Ok(())
}

/// A worker: batches of whatever mailbox is next, until the node ends.
fn work(monitor: &WorkerMonitor, weight: i32) {
    let mut mailbox = None;
    loop {
        if NODE.run_queue.is_closed() {
            return;
        }
        mailbox = context::dispatch(&NODE, monitor, mailbox, weight);
        if mailbox.is_none() {
            mailbox = NODE.run_queue.wait();
        }
    }
}

/// The monitor: a line and a flag for each message that does not end (core.md §6.6).
fn watch(monitors: &[WorkerMonitor]) {
    let mut next = Instant::now() + MONITOR_PERIOD;
    while !NODE.wait_end(next.saturating_duration_since(Instant::now())) {
        if Instant::now() < next {
            continue;
        }
        // From now, not from when it was due: after a stop of the whole process nobody had time to move.
        next = Instant::now() + MONITOR_PERIOD;
        monitors.iter().for_each(check);
    }
}

/// One look at one worker.
pub fn check(monitor: &WorkerMonitor) {
    let Some(stuck) = monitor.check() else { return };
    NODE.handles
        .with(stuck.destination, context::Context::set_endless);
    log(
        0,
        format_args!(
            "{ERROR_MARK}A message from [ :{:08x} ] to [ :{:08x} ] maybe in an endless loop (version = {})",
            stuck.source, stuck.destination, stuck.version
        ),
    );
}

/// Turns SIGHUP into a message to the log service.
fn forward_hangup() {
    while signal::wait_hangup() {
        if let Some(logger) = NODE.handles.find_name(c"logger") {
            let _ = NODE.push(logger, Message::empty(0, 0, ptype::SYSTEM));
        }
    }
}
