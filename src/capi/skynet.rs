//! `skynet.h`: what every service uses (core.md §1.20.1). `skynet_error` is in `error.c`, because it is
//! variadic; it ends in [`skynetx_error_bytes`].

use super::skynet_server::context;
use super::{optional_text, text};
use crate::core::command::{self, Answer};
use crate::core::handle::REMOTE_SHIFT;
use crate::core::message::MAX_LEN;
use crate::core::node::NODE;
use crate::core::send::{self, Letter, SendError, Session, Target};
use crate::core::{address, current_handle, log, memory, now};
use crate::sys::block::Block;
use crate::sys::cabi::{Callback, SkynetContext};
use std::ffi::{c_char, c_int, c_void};
use std::io::Write;

/// Message types: text for the logger, the gate, the launcher.
pub const PTYPE_TEXT: c_int = 0;
/// The answer to a request, or a timer that ran out.
pub const PTYPE_RESPONSE: c_int = 1;
pub const PTYPE_MULTICAST: c_int = 2;
/// Of a client; also what the monitor service is told of ends.
pub const PTYPE_CLIENT: c_int = 3;
/// From the core: reopen the log; a message for another node.
pub const PTYPE_SYSTEM: c_int = 4;
/// Text for the harbor service.
pub const PTYPE_HARBOR: c_int = 5;
/// Socket events, see skynet_socket.h.
pub const PTYPE_SOCKET: c_int = 6;
/// A request with this session gets no answer.
pub const PTYPE_ERROR: c_int = 7;
/// Used by the Lua libraries, as the next three.
pub const PTYPE_RESERVED_QUEUE: c_int = 8;
pub const PTYPE_RESERVED_DEBUG: c_int = 9;
pub const PTYPE_RESERVED_LUA: c_int = 10;
pub const PTYPE_RESERVED_SNAX: c_int = 11;
/// Flag in the `type` of a send: the core takes `msg` over, whatever the result.
pub const PTYPE_TAG_DONTCOPY: c_int = 0x10000;
/// Flag in the `type` of a send: the core draws the session, the argument is 0.
pub const PTYPE_TAG_ALLOCSESSION: c_int = 0x20000;

/// Sends `len` bytes as a log line of the service; `ctx` NULL stands for the core (core.md §10.1).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynetx_error_bytes(
    ctx: *mut SkynetContext,
    line: *const c_char,
    len: usize,
) {
    // SAFETY: the caller's pointers are what the comment says.
    let (ctx, line) = unsafe {
        let line = if len == 0 {
            &[][..]
        } else {
            std::slice::from_raw_parts(line.cast::<u8>(), len)
        };
        (context(ctx), line)
    };
    log::log_bytes(ctx.map_or(0, |ctx| ctx.handle()), line);
}

/// Runs a text command (core.md §5). NULL for an unknown one, or without context; else a string that is
/// valid until the next command of this service.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_command(
    ctx: *mut SkynetContext,
    cmd: *const c_char,
    parm: *const c_char,
) -> *const c_char {
    // SAFETY: the caller's pointers are what the header says.
    let (ctx, cmd, parm) = unsafe { (context(ctx), text(cmd), optional_text(parm)) };
    let Some(ctx) = ctx else {
        return std::ptr::null();
    };
    match command::run(ctx, cmd, parm) {
        Answer::Nothing => std::ptr::null(),
        // SAFETY: commands are for the service itself (core.md §5.0(3)), so this is its thread.
        Answer::Text(answer) => unsafe { ctx.set_reply(&answer) },
        Answer::Kept(answer) => answer,
    }
}

/// The handle behind `":hex"` or `".name"`, 0 for anything else (core.md §4.5(6)).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_queryname(ctx: *mut SkynetContext, name: *const c_char) -> u32 {
    // SAFETY: the caller's pointers are what the header says.
    let (ctx, name) = unsafe { (context(ctx), text(name)) };
    address::query(ctx.map_or(0, |ctx| ctx.handle()), name)
}

/// What the `type` argument, session, data and length of a send mean; `Err` is the code to return.
///
/// # Safety
/// With DONTCOPY, `msg` is NULL or a `malloc`ed block that is given away; else NULL or `sz` readable
/// bytes.
#[inline(always)]
unsafe fn letter(
    source: u32,
    kind: c_int,
    session: c_int,
    msg: *mut c_void,
    sz: usize,
) -> Result<Letter, SendError> {
    let owned = kind & PTYPE_TAG_DONTCOPY != 0;
    if sz > MAX_LEN {
        if owned {
            // SAFETY: the block was given away; it goes in every outcome (core.md §4.8(3)).
            drop(unsafe { Block::from_raw(msg) });
        }
        return Err(SendError::TooLarge);
    }
    let session = if kind & PTYPE_TAG_ALLOCSESSION != 0 {
        if session != 0 {
            crate::core::fatal(format_args!(
                "a send asked for a new session and gave session {session} too"
            ));
        }
        Session::New
    } else {
        Session::Given(session)
    };
    // SAFETY: the caller's promise on `msg` and `sz`.
    let data = unsafe {
        if owned || msg.is_null() {
            Block::from_raw(msg)
        } else {
            Block::copy_of(std::slice::from_raw_parts(msg.cast::<u8>(), sz))
        }
    };
    Ok(Letter {
        source,
        kind: kind as u8,
        session,
        data,
        len: sz,
    })
}

