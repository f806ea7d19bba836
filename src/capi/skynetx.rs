//! `skynetx.h`: what this core offers beside upstream's interface.

use super::optional_text;
use super::skynet_imp::SkynetConfig;
use super::skynet_server::context;
use crate::core::command;
use crate::core::footprint;
use crate::core::memory;
use crate::core::module::Refused;
use crate::core::node::NODE;
use crate::core::timer::Expiry;
use crate::net;
use crate::net::event::SocketId;
use crate::net::options::{Action, Setting};
use crate::runtime::{self, Failure, Owner};
use crate::sys::cabi::{CreateFn, EntryPoints, InitFn, ReleaseFn, SignalFn, SkynetContext};
use std::cell::RefCell;
use std::ffi::{CString, c_char, c_int};
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

/// An argument or a setting that cannot be.
pub const SKYNETX_ERR_ARGUMENT: c_int = -1;
/// There is a module of this name.
pub const SKYNETX_ERR_EXISTS: c_int = -2;
/// The process has, or had, its node.
pub const SKYNETX_ERR_STARTED: c_int = -3;
/// The system refuses something, or the pid file says that the node runs already.
pub const SKYNETX_ERR_SYSTEM: c_int = -4;
/// The log service cannot be launched.
pub const SKYNETX_ERR_LOGSERVICE: c_int = -5;
/// The first service cannot be launched.
pub const SKYNETX_ERR_BOOTSTRAP: c_int = -6;

thread_local! {
    static LAST_ERROR: RefCell<CString> = RefCell::default();
}

/// Keeps the text for [`skynetx_last_error`] and passes the code on.
fn fail(code: c_int, text: &[u8]) -> c_int {
    let text = text.iter().copied().filter(|byte| *byte != 0).collect();
    // The filter leaves nothing that could fail. A thread that is ending has nobody left to ask.
    let text = CString::new::<Vec<u8>>(text).unwrap_or_default();
    let _ = LAST_ERROR.try_with(|last| last.replace(text));
    code
}

/// Why the last of these functions that failed on the calling thread did so; empty before the first. Good
/// until the next failure on this thread.
#[unsafe(no_mangle)]
pub extern "C" fn skynetx_last_error() -> *const c_char {
    LAST_ERROR
        .try_with(|last| last.borrow().as_ptr())
        .unwrap_or(c"".as_ptr())
}

/// Makes functions of the program a service module, which comes before files of its name. All but `init`
/// may be NULL, with the same meaning as a file without them. 0; SKYNETX_ERR_ARGUMENT for a name that is
/// NULL, empty or has blanks in it, and without `init`; SKYNETX_ERR_EXISTS when the name is taken.
///
/// Any thread may call it, at any time, also the constructor of a library that is being loaded.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynetx_module_register(
    name: *const c_char,
    create: CreateFn,
    init: InitFn,
    release: ReleaseFn,
    signal: SignalFn,
) -> c_int {
    // SAFETY: the caller's pointer is what the header says.
    let Some(name) = (unsafe { optional_text(name) }) else {
        return fail(SKYNETX_ERR_ARGUMENT, b"a module needs a name");
    };
    let entries = EntryPoints {
        create,
        init,
        release,
        signal,
    };
    let say = |code, what: &str| {
        fail(
            code,
            &[b"module ", name.to_bytes(), what.as_bytes()].concat(),
        )
    };
    match NODE.modules.register(name, entries) {
        Ok(()) => 0,
        Err(Refused::Name) => say(
            SKYNETX_ERR_ARGUMENT,
            ": a name is not empty and has no blanks",
        ),
        Err(Refused::Init) => say(SKYNETX_ERR_ARGUMENT, " has no init"),
        Err(Refused::Taken) => say(SKYNETX_ERR_EXISTS, " exists already"),
    }
}

