//! What `include/*.h` declares, for modules written in Rust (`cservice/*`, `luaclib/*`).
//!
//! Declarations only: a module resolves these symbols at `dlopen` from the executable that loads it,
//! ours or upstream's, and never links the core. Message buffers that cross the boundary come from and
//! go to the process-wide `malloc`/`free` (core.md §1.2): use `libc::malloc` and `libc::free`.

use core::ffi::{c_char, c_int, c_void};

pub use mlua_sys as lua;

/// True when the module is built for API level head, false for level 1.8 (core.md §13).
pub const API_HEAD: bool = cfg!(any(
    feature = "apihead",
    all(feature = "lua55", not(feature = "api18"))
));

/// Opaque service context; always handled by pointer.
#[repr(C)]
pub struct SkynetContext {
    _private: [u8; 0],
}

/// Message types (core.md §1.1).
pub const PTYPE_TEXT: c_int = 0;
pub const PTYPE_RESPONSE: c_int = 1;
pub const PTYPE_MULTICAST: c_int = 2;
pub const PTYPE_CLIENT: c_int = 3;
pub const PTYPE_SYSTEM: c_int = 4;
pub const PTYPE_HARBOR: c_int = 5;
pub const PTYPE_SOCKET: c_int = 6;
pub const PTYPE_ERROR: c_int = 7;
pub const PTYPE_RESERVED_QUEUE: c_int = 8;
pub const PTYPE_RESERVED_DEBUG: c_int = 9;
pub const PTYPE_RESERVED_LUA: c_int = 10;
pub const PTYPE_RESERVED_SNAX: c_int = 11;
/// Flag in the `type` argument of send functions: the core takes the buffer over.
pub const PTYPE_TAG_DONTCOPY: c_int = 0x10000;
/// Flag in the `type` argument of send functions: the core draws a session.
pub const PTYPE_TAG_ALLOCSESSION: c_int = 0x20000;

/// Socket event types (core.md §1.3).
pub const SKYNET_SOCKET_TYPE_DATA: c_int = 1;
pub const SKYNET_SOCKET_TYPE_CONNECT: c_int = 2;
pub const SKYNET_SOCKET_TYPE_CLOSE: c_int = 3;
pub const SKYNET_SOCKET_TYPE_ACCEPT: c_int = 4;
pub const SKYNET_SOCKET_TYPE_ERROR: c_int = 5;
pub const SKYNET_SOCKET_TYPE_UDP: c_int = 6;
pub const SKYNET_SOCKET_TYPE_WARNING: c_int = 7;

/// Kinds of `SocketInfo` (core.md §1.4).
pub const SOCKET_INFO_UNKNOWN: c_int = 0;
pub const SOCKET_INFO_LISTEN: c_int = 1;
pub const SOCKET_INFO_TCP: c_int = 2;
pub const SOCKET_INFO_UDP: c_int = 3;
pub const SOCKET_INFO_BIND: c_int = 4;
pub const SOCKET_INFO_CLOSING: c_int = 5;

/// Kinds of send buffer (core.md §1.5).
pub const SOCKET_BUFFER_MEMORY: c_int = 0;
pub const SOCKET_BUFFER_OBJECT: c_int = 1;
pub const SOCKET_BUFFER_RAWPOINTER: c_int = 2;

/// Nodes in a harbor network, the length of a global name (core.md §1.8).
pub const REMOTE_MAX: usize = 256;
pub const GLOBALNAME_LENGTH: usize = 16;
/// Local part of a handle and the position of its node byte (core.md §1.7).
pub const HANDLE_MASK: u32 = 0x00ff_ffff;
pub const HANDLE_REMOTE_SHIFT: u32 = 24;

/// Service callback (core.md §4.6): return 0 to let the core free `msg`, non-zero to keep it.
pub type SkynetCb = Option<
    unsafe extern "C" fn(
        ctx: *mut SkynetContext,
        ud: *mut c_void,
        kind: c_int,
        session: c_int,
        source: u32,
        msg: *const c_void,
        sz: usize,
    ) -> c_int,
>;

/// Payload of a `PTYPE_SOCKET` message (core.md §1.3, §8.4).
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct SkynetSocketMessage {
    pub kind: c_int,
    pub id: c_int,
    pub ud: c_int,
    pub buffer: *mut c_char,
}

/// What is to be sent on a socket (core.md §1.5, §8.9).
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct SocketSendbuffer {
    pub id: c_int,
    pub kind: c_int,
    pub buffer: *const c_void,
    pub sz: usize,
}

/// Snapshot of one socket (core.md §1.4, §8.12).
#[repr(C)]
pub struct SocketInfo {
    pub id: c_int,
    pub kind: c_int,
    pub opaque: u64,
    pub read: u64,
    pub write: u64,
    pub rtime: u64,
    pub wtime: u64,
    pub wbuffer: i64,
    pub reading: u8,
    pub writing: u8,
    pub name: [c_char; 128],
    pub next: *mut SocketInfo,
}

/// Where a message to another node goes (core.md §1.8).
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RemoteName {
    pub name: [c_char; GLOBALNAME_LENGTH],
    pub handle: u32,
}

/// A message on its way to another node (core.md §1.8, §4.10).
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RemoteMessage {
    pub destination: RemoteName,
    pub message: *const c_void,
    pub sz: usize,
    pub kind: c_int,
}

