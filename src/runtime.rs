//! Start, threads and stop of a node (core.md §2.6, §6.8, §6.9).
//!
//! A process has one node in its life: much of what C code gets from the core stays valid until the
//! process ends. Only a start that failed before the first service may be followed by another.

use crate::core::command;
use crate::core::context::{self, init_thread};
use crate::core::message::{Message, ptype};
use crate::core::monitor::{Stuck, WorkerMonitor};
use crate::core::node::NODE;
use crate::core::reclaim::{self, Heap, Reclaim};
use crate::core::scheduler::Worker;
use crate::core::{self, ERROR_MARK, log, log_parts, meter, module};
use crate::net;
use crate::settings::{Settings, Stop};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sys::alloc::arenas;
use crate::sys::signal::{self, Event};
use crate::sys::{clock, daemon, num, stack, stderr};
use std::ffi::{CStr, CString};
use std::num::NonZero;
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

/// Whether this process has, or had, its node.
static STARTED: AtomicBool = AtomicBool::new(false);

/// Who runs the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Our executable: the process is the node.
    Executable,
    /// Another program, whose signal handlers are left alone.
    Program,
}

/// Why there is no node. Each carries the line for the operator.
#[derive(Debug)]
pub enum Failure {
    /// A setting cannot be.
    Setting(Vec<u8>),
    /// The process has, or had, its node.
    Started,
    /// The system refuses something, or the pid file says that the node runs already.
    System(Vec<u8>),
    /// There is no log service.
    LogService(Vec<u8>),
    /// The first service cannot be launched. The log has the same line.
    Bootstrap(Vec<u8>),
}

impl Failure {
    /// What to tell the operator.
    pub fn line(&self) -> &[u8] {
        match self {
            Failure::Setting(line)
            | Failure::System(line)
            | Failure::LogService(line)
            | Failure::Bootstrap(line) => line,
            Failure::Started => b"a process can run one node, and this one was started before",
        }
    }

    /// Says it on stderr, unless the log has it.
    pub fn print(&self) {
        if !matches!(self, Failure::Bootstrap(_)) {
            stderr::line(self.line());
        }
    }
}

/// Prepares what must exist before the first thread and the first service.
pub fn init() {
    NODE.initialised.store(true, Ordering::Release);
    init_thread(THREAD_MAIN);
    explain_panics();
}

/// Lets a panic, which is a defect of ours, name the service whose message the thread was at before the
/// process aborts.
fn explain_panics() {
    std::panic::set_hook(Box::new(|info| {
        let handle = core::current_handle();
        let text = format!("skynet: internal error while :{handle:08x} was running: {info}");
        stderr::line(text.as_bytes());
    }));
}

