//! The seri format: how Lua values travel in messages (`skynet.core.pack`, `packstring`, `unpack`).
//!
//! A message is one item after the other. An item begins with a byte `kind | cookie << 3`; what follows depends
//! on both, all numbers little endian. Peers on other nodes and other versions read these bytes: nothing here may
//! change them.
//!
//! Writing has two modes, since a Lua error must not leak the buffer:
//! - *heap*: only Lua calls that cannot raise are made, faults come back as [`Fault`] and the buffer is the heap
//!   block that becomes the message;
//! - *Lua*: the buffer is a userdata, and anything may raise, metamethods included.
//!
//! `pack` starts in heap mode and begins again in Lua mode when it meets a table with `__pairs`: until then it has
//! only looked at raw values, so nobody can tell. `packstring` works in Lua mode, for its result is Lua's anyway.

use core::ffi::{c_int, c_void};
use core::mem::MaybeUninit;
use core::ptr;

use skynet_sys::lua::*;

use crate::luax::{heap_alloc, raise};

const KIND_NIL: u8 = 0;
const KIND_BOOLEAN: u8 = 1;
const KIND_NUMBER: u8 = 2;
const KIND_POINTER: u8 = 3;
const KIND_SHORT_STRING: u8 = 4;
const KIND_LONG_STRING: u8 = 5;
const KIND_TABLE: u8 = 6;

/// Cookies of `KIND_NUMBER`.
const NUMBER_ZERO: u8 = 0;
const NUMBER_U8: u8 = 1;
const NUMBER_U16: u8 = 2;
const NUMBER_I32: u8 = 4;
const NUMBER_I64: u8 = 6;
const NUMBER_F64: u8 = 8;

/// Cookies of `KIND_LONG_STRING`: width of the length.
const LENGTH_U16: u8 = 2;
const LENGTH_U32: u8 = 4;

/// Strings below this length carry it in the cookie.
const SHORT_STRING: usize = 32;
/// Cookie of a table whose array size follows as a number of its own.
const LONG_ARRAY: u8 = 31;

/// A value may lie inside this many tables when it is written.
const MAX_WRITE_DEPTH: c_int = 32;
/// Tables inside tables that are read. Nobody writes more than `MAX_WRITE_DEPTH` + 1; the bound keeps hostile
/// input from using up the thread's stack.
const MAX_READ_DEPTH: c_int = 1000;

/// Most messages fit in this and cost one exact allocation.
const INLINE_BUFFER: usize = 512;

const fn header(kind: u8, cookie: u8) -> u8 {
    kind | cookie << 3
}

/// Why a value could not be written.
enum Fault {
    TooDeep,
    /// The Lua type.
    Unsupported(c_int),
    StringTooLong,
    OutOfMemory,
    /// A table with `__pairs` in heap mode.
    NeedsLuaMode,
}

/// Who owns a buffer that has outgrown the inline one.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Heap,
    /// The userdata at this stack index.
    Lua(c_int),
}

/// Output buffer. It has no destructor on purpose: in Lua mode errors jump over it.
struct Writer {
    l: *mut lua_State,
    start: *mut u8,
    length: usize,
    capacity: usize,
    mode: Mode,
    /// Whether the buffer has left the inline one.
    spilled: bool,
    /// Stack or upvalue index of the string `__pairs`.
    pairs_key: c_int,
}

impl Writer {
    fn new(
        l: *mut lua_State,
        inline: &mut [MaybeUninit<u8>; INLINE_BUFFER],
        mode: Mode,
        pairs_key: c_int,
    ) -> Writer {
        Writer {
            l,
            start: inline.as_mut_ptr().cast(),
            length: 0,
            capacity: INLINE_BUFFER,
            mode,
            spilled: false,
            pairs_key,
        }
    }

    /// Room for `count` more bytes; the caller fills them and adds to `length`.
    #[inline(always)]
    fn reserve(&mut self, count: usize) -> Result<*mut u8, Fault> {
        if self.capacity - self.length < count {
            self.grow(count)?;
        }
        // SAFETY: length <= capacity of the allocation at `start`.
        Ok(unsafe { self.start.add(self.length) })
    }

