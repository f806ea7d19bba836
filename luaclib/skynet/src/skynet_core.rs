//! `skynet.core`: what a Lua service asks of its node — send, receive, commands, clocks, the log.
//!
//! The functions come into being when they are used first, see [`missing_field`].

use core::ffi::{CStr, c_char, c_int, c_void};
use core::mem::MaybeUninit;
use core::ptr;
use std::sync::OnceLock;

use skynet_sys::lua::*;
use skynet_sys::{
    API_HEAD, PTYPE_TAG_ALLOCSESSION, PTYPE_TAG_DONTCOPY, SkynetContext, skynet_callback,
    skynet_command, skynet_error, skynet_isremote, skynet_now, skynet_send, skynet_sendname,
};

use crate::luax::{
    check_pointer, check_size, context, new_module, push_block, push_context, raise,
};
use crate::seri;

/// `skynet_send` says so when a message exceeds the size field.
const TOO_LARGE: c_int = -2;

/// Destination argument 1: a handle, or a name.
enum Destination {
    Handle(u32),
    Name(*const c_char),
}

/// # Safety
/// Called by Lua. May raise; the name lives as long as argument 1.
#[inline(always)]
unsafe fn destination(l: *mut lua_State) -> Destination {
    // SAFETY: as the caller promises; lua_tolstring is asked for strings only.
    unsafe {
        let kind = lua_type(l, 1);
        if kind == LUA_TSTRING {
            let name = lua_tolstring(l, 1, ptr::null_mut());
            // A string that reads as a number is a handle. `:x` and `.x` never do: spare them the attempt.
            let first = *name as u8;
            let second = if first == b'.' { *name.add(1) as u8 } else { 0 };
            let plainly_a_name = first == b':' || (first == b'.' && !second.is_ascii_digit());
            if plainly_a_name {
                return Destination::Name(name);
            }
            return match lua_tointeger(l, 1) as u32 {
                0 => Destination::Name(name),
                handle => Destination::Handle(handle),
            };
        }
        match lua_tointeger(l, 1) as u32 {
            0 if kind == LUA_TNUMBER => raise!(l, c"Invalid service address 0"),
            0 => raise!(
                l,
                c"dest address type (%s) must be a string or number.",
                lua_typename(l, kind)
            ),
            handle => Destination::Handle(handle),
        }
    }
}

/// Sends to argument 1 as `source`; type, session, message and size are the arguments from `first` on.
#[inline(always)]
unsafe fn send_as(l: *mut lua_State, source: u32, first: c_int) -> c_int {
    // SAFETY: called by Lua, one slot. The core copies a string before it returns and takes over a block.
    unsafe {
        let ctx = context(l);
        let destination = destination(l);
        // The bits above the type are the core's flags and no business of scripts.
        let mut kind = luaL_checkinteger(l, first) as c_int & 0xff;
        let session = if lua_type(l, first + 1) == LUA_TNIL {
            kind |= PTYPE_TAG_ALLOCSESSION;
            0
        } else {
            luaL_checkinteger(l, first + 1) as c_int
        };
        let mut size = 0;
        let message: *mut c_void = match lua_type(l, first + 2) {
            LUA_TSTRING => {
                let text = lua_tolstring(l, first + 2, &mut size);
                if size == 0 {
                    ptr::null_mut()
                } else {
                    text.cast_mut().cast()
                }
            }
            LUA_TLIGHTUSERDATA => {
                // A negative size becomes huge and is refused, and the block released, by the core.
                size = luaL_checkinteger(l, first + 3) as usize;
                kind |= PTYPE_TAG_DONTCOPY;
                lua_touserdata(l, first + 2)
            }
            other => raise!(l, c"invalid param %s", lua_typename(l, other)),
        };
        let sent = match destination {
            Destination::Handle(handle) => {
                skynet_send(ctx, source, handle, kind, session, message, size)
            }
            Destination::Name(name) => {
                skynet_sendname(ctx, source, name, kind, session, message, size)
            }
        };
        match sent {
            0.. => lua_pushinteger(l, sent.into()),
            TOO_LARGE => lua_pushboolean(l, 0),
            _ => return 0,
        }
    }
    1
}

