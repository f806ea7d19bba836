//! `skynet_server.h`: contexts (core.md §1.20.2).

use super::skynet_mq::{self, MessageQueue, SkynetMessage, lend, taken};
use super::{optional_text, text};
use crate::core::context::{self, Context};
use crate::core::message::Message;
use crate::core::monitor::WorkerMonitor as SkynetMonitor;
use crate::core::node::NODE;
use crate::runtime;
use crate::sync::Arc;
use crate::sync::atomic::Ordering;
use crate::sys::block::Block;
use crate::sys::cabi::SkynetContext;
use std::ffi::{c_char, c_int, c_void};
use std::mem::ManuallyDrop;

/// The context behind a pointer, `None` for NULL.
///
/// # Safety
/// `ctx` is NULL or a live context.
pub(super) unsafe fn context<'a>(ctx: *const SkynetContext) -> Option<&'a Context> {
    // SAFETY: a context pointer is the address of the `Context` in its Arc.
    unsafe { ctx.cast::<Context>().as_ref() }
}

/// The handle of a context, 0 for NULL.
///
/// # Safety
/// `ctx` is NULL or a live context.
pub unsafe fn context_handle(ctx: *const SkynetContext) -> u32 {
    // SAFETY: passed on.
    unsafe { context(ctx) }.map_or(0, Context::handle)
}

/// Gives a reference to C code as a pointer.
pub(super) fn into_raw(context: Arc<Context>) -> *mut SkynetContext {
    Arc::into_raw(context).cast_mut().cast()
}

/// Launches a service (core.md §4.4): its handle, 0 on failure.
#[cfg(api_head)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_context_new(name: *const c_char, parm: *const c_char) -> u32 {
    // SAFETY: the caller's pointers are what the header says.
    let (name, parm) = unsafe { (text(name), optional_text(parm)) };
    context::launch(name, parm).map_or(0, |(handle, _)| handle)
}

/// Launches a service (core.md §4.4): the context, NULL on failure or when it ended in its `_init`. The
/// pointer is not a reference; it is good while the service lives.
#[cfg(not(api_head))]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_context_new(
    name: *const c_char,
    parm: *const c_char,
) -> *mut SkynetContext {
    // SAFETY: the caller's pointers are what the header says.
    let (name, parm) = unsafe { (text(name), optional_text(parm)) };
    match context::launch(name, parm) {
        Ok((_, Some(context))) => context.as_ptr().cast(),
        _ => std::ptr::null_mut(),
    }
}

/// Takes one more reference. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_context_grab(ctx: *mut SkynetContext) {
    if !ctx.is_null() {
        // SAFETY: a live context is the content of an Arc.
        unsafe { Arc::increment_strong_count(ctx.cast::<Context>()) }
    }
}

/// As [`skynet_context_grab`], and the service no longer counts as alive. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_context_reserve(ctx: *mut SkynetContext) {
    // SAFETY: the caller's pointer is what the header says.
    unsafe {
        skynet_context_grab(ctx);
        if let Some(ctx) = context(ctx) {
            ctx.reserve();
        }
    }
}

/// Gives a reference back: the pointer, or NULL if the service is gone with it. Level head's header says
/// nothing of the result.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_context_release(ctx: *mut SkynetContext) -> *mut SkynetContext {
    if ctx.is_null() {
        return ctx;
    }
    // SAFETY: the caller gives up a reference it holds.
    let context = unsafe { Arc::from_raw(ctx.cast::<Context>()) };
    let rest = Arc::downgrade(&context);
    drop(context);
    if rest.strong_count() == 0 {
        std::ptr::null_mut()
    } else {
        ctx
    }
}

/// The handle, 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_context_handle(ctx: *mut SkynetContext) -> u32 {
    // SAFETY: the caller's pointer is what the header says.
    unsafe { context_handle(ctx) }
}

/// Queues a message for a handle: 0 and the data is the core's, or −1 and it stays the caller's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_context_push(handle: u32, message: *mut SkynetMessage) -> c_int {
    // SAFETY: the caller's message is valid, and ours if the push succeeds.
    let message = unsafe { skynet_mq::message(message) };
    match NODE.push(handle, message) {
        Ok(()) => 0,
        Err(message) => {
            let _ = message.data.into_raw();
            -1
        }
    }
}

/// Queues a message for a context, whatever its state; takes `msg` over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_context_send(
    ctx: *mut SkynetContext,
    msg: *mut c_void,
    sz: usize,
    source: u32,
    r#type: c_int,
    session: c_int,
) {
    // SAFETY: the caller's pointers are what the header says.
    unsafe {
        let data = Block::from_raw(msg);
        if !ctx.is_null() {
            // The caller's reference, borrowed.
            let ctx = ManuallyDrop::new(Arc::from_raw(ctx.cast::<Context>()));
            ctx.send(Message::new(source, session, r#type as u8, data, sz));
        }
    }
}

/// A fresh session of the calling service; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_context_newsession(ctx: *mut SkynetContext) -> c_int {
    // SAFETY: the caller's pointer is what the header says.
    unsafe { context(ctx) }.map_or(0, Context::new_session)
}

/// Runs one batch of `q` (of the next scheduled queue for NULL) and gives the queue to go on with, or NULL
/// when there is nothing to do (core.md §6.10(6)).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_context_message_dispatch(
    sm: *mut SkynetMonitor,
    q: *mut MessageQueue,
    weight: c_int,
) -> *mut MessageQueue {
    // SAFETY: the caller's pointers are what the header says.
    unsafe { lend(context::dispatch(&*sm, taken(q), weight)) }
}

/// How many services keep the process alive.
#[unsafe(no_mangle)]
pub extern "C" fn skynet_context_total() -> c_int {
    NODE.live.load(Ordering::Relaxed) as c_int
}

/// Dispatches everything queued for a context on this thread. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_context_dispatchall(ctx: *mut SkynetContext) {
    // SAFETY: the caller's pointer is what the header says.
    if let Some(ctx) = unsafe { context(ctx) } {
        // SAFETY: the caller keeps other threads from it, as the header says.
        unsafe { context::dispatch_all(ctx) };
    }
}

/// Marks what a service does as endless. Unknown handles are ignored.
#[unsafe(no_mangle)]
pub extern "C" fn skynet_context_endless(handle: u32) {
    NODE.with(handle, |context| context.set_endless());
}

/// Prepares the process-wide state; the calling thread becomes the main thread.
#[unsafe(no_mangle)]
pub extern "C" fn skynet_globalinit() {
    runtime::init();
}

/// The counterpart of [`skynet_globalinit`]; there is nothing to take down.
#[unsafe(no_mangle)]
pub extern "C" fn skynet_globalexit() {}

/// Says what kind of thread the caller is (core.md §4.12).
#[unsafe(no_mangle)]
pub extern "C" fn skynet_initthread(kind: c_int) {
    context::init_thread(kind);
}

/// Whether services launched from now on measure their CPU time.
#[unsafe(no_mangle)]
pub extern "C" fn skynet_profile_enable(enable: c_int) {
    NODE.profile.store(enable != 0, Ordering::Relaxed);
}
