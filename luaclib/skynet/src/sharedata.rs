//! `skynet.sharedata.core`: trees of configuration outside any Lua state, read by all services without locks.
//!
//! A tree does not change after `new`. Its root counts the services that hold it and carries the mark that a
//! newer tree exists; what is inside knows its root. Who deletes a tree knows that nobody reads it any more.

use core::ffi::{CStr, c_int, c_void};
use core::ptr::null_mut;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use skynet_sys::lua::*;

use crate::luax::{Entry, check_pointer, new_module, push_bytes, raise, set_functions};

/// Tables nested deeper than this are refused, because a table that contains itself has no end.
const DEEPEST: usize = 1000;

enum Value {
    Nil,
    Boolean(bool),
    Integer(lua_Integer),
    Number(lua_Number),
    Text(Box<[u8]>),
    Table(Box<Object>),
}

#[derive(Clone, Copy, PartialEq)]
enum Key<'a> {
    Integer(i32),
    Text(&'a [u8]),
}

/// A table of a tree; scripts hold its address.
struct Object {
    mark: u64,
    root: *const Root,
    array: Vec<Value>,
    /// The other fields, in the order of `nextkey`, and where in it each key is.
    fields: Vec<Value>,
    names: Vec<Name>,
    by_integer: HashMap<i32, usize>,
    by_text: HashMap<Box<[u8]>, usize>,
}

/// The key of a field.
enum Name {
    Integer(i32),
    Text(Box<[u8]>),
}

/// The object of the root comes first: the address of one is the address of the other.
#[repr(C)]
struct Root {
    object: Object,
    references: AtomicI32,
    dirty: AtomicBool,
}

const MARK: u64 = 0x736b_7973_6861_7265;

/// Why a table cannot become a tree.
enum Refusal {
    NumberKey(lua_Number),
    KeyType(c_int),
    ValueType(c_int),
    Memory,
    Depth,
}

impl Object {
    fn new() -> Object {
        Object {
            mark: MARK,
            root: core::ptr::null(),
            array: Vec::new(),
            fields: Vec::new(),
            names: Vec::new(),
            by_integer: HashMap::new(),
            by_text: HashMap::new(),
        }
    }

    fn add(&mut self, name: Name, value: Value) {
        let at = self.fields.len();
        match &name {
            Name::Integer(key) => self.by_integer.insert(*key, at),
            Name::Text(key) => self.by_text.insert(key.clone(), at),
        };
        self.names.push(name);
        self.fields.push(value);
    }

    fn position(&self, key: Key) -> Option<usize> {
        match key {
            Key::Integer(key) => self.by_integer.get(&key).copied(),
            Key::Text(key) => self.by_text.get(key).copied(),
        }
    }

    fn get(&self, key: Key) -> Option<&Value> {
        if let Key::Integer(at) = key
            && let Some(value) = usize::try_from(at)
                .ok()
                .and_then(|at| self.array.get(at.wrapping_sub(1)))
        {
            return Some(value);
        }
        self.position(key).map(|at| &self.fields[at])
    }

    /// Tells every object where its root is, once that is known.
    fn set_root(&mut self, root: *const Root) {
        self.root = root;
        for value in self.array.iter_mut().chain(&mut self.fields) {
            if let Value::Table(object) = value {
                object.set_root(root);
            }
        }
    }
}

/// The value on the top of the stack. Nothing here raises: what is built would be lost.
unsafe fn take_value(l: *mut lua_State, depth: usize) -> Result<Value, Refusal> {
    // SAFETY: `take_table` has made room. A string is copied before it leaves the stack.
    unsafe {
        Ok(match lua_type(l, -1) {
            LUA_TNIL => Value::Nil,
            LUA_TBOOLEAN => Value::Boolean(lua_toboolean(l, -1) != 0),
            LUA_TNUMBER if lua_isinteger(l, -1) != 0 => Value::Integer(lua_tointeger(l, -1)),
            LUA_TNUMBER => Value::Number(lua_tonumber(l, -1)),
            LUA_TSTRING => Value::Text(text_at(l, -1).into()),
            LUA_TTABLE => Value::Table(Box::new(take_table(l, depth + 1)?)),
            other => return Err(Refusal::ValueType(other)),
        })
    }
}

