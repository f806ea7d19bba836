//! `skynet.cluster.core`: the bytes between the nodes of a cluster.
//!
//! Every frame is a two-byte big-endian length and a body; integers in bodies are little endian. A message that is
//! too long for one frame is announced by a header frame and follows in parts. The forms are read by nodes of
//! other versions: nothing here may change them.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::mem::MaybeUninit;
use core::ptr;
use core::slice;

use skynet_sys::lua::*;

use crate::luax::{
    Entry, Guard, check_bytes, check_int, check_pointer, check_size, heap_alloc, heap_copy,
    new_module, push_bytes, raise, set_functions,
};

/// Messages of this size and more travel in parts of this size.
const PART: usize = 0x8000;

// First byte of a request body. A name in place of a numeric address sets the top bit.
const REQUEST: u8 = 0x00;
const LARGE_REQUEST: u8 = 0x01;
const LARGE_PUSH: u8 = 0x41;
const REQUEST_PART: u8 = 0x02;
const REQUEST_LAST: u8 = 0x03;
const TRACE: u8 = 0x04;
const BY_NAME: u8 = 0x80;
const NAMED_REQUEST: u8 = BY_NAME | REQUEST;
const NAMED_LARGE_REQUEST: u8 = BY_NAME | LARGE_REQUEST;
const NAMED_LARGE_PUSH: u8 = BY_NAME | LARGE_PUSH;

// Fifth byte of a response body.
const RESPONSE_ERROR: u8 = 0;
const RESPONSE_OK: u8 = 1;
const RESPONSE_LARGE: u8 = 2;
const RESPONSE_PART: u8 = 3;
const RESPONSE_LAST: u8 = 4;

/// Longest name of an address.
const MAX_NAME: usize = 255;
/// Length field, kind, name with its length, two integers, a part.
const MAX_FRAME: usize = 2 + 1 + 1 + MAX_NAME + 4 + 4 + PART;

/// A frame under construction. The caller keeps to `MAX_FRAME`.
struct Frame {
    bytes: [MaybeUninit<u8>; MAX_FRAME],
    length: usize,
}

impl Frame {
    #[inline(always)]
    fn new() -> Frame {
        Frame {
            bytes: [MaybeUninit::uninit(); MAX_FRAME],
            length: 2,
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        let room = &mut self.bytes[self.length..][..bytes.len()];
        // SAFETY: `room` has that length.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), room.as_mut_ptr().cast(), bytes.len()) };
        self.length += bytes.len();
    }

    fn put_byte(&mut self, byte: u8) {
        self.put(&[byte]);
    }

    fn put_u32(&mut self, value: u32) {
        self.put(&value.to_le_bytes());
    }

    /// Writes the length field and pushes the frame as a string.
    ///
    /// # Safety
    /// `l` is a live Lua state with one free slot. May raise.
    unsafe fn push(&mut self, l: *mut lua_State) {
        let [high, low] = ((self.length - 2) as u16).to_be_bytes();
        self.bytes[0].write(high);
        self.bytes[1].write(low);
        // SAFETY: `length` bytes have been written.
        unsafe {
            lua_pushlstring(l, self.bytes.as_ptr().cast(), self.length);
        }
    }
}

/// Whom a request is for.
enum Address<'a> {
    Handle(u32),
    Name(&'a [u8]),
}

impl Address<'_> {
    fn write(&self, frame: &mut Frame, kind: u8) {
        match *self {
            Address::Handle(handle) => {
                frame.put_byte(kind);
                frame.put_u32(handle);
            }
            Address::Name(name) => {
                frame.put_byte(BY_NAME | kind);
                frame.put_byte(name.len() as u8);
                frame.put(name);
            }
        }
    }
}

/// The session that follows, always positive.
fn next_session(session: c_int) -> c_int {
    session.checked_add(1).unwrap_or(1)
}

/// Argument 1 of a request; releases `message` before it raises.
unsafe fn check_address<'a>(l: *mut lua_State, message: *mut c_void) -> Address<'a> {
    // SAFETY: called by Lua with a message it has handed over; the name stays on the stack.
    unsafe {
        let kind = lua_type(l, 1);
        if kind == LUA_TNUMBER {
            return Address::Handle(lua_tointeger(l, 1) as u32);
        }
        if kind != LUA_TSTRING {
            libc::free(message);
            raise!(l, c"name is not a string, it's a %s", lua_typename(l, kind));
        }
        let name = check_bytes(l, 1);
        if !(1..=MAX_NAME).contains(&name.len()) {
            libc::free(message);
            raise!(
                l,
                c"name length is invalid, must be between 1 and 255 characters: %s",
                name.as_ptr()
            );
        }
        Address::Name(name)
    }
}