unsafe extern "C-unwind" fn send(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { send_as(l, 0, 2) }
}

unsafe extern "C-unwind" fn redirect(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let source = luaL_checkinteger(l, 2) as u32;
        send_as(l, source, 3)
    }
}

unsafe extern "C-unwind" fn genid(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; one slot. A message to nobody only draws a session.
    unsafe {
        let session = skynet_send(
            context(l),
            0,
            0,
            PTYPE_TAG_ALLOCSESSION,
            0,
            ptr::null_mut(),
            0,
        );
        lua_pushinteger(l, session.into());
    }
    1
}

/// Commands that mean nothing without a parameter; the core does not promise to survive NULL for them.
const NEED_PARAMETER: [&CStr; 11] = [
    c"TIMEOUT", c"QUERY", c"NAME", c"KILL", c"LAUNCH", c"GETENV", c"SETENV", c"STAT", c"LOGON",
    c"LOGOFF", c"SIGNAL",
];

/// Runs a command with a parameter that may be NULL.
unsafe fn run_command(
    l: *mut lua_State,
    command: *const c_char,
    parameter: *const c_char,
) -> *const c_char {
    // SAFETY: called by Lua; Lua strings are NUL terminated.
    unsafe {
        if parameter.is_null() && NEED_PARAMETER.contains(&CStr::from_ptr(command)) {
            raise!(l, c"command %s needs a parameter", command);
        }
        skynet_command(context(l), command, parameter)
    }
}

/// The parameter counts only if there are exactly two arguments.
unsafe fn text_parameter(l: *mut lua_State) -> *const c_char {
    // SAFETY: called by Lua.
    unsafe {
        if lua_gettop(l) == 2 {
            luaL_checkstring(l, 2)
        } else {
            ptr::null()
        }
    }
}

unsafe extern "C-unwind" fn command(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; one slot.
    unsafe {
        let name = luaL_checkstring(l, 1);
        let result = run_command(l, name, text_parameter(l));
        if result.is_null() {
            return 0;
        }
        lua_pushstring(l, result);
    }
    1
}

/// Reads `:HEX`.
fn parse_handle(text: &[u8]) -> Option<u32> {
    let (b':', digits) = text.split_first()? else {
        return None;
    };
    digits.iter().try_fold(0u32, |handle, &digit| {
        let digit = (digit as char).to_digit(16)?;
        Some(handle << 4 | digit)
    })
}

unsafe extern "C-unwind" fn addresscommand(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; one slot. The result lives until the next command.
    unsafe {
        let name = luaL_checkstring(l, 1);
        let result = run_command(l, name, text_parameter(l));
        if result.is_null() {
            return 0;
        }
        match parse_handle(CStr::from_ptr(result).to_bytes()) {
            Some(handle) => lua_pushinteger(l, handle.into()),
            None => return 0,
        }
    }
    1
}

/// Pushes the number that a command's result stands for, as C reads literals. False if it is none.
unsafe fn push_number(l: *mut lua_State, text: *const c_char) -> bool {
    // SAFETY: `text` is NUL terminated, one slot.
    unsafe {
        let mut end: *mut c_char = ptr::null_mut();
        let integer = libc::strtoll(text, &mut end, 0);
        if *end == 0 {
            lua_pushinteger(l, integer);
            return true;
        }
        let number = libc::strtod(text, &mut end);
        if *end == 0 {
            lua_pushnumber(l, number);
            return true;
        }
    }
    false
}

