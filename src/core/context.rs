//! The context: one running service, from launch to the drop of its last reference.
//!
//! Life, in steps:
//! 1. [`launch`] creates the instance, registers the context (others can send to it from here on; the
//!    launching thread has its turn, so nothing is dispatched) and runs `_init`.
//! 2. On success the turn goes to the scheduler; [`run_slice`] runs its messages from then on.
//! 3. [`Node::retire`] takes the handle out of the table. What is queued, or still arrives through a
//!    reference somebody holds, is answered with an error by whoever has the turn, and by nobody else.
//! 4. The last reference to go runs `_release` and lowers the count of live services.
//!
//! Who may touch what: `callback`, `reply` and `session` belong to the thread that runs the service (the
//! launching thread in `_init`, then the one worker that has the turn). All else is atomic or locked.

#![allow(unsafe_code)]

use super::handle::Registered;
use super::mailbox::{Mailbox, Popped};
use super::message::{Message, ptype};
use super::monitor::WorkerMonitor;
use super::node::{NODE, Node};
use super::scheduler::local::Parcel;
use super::turn::{self, Next, Owner, Queue};
use super::{API_HEAD, ERROR_MARK, WRAP_AFTER, footprint, log, log_parts, meter, scheduler};
use crate::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use crate::sync::{Arc, Mutex};
use crate::sys::cabi::{Callback, ContextPtr, Instance};
use crate::sys::{clock, ticks};
use std::cell::{Cell, UnsafeCell};
use std::ffi::{CStr, c_char};
use std::fs::File;
use std::io::Write;
use std::time::Duration;

/// Room for the text a command answers with (core.md §5.0(2)).
const REPLY_SIZE: usize = 32;

/// Messages of one slice, and how long one may take: then the turn goes to the back of the run queue. Enough
/// that the change costs little, short enough that a service which floods itself does not hold up others.
const SLICE_MESSAGES: u32 = 64;
const SLICE_TIME: Duration = Duration::from_micros(100);

/// The right to run a service.
pub type Turn = turn::Turn<Context>;

/// One service. C code knows it as `struct skynet_context *`.
#[repr(C)]
pub struct Context {
    /// First, so that a queue's address is its context's.
    queue: Queue,
    instance: Instance<'static>,
    /// Module and parameter of the launch, for people.
    label: Box<[u8]>,
    callback: UnsafeCell<Option<Callback>>,
    reply: UnsafeCell<[u8; REPLY_SIZE]>,
    session: AtomicI32,
    /// Set when the handle is taken out of the table.
    retired: AtomicBool,
    /// True while the service is part of the live count; the harbor service is not.
    counted: AtomicBool,
    endless: AtomicBool,
    /// Whether a counter of the instance is in use, see [`footprint::publish`].
    published: AtomicBool,
    /// Whether CPU time is measured; fixed at launch.
    profile: bool,
    /// CPU in completed callbacks, in ticks. Written by the running thread.
    cpu: AtomicU64,
    /// Messages dispatched, the current one included.
    messages: AtomicU64,
    /// Cheap view of `log_file` for the dispatch path.
    logging: AtomicBool,
    log_file: Mutex<Option<File>>,
}

// SAFETY: the two cells are used only by the thread that runs the service (file comment); the turn passes
// between workers with release and acquire, which orders their accesses.
unsafe impl Sync for Context {}
// SAFETY: as above; the raw pointers inside a callback belong to the module, which must accept being
// run on any thread (core.md §4.6(4)).
unsafe impl Send for Context {}

// SAFETY: `repr(C)`, and the queue comes first.
unsafe impl Owner for Context {
    fn queue(&self) -> &Queue {
        &self.queue
    }
}

impl Registered for Context {
    fn set_handle(&self, handle: u32) {
        self.queue.set_handle(handle);
    }

    fn handle(&self) -> u32 {
        self.queue.handle()
    }
}

