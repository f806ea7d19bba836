//! `skynet.memory`: statistics and switches of the message heap, for `debug_console` and memory tools.

use core::ffi::{CStr, c_int};
use core::ptr;

use skynet_sys::lua::*;
use skynet_sys::{
    dump_c_mem, dump_mem_lua, mallctl_bool, mallctl_cmd, mallctl_int64, malloc_current_memory,
    malloc_memory_block, malloc_used_memory, memory_info_dump,
};

use crate::luax::{Entry, new_module, ours, set_functions, set_integer};

/// Allocator counters that `jestat` reports.
const STATISTICS: [&CStr; 5] = [
    c"stats.allocated",
    c"stats.resident",
    c"stats.retained",
    c"stats.mapped",
    c"stats.active",
];

unsafe extern "C-unwind" fn total(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; one slot.
    unsafe { lua_pushinteger(l, malloc_used_memory() as lua_Integer) };
    1
}

unsafe extern "C-unwind" fn block(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; one slot.
    unsafe { lua_pushinteger(l, malloc_memory_block() as lua_Integer) };
    1
}

unsafe extern "C-unwind" fn current(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; one slot.
    unsafe { lua_pushinteger(l, malloc_current_memory() as lua_Integer) };
    1
}

unsafe extern "C-unwind" fn info(l: *mut lua_State) -> c_int {
    // SAFETY: the host's function follows the protocol of Lua C functions.
    unsafe { dump_mem_lua(l) }
}

unsafe extern "C-unwind" fn jestat(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; two slots. The names are NUL terminated.
    unsafe {
        // The counters are snapshots; writing to `epoch` takes a new one.
        let mut refresh = 1;
        mallctl_int64(c"epoch".as_ptr(), &mut refresh);
        lua_createtable(l, 0, STATISTICS.len() as c_int);
        for name in STATISTICS {
            set_integer(
                l,
                name,
                mallctl_int64(name.as_ptr(), ptr::null_mut()) as lua_Integer,
            );
        }
    }
    1
}

unsafe extern "C-unwind" fn mallctl(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; one slot. Lua strings are NUL terminated.
    unsafe {
        let name = luaL_checkstring(l, 1);
        lua_pushinteger(l, mallctl_int64(name, ptr::null_mut()) as lua_Integer);
    }
    1
}

unsafe extern "C-unwind" fn dumpinfo(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua. lua_tostring gives NULL for what is no text, which asks for the full report.
    unsafe { memory_info_dump(lua_tostring(l, 1)) };
    0
}

unsafe extern "C-unwind" fn dump(_: *mut lua_State) -> c_int {
    // SAFETY: no conditions.
    unsafe { dump_c_mem() };
    0
}

unsafe extern "C-unwind" fn dumpheap(_: *mut lua_State) -> c_int {
    // SAFETY: the name is NUL terminated.
    unsafe { mallctl_cmd(c"prof.dump".as_ptr()) };
    0
}

unsafe extern "C-unwind" fn profactive(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; one slot. NULL asks without changing.
    unsafe {
        let name = c"prof.active".as_ptr();
        let before = if lua_isnone(l, 1) != 0 {
            mallctl_bool(name, ptr::null_mut())
        } else {
            let mut on = lua_toboolean(l, 1) != 0;
            mallctl_bool(name, &mut on)
        };
        lua_pushboolean(l, before.into());
    }
    1
}

/// As `struct skynetx_memory` in `skynetx.h`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Left {
    handle: u32,
    bytes: usize,
    blocks: usize,
}

/// As `struct skynetx_memory_service` in `skynetx.h`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Service {
    handle: u32,
    lua: usize,
    c: usize,
    messages: usize,
}