/// The table on the top of the stack.
unsafe fn take_table(l: *mut lua_State, depth: usize) -> Result<Object, Refusal> {
    let mut object = Object::new();
    // SAFETY: room is made first; `lua_next` is given keys of the table only, raw access raises nothing.
    unsafe {
        if depth > DEEPEST {
            return Err(Refusal::Depth);
        }
        if lua_checkstack(l, 4) == 0 {
            return Err(Refusal::Memory);
        }
        let table = lua_gettop(l);
        let length = lua_rawlen(l, table) as lua_Integer;
        for at in 1..=length {
            lua_rawgeti(l, table, at);
            object.array.push(take_value(l, depth)?);
            lua_pop(l, 1);
        }
        lua_pushnil(l);
        while lua_next(l, table) != 0 {
            let name = match lua_type(l, -2) {
                LUA_TNUMBER if lua_isinteger(l, -2) == 0 => {
                    return Err(Refusal::NumberKey(lua_tonumber(l, -2)));
                }
                LUA_TNUMBER => {
                    let key = lua_tointeger(l, -2);
                    if (1..=length).contains(&key) {
                        lua_pop(l, 1);
                        continue;
                    }
                    Name::Integer(key as i32)
                }
                LUA_TSTRING => Name::Text(text_at(l, -2).into()),
                other => return Err(Refusal::KeyType(other)),
            };
            let value = take_value(l, depth)?;
            object.add(name, value);
            lua_pop(l, 1);
        }
    }
    Ok(object)
}

/// The bytes of the string at `index`.
unsafe fn text_at<'a>(l: *mut lua_State, index: c_int) -> &'a [u8] {
    // SAFETY: the value is a string, and used only while it is on the stack.
    unsafe {
        let mut length = 0;
        let start = lua_tolstring(l, index, &mut length);
        core::slice::from_raw_parts(start.cast(), length)
    }
}

/// Builds the tree of the table at index 1; owns nothing any more when it returns.
unsafe fn build(l: *mut lua_State) -> Result<*mut Root, Refusal> {
    // SAFETY: as for `take_table`.
    let object = unsafe { take_table(l, 0)? };
    let root = Box::into_raw(Box::new(Root {
        object,
        references: AtomicI32::new(0),
        dirty: AtomicBool::new(false),
    }));
    // SAFETY: nobody else knows it.
    unsafe { (*root).object.set_root(root) };
    Ok(root)
}

/// new(t) -> root
unsafe extern "C-unwind" fn new(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        luaL_checktype(l, 1, LUA_TTABLE);
        lua_settop(l, 1);
        match build(l) {
            Ok(root) => lua_pushlightuserdata(l, root.cast()),
            Err(Refusal::NumberKey(key)) => raise!(l, c"Invalid key %f", key),
            Err(Refusal::KeyType(kind)) => raise!(l, c"Invalid key type %s", lua_typename(l, kind)),
            Err(Refusal::ValueType(kind)) => {
                raise!(l, c"Unsupport value type %s", lua_typename(l, kind))
            }
            Err(Refusal::Memory) => raise!(l, c"memory error"),
            Err(Refusal::Depth) => raise!(l, c"the table is nested too deep"),
        }
    }
    1
}

/// The object that argument `arg` is the address of.
unsafe fn check_object<'a>(l: *mut lua_State, arg: c_int) -> &'a Object {
    // SAFETY: a script passes addresses that it was given here. May raise.
    unsafe {
        let object: *const Object = lua_touserdata(l, arg).cast();
        if object.is_null() || (*object).mark != MARK {
            raise!(l, c"Need a conf object");
        }
        &*object
    }
}