impl Context {
    fn new(instance: Instance<'static>, label: Box<[u8]>, profile: bool) -> Self {
        let (session, messages) = match NODE.debug_wrap.load(Ordering::Relaxed) {
            true => (
                i32::MAX - WRAP_AFTER as i32,
                u64::from(u32::MAX - WRAP_AFTER),
            ),
            false => (0, 0),
        };
        Context {
            queue: Queue::of_service(),
            instance,
            label,
            callback: UnsafeCell::new(None),
            reply: UnsafeCell::new([0; REPLY_SIZE]),
            session: AtomicI32::new(session),
            retired: AtomicBool::new(false),
            counted: AtomicBool::new(true),
            endless: AtomicBool::new(false),
            published: AtomicBool::new(false),
            profile,
            cpu: AtomicU64::new(0),
            messages: AtomicU64::new(messages),
            logging: AtomicBool::new(false),
            log_file: Mutex::new(None),
        }
    }

    /// The handle of the service.
    pub fn handle(&self) -> u32 {
        Registered::handle(self)
    }

    /// Module and parameter that the service was launched with.
    pub fn label(&self) -> &[u8] {
        &self.label
    }

    /// Where messages for the service go.
    pub fn mailbox(&self) -> &Mailbox {
        &self.queue.mailbox
    }

    /// The address C code knows the context by.
    pub fn as_ptr(&self) -> ContextPtr {
        std::ptr::from_ref(self).cast_mut().cast()
    }

    /// Sets callback and user data for the next message on.
    ///
    /// # Safety
    /// Only the thread that runs the service calls it.
    pub unsafe fn set_callback(&self, callback: Option<Callback>) {
        // SAFETY: the running thread is the only user of the cell.
        unsafe { *self.callback.get() = callback }
    }

    /// Puts `text`, cut to fit, into the reply buffer and gives its address, good until the next
    /// command of this service.
    ///
    /// # Safety
    /// Only the thread that runs the service calls it.
    pub unsafe fn set_reply(&self, text: &str) -> *const c_char {
        let text = &text.as_bytes()[..text.len().min(REPLY_SIZE - 1)];
        // SAFETY: the running thread is the only user of the cell.
        let reply = unsafe { &mut *self.reply.get() };
        reply[..text.len()].copy_from_slice(text);
        reply[text.len()] = 0;
        reply.as_ptr().cast()
    }

    /// A fresh session, 1 to 2^31−1. Only the service itself draws sessions (core.md §4.7).
    pub fn new_session(&self) -> i32 {
        let next = self
            .session
            .load(Ordering::Relaxed)
            .checked_add(1)
            .unwrap_or(1);
        self.session.store(next, Ordering::Relaxed);
        next
    }

    /// Queues a message for a service somebody has a reference to, whatever its state.
    pub fn send(self: &Arc<Self>, message: Message) {
        if let Some(turn) = turn::push(self, message) {
            NODE.scheduler.schedule(turn);
        }
    }

    /// Runs the module's `_signal` on this thread, beside whatever the service does.
    pub fn signal(&self, number: i32) {
        // SAFETY: `_release` runs only when the last reference is gone, and we have one.
        unsafe { self.instance.signal(number) }
    }

    /// Takes the service out of the live count, as the harbor service asks for itself.
    pub fn reserve(&self) {
        if self.counted.swap(false, Ordering::Relaxed) {
            NODE.count_down();
        }
    }

    /// Notes whether a counter of the instance is in use.
    pub fn set_published(&self, published: bool) {
        self.published.store(published, Ordering::Relaxed);
    }

    /// Marks the current message as one that does not end.
    pub fn set_endless(&self) {
        self.endless.store(true, Ordering::Relaxed);
    }

    /// Whether [`Context::set_endless`] was called since the last question.
    pub fn take_endless(&self) -> bool {
        self.endless.swap(false, Ordering::Relaxed)
    }

    /// Seconds of CPU in completed callbacks.
    pub fn cpu_seconds(&self) -> f64 {
        meter::to_ns(self.cpu.load(Ordering::Relaxed)) as f64 / 1e9
    }

    /// Seconds of CPU since the current callback began; `None` when profiling is off. For the thread that runs
    /// the service.
    pub fn message_seconds(&self) -> Option<f64> {
        self.profile.then(|| meter::current_ns() as f64 / 1e9)
    }

    /// Messages dispatched so far, the current one included.
    pub fn message_count(&self) -> u64 {
        self.messages.load(Ordering::Relaxed)
    }