unsafe extern "C-unwind" fn intcommand(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; two slots. The rendered number lives in this frame until the command has run.
    unsafe {
        let name = luaL_checkstring(l, 1);
        let mut digits = [0u8; 16];
        let parameter = if lua_gettop(l) != 2 {
            ptr::null()
        } else if lua_isnumber(l, 2) != 0 {
            let number = luaL_checkinteger(l, 2) as c_int;
            render_decimal(number, &mut digits)
        } else {
            luaL_checkstring(l, 2)
        };
        let result = run_command(l, name, parameter);
        if result.is_null() {
            return 0;
        }
        if !push_number(l, result) {
            raise!(l, c"Invalid result %s", result);
        }
    }
    1
}

/// `value` in decimal, NUL terminated, in `buffer`.
fn render_decimal(value: c_int, buffer: &mut [u8; 16]) -> *const c_char {
    let mut rest = value.unsigned_abs();
    let mut at = buffer.len() - 1;
    loop {
        at -= 1;
        buffer[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        at -= 1;
        buffer[at] = b'-';
    }
    buffer[at..].as_ptr().cast()
}

unsafe extern "C-unwind" fn error(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the buffer keeps its memory on the Lua stack, on which `tostring` results come and go.
    unsafe {
        let count = lua_gettop(l);
        let mut length = 0;
        let text = if count <= 1 {
            lua_settop(l, 1);
            luaL_tolstring(l, 1, &mut length)
        } else {
            let mut joined = MaybeUninit::<luaL_Buffer>::uninit();
            let joined = joined.as_mut_ptr();
            luaL_buffinit(l, joined);
            for at in 1..=count {
                if at > 1 {
                    luaL_addchar(joined, b' ' as c_char);
                }
                luaL_tolstring(l, at, ptr::null_mut());
                luaL_addvalue(joined);
            }
            luaL_pushresult(joined);
            lua_tolstring(l, -1, &mut length)
        };
        if API_HEAD {
            // This very format makes the core log exactly so many bytes.
            skynet_error(context(l), c"%*s".as_ptr(), length as c_int, text);
        } else {
            skynet_error(context(l), c"%s".as_ptr(), text);
        }
    }
    0
}

unsafe extern "C-unwind" fn tostring(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; one slot. The script vouches for the block and its size.
    unsafe {
        if lua_isnoneornil(l, 1) != 0 {
            return 0;
        }
        let size = check_size(l, 2);
        let block = match size {
            0 => ptr::null_mut(),
            _ => check_pointer(l, 1),
        };
        push_block(l, block, size);
    }
    1
}

unsafe extern "C-unwind" fn trash(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua. The script hands over a heap block.
    unsafe {
        match lua_type(l, 1) {
            LUA_TSTRING => {}
            LUA_TLIGHTUSERDATA => {
                luaL_checkinteger(l, 2);
                libc::free(lua_touserdata(l, 1));
            }
            other => raise!(l, c"skynet.trash invalid param %s", lua_typename(l, other)),
        }
    }
    0
}

unsafe extern "C-unwind" fn harbor(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; two slots.
    unsafe {
        let handle = luaL_checkinteger(l, 1) as u32;
        let mut harbor = 0;
        let remote = skynet_isremote(context(l), handle, &mut harbor);
        lua_pushinteger(l, harbor.into());
        lua_pushboolean(l, remote);
    }
    2
}

unsafe extern "C-unwind" fn now(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; one slot.
    unsafe { lua_pushinteger(l, skynet_now() as lua_Integer) };
    1
}

/// What our core has beside upstream's interface.
struct Additions {
    timeout_ms: unsafe extern "C" fn(u32, c_int, c_int) -> c_int,
    timeout_cancel: unsafe extern "C" fn(u32, c_int) -> c_int,
}

/// Looked up by name, so that this object loads where they are absent.
fn additions() -> Option<&'static Additions> {
    static FOUND: OnceLock<Option<Additions>> = OnceLock::new();
    let find = |name: &CStr| {
        // SAFETY: the name is NUL terminated.
        let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
        (!found.is_null()).then_some(found)
    };
    let find_all = || {
        let timeout_ms = find(c"skynetx_timeout_ms")?;
        let timeout_cancel = find(c"skynetx_timeout_cancel")?;
        // SAFETY: skynetx.h declares functions of these names and types; a data pointer and a function pointer
        // have the same representation on every platform with dlsym.
        Some(unsafe {
            Additions {
                timeout_ms: core::mem::transmute::<
                    *mut c_void,
                    unsafe extern "C" fn(u32, c_int, c_int) -> c_int,
                >(timeout_ms),
                timeout_cancel: core::mem::transmute::<
                    *mut c_void,
                    unsafe extern "C" fn(u32, c_int) -> c_int,
                >(timeout_cancel),
            }
        })
    };
    FOUND.get_or_init(find_all).as_ref()
}

