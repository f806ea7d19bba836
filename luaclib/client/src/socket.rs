//! `client.socket`: blocking connect, then non-blocking reads for a client that polls.
//!
//! Descriptors are plain integers that the script owns and closes. All `extern` functions here are Lua C
//! functions: nothing in their frames owns anything when Lua may raise.

use core::ffi::{CStr, c_char, c_int};
use core::slice;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::IntoRawFd;
use std::time::Duration;

use skynet_sys::lua::{self, lua_State};

use crate::input;

/// What `luaL_checkversion` passes: refuses a host with another Lua than this was built for.
const LUA_VERSION: lua::lua_Number = if cfg!(feature = "lua55") {
    505.0
} else {
    504.0
};
const NUMBER_SIZES: usize = size_of::<lua::lua_Integer>() * 16 + size_of::<lua::lua_Number>();

/// Most that one `recv` returns.
const RECV_MAX: usize = 4096;

const FUNCTIONS: [(&CStr, lua::lua_CFunction); 7] = [
    (c"close", close),
    (c"connect", connect),
    (c"readstdin", readstdin),
    (c"recv", recv),
    (c"send", send),
    (c"shutdown", shutdown),
    (c"usleep", usleep),
];

unsafe extern "C" {
    /// Not declared by the `libc` crate. Reads also the short forms such as `127.1`.
    fn inet_aton(text: *const c_char, address: *mut libc::in_addr) -> c_int;
}

/// Pushes the module's table and starts reading standard input.
///
/// # Safety
/// `state` is a live Lua state, and a Lua error may jump over the caller.
pub unsafe fn open(state: *mut lua_State) -> c_int {
    // SAFETY: a live state by contract; at most two stack slots are used.
    unsafe {
        lua::luaL_checkversion_(state, LUA_VERSION, NUMBER_SIZES);
        if !input::start() {
            return lua::luaL_error(state, c"Can't start a thread for stdin".as_ptr());
        }
        lua::lua_createtable(state, 0, FUNCTIONS.len() as c_int);
        for (name, function) in FUNCTIONS {
            lua::lua_pushcclosure(state, function, 0);
            lua::lua_setfield(state, -2, name.as_ptr());
        }
    }
    1
}

/// `connect(ip, port)`: the descriptor.
unsafe extern "C-unwind" fn connect(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this with a live state; the text of the address stays on the stack.
    unsafe {
        let host = lua::luaL_checkstring(state, 1);
        let port = lua::luaL_checkinteger(state, 2);
        match connect_to(CStr::from_ptr(host), port as u16) {
            Some(fd) => lua::lua_pushinteger(state, fd.into()),
            None => {
                let message = c"Connect %s %I failed".as_ptr();
                return lua::luaL_error(state, message, host, port);
            }
        }
    }
    1
}

fn connect_to(host: &CStr, port: u16) -> Option<c_int> {
    let mut address = libc::in_addr { s_addr: 0 };
    // SAFETY: a C string and a place for the result.
    if unsafe { inet_aton(host.as_ptr(), &mut address) } == 0 {
        return None;
    }
    let ip = Ipv4Addr::from_bits(u32::from_be(address.s_addr));
    let stream = TcpStream::connect(SocketAddrV4::new(ip, port)).ok()?;
    stream.set_nonblocking(true).ok()?;
    Some(stream.into_raw_fd())
}

/// `close(fd)`.
unsafe extern "C-unwind" fn close(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this with a live state; closing a number that is no descriptor does nothing.
    unsafe {
        let fd = descriptor(state);
        libc::close(fd);
    }
    0
}

/// `shutdown(fd, mode)` with a mode of `r`, `w` or both.
unsafe extern "C-unwind" fn shutdown(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this with a live state.
    unsafe {
        let fd = descriptor(state);
        let (mut read, mut write) = (false, false);
        for &letter in string(state, 2) {
            match letter {
                b'r' => read = true,
                b'w' => write = true,
                other => {
                    let message = c"Invalid mode %c".as_ptr();
                    return lua::luaL_error(state, message, c_int::from(other));
                }
            }
        }
        let how = match (read, write) {
            (true, true) => libc::SHUT_RDWR,
            (true, false) => libc::SHUT_RD,
            (false, true) => libc::SHUT_WR,
            (false, false) => return lua::luaL_error(state, c"mode should be r or/and w".as_ptr()),
        };
        // A peer that is gone already is no news to a client that ends the connection.
        libc::shutdown(fd, how);
    }
    0
}

