//! `skynet.sharetable.core`: a table with all that is in it, used by every Lua state of the process as it is.
//!
//! The table is made in a state of its own, the *matrix*, where it is marked as shared: no collector looks at it
//! from then on and nobody may write to it. It goes when the matrix is closed, so whoever closes it knows that
//! nobody uses the table any more.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr::null_mut;

use skynet_sys::lua::*;
use skynet_sys::{
    SkynetContext, lua_clonetable, lua_sharefunction, lua_sharestring, luaL_loadfilex_, skynet_send,
};

use crate::luax::{Entry, check_pointer, new_module, ours, raise, set_functions, type_error};

const MATRIX: &CStr = c"BOXMATRIXSTATE";

/// Where every object of Lua has its mark, and the mark's age (core.md §1.24).
const MARK: usize = 9;
const AGE_BITS: u8 = 7;
const SHARED: u8 = 7;

/// The mark of the table or Lua function at `index`.
unsafe fn mark(l: *mut lua_State, index: c_int) -> *mut u8 {
    // SAFETY: the caller knows that it is an object, which begins with a header of ten bytes.
    unsafe {
        lua_topointer(l, index)
            .cast_mut()
            .cast::<u8>()
            .byte_add(MARK)
    }
}

unsafe fn is_shared(l: *mut lua_State, index: c_int) -> bool {
    // SAFETY: as the caller of `mark` promises.
    unsafe { *mark(l, index) & AGE_BITS == SHARED }
}

unsafe fn make_shared(l: *mut lua_State, index: c_int) {
    // SAFETY: as the caller of `mark` promises; the collector of this state is stopped.
    unsafe { *mark(l, index) |= SHARED }
}

/// Marks the value at `index`. True if it is a table whose content must be marked next.
unsafe fn share(l: *mut lua_State, index: c_int) -> bool {
    // SAFETY: `index` is absolute, three free slots. May raise, in the state of the matrix.
    unsafe {
        match lua_type(l, index) {
            LUA_TBOOLEAN | LUA_TNUMBER | LUA_TLIGHTUSERDATA => false,
            LUA_TSTRING => {
                lua_sharestring(l, index);
                false
            }
            LUA_TFUNCTION => {
                if !lua_getupvalue(l, index, 1).is_null() {
                    raise!(l, c"Invalid function with upvalue");
                }
                if lua_iscfunction(l, index) == 0 {
                    lua_sharefunction(l, index);
                    make_shared(l, index);
                }
                false
            }
            LUA_TTABLE => {
                if is_shared(l, index) {
                    return false;
                }
                if lua_getmetatable(l, index) != 0 {
                    raise!(l, c"Can't share metatable");
                }
                make_shared(l, index);
                true
            }
            other => raise!(l, c"Invalid type [%s]", lua_typename(l, other)),
        }
    }
}

/// Marks the table at index 1 and everything in it.
unsafe fn share_all(l: *mut lua_State) {
    // SAFETY: the stack holds, for every table that is open, the table and the key it has come to.
    unsafe {
        let mut open = 1;
        share(l, 1);
        lua_pushnil(l);
        while open > 0 {
            luaL_checkstack(l, 6, core::ptr::null());
            let key = lua_gettop(l);
            if lua_type(l, key) != LUA_TNIL && share(l, key) {
                lua_pushvalue(l, key); // a table as a key
            } else if lua_next(l, key - 1) == 0 {
                open -= 1;
                if open > 0 {
                    lua_pop(l, 1); // this was a value or a copy of the key; the key is below
                }
                continue;
            } else if !share(l, key + 1) {
                lua_pop(l, 1);
                continue;
            }
            lua_pushnil(l);
            open += 1;
        }
    }
}

/// Runs in the matrix with the source and its arguments; leaves the table at index 1.
unsafe extern "C-unwind" fn fill(l: *mut lua_State) -> c_int {
    // SAFETY: called by `matrix`, which keeps the source alive.
    unsafe {
        luaL_openlibs(l);
        let source: *const c_char = lua_touserdata(l, 1).cast();
        let status = if *source == b'@' as c_char {
            luaL_loadfilex_(l, source.add(1), core::ptr::null())
        } else {
            luaL_loadstring(l, source)
        };
        if status != LUA_OK {
            lua_error(l);
        }
        lua_replace(l, 1);
        lua_call(l, lua_gettop(l) - 1, 1);
        if lua_type(l, 1) != LUA_TTABLE {
            raise!(
                l,
                c"Not a table, it's a %s.",
                lua_typename(l, lua_type(l, 1))
            );
        }
        lua_gc(l, LUA_GCCOLLECT);
        lua_gc(l, LUA_GCSTOP);
        share_all(l);
        lua_settop(l, 1);
    }
    1
}