/// As `skynet_start`, but returns in every case: 0 when the node ran and its last service is gone,
/// otherwise one of the codes, with nothing left running. Strings that are NULL stand for the defaults of
/// the config file. The settings go into the environment store, for the keys that are not there yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynetx_start(config: *mut SkynetConfig) -> c_int {
    // SAFETY: the caller's struct and its strings are valid through the call.
    let config = unsafe {
        match config.as_ref() {
            Some(config) => config.read(),
            None => return fail(SKYNETX_ERR_ARGUMENT, b"there is no configuration"),
        }
    };
    let outcome = config.check().and_then(|()| {
        config.publish();
        runtime::run(&config, Owner::Program)
    });
    let Err(failure) = outcome else { return 0 };
    let code = match failure {
        Failure::Setting(_) => SKYNETX_ERR_ARGUMENT,
        Failure::Started => SKYNETX_ERR_STARTED,
        Failure::System(_) => SKYNETX_ERR_SYSTEM,
        Failure::LogService(_) => SKYNETX_ERR_LOGSERVICE,
        Failure::Bootstrap(_) => SKYNETX_ERR_BOOTSTRAP,
    };
    fail(code, failure.line())
}

/// As `skynet_timeout`, but in milliseconds: the message comes when `ms` milliseconds have passed, a few
/// tenths of a millisecond later at most on an idle machine, and never before. The session, or −1 when `ms`
/// is not positive and there is no such service.
#[unsafe(no_mangle)]
pub extern "C" fn skynetx_timeout_ms(handle: u32, ms: c_int, session: c_int) -> c_int {
    if command::set_timeout_ms(handle, ms, session) {
        session
    } else {
        -1
    }
}

/// Takes back a timeout of `skynet_timeout`, `skynetx_timeout_ms` or the command TIMEOUT. 1 when it was
/// pending, and then its message does not come; 0 when its message is queued or handled already, or there
/// was no such timeout. When one service set several under one session, it is the last that is taken back.
#[unsafe(no_mangle)]
pub extern "C" fn skynetx_timeout_cancel(handle: u32, session: c_int) -> c_int {
    c_int::from(NODE.timer.cancel(Expiry { handle, session }))
}

/// 1 switches Nagle's algorithm off, 0 on.
pub const SKYNETX_SOCKET_NODELAY: c_int = 1;
/// Bytes of unsent output above which SKYNETX_SOCKET_WRITE_ACTION follows; 0 for no limit.
pub const SKYNETX_SOCKET_WRITE_LIMIT: c_int = 2;
/// What follows when there is more: SKYNETX_WRITE_WARN, SKYNETX_WRITE_PAUSE or SKYNETX_WRITE_CLOSE.
pub const SKYNETX_SOCKET_WRITE_ACTION: c_int = 3;
/// Milliseconds without input and without progress of queued output after which the socket ends with an
/// ERROR; 0 for no limit. Time while its owner does not read does not count. As a default (id 0) it is for
/// accepted connections.
pub const SKYNETX_SOCKET_IDLE_MS: c_int = 4;
/// Seconds of silence before the first keep-alive probe.
pub const SKYNETX_SOCKET_KEEPALIVE_IDLE: c_int = 5;
/// Seconds between keep-alive probes.
pub const SKYNETX_SOCKET_KEEPALIVE_INTERVAL: c_int = 6;
/// How many probes without an answer end the connection.
pub const SKYNETX_SOCKET_KEEPALIVE_COUNT: c_int = 7;
/// Milliseconds that a connect may take from now on, look-up included; 0 for no limit. The time is divided
/// among the addresses of the name. As a default (id 0): that each connect may take.
pub const SKYNETX_SOCKET_CONNECT_MS: c_int = 8;

/// A log line.
pub const SKYNETX_WRITE_WARN: c_int = 0;
/// A log line, and nothing is read from the socket until half of the limit is left.
pub const SKYNETX_WRITE_PAUSE: c_int = 1;
/// A log line, an ERROR, and the end of the socket; its output is thrown away.
pub const SKYNETX_WRITE_CLOSE: c_int = 2;

