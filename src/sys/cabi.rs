//! The function types of C service modules and the calls into them (core.md §1.1, §1.10).

use std::ffi::{CStr, c_char, c_int, c_void};

/// `struct skynet_context`: a service, known to C by address only.
#[repr(C)]
pub struct SkynetContext {
    _opaque: [u8; 0],
}

/// The address under which C code knows a service context.
pub type ContextPtr = *mut SkynetContext;

/// `skynet_cb`: returns 0 to let the core free the message, non-zero to keep it.
pub type CallbackFn =
    unsafe extern "C" fn(ContextPtr, *mut c_void, c_int, c_int, u32, *const c_void, usize) -> c_int;

/// `NAME_create`: a new instance, NULL when there can be none.
pub type CreateFn = Option<unsafe extern "C" fn() -> *mut c_void>;
/// `NAME_init`: 0 when the service is ready. Without it a module is none.
pub type InitFn = Option<
    unsafe extern "C" fn(inst: *mut c_void, ctx: *mut SkynetContext, parm: *const c_char) -> c_int,
>;
/// `NAME_release`: the end of an instance.
pub type ReleaseFn = Option<unsafe extern "C" fn(inst: *mut c_void)>;
/// `NAME_signal`: the command `SIGNAL`, on whatever thread sends it.
pub type SignalFn = Option<unsafe extern "C" fn(inst: *mut c_void, signal: c_int)>;

/// A service's callback and its user data.
#[derive(Clone, Copy)]
pub struct Callback {
    pub function: CallbackFn,
    pub ud: *mut c_void,
}

impl Callback {
    /// Hands a message to the service. True when the service keeps the data.
    ///
    /// # Safety
    /// `ctx` is the live context the callback was set on, no other thread runs this service, and
    /// `data`/`len` describe the message as its sender made it.
    pub unsafe fn call(
        self,
        ctx: ContextPtr,
        kind: u8,
        session: i32,
        source: u32,
        data: *const c_void,
        len: usize,
    ) -> bool {
        // SAFETY: the module vouched for function and user data when it set them; the rest is the
        // caller's promise.
        unsafe { (self.function)(ctx, self.ud, c_int::from(kind), session, source, data, len) != 0 }
    }
}

/// A loaded module and its entry points (core.md §3.2).
#[repr(C)]
pub struct Module {
    name: *const c_char,
    /// From `dlopen`; NULL for modules that are part of the program.
    module: *mut c_void,
    create: CreateFn,
    init: InitFn,
    release: ReleaseFn,
    signal: SignalFn,
}

const _: () = assert!(size_of::<Module>() == 48);

// SAFETY: a module is immutable once made; its functions are code, and its name is never freed.
unsafe impl Send for Module {}
// SAFETY: as above.
unsafe impl Sync for Module {}

/// The four entry points; only `init` is mandatory.
#[derive(Clone, Copy, Default)]
pub struct EntryPoints {
    pub create: CreateFn,
    pub init: InitFn,
    pub release: ReleaseFn,
    pub signal: SignalFn,
}

impl Module {
    /// A module that lives as long as the process.
    pub fn new(name: &CStr, library: *mut c_void, entries: EntryPoints) -> &'static Module {
        Box::leak(Box::new(Module {
            name: Box::leak(name.to_owned().into_boxed_c_str()).as_ptr(),
            module: library,
            create: entries.create,
            init: entries.init,
            release: entries.release,
            signal: entries.signal,
        }))
    }

    /// The name it was asked for under.
    pub fn name(&self) -> &CStr {
        // SAFETY: `new` stored a leaked C string.
        unsafe { CStr::from_ptr(self.name) }
    }

    /// A new instance: all-ones without a `_create`, `None` when `_create` gives NULL.
    pub fn create(&self) -> Option<Instance<'_>> {
        let ptr = match self.create {
            // SAFETY: the entry point has this type by contract (core.md §1.10).
            Some(create) => unsafe { create() },
            None => usize::MAX as *mut c_void,
        };
        (!ptr.is_null()).then_some(Instance { module: self, ptr })
    }
}

/// One instance of a module, from `_create` to `_release`.
#[derive(Clone, Copy)]
pub struct Instance<'m> {
    module: &'m Module,
    ptr: *mut c_void,
}

// SAFETY: the contract lets a module's functions run on any thread (core.md §3.4(3)).
unsafe impl Send for Instance<'_> {}
// SAFETY: as above; `signal` may run beside a callback.
unsafe impl Sync for Instance<'_> {}

impl<'m> Instance<'m> {
    /// An instance that C code created itself.
    ///
    /// # Safety
    /// `ptr` is what the module's `_create` returned.
    pub unsafe fn from_raw(module: &'m Module, ptr: *mut c_void) -> Self {
        Instance { module, ptr }
    }

    /// The pointer `_create` returned.
    pub fn as_ptr(&self) -> *mut c_void {
        self.ptr
    }

    /// Runs `_init`. True on success.
    ///
    /// # Safety
    /// `ctx` is the live context of this instance, and this is the only call.
    pub unsafe fn init(&self, ctx: ContextPtr, parm: Option<&CStr>) -> bool {
        let parm = parm.map_or(std::ptr::null(), CStr::as_ptr);
        match self.module.init {
            // SAFETY: type by contract; the pointers live through the call.
            Some(init) => unsafe { init(self.ptr, ctx, parm) == 0 },
            None => false,
        }
    }

    /// Runs `_release`, if there is one.
    ///
    /// # Safety
    /// Nothing of the instance is used afterwards.
    pub unsafe fn release(&self) {
        if let Some(release) = self.module.release {
            // SAFETY: type by contract; the caller promises it is the last use.
            unsafe { release(self.ptr) }
        }
    }

    /// Runs `_signal`, if there is one, on this thread.
    ///
    /// # Safety
    /// The instance was not released.
    pub unsafe fn signal(&self, signal: c_int) {
        if let Some(entry) = self.module.signal {
            // SAFETY: type by contract.
            unsafe { entry(self.ptr, signal) }
        }
    }
}