    #[cold]
    fn grow(&mut self, count: usize) -> Result<(), Fault> {
        let needed = self
            .length
            .checked_add(count)
            .ok_or(Fault::OutOfMemory)?
            .max(self.capacity * 2);
        // SAFETY: the old buffer holds `length` bytes and the new one is larger. In Lua mode the state is live,
        // its stack has a free slot (`value` and `table` see to it) and the old userdata stays on the stack until
        // its bytes have been copied.
        unsafe {
            let moved: *mut u8 = match self.mode {
                Mode::Heap if self.spilled => {
                    let moved = libc::realloc(self.start.cast(), needed).cast::<u8>();
                    if moved.is_null() {
                        return Err(Fault::OutOfMemory);
                    }
                    moved
                }
                Mode::Heap => {
                    let moved = libc::malloc(needed).cast::<u8>();
                    if moved.is_null() {
                        return Err(Fault::OutOfMemory);
                    }
                    ptr::copy_nonoverlapping(self.start, moved, self.length);
                    moved
                }
                Mode::Lua(slot) => {
                    let moved = lua_newuserdatauv(self.l, needed, 0).cast::<u8>();
                    ptr::copy_nonoverlapping(self.start, moved, self.length);
                    lua_replace(self.l, slot);
                    moved
                }
            };
            self.start = moved;
        }
        self.capacity = needed;
        self.spilled = true;
        Ok(())
    }

    /// Gives up a heap-mode buffer.
    fn discard(&mut self) {
        if self.spilled && self.mode == Mode::Heap {
            // SAFETY: `start` came from malloc and is used no more.
            unsafe { libc::free(self.start.cast()) };
        }
    }

    #[inline(always)]
    fn byte(&mut self, byte: u8) -> Result<(), Fault> {
        let to = self.reserve(1)?;
        // SAFETY: one byte is reserved.
        unsafe { to.write(byte) };
        self.length += 1;
        Ok(())
    }

    /// A header byte and a payload of fixed width.
    #[inline(always)]
    fn item<const N: usize>(&mut self, header: u8, payload: [u8; N]) -> Result<(), Fault> {
        let to = self.reserve(1 + N)?;
        // SAFETY: 1 + N bytes are reserved.
        unsafe {
            to.write(header);
            to.add(1).cast::<[u8; N]>().write_unaligned(payload);
        }
        self.length += 1 + N;
        Ok(())
    }

    fn integer(&mut self, value: i64) -> Result<(), Fault> {
        let number = |cookie| header(KIND_NUMBER, cookie);
        match value {
            0 => self.byte(number(NUMBER_ZERO)),
            1..=0xff => self.item(number(NUMBER_U8), [value as u8]),
            0x100..=0xffff => self.item(number(NUMBER_U16), (value as u16).to_le_bytes()),
            _ => match i32::try_from(value) {
                Ok(narrow) => self.item(number(NUMBER_I32), narrow.to_le_bytes()),
                Err(_) => self.item(number(NUMBER_I64), value.to_le_bytes()),
            },
        }
    }

    fn string(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let length = bytes.len();
        if length < SHORT_STRING {
            self.byte(header(KIND_SHORT_STRING, length as u8))?;
        } else if let Ok(length) = u16::try_from(length) {
            self.item(header(KIND_LONG_STRING, LENGTH_U16), length.to_le_bytes())?;
        } else if let Ok(length) = u32::try_from(length) {
            self.item(header(KIND_LONG_STRING, LENGTH_U32), length.to_le_bytes())?;
        } else {
            return Err(Fault::StringTooLong);
        }
        let to = self.reserve(length)?;
        // SAFETY: `length` bytes are reserved; Lua's string and the buffer are different memory.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to, length) };
        self.length += length;
        Ok(())
    }