/// `timeout_ms(handle, ms, session)`.
unsafe extern "C-unwind" fn timeout_ms(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; only registered when the addition is there, and it takes any numbers.
    unsafe {
        let handle = luaL_checkinteger(l, 1) as u32;
        // What is longer than the core can count, 24 days, is cut.
        let ms = luaL_checkinteger(l, 2).min(c_int::MAX.into()).max(0) as c_int;
        let session = luaL_checkinteger(l, 3) as c_int;
        if let Some(additions) = additions() {
            (additions.timeout_ms)(handle, ms, session);
        }
    }
    0
}

/// `timeout_cancel(handle, session)`: whether it was pending.
unsafe extern "C-unwind" fn timeout_cancel(l: *mut lua_State) -> c_int {
    // SAFETY: as above; one slot.
    unsafe {
        let handle = luaL_checkinteger(l, 1) as u32;
        let session = luaL_checkinteger(l, 2) as c_int;
        let pending =
            additions().is_some_and(|additions| (additions.timeout_cancel)(handle, session) != 0);
        lua_pushboolean(l, pending.into());
    }
    1
}

/// Monotonic nanoseconds.
fn monotonic() -> i64 {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: this clock always exists, so the call fills `time`.
    let time = unsafe {
        libc::clock_gettime(libc::CLOCK_MONOTONIC, time.as_mut_ptr());
        time.assume_init()
    };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

unsafe extern "C-unwind" fn hpc(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; one slot.
    unsafe { lua_pushinteger(l, monotonic()) };
    1
}

/// Positions that `trace` reports at most.
const TRACE_POSITIONS: usize = 3;

unsafe extern "C-unwind" fn trace(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua. A source text belongs to a function that is on the traced stack, so it outlives the
    // log call.
    unsafe {
        let ctx = context(l);
        let tag = luaL_checkstring(l, 1);
        let user = luaL_checkstring(l, 2);
        let (thread, mut level) = if lua_isnoneornil(l, 3) != 0 {
            (ptr::null_mut(), 0)
        } else if lua_isthread(l, 3) != 0 {
            (lua_tothread(l, 3), luaL_optinteger(l, 4, 1) as c_int)
        } else {
            (l, luaL_optinteger(l, 3, 1) as c_int)
        };

        let mut positions = [(ptr::null::<c_char>(), 0 as c_int); TRACE_POSITIONS];
        let mut found = 0;
        let mut frame = MaybeUninit::<lua_Debug>::uninit();
        let frame = frame.as_mut_ptr();
        while found < TRACE_POSITIONS
            && !thread.is_null()
            && level >= 0
            && lua_getstack(thread, level, frame) != 0
        {
            level += 1;
            lua_getinfo(thread, c"Sl".as_ptr(), frame);
            if (*frame).currentline >= 0 {
                positions[found] = ((*frame).source, (*frame).currentline);
                found += 1;
            }
        }

        let time = monotonic();
        let [a, b, c] = positions;
        match found {
            0 => skynet_error(ctx, c"<TRACE %s> %lld %s".as_ptr(), tag, time, user),
            1 => skynet_error(
                ctx,
                c"<TRACE %s> %lld %s : %s:%d".as_ptr(),
                tag,
                time,
                user,
                a.0,
                a.1,
            ),
            2 => skynet_error(
                ctx,
                c"<TRACE %s> %lld %s : %s:%d %s:%d".as_ptr(),
                tag,
                time,
                user,
                a.0,
                a.1,
                b.0,
                b.1,
            ),
            _ => skynet_error(
                ctx,
                c"<TRACE %s> %lld %s : %s:%d %s:%d %s:%d".as_ptr(),
                tag,
                time,
                user,
                a.0,
                a.1,
                b.0,
                b.1,
                c.0,
                c.1,
            ),
        }
    }
    0
}

// The message handler. The script's function is in the registry; the first message puts it onto the stack of the
// main thread, where nothing else runs while a message is handled:
//   1  the error handler below
//   2  the script's function
// A host that keeps values of its own on that stack is served all the same, a little slower.

fn anchor() -> *const c_void {
    static KEY: u8 = 0;
    (&raw const KEY).cast()
}

const SLOT_TRACEBACK: c_int = 1;
const SLOT_FUNCTION: c_int = 2;

/// Message handler of `lua_pcall`: the message with a traceback, or a word that there is none.
unsafe extern "C-unwind" fn traceback(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua with the error object.
    unsafe {
        let message = lua_tolstring(l, 1, ptr::null_mut());
        if message.is_null() {
            lua_pushstring(l, c"(no error message)".as_ptr());
        } else {
            luaL_traceback(l, l, message, 1);
        }
    }
    1
}

/// Hands one message to the function in its slot. Returns what the core wants to know: whether the message is
/// taken over.
unsafe extern "C" fn dispatch<const FORWARD: bool>(
    ctx: *mut SkynetContext,
    ud: *mut c_void,
    kind: c_int,
    session: c_int,
    source: u32,
    message: *const c_void,
    size: usize,
) -> c_int {
    let l: *mut lua_State = ud.cast();
    // SAFETY: `ud` is the main thread; it holds two values and has LUA_MINSTACK slots. Pushing these values
    // allocates nothing, so nothing raises outside the protected call.
    unsafe {
        lua_pushvalue(l, SLOT_FUNCTION);
        call(ctx, l, SLOT_TRACEBACK, kind, session, source, message, size);
    }
    FORWARD.into()
}

/// The same with what is on the stack above the host's values.
unsafe extern "C" fn dispatch_above<const FORWARD: bool>(
    ctx: *mut SkynetContext,
    ud: *mut c_void,
    kind: c_int,
    session: c_int,
    source: u32,
    message: *const c_void,
    size: usize,
) -> c_int {
    let l: *mut lua_State = ud.cast();
    // SAFETY: as above; a host that lets the core call us leaves the usual slots free.
    unsafe {
        let top = lua_gettop(l);
        push_handler(l);
        call(ctx, l, top + 1, kind, session, source, message, size);
        lua_settop(l, top);
    }
    FORWARD.into()
}

/// The first message of a registration: the function of the one before, if any, has returned.
unsafe extern "C" fn dispatch_first<const FORWARD: bool>(
    ctx: *mut SkynetContext,
    ud: *mut c_void,
    kind: c_int,
    session: c_int,
    source: u32,
    message: *const c_void,
    size: usize,
) -> c_int {
    let l: *mut lua_State = ud.cast();
    // SAFETY: as in `dispatch`; the service itself is running.
    unsafe {
        let same = |f: lua_CFunction| f as usize == traceback as lua_CFunction as usize;
        if lua_gettop(l) == SLOT_FUNCTION && lua_tocfunction(l, SLOT_TRACEBACK).is_some_and(same) {
            lua_settop(l, 0);
        }
        let next = if lua_gettop(l) == 0 {
            push_handler(l);
            dispatch::<FORWARD>
        } else {
            dispatch_above::<FORWARD>
        };
        skynet_callback(ctx, ud, Some(next));
        next(ctx, ud, kind, session, source, message, size)
    }
}

/// Pushes the error handler and the script's function.
unsafe fn push_handler(l: *mut lua_State) {
    // SAFETY: two slots; neither function nor key is new.
    unsafe {
        lua_pushcclosure(l, traceback, 0);
        lua_rawgetp(l, LUA_REGISTRYINDEX, anchor());
    }
}

/// Calls the function on top of the stack; the error handler is at `handler`.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn call(
    ctx: *mut SkynetContext,
    l: *mut lua_State,
    handler: c_int,
    kind: c_int,
    session: c_int,
    source: u32,
    message: *const c_void,
    size: usize,
) {
    // SAFETY: five slots, plain values.
    unsafe {
        lua_pushinteger(l, kind.into());
        lua_pushlightuserdata(l, message.cast_mut());
        lua_pushinteger(l, size as lua_Integer);
        lua_pushinteger(l, session.into());
        lua_pushinteger(l, source.into());
        let status = lua_pcall(l, 5, 0, handler);
        if status != LUA_OK {
            log_failure(ctx, l, status, session, source, size);
        }
    }
}

