//! `skynet.netpack`: frames of a two-byte big-endian length and that many bytes, as `snax.gateserver` speaks them.
//!
//! `filter` takes socket messages apart and gives one event each. The queue object keeps what does not fit into
//! that answer: the unfinished frame of each socket, and complete frames that came together, for `pop`.

use core::ffi::{CStr, c_int, c_void};
use core::ptr;
use core::slice;

use skynet_sys::lua::*;
use skynet_sys::*;

use crate::frames::{Frame, OutOfMemory, Outcome, Queue, whole};
use crate::luax::{
    Entry, check_bytes, check_pointer, check_size, heap_alloc, new_module, push_block, push_tagged,
    raise, set_functions, tagged_at, type_error,
};
use crate::socketdriver::check_message;

/// Bytes of a frame's header.
const HEADER: usize = 2;
/// Payloads are shorter than this.
const TOO_LONG: usize = 0x10000;

/// What the script holds: from `Box::into_raw`, and NULL once collected, when its finalizers may still use it.
type Held = *mut Queue;

const QUEUE_TAG: u64 = 0x736b_7972_6e70_7131;
const METATABLE: &CStr = c"skynet.netpack.queue";

/// The queue at argument 1; None for nil, no argument, or one that has been collected. Raises for anything else.
unsafe fn queue_at<'a>(l: *mut lua_State) -> Option<&'a mut Queue> {
    // SAFETY: called by Lua; argument 1 stays on the stack, and with it the queue lives.
    unsafe {
        if lua_isnoneornil(l, 1) != 0 {
            return None;
        }
        match tagged_at::<Held>(l, 1, QUEUE_TAG) {
            Some(held) => held.as_mut(),
            None => type_error(l, 1, c"netpack queue"),
        }
    }
}

/// Puts a new queue in the place of argument 1.
unsafe fn new_queue<'a>(l: *mut lua_State) -> &'a mut Queue {
    // SAFETY: called by Lua; two slots. The box is made when nothing can raise any more.
    unsafe {
        let held: &mut Held = push_tagged(l, QUEUE_TAG, ptr::null_mut());
        lua_getfield(l, LUA_REGISTRYINDEX, METATABLE.as_ptr());
        lua_setmetatable(l, -2);
        lua_replace(l, 1);
        *held = Box::into_raw(Box::default());
        &mut **held
    }
}

unsafe extern "C-unwind" fn collect_queue(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua, as a rule by the collector.
    unsafe {
        if let Some(held) = tagged_at::<Held>(l, 1, QUEUE_TAG)
            && !held.is_null()
        {
            let mut queue = Box::from_raw(*held);
            *held = ptr::null_mut();
            queue.clear();
        }
    }
    0
}

/// Event names are upvalues of `filter`, in this order.
const EVENTS: [&CStr; 7] = [
    c"data", c"more", c"error", c"open", c"close", c"warning", c"init",
];
const DATA: c_int = 1;
const MORE: c_int = 2;
const ERROR: c_int = 3;
const OPEN: c_int = 4;
const CLOSE: c_int = 5;
const WARNING: c_int = 6;
const INIT: c_int = 7;

/// Pushes an event name and an id.
unsafe fn push_event(l: *mut lua_State, event: c_int, id: c_int) {
    // SAFETY: called by `filter`; two slots.
    unsafe {
        lua_pushvalue(l, lua_upvalueindex(event));
        lua_pushinteger(l, id.into());
    }
}

unsafe fn push_frame(l: *mut lua_State, frame: &Frame) {
    // SAFETY: called by Lua; three slots, nothing that allocates.
    unsafe {
        lua_pushinteger(l, frame.id.into());
        lua_pushlightuserdata(l, frame.block);
        lua_pushinteger(l, frame.size as lua_Integer);
    }
}

/// Answers a DATA event; owns the received block.
unsafe fn filter_data(l: *mut lua_State, id: c_int, block: *mut c_void, size: usize) -> c_int {
    // SAFETY: called by `filter` with a block of `size` bytes. Nothing raises while a frame is in our hands.
    unsafe {
        let received = slice::from_raw_parts(block.cast::<u8>(), size);
        let queue = queue_at(l);

        // Most often a whole frame comes alone: then the block becomes the frame.
        let begun = queue.as_ref().is_some_and(|queue| queue.begun(id));
        if !begun && let Some(payload) = whole(received) {
            let size = payload.len();
            ptr::copy(payload.as_ptr(), block.cast(), size);
            lua_pushvalue(l, lua_upvalueindex(DATA));
            push_frame(l, &Frame { id, block, size });
            return 5;
        }

        let queue = match queue {
            Some(queue) => queue,
            None => new_queue(l),
        };
        let outcome = queue.feed(id, received);
        libc::free(block);
        match outcome {
            Ok(Outcome::Nothing) => 1,
            Ok(Outcome::One(frame)) => {
                lua_pushvalue(l, lua_upvalueindex(DATA));
                push_frame(l, &frame);
                5
            }
            Ok(Outcome::More) => {
                lua_pushvalue(l, lua_upvalueindex(MORE));
                2
            }
            Err(OutOfMemory) => raise!(l, c"not enough memory"),
        }
    }
}

