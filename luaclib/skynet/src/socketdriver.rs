//! `skynet.socketdriver`: the socket layer of the core for Lua, and the receive buffers of `skynet.socket`.
//!
//! Socket ids are plain integers. Events come as messages of type 6 and are taken apart by `unpack`.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::mem::MaybeUninit;
use core::ptr;

use skynet_sys::lua::*;
use skynet_sys::*;

use crate::luax::{
    Entry, Guard, check_bytes, check_int, check_pointer, check_size, context, heap_copy,
    new_module, push_block, push_bytes, push_context, push_tagged, raise, set_functions,
    set_functions_with, set_integer, tagged_at, type_error,
};
use crate::recvbuf::RecvBuf;
use crate::socketoption::option;

unsafe extern "C" {
    fn inet_ntop(
        family: c_int,
        address: *const c_void,
        text: *mut c_char,
        size: libc::socklen_t,
    ) -> *const c_char;
}

/// Longest text of an IP address, with its NUL.
const ADDRESS_TEXT: usize = 46;

/// Pushes an IP address as text.
unsafe fn push_ip(l: *mut lua_State, family: c_int, address: *const c_void) {
    let mut text = [0 as c_char; ADDRESS_TEXT];
    // SAFETY: the caller hands over an address of that family; the buffer is large enough for any.
    unsafe {
        inet_ntop(
            family,
            address,
            text.as_mut_ptr(),
            text.len() as libc::socklen_t,
        );
        lua_pushstring(l, text.as_ptr());
    }
}

// Receive buffers. Their functions also take a pool table, a place for free list nodes in upstream; a buffer of
// ours needs none, but callers pass one and a wrong argument is told.

const BUFFER_METATABLE: &CStr = c"buffer_pool";
const BUFFER_TAG: u64 = 0x736b_7972_6563_7662;

/// The buffer at argument 1, if it is one.
#[inline(always)]
unsafe fn buffer_at<'a>(l: *mut lua_State) -> Option<&'a mut RecvBuf> {
    // SAFETY: called by Lua; argument 1 stays on the stack during the call.
    unsafe { tagged_at(l, 1, BUFFER_TAG) }
}

unsafe fn check_buffer<'a>(l: *mut lua_State) -> &'a mut RecvBuf {
    // SAFETY: called by Lua. Raises.
    unsafe {
        match buffer_at(l) {
            Some(buffer) => buffer,
            None => raise!(l, c"Need buffer object at param 1"),
        }
    }
}

unsafe extern "C-unwind" fn buffer(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; two slots. An empty buffer owns nothing.
    unsafe {
        push_tagged(l, BUFFER_TAG, RecvBuf::new());
        lua_getfield(l, LUA_REGISTRYINDEX, BUFFER_METATABLE.as_ptr());
        lua_setmetatable(l, -2);
    }
    1
}

unsafe extern "C-unwind" fn collect_buffer(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua, as a rule by the collector.
    unsafe {
        if let Some(buffer) = buffer_at(l) {
            buffer.clear();
        }
    }
    0
}

unsafe extern "C-unwind" fn push(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; one slot. The script hands over a heap block.
    unsafe {
        let Some(buffer) = buffer_at(l) else {
            raise!(l, c"need buffer object at param 1");
        };
        let block = lua_touserdata(l, 3);
        if block.is_null() {
            raise!(l, c"need message block at param 3");
        }
        luaL_checktype(l, 2, LUA_TTABLE);
        let size = check_size(l, 4);
        if !buffer.push(block, size) {
            raise!(l, c"not enough memory");
        }
        lua_pushinteger(l, buffer.len() as lua_Integer);
    }
    1
}

/// Takes `count` bytes out as a Lua string; the buffer has them. Nothing is lost if Lua has no memory for it.
unsafe fn take_string(l: *mut lua_State, buffer: &mut RecvBuf, count: usize) {
    // SAFETY: called by Lua; luaL_Buffer needs a few slots and keeps its memory on the Lua stack.
    unsafe {
        match buffer.contiguous(count) {
            Some(bytes) => push_bytes(l, bytes),
            None => {
                let mut joined = MaybeUninit::<luaL_Buffer>::uninit();
                let joined = joined.as_mut_ptr();
                let room = luaL_buffinitsize(l, joined, count);
                buffer.copy_to(room.cast(), count);
                luaL_pushresultsize(joined, count);
            }
        }
    }
    buffer.consume(count);
}