unsafe extern "C" fn allocate(
    _: *mut c_void,
    block: *mut c_void,
    _: usize,
    new: usize,
) -> *mut c_void {
    // SAFETY: the blocks of this state come from here.
    unsafe {
        if new == 0 {
            libc::free(block);
            return null_mut();
        }
        libc::realloc(block, new)
    }
}

#[cfg(not(feature = "lua55"))]
unsafe fn new_state(_: *mut lua_State) -> *mut lua_State {
    // SAFETY: the allocator needs no data. All states have one seed.
    unsafe { lua_newstate(allocate, null_mut()) }
}

/// Strings must hash as in the state of the caller: its seed is found where every such Lua has it.
#[cfg(feature = "lua55")]
unsafe fn new_state(l: *mut lua_State) -> *mut lua_State {
    const GLOBAL_STATE: usize = 24;
    const SEED: usize = 96;
    // SAFETY: core.md §1.24(4).
    unsafe {
        let global: *const u8 = l
            .cast::<u8>()
            .byte_add(GLOBAL_STATE)
            .cast::<*const u8>()
            .read();
        let seed = global.byte_add(SEED).cast::<u32>().read();
        lua_newstate(allocate, null_mut(), seed)
    }
}

/// Refuses what cannot go from state to state as it is.
unsafe fn check_argument(l: *mut lua_State, arg: c_int) {
    // SAFETY: called by Lua; one slot. May raise.
    unsafe {
        match lua_type(l, arg) {
            LUA_TBOOLEAN | LUA_TNUMBER | LUA_TLIGHTUSERDATA => (),
            LUA_TFUNCTION => {
                if lua_iscfunction(l, arg) == 0 || !lua_getupvalue(l, arg, 1).is_null() {
                    luaL_argerror(l, arg, c"Only support light C function".as_ptr());
                }
            }
            _ => {
                luaL_argerror(l, arg, c"Type invalid".as_ptr());
            }
        }
    }
}

unsafe fn copy_argument(l: *mut lua_State, arg: c_int, to: *mut lua_State) {
    // SAFETY: `to` has a free slot.
    unsafe {
        match lua_type(l, arg) {
            LUA_TBOOLEAN => lua_pushboolean(to, lua_toboolean(l, arg)),
            LUA_TLIGHTUSERDATA => lua_pushlightuserdata(to, lua_touserdata(l, arg)),
            LUA_TNUMBER if lua_isinteger(l, arg) != 0 => lua_pushinteger(to, lua_tointeger(l, arg)),
            LUA_TNUMBER => lua_pushnumber(to, lua_tonumber(l, arg)),
            _ => {
                if let Some(function) = lua_tocfunction(l, arg) {
                    lua_pushcclosure(to, function, 0);
                }
            }
        }
    }
}

/// The userdata of a matrix: its state, NULL once closed.
unsafe fn check_matrix<'a>(l: *mut lua_State) -> &'a mut *mut lua_State {
    // SAFETY: only such userdata carry the metatable. May raise.
    unsafe { &mut *luaL_checkudata(l, 1, MATRIX.as_ptr()).cast::<*mut lua_State>() }
}

/// Runs in the matrix with an error object: makes a text of it.
unsafe extern "C-unwind" fn describe(l: *mut lua_State) -> c_int {
    // SAFETY: called by `matrix`.
    unsafe {
        let text = lua_type(l, 1) == LUA_TSTRING
            || lua_type(l, 1) == LUA_TNUMBER
            || luaL_callmeta(l, 1, c"__tostring".as_ptr()) != 0 && lua_type(l, -1) == LUA_TSTRING;
        if !text {
            let kind = lua_typename(l, lua_type(l, 1));
            lua_pushfstring(l, c"(error object is a %s value)".as_ptr(), kind);
        }
        lua_tolstring(l, -1, null_mut());
    }
    1
}

