//! `skynet_module.h`: service modules (core.md §3).

use super::{optional_text, text};
use crate::core::node::NODE;
use crate::sys::cabi::{Instance, Module, SkynetContext};
use std::ffi::{c_char, c_int, c_void};

/// The module of this name, loaded unless it was before, or NULL. It stays valid, and is not to be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_module_query(name: *const c_char) -> *mut Module {
    // SAFETY: the caller's pointer is what the header says.
    let name = unsafe { text(name) };
    NODE.modules
        .query(name)
        .map_or(std::ptr::null_mut(), |module| {
            std::ptr::from_ref(module).cast_mut()
        })
}

/// A new instance: all-ones when the module has no `_create`, NULL when that failed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_module_instance_create(module: *mut Module) -> *mut c_void {
    // SAFETY: a module pointer comes from `skynet_module_query` and stays valid.
    let module = unsafe { &*module };
    module
        .create()
        .map_or(std::ptr::null_mut(), |instance| instance.as_ptr())
}

/// Runs `_init`: 0 for success.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_module_instance_init(
    module: *mut Module,
    inst: *mut c_void,
    ctx: *mut SkynetContext,
    parm: *const c_char,
) -> c_int {
    // SAFETY: the caller's pointers are what the header says.
    let ready = unsafe {
        let instance = Instance::from_raw(&*module, inst);
        instance.init(ctx.cast(), optional_text(parm))
    };
    c_int::from(!ready)
}

/// Runs `_release`, if there is one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_module_instance_release(module: *mut Module, inst: *mut c_void) {
    // SAFETY: the caller's pointers are what the header says.
    unsafe { Instance::from_raw(&*module, inst).release() }
}

/// Runs `_signal`, if there is one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_module_instance_signal(
    module: *mut Module,
    inst: *mut c_void,
    signal: c_int,
) {
    // SAFETY: the caller's pointers are what the header says.
    unsafe { Instance::from_raw(&*module, inst).signal(signal) }
}

/// Sets the search path: templates with a `?`, separated by semicolons (core.md §3.1).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_module_init(path: *const c_char) {
    // SAFETY: the caller's pointer is what the header says.
    NODE.modules.set_path(unsafe { text(path) });
}