unsafe extern "C-unwind" fn pop(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let buffer = check_buffer(l);
        luaL_checktype(l, 2, LUA_TTABLE);
        let count = check_size(l, 3);
        if count == 0 || count > buffer.len() {
            lua_pushnil(l);
        } else {
            take_string(l, buffer, count);
        }
        lua_pushinteger(l, buffer.len() as lua_Integer);
    }
    2
}

unsafe extern "C-unwind" fn readall(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let buffer = check_buffer(l);
        luaL_checktype(l, 2, LUA_TTABLE);
        let count = buffer.len();
        take_string(l, buffer, count);
    }
    1
}

unsafe extern "C-unwind" fn clear(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        if lua_type(l, 1) == LUA_TNIL {
            return 0;
        }
        let buffer = check_buffer(l);
        luaL_checktype(l, 2, LUA_TTABLE);
        buffer.clear();
    }
    0
}

unsafe extern "C-unwind" fn readline(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the separator stays on the stack.
    unsafe {
        let buffer = check_buffer(l);
        // Without a pool the question is only whether there is a line.
        let check_only = lua_type(l, 2) != LUA_TTABLE;
        let separator = check_bytes(l, 3);
        let Some(length) = buffer.find(separator) else {
            return 0;
        };
        if check_only {
            lua_pushboolean(l, 1);
        } else {
            take_string(l, buffer, length);
            buffer.consume(separator.len());
        }
    }
    1
}

unsafe extern "C-unwind" fn drop_block(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua. The script hands over a heap block; NULL is nothing.
    unsafe {
        let block = lua_touserdata(l, 1);
        luaL_checkinteger(l, 2);
        if lua_type(l, 1) == LUA_TUSERDATA {
            type_error(l, 1, c"light userdata");
        }
        libc::free(block);
    }
    0
}

unsafe extern "C-unwind" fn str2p(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; two slots.
    unsafe {
        let bytes = check_bytes(l, 1);
        let block = heap_copy(l, bytes);
        lua_pushlightuserdata(l, block);
        lua_pushinteger(l, bytes.len() as lua_Integer);
    }
    2
}

unsafe extern "C-unwind" fn header(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; one slot.
    unsafe {
        let bytes = check_bytes(l, 1);
        if !(1..=4).contains(&bytes.len()) {
            raise!(l, c"Invalid read %s", bytes.as_ptr());
        }
        let size = bytes
            .iter()
            .fold(0, |size, &byte| size << 8 | i64::from(byte));
        lua_pushinteger(l, size);
    }
    1
}

/// The socket message at argument `arg` and the number of text bytes behind it.
///
/// # Safety
/// Called by Lua. The script vouches that it is a message as the core delivers it: the struct, then perhaps text.
/// May raise.
pub unsafe fn check_message(l: *mut lua_State, arg: c_int) -> (*mut SkynetSocketMessage, usize) {
    // SAFETY: as the caller promises.
    unsafe {
        let message = check_pointer(l, arg);
        let size = luaL_checkinteger(l, arg + 1);
        let text = size.wrapping_sub(size_of::<SkynetSocketMessage>() as lua_Integer);
        if size < 0 || text < 0 {
            raise!(l, c"Invalid socket message size %I", size);
        }
        (message.cast(), text as usize)
    }
}

unsafe extern "C-unwind" fn unpack(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; five slots.
    unsafe {
        let (message, text) = check_message(l, 1);
        let event = *message;
        lua_pushinteger(l, event.kind.into());
        lua_pushinteger(l, event.id.into());
        lua_pushinteger(l, event.ud.into());
        if event.buffer.is_null() {
            push_block(l, message.add(1).cast(), text);
        } else {
            lua_pushlightuserdata(l, event.buffer.cast());
        }
        if event.kind == SKYNET_SOCKET_TYPE_UDP {
            let mut length = 0;
            let address = skynet_socket_udp_address(message, &mut length);
            if !address.is_null() {
                lua_pushlstring(l, address, length as usize);
                return 5;
            }
        }
    }
    4
}

