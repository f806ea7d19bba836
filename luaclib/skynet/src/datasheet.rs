//! `skynet.datasheet.core`: tables that take their content from a binary document when they are first looked at.
//!
//! A fresh table is empty and has a metatable; the first access through it copies the row and takes the metatable
//! away. The state's registry knows which table stands for which index of which document (`_proxy`), finds the
//! table of a row (`_ctable`), and keeps documents (`_ctables`).
//!
//! The document is what `skynet.datasheet.dump` writes. Nothing in it says how long it is, so its numbers are
//! believed, except for the kinds and indices.

use core::ffi::{CStr, c_int, c_void};

use skynet_sys::lua::*;

use crate::luax::{Entry, check_bytes, new_module, raise, set_functions};

const ROWS: &CStr = c"_ctable";
const PROXIES: &CStr = c"_proxy";
const DOCUMENTS: &CStr = c"_ctables";

const ABSENT: u32 = u32::MAX;

/// A document: its address.
#[derive(Clone, Copy)]
struct Document(*const u8);

/// One table in a document.
struct Row {
    types: *const u8,
    values: *const u8,
    array: u32,
    fields: u32,
}

unsafe fn number(at: *const u8) -> u32 {
    // SAFETY: the caller's pointer is into a document, of four bytes at least.
    u32::from_le_bytes(unsafe { at.cast::<[u8; 4]>().read_unaligned() })
}

impl Document {
    unsafe fn count(self) -> u32 {
        // SAFETY: a document has a head of eight bytes.
        unsafe { number(self.0.add(4)) }
    }

    unsafe fn string(self, offset: u32) -> *const u8 {
        // SAFETY: offsets in a document are into its strings.
        unsafe { self.0.add(number(self.0) as usize + offset as usize) }
    }

    /// Where the table is, NULL if the document has none of this index; the index is below the count.
    unsafe fn place(self, index: u32) -> *const u8 {
        // SAFETY: the head has an offset for each index.
        unsafe {
            let offset = number(self.0.add(8 + index as usize * 4));
            if offset == ABSENT {
                return core::ptr::null();
            }
            self.0.add(8 + self.count() as usize * 4 + offset as usize)
        }
    }
}

impl Row {
    unsafe fn at(place: *const u8) -> Row {
        // SAFETY: a table begins with its two counts, and its types end at a multiple of four.
        unsafe {
            let (array, fields) = (number(place), number(place.add(4)));
            let types = (array as usize + fields as usize).next_multiple_of(4);
            Row {
                types: place.add(8),
                values: place.add(8 + types),
                array,
                fields,
            }
        }
    }
}

/// Pushes the registry's table `name`, made if need be, with these weak parts.
unsafe fn registry(l: *mut lua_State, name: &CStr, mode: Option<&CStr>) {
    // SAFETY: three slots. May raise.
    unsafe {
        if lua_getfield(l, LUA_REGISTRYINDEX, name.as_ptr()) == LUA_TTABLE {
            return;
        }
        lua_pop(l, 1);
        lua_createtable(l, 0, 0);
        if let Some(mode) = mode {
            lua_createtable(l, 0, 1);
            lua_pushstring(l, mode.as_ptr());
            lua_setfield(l, -2, c"__mode".as_ptr());
            lua_setmetatable(l, -2);
        }
        lua_pushvalue(l, -1);
        lua_setfield(l, LUA_REGISTRYINDEX, name.as_ptr());
    }
}

/// Binds the table on the top of the stack to a place: `_proxy[t] = { document, index }`.
unsafe fn bind(l: *mut lua_State, document: Document, index: u32) {
    // SAFETY: six slots. May raise.
    unsafe {
        registry(l, PROXIES, Some(c"k"));
        lua_pushvalue(l, -2);
        lua_createtable(l, 2, 0);
        lua_pushlightuserdata(l, document.0.cast_mut().cast());
        lua_rawseti(l, -2, 1);
        lua_pushinteger(l, lua_Integer::from(index));
        lua_rawseti(l, -2, 2);
        lua_rawset(l, -3);
        lua_pop(l, 1);
    }
}