fn send_result(result: Result<i32, SendError>) -> c_int {
    match result {
        Ok(session) => session,
        Err(SendError::NoDestination) => -1,
        Err(SendError::TooLarge) => -2,
    }
}

/// Sends a message (core.md §4.8): the session, −1 without such a service, −2 when it is too large.
/// `ctx` may be NULL when `source` is given and no session is drawn.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_send(
    ctx: *mut SkynetContext,
    source: u32,
    destination: u32,
    r#type: c_int,
    session: c_int,
    msg: *mut c_void,
    sz: usize,
) -> c_int {
    // SAFETY: the caller's pointers are what the header says.
    let (ctx, letter) = unsafe { (context(ctx), letter(source, r#type, session, msg, sz)) };
    if letter.is_err() {
        send::log_too_large(ctx, format!("{destination:x}").as_bytes());
    }
    send_result(letter.and_then(|letter| send::send(ctx, destination, letter)))
}

/// Sends to an address text (core.md §4.9), see [`skynet_send`]. NULL counts as the global name "".
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_sendname(
    ctx: *mut SkynetContext,
    source: u32,
    destination: *const c_char,
    r#type: c_int,
    session: c_int,
    msg: *mut c_void,
    sz: usize,
) -> c_int {
    // SAFETY: the caller's pointers are what the header says; each arm uses `msg` once.
    unsafe {
        match send::target(text(destination)) {
            Target::Handle(handle) => skynet_send(ctx, source, handle, r#type, session, msg, sz),
            Target::Nobody => {
                if r#type & PTYPE_TAG_DONTCOPY != 0 {
                    drop(Block::from_raw(msg));
                }
                -1
            }
            Target::Global(name) => {
                let (ctx, letter) = (context(ctx), letter(source, r#type, session, msg, sz));
                if letter.is_err() {
                    send::log_too_large(ctx, name.to_bytes());
                }
                send_result(letter.map(|letter| send::send_global(ctx, name, letter)))
            }
        }
    }
}

/// Non-zero when the handle belongs to another node; `*harbor` (unless NULL) is its node number
/// (core.md §4.2(3)).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_isremote(
    ctx: *mut SkynetContext,
    handle: u32,
    harbor: *mut c_int,
) -> c_int {
    let _ = ctx;
    if !harbor.is_null() {
        // SAFETY: the caller's pointer is writable.
        unsafe { *harbor = (handle >> REMOTE_SHIFT) as c_int };
    }
    c_int::from(NODE.harbor.is_remote(handle))
}

/// What a service does with a message. It returns 0 to let the core free `msg`, anything else to keep it.
pub type SkynetCb = Option<
    unsafe extern "C" fn(
        ctx: *mut SkynetContext,
        ud: *mut c_void,
        r#type: c_int,
        session: c_int,
        source: u32,
        msg: *const c_void,
        sz: usize,
    ) -> c_int,
>;

/// Sets the callback of the calling service for its next message on; NULL lets messages be dropped
/// (core.md §4.6). Nothing happens without context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_callback(ctx: *mut SkynetContext, ud: *mut c_void, cb: SkynetCb) {
    // SAFETY: the caller is the service itself, as the contract asks.
    unsafe {
        if let Some(ctx) = context(ctx) {
            ctx.set_callback(cb.map(|function| Callback { function, ud }));
        }
    }
}

/// Handle of the service whose message this thread dispatched last (core.md §4.12).
#[unsafe(no_mangle)]
pub extern "C" fn skynet_current_handle() -> u32 {
    current_handle()
}

/// Centiseconds since the node started (core.md §7.3).
#[unsafe(no_mangle)]
pub extern "C" fn skynet_now() -> u64 {
    now()
}

/// Prints the running service's handle and its bytes (in the form of a pointer) on stderr, with
/// `info` between them; NULL is an empty text.
///
/// # Safety
/// `info` is NULL or a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_debug_memory(info: *const c_char) {
    let handle = current_handle();
    // SAFETY: the caller's promise.
    let info = unsafe { text(info) };
    let mut line = format!("[:{handle:08x}] ").into_bytes();
    line.extend_from_slice(info.to_bytes());
    match memory::of(handle) {
        0 => line.extend_from_slice(b" (nil)\n"),
        bytes => line.extend_from_slice(format!(" {bytes:#x}\n").as_bytes()),
    }
    // A stderr that is closed is not this call's concern.
    let _ = std::io::stderr().write_all(&line);
}
