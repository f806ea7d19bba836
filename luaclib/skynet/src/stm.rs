//! `skynet.stm`: a cell whose writer replaces its value and whose readers, in other services, see the latest one.
//!
//! The value is a block of bytes, a *version*, shared by reference count: a reader keeps the version it has seen
//! last until it looks again. Writer, readers and handles on their way each hold a count of the cell.

use core::ffi::{c_int, c_void};
use core::mem;
use std::sync::{Arc, Mutex, PoisonError};

use skynet_sys::lua::*;

use crate::luax::{
    Entry, check_bytes, check_pointer, check_size, heap_copy, new_module, push_metatable,
    push_tagged, set_functions, set_functions_with, tagged_at, type_error,
};

struct Version {
    /// A block of the message heap.
    block: *mut c_void,
    size: usize,
}

// SAFETY: a version is immutable; its block may be released by any thread.
unsafe impl Send for Version {}
// SAFETY: as above.
unsafe impl Sync for Version {}

impl Drop for Version {
    fn drop(&mut self) {
        // SAFETY: the version owns its block.
        unsafe { libc::free(self.block) }
    }
}

struct Cell {
    /// None when the writer is gone.
    latest: Mutex<Option<Arc<Version>>>,
}

impl Cell {
    /// Replaces the version; the old one is released outside the lock.
    fn set(&self, version: Option<Arc<Version>>) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let old = mem::replace(&mut *latest, version);
        drop(latest);
        drop(old);
    }

    /// What a reader should know that has seen `seen`.
    fn look(&self, seen: Option<&Arc<Version>>) -> Look {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        match (latest.as_ref(), seen) {
            (None, _) => Look::Gone,
            (Some(version), Some(seen)) if Arc::ptr_eq(version, seen) => Look::Unchanged,
            (Some(version), _) => Look::Changed(version.clone()),
        }
    }
}

enum Look {
    Gone,
    Unchanged,
    Changed(Arc<Version>),
}

/// Content of a writer's userdata; None once collected.
struct Writer {
    cell: Option<Arc<Cell>>,
}

/// Content of a reader's userdata.
struct Reader {
    cell: Option<Arc<Cell>>,
    seen: Option<Arc<Version>>,
}

const WRITER_TAG: u64 = 0x736b_7973_746d_7731;
const READER_TAG: u64 = 0x736b_7973_746d_7231;

/// A value as a script gives it.
enum Value<'a> {
    /// A string, which is copied.
    Bytes(&'a [u8]),
    /// A heap block and its size, taken over.
    Block(*mut c_void, usize),
}

unsafe fn check_value<'a>(l: *mut lua_State, arg: c_int) -> Value<'a> {
    // SAFETY: called by Lua; a string stays on the stack. May raise.
    unsafe {
        if lua_type(l, arg) == LUA_TLIGHTUSERDATA {
            let size = check_size(l, arg + 1);
            Value::Block(lua_touserdata(l, arg), size)
        } else {
            Value::Bytes(check_bytes(l, arg))
        }
    }
}

/// Makes the version that a cell is to hold.
unsafe fn make_version(l: *mut lua_State, value: Value) -> Arc<Version> {
    // SAFETY: called by Lua. Only the copy may raise, and then there is no version yet.
    unsafe {
        let (block, size) = match value {
            Value::Bytes(bytes) => (heap_copy(l, bytes), bytes.len()),
            Value::Block(block, size) => (block, size),
        };
        Arc::new(Version { block, size })
    }
}

unsafe extern "C-unwind" fn new(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; two slots. The userdata is there, empty, before the version is.
    unsafe {
        let value = check_value(l, 1);
        let writer = push_tagged(l, WRITER_TAG, Writer { cell: None });
        lua_pushvalue(l, lua_upvalueindex(1));
        lua_setmetatable(l, -2);
        let version = make_version(l, value);
        writer.cell = Some(Arc::new(Cell {
            latest: Mutex::new(Some(version)),
        }));
    }
    1
}