/// Logs what `lua_pcall` left on top of the stack, and takes it off.
#[cold]
unsafe fn log_failure(
    ctx: *mut SkynetContext,
    l: *mut lua_State,
    status: c_int,
    session: c_int,
    source: u32,
    size: usize,
) {
    // SAFETY: the handler left a string, so lua_tolstring converts nothing; REG without a name always answers.
    unsafe {
        let own = skynet_command(ctx, c"REG".as_ptr(), ptr::null());
        match status {
            LUA_ERRRUN => skynet_error(
                ctx,
                c"lua call [%x to %s : %d msgsz = %d] error : \x1b[31m%s\x1b[0m".as_ptr(),
                source,
                own,
                session,
                size as c_int,
                lua_tolstring(l, -1, ptr::null_mut()),
            ),
            LUA_ERRMEM => skynet_error(
                ctx,
                c"lua memory error : [%x to %s : %d]".as_ptr(),
                source,
                own,
                session,
            ),
            LUA_ERRERR => skynet_error(
                ctx,
                c"lua error in error : [%x to %s : %d]".as_ptr(),
                source,
                own,
                session,
            ),
            _ => {}
        }
        lua_pop(l, 1);
    }
}

unsafe extern "C-unwind" fn callback(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua, in the service that is running. The function is anchored before the core learns of it.
    unsafe {
        let forward = lua_toboolean(l, 2) != 0;
        luaL_checktype(l, 1, LUA_TFUNCTION);
        lua_settop(l, 1);
        lua_rawsetp(l, LUA_REGISTRYINDEX, anchor());
        lua_rawgeti(l, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
        let first = if forward {
            dispatch_first::<true>
        } else {
            dispatch_first::<false>
        };
        skynet_callback(context(l), lua_tothread(l, -1).cast(), Some(first));
    }
    0
}

/// What a function finds in its upvalue.
#[derive(Clone, Copy)]
enum Upvalue {
    None,
    /// The service context.
    Context,
    /// The name of the metafield that packers look for.
    Pairs,
}

struct Field {
    name: &'static CStr,
    function: lua_CFunction,
    upvalue: Upvalue,
}

const fn field(name: &'static CStr, function: lua_CFunction, upvalue: Upvalue) -> Field {
    Field {
        name,
        function,
        upvalue,
    }
}

const FIELDS: &[Field] = &[
    field(c"send", send, Upvalue::Context),
    field(c"redirect", redirect, Upvalue::Context),
    field(c"genid", genid, Upvalue::Context),
    field(c"command", command, Upvalue::Context),
    field(c"addresscommand", addresscommand, Upvalue::Context),
    field(c"intcommand", intcommand, Upvalue::Context),
    field(c"error", error, Upvalue::Context),
    field(c"harbor", harbor, Upvalue::Context),
    field(c"callback", callback, Upvalue::Context),
    field(c"trace", trace, Upvalue::Context),
    field(c"pack", seri::pack, Upvalue::Pairs),
    field(c"packstring", seri::packstring, Upvalue::Pairs),
    field(c"unpack", seri::unpack, Upvalue::None),
    field(c"tostring", tostring, Upvalue::None),
    field(c"trash", trash, Upvalue::None),
    field(c"now", now, Upvalue::None),
    field(c"hpc", hpc, Upvalue::None),
];

/// Only where the core has them.
const ADDITIONS: &[Field] = &[
    field(c"timeout_ms", timeout_ms, Upvalue::None),
    field(c"timeout_cancel", timeout_cancel, Upvalue::None),
];

fn fields() -> impl Iterator<Item = &'static Field> {
    let more = if additions().is_some() {
        ADDITIONS
    } else {
        &[]
    };
    FIELDS.iter().chain(more)
}