/// Runs in the caller's state with a matrix: copies the text on top of the matrix's stack.
unsafe extern "C-unwind" fn push_text(l: *mut lua_State) -> c_int {
    // SAFETY: called by `matrix`. To ask for a string as a string needs no memory of the matrix.
    unsafe {
        let own: *mut lua_State = lua_touserdata(l, 1).cast();
        let mut text = c"(no error message)".as_ptr();
        if lua_type(own, -1) == LUA_TSTRING {
            text = lua_tolstring(own, -1, null_mut());
        }
        lua_pushstring(l, text);
    }
    1
}

/// matrix(source, ...) -> matrix
unsafe extern "C-unwind" fn matrix(l: *mut lua_State) -> c_int {
    const METHODS: &[Entry] = &[(c"close", close), (c"getptr", getptr), (c"size", size)];
    // SAFETY: called by Lua. The userdata is there before the state, which it owns from the start; a state
    // whose table failed is closed at once.
    unsafe {
        let source = luaL_checklstring(l, 1, null_mut());
        let top = lua_gettop(l);
        for arg in 2..=top {
            check_argument(l, arg);
        }
        lua_settop(l, top);
        luaL_checkstack(l, 4, core::ptr::null());
        let state: *mut *mut lua_State =
            lua_newuserdatauv(l, size_of::<*mut lua_State>(), 0).cast();
        *state = null_mut();
        if luaL_newmetatable(l, MATRIX.as_ptr()) != 0 {
            lua_pushvalue(l, -1);
            lua_setfield(l, -2, c"__index".as_ptr());
            set_functions(l, METHODS);
        }
        lua_setmetatable(l, -2);

        let own = new_state(l);
        if own.is_null() {
            raise!(l, c"luaL_newstate failed");
        }
        if lua_checkstack(own, top + 4) == 0 {
            lua_close(own);
            raise!(l, c"Too many argument %d", top);
        }
        lua_pushcclosure(own, fill, 0);
        lua_pushlightuserdata(own, source.cast_mut().cast());
        for arg in 2..=top {
            copy_argument(l, arg, own);
        }
        if lua_pcall(own, top, 1, 0) != LUA_OK {
            lua_pushcclosure(own, describe, 0);
            lua_insert(own, -2);
            lua_pcall(own, 1, 1, 0);
            // Nothing may raise here before the state is closed.
            lua_pushcclosure(l, push_text, 0);
            lua_pushlightuserdata(l, own.cast());
            lua_pcall(l, 1, 1, 0);
            lua_close(own);
            lua_error(l);
        }
        *state = own;
        count(own, 1);
    }
    1
}

/// The core counts the bytes of shared tables: those of this matrix come to it, or go.
unsafe fn count(matrix: *mut lua_State, sign: isize) {
    // SAFETY: the function has this type in every core that has it.
    unsafe {
        if let Some(shared) = ours::<Option<unsafe extern "C" fn(isize)>>(c"skynetx_sharedtables") {
            shared(sign * bytes_of(matrix) as isize);
        }
    }
}

/// The size of a matrix. It does not change any more.
unsafe fn bytes_of(matrix: *mut lua_State) -> lua_Integer {
    // SAFETY: as the caller promises.
    unsafe {
        lua_Integer::from(lua_gc(matrix, LUA_GCCOUNT)) * 1024
            + lua_Integer::from(lua_gc(matrix, LUA_GCCOUNTB))
    }
}

/// m:close()
unsafe extern "C-unwind" fn close(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let state = core::mem::replace(check_matrix(l), null_mut());
        if !state.is_null() {
            count(state, -1);
            lua_close(state);
        }
    }
    0
}

/// m:getptr() -> the table's address
unsafe extern "C-unwind" fn getptr(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the state has the table at index 1.
    unsafe {
        let state = *check_matrix(l);
        if state.is_null() {
            return 0;
        }
        lua_pushlightuserdata(l, lua_topointer(state, 1).cast_mut());
    }
    1
}

/// m:size() -> bytes
unsafe extern "C-unwind" fn size(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let state = *check_matrix(l);
        let bytes = if state.is_null() { 0 } else { bytes_of(state) };
        lua_pushinteger(l, bytes);
    }
    1
}

