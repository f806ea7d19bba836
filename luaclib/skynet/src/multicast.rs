//! `skynet.multicast.core`: one payload for many receivers of this node.
//!
//! A *package* counts its receivers; a *box* holds a package's address, and its eight bytes are what messages of
//! type 2 carry. Both are heap blocks, and their layout is known to whoever reads such messages.

use core::ffi::{c_int, c_void};
use core::ptr;
use core::slice;
use core::sync::atomic::{AtomicI32, Ordering};

use skynet_sys::lua::*;

use crate::luax::{
    Entry, check_int, check_pointer, check_size, heap_alloc, heap_copy, new_module, raise,
    set_functions,
};

#[repr(C)]
struct Package {
    /// Receivers that have not closed it; 0 until `bind`.
    references: AtomicI32,
    size: u32,
    payload: *mut c_void,
}

const _: () = assert!(size_of::<Package>() == 16);

/// The content of a message: the address of a package.
type Boxed = *mut Package;

/// A payload size, which a package keeps in 32 bits.
unsafe fn check_payload_size(l: *mut lua_State, arg: c_int) -> u32 {
    // SAFETY: called by Lua. May raise.
    unsafe {
        match u32::try_from(luaL_checkinteger(l, arg)) {
            Ok(size) => size,
            Err(_) => raise!(l, c"Size should be 32bit integer"),
        }
    }
}

/// Wraps a payload, which the package owns from now on; pushes the box and its size.
unsafe fn push_boxed(l: *mut lua_State, payload: *mut c_void, size: u32) -> c_int {
    // SAFETY: called by Lua; two slots. The heap aborts or gives a block: nothing is lost in between.
    unsafe {
        let package: Boxed = heap_alloc(l, size_of::<Package>()).cast();
        package.write(Package {
            references: AtomicI32::new(0),
            size,
            payload,
        });
        let boxed: *mut Boxed = heap_alloc(l, size_of::<Boxed>()).cast();
        boxed.write(package);
        lua_pushlightuserdata(l, boxed.cast());
        lua_pushinteger(l, size_of::<Boxed>() as lua_Integer);
    }
    2
}

unsafe extern "C-unwind" fn pack(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua, which hands over a heap block.
    unsafe {
        let size = check_payload_size(l, 2);
        push_boxed(l, lua_touserdata(l, 1), size)
    }
}

unsafe extern "C-unwind" fn packremote(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua with a block of that size.
    unsafe {
        let size = check_payload_size(l, 2);
        let bytes = match size {
            0 => &[],
            _ => slice::from_raw_parts(check_pointer(l, 1).cast::<u8>(), size as usize),
        };
        let payload = heap_copy(l, bytes);
        push_boxed(l, payload, size)
    }
}

unsafe extern "C-unwind" fn unpack(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; three slots. The box may come from a string: read it unaligned.
    unsafe {
        let boxed: *const Boxed = check_pointer(l, 1).cast();
        let size = check_size(l, 2);
        if size != size_of::<Boxed>() {
            raise!(l, c"Invalid multicast package size %I", size as lua_Integer);
        }
        let package = boxed.read_unaligned();
        lua_pushlightuserdata(l, package.cast());
        lua_pushlightuserdata(l, (*package).payload);
        lua_pushinteger(l, (*package).size.into());
    }
    3
}

unsafe extern "C-unwind" fn bind(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua, which hands over the box.
    unsafe {
        let boxed: *mut Boxed = check_pointer(l, 1).cast();
        let receivers = check_int(l, 2);
        let package = boxed.read_unaligned();
        // Receivers see the count through the message that brings them the package.
        let bound = (*package).references.compare_exchange(
            0,
            receivers,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        if bound.is_err() {
            raise!(l, c"Can't bind a multicast package more than once");
        }
        libc::free(boxed.cast());
        lua_pushlightuserdata(l, package.cast());
    }
    1
}

unsafe extern "C-unwind" fn close(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua, once per receiver.
    unsafe {
        let package: Boxed = check_pointer(l, 1).cast();
        // Release and acquire: all use of the payload comes before it is freed.
        let left = (*package).references.fetch_sub(1, Ordering::AcqRel) - 1;
        if left <= 0 {
            libc::free((*package).payload);
            libc::free(package.cast());
            if left < 0 {
                raise!(l, c"Invalid multicast package reference %d", left);
            }
        }
    }
    0
}

unsafe extern "C-unwind" fn remote(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua, which hands over the box and takes the payload; two slots.
    unsafe {
        let boxed: *mut Boxed = check_pointer(l, 1).cast();
        let package = ptr::read(boxed.read_unaligned());
        lua_pushlightuserdata(l, package.payload);
        lua_pushinteger(l, package.size.into());
        libc::free(boxed.read_unaligned().cast());
        libc::free(boxed.cast());
    }
    2
}

unsafe extern "C-unwind" fn nextid(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; one slot.
    unsafe {
        // The low byte is the node, the rest counts.
        let id = luaL_checkinteger(l, 1) as u32;
        let next = id.wrapping_add(256) & 0x7fff_ffff;
        lua_pushinteger(l, next.into());
    }
    1
}

const FUNCTIONS: &[Entry] = &[
    (c"pack", pack),
    (c"unpack", unpack),
    (c"bind", bind),
    (c"close", close),
    (c"remote", remote),
    (c"packremote", packremote),
    (c"nextid", nextid),
];

/// Opens `skynet.multicast.core`.
///
/// # Safety
/// Called by Lua's `require`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn luaopen_skynet_multicast_core(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        new_module(l, FUNCTIONS.len());
        set_functions(l, FUNCTIONS);
    }
    1
}