unsafe extern "C" fn release_message(message: *mut c_void) {
    // SAFETY: the guard holds a heap block.
    unsafe { libc::free(message) }
}

/// Packs a request or, without an answer to come, a push.
unsafe fn pack_request(l: *mut lua_State, push: bool) -> c_int {
    // SAFETY: called by Lua, which hands over a heap block of that size. It is released before anything that may
    // raise, or held by a guard.
    unsafe {
        let message = lua_touserdata(l, 3);
        if message.is_null() || lua_type(l, 3) != LUA_TLIGHTUSERDATA {
            raise!(l, c"Invalid request message");
        }
        let size = check_size(l, 4);
        let session = check_int(l, 2);
        if session <= 0 {
            libc::free(message);
            raise!(l, c"Invalid request session %d", session);
        }
        let address = check_address(l, message);
        let mut frame = Frame::new();

        if size < PART {
            address.write(&mut frame, REQUEST);
            frame.put_u32(if push { 0 } else { session as u32 });
            frame.put(slice::from_raw_parts(message.cast(), size));
            libc::free(message);
            frame.push(l);
            lua_pushinteger(l, next_session(session).into());
            return 2;
        }

        let guard = Guard::push(l, release_message);
        guard.hold(message);
        if size > u32::MAX as usize {
            raise!(l, c"request message is too long : %I", size as lua_Integer);
        }
        address.write(&mut frame, if push { LARGE_PUSH } else { LARGE_REQUEST });
        frame.put_u32(session as u32);
        frame.put_u32(size as u32);
        frame.push(l);
        lua_pushinteger(l, next_session(session).into());
        let bytes = slice::from_raw_parts(message.cast::<u8>(), size);
        push_parts(l, bytes, 0, |frame, last| {
            frame.put_byte(if last { REQUEST_LAST } else { REQUEST_PART });
            frame.put_u32(session as u32);
        });
        guard.release();
    }
    3
}

/// Pushes an array with `bytes` cut into part frames, from index `before` + 1 on; `head` begins each of them.
unsafe fn push_parts(
    l: *mut lua_State,
    bytes: &[u8],
    before: usize,
    head: impl Fn(&mut Frame, bool),
) {
    let count = bytes.len().div_ceil(PART);
    // SAFETY: called by Lua; two slots. May raise.
    unsafe {
        lua_createtable(l, (before + count) as c_int, 0);
        let mut frame = Frame::new();
        for (index, part) in bytes.chunks(PART).enumerate() {
            frame.length = 2;
            head(&mut frame, index + 1 == count);
            frame.put(part);
            frame.push(l);
            lua_rawseti(l, -2, (before + index + 1) as lua_Integer);
        }
    }
}

unsafe extern "C-unwind" fn packrequest(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { pack_request(l, false) }
}

unsafe extern "C-unwind" fn packpush(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { pack_request(l, true) }
}

unsafe extern "C-unwind" fn packtrace(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; one slot.
    unsafe {
        let tag = check_bytes(l, 1);
        if tag.len() > PART {
            raise!(l, c"trace tag is too long : %I", tag.len() as lua_Integer);
        }
        let mut frame = Frame::new();
        frame.put_byte(TRACE);
        frame.put(tag);
        frame.push(l);
    }
    1
}

/// Splits `N` bytes off the front.
fn split<'a, const N: usize>(bytes: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(first)
}

fn split_u32(bytes: &mut &[u8]) -> Option<u32> {
    split(bytes).copied().map(u32::from_le_bytes)
}

/// A request as its first frame tells it.
struct Request<'a> {
    address: Address<'a>,
    session: u32,
    /// The message, or for a large one its total size.
    content: Result<&'a [u8], u32>,
}

/// Reads what follows the first byte of a request to a handle or a name. None if it is too short.
fn parse_request(kind: u8, mut body: &[u8]) -> Option<Request<'_>> {
    let address = if kind & BY_NAME == 0 {
        Address::Handle(split_u32(&mut body)?)
    } else {
        let &[length] = split(&mut body)?;
        let (name, rest) = body.split_at_checked(length.into())?;
        body = rest;
        Address::Name(name)
    };
    let session = split_u32(&mut body)?;
    let content = if kind & LARGE_REQUEST == 0 {
        Ok(body)
    } else {
        Err(split_u32(&mut body)?)
    };
    Some(Request {
        address,
        session,
        content,
    })
}