/// What the table at `at` is bound to.
unsafe fn binding(l: *mut lua_State, at: c_int) -> Option<(Document, u32)> {
    // SAFETY: `at` is absolute; four slots. May raise.
    unsafe {
        registry(l, PROXIES, Some(c"k"));
        lua_pushvalue(l, at);
        if lua_rawget(l, -2) != LUA_TTABLE {
            lua_pop(l, 2);
            return None;
        }
        lua_rawgeti(l, -1, 1);
        lua_rawgeti(l, -2, 2);
        let document: *const u8 = lua_touserdata(l, -2).cast_const().cast();
        let index = lua_tointeger(l, -1) as u32;
        lua_pop(l, 4);
        (!document.is_null()).then_some((Document(document), index))
    }
}

/// Gives the table on the top of the stack the metatable of fresh ones.
unsafe fn refresh(l: *mut lua_State) {
    const META: &CStr = c"_cfresh";
    const METHODS: &[Entry] = &[(c"__index", index), (c"__len", len), (c"__pairs", pairs)];
    // SAFETY: five slots. The metatable has no name, which `tostring` would show. May raise.
    unsafe {
        registry(l, META, None);
        if lua_getfield(l, -1, c"__index".as_ptr()) == LUA_TNIL {
            lua_pushvalue(l, -2);
            set_functions(l, METHODS);
            lua_pop(l, 1);
        }
        lua_pop(l, 1);
        lua_setmetatable(l, -2);
    }
}

/// Pushes the table of a row: the one that is there, or a fresh one.
unsafe fn push_table(l: *mut lua_State, document: Document, at: u32) {
    // SAFETY: eight slots. May raise.
    unsafe {
        if at >= document.count() {
            raise!(
                l,
                c"Invalid proxy (index = %d, total = %d)",
                at as c_int,
                document.count() as c_int
            );
        }
        let place = document.place(at);
        if place.is_null() {
            raise!(l, c"Invalid proxy (index = %d)", at as c_int);
        }
        registry(l, ROWS, Some(c"kv"));
        if lua_rawgetp(l, -1, place.cast()) == LUA_TTABLE {
            lua_replace(l, -2);
            return;
        }
        lua_pop(l, 1);
        lua_createtable(l, 0, 0);
        lua_pushvalue(l, -1);
        lua_rawsetp(l, -3, place.cast());
        lua_replace(l, -2);
        bind(l, document, at);
        refresh(l);
    }
}

/// Pushes a value of this kind.
unsafe fn push_value(l: *mut lua_State, document: Document, kind: u8, at: *const u8) {
    // SAFETY: nine slots. May raise.
    unsafe {
        let bits = number(at);
        match kind {
            0 => lua_pushnil(l),
            1 => lua_pushinteger(l, lua_Integer::from(bits as i32)),
            2 => lua_pushnumber(l, lua_Number::from(f32::from_bits(bits))),
            3 => lua_pushboolean(l, c_int::from(bits != 0)),
            4 => push_table(l, document, bits),
            5 => {
                lua_pushstring(l, document.string(bits).cast());
            }
            _ => raise!(l, c"Invalid type %d at %p", c_int::from(kind), at),
        }
    }
}

/// Copies the row into the table at index 1, which is an ordinary one then.
unsafe fn fill(l: *mut lua_State) {
    // SAFETY: called by a metamethod. May raise; then the table is as fresh as before.
    unsafe {
        luaL_checkstack(l, 16, core::ptr::null());
        if lua_type(l, 1) != LUA_TTABLE {
            raise!(l, c"Invalid cache");
        }
        let Some((document, index)) = binding(l, 1) else {
            raise!(l, c"Invalid proxy table %p", lua_topointer(l, 1));
        };
        if index >= document.count() {
            raise!(
                l,
                c"Invalid proxy (index = %d, total = %d)",
                index as c_int,
                document.count() as c_int
            );
        }
        let place = document.place(index);
        if place.is_null() {
            raise!(l, c"Invalid proxy (index = %d)", index as c_int);
        }
        let row = Row::at(place);
        for i in 0..row.array as usize {
            push_value(l, document, *row.types.add(i), row.values.add(i * 4));
            lua_rawseti(l, 1, i as lua_Integer + 1);
        }
        let pairs = row.values.add(row.array as usize * 4);
        for i in 0..row.fields as usize {
            let pair = pairs.add(i * 8);
            lua_pushstring(l, document.string(number(pair)).cast());
            push_value(
                l,
                document,
                *row.types.add(row.array as usize + i),
                pair.add(4),
            );
            lua_rawset(l, 1);
        }
        lua_pushnil(l);
        lua_setmetatable(l, 1);
    }
}

unsafe extern "C-unwind" fn index(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua with the table and a key.
    unsafe {
        fill(l);
        lua_settop(l, 2);
        lua_rawget(l, 1);
    }
    1
}

