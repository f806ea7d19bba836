//! The instance, the allocator of its Lua state, signals, and the entry points that the core looks up.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering::Relaxed};

use skynet_sys::lua::{self, lua_State};
use skynet_sys::{PTYPE_TEXT, SkynetContext, skynet_command, skynet_error};

use crate::boot;
use crate::interrupt::Interrupt;
use crate::memory::{Account, Answer};

const MIB: f64 = (1 << 20) as f64;

/// One Lua service. The core, the Lua allocator, and the Lua functions of `profile` all have a pointer to
/// it; it never moves, and everything that changes is atomic because a signal comes from any thread.
pub struct Service {
    state: *mut lua_State,
    /// Set once, by `snlua_init`.
    context: AtomicPtr<SkynetContext>,
    /// The service's own handle, set once, by `snlua_init`.
    handle: AtomicU32,
    pub account: Account,
    /// Has a coroutine ever had a timer?
    pub profiled: AtomicBool,
    interrupt: Interrupt<lua_State>,
}

impl Service {
    fn new() -> Service {
        Service {
            state: null_mut(),
            context: AtomicPtr::new(null_mut()),
            handle: AtomicU32::new(0),
            account: Account::new(),
            profiled: AtomicBool::new(false),
            interrupt: Interrupt::new(),
        }
    }

    pub fn state(&self) -> *mut lua_State {
        self.state
    }

    pub fn context(&self) -> *mut SkynetContext {
        self.context.load(Relaxed)
    }

    /// Notes that `to` runs from here on, so that a signal finds it.
    ///
    /// # Safety
    /// `to` is a live coroutine of this service's state, and the service's own thread calls this.
    #[inline]
    pub unsafe fn switch(&self, to: *mut lua_State) {
        if self.interrupt.switch(to) {
            // SAFETY: `to` is alive, and this thread is the one that runs it.
            unsafe { install(to) };
        }
    }
}

/// Makes `coroutine` call [`hook`] before its next instruction.
///
/// # Safety
/// The coroutine stays alive during the call. It may be running on another thread: `lua_sethook` is made to
/// be called from a signal handler.
unsafe fn install(coroutine: *mut lua_State) {
    // SAFETY: the caller's promise.
    unsafe { lua::lua_sethook(coroutine, Some(hook), lua::LUA_MASKCOUNT, 1) }
}

unsafe extern "C-unwind" fn hook(state: *mut lua_State, _: *mut lua::lua_Debug) {
    // SAFETY: called by Lua for a coroutine of a service, which `boot` has noted; Lua
    // guarantees some stack to hooks. Nothing is owned when the error is raised.
    unsafe {
        lua::lua_sethook(state, None, 0, 0);
        let service = find(state);
        if !service.is_null() && (*service).interrupt.take() {
            lua::luaL_error(state, c"signal 0".as_ptr());
        }
    }
}

/// The service whose Lua state this is, NULL before [`boot::run`] has begun. It is kept in the registry, under an
/// address that only we know, and not only as the allocator's user data: memory profilers put themselves in
/// front of the allocator.
///
/// # Safety
/// A state of this module, with room for one value on its stack.
pub unsafe fn find(state: *mut lua_State) -> *const Service {
    // SAFETY: no allocation, no error.
    unsafe {
        lua::lua_rawgetp(state, lua::LUA_REGISTRYINDEX, registry_key());
        let service = lua::lua_touserdata(state, -1);
        lua::lua_pop(state, 1);
        service.cast()
    }
}

pub fn registry_key() -> *const c_void {
    static KEY: u8 = 0;
    (&raw const KEY).cast()
}

/// The allocator of the Lua state: counts, refuses what goes beyond the limit, reports growth.
unsafe extern "C" fn allocate(
    service: *mut c_void,
    block: *mut c_void,
    old: usize,
    new: usize,
) -> *mut c_void {
    // SAFETY: given to `lua_newstate` in `snlua_create`, and alive as long as the state.
    let service = unsafe { &*service.cast::<Service>() };
    // For a new block, `old` says what kind of object it is for.
    let old = if block.is_null() { 0 } else { old };
    match service.account.resize(old, new) {
        Answer::Refused => return null_mut(),
        Answer::GrantedAboveMark(total) => {
            // SAFETY: the format takes one double.
            unsafe {
                let format = c"Memory warning %.2f M".as_ptr();
                skynet_error(service.context(), format, total as f64 / MIB);
            }
        }
        Answer::Granted => (),
    }
    // SAFETY: Lua passes blocks of this allocator only.
    let result = unsafe { skynet_sys::skynet_lalloc(block, old, new) };
    if result.is_null() && new > 0 {
        service.account.take_back(old, new);
    }
    result
}

#[cfg(not(feature = "lua55"))]
unsafe fn new_state(service: *mut Service) -> *mut lua_State {
    // SAFETY: the caller's service outlives the state.
    unsafe { lua::lua_newstate(allocate, service.cast()) }
}

/// All services share one seed: a string must hash alike in all of them, because they share tables.
#[cfg(feature = "lua55")]
unsafe fn new_state(service: *mut Service) -> *mut lua_State {
    static SEED: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    // The function of the executable (without the underscore, the bindings draw a number of their own): in ours
    // it gives the seed that the code cache knows.
    // SAFETY: needs no state.
    let seed = *SEED.get_or_init(|| unsafe { lua::luaL_makeseed_(null_mut()) }.max(1));
    // SAFETY: the caller's service outlives the state.
    unsafe { lua::lua_newstate(allocate, service.cast(), seed) }
}