/// Sets an option of a TCP socket; what is set for a listener goes over to the connections that it accepts
/// from then on. Id 0 sets what sockets made from then on begin with, in place of the config's. 0, or -1 for
/// an unknown id, one that is no TCP socket, an unknown option, a value that cannot be, and
/// SKYNETX_SOCKET_CONNECT_MS when nothing is being connected. Any thread may call it.
#[unsafe(no_mangle)]
pub extern "C" fn skynetx_socket_option(id: c_int, option: c_int, value: i64) -> c_int {
    let setting = match (option, value) {
        (SKYNETX_SOCKET_NODELAY, 0 | 1) => Some(Setting::NoDelay(value == 1)),
        (SKYNETX_SOCKET_WRITE_LIMIT, 0..) => usize::try_from(value).ok().map(Setting::WriteLimit),
        (SKYNETX_SOCKET_WRITE_ACTION, _) => match c_int::try_from(value) {
            Ok(SKYNETX_WRITE_WARN) => Some(Setting::WriteAction(Action::Warn)),
            Ok(SKYNETX_WRITE_PAUSE) => Some(Setting::WriteAction(Action::Pause)),
            Ok(SKYNETX_WRITE_CLOSE) => Some(Setting::WriteAction(Action::Close)),
            _ => None,
        },
        (SKYNETX_SOCKET_IDLE_MS, _) => limit_ms(value).map(Setting::Idle),
        (SKYNETX_SOCKET_CONNECT_MS, _) => limit_ms(value).map(Setting::Connect),
        // The largest that the system takes.
        (SKYNETX_SOCKET_KEEPALIVE_IDLE, 1..=32_767) => Some(Setting::KeepAliveIdle(value as u32)),
        (SKYNETX_SOCKET_KEEPALIVE_INTERVAL, 1..=32_767) => {
            Some(Setting::KeepAliveInterval(value as u32))
        }
        (SKYNETX_SOCKET_KEEPALIVE_COUNT, 1..=127) => Some(Setting::KeepAliveCount(value as u32)),
        _ => None,
    };
    let (Some(engine), Some(setting)) = (net::engine(), setting) else {
        return -1;
    };
    if id == 0 {
        engine.set_default(setting);
        return 0;
    }
    match engine.set_option(SocketId(id), setting) {
        Ok(()) => 0,
        Err(_) => -1,
    }
}

/// A time limit in milliseconds, up to some weeks; 0 is none.
fn limit_ms(value: i64) -> Option<Option<Duration>> {
    let ms = u32::try_from(value).ok()?;
    Some((ms > 0).then_some(Duration::from_millis(ms.into())))
}

/// Memory of a service that has ended.
#[repr(C)]
pub struct SkynetxMemory {
    pub handle: u32,
    /// How much is in use still.
    pub bytes: usize,
    /// In how many blocks.
    pub blocks: usize,
}

/// Which services have ended while blocks of theirs are in use: what they forgot, or passed on to others.
/// Fills in at most `room` of them, ordered by the low half of the handle, and answers how many there are.
/// With room 0 list may be NULL. As in all accounts of malloc_hook.h, a later service with the same low
/// half (and, at level 1.8, only once nothing is left) takes the account over. Nothing is known without
/// jemalloc, and in programs that libskynet.so is a part of.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynetx_memory_left(list: *mut SkynetxMemory, room: usize) -> usize {
    let alive = |handle| NODE.with(handle, |_| ()).is_some();
    let mut count = 0;
    for left in memory::left(alive) {
        if count < room {
            let entry = SkynetxMemory {
                handle: left.handle,
                bytes: left.bytes,
                blocks: left.blocks,
            };
            // SAFETY: the caller's list has room for that many.
            unsafe { list.add(count).write(entry) };
        }
        count += 1;
    }
    count
}

/// From now on the bytes that a service uses beside those of malloc are what `bytes` points to; snlua says in
/// this way how much memory its Lua state has. Any thread may read it at any time, up to the service's release,
/// so it must be written whole. NULL ends that.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynetx_memory_publish(ctx: *mut SkynetContext, bytes: *const usize) {
    // SAFETY: the caller's context is alive, and its number is what the header says.
    unsafe {
        if let Some(context) = context(ctx) {
            footprint::publish(context, bytes.cast::<AtomicUsize>());
        }
    }
}