    /// Writes the value at the absolute stack index `at`, which lies inside `depth` tables.
    ///
    /// # Safety
    /// The state is live, `at` is valid, one stack slot is free.
    unsafe fn value(&mut self, at: c_int, depth: c_int) -> Result<(), Fault> {
        let l = self.l;
        if depth > MAX_WRITE_DEPTH {
            return Err(Fault::TooDeep);
        }
        // SAFETY: as the caller promises. None of these calls raises: lua_tolstring is asked for strings only.
        unsafe {
            match lua_type(l, at) {
                LUA_TNIL => self.byte(header(KIND_NIL, 0)),
                LUA_TBOOLEAN => self.byte(header(KIND_BOOLEAN, (lua_toboolean(l, at) != 0).into())),
                LUA_TNUMBER if lua_isinteger(l, at) != 0 => self.integer(lua_tointeger(l, at)),
                LUA_TNUMBER => self.item(
                    header(KIND_NUMBER, NUMBER_F64),
                    lua_tonumber(l, at).to_bits().to_le_bytes(),
                ),
                LUA_TSTRING => {
                    let mut length = 0;
                    let start = lua_tolstring(l, at, &mut length);
                    self.string(core::slice::from_raw_parts(start.cast(), length))
                }
                LUA_TLIGHTUSERDATA => {
                    let pointer = lua_touserdata(l, at) as usize as u64;
                    self.item(header(KIND_POINTER, 0), pointer.to_le_bytes())
                }
                LUA_TTABLE => self.table(at, depth),
                other => Err(Fault::Unsupported(other)),
            }
        }
    }

    /// # Safety
    /// As [`Writer::value`], with a table at `at`. Uses up to six slots, which it makes sure of itself.
    unsafe fn table(&mut self, at: c_int, depth: c_int) -> Result<(), Fault> {
        let l = self.l;
        // SAFETY: as the caller promises; the raw accessors used here do not raise. lua_next could only complain
        // about a key that is not in the table, and nothing changes the table between two steps unless a nested
        // __pairs does, which happens in Lua mode, where raising is fine.
        unsafe {
            if lua_checkstack(l, 8) == 0 {
                return Err(Fault::OutOfMemory);
            }
            if lua_getmetatable(l, at) != 0 {
                lua_pushvalue(l, self.pairs_key);
                if lua_rawget(l, -2) != LUA_TNIL {
                    if self.mode == Mode::Heap {
                        return Err(Fault::NeedsLuaMode);
                    }
                    return self.iterated_table(at, depth);
                }
                lua_pop(l, 2);
            }

            let size = lua_rawlen(l, at);
            if size < LONG_ARRAY as usize {
                self.byte(header(KIND_TABLE, size as u8))?;
            } else {
                self.byte(header(KIND_TABLE, LONG_ARRAY))?;
                self.integer(size as i64)?;
            }
            let size = size as lua_Integer;

            // As a rule `next` begins with 1, 2, 3, …: then one walk serves the array and the pairs.
            let key = lua_gettop(l) + 1;
            let value = key + 1;
            let mut seen = 0;
            lua_pushnil(l);
            let mut left = lua_next(l, at) != 0;
            while left
                && seen < size
                && lua_isinteger(l, key) != 0
                && lua_tointeger(l, key) == seen + 1
            {
                self.value(value, depth + 1)?;
                seen += 1;
                lua_pop(l, 1);
                left = lua_next(l, at) != 0;
            }
            for index in seen + 1..=size {
                lua_rawgeti(l, at, index);
                self.value(lua_gettop(l), depth + 1)?;
                lua_pop(l, 1);
            }
            while left {
                let in_array = lua_isinteger(l, key) != 0
                    && (seen + 1..=size).contains(&lua_tointeger(l, key));
                if !in_array {
                    self.value(key, depth + 1)?;
                    self.value(value, depth + 1)?;
                }
                lua_pop(l, 1);
                left = lua_next(l, at) != 0;
            }
        }
        self.byte(header(KIND_NIL, 0))
    }