/// Puts a function into the module table at stack position 1, and pushes it. The running function has the service
/// context as its upvalue.
unsafe fn set_field(l: *mut lua_State, field: &Field) {
    // SAFETY: called by Lua; three slots.
    unsafe {
        let upvalues = match field.upvalue {
            Upvalue::None => 0,
            Upvalue::Context => {
                lua_pushvalue(l, lua_upvalueindex(1));
                1
            }
            Upvalue::Pairs => {
                lua_pushstring(l, c"__pairs".as_ptr());
                1
            }
        };
        lua_pushcclosure(l, field.function, upvalues);
        lua_pushstring(l, field.name.as_ptr());
        lua_pushvalue(l, -2);
        lua_rawset(l, 1);
    }
}

/// `__index` of the module: makes the function that is used for the first time. A service uses few of them.
unsafe extern "C-unwind" fn missing_field(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the name lives as long as argument 2.
    unsafe {
        luaL_checktype(l, 1, LUA_TTABLE);
        if lua_type(l, 2) != LUA_TSTRING {
            return 0;
        }
        let name = CStr::from_ptr(lua_tolstring(l, 2, ptr::null_mut()));
        match fields().find(|field| field.name == name) {
            Some(field) => set_field(l, field),
            None => return 0,
        }
    }
    1
}