/// The fields of `struct skynetx_memory_map` in `skynetx.h`, in order.
const MAP: [&CStr; 19] = [
    c"resident",
    c"sum",
    c"lua",
    c"lua_ended",
    c"c",
    c"c_ended",
    c"c_nobody",
    c"uncounted",
    c"thread_caches",
    c"fragments",
    c"free_pages",
    c"metadata",
    c"files",
    c"stacks",
    c"other",
    c"untouched",
    c"messages",
    c"shared",
    c"retained",
];

type MapFn = unsafe extern "C" fn(map: *mut usize, size: usize) -> usize;
type ServicesFn = unsafe extern "C" fn(list: *mut Service, room: usize) -> usize;
type LeftFn = unsafe extern "C" fn(list: *mut Left, room: usize) -> usize;

/// Where the memory is: a table of bytes, with a table of services in it, or nil if the core does not say.
unsafe extern "C-unwind" fn map(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; five slots. The list is Lua's, so an error on the way loses nothing.
    unsafe {
        lua_settop(l, 0);
        let (map, services) = (
            ours::<Option<MapFn>>(c"skynetx_memory_map"),
            ours::<Option<ServicesFn>>(c"skynetx_memory_services"),
        );
        let (Some(map), Some(services)) = (map, services) else {
            return 0;
        };
        let mut figures = [0; MAP.len()];
        map(figures.as_mut_ptr(), size_of_val(&figures));
        lua_createtable(l, 0, MAP.len() as c_int + 1);
        for (name, bytes) in MAP.iter().zip(figures) {
            set_integer(l, name, bytes as lua_Integer);
        }
        // Those that come to it meanwhile are left for the next time.
        let room = services(ptr::null_mut(), 0);
        let list = lua_newuserdatauv(l, room * size_of::<Service>(), 0).cast::<Service>();
        let count = services(list, room).min(room);
        lua_createtable(l, 0, count as c_int);
        for i in 0..count {
            let entry = list.add(i).read();
            lua_createtable(l, 0, 3);
            set_integer(l, c"lua", entry.lua as lua_Integer);
            set_integer(l, c"c", entry.c as lua_Integer);
            set_integer(l, c"messages", entry.messages as lua_Integer);
            lua_rawseti(l, 3, entry.handle.into());
        }
        lua_setfield(l, 1, c"services".as_ptr());
        lua_settop(l, 1);
    }
    1
}

/// A table from the handles of services that have ended to what of theirs is in use.
unsafe extern "C-unwind" fn left(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; four slots. The list is Lua's, so an error on the way loses nothing.
    unsafe {
        lua_settop(l, 0);
        lua_createtable(l, 0, 0);
        let Some(memory_left) = ours::<Option<LeftFn>>(c"skynetx_memory_left") else {
            return 1;
        };
        // Those that come to it meanwhile are left for the next time.
        let room = memory_left(ptr::null_mut(), 0);
        let list = lua_newuserdatauv(l, room * size_of::<Left>(), 0).cast::<Left>();
        let count = memory_left(list, room).min(room);
        for i in 0..count {
            let entry = list.add(i).read();
            lua_createtable(l, 0, 2);
            set_integer(l, c"bytes", entry.bytes as lua_Integer);
            set_integer(l, c"blocks", entry.blocks as lua_Integer);
            lua_rawseti(l, 1, entry.handle.into());
        }
        lua_settop(l, 1);
    }
    1
}

const FUNCTIONS: &[Entry] = &[
    (c"total", total),
    (c"block", block),
    (c"info", info),
    (c"current", current),
    (c"jestat", jestat),
    (c"mallctl", mallctl),
    (c"dumpinfo", dumpinfo),
    (c"dump", dump),
    (c"dumpheap", dumpheap),
    (c"profactive", profactive),
    (c"left", left),
    (c"map", map),
];

/// Opens `skynet.memory`.
///
/// # Safety
/// Called by Lua's `require`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn luaopen_skynet_memory(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        new_module(l, FUNCTIONS.len());
        set_functions(l, FUNCTIONS);
    }
    1
}