/// Memory of a service that lives.
#[repr(C)]
pub struct SkynetxMemoryService {
    pub handle: u32,
    /// Bytes that it publishes, which is its Lua memory.
    pub lua: usize,
    /// Bytes of its blocks of malloc.
    pub c: usize,
    /// How many messages wait for it.
    pub messages: usize,
}

/// What each service uses, without asking it. Fills in at most `room` of them and answers how many there are. With
/// room 0 list may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynetx_memory_services(
    list: *mut SkynetxMemoryService,
    room: usize,
) -> usize {
    let services = footprint::services();
    for (at, service) in services.iter().enumerate().take(room) {
        let entry = SkynetxMemoryService {
            handle: service.handle,
            lua: service.lua,
            c: service.c,
            messages: service.messages,
        };
        // SAFETY: the caller's list has room for that many.
        unsafe { list.add(at).write(entry) };
    }
    services.len()
}

/// Where the memory of the process is, in bytes. Later versions may add figures at the end.
#[repr(C)]
pub struct SkynetxMemoryMap {
    /// What the system says is resident; 0 where it does not.
    pub resident: usize,
    /// What the parts, from lua to other, add up to, without untouched.
    pub sum: usize,
    /// Lua memory of live services, of those whose module publishes it.
    pub lua: usize,
    /// That of ended services that somebody has a reference to.
    pub lua_ended: usize,
    /// Blocks of malloc of live services.
    pub c: usize,
    /// Those of ended services.
    pub c_ended: usize,
    /// Those of no service: of the core and of other threads.
    pub c_nobody: usize,
    /// What else jemalloc has given out: Lua states that nobody publishes, sizes rounded up.
    pub uncounted: usize,
    /// Free blocks that threads keep for themselves.
    pub thread_caches: usize,
    /// Free blocks on pages that are in use.
    pub fragments: usize,
    /// Free pages that were not given back to the system yet.
    pub free_pages: usize,
    /// What jemalloc needs for itself.
    pub metadata: usize,
    /// Program and libraries, with their variables.
    pub files: usize,
    /// Stacks of threads.
    pub stacks: usize,
    /// Memory of other allocators, and pages of the kernel.
    pub other: usize,
    /// How much of the above is not resident, because nobody touched it yet. Goes off the sum.
    pub untouched: usize,
    /// Of the blocks of malloc: the messages that wait.
    pub messages: usize,
    /// Of the blocks of malloc: compiled files, tables and strings that Lua states share; 0 if Lua does not say.
    pub shared: usize,
    /// Addresses that jemalloc keeps for later, without memory behind them; part of nothing.
    pub retained: usize,
}

/// Finds out where the memory is. Fills in `size` bytes of the map, or less if this core has fewer figures, and
/// answers how many bytes those are that it has. It takes some milliseconds, more in a process of many gigabytes.
/// The figures are not of one instant. Without jemalloc, and in programs that libskynet.so is a part of, blocks of
/// malloc are in other.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynetx_memory_map(map: *mut SkynetxMemoryMap, size: usize) -> usize {
    let print = footprint::footprint();
    let found = SkynetxMemoryMap {
        resident: print.resident,
        sum: print.sum(),
        lua: print.lua,
        lua_ended: print.lua_ended,
        c: print.c,
        c_ended: print.c_ended,
        c_nobody: print.c_nobody,
        uncounted: print.uncounted,
        thread_caches: print.thread_caches,
        fragments: print.fragments,
        free_pages: print.free_pages,
        metadata: print.metadata,
        files: print.files,
        stacks: print.stacks,
        other: print.other,
        untouched: print.untouched,
        messages: print.messages,
        shared: print.shared,
        retained: print.retained,
    };
    let known = size_of::<SkynetxMemoryMap>();
    // SAFETY: the caller's map has that size; integers have no padding between them.
    unsafe {
        std::ptr::from_ref(&found)
            .cast::<u8>()
            .copy_to_nonoverlapping(map.cast::<u8>(), size.min(known));
    }
    known
}
