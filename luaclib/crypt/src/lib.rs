//! The Lua modules `skynet.crypt` and `client.crypt` (luaclib.md §7): text codings, hashes, DES and a
//! small Diffie-Hellman exchange, as the login protocol of skynet games uses them.
//!
//! Not a shared object of its own: `luaclib/skynet` and `luaclib/client` both link this crate and export
//! the open functions, because users reach the same module through `skynet.so` and through `client.so`.
//!
//! The modules without `lua` in their name are pure: slices in, slices or arrays out, no allocation. [`lua`]
//! hands them memory that Lua owns, so a Lua error can pass over every frame here.
//!
//! None of this is modern cryptography: DES with independent blocks, a 64-bit group, MD5. It is
//! here because deployed clients speak it.

mod code;
mod des_ecb;
mod dh;
mod error;
mod hash;
pub mod lua;

pub use error::Error;