/// Host and port from the arguments at `host` and `host + 1`. Without a port argument the host holds both, as
/// `host:port` or `[ipv6]:port`. Pushes at most one string, which the result points to.
unsafe fn address(l: *mut lua_State, host: c_int) -> (*const c_char, c_int) {
    // SAFETY: called by Lua. Lua strings are NUL terminated, so strtoul ends.
    unsafe {
        let text = check_bytes(l, host);
        let whole: *const c_char = text.as_ptr().cast();
        if lua_isnoneornil(l, host + 1) == 0 {
            return (whole, check_int(l, host + 1));
        }
        let Some((name, colon)) = split_address(text) else {
            raise!(l, c"Invalid address %s.", whole);
        };
        let digits = whole.add(colon + 1);
        let mut end: *mut c_char = ptr::null_mut();
        let port = libc::strtoul(digits, &mut end, 10);
        if API_HEAD && (*digits == 0 || *end != 0 || port > 0xffff) {
            raise!(l, c"Invalid port in address %s.", whole);
        }
        push_bytes(l, name);
        (lua_tolstring(l, -1, ptr::null_mut()), port as c_int)
    }
}

/// The host part of an address and the position of the colon behind it.
fn split_address(text: &[u8]) -> Option<(&[u8], usize)> {
    let find = |from: usize, wanted: u8| {
        let hit = text[from..].iter().position(|&byte| byte == wanted)?;
        Some(from + hit)
    };
    match find(0, b'[') {
        None => {
            let colon = find(0, b':')?;
            Some((&text[..colon], colon))
        }
        Some(open) => {
            let close = open + find(open, b']')? - open;
            Some((&text[open + 1..close], find(close, b':')?))
        }
    }
}

unsafe extern "C-unwind" fn connect(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the host string is on the stack.
    unsafe {
        let (host, port) = address(l, 1);
        if port == 0 {
            raise!(l, c"Invalid port");
        }
        let id = skynet_socket_connect(context(l), host, port);
        lua_pushinteger(l, id.into());
    }
    1
}

unsafe extern "C-unwind" fn listen(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the host string is on the stack.
    unsafe {
        let (host, port) = if API_HEAD {
            address(l, 1)
        } else {
            (luaL_checkstring(l, 1), check_int(l, 2))
        };
        let backlog = luaL_optinteger(l, 3, 32) as c_int;
        let id = skynet_socket_listen(context(l), host, port, backlog);
        if id < 0 {
            raise!(l, c"Listen error");
        }
        lua_pushinteger(l, id.into());
    }
    1
}

unsafe extern "C-unwind" fn bind(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; one slot.
    unsafe {
        let id = skynet_socket_bind(context(l), check_int(l, 1));
        lua_pushinteger(l, id.into());
    }
    1
}

unsafe extern "C-unwind" fn start(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { skynet_socket_start(context(l), check_int(l, 1)) };
    0
}

unsafe extern "C-unwind" fn pause(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { skynet_socket_pause(context(l), check_int(l, 1)) };
    0
}

unsafe extern "C-unwind" fn close(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { skynet_socket_close(context(l), check_int(l, 1)) };
    0
}

unsafe extern "C-unwind" fn shutdown(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { skynet_socket_shutdown(context(l), check_int(l, 1)) };
    0
}

unsafe extern "C-unwind" fn nodelay(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { skynet_socket_nodelay(context(l), check_int(l, 1)) };
    0
}

/// A table of strings up to this size is joined on the stack.
const JOIN_ON_STACK: usize = 4096;