/// `__pairs` of the module: whoever walks it sees all functions.
unsafe extern "C-unwind" fn all_fields(l: *mut lua_State) -> c_int {
    unsafe extern "C-unwind" fn next(l: *mut lua_State) -> c_int {
        // SAFETY: called by Lua.
        unsafe {
            luaL_checktype(l, 1, LUA_TTABLE);
            lua_settop(l, 2);
            if lua_next(l, 1) != 0 { 2 } else { 0 }
        }
    }
    // SAFETY: called by Lua; the loop leaves the stack as it was.
    unsafe {
        luaL_checktype(l, 1, LUA_TTABLE);
        lua_settop(l, 1);
        for field in fields() {
            lua_pushstring(l, field.name.as_ptr());
            if lua_rawget(l, 1) == LUA_TNIL {
                set_field(l, field);
            }
            lua_settop(l, 1);
        }
        lua_pushcclosure(l, next, 0);
        lua_pushvalue(l, 1);
    }
    2
}

/// Opens `skynet.core`.
///
/// # Safety
/// Called by Lua's `require`, in a state whose host has left the context in the registry.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn luaopen_skynet_core(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        new_module(l, 8);
        lua_createtable(l, 0, 2);
        for (name, function) in [
            (c"__index", missing_field as lua_CFunction),
            (c"__pairs", all_fields),
        ] {
            push_context(l);
            lua_pushcclosure(l, function, 1);
            lua_setfield(l, -2, name.as_ptr());
        }
        lua_setmetatable(l, -2);
    }
    1
}