unsafe extern "C" {
    // skynet.h
    pub fn skynet_error(ctx: *mut SkynetContext, fmt: *const c_char, ...);
    pub fn skynet_command(
        ctx: *mut SkynetContext,
        cmd: *const c_char,
        parm: *const c_char,
    ) -> *const c_char;
    pub fn skynet_queryname(ctx: *mut SkynetContext, name: *const c_char) -> u32;
    pub fn skynet_send(
        ctx: *mut SkynetContext,
        source: u32,
        destination: u32,
        kind: c_int,
        session: c_int,
        msg: *mut c_void,
        sz: usize,
    ) -> c_int;
    pub fn skynet_sendname(
        ctx: *mut SkynetContext,
        source: u32,
        destination: *const c_char,
        kind: c_int,
        session: c_int,
        msg: *mut c_void,
        sz: usize,
    ) -> c_int;
    pub fn skynet_isremote(ctx: *mut SkynetContext, handle: u32, harbor: *mut c_int) -> c_int;
    pub fn skynet_callback(ctx: *mut SkynetContext, ud: *mut c_void, cb: SkynetCb);
    pub fn skynet_current_handle() -> u32;
    pub fn skynet_now() -> u64;
    pub fn skynet_debug_memory(info: *const c_char);

    // skynet_malloc.h
    pub fn skynet_lalloc(ptr: *mut c_void, osize: usize, nsize: usize) -> *mut c_void;

    // skynet_harbor.h
    pub fn skynet_harbor_start(ctx: *mut c_void);

    // skynet_socket.h
    pub fn skynet_socket_sendbuffer(
        ctx: *mut SkynetContext,
        buffer: *mut SocketSendbuffer,
    ) -> c_int;
    pub fn skynet_socket_sendbuffer_lowpriority(
        ctx: *mut SkynetContext,
        buffer: *mut SocketSendbuffer,
    ) -> c_int;
    pub fn skynet_socket_listen(
        ctx: *mut SkynetContext,
        host: *const c_char,
        port: c_int,
        backlog: c_int,
    ) -> c_int;
    pub fn skynet_socket_connect(
        ctx: *mut SkynetContext,
        host: *const c_char,
        port: c_int,
    ) -> c_int;
    pub fn skynet_socket_bind(ctx: *mut SkynetContext, fd: c_int) -> c_int;
    pub fn skynet_socket_close(ctx: *mut SkynetContext, id: c_int);
    pub fn skynet_socket_shutdown(ctx: *mut SkynetContext, id: c_int);
    pub fn skynet_socket_start(ctx: *mut SkynetContext, id: c_int);
    pub fn skynet_socket_pause(ctx: *mut SkynetContext, id: c_int);
    pub fn skynet_socket_nodelay(ctx: *mut SkynetContext, id: c_int);
    pub fn skynet_socket_udp(ctx: *mut SkynetContext, addr: *const c_char, port: c_int) -> c_int;
    pub fn skynet_socket_udp_connect(
        ctx: *mut SkynetContext,
        id: c_int,
        addr: *const c_char,
        port: c_int,
    ) -> c_int;
    pub fn skynet_socket_udp_dial(
        ctx: *mut SkynetContext,
        addr: *const c_char,
        port: c_int,
    ) -> c_int;
    pub fn skynet_socket_udp_listen(
        ctx: *mut SkynetContext,
        addr: *const c_char,
        port: c_int,
    ) -> c_int;
    pub fn skynet_socket_udp_sendbuffer(
        ctx: *mut SkynetContext,
        address: *const c_char,
        buffer: *mut SocketSendbuffer,
    ) -> c_int;
    pub fn skynet_socket_udp_address(
        msg: *mut SkynetSocketMessage,
        addrsz: *mut c_int,
    ) -> *const c_char;
    pub fn skynet_socket_info() -> *mut SocketInfo;
    pub fn socket_info_release(list: *mut SocketInfo);

    // malloc_hook.h
    pub fn malloc_used_memory() -> usize;
    pub fn malloc_memory_block() -> usize;
    pub fn malloc_current_memory() -> usize;
    pub fn memory_info_dump(opts: *const c_char);
    pub fn mallctl_int64(name: *const c_char, newval: *mut usize) -> usize;
    pub fn mallctl_opt(name: *const c_char, newval: *mut c_int) -> c_int;
    pub fn mallctl_bool(name: *const c_char, newval: *mut bool) -> bool;
    pub fn mallctl_cmd(name: *const c_char) -> c_int;
    pub fn dump_c_mem();
}

unsafe extern "C-unwind" {
    /// A Lua C function: pushes a table handle → bytes (core.md §9.3).
    pub fn dump_mem_lua(state: *mut lua::lua_State) -> c_int;
    /// The module `skynet.codecache` (core.md §12.2.8).
    pub fn luaopen_cache(state: *mut lua::lua_State) -> c_int;
    /// Loads a file past the code cache (core.md §1.23(5)).
    pub fn luaL_loadfilex_(
        state: *mut lua::lua_State,
        filename: *const c_char,
        mode: *const c_char,
    ) -> c_int;
    pub fn lua_sharefunction(state: *mut lua::lua_State, index: c_int);
    pub fn lua_clonefunction(state: *mut lua::lua_State, closure: *const c_void);
    pub fn lua_sharestring(state: *mut lua::lua_State, index: c_int);
    pub fn lua_clonetable(state: *mut lua::lua_State, table: *const c_void);
}

const _: () = {
    assert!(size_of::<SkynetSocketMessage>() == 24);
    assert!(size_of::<SocketSendbuffer>() == 24);
    assert!(size_of::<SocketInfo>() == 200);
    assert!(size_of::<RemoteName>() == 20);
    assert!(size_of::<RemoteMessage>() == 48);
};