/// Sends what the arguments from `data` on describe, to socket `id`, with `deliver`.
#[inline(always)]
unsafe fn send_data(
    l: *mut lua_State,
    id: c_int,
    data: c_int,
    deliver: impl FnOnce(&mut SocketSendbuffer) -> c_int,
) -> c_int {
    // SAFETY: called by Lua. A RAWPOINTER buffer is only read during the call, and what it points to is on the Lua
    // stack or in a live frame; a MEMORY buffer is handed over.
    unsafe {
        let send = |kind: c_int, buffer: *const c_void, sz: usize| {
            let mut described = SocketSendbuffer {
                id,
                kind,
                buffer,
                sz,
            };
            deliver(&mut described)
        };
        let failed = match lua_type(l, data) {
            LUA_TUSERDATA => {
                let size = if lua_isnoneornil(l, data + 1) != 0 {
                    lua_rawlen(l, data)
                } else {
                    check_size(l, data + 1)
                };
                send(SOCKET_BUFFER_RAWPOINTER, lua_touserdata(l, data), size)
            }
            LUA_TLIGHTUSERDATA => {
                // Without a size upstream takes it for an object of C code, which no script can make.
                let size = check_size(l, data + 1);
                send(SOCKET_BUFFER_MEMORY, lua_touserdata(l, data), size)
            }
            LUA_TTABLE => {
                let size = joined_size(l, data);
                let mut on_stack = [MaybeUninit::<u8>::uninit(); JOIN_ON_STACK];
                let joined: *mut u8 = if size <= JOIN_ON_STACK {
                    on_stack.as_mut_ptr().cast()
                } else {
                    lua_newuserdatauv(l, size, 0).cast()
                };
                join(l, data, joined, size);
                send(SOCKET_BUFFER_RAWPOINTER, joined.cast(), size)
            }
            _ => {
                let bytes = check_bytes(l, data);
                send(SOCKET_BUFFER_RAWPOINTER, bytes.as_ptr().cast(), bytes.len())
            }
        };
        lua_pushboolean(l, (failed == 0).into());
    }
    1
}

/// Bytes of all strings in the table at `data`, up to the first nil.
unsafe fn joined_size(l: *mut lua_State, data: c_int) -> usize {
    let mut size = 0;
    // SAFETY: called by Lua; one slot. May raise.
    unsafe {
        for index in 1.. {
            if lua_geti(l, data, index) == LUA_TNIL {
                break;
            }
            size += check_bytes(l, -1).len();
            lua_pop(l, 1);
        }
        lua_pop(l, 1);
    }
    size
}

/// Copies the strings to `to`. The table may have metamethods: what they give now must add up as before.
unsafe fn join(l: *mut lua_State, data: c_int, to: *mut u8, size: usize) {
    let mut written = 0;
    // SAFETY: called by Lua; one slot. No more than `size` bytes are written. May raise.
    unsafe {
        for index in 1.. {
            if lua_geti(l, data, index) == LUA_TNIL {
                break;
            }
            let bytes = check_bytes(l, -1);
            if bytes.len() > size - written {
                raise!(l, c"Invalid strings table");
            }
            ptr::copy_nonoverlapping(bytes.as_ptr(), to.add(written), bytes.len());
            written += bytes.len();
            lua_pop(l, 1);
        }
        lua_pop(l, 1);
        if written != size {
            raise!(l, c"Invalid strings table");
        }
    }
}

unsafe extern "C-unwind" fn send(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let ctx = context(l);
        let id = check_int(l, 1);
        send_data(l, id, 2, |buffer| skynet_socket_sendbuffer(ctx, buffer))
    }
}

unsafe extern "C-unwind" fn lsend(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let ctx = context(l);
        let id = check_int(l, 1);
        send_data(l, id, 2, |buffer| {
            skynet_socket_sendbuffer_lowpriority(ctx, buffer)
        })
    }
}

unsafe extern "C-unwind" fn udp(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the host string is on the stack.
    unsafe {
        let (host, port) = if lua_isnoneornil(l, 1) != 0 {
            (ptr::null(), 0)
        } else {
            address(l, 1)
        };
        let id = skynet_socket_udp(context(l), host, port);
        if id < 0 {
            raise!(l, c"udp init failed");
        }
        lua_pushinteger(l, id.into());
    }
    1
}

unsafe extern "C-unwind" fn udp_connect(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the host string is on the stack.
    unsafe {
        let id = check_int(l, 1);
        let (host, port) = address(l, 2);
        if skynet_socket_udp_connect(context(l), id, host, port) != 0 {
            raise!(l, c"udp connect failed");
        }
    }
    0
}