    /// Opens the message log in directory `dir`; `by` is who asked. Nothing happens when it is open.
    pub fn open_log(&self, by: u32, dir: &CStr) {
        let mut file = self.log_file.lock();
        if file.is_some() {
            return;
        }
        let path = log_path(dir, self.handle());
        let os_path = std::path::Path::new(std::ffi::OsStr::from_bytes(&path));
        match File::options().create(true).append(true).open(os_path) {
            Ok(mut opened) => {
                log_parts(by, &[b"Open log file ", &path]);
                let _ = opened.write_all(log_head().as_bytes());
                *file = Some(opened);
                self.logging.store(true, Ordering::Release);
            }
            Err(_) => log_parts(by, &[b"Open log file ", &path, b" fail"]),
        }
    }

    /// Closes the message log; `by` is who asked. Nothing happens when it is not open.
    pub fn close_log(&self, by: u32) {
        if let Some(mut file) = self.log_file.lock().take() {
            self.logging.store(false, Ordering::Release);
            log(by, format_args!("Close log file :{:08x}", self.handle()));
            let _ = file.write_all(log_tail().as_bytes());
        }
    }

    fn write_log(&self, message: &Message) {
        if let Some(file) = &mut *self.log_file.lock() {
            // SAFETY: the message was not given away yet, so its payload is as its sender made it.
            let line = unsafe { log_line(message) };
            let _ = file.write_all(&line);
        }
    }

    /// Runs the callback on one message; the answer is when it ended, in ticks, if that is measured. Only for the
    /// thread that runs the service.
    #[inline(always)]
    fn deliver_inlined(&self, message: Message) -> Option<u64> {
        CURRENT.set(self.handle());
        // SAFETY: the running thread is the only user of the cell.
        let Some(callback) = (unsafe { *self.callback.get() }) else {
            // SAFETY: the message was not delivered.
            unsafe { payload::free(message) };
            return None;
        };
        if self.logging.load(Ordering::Acquire) {
            self.write_log(&message);
        }
        let count = self.messages.load(Ordering::Relaxed) + 1;
        self.messages.store(count, Ordering::Relaxed);
        if self.profile {
            meter::begin();
        }
        let (kind, len) = (message.kind(), message.len());
        let data = message.data.as_ptr();
        // SAFETY: a live context on its running thread; the payload is as its sender made it.
        let kept = unsafe {
            callback.call(
                self.as_ptr(),
                kind,
                message.session,
                message.source,
                data,
                len,
            )
        };
        if kept {
            let _ = message.data.into_raw();
        } else {
            drop(message);
        }
        if !self.profile {
            meter::skip();
            return None;
        }
        let lap = meter::lap();
        let cpu = self.cpu.load(Ordering::Relaxed) + lap.spent;
        self.cpu.store(cpu, Ordering::Relaxed);
        Some(lap.end)
    }

    /// As [`Context::deliver_inlined`], where it need not be fast.
    fn deliver(&self, message: Message) {
        self.deliver_inlined(message);
    }

    fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        self.log_file.get_mut().take();
        // So that what `_release` sends to its own service is queued, and answered below.
        self.queue.mailbox.claim();
        if *self.published.get_mut() {
            footprint::withdraw(self);
        }
        // SAFETY: this was the last reference.
        unsafe { self.instance.release() }
        // SAFETY: nobody else has the context any more.
        while let Some(message) = unsafe { self.queue.mailbox.take() } {
            discard(self.handle(), message);
        }
        if self.counted.load(Ordering::Relaxed) {
            NODE.count_down();
        }
    }
}

/// Path of the message log of `handle`.
pub fn log_path(dir: &CStr, handle: u32) -> Vec<u8> {
    [dir.to_bytes(), format!("/{handle:08x}.log").as_bytes()].concat()
}

/// First lines of a message log.
pub fn log_head() -> String {
    let now = NODE.timer.now();
    let time = u64::from(NODE.timer.start_time()) + now / 100;
    format!("open time: {} {}", now as u32, clock::ctime(time))
}

/// Last line of a message log that is closed on request.
pub fn log_tail() -> String {
    format!("close time: {}\n", NODE.timer.now() as u32)
}