    /// A table that says itself what its pairs are. Its `__pairs` lies on top of the stack, the metatable below.
    ///
    /// # Safety
    /// As [`Writer::table`], in Lua mode only: raises whatever the iteration raises.
    unsafe fn iterated_table(&mut self, at: c_int, depth: c_int) -> Result<(), Fault> {
        let l = self.l;
        self.byte(header(KIND_TABLE, 0))?;
        // SAFETY: as the caller promises; `table` has made room: three for the iterator, three for a step.
        unsafe {
            lua_remove(l, -2);
            lua_pushvalue(l, at);
            lua_call(l, 1, 3);
            let control = lua_gettop(l);
            loop {
                lua_pushvalue(l, control - 2);
                lua_pushvalue(l, control - 1);
                lua_pushvalue(l, control);
                lua_call(l, 2, 2);
                if lua_type(l, control + 1) == LUA_TNIL {
                    break;
                }
                self.value(control + 1, depth + 1)?;
                self.value(control + 2, depth + 1)?;
                lua_pop(l, 1);
                lua_replace(l, control);
            }
            lua_settop(l, control - 3);
        }
        self.byte(header(KIND_NIL, 0))
    }

    /// Writes the values at 1..=`count`.
    ///
    /// # Safety
    /// As [`Writer::value`].
    unsafe fn values(&mut self, count: c_int) -> Result<(), Fault> {
        for at in 1..=count {
            // SAFETY: as the caller promises.
            unsafe { self.value(at, 0)? };
        }
        Ok(())
    }
}

/// Turns a fault into its Lua error.
#[cold]
unsafe fn raise_fault(l: *mut lua_State, fault: Fault) -> ! {
    // SAFETY: the caller hands on a live state; nothing owned is alive.
    unsafe {
        match fault {
            Fault::TooDeep => raise!(l, c"serialize can't pack too depth table"),
            Fault::Unsupported(kind) => {
                raise!(l, c"Unsupport type %s to serialize", lua_typename(l, kind))
            }
            Fault::StringTooLong => raise!(l, c"string is too long to serialize"),
            Fault::OutOfMemory | Fault::NeedsLuaMode => raise!(l, c"out of memory"),
        }
    }
}

/// Packs the arguments 1..=`count` in Lua mode and returns the bytes; they live in `inline` or on the stack.
///
/// # Safety
/// A live state with `count` arguments; `pairs_key` as in [`Writer`]. May raise.
unsafe fn pack_in_lua_mode(
    l: *mut lua_State,
    count: c_int,
    pairs_key: c_int,
    inline: &mut [MaybeUninit<u8>; INLINE_BUFFER],
) -> &[u8] {
    // SAFETY: as the caller promises; the bytes up to `length` are written, and a userdata that holds them stays
    // at its slot until the calling C function returns.
    unsafe {
        luaL_checkstack(l, 4, ptr::null());
        lua_pushnil(l);
        let slot = lua_gettop(l);
        let mut writer = Writer::new(l, inline, Mode::Lua(slot), pairs_key);
        match writer.values(count) {
            Ok(()) => core::slice::from_raw_parts(writer.start, writer.length),
            Err(fault) => raise_fault(l, fault),
        }
    }
}

/// Packs the arguments 1..=`count` and pushes a heap block and its size.
unsafe fn pack_arguments(l: *mut lua_State, count: c_int, pairs_key: c_int) -> c_int {
    let mut inline = [MaybeUninit::uninit(); INLINE_BUFFER];
    // SAFETY: called by a Lua C function. Nothing that can raise is called while the block is ours alone:
    // luaL_checkstack comes first, and the pushes at the end do not allocate.
    unsafe {
        luaL_checkstack(l, 4, ptr::null());
        let mut writer = Writer::new(l, &mut inline, Mode::Heap, pairs_key);
        let packed = writer.values(count);
        let (block, length): (*mut c_void, usize) = match packed {
            Ok(()) if writer.spilled => (writer.start.cast(), writer.length),
            Ok(()) => {
                let block = heap_alloc(l, writer.length);
                ptr::copy_nonoverlapping(writer.start, block.cast(), writer.length);
                (block, writer.length)
            }
            Err(fault) => {
                writer.discard();
                if !matches!(fault, Fault::NeedsLuaMode) {
                    raise_fault(l, fault);
                }
                lua_settop(l, count.max(pairs_key));
                let bytes = pack_in_lua_mode(l, count, pairs_key, &mut inline);
                let block = heap_alloc(l, bytes.len());
                ptr::copy_nonoverlapping(bytes.as_ptr(), block.cast(), bytes.len());
                (block, bytes.len())
            }
        };
        lua_pushlightuserdata(l, block);
        lua_pushinteger(l, length as lua_Integer);
    }
    2
}