unsafe extern "C-unwind" fn udp_dial(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the host string is on the stack.
    unsafe {
        let (host, port) = address(l, 1);
        let id = skynet_socket_udp_dial(context(l), host, port);
        if id < 0 {
            raise!(l, c"udp dial host failed");
        }
        lua_pushinteger(l, id.into());
    }
    1
}

unsafe extern "C-unwind" fn udp_listen(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the host string is on the stack.
    unsafe {
        let (host, port) = address(l, 1);
        let id = skynet_socket_udp_listen(context(l), host, port);
        if id < 0 {
            raise!(l, c"udp listen host failed");
        }
        lua_pushinteger(l, id.into());
    }
    1
}

/// UDP addresses as the core encodes them: family, port in network order, address.
const UDP_IPV4: u8 = 1;
const UDP_IPV6: u8 = 2;
const UDP_IPV4_SIZE: usize = 7;
const UDP_IPV6_SIZE: usize = 19;

unsafe extern "C-unwind" fn udp_send(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the address stays on the stack and is long enough for the family it names.
    unsafe {
        let ctx = context(l);
        let id = check_int(l, 1);
        let address = check_bytes(l, 2);
        let expected = match address.first() {
            Some(&UDP_IPV4) => UDP_IPV4_SIZE,
            Some(&UDP_IPV6) => UDP_IPV6_SIZE,
            // The core refuses other families by their first byte.
            _ => 0,
        };
        if address.len() < expected {
            raise!(l, c"Invalid udp address");
        }
        let start: *const c_char = address.as_ptr().cast();
        send_data(l, id, 3, |buffer| {
            skynet_socket_udp_sendbuffer(ctx, start, buffer)
        })
    }
}

unsafe extern "C-unwind" fn udp_address(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; two slots. The length tells the family.
    unsafe {
        let bytes = check_bytes(l, 1);
        let family = match bytes.len() {
            UDP_IPV4_SIZE => libc::AF_INET,
            UDP_IPV6_SIZE => libc::AF_INET6,
            _ => raise!(l, c"Invalid udp address"),
        };
        push_ip(l, family, bytes[3..].as_ptr().cast());
        lua_pushinteger(l, u16::from_be_bytes([bytes[1], bytes[2]]).into());
    }
    2
}

unsafe extern "C" fn release_info(list: *mut c_void) {
    // SAFETY: the guard holds what skynet_socket_info gave.
    unsafe { socket_info_release(list.cast()) }
}

unsafe extern "C-unwind" fn info(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; a handful of slots. The guard owns the list while Lua may raise.
    unsafe {
        let guard = Guard::push(l, release_info);
        lua_createtable(l, 0, 0);
        let mut node = skynet_socket_info();
        guard.hold(node.cast());
        let mut index = 0;
        while !node.is_null() {
            index += 1;
            push_info(l, &*node);
            lua_rawseti(l, -2, index);
            node = (*node).next;
        }
        guard.release();
    }
    1
}

/// Pushes the table that describes one socket.
unsafe fn push_info(l: *mut lua_State, socket: &SocketInfo) {
    let kind = match socket.kind {
        SOCKET_INFO_LISTEN => c"LISTEN",
        SOCKET_INFO_TCP => c"TCP",
        SOCKET_INFO_UDP => c"UDP",
        SOCKET_INFO_BIND => c"BIND",
        SOCKET_INFO_CLOSING => c"CLOSING",
        _ => c"UNKNOWN",
    };
    // SAFETY: called by Lua; two slots. The name is NUL terminated inside its field.
    unsafe {
        lua_createtable(l, 0, 11);
        set_integer(l, c"id", socket.id.into());
        set_integer(l, c"address", socket.opaque as lua_Integer);
        lua_pushstring(l, kind.as_ptr());
        lua_setfield(l, -2, c"type".as_ptr());
        let set_name = |field: &CStr| {
            lua_pushstring(l, socket.name.as_ptr());
            lua_setfield(l, -2, field.as_ptr());
        };
        match socket.kind {
            SOCKET_INFO_UNKNOWN => {}
            SOCKET_INFO_LISTEN => {
                set_integer(l, c"accept", socket.read as lua_Integer);
                set_integer(l, c"rtime", socket.rtime as lua_Integer);
                if socket.name[0] != 0 {
                    set_name(c"sock");
                }
            }
            _ => {
                set_integer(l, c"read", socket.read as lua_Integer);
                set_integer(l, c"write", socket.write as lua_Integer);
                set_integer(l, c"wbuffer", socket.wbuffer);
                set_integer(l, c"rtime", socket.rtime as lua_Integer);
                set_integer(l, c"wtime", socket.wtime as lua_Integer);
                for (field, on) in [(c"reading", socket.reading), (c"writing", socket.writing)] {
                    lua_pushboolean(l, on.into());
                    lua_setfield(l, -2, field.as_ptr());
                }
                if socket.name[0] != 0 {
                    set_name(c"peer");
                }
            }
        }
    }
}