/// The message-log line of a message.
///
/// # Safety
/// The message was not delivered yet.
pub unsafe fn log_line(message: &Message) -> Vec<u8> {
    // SAFETY: passed on.
    unsafe { payload::log_line(message, NODE.timer.now() as u32) }
}

/// Why a service could not be launched; the log says more.
#[derive(Debug, PartialEq, Eq)]
pub struct LaunchFailed;

/// Creates, registers and initialises a service (core.md §4.4). On success the answer is its handle and,
/// unless it retired itself in `_init`, the context.
pub fn launch(
    name: &CStr,
    parm: Option<&CStr>,
) -> Result<(u32, Option<Arc<Context>>), LaunchFailed> {
    if NODE.ending.load(Ordering::Relaxed) {
        return Err(LaunchFailed);
    }
    let module = NODE.modules.query(name).ok_or(LaunchFailed)?;
    let instance = module.create().ok_or(LaunchFailed)?;
    let label = match parm {
        Some(parm) => [name.to_bytes(), b" ", parm.to_bytes()].concat(),
        None => name.to_bytes().to_vec(),
    };
    let profile = NODE.profile.load(Ordering::Relaxed);
    let context = Arc::new(Context::new(instance, label.into(), profile));
    NODE.live.fetch_add(1, Ordering::Relaxed);
    let handle = NODE.handles.register(&context);
    // Registered after the last look of `command::retire_all`, which set this before; then it is up to us.
    if NODE.ending.load(Ordering::SeqCst) {
        NODE.retire(handle);
    }
    // SAFETY: the context lives in our Arc, and this is the one call of `_init`.
    let ready = unsafe { instance.init(context.as_ptr(), parm) };
    // SAFETY: a new mailbox's turn is its maker's. Should the service have been retired meanwhile, the table's
    // reference is with it.
    let turn = unsafe { turn::first(&context) };
    if !ready {
        if API_HEAD {
            log_parts(handle, &[b"error: launch ", name.to_bytes(), b" FAILED"]);
        } else {
            log_parts(handle, &[b"FAILED launch ", name.to_bytes()]);
        }
        NODE.retire(handle);
        drop(context);
        discard_all(turn);
        return Err(LaunchFailed);
    }
    let alive = (!context.is_retired()).then_some(context);
    if alive.is_some() || API_HEAD {
        // Before the mailbox is scheduled, so that this is the first line of the service.
        let parm = parm.map_or(&b""[..], CStr::to_bytes);
        log_parts(handle, &[b"LAUNCH ", name.to_bytes(), b" ", parm]);
    }
    NODE.scheduler.schedule(turn);
    if alive.is_none() && !API_HEAD {
        // At level 1.8 a service that ended in its `_init` counts as failed (core.md §4.4(6)).
        return Err(LaunchFailed);
    }
    Ok((handle, alive))
}

/// Runs one batch and says whose turn is next; `None` when there is nothing to do. For worker loops of
/// C code, with upstream's weights (core.md §6.3, §6.10(6)).
pub fn dispatch(monitor: &WorkerMonitor, turn: Option<Turn>, weight: i32) -> Option<Turn> {
    let turn = turn.or_else(|| NODE.scheduler.take())?;
    meter::resume();
    let Some(turn) = run(monitor, turn, Share::Weight(weight)) else {
        return NODE.scheduler.take();
    };
    Some(NODE.scheduler.turn_over(turn))
}

/// Runs one slice; gives the turn back if there may be more.
pub fn run_slice(monitor: &WorkerMonitor, turn: Turn) -> Option<Turn> {
    run(monitor, turn, Share::Slice)
}

/// How much of a mailbox is run in one go.
enum Share {
    Slice,
    Weight(i32),
}