unsafe fn check_root<'a>(l: *mut lua_State, arg: c_int) -> &'a Root {
    // SAFETY: as for `check_object`; the root outlives its objects.
    unsafe { &*check_object(l, arg).root }
}

/// delete(root)
unsafe extern "C-unwind" fn delete(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua, by whoever knows that the tree is not used.
    unsafe {
        let root: *const Root = check_root(l, 1);
        (*root.cast_mut()).object.mark = 0;
        drop(Box::from_raw(root.cast_mut()));
    }
    0
}

unsafe extern "C-unwind" fn markdirty(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { check_root(l, 1) }
        .dirty
        .store(true, Ordering::Release);
    0
}

unsafe fn count(l: *mut lua_State, step: i32) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let before = check_root(l, 1)
            .references
            .fetch_add(step, Ordering::AcqRel);
        lua_pushinteger(l, lua_Integer::from(before.wrapping_add(step)));
    }
    1
}

unsafe extern "C-unwind" fn getref(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { count(l, 0) }
}

unsafe extern "C-unwind" fn incref(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { count(l, 1) }
}

unsafe extern "C-unwind" fn decref(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { count(l, -1) }
}

/// Content of a box: what a service holds a tree by.
struct Held {
    root: *const Root,
    /// The successor, once `update` was told; its table is the user value.
    next: *mut c_void,
}

const BOX: &CStr = c"confctrl";

unsafe fn check_box<'a>(l: *mut lua_State) -> &'a mut Held {
    // SAFETY: only boxes carry the metatable. May raise.
    unsafe { &mut *luaL_checkudata(l, 1, BOX.as_ptr()).cast::<Held>() }
}

/// box(root) -> box
unsafe extern "C-unwind" fn new_box(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua. The count goes up when the box is complete.
    unsafe {
        let root: *const Root = check_root(l, 1);
        let held: *mut Held = lua_newuserdatauv(l, size_of::<Held>(), 1).cast();
        held.write(Held {
            root: core::ptr::null(),
            next: null_mut(),
        });
        if luaL_newmetatable(l, BOX.as_ptr()) != 0 {
            set_functions(l, &[(c"__gc", collect)]);
        }
        lua_setmetatable(l, -2);
        (*root).references.fetch_add(1, Ordering::AcqRel);
        (*held).root = root;
    }
    1
}

unsafe extern "C-unwind" fn collect(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the tree is alive as long as a box counts.
    unsafe {
        let held = check_box(l);
        if let Some(root) = held.root.as_ref() {
            root.references.fetch_sub(1, Ordering::AcqRel);
        }
        held.root = core::ptr::null();
    }
    0
}

/// update(box, root, t)
unsafe extern "C-unwind" fn update(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let held = check_box(l);
        luaL_checktype(l, 2, LUA_TLIGHTUSERDATA);
        luaL_checktype(l, 3, LUA_TTABLE);
        let next = check_pointer(l, 2);
        if core::ptr::eq(held.root, next.cast_const().cast()) {
            raise!(l, c"You should update a new object");
        }
        lua_settop(l, 3);
        lua_setiuservalue(l, 1, 1);
        held.next = next;
    }
    0
}

/// needupdate(box) -> root, t
unsafe extern "C-unwind" fn needupdate(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let held = check_box(l);
        if held.next.is_null() {
            return 0;
        }
        lua_pushlightuserdata(l, held.next);
        lua_getiuservalue(l, 1, 1);
    }
    2
}

unsafe fn push_value(l: *mut lua_State, value: &Value) {
    // SAFETY: called by Lua; one slot. May raise; the tree owns the value.
    unsafe {
        match value {
            Value::Nil => lua_pushnil(l),
            Value::Boolean(value) => lua_pushboolean(l, c_int::from(*value)),
            Value::Integer(value) => lua_pushinteger(l, *value),
            Value::Number(value) => lua_pushnumber(l, *value),
            Value::Text(value) => push_bytes(l, value),
            Value::Table(object) => {
                let address: *const Object = &**object;
                lua_pushlightuserdata(l, address.cast_mut().cast());
            }
        }
    }
}