unsafe extern "C" fn release_addresses(list: *mut c_void) {
    // SAFETY: the guard holds what getaddrinfo gave.
    unsafe { libc::freeaddrinfo(list.cast()) }
}

unsafe extern "C-unwind" fn resolve(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; a handful of slots. The guard owns the list while Lua may raise.
    unsafe {
        let host = luaL_checkstring(l, 1);
        let guard = Guard::push(l, release_addresses);
        lua_createtable(l, 1, 0);
        let mut list: *mut libc::addrinfo = ptr::null_mut();
        let status = libc::getaddrinfo(host, ptr::null(), ptr::null(), &mut list);
        if status != 0 {
            raise!(l, c"%s", libc::gai_strerror(status));
        }
        guard.hold(list.cast());
        let mut index = 0;
        let mut node = list;
        while !node.is_null() {
            let found = &*node;
            let ip: *const c_void = match found.ai_family {
                libc::AF_INET => {
                    (&raw const (*found.ai_addr.cast::<libc::sockaddr_in>()).sin_addr).cast()
                }
                libc::AF_INET6 => {
                    (&raw const (*found.ai_addr.cast::<libc::sockaddr_in6>()).sin6_addr).cast()
                }
                _ => ptr::null(),
            };
            if !ip.is_null() {
                index += 1;
                push_ip(l, found.ai_family, ip);
                lua_rawseti(l, -2, index);
            }
            node = found.ai_next;
        }
        guard.release();
    }
    1
}

const WITH_CONTEXT: &[Entry] = &[
    (c"connect", connect),
    (c"listen", listen),
    (c"bind", bind),
    (c"start", start),
    (c"pause", pause),
    (c"close", close),
    (c"shutdown", shutdown),
    (c"nodelay", nodelay),
    (c"send", send),
    (c"lsend", lsend),
    (c"udp", udp),
    (c"udp_connect", udp_connect),
    (c"udp_dial", udp_dial),
    (c"udp_listen", udp_listen),
    (c"udp_send", udp_send),
];

const PLAIN: &[Entry] = &[
    (c"buffer", buffer),
    (c"push", push),
    (c"pop", pop),
    (c"readall", readall),
    (c"clear", clear),
    (c"readline", readline),
    (c"drop", drop_block),
    (c"str2p", str2p),
    (c"header", header),
    (c"unpack", unpack),
    (c"udp_address", udp_address),
    (c"info", info),
    (c"option", option),
    (c"resolve", resolve),
];

/// Opens `skynet.socketdriver`.
///
/// # Safety
/// Called by Lua's `require`, in a state whose host has left the context in the registry.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn luaopen_skynet_socketdriver(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        new_module(l, WITH_CONTEXT.len() + PLAIN.len());
        if luaL_newmetatable(l, BUFFER_METATABLE.as_ptr()) != 0 {
            lua_pushcclosure(l, collect_buffer, 0);
            lua_setfield(l, -2, c"__gc".as_ptr());
        }
        lua_pop(l, 1);
        set_functions(l, PLAIN);
        push_context(l);
        set_functions_with(l, WITH_CONTEXT);
    }
    1
}