/// `pack(...)` → block, size. Upvalue 1 is the string `__pairs`.
pub unsafe extern "C-unwind" fn pack(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { pack_arguments(l, lua_gettop(l), lua_upvalueindex(1)) }
}

/// `packstring(...)` → string. Upvalue 1 is the string `__pairs`.
pub unsafe extern "C-unwind" fn packstring(l: *mut lua_State) -> c_int {
    let mut inline = [MaybeUninit::uninit(); INLINE_BUFFER];
    // SAFETY: called by Lua; everything is Lua's when something raises.
    unsafe {
        let bytes = pack_in_lua_mode(l, lua_gettop(l), lua_upvalueindex(1), &mut inline);
        lua_pushlstring(l, bytes.as_ptr().cast(), bytes.len());
    }
    1
}

/// [`pack`] under the C name that other C modules call; it does not rely on upvalues.
///
/// # Safety
/// Called as a Lua C function, or by one with its own arguments on the stack.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn luaseri_pack(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let count = lua_gettop(l);
        luaL_checkstack(l, 1, ptr::null());
        lua_pushstring(l, c"__pairs".as_ptr());
        pack_arguments(l, count, count + 1)
    }
}

/// Input of one `unpack` call.
struct Reader {
    l: *mut lua_State,
    at: *const u8,
    left: usize,
}

impl Reader {
    /// # Safety
    /// Raises; see the head of the file.
    #[cold]
    unsafe fn invalid(&self, line: u32) -> ! {
        // SAFETY: the state is live and nothing owned is alive while reading.
        unsafe {
            raise!(
                self.l,
                c"Invalid serialize stream %d (line:%d)",
                self.left.min(c_int::MAX as usize) as c_int,
                line as c_int
            )
        }
    }

    /// The next `count` bytes; raises if they are not there.
    #[inline(always)]
    unsafe fn take(&mut self, count: usize, line: u32) -> *const u8 {
        if self.left < count {
            // SAFETY: as for `invalid`.
            unsafe { self.invalid(line) }
        }
        let at = self.at;
        // SAFETY: `count` bytes are there.
        self.at = unsafe { at.add(count) };
        self.left -= count;
        at
    }

    #[inline(always)]
    unsafe fn array<const N: usize>(&mut self, line: u32) -> [u8; N] {
        // SAFETY: `take` gives N readable bytes.
        unsafe { self.take(N, line).cast::<[u8; N]>().read_unaligned() }
    }

    /// The integer whose cookie has been read.
    unsafe fn integer(&mut self, cookie: u8) -> i64 {
        // SAFETY: raising is fine while reading.
        unsafe {
            match cookie {
                NUMBER_ZERO => 0,
                NUMBER_U8 => u8::from_le_bytes(self.array(line!())).into(),
                NUMBER_U16 => u16::from_le_bytes(self.array(line!())).into(),
                NUMBER_I32 => i32::from_le_bytes(self.array(line!())).into(),
                NUMBER_I64 => i64::from_le_bytes(self.array(line!())),
                _ => self.invalid(line!()),
            }
        }
    }

    unsafe fn push_string(&mut self, length: usize) {
        // SAFETY: `take` gives that many readable bytes; `item`'s caller has made room for one value.
        unsafe {
            let start = self.take(length, line!());
            lua_pushlstring(self.l, start.cast(), length);
        }
    }

