//! `luaclib/skynet.so`: the Lua modules `skynet.*` that services `require`.
//!
//! One file per module; each exports its `luaopen_*` function and owns its formats. The object links neither Lua
//! nor the core: it resolves `lua_*` and `skynet_*` from the executable that loads it.

mod cluster;
mod crypt;
mod datasheet;
mod debugchannel;
mod frames;
mod luax;
mod memory;
mod multicast;
mod netpack;
mod recvbuf;
mod seri;
mod sharedata;
mod sharetable;
mod skynet_core;
mod socketdriver;
mod socketoption;
mod stm;