unsafe fn check_writer<'a>(l: *mut lua_State) -> &'a Arc<Cell> {
    // SAFETY: called by Lua; argument 1 stays on the stack. May raise.
    unsafe {
        match tagged_at::<Writer>(l, 1, WRITER_TAG) {
            Some(Writer { cell: Some(cell) }) => cell,
            _ => type_error(l, 1, c"stm writer"),
        }
    }
}

unsafe extern "C-unwind" fn write(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let cell = check_writer(l);
        let version = make_version(l, check_value(l, 2));
        cell.set(Some(version));
    }
    0
}

unsafe extern "C-unwind" fn collect_writer(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua, as a rule by the collector.
    unsafe {
        if let Some(writer) = tagged_at::<Writer>(l, 1, WRITER_TAG)
            && let Some(cell) = writer.cell.take()
        {
            cell.set(None);
        }
    }
    0
}

unsafe extern "C-unwind" fn copy(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; one slot. `newcopy` takes the count back.
    unsafe {
        let cell = check_writer(l).clone();
        lua_pushlightuserdata(l, Arc::into_raw(cell).cast_mut().cast());
    }
    1
}

unsafe extern "C-unwind" fn newcopy(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua with what `copy` gave, once; two slots.
    unsafe {
        let handle: *const Cell = check_pointer(l, 1).cast();
        let reader = push_tagged(
            l,
            READER_TAG,
            Reader {
                cell: None,
                seen: None,
            },
        );
        lua_pushvalue(l, lua_upvalueindex(1));
        lua_setmetatable(l, -2);
        reader.cell = Some(Arc::from_raw(handle));
    }
    1
}

/// Looks at the cell; the block and its size if there is news.
fn update(reader: &mut Reader) -> Option<(*mut c_void, usize)> {
    let cell = reader.cell.as_ref()?;
    match cell.look(reader.seen.as_ref()) {
        Look::Gone => {
            reader.seen = None;
            None
        }
        Look::Unchanged => None,
        Look::Changed(version) => {
            let news = (version.block, version.size);
            reader.seen = Some(version);
            Some(news)
        }
    }
}

unsafe extern "C-unwind" fn read(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; a few slots. The reader holds the version while the function runs.
    unsafe {
        let Some(reader) = tagged_at::<Reader>(l, 1, READER_TAG) else {
            type_error(l, 1, c"stm reader")
        };
        luaL_checktype(l, 2, LUA_TFUNCTION);
        lua_settop(l, 3);
        let Some((block, size)) = update(reader) else {
            lua_pushboolean(l, 0);
            return 1;
        };
        lua_pushboolean(l, 1);
        lua_pushvalue(l, 2);
        lua_pushlightuserdata(l, block);
        lua_pushinteger(l, size as lua_Integer);
        lua_pushvalue(l, 3);
        lua_call(l, 3, LUA_MULTRET);
        lua_gettop(l) - 3
    }
}

unsafe extern "C-unwind" fn collect_reader(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua, as a rule by the collector.
    unsafe {
        if let Some(reader) = tagged_at::<Reader>(l, 1, READER_TAG) {
            reader.seen = None;
            reader.cell = None;
        }
    }
    0
}

/// Opens `skynet.stm`.
///
/// # Safety
/// Called by Lua's `require`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn luaopen_skynet_stm(l: *mut lua_State) -> c_int {
    const WRITER: &[Entry] = &[(c"__gc", collect_writer), (c"__call", write)];
    const READER: &[Entry] = &[(c"__gc", collect_reader), (c"__call", read)];
    // SAFETY: called by Lua. The metatables are upvalues of the functions that make such objects.
    unsafe {
        new_module(l, 3);
        set_functions(l, &[(c"copy", copy)]);
        push_metatable(l, WRITER);
        set_functions_with(l, &[(c"new", new)]);
        push_metatable(l, READER);
        set_functions_with(l, &[(c"newcopy", newcopy)]);
    }
    1
}