/// Makes an instance and its Lua state. Called by the core (core.md §3.2).
#[unsafe(no_mangle)]
pub extern "C" fn snlua_create() -> *mut c_void {
    let service = Box::into_raw(Box::new(Service::new()));
    // SAFETY: `service` was just made and nobody else knows it; a fresh state is alive.
    unsafe {
        let state = new_state(service);
        if state.is_null() {
            drop(Box::from_raw(service));
            return null_mut();
        }
        (*service).state = state;
        (*service).switch(state);
    }
    service.cast()
}

/// Sends the launch parameter to the service itself; what it asks for happens when that is dispatched.
///
/// # Safety
/// `instance` comes from `snlua_create`, `context` is its context, `parameter` is NULL or a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn snlua_init(
    instance: *mut c_void,
    context: *mut SkynetContext,
    parameter: *const c_char,
) -> c_int {
    // SAFETY: see above; the core keeps its result until the context's next command.
    unsafe {
        if parameter.is_null() {
            skynet_error(context, c"snlua : No script name".as_ptr());
            return 1;
        }
        let name = skynet_command(context, c"REG".as_ptr(), std::ptr::null());
        let Some(handle) = handle(name) else {
            return 1;
        };
        let service = &*instance.cast::<Service>();
        service.context.store(context, Relaxed);
        service.handle.store(handle, Relaxed);
        publish(context, service.account.counter());
        skynet_sys::skynet_callback(context, instance, Some(start));
        let size = CStr::from_ptr(parameter).count_bytes();
        let message = parameter.cast_mut().cast();
        skynet_sys::skynet_send(context, 0, handle, PTYPE_TEXT, 0, message, size);
    }
    0
}

/// Shows the core how much memory the Lua state has, if it wants to know: upstream's does not.
///
/// # Safety
/// `context` is a live context, and the counter is alive up to its release.
unsafe fn publish(context: *mut SkynetContext, counter: *const usize) {
    type Publish = unsafe extern "C" fn(*mut SkynetContext, *const usize);
    static FOUND: std::sync::OnceLock<Option<Publish>> = std::sync::OnceLock::new();
    // SAFETY: a look-up by name; if the function exists it is the one that skynetx.h declares. A null pointer
    // is None.
    let function = FOUND.get_or_init(|| unsafe {
        let found = libc::dlsym(libc::RTLD_DEFAULT, c"skynetx_memory_publish".as_ptr());
        std::mem::transmute::<*mut c_void, Option<Publish>>(found)
    });
    if let Some(function) = function {
        // SAFETY: the caller's promise.
        unsafe { function(context, counter) };
    }
}

/// The number behind `:hex`.
///
/// # Safety
/// `text` is NULL or a string.
unsafe fn handle(text: *const c_char) -> Option<u32> {
    if text.is_null() {
        return None;
    }
    // SAFETY: not NULL, hence a terminated string.
    let text = unsafe { CStr::from_ptr(text) }.to_str().ok()?;
    u32::from_str_radix(text.strip_prefix(':')?, 16).ok()
}

/// Receives the start message, and with it the service becomes a Lua service or ends.
unsafe extern "C" fn start(
    context: *mut SkynetContext,
    instance: *mut c_void,
    kind: c_int,
    session: c_int,
    source: u32,
    message: *const c_void,
    size: usize,
) -> c_int {
    // SAFETY: `instance` is what `snlua_init` registered, and lives as long as the context.
    let service = unsafe { &*instance.cast::<Service>() };
    if kind != PTYPE_TEXT || session != 0 || source != service.handle.load(Relaxed) {
        // Somebody guessed the handle before the start message was queued.
        return 0;
    }
    // SAFETY: valid context; the message has `size` bytes and stays until we return.
    unsafe {
        skynet_sys::skynet_callback(context, null_mut(), None);
        if !boot::run(service, message.cast(), size) {
            let report = c"ERROR".as_ptr().cast_mut().cast();
            skynet_sys::skynet_sendname(
                context,
                0,
                c".launcher".as_ptr(),
                PTYPE_TEXT,
                0,
                report,
                5,
            );
            skynet_command(context, c"EXIT".as_ptr(), std::ptr::null());
        }
    }
    0
}

/// Closes the Lua state. Also called when `snlua_init` has failed.
///
/// # Safety
/// `instance` comes from `snlua_create` and is not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn snlua_release(instance: *mut c_void) {
    let service: *mut Service = instance.cast();
    // SAFETY: made in `snlua_create`. Finalizers that run in `lua_close` still find the service whole.
    unsafe {
        lua::lua_close((*service).state);
        drop(Box::from_raw(service));
    }
}

/// 0 interrupts the Lua code that runs in the service, 1 logs its memory. From any thread.
///
/// # Safety
/// `instance` comes from `snlua_create` and is not released meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn snlua_signal(instance: *mut c_void, signal: c_int) {
    // SAFETY: see above; the formats take one int and one double. What `ask` passes on is a live coroutine.
    unsafe {
        let service = &*instance.cast::<Service>();
        let context = service.context();
        skynet_error(context, c"recv a signal %d".as_ptr(), signal);
        match signal {
            0 => service.interrupt.ask(|coroutine| install(coroutine)),
            1 => {
                let kib = service.account.used() as f64 / 1024.0;
                skynet_error(context, c"Current Memory %.3fK".as_ptr(), kib);
            }
            _ => (),
        }
    }
}