/// index(obj, key) -> value
unsafe extern "C-unwind" fn index(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let object = check_object(l, 1);
        let key = match lua_type(l, 2) {
            LUA_TNIL
                if cfg!(feature = "apihead")
                    || cfg!(feature = "lua55") && !cfg!(feature = "api18") =>
            {
                return 0;
            }
            LUA_TNUMBER if lua_isinteger(l, 2) == 0 => {
                raise!(l, c"Invalid key %f", lua_tonumber(l, 2))
            }
            LUA_TNUMBER => Key::Integer(lua_tointeger(l, 2) as i32),
            _ => {
                let mut length = 0;
                let start = luaL_checklstring(l, 2, &mut length);
                Key::Text(core::slice::from_raw_parts(start.cast(), length))
            }
        };
        match object.get(key) {
            Some(value) => push_value(l, value),
            None => return 0,
        }
    }
    1
}

/// nextkey(obj, key) -> the key behind it, or the first one
unsafe extern "C-unwind" fn nextkey(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; one slot.
    unsafe {
        let object = check_object(l, 1);
        // the array's keys count as the first ones
        let behind = match lua_type(l, 2) {
            LUA_TNIL | LUA_TNONE => 0,
            LUA_TNUMBER if lua_isinteger(l, 2) != 0 => {
                let key = lua_tointeger(l, 2) as i32;
                match usize::try_from(key) {
                    Ok(at) if at >= 1 && at <= object.array.len() => at,
                    _ => match object.position(Key::Integer(key)) {
                        Some(at) => object.array.len() + at + 1,
                        None => return 0,
                    },
                }
            }
            LUA_TNUMBER => return 0,
            _ => {
                let mut length = 0;
                let start = luaL_checklstring(l, 2, &mut length);
                let key = core::slice::from_raw_parts(start.cast(), length);
                match object.position(Key::Text(key)) {
                    Some(at) => object.array.len() + at + 1,
                    None => return 0,
                }
            }
        };
        // a slot of the array that holds nil is no entry
        let filled = |at: &usize| !matches!(object.array[*at], Value::Nil);
        if let Some(at) = (behind..object.array.len()).find(filled) {
            lua_pushinteger(l, at as lua_Integer + 1);
            return 1;
        }
        match object
            .names
            .get(behind.max(object.array.len()) - object.array.len())
        {
            Some(Name::Integer(key)) => lua_pushinteger(l, lua_Integer::from(*key)),
            Some(Name::Text(key)) => push_bytes(l, key),
            None => return 0,
        }
    }
    1
}

unsafe extern "C-unwind" fn len(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { lua_pushinteger(l, check_object(l, 1).array.len() as lua_Integer) };
    1
}

unsafe extern "C-unwind" fn hashlen(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { lua_pushinteger(l, check_object(l, 1).fields.len() as lua_Integer) };
    1
}

unsafe extern "C-unwind" fn isdirty(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let dirty = check_root(l, 1).dirty.load(Ordering::Acquire);
        lua_pushboolean(l, c_int::from(dirty));
    }
    1
}

/// Opens `skynet.sharedata.core`.
///
/// # Safety
/// Called by Lua's `require`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn luaopen_skynet_sharedata_core(l: *mut lua_State) -> c_int {
    const ENTRIES: &[Entry] = &[
        (c"box", new_box),
        (c"decref", decref),
        (c"delete", delete),
        (c"getref", getref),
        (c"hashlen", hashlen),
        (c"incref", incref),
        (c"index", index),
        (c"isdirty", isdirty),
        (c"len", len),
        (c"markdirty", markdirty),
        (c"needupdate", needupdate),
        (c"new", new),
        (c"nextkey", nextkey),
        (c"update", update),
    ];
    // SAFETY: called by Lua.
    unsafe {
        new_module(l, ENTRIES.len());
        set_functions(l, ENTRIES);
    }
    1
}
