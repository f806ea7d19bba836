//! `skynet.debugchannel`: how the debugger talks to a service that stands still, and a hook that can stop it.
//!
//! A channel is a queue of byte messages with two ends in two services. A service in the debugger does not take
//! messages from its mailbox, so it looks here.

use core::ffi::{CStr, c_int};
use core::mem::MaybeUninit;
use core::ptr;
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use skynet_sys::lua::*;

use crate::luax::{
    Entry, check_bytes, new_module, push_tagged, raise, set_functions, tagged_at, type_error,
};

struct Channel {
    messages: Mutex<VecDeque<Box<[u8]>>>,
}

/// Channels by address: `connect` is given a number by another service, which may be late.
static CHANNELS: Mutex<Vec<Weak<Channel>>> = Mutex::new(Vec::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Channel {
    fn create() -> Arc<Channel> {
        let channel = Arc::new(Channel {
            messages: Mutex::default(),
        });
        let mut channels = lock(&CHANNELS);
        channels.retain(|known| known.strong_count() > 0);
        channels.push(Arc::downgrade(&channel));
        channel
    }

    /// The channel at an address, for its second end.
    fn connect(address: *const Channel) -> Result<Arc<Channel>, ConnectError> {
        let channels = lock(&CHANNELS);
        let known = channels.iter().find(|known| known.as_ptr() == address);
        let channel = known
            .and_then(Weak::upgrade)
            .ok_or(ConnectError::NoChannel)?;
        // Ours and the creator's.
        if Arc::strong_count(&channel) == 2 {
            Ok(channel)
        } else {
            Err(ConnectError::Taken)
        }
    }

    fn write(&self, message: &[u8]) {
        lock(&self.messages).push_back(message.into());
    }

    /// The size of the next message.
    fn next_size(&self) -> Option<usize> {
        lock(&self.messages).front().map(|message| message.len())
    }

    /// Takes the next message if it has this size and lets `copy` have it.
    fn take(&self, size: usize, copy: impl FnOnce(&[u8])) -> bool {
        let mut messages = lock(&self.messages);
        let Some(message) = messages.pop_front_if(|message| message.len() == size) else {
            return false;
        };
        copy(&message);
        true
    }
}

enum ConnectError {
    NoChannel,
    Taken,
}

/// Content of the userdata: one end, or None once released.
type End = Option<Arc<Channel>>;

const END_TAG: u64 = 0x736b_7964_6263_6831;
const METATABLE: &CStr = c"debugchannel";

/// Pushes an end without channel.
unsafe fn push_end<'a>(l: *mut lua_State) -> &'a mut End {
    // SAFETY: called by Lua; a few slots. None owns nothing.
    unsafe {
        let end: &mut End = push_tagged(l, END_TAG, None);
        if luaL_newmetatable(l, METATABLE.as_ptr()) != 0 {
            set_functions(l, &[(c"__gc", release)]);
            lua_createtable(l, 0, 2);
            set_functions(l, &[(c"read", read), (c"write", write)]);
            lua_setfield(l, -2, c"__index".as_ptr());
        }
        lua_setmetatable(l, -2);
        end
    }
}

unsafe fn check_channel<'a>(l: *mut lua_State) -> &'a Channel {
    // SAFETY: called by Lua; argument 1 stays on the stack. May raise.
    unsafe {
        match tagged_at::<End>(l, 1, END_TAG) {
            Some(Some(channel)) => channel,
            Some(None) => raise!(l, c"the channel is released"),
            None => type_error(l, 1, METATABLE),
        }
    }
}

unsafe extern "C-unwind" fn create(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; a few slots.
    unsafe {
        let end = push_end(l);
        let channel = end.insert(Channel::create());
        lua_pushlightuserdata(l, Arc::as_ptr(channel).cast_mut().cast());
    }
    2
}

unsafe extern "C-unwind" fn connect(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; a few slots. The address is only compared.
    unsafe {
        let address: *const Channel = lua_touserdata(l, 1).cast();
        let end = push_end(l);
        match Channel::connect(address) {
            Ok(channel) => *end = Some(channel),
            Err(ConnectError::NoChannel) => raise!(l, c"Invalid channel pointer"),
            Err(ConnectError::Taken) => raise!(l, c"new channel failed"),
        }
    }
    1
}

unsafe extern "C-unwind" fn release(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua, also by the collector.
    unsafe {
        if lua_isnoneornil(l, 1) == 0 {
            match tagged_at::<End>(l, 1, END_TAG) {
                Some(end) => *end = None,
                None => type_error(l, 1, METATABLE),
            }
        }
    }
    0
}

unsafe extern "C-unwind" fn write(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let channel = check_channel(l);
        let message = check_bytes(l, 2);
        channel.write(message);
    }
    0
}