unsafe extern "C-unwind" fn unpackrequest(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; six slots. The body stays on the stack or is the script's block. A name is pushed
    // before there is a block that could be lost.
    unsafe {
        let whole = if lua_isuserdata(l, 1) != 0 {
            let size = check_size(l, 2);
            slice::from_raw_parts(check_pointer(l, 1).cast::<u8>(), size)
        } else {
            check_bytes(l, 1)
        };
        let size = whole.len() as lua_Integer;
        let Some((&kind, body)) = whole.split_first() else {
            raise!(l, c"Invalid req package. size == 0");
        };
        match kind {
            LARGE_REQUEST | LARGE_PUSH if whole.len() != 13 => {
                raise!(
                    l,
                    c"Invalid cluster message size %I (multi req must be 13)",
                    size
                )
            }
            REQUEST | LARGE_REQUEST | LARGE_PUSH | NAMED_REQUEST | NAMED_LARGE_REQUEST
            | NAMED_LARGE_PUSH => match parse_request(kind, body) {
                Some(request) => push_request(l, &request, kind),
                None => raise!(l, c"Invalid cluster message (size=%I)", size),
            },
            REQUEST_PART | REQUEST_LAST => {
                let mut part = body;
                let Some(session) = split_u32(&mut part) else {
                    raise!(l, c"Invalid cluster multi part message");
                };
                lua_pushboolean(l, 0);
                lua_pushinteger(l, session.into());
                push_heap_copy(l, part);
                lua_pushboolean(l, (kind == REQUEST_PART).into());
                5
            }
            TRACE => {
                push_bytes(l, body);
                1
            }
            _ => raise!(l, c"Invalid req package type %d", c_int::from(kind as i8)),
        }
    }
}

/// Pushes a heap block with these bytes and its size.
unsafe fn push_heap_copy(l: *mut lua_State, bytes: &[u8]) {
    // SAFETY: called by Lua; two slots.
    unsafe {
        let block = heap_copy(l, bytes);
        lua_pushlightuserdata(l, block);
        lua_pushinteger(l, bytes.len() as lua_Integer);
    }
}

unsafe fn push_request(l: *mut lua_State, request: &Request, kind: u8) -> c_int {
    // SAFETY: called by Lua; six slots.
    unsafe {
        match request.address {
            Address::Handle(handle) => lua_pushinteger(l, handle.into()),
            Address::Name(name) => push_bytes(l, name),
        }
        lua_pushinteger(l, request.session.into());
        match request.content {
            Ok(message) => {
                push_heap_copy(l, message);
                if request.session != 0 {
                    return 4;
                }
                // Nothing more to come, and nobody waits for an answer.
                lua_pushnil(l);
                lua_pushboolean(l, 1);
            }
            Err(total) => {
                lua_pushnil(l);
                lua_pushinteger(l, total.into());
                lua_pushboolean(l, 1);
                lua_pushboolean(l, (kind & !BY_NAME == LARGE_PUSH).into());
            }
        }
    }
    6
}

unsafe extern "C-unwind" fn packresponse(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; a few slots. The message stays on the stack or is the script's block.
    unsafe {
        let session = luaL_checkinteger(l, 1) as u32;
        let ok = lua_toboolean(l, 2) != 0;
        let mut message = if lua_type(l, 3) == LUA_TSTRING {
            check_bytes(l, 3)
        } else {
            match check_size(l, 4) {
                0 => &[],
                size => slice::from_raw_parts(check_pointer(l, 3).cast::<u8>(), size),
            }
        };
        if !ok {
            message = &message[..message.len().min(PART)];
        }
        let mut frame = Frame::new();
        frame.put_u32(session);
        if message.len() <= PART {
            frame.put_byte(if ok { RESPONSE_OK } else { RESPONSE_ERROR });
            frame.put(message);
            frame.push(l);
        } else {
            if message.len() > u32::MAX as usize {
                raise!(
                    l,
                    c"response message is too long : %I",
                    message.len() as lua_Integer
                );
            }
            frame.put_byte(RESPONSE_LARGE);
            frame.put_u32(message.len() as u32);
            push_parts(l, message, 1, |frame, last| {
                frame.put_u32(session);
                frame.put_byte(if last { RESPONSE_LAST } else { RESPONSE_PART });
            });
            frame.push(l);
            lua_rawseti(l, -2, 1);
        }
    }
    1
}