    /// Reads one item and pushes it. Returns whether it was nil.
    ///
    /// # Safety
    /// One stack slot is free. May raise.
    unsafe fn item(&mut self, depth: c_int) -> bool {
        let l = self.l;
        // SAFETY: as the caller promises.
        unsafe {
            let [first] = self.array(line!());
            let cookie = first >> 3;
            match first & 7 {
                KIND_NIL => {
                    lua_pushnil(l);
                    return true;
                }
                KIND_BOOLEAN => lua_pushboolean(l, cookie.into()),
                KIND_NUMBER if cookie == NUMBER_F64 => {
                    let bits = u64::from_le_bytes(self.array(line!()));
                    lua_pushnumber(l, f64::from_bits(bits));
                }
                KIND_NUMBER => {
                    let value = self.integer(cookie);
                    lua_pushinteger(l, value);
                }
                KIND_POINTER => {
                    let address = u64::from_le_bytes(self.array(line!()));
                    lua_pushlightuserdata(l, address as usize as *mut c_void);
                }
                KIND_SHORT_STRING => self.push_string(cookie.into()),
                KIND_LONG_STRING if cookie == LENGTH_U16 => {
                    let length = u16::from_le_bytes(self.array(line!()));
                    self.push_string(length.into());
                }
                KIND_LONG_STRING if cookie == LENGTH_U32 => {
                    let length = u32::from_le_bytes(self.array(line!()));
                    self.push_string(length as usize);
                }
                KIND_TABLE if cookie == LONG_ARRAY => {
                    let [next] = self.array(line!());
                    if next & 7 != KIND_NUMBER {
                        self.invalid(line!());
                    }
                    let size = self.integer(next >> 3);
                    self.table(size, depth + 1);
                }
                KIND_TABLE => self.table(cookie.into(), depth + 1),
                _ => self.invalid(line!()),
            }
        }
        false
    }

    /// Reads the body of a table with `size` array items and pushes the table.
    unsafe fn table(&mut self, size: i64, depth: c_int) {
        let l = self.l;
        // SAFETY: luaL_checkstack makes room for the table, a key and a value. May raise.
        unsafe {
            if depth > MAX_READ_DEPTH {
                raise!(l, c"stack overflow");
            }
            luaL_checkstack(l, 3, ptr::null());
            // Every item takes a byte at least: a lying size cannot make us reserve more than that.
            let room = size.clamp(0, self.left.min(c_int::MAX as usize) as i64);
            lua_createtable(l, room as c_int, 0);
            for index in 1..=size {
                self.item(depth);
                lua_rawseti(l, -2, index);
            }
            while !self.item(depth) {
                self.item(depth);
                lua_rawset(l, -3);
            }
            lua_pop(l, 1);
        }
    }
}

/// `unpack(msg [, size])` → all values. Does not release the message.
pub unsafe extern "C-unwind" fn unpack(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the message stays at index 1 while it is read.
    unsafe {
        let (start, length) = match lua_type(l, 1) {
            LUA_TNONE | LUA_TNIL => return 0,
            LUA_TSTRING => {
                let mut length = 0;
                let start = lua_tolstring(l, 1, &mut length);
                (start.cast::<u8>(), length as lua_Integer)
            }
            _ => (
                lua_touserdata(l, 1).cast::<u8>().cast_const(),
                luaL_checkinteger(l, 2),
            ),
        };
        if length == 0 {
            return 0;
        }
        if start.is_null() {
            raise!(l, c"deserialize null pointer");
        }
        lua_settop(l, 1);
        let mut reader = Reader {
            l,
            at: start,
            left: length.max(0) as usize,
        };
        let mut count: c_int = 0;
        while reader.left > 0 {
            // A C function starts with LUA_MINSTACK free slots.
            if count % 16 == 15 {
                luaL_checkstack(l, LUA_MINSTACK, ptr::null());
            }
            reader.item(0);
            count += 1;
        }
        count
    }
}

/// [`unpack`] under the C name that other C modules call.
///
/// # Safety
/// Called as a Lua C function, or by one with its own arguments on the stack.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn luaseri_unpack(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { unpack(l) }
}