impl Config {
    /// Reads the settings of core.md §2.4 from the environment store, and writes defaults back into it
    /// for the keys that are absent.
    pub fn from_env() -> Result<Config, Failure> {
        let thread = int(c"thread", 8);
        check_thread(thread)?;
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

    /// Checks what would otherwise be noticed later, or end the process.
    pub fn check(&self) -> Result<(), Failure> {
        check_thread(self.thread)?;
        match module::bad_template(self.module_path.to_bytes()) {
            None => Ok(()),
            Some(template) => Err(Failure::Setting(
                [b"Invalid C service path ", template].concat(),
            )),
        }
    }

    /// Writes the settings into the environment store, where services look for them, for the keys that
    /// are absent.
    pub fn publish(&self) {
        let number = |number: i32| CString::new(number.to_string()).unwrap_or_default();
        let profile = if self.profile { c"true" } else { c"false" };
        let values = [
            (c"thread", Some(number(self.thread))),
            (c"cpath", Some(self.module_path.clone())),
            (c"harbor", Some(number(self.harbor))),
            (c"bootstrap", Some(self.bootstrap.clone())),
            (c"daemon", self.daemon.clone()),
            (c"logger", self.logger.clone()),
            (c"logservice", Some(self.logservice.clone())),
            (c"profile", Some(profile.to_owned())),
        ];
        for (key, value) in values {
            if let Some(value) = value {
                // A value that is there stays.
                let _ = NODE.env.set(key, &value);
            }
        }
    }
}

/// How many worker threads `thread = "auto"` stands for: one for each processor that this process may
/// use, by affinity and by the quota of its control group.
pub fn auto_thread() -> CString {
    let count = thread::available_parallelism().map_or(1, NonZero::get);
    let count = count.min(MAX_THREAD as usize);
    CString::new(count.to_string()).unwrap_or_default()
}

fn check_thread(thread: i32) -> Result<(), Failure> {
    if (1..=MAX_THREAD).contains(&thread) {
        return Ok(());
    }
    let line = format!("Invalid thread {thread} , should be in [1,{MAX_THREAD}]");
    Err(Failure::Setting(line.into_bytes()))
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

/// Runs a node until its last service is gone, with the calling thread as its main thread.
pub fn run(config: &Config, owner: Owner) -> Result<(), Failure> {
    // Services without a start of ours belong to a program that runs the node with a loop of its own.
    if STARTED.swap(true, Ordering::AcqRel) || !NODE.handles.is_unused() {
        return Err(Failure::Started);
    }
    init();
    let result = in_place(config, owner);
    if matches!(result, Err(Failure::Setting(_) | Failure::System(_))) && NODE.handles.is_unused() {
        STARTED.store(false, Ordering::Release);
    }
    result
}

/// As [`run`], between what is taken of the process and what is given back.
fn in_place(config: &Config, owner: Owner) -> Result<(), Failure> {
    let claim = match owner {
        Owner::Executable => signal::Claim::Always,
        Owner::Program => {
            signal::ignore_default_sigpipe();
            signal::Claim::IfDefault
        }
    };
    let settings = Settings::from_env().map_err(Failure::Setting)?;
    signal::watch(claim, settings.stop.is_some())
        .map_err(|error| system("Can't watch signals", &error))?;
    if let Some(pid_file) = &config.daemon {
        daemon::enter(pid_file).map_err(Failure::System)?;
    }
    let result = serve(config, settings);
    if result.is_err() && owner == Owner::Program {
        // The process goes on without a node: what was launched must end. There are no workers, so what waits to
        // be run, all of it of services that ended now, is answered and released here.
        command::retire_all();
        let monitor = WorkerMonitor::new();
        while let Some(turn) = NODE.scheduler.take_left() {
            let _ = context::run_slice(&monitor, turn);
        }
        NODE.harbor.release();
        net::stop();
    }
    if let Some(pid_file) = &config.daemon {
        let _ = daemon::leave(pid_file);
    }
    if owner == Owner::Program {
        signal::unwatch();
    }
    result
}

fn system(what: &str, error: &std::io::Error) -> Failure {
    Failure::System(format!("{what}: {error}").into_bytes())
}

fn serve(config: &Config, settings: Settings) -> Result<(), Failure> {
    NODE.harbor.set_node(config.harbor as u32);
    NODE.handles.set_node(config.harbor as u32);
    NODE.modules.set_path(&config.module_path);
    if settings.wrap {
        NODE.handles.skip_to_end();
        NODE.debug_wrap.store(true, Ordering::Relaxed);
        // Two seconds from now.
        NODE.timer.set_tick((1 << 32) - 200);
    }
    NODE.timer.start();
    NODE.timer
        .open()
        .map_err(|error| system("Can't start the timer", &error))?;
    net::start(settings.pollers)
        .map_err(|error| system("Can't start the socket engine", &error))?;
    if let Some(engine) = net::engine() {
        engine.look_up_aside();
        settings.set_up(engine);
    }
    if settings.wrap {
        net::skip_ids();
    }
    NODE.profile.store(config.profile, Ordering::Relaxed);

    let Ok((logger, _)) = context::launch(&config.logservice, config.logger.as_deref()) else {
        let mut line = [b"Can't launch ", config.logservice.to_bytes(), b" service"].concat();
        if let Some(parm) = &config.logger {
            line.extend_from_slice(&[b" (logger = ", parm.to_bytes(), b")"].concat());
        }
        return Err(Failure::LogService(line));
    };
    let _ = NODE.handles.set_name(logger, c"logger");
    if !bootstrap(&config.bootstrap) {
        let line = [b"Bootstrap error : ", config.bootstrap.to_bytes()].concat();
        log_parts(0, &[&line, b"\n"]);
        run_alone(logger);
        return Err(Failure::Bootstrap(line));
    }
    threads(config.thread as usize, settings)?;
    // The harbor service may still send on sockets while it ends, so sockets go last.
    NODE.harbor.release();
    net::stop();
    Ok(())
}

/// Runs what is queued for one service on this thread, before there are workers.
fn run_alone(handle: u32) {
    let monitor = WorkerMonitor::new();
    let turns: Vec<_> = std::iter::from_fn(|| NODE.scheduler.take()).collect();
    for turn in turns {
        if turn.queue().handle() != handle {
            NODE.scheduler.schedule(turn);
            continue;
        }
        let mut turn = Some(turn);
        while let Some(rest) = turn {
            turn = context::run_slice(&monitor, rest);
        }
    }
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
) -> Result<JoinHandle<()>, Failure> {
    let run = move || {
        init_thread(kind);
        body();
    };
    thread::Builder::new()
        .name(name)
        .stack_size(stack::default_size())
        .spawn(run)
        .map_err(|error| system("Create thread failed", &error))
}

/// Starts every thread and waits for the end. When one cannot be started, ends the others.
fn threads(workers: usize, settings: Settings) -> Result<(), Failure> {
    let mut running = Vec::new();
    let result = spawn_all(workers, settings, &mut running);
    if result.is_ok() {
        NODE.join();
    } else {
        NODE.finish();
    }
    NODE.scheduler.close();
    NODE.timer.close();
    net::close();
    signal::close();
    for thread in running {
        let _ = thread.join();
    }
    result
}

fn spawn_all(
    workers: usize,
    settings: Settings,
    running: &mut Vec<JoinHandle<()>>,
) -> Result<(), Failure> {
    let look = settings.endless;
    let workers = NODE.scheduler.set_workers(workers);
    let mut start = |name: String, kind, body: Box<dyn FnOnce() + Send>| -> Result<(), Failure> {
        running.push(spawn(name, kind, body)?);
        Ok(())
    };
    let expire = || {
        NODE.timer.run(&mut |expiry| {
            command::expire(expiry);
        });
    };
    start(
        "monitor".into(),
        THREAD_MONITOR,
        Box::new(move || watch(workers, look)),
    )?;
    start("timer".into(), THREAD_TIMER, Box::new(expire))?;
    for index in 0..net::pollers() {
        let name = format!("socket-{index}");
        start(name, THREAD_SOCKET, Box::new(move || net::run(index)))?;
    }
    start(
        "signal".into(),
        THREAD_TIMER,
        Box::new(move || forward_signals(settings.stop)),
    )?;
    for index in 0..workers.len() {
        let body = move || work(index);
        start(worker_name(index), THREAD_WORKER, Box::new(body))?;
    }
    Ok(())
}

/// A worker: slices of whatever mailbox is next, until the node ends.
fn work(index: usize) {
    let worker = NODE.scheduler.enter(index);
    clock::sleep_exactly();
    let wait = || {
        net::hurry();
        reclaim::give_up_if_asked();
        let turn = NODE.scheduler.wait(worker);
        meter::resume();
        turn
    };
    let mut turn = None;
    while !NODE.scheduler.is_closed() {
        let Some(next) = turn.or_else(|| NODE.scheduler.take()).or_else(wait) else {
            return;
        };
        turn = context::run_slice(&worker.monitor, next).map(|rest| {
            let next = NODE.scheduler.turn_over(rest);
            // Waking another worker for the rest is nobody's time.
            meter::resume();
            next
        });
    }
}

/// Name of a worker thread.
fn worker_name(index: usize) -> String {
    format!("worker-{index}")
}

/// The monitor: lines and a flag for each message that does not end (core.md §6.6), and memory that goes back to
/// the system.
fn watch(workers: &[Worker], period: Duration) {
    let mut next = Instant::now() + period;
    let mut reclaim = Reclaim::new();
    // An idle node is not woken for this.
    let mut reclaim_at = None;
    loop {
        let wake = reclaim_at.map_or(next, |at| next.min(at));
        if NODE.wait_end(wake.saturating_duration_since(Instant::now())) {
            return;
        }
        if reclaim_at.is_none_or(|at| at <= Instant::now()) {
            let done = |worker: &Worker| u64::from(worker.monitor.version() as u32);
            let again = reclaim.look(workers.iter().map(done).sum(), &Arenas);
            reclaim_at = again.map(|wait| Instant::now() + wait);
        }
        if Instant::now() < next {
            continue;
        }
        // From now, not from when it was due: after a stop of the whole process nobody had time to move.
        next = Instant::now() + period;
        for (index, worker) in workers.iter().enumerate() {
            let Some(stuck) = worker.monitor.check() else {
                continue;
            };
            mark_endless(&stuck);
            if stuck.is_due() {
                say_endless(&stuck);
                let seconds = period.as_secs() * u64::from(stuck.looks);
                explain_endless(&stuck, seconds, &worker_name(index));
            }
        }
    }
}

/// The memory of the process.
struct Arenas;

impl Heap for Arenas {
    fn active(&self) -> usize {
        arenas::active()
    }

    fn dirty(&self) -> usize {
        arenas::refresh();
        arenas::dirty()
    }

    fn may_purge(&self) -> bool {
        arenas::has_default_decay()
    }

    fn decay(&self) {
        arenas::decay();
    }

    fn purge(&self) {
        arenas::purge();
    }

    fn empty_caches(&self) {
        reclaim::ask_threads();
        NODE.scheduler.rouse();
    }
}

/// Sets the flag of the service that is stuck.
pub fn mark_endless(stuck: &Stuck) {
    NODE.with(stuck.destination, |context| context.set_endless());
}

/// Upstream's line.
pub fn say_endless(stuck: &Stuck) {
    log(
        0,
        format_args!(
            "{ERROR_MARK}A message from [ :{:08x} ] to [ :{:08x} ] maybe in an endless loop (version = {})",
            stuck.source, stuck.destination, stuck.version
        ),
    );
}

/// A line of ours: who that is, at what, and where.
fn explain_endless(stuck: &Stuck, seconds: u64, thread: &str) {
    let service = |handle: u32| {
        let label = NODE.with(handle, |context| context.label().to_vec());
        let label = label.unwrap_or_else(|| b"(gone)".to_vec());
        [format!("[ :{handle:08x} ").as_bytes(), &label, b" ]"].concat()
    };
    // Timer, sockets and the core itself have no service.
    let from = match stuck.source {
        0 => b"[ :00000000 ]".to_vec(),
        source => service(source),
    };
    let message = format!(" is at a message of type {} from ", stuck.kind);
    let place = format!(" for more than {seconds} seconds in thread {thread}");
    log_parts(
        0,
        &[
            ERROR_MARK.as_bytes(),
            &service(stuck.destination),
            message.as_bytes(),
            &from,
            place.as_bytes(),
        ],
    );
}

/// The signal thread: turns SIGHUP into a message to the log service, and stops the node when it is asked
/// to. In steps, each ended by the end of the node:
/// 1. The first signal becomes a message to the service that `sk_stop` names.
/// 2. At the end of the grace time, at the second signal, or when there is no such service, everything is
///    aborted in order.
/// 3. A signal after that has its default action, for a node with a callback that does not return.
fn forward_signals(stop: Option<Stop>) {
    let mut deadline: Option<Instant> = None;
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        match (signal::wait(left), &stop) {
            (Event::Closed, _) => return,
            (Event::Hangup, _) => {
                if let Some(logger) = NODE.handles.find_name(c"logger") {
                    let _ = NODE.push(logger, Message::empty(0, 0, ptype::SYSTEM));
                }
            }
            (Event::Stop(signal), Some(stop)) if deadline.is_none() && ask(stop, signal) => {
                deadline = Some(Instant::now() + stop.grace);
            }
            (Event::Stop(_) | Event::Timeout, _) => {
                deadline = None;
                signal::unwatch_stop();
                abort_in_order();
            }
        }
    }
}

/// Tells the service that the node is to end. False when there is none.
fn ask(stop: &Stop, signal: &str) -> bool {
    let name = stop.service.to_bytes();
    let name = CString::new(name.strip_prefix(b".").unwrap_or(name)).unwrap_or_default();
    let message = Message::with_bytes(0, 0, ptype::SYSTEM, signal.as_bytes());
    let asked = match NODE.handles.find_name(&name) {
        Some(handle) => NODE.push(handle, message).is_ok(),
        None => false,
    };
    let seconds = stop.grace.as_secs();
    let text = match asked {
        true => format!("{signal} : {seconds} seconds for ."),
        false => format!("{ERROR_MARK}{signal} : abort, there is no service ."),
    };
    log_parts(0, &[text.as_bytes(), name.to_bytes()]);
    asked
}

/// How long the services may take to end, and the log to be written, before the log service goes as well.
const DRAIN: Duration = Duration::from_secs(5);

/// Ends every service, the log service last and not before it has written what the others had to say.
fn abort_in_order() {
    log(0, format_args!("ABORT"));
    let logger = NODE.handles.find_name(c"logger").unwrap_or(0);
    command::retire_all_but(logger);
    let end = Instant::now() + DRAIN;
    while Instant::now() < end {
        let left = NODE.live.load(Ordering::Acquire);
        let unwritten = NODE.with(logger, |logger| logger.mailbox().len());
        if left <= 1 && unwritten.is_none_or(|count| count == 0) {
            break;
        }
        thread::sleep(Duration::from_millis(1));
    }
    command::retire_all();
}
