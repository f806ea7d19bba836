//! The C service `snlua`: the host of a Lua service.
//!
//! Launch: `snlua <script> [args]`. Every service has a Lua state of its own. It is set up when the first
//! message, which the service sends to itself, is dispatched: libraries, settings, then the loader script
//! with the launch parameter. The loader runs the service script, which normally takes over the callback.
//!
//! - `service`: the instance, its allocator, signals, and the C entry points
//! - `boot`: sets up the Lua state and runs the loader, in one protected call
//! - `profile`: the Lua module `skynet.profile`, which also replaces `coroutine.resume` and `.wrap`
//! - `memory`, `interrupt`, `timer`: what these count and decide, without Lua and without the core, so that
//!   the unit tests need no executable to link with
//!
//! A Lua error leaves the frames between its origin and the protected call by `longjmp`. So no frame that
//! calls a Lua function which may raise owns anything: such frames hold plain pointers and numbers only.

#[cfg(not(test))]
mod boot;
mod interrupt;
mod memory;
#[cfg(not(test))]
mod profile;
#[cfg(not(test))]
mod service;
mod timer;