fn run(monitor: &WorkerMonitor, mut turn: Turn, share: Share) -> Option<Turn> {
    if turn.queue().is_alone() {
        return run_alone(monitor, turn, share);
    }
    let mut todo = SLICE_MESSAGES;
    let mut began = None;
    let mut first = true;
    loop {
        // A turn whose service is retired runs nothing: what is left is answered.
        if turn.owner().is_none_or(Context::is_retired) {
            discard_all(turn);
            // The end of a service is nobody's time.
            meter::resume();
            return None;
        }
        let message = match turn.pop() {
            (Next::Message(message), Some(rest)) => {
                turn = rest;
                message
            }
            (Next::Pending, rest) => {
                // The thread that is writing the message was stopped; let it go on.
                std::thread::yield_now();
                return rest;
            }
            (_, rest) => return rest,
        };
        let Some(context) = turn.owner() else {
            return Some(turn);
        };
        if std::mem::take(&mut first)
            && let Share::Weight(weight) = share
        {
            todo = scheduler::batch_size(weight, context.mailbox().len()) as u32;
        }
        report_overload(context.handle(), context.mailbox());
        monitor.trigger(message.source, context.handle(), message.kind());
        let end = context.deliver_inlined(message);
        monitor.trigger(0, 0, 0);
        todo -= 1;
        if todo == 0 {
            return Some(turn);
        }
        if matches!(share, Share::Slice) {
            let end = end.unwrap_or_else(ticks::now);
            let began = *began.get_or_insert(end);
            if end.wrapping_sub(began) > ticks::from_duration(SLICE_TIME) {
                return Some(turn);
            }
        }
    }
}

/// As [`run`], for a queue that C code made: its messages go to the live service of its handle.
fn run_alone(monitor: &WorkerMonitor, mut turn: Turn, share: Share) -> Option<Turn> {
    let handle = turn.queue().handle();
    let context = NODE.grab(handle);
    let mut todo = match share {
        Share::Slice => SLICE_MESSAGES,
        Share::Weight(weight) => {
            scheduler::batch_size(weight, turn.queue().mailbox.len().saturating_sub(1)) as u32
        }
    };
    let Some(context) = context else {
        for message in drain_alone(turn) {
            discard(handle, message);
        }
        return None;
    };
    loop {
        let message = match turn.pop() {
            (Next::Message(message), Some(rest)) => {
                turn = rest;
                message
            }
            (_, rest) => return rest,
        };
        report_overload(handle, &turn.queue().mailbox);
        monitor.trigger(message.source, handle, message.kind());
        context.deliver(message);
        monitor.trigger(0, 0, 0);
        todo = todo.saturating_sub(1);
        if todo == 0 {
            return Some(turn);
        }
    }
}

/// Empties a queue that C code made and that has no service, and frees it if it is marked; otherwise it becomes
/// idle.
fn drain_alone(turn: Turn) -> Vec<Message> {
    let queue = turn.queue();
    let mut left = Vec::new();
    let poppers = queue.mailbox.lock_poppers();
    while !queue.is_doomed() {
        // SAFETY: we have the turn and the lock.
        match unsafe { queue.mailbox.pop() } {
            Popped::Message(message) => left.push(message),
            Popped::Pending => std::thread::yield_now(),
            // Who marks it from now on gets the turn.
            Popped::Idle { .. } => return left,
        }
    }
    drop(poppers);
    // SAFETY: C code gave it up when it marked it, and we have its turn.
    let queue = unsafe { Box::from_raw(turn.into_raw()) };
    // SAFETY: as above.
    left.extend(std::iter::from_fn(|| unsafe { queue.mailbox.take() }));
    left
}

/// Logs that a mailbox got too long, once for each doubling (core.md §6.4).
fn report_overload(handle: u32, mailbox: &Mailbox) {
    let overload = mailbox.take_overload();
    if overload > 0 {
        log(
            handle,
            format_args!("{ERROR_MARK}May overload, message queue length = {overload}"),
        );
    }
}

/// Answers everything that is queued for a retired service and gives up its turn.
fn discard_all(mut turn: Turn) {
    let handle = turn.queue().handle();
    loop {
        match turn.pop() {
            (Next::Message(message), Some(rest)) => {
                turn = rest;
                discard(handle, message);
            }
            (Next::Pending, Some(rest)) => {
                turn = rest;
                std::thread::yield_now();
            }
            _ => return,
        }
    }
}

/// Dispatches everything that is queued for one context, on this thread, for which nobody else runs it
/// (core.md §6.10(5)).
///
/// # Safety
/// No other thread pops from its mailbox.
pub unsafe fn dispatch_all(context: &Context) {
    // SAFETY: passed on.
    while let Some(message) = unsafe { context.queue.mailbox.take() } {
        context.deliver(message);
    }
}