unsafe extern "C-unwind" fn len(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        fill(l);
        lua_pushinteger(l, lua_rawlen(l, 1) as lua_Integer);
    }
    1
}

unsafe extern "C-unwind" fn next(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua as an iterator.
    unsafe {
        luaL_checktype(l, 1, LUA_TTABLE);
        lua_settop(l, 2);
        if lua_next(l, 1) != 0 {
            return 2;
        }
        lua_pushnil(l);
    }
    1
}

unsafe extern "C-unwind" fn pairs(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        fill(l);
        lua_pushcclosure(l, next, 0);
        lua_pushvalue(l, 1);
        lua_pushnil(l);
    }
    3
}

unsafe fn check_document(l: *mut lua_State, arg: c_int) -> Document {
    // SAFETY: called by Lua. May raise.
    unsafe {
        luaL_checktype(l, arg, LUA_TLIGHTUSERDATA);
        let document: *mut c_void = lua_touserdata(l, arg);
        if document.is_null() {
            luaL_argerror(l, arg, c"null pointer".as_ptr());
        }
        Document(document.cast_const().cast())
    }
}

/// new(document) -> the table of index 0
unsafe extern "C-unwind" fn new(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let document = check_document(l, 1);
        luaL_checkstack(l, 16, core::ptr::null());
        push_table(l, document, 0);
        registry(l, DOCUMENTS, Some(c"k"));
        lua_pushvalue(l, -2);
        lua_pushvalue(l, 1);
        lua_rawset(l, -3);
        lua_pop(l, 1);
    }
    1
}

/// update(t, document): every table of t's document stands for the same index of the new one
unsafe extern "C-unwind" fn update(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua. The bindings are collected first, since they change.
    unsafe {
        luaL_checktype(l, 1, LUA_TTABLE);
        let document = check_document(l, 2);
        lua_settop(l, 2);
        luaL_checkstack(l, 24, core::ptr::null());
        let Some((old, _)) = binding(l, 1) else {
            raise!(l, c"Invalid proxy table %p", lua_topointer(l, 1));
        };
        lua_createtable(l, 0, 0); // 3: the tables to change
        registry(l, PROXIES, Some(c"k"));
        let mut n = 0;
        lua_pushnil(l);
        while lua_next(l, 4) != 0 {
            lua_pop(l, 1);
            if binding(l, 5).is_some_and(|(of, _)| of.0 == old.0) {
                n += 1;
                lua_pushvalue(l, 5);
                lua_rawseti(l, 3, n);
            }
        }
        registry(l, ROWS, Some(c"kv")); // 5
        for i in 1..=n {
            lua_rawgeti(l, 3, i); // 6
            let index = binding(l, 6).map_or(0, |(_, index)| index);
            lua_pushnil(l);
            while lua_next(l, 6) != 0 {
                lua_pop(l, 1);
                lua_pushvalue(l, -1);
                lua_pushnil(l);
                lua_rawset(l, 6);
            }
            if index < old.count() && !old.place(index).is_null() {
                lua_pushnil(l);
                lua_rawsetp(l, 5, old.place(index).cast());
            }
            if index < document.count() && !document.place(index).is_null() {
                lua_pushvalue(l, 6);
                lua_rawsetp(l, 5, document.place(index).cast());
            }
            bind(l, document, index);
            refresh(l);
            lua_pop(l, 1);
        }
        registry(l, DOCUMENTS, Some(c"k"));
        lua_pushvalue(l, 1);
        lua_pushvalue(l, 2);
        lua_rawset(l, -3);
        lua_pushvalue(l, 1);
    }
    1
}

/// stringpointer(s) -> the address of its bytes
unsafe extern "C-unwind" fn stringpointer(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the script keeps the string.
    unsafe {
        let bytes = check_bytes(l, 1);
        lua_pushlightuserdata(l, bytes.as_ptr().cast_mut().cast());
    }
    1
}

/// Opens `skynet.datasheet.core`.
///
/// # Safety
/// Called by Lua's `require`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn luaopen_skynet_datasheet_core(l: *mut lua_State) -> c_int {
    const ENTRIES: &[Entry] = &[
        (c"new", new),
        (c"stringpointer", stringpointer),
        (c"update", update),
    ];
    // SAFETY: called by Lua.
    unsafe {
        new_module(l, ENTRIES.len());
        set_functions(l, ENTRIES);
    }
    1
}