unsafe extern "C-unwind" fn unpackresponse(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; four slots.
    unsafe {
        let mut body = check_bytes(l, 1);
        let (Some(session), Some(&[kind])) = (split_u32(&mut body), split(&mut body)) else {
            return 0;
        };
        let total = match (kind, <[u8; 4]>::try_from(body)) {
            (RESPONSE_ERROR | RESPONSE_OK | RESPONSE_PART | RESPONSE_LAST, _) => None,
            (RESPONSE_LARGE, Ok(total)) => Some(u32::from_le_bytes(total)),
            _ => return 0,
        };
        lua_pushinteger(l, session.into());
        lua_pushboolean(l, (kind != RESPONSE_ERROR).into());
        match total {
            Some(total) => lua_pushinteger(l, total.into()),
            None => push_bytes(l, body),
        }
        if kind == RESPONSE_LARGE || kind == RESPONSE_PART {
            lua_pushboolean(l, 1);
            return 4;
        }
    }
    3
}

unsafe extern "C-unwind" fn append(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; one slot. The script hands over a heap block.
    unsafe {
        luaL_checktype(l, 1, LUA_TTABLE);
        let next = lua_rawlen(l, 1) as lua_Integer + 1;
        match lua_type(l, 2) {
            LUA_TNIL => lua_pushinteger(l, luaL_checkinteger(l, 3)),
            LUA_TLIGHTUSERDATA => {
                let size = check_size(l, 3);
                let block = check_pointer(l, 2);
                lua_pushlstring(l, block.cast(), size);
                libc::free(block);
            }
            _ => raise!(l, c"Need lightuserdata"),
        }
        lua_rawseti(l, 1, next);
    }
    0
}

/// Pushes `t[index]` if it is a string and gives its bytes.
unsafe fn string_item<'a>(l: *mut lua_State, index: lua_Integer) -> Option<&'a [u8]> {
    // SAFETY: called by Lua; one slot. Asking a string for its bytes does not raise.
    unsafe {
        if lua_rawgeti(l, 1, index) != LUA_TSTRING {
            return None;
        }
        Some(check_bytes(l, -1))
    }
}

unsafe extern "C-unwind" fn concat(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; two slots. The strings are in the table, which nobody changes between the two passes,
    // and the second one calls nothing that raises.
    unsafe {
        luaL_checktype(l, 1, LUA_TTABLE);
        if lua_rawgeti(l, 1, 1) != LUA_TNUMBER {
            return 0;
        }
        let total = lua_tointeger(l, -1);
        lua_settop(l, 1);
        let mut have = 0;
        let mut last = 1;
        while let Some(bytes) = string_item(l, last + 1) {
            have += bytes.len();
            last += 1;
            lua_settop(l, 1);
        }
        if usize::try_from(total) != Ok(have) {
            return 0;
        }
        let block: *mut u8 = heap_alloc(l, have).cast();
        let mut at = block;
        for index in 2..=last {
            lua_settop(l, 1);
            if let Some(bytes) = string_item(l, index) {
                ptr::copy_nonoverlapping(bytes.as_ptr(), at, bytes.len());
                at = at.add(bytes.len());
            }
        }
        lua_pushlightuserdata(l, block.cast());
        lua_pushinteger(l, total);
    }
    2
}

unsafe extern "C-unwind" fn isname(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; one slot.
    unsafe {
        if lua_type(l, 1) != LUA_TSTRING || check_bytes(l, 1).first() != Some(&b'@') {
            return 0;
        }
        lua_pushboolean(l, 1);
    }
    1
}

unsafe extern "C-unwind" fn nodename(l: *mut lua_State) -> c_int {
    let mut host = [0u8; 256];
    // SAFETY: called by Lua; one slot. The last byte stays NUL, however long the name is.
    unsafe {
        let room = host.len() - 1;
        let name: *const c_char = if libc::gethostname(host.as_mut_ptr().cast(), room) == 0 {
            for byte in host.iter_mut().take_while(|byte| **byte != 0) {
                if *byte <= b' ' {
                    *byte = b'_';
                }
            }
            host.as_ptr().cast()
        } else {
            const NO_NAME: &CStr = c"noname";
            NO_NAME.as_ptr()
        };
        lua_pushfstring(l, c"%s%d".as_ptr(), name, libc::getpid());
    }
    1
}

const FUNCTIONS: &[Entry] = &[
    (c"packrequest", packrequest),
    (c"packpush", packpush),
    (c"packtrace", packtrace),
    (c"unpackrequest", unpackrequest),
    (c"packresponse", packresponse),
    (c"unpackresponse", unpackresponse),
    (c"append", append),
    (c"concat", concat),
    (c"isname", isname),
    (c"nodename", nodename),
];

/// Opens `skynet.cluster.core`.
///
/// # Safety
/// Called by Lua's `require`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn luaopen_skynet_cluster_core(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        new_module(l, FUNCTIONS.len());
        set_functions(l, FUNCTIONS);
    }
    1
}