/// Frees a message that nobody will handle and tells its sender, unless it was an answer itself
/// (core.md §4.11(3)).
pub fn discard(handle: u32, message: Message) {
    let (source, session, message_kind) = (message.source, message.session, message.kind());
    // SAFETY: the message was not delivered, so its payload is as its sender made it.
    unsafe { payload::free(message) };
    let answer = matches!(message_kind, ptype::RESPONSE | ptype::ERROR);
    if source != 0 && !answer {
        super::send::notice(source, Message::empty(handle, session, ptype::ERROR));
    }
}

impl Node {
    /// Takes a service out of the table (core.md §4.11(1)). True when it was alive.
    pub fn retire(&self, handle: u32) -> bool {
        let Some(context) = self.handles.retire(handle) else {
            return false;
        };
        context.retired.store(true, Ordering::Release);
        turn::retire(context);
        true
    }
}

thread_local! {
    /// See [`current_handle`].
    static CURRENT: Cell<u32> = const { Cell::new(0) };
}

/// Handle of the service whose message this thread dispatched last (core.md §4.12).
pub fn current_handle() -> u32 {
    if NODE.initialised.load(Ordering::Relaxed) {
        CURRENT.get()
    } else {
        u32::MAX
    }
}

/// Allocates for the core itself: in no service's account, whoever is running.
pub fn unowned<R>(allocate: impl FnOnce() -> R) -> R {
    let handle = CURRENT.replace(0);
    let result = allocate();
    CURRENT.set(handle);
    result
}

/// Says what kind of thread this is: 0 worker, 1 main, 2 socket, 3 timer, 4 monitor.
pub fn init_thread(kind: i32) {
    CURRENT.set(kind.wrapping_neg() as u32);
}

use std::os::unix::ffi::OsStrExt;

/// What the core knows about payloads: only socket events are more than bytes.
mod payload {
    use super::super::log::{SocketLine, message_line};
    use super::{Message, ptype};
    use std::ffi::{c_char, c_int, c_void};

    /// `struct skynet_socket_message` (core.md §1.3(3)).
    #[repr(C)]
    struct SocketEvent {
        kind: c_int,
        id: c_int,
        ud: c_int,
        buffer: *mut c_char,
    }

    /// The event in a message that the socket engine sent.
    fn event(message: &Message) -> Option<&SocketEvent> {
        let engine = message.source == 0 && message.session == 0;
        let fits = message.len() >= size_of::<SocketEvent>() && !message.data.is_null();
        if message.kind() != ptype::SOCKET || !engine || !fits {
            return None;
        }
        // SAFETY: the engine's events begin with this struct (core.md §8.4), malloc aligns it, and it
        // lives as long as the message.
        Some(unsafe { &*message.data.as_ptr().cast::<SocketEvent>() })
    }

    /// Frees a message and what a socket event points to.
    ///
    /// # Safety
    /// The message was never delivered.
    pub unsafe fn free(message: Message) {
        if let Some(event) = event(&message) {
            // SAFETY: an undelivered event still owns its buffer, null or from malloc.
            unsafe { libc::free(event.buffer.cast::<c_void>()) }
        }
    }

    /// The message-log line.
    ///
    /// # Safety
    /// The message was not delivered yet.
    pub unsafe fn log_line(message: &Message, now: u32) -> Vec<u8> {
        let bytes = match message.data.as_ptr() {
            p if p.is_null() => &[][..],
            // SAFETY: a payload is readable for its length until it is given away.
            p => unsafe { std::slice::from_raw_parts(p.cast::<u8>(), message.len()) },
        };
        let socket = event(message).map(|event| SocketLine {
            kind: event.kind,
            id: event.id,
            ud: event.ud,
            text: event
                .buffer
                .is_null()
                .then(|| &bytes[size_of::<SocketEvent>()..]),
            data: match event.buffer {
                p if p.is_null() => &[],
                // SAFETY: a buffer holds `ud` bytes (core.md §8.4).
                p => unsafe {
                    std::slice::from_raw_parts(p.cast::<u8>(), event.ud.max(0) as usize)
                },
            },
        });
        message_line(
            message.source,
            message.kind(),
            message.session,
            now,
            bytes,
            socket,
        )
    }
}