unsafe extern "C-unwind" fn read(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; luaL_Buffer keeps its memory on the stack. No lock is held when Lua is called.
    unsafe {
        let channel = check_channel(l);
        let timeout = luaL_optnumber(l, 2, 0.0);
        let Some(size) = channel.next_size() else {
            // A tenth of a second is the unit. Whoever calls looks again.
            let wait = Duration::try_from_secs_f64(timeout * 0.1).unwrap_or_default();
            if !wait.is_zero() {
                std::thread::sleep(wait);
            }
            return 0;
        };
        let mut message = MaybeUninit::<luaL_Buffer>::uninit();
        let message = message.as_mut_ptr();
        let room: *mut u8 = luaL_buffinitsize(l, message, size).cast();
        let taken = channel.take(size, |bytes| {
            ptr::copy_nonoverlapping(bytes.as_ptr(), room, size);
        });
        if !taken {
            // The other end reads too and was quicker.
            return 0;
        }
        luaL_pushresultsize(message, size);
    }
    1
}

// Hooks. Lua's own setter keeps one table of hook functions by thread; so do we, under a key of ours.

static HOOKS: u8 = 0;

fn hooks_key() -> *const core::ffi::c_void {
    (&raw const HOOKS).cast()
}

/// Names of the hook events, by their number.
const EVENTS: [&CStr; 5] = [c"call", c"return", c"line", c"count", c"tail call"];

/// Calls the script's hook of the running thread, and yields if it says so.
unsafe extern "C-unwind" fn run_hook(l: *mut lua_State, ar: *mut lua_Debug) {
    // SAFETY: called by Lua, which gives a hook LUA_MINSTACK slots.
    unsafe {
        let event = (*ar).event;
        lua_rawgetp(l, LUA_REGISTRYINDEX, hooks_key());
        lua_pushthread(l);
        if lua_type(l, -2) != LUA_TTABLE || lua_rawget(l, -2) != LUA_TFUNCTION {
            return;
        }
        lua_pushstring(l, EVENTS[event as usize].as_ptr());
        if (*ar).currentline >= 0 {
            lua_pushinteger(l, (*ar).currentline.into());
        } else {
            lua_pushnil(l);
        }
        lua_call(l, 2, 1);
        // Lua allows a yield in these two events only.
        let may_yield = event == LUA_HOOKLINE || event == LUA_HOOKCOUNT;
        if lua_toboolean(l, -1) != 0 && may_yield {
            lua_yield(l, 0);
        }
    }
}

/// The events that a mask of letters and a count ask for.
fn event_mask(letters: &[u8], count: c_int) -> c_int {
    let known = [
        (b'c', LUA_MASKCALL),
        (b'r', LUA_MASKRET),
        (b'l', LUA_MASKLINE),
    ];
    let asked = known.iter().filter(|(letter, _)| letters.contains(letter));
    let mask = asked.fold(0, |mask, (_, bit)| mask | bit);
    if count > 0 {
        mask | LUA_MASKCOUNT
    } else {
        mask
    }
}

unsafe extern "C-unwind" fn sethook(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; a few slots, and one on the stack of the thread in question, which is asked for.
    unsafe {
        let (thread, function) = if lua_isthread(l, 1) != 0 {
            (lua_tothread(l, 1), 2)
        } else {
            (l, 1)
        };
        let (hook, mask, count): (Option<lua_Hook>, c_int, c_int) =
            if lua_isnoneornil(l, function) != 0 {
                lua_settop(l, function);
                (None, 0, 0)
            } else {
                let letters = check_bytes(l, function + 1);
                luaL_checktype(l, function, LUA_TFUNCTION);
                let count = luaL_optinteger(l, function + 2, 0) as c_int;
                (Some(run_hook), event_mask(letters, count), count)
            };
        if lua_checkstack(thread, 1) == 0 {
            raise!(l, c"stack overflow");
        }
        if lua_rawgetp(l, LUA_REGISTRYINDEX, hooks_key()) != LUA_TTABLE {
            lua_pop(l, 1);
            push_hook_table(l);
        }
        lua_pushthread(thread);
        lua_xmove(thread, l, 1);
        lua_pushvalue(l, function);
        lua_rawset(l, -3);
        lua_sethook(thread, hook, mask, count);
    }
    0
}

/// Pushes a new table of hooks, weak in its keys, and remembers it.
unsafe fn push_hook_table(l: *mut lua_State) {
    // SAFETY: called by Lua; three slots.
    unsafe {
        lua_createtable(l, 0, 2);
        lua_createtable(l, 0, 1);
        lua_pushstring(l, c"k".as_ptr());
        lua_setfield(l, -2, c"__mode".as_ptr());
        lua_setmetatable(l, -2);
        lua_pushvalue(l, -1);
        lua_rawsetp(l, LUA_REGISTRYINDEX, hooks_key());
    }
}

const FUNCTIONS: &[Entry] = &[
    (c"connect", connect),
    (c"create", create),
    (c"release", release),
    (c"sethook", sethook),
];

/// Opens `skynet.debugchannel`.
///
/// # Safety
/// Called by Lua's `require`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn luaopen_skynet_debugchannel(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        new_module(l, FUNCTIONS.len());
        set_functions(l, FUNCTIONS);
    }
    1
}