unsafe extern "C-unwind" fn filter(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; a few slots. The core keeps the message until its callback returns.
    unsafe {
        let (message, text) = check_message(l, 2);
        lua_settop(l, 1);
        let event = *message;
        let push_text = || push_block(l, message.add(1).cast(), text);
        match event.kind {
            SKYNET_SOCKET_TYPE_DATA if event.buffer.is_null() => 1,
            SKYNET_SOCKET_TYPE_DATA => {
                filter_data(l, event.id, event.buffer.cast(), event.ud.max(0) as usize)
            }
            SKYNET_SOCKET_TYPE_CONNECT => {
                push_event(l, INIT, event.id);
                push_text();
                lua_pushinteger(l, event.ud.into());
                5
            }
            SKYNET_SOCKET_TYPE_ACCEPT => {
                push_event(l, OPEN, event.ud);
                push_text();
                4
            }
            SKYNET_SOCKET_TYPE_CLOSE => {
                if let Some(queue) = queue_at(l) {
                    queue.forget(event.id);
                }
                push_event(l, CLOSE, event.id);
                3
            }
            SKYNET_SOCKET_TYPE_ERROR => {
                if let Some(queue) = queue_at(l) {
                    queue.forget(event.id);
                }
                push_event(l, ERROR, event.id);
                push_text();
                4
            }
            SKYNET_SOCKET_TYPE_WARNING => {
                push_event(l, WARNING, event.id);
                lua_pushinteger(l, event.ud.into());
                4
            }
            // Datagrams are not ours; their block stays with the message.
            _ => 1,
        }
    }
}

unsafe extern "C-unwind" fn pop(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; three slots.
    unsafe {
        match queue_at(l).and_then(|queue| queue.pop()) {
            Some(frame) => push_frame(l, &frame),
            None => return 0,
        }
    }
    3
}

unsafe extern "C-unwind" fn pack(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; two slots. The script vouches for a block and its size.
    unsafe {
        let payload = if lua_isuserdata(l, 1) != 0 {
            let size = check_size(l, 2);
            match size {
                0 => &[],
                _ => slice::from_raw_parts(check_pointer(l, 1).cast::<u8>(), size),
            }
        } else {
            check_bytes(l, 1)
        };
        let size = payload.len();
        if size >= TOO_LONG {
            raise!(
                l,
                c"Invalid size (too long) of data : %I",
                size as lua_Integer
            );
        }
        let frame: *mut u8 = heap_alloc(l, HEADER + size).cast();
        let header = (size as u16).to_be_bytes();
        frame.cast::<[u8; HEADER]>().write_unaligned(header);
        ptr::copy_nonoverlapping(payload.as_ptr(), frame.add(HEADER), size);
        lua_pushlightuserdata(l, frame.cast());
        lua_pushinteger(l, (HEADER + size) as lua_Integer);
    }
    2
}

unsafe extern "C-unwind" fn clear(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        if let Some(queue) = queue_at(l) {
            queue.clear();
        }
    }
    0
}

unsafe extern "C-unwind" fn tostring(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; one slot. The script hands over a heap block.
    unsafe {
        let block = lua_touserdata(l, 1);
        if block.is_null() {
            push_block(l, block, 0);
        } else {
            if lua_type(l, 1) != LUA_TLIGHTUSERDATA {
                type_error(l, 1, c"light userdata");
            }
            let size = check_size(l, 2);
            push_block(l, block, size);
            libc::free(block);
        }
    }
    1
}

const FUNCTIONS: &[Entry] = &[
    (c"pop", pop),
    (c"pack", pack),
    (c"clear", clear),
    (c"tostring", tostring),
];

/// Opens `skynet.netpack`.
///
/// # Safety
/// Called by Lua's `require`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn luaopen_skynet_netpack(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the event names are the upvalues of `filter`.
    unsafe {
        new_module(l, FUNCTIONS.len() + 1);
        if luaL_newmetatable(l, METATABLE.as_ptr()) != 0 {
            lua_pushcclosure(l, collect_queue, 0);
            lua_setfield(l, -2, c"__gc".as_ptr());
        }
        lua_pop(l, 1);
        set_functions(l, FUNCTIONS);
        for event in EVENTS {
            lua_pushstring(l, event.as_ptr());
        }
        lua_pushcclosure(l, filter, EVENTS.len() as c_int);
        lua_setfield(l, -2, c"filter".as_ptr());
    }
    1
}