/// `send(fd, data)`: returns when all is written.
unsafe extern "C-unwind" fn send(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this with a live state; the data stays on the stack.
    unsafe {
        let fd = descriptor(state);
        match send_all(fd, string(state, 2)) {
            Ok(()) => 0,
            Err(code) => socket_error(state, code),
        }
    }
}

/// Writes everything, waiting whenever the kernel's buffer is full. An error is an `errno`.
fn send_all(fd: c_int, mut data: &[u8]) -> Result<(), c_int> {
    while !data.is_empty() {
        // Without the flag a peer that is gone would kill the process instead of raising an error.
        // SAFETY: address and length of a slice.
        let sent = unsafe { libc::send(fd, data.as_ptr().cast(), data.len(), libc::MSG_NOSIGNAL) };
        if let Ok(sent) = usize::try_from(sent) {
            data = &data[sent..];
            continue;
        }
        match errno() {
            libc::EINTR => {}
            libc::EAGAIN => {
                let mut entry = libc::pollfd {
                    fd,
                    events: libc::POLLOUT,
                    revents: 0,
                };
                // SAFETY: one entry. The result does not matter, the next send tells.
                unsafe { libc::poll(&mut entry, 1, -1) };
            }
            code => return Err(code),
        }
    }
    Ok(())
}

/// `recv(fd)`: data, `""` at the end of the stream, nothing when there is no data yet.
unsafe extern "C-unwind" fn recv(state: *mut lua_State) -> c_int {
    let mut buffer = [0u8; RECV_MAX];
    // SAFETY: Lua calls this with a live state; the length is the buffer's.
    unsafe {
        let fd = descriptor(state);
        let got = libc::recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), 0);
        match usize::try_from(got) {
            Ok(got) => {
                lua::lua_pushlstring(state, buffer.as_ptr().cast(), got);
                1
            }
            Err(_) => match errno() {
                libc::EAGAIN | libc::EINTR => 0,
                code => socket_error(state, code),
            },
        }
    }
}

/// `usleep(microseconds)`.
unsafe extern "C-unwind" fn usleep(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this with a live state.
    let microseconds = unsafe { lua::luaL_checknumber(state, 1) };
    // The conversion makes 0 of a negative number and of NaN.
    std::thread::sleep(Duration::from_micros(microseconds as u64));
    0
}

/// `readstdin()`: one line, or nothing.
unsafe extern "C-unwind" fn readstdin(state: *mut lua_State) -> c_int {
    let mut line = [0; input::PIECE_MAX];
    match input::next_line(&mut line) {
        Some(len) => {
            // SAFETY: Lua calls this with a live state, and copies the line.
            unsafe { lua::lua_pushlstring(state, line.as_ptr().cast(), len) };
            1
        }
        None => 0,
    }
}

/// The first argument, a descriptor; wider integers are narrowed, as upstream does.
///
/// # Safety
/// `state` is live.
unsafe fn descriptor(state: *mut lua_State) -> c_int {
    // SAFETY: a live state by contract.
    unsafe { lua::luaL_checkinteger(state, 1) as c_int }
}

/// The bytes of a string argument.
///
/// # Safety
/// `state` is live; the slice may be used while the argument stays on the stack.
unsafe fn string<'a>(state: *mut lua_State, arg: c_int) -> &'a [u8] {
    let mut len = 0;
    // SAFETY: a live state by contract; Lua keeps `len` bytes at the address while the string lives.
    unsafe {
        let data = lua::luaL_checklstring(state, arg, &mut len);
        slice::from_raw_parts(data.cast(), len)
    }
}

/// Raises the error of a failed system call.
///
/// # Safety
/// `state` is live.
unsafe fn socket_error(state: *mut lua_State, code: c_int) -> c_int {
    // SAFETY: a live state by contract; strerror's text lasts until Lua has copied it.
    unsafe { lua::luaL_error(state, c"socket error: %s".as_ptr(), libc::strerror(code)) }
}

/// The code of the system call that just failed.
fn errno() -> c_int {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}