/// clone(ptr) -> the table
unsafe extern "C-unwind" fn clone(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; a script passes what `getptr` has given.
    unsafe {
        if lua_type(l, 1) != LUA_TLIGHTUSERDATA {
            type_error(l, 1, c"light userdata"); // a full one points at something else
        }
        lua_clonetable(l, check_pointer(l, 1));
    }
    1
}

unsafe extern "C-unwind" fn is_sharedtable(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let shared = lua_type(l, 1) == LUA_TTABLE && is_shared(l, 1);
        lua_pushboolean(l, c_int::from(shared));
    }
    1
}

/// stackvalues(thread, t) -> n, with the values of the thread's current frame in t[1..n]
unsafe extern "C-unwind" fn stackvalues(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; one slot here, one there.
    unsafe {
        let thread = lua_tothread(l, 1);
        if thread.is_null() {
            luaL_argerror(l, 1, c"thread expected".as_ptr());
        }
        let mut n = 0;
        if thread != l {
            n = lua_gettop(thread);
        }
        if n > 0 {
            luaL_checktype(l, 2, LUA_TTABLE);
            if lua_checkstack(thread, 1) == 0 {
                raise!(l, c"stack overflow");
            }
        }
        for i in 1..=n {
            lua_pushvalue(thread, i);
            lua_xmove(thread, l, 1);
            lua_rawseti(l, 2, lua_Integer::from(i));
        }
        lua_pushinteger(l, lua_Integer::from(n));
    }
    1
}

/// What a service has to say when its Lua state is gone.
struct Farewell {
    ctx: *mut SkynetContext,
    address: u32,
    message: Box<[u8]>,
}

const PTYPE_LUA: c_int = 10;

unsafe extern "C" fn say(farewell: *mut c_void) {
    // SAFETY: `atclose` made it, and it comes here once. The core copies the message; the service is still there, as
    // its instance is being released.
    unsafe {
        let mut it = Box::from_raw(farewell.cast::<Farewell>());
        let (bytes, size) = (it.message.as_mut_ptr(), it.message.len());
        skynet_send(it.ctx, 0, it.address, PTYPE_LUA, 0, bytes.cast(), size);
    }
}

/// atclose(address, message): when this state has closed, and its last finalizer has run, the service at `address`
/// gets the message, of type "lua" and without a session.
unsafe extern "C-unwind" fn atclose(l: *mut lua_State) -> c_int {
    type Callback = unsafe extern "C" fn(*mut c_void);
    type AtClose = unsafe extern "C" fn(*mut lua_State, Callback, *mut c_void) -> c_int;
    // SAFETY: called by Lua. Nothing raises while the message is ours alone.
    unsafe {
        let address = luaL_checkinteger(l, 1) as u32;
        let mut size = 0;
        let bytes = luaL_checklstring(l, 2, &mut size);
        lua_getfield(l, LUA_REGISTRYINDEX, c"skynet_context".as_ptr());
        let ctx: *mut SkynetContext = lua_touserdata(l, -1).cast();
        let at_close = ours::<Option<AtClose>>(c"skynetx_atclose");
        let (Some(at_close), false) = (at_close, ctx.is_null()) else {
            raise!(l, c"atclose needs a service");
        };
        let message = core::slice::from_raw_parts(bytes.cast::<u8>(), size).into();
        let farewell = Box::into_raw(Box::new(Farewell {
            ctx,
            address,
            message,
        }));
        if at_close(l, say, farewell.cast()) == 0 {
            drop(Box::from_raw(farewell));
            raise!(l, c"not enough memory");
        }
    }
    0
}

/// Opens `skynet.sharetable.core`.
///
/// # Safety
/// Called by Lua's `require`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn luaopen_skynet_sharetable_core(l: *mut lua_State) -> c_int {
    const ENTRIES: &[Entry] = &[
        (c"atclose", atclose),
        (c"clone", clone),
        (c"is_sharedtable", is_sharedtable),
        (c"matrix", matrix),
        (c"stackvalues", stackvalues),
    ];
    // SAFETY: called by Lua.
    unsafe {
        if libc::dlsym(libc::RTLD_DEFAULT, c"lua_clonetable".as_ptr()).is_null() {
            raise!(l, c"No share string table support");
        }
        new_module(l, ENTRIES.len());
        set_functions(l, ENTRIES);
    }
    1
}
