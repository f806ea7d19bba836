//! What every module of this crate needs from Lua and the raw bindings do not give: a raising macro, module
//! tables, the service context, and an owner for C memory that a Lua error must not leak.
//!
//! Rule of the house: a Lua error (and every allocating Lua call can raise one) leaves by `longjmp`. Frames that
//! call into Lua therefore own nothing that has a destructor; memory that must outlive such a call belongs to
//! Lua (a userdata, a `luaL_Buffer`) or to a [`Guard`].

use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr;

use skynet_sys::SkynetContext;
use skynet_sys::lua::*;

/// Raises a formatted Lua error with the position of the calling Lua function. `%s %d %I %f %p %%` are known.
macro_rules! raise {
    ($l:expr, $fmt:literal $(, $arg:expr)* $(,)?) => {{
        skynet_sys::lua::luaL_error($l, $fmt.as_ptr() $(, $arg)*);
        unreachable!()
    }};
}
pub(crate) use raise;

unsafe extern "C-unwind" {
    /// Raises `bad argument #arg to 'f' (EXPECTED expected, got ACTUAL)`. Stock Lua, missing in mlua-sys.
    fn luaL_typeerror(l: *mut lua_State, arg: c_int, expected: *const c_char) -> c_int;
}

/// A field of a module table.
pub type Entry = (&'static CStr, lua_CFunction);

/// What `luaL_checkversion` passes: the Lua version and the widths of its numbers.
const LUA_VERSION: lua_Number = if cfg!(feature = "lua55") {
    505.0
} else {
    504.0
};
const NUMBER_SIZES: usize = size_of::<lua_Integer>() * 16 + size_of::<lua_Number>();

/// Starts a module: checks that the host runs the Lua this object was built for, pushes an empty table.
///
/// # Safety
/// `l` is a live Lua state with two free slots. May raise.
pub unsafe fn new_module(l: *mut lua_State, fields: usize) {
    // SAFETY: as the caller promises.
    unsafe {
        luaL_checkversion_(l, LUA_VERSION, NUMBER_SIZES);
        lua_createtable(l, 0, fields as c_int);
    }
}

/// Sets plain functions as fields of the table on top of the stack.
///
/// # Safety
/// `l` is a live Lua state, a table on top, one free slot. May raise.
pub unsafe fn set_functions(l: *mut lua_State, entries: &[Entry]) {
    // SAFETY: as the caller promises; each round pushes one value and takes it off again.
    unsafe {
        for &(name, function) in entries {
            lua_pushcclosure(l, function, 0);
            lua_setfield(l, -2, name.as_ptr());
        }
    }
}

/// Like [`set_functions`], each with a copy of the value on top of the stack as its upvalue. Pops that value; the
/// table lies below it.
///
/// # Safety
/// `l` is a live Lua state, a table and a value on top, two free slots. May raise.
pub unsafe fn set_functions_with(l: *mut lua_State, entries: &[Entry]) {
    // SAFETY: as the caller promises; each round pushes one value and takes it off again.
    unsafe {
        for &(name, function) in entries {
            lua_pushvalue(l, -1);
            lua_pushcclosure(l, function, 1);
            lua_setfield(l, -3, name.as_ptr());
        }
        lua_pop(l, 1);
    }
}

/// Pushes the service context that the host left in the registry, as a light userdata.
///
/// # Safety
/// `l` is a live Lua state with one free slot. Raises if there is none.
pub unsafe fn push_context(l: *mut lua_State) {
    // SAFETY: as the caller promises.
    unsafe {
        lua_getfield(l, LUA_REGISTRYINDEX, c"skynet_context".as_ptr());
        if lua_touserdata(l, -1).is_null() {
            raise!(l, c"Init skynet context first");
        }
    }
}

/// The service context of a function registered with the context as its first upvalue.
///
/// # Safety
/// Called by such a function with its own state.
#[inline(always)]
pub unsafe fn context(l: *mut lua_State) -> *mut SkynetContext {
    // SAFETY: upvalue 1 exists, it is a light userdata.
    unsafe { lua_touserdata(l, lua_upvalueindex(1)).cast() }
}

/// An integer argument, narrowed to a C `int`.
///
/// # Safety
/// `l` is a live Lua state. May raise.
#[inline(always)]
pub unsafe fn check_int(l: *mut lua_State, arg: c_int) -> c_int {
    // SAFETY: as the caller promises.
    unsafe { luaL_checkinteger(l, arg) as c_int }
}

/// An integer argument that is a number of bytes. Negative ones would turn into absurd sizes.
///
/// # Safety
/// `l` is a live Lua state. May raise.
#[inline(always)]
pub unsafe fn check_size(l: *mut lua_State, arg: c_int) -> usize {
    // SAFETY: as the caller promises.
    unsafe {
        let size = luaL_checkinteger(l, arg);
        if size < 0 {
            luaL_argerror(l, arg, c"size must not be negative".as_ptr());
        }
        size as usize
    }
}

/// A light or full userdata argument that is not NULL.
///
/// # Safety
/// `l` is a live Lua state. May raise.
#[inline(always)]
pub unsafe fn check_pointer(l: *mut lua_State, arg: c_int) -> *mut c_void {
    // SAFETY: as the caller promises.
    unsafe {
        let pointer = lua_touserdata(l, arg);
        if pointer.is_null() {
            if lua_isuserdata(l, arg) != 0 {
                luaL_argerror(l, arg, c"null pointer".as_ptr());
            }
            type_error(l, arg, c"userdata");
        }
        pointer
    }
}

/// Raises the standard error for an argument of a wrong type.
///
/// # Safety
/// `l` is a live Lua state. Raises.
#[cold]
pub unsafe fn type_error(l: *mut lua_State, arg: c_int, expected: &CStr) -> ! {
    // SAFETY: as the caller promises.
    unsafe {
        luaL_typeerror(l, arg, expected.as_ptr());
    }
    unreachable!()
}

/// A string argument (numbers count) as bytes. They live as long as the value is on the stack.
///
/// # Safety
/// `l` is a live Lua state, the result is not used after the value has left the stack. May raise.
#[inline(always)]
pub unsafe fn check_bytes<'a>(l: *mut lua_State, arg: c_int) -> &'a [u8] {
    // SAFETY: as the caller promises; Lua never returns NULL here.
    unsafe {
        let mut len = 0;
        let start = luaL_checklstring(l, arg, &mut len);
        core::slice::from_raw_parts(start.cast(), len)
    }
}

/// Pushes `bytes` as a Lua string.
///
/// # Safety
/// `l` is a live Lua state with one free slot. May raise.
#[inline(always)]
pub unsafe fn push_bytes(l: *mut lua_State, bytes: &[u8]) {
    // SAFETY: as the caller promises.
    unsafe {
        lua_pushlstring(l, bytes.as_ptr().cast(), bytes.len());
    }
}

/// Pushes `length` bytes at `start`; NULL is fine when there are none.
///
/// # Safety
/// `l` is a live Lua state with one free slot, the bytes are readable. May raise.
#[inline(always)]
pub unsafe fn push_block(l: *mut lua_State, start: *const c_void, length: usize) {
    // SAFETY: as the caller promises.
    unsafe {
        if length == 0 {
            lua_pushlstring(l, c"".as_ptr(), 0);
        } else {
            lua_pushlstring(l, start.cast(), length);
        }
    }
}

/// Sets the field `name` of the table on top of the stack to an integer.
///
/// # Safety
/// `l` is a live Lua state, a table on top, one free slot. May raise.
pub unsafe fn set_integer(l: *mut lua_State, name: &CStr, value: lua_Integer) {
    // SAFETY: as the caller promises.
    unsafe {
        lua_pushinteger(l, value);
        lua_setfield(l, -2, name.as_ptr());
    }
}

/// A block of the message heap with a copy of `bytes`. Never NULL: the heap aborts or Lua would have to.
///
/// # Safety
/// `l` is a live Lua state; raises `not enough memory` if the heap gives nothing.
pub unsafe fn heap_copy(l: *mut lua_State, bytes: &[u8]) -> *mut c_void {
    // SAFETY: the block has room for the bytes.
    unsafe {
        let block = heap_alloc(l, bytes.len());
        ptr::copy_nonoverlapping(bytes.as_ptr(), block.cast(), bytes.len());
        block
    }
}

/// A block of the message heap, never NULL, also for size 0.
///
/// # Safety
/// `l` is a live Lua state; raises `not enough memory` if the heap gives nothing.
pub unsafe fn heap_alloc(l: *mut lua_State, size: usize) -> *mut c_void {
    // SAFETY: plain allocation.
    unsafe {
        let block = libc::malloc(size.max(1));
        if block.is_null() {
            raise!(l, c"not enough memory");
        }
        block
    }
}

/// The content of a full userdata of ours. Scripts can hand over any userdata; size and mark tell ours.
#[repr(C)]
pub struct Tagged<T> {
    tag: u64,
    value: T,
}

/// Pushes a userdata with `value`. It has no metatable yet: if `T` must be released, fill it only after setting one.
///
/// # Safety
/// `l` is a live Lua state with one free slot, `T` needs no more alignment than 16. May raise, so `value` owns
/// nothing.
pub unsafe fn push_tagged<'a, T>(l: *mut lua_State, tag: u64, value: T) -> &'a mut T {
    const { assert!(align_of::<Tagged<T>>() <= 16) };
    // SAFETY: the userdata is large enough, and lives as long as the script or the stack holds it.
    unsafe {
        let content: *mut Tagged<T> = lua_newuserdatauv(l, size_of::<Tagged<T>>(), 0).cast();
        content.write(Tagged { tag, value });
        &mut (*content).value
    }
}

/// The content of the userdata at `arg`, if it was pushed with this tag.
///
/// # Safety
/// `l` is a live Lua state; the value stays on its stack while the result is used, and no other reference to it is.
#[inline(always)]
pub unsafe fn tagged_at<'a, T>(l: *mut lua_State, arg: c_int, tag: u64) -> Option<&'a mut T> {
    // SAFETY: the tag is read only if the userdata has the size of ours, and then says that `T` is in it.
    unsafe {
        if lua_type(l, arg) != LUA_TUSERDATA || lua_rawlen(l, arg) != size_of::<Tagged<T>>() {
            return None;
        }
        let content: *mut Tagged<T> = lua_touserdata(l, arg).cast();
        ((*content).tag == tag).then(|| &mut (*content).value)
    }
}

/// Pushes a metatable with these metamethods and nothing else.
///
/// # Safety
/// `l` is a live Lua state with two free slots. May raise.
pub unsafe fn push_metatable(l: *mut lua_State, methods: &[Entry]) {
    // SAFETY: as the caller promises.
    unsafe {
        lua_createtable(l, 0, methods.len() as c_int);
        set_functions(l, methods);
    }
}

/// Owner of one piece of C memory, living in a userdata: whatever happens, its collection releases the memory.
#[repr(C)]
pub struct Guard {
    held: *mut c_void,
    release: unsafe extern "C" fn(*mut c_void),
}

impl Guard {
    /// Pushes an empty guard. Fill it with [`Guard::hold`].
    ///
    /// # Safety
    /// `l` is a live Lua state with three free slots; the guard is used only while it is on the stack. May raise.
    pub unsafe fn push<'a>(
        l: *mut lua_State,
        release: unsafe extern "C" fn(*mut c_void),
    ) -> &'a mut Guard {
        // SAFETY: the userdata is large enough and aligned (Lua aligns to 16), and initialised before use.
        unsafe {
            let guard: *mut Guard = lua_newuserdatauv(l, size_of::<Guard>(), 0).cast();
            guard.write(Guard {
                held: ptr::null_mut(),
                release,
            });
            if luaL_newmetatable(l, c"skynet.guard".as_ptr()) != 0 {
                lua_pushcclosure(l, collect_guard, 0);
                lua_setfield(l, -2, c"__gc".as_ptr());
            }
            lua_setmetatable(l, -2);
            &mut *guard
        }
    }

    /// Makes the guard the owner of `memory`.
    pub fn hold(&mut self, memory: *mut c_void) {
        self.held = memory;
    }

    /// Releases what is held, now.
    pub fn release(&mut self) {
        let memory = core::mem::replace(&mut self.held, ptr::null_mut());
        if !memory.is_null() {
            // SAFETY: the guard owns the memory and `release` is its destructor.
            unsafe { (self.release)(memory) }
        }
    }
}

unsafe extern "C-unwind" fn collect_guard(l: *mut lua_State) -> c_int {
    // SAFETY: only guards carry this metatable's __gc; a call by hand with something else is refused.
    unsafe {
        let guard: *mut Guard = luaL_checkudata(l, 1, c"skynet.guard".as_ptr()).cast();
        (*guard).release();
    }
    0
}

/// A function of ours by its name: those of `skynetx.h`, and what `src/lua/share.h` exports. Upstream's core has none.
///
/// # Safety
/// `F` is an `Option` of the function's type.
pub unsafe fn ours<F>(name: &CStr) -> F {
    const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
    // SAFETY: a look-up by name. A null pointer is None, and the rest the caller's promise.
    unsafe {
        let found = libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr());
        core::mem::transmute_copy::<*mut c_void, F>(&found)
    }
}
