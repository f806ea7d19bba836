//! `skynet_socket.h` (core.md §1.3, §1.20.4).
//!
//! Before `skynet_socket_init` every function here finds no engine: it does nothing and answers like
//! one that does not know the id.

use super::skynet_server::context_handle;
use super::socket_buffer::*;
use super::socket_info::{SocketInfo, info_list};
use crate::core::log;
use crate::net;
use crate::net::deliver;
use crate::net::event::{Owner, SocketId};
use crate::net::output::Priority;
use crate::net::server::SocketServer;
use crate::net::{Served, udp};
use crate::sys::block::Block;
use crate::sys::buffer::{ObjectInterface, Outgoing, SendBytes};
use crate::sys::cabi::SkynetContext;
use crate::sys::socket::Descriptor;
use std::ffi::{CStr, c_char, c_int};
use std::mem::offset_of;
use std::ptr;
use std::slice;

/// What happened, in the `type` of an event.
pub const SKYNET_SOCKET_TYPE_DATA: c_int = 1;
pub const SKYNET_SOCKET_TYPE_CONNECT: c_int = 2;
pub const SKYNET_SOCKET_TYPE_CLOSE: c_int = 3;
pub const SKYNET_SOCKET_TYPE_ACCEPT: c_int = 4;
pub const SKYNET_SOCKET_TYPE_ERROR: c_int = 5;
pub const SKYNET_SOCKET_TYPE_UDP: c_int = 6;
pub const SKYNET_SOCKET_TYPE_WARNING: c_int = 7;

const _: () = assert!(SKYNET_SOCKET_TYPE_DATA == deliver::TYPE_DATA);
const _: () = assert!(SKYNET_SOCKET_TYPE_CONNECT == deliver::TYPE_CONNECT);
const _: () = assert!(SKYNET_SOCKET_TYPE_CLOSE == deliver::TYPE_CLOSE);
const _: () = assert!(SKYNET_SOCKET_TYPE_ACCEPT == deliver::TYPE_ACCEPT);
const _: () = assert!(SKYNET_SOCKET_TYPE_ERROR == deliver::TYPE_ERROR);
const _: () = assert!(SKYNET_SOCKET_TYPE_UDP == deliver::TYPE_UDP);
const _: () = assert!(SKYNET_SOCKET_TYPE_WARNING == deliver::TYPE_WARNING);

/// The data of a PTYPE_SOCKET message. With CONNECT, ACCEPT and ERROR, `buffer` is NULL and text without
/// NUL follows the struct, as long as the message is longer than it. The buffer of DATA and UDP belongs to
/// the receiver, who releases it with skynet_free.
#[repr(C)]
pub struct SkynetSocketMessage {
    pub r#type: c_int,
    pub id: c_int,
    pub ud: c_int,
    pub buffer: *mut c_char,
}

const _: () = assert!(size_of::<SkynetSocketMessage>() == deliver::HEAD);
const _: () = assert!(offset_of!(SkynetSocketMessage, id) == 4);
const _: () = assert!(offset_of!(SkynetSocketMessage, ud) == 8);
const _: () = assert!(offset_of!(SkynetSocketMessage, buffer) == 16);

/// A C string, or nothing for NULL.
///
/// # Safety
/// `text` is NULL or a C string that outlives the result.
pub(super) unsafe fn text<'a>(text: *const c_char) -> Option<&'a CStr> {
    // SAFETY: not NULL, so a C string by the caller's promise.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) })
}

/// The id as C sees it: −1 for none.
pub(super) fn id_or_minus_one(id: Option<SocketId>) -> c_int {
    id.map_or(-1, |id| id.0)
}

/// The id and the bytes in a descriptor; nothing for NULL, an unknown type, or an object without an
/// interface.
///
/// # Safety
/// `buffer` is NULL or points to a descriptor that was filled as core.md §8.9(2) says; the result does
/// not outlive its bytes.
pub(super) unsafe fn outgoing<'a>(
    buffer: *const SocketSendbuffer,
    objects: Option<ObjectInterface>,
) -> Option<(SocketId, Outgoing<'a>)> {
    // SAFETY: NULL or valid by the caller's promise.
    let buffer = unsafe { buffer.as_ref() }?;
    let data = match buffer.r#type {
        SOCKET_BUFFER_MEMORY => {
            // SAFETY: memory comes from malloc, is `sz` bytes long, and is ours from now on.
            Outgoing::Owned(unsafe {
                SendBytes::from_block(Block::from_raw(buffer.buffer.cast_mut()), buffer.sz)
            })
        }
        SOCKET_BUFFER_OBJECT => {
            // SAFETY: an object is one that the installed interface understands.
            Outgoing::Owned(unsafe { SendBytes::from_object(buffer.buffer.cast_mut(), &objects?) })
        }
        SOCKET_BUFFER_RAWPOINTER if buffer.buffer.is_null() => Outgoing::Borrowed(&[]),
        SOCKET_BUFFER_RAWPOINTER => {
            // SAFETY: readable for `sz` bytes during the call by contract.
            Outgoing::Borrowed(unsafe { slice::from_raw_parts(buffer.buffer.cast(), buffer.sz) })
        }
        _ => return None,
    };
    Some((SocketId(buffer.id), data))
}

/// An encoded UDP address behind a pointer; nothing for NULL and for unknown tags.
///
/// # Safety
/// `address` is NULL or points to as many bytes as its tag announces.
pub(super) unsafe fn udp_address<'a>(address: *const u8) -> Option<&'a [u8]> {
    if address.is_null() {
        return None;
    }
    // SAFETY: there is a tag by the caller's promise, and it says how much follows.
    unsafe { Some(slice::from_raw_parts(address, udp::encoded_len(*address)?)) }
}

/// Sends what a descriptor says on `engine`: 0, or −1 when it was refused.
///
/// # Safety
/// As [`outgoing`].
pub(super) unsafe fn send(
    engine: &SocketServer,
    buffer: *const SocketSendbuffer,
    priority: Priority,
) -> c_int {
    // SAFETY: passed on to the caller.
    let sent = unsafe { outgoing(buffer, engine.objects()) }
        .is_some_and(|(id, data)| engine.send(id, data, priority).is_ok());
    if sent { 0 } else { -1 }
}

/// As [`send`], one datagram to an encoded address.
///
/// # Safety
/// As [`outgoing`] and [`udp_address`].
pub(super) unsafe fn udp_send(
    engine: &SocketServer,
    address: *const u8,
    buffer: *const SocketSendbuffer,
) -> c_int {
    // SAFETY: passed on to the caller. Owned bytes are taken in any case, so they come first.
    let parts = unsafe { outgoing(buffer, engine.objects()).zip(udp_address(address)) };
    let sent = parts.is_some_and(|((id, data), to)| engine.udp_send(id, to, data).is_ok());
    if sent { 0 } else { -1 }
}

/// The number of the owner that a context stands for; 0 for NULL.
///
/// # Safety
/// `ctx` is NULL or a live context.
unsafe fn owner(ctx: *const SkynetContext) -> Owner {
    if ctx.is_null() {
        return 0;
    }
    // SAFETY: not NULL, so live by the caller's promise.
    unsafe { context_handle(ctx) as Owner }
}

/// Calls `f` with the node's engine; −1 without one.
fn with_engine(f: impl FnOnce(&SocketServer) -> c_int) -> c_int {
    net::engine().map_or(-1, f)
}

/// Sends on a TCP id, or one datagram to the default destination of a UDP id: 0, or −1 for NULL, an
/// unknown id, one that is being closed, an unknown buffer type, or an OBJECT (no interface can be
/// installed for the node's engine). MEMORY is the engine's in any case. `ctx` is not used.
///
/// # Safety
/// `buffer` is NULL or filled as core.md §8.9(2) says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_socket_sendbuffer(
    ctx: *mut SkynetContext,
    buffer: *mut SocketSendbuffer,
) -> c_int {
    let _ = ctx;
    // SAFETY: passed on to the caller.
    unsafe { send_on_node(buffer, Priority::High) }
}

/// As `skynet_socket_sendbuffer`, behind everything that is not low priority; data for an id that is
/// being closed is dropped with result 0.
///
/// # Safety
/// As `skynet_socket_sendbuffer`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_socket_sendbuffer_lowpriority(
    ctx: *mut SkynetContext,
    buffer: *mut SocketSendbuffer,
) -> c_int {
    let _ = ctx;
    // SAFETY: passed on to the caller.
    unsafe { send_on_node(buffer, Priority::Low) }
}

/// # Safety
/// As [`outgoing`].
unsafe fn send_on_node(buffer: *const SocketSendbuffer, priority: Priority) -> c_int {
    match net::engine() {
        // SAFETY: passed on to the caller.
        Some(engine) => unsafe { send(engine, buffer, priority) },
        None => {
            // SAFETY: as above. Memory is taken over and freed even so.
            drop(unsafe { outgoing(buffer, None) });
            -1
        }
    }
}

/// Listens on the first address of `host` (NULL or "": 0.0.0.0): the id, or −1 and a log line that says
/// why. `ctx` NULL counts as handle 0.
///
/// # Safety
/// `ctx` is NULL or live, `host` NULL or a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_socket_listen(
    ctx: *mut SkynetContext,
    host: *const c_char,
    port: c_int,
    backlog: c_int,
) -> c_int {
    // SAFETY: passed on to the caller.
    let (owner, host) = unsafe { (owner(ctx), text(host)) };
    with_engine(|engine| match engine.listen(owner, host, port, backlog) {
        Ok(id) => id.0,
        Err(reason) => {
            let host = host.filter(|host| !host.is_empty()).unwrap_or(c"0.0.0.0");
            let host = host.to_string_lossy();
            log(
                owner as u32,
                format_args!("listen {host}:{port} failed : {reason}"),
            );
            -1
        }
    })
}

/// Connects to `host`: the id at once and the result as an event, or −1 for NULL, a name of more than
/// 231 bytes (logged) and a full table.
///
/// # Safety
/// As `skynet_socket_listen`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_socket_connect(
    ctx: *mut SkynetContext,
    host: *const c_char,
    port: c_int,
) -> c_int {
    // SAFETY: passed on to the caller.
    let (owner, host) = unsafe { (owner(ctx), text(host)) };
    with_engine(|engine| id_or_minus_one(host.and_then(|host| engine.connect(owner, host, port))))
}

/// Adopts a descriptor: the id, or −1 when the table is full. A bad descriptor gives an id and an ERROR.
///
/// # Safety
/// `ctx` is NULL or live; `fd` stays open and is not used by others until the id is closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_socket_bind(ctx: *mut SkynetContext, fd: c_int) -> c_int {
    // SAFETY: passed on to the caller.
    let (owner, fd) = unsafe { (owner(ctx), Descriptor::adopt(fd)) };
    with_engine(|engine| id_or_minus_one(engine.bind(owner, fd)))
}

/// Closes a socket once its output is out. Nothing happens for an unknown id.
///
/// # Safety
/// None: `ctx` is not used.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_socket_close(ctx: *mut SkynetContext, id: c_int) {
    let _ = ctx;
    if let Some(engine) = net::engine() {
        engine.close(SocketId(id));
    }
}

/// Closes a socket at once. Nothing happens for an unknown id.
///
/// # Safety
/// None: `ctx` is not used.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_socket_shutdown(ctx: *mut SkynetContext, id: c_int) {
    let _ = ctx;
    if let Some(engine) = net::engine() {
        engine.shutdown(SocketId(id));
    }
}

/// Starts or resumes a socket; an unknown id gives the caller an ERROR.
///
/// # Safety
/// `ctx` is NULL or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_socket_start(ctx: *mut SkynetContext, id: c_int) {
    // SAFETY: passed on to the caller.
    let caller = unsafe { owner(ctx) };
    if let Some(engine) = net::engine() {
        engine.start(caller, SocketId(id));
    }
}

/// Stops reading or accepting. Nothing happens for an unknown id.
///
/// # Safety
/// None: `ctx` is not used.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_socket_pause(ctx: *mut SkynetContext, id: c_int) {
    let _ = ctx;
    if let Some(engine) = net::engine() {
        engine.pause(SocketId(id));
    }
}

/// Switches Nagle's algorithm off. Nothing happens for an unknown id.
///
/// # Safety
/// None: `ctx` is not used.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_socket_nodelay(ctx: *mut SkynetContext, id: c_int) {
    let _ = ctx;
    if let Some(engine) = net::engine() {
        engine.no_delay(SocketId(id));
    }
}

/// A UDP socket, bound if `addr` is not NULL or `port` is not 0: the id, or −1.
///
/// # Safety
/// As `skynet_socket_listen`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_socket_udp(
    ctx: *mut SkynetContext,
    addr: *const c_char,
    port: c_int,
) -> c_int {
    // SAFETY: passed on to the caller.
    let (owner, host) = unsafe { (owner(ctx), text(addr)) };
    with_engine(|engine| id_or_minus_one(engine.udp(owner, host, port)))
}

/// Sets the default destination of a UDP id: 0, or −1 for NULL, an id that is none of UDP's, or a name
/// without address.
///
/// # Safety
/// As `skynet_socket_listen`; `ctx` is not used.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_socket_udp_connect(
    ctx: *mut SkynetContext,
    id: c_int,
    addr: *const c_char,
    port: c_int,
) -> c_int {
    let _ = ctx;
    // SAFETY: passed on to the caller.
    let host = unsafe { text(addr) };
    with_engine(|engine| udp_connect(engine, id, host, port))
}

pub(super) fn udp_connect(
    engine: &SocketServer,
    id: c_int,
    host: Option<&CStr>,
    port: c_int,
) -> c_int {
    match host.map(|host| engine.udp_connect(SocketId(id), host, port)) {
        Some(Ok(())) => 0,
        _ => -1,
    }
}

/// A UDP socket with a default destination: the id, or −1 (NULL included).
///
/// # Safety
/// As `skynet_socket_listen`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_socket_udp_dial(
    ctx: *mut SkynetContext,
    addr: *const c_char,
    port: c_int,
) -> c_int {
    // SAFETY: passed on to the caller.
    let (owner, host) = unsafe { (owner(ctx), text(addr)) };
    with_engine(|engine| id_or_minus_one(host.and_then(|host| engine.udp_dial(owner, host, port))))
}

/// A UDP socket bound to a port: the id, or −1 (port 0 included).
///
/// # Safety
/// As `skynet_socket_listen`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_socket_udp_listen(
    ctx: *mut SkynetContext,
    addr: *const c_char,
    port: c_int,
) -> c_int {
    // SAFETY: passed on to the caller.
    let (owner, host) = unsafe { (owner(ctx), text(addr)) };
    with_engine(|engine| id_or_minus_one(engine.udp_listen(owner, host, port)))
}

/// Sends one datagram to an encoded address: 0, or −1 for NULL, an unknown id or tag, or the wrong
/// family. `ctx` is not used.
///
/// # Safety
/// As `skynet_socket_sendbuffer`; `address` is NULL or as long as its tag announces.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_socket_udp_sendbuffer(
    ctx: *mut SkynetContext,
    address: *const c_char,
    buffer: *mut SocketSendbuffer,
) -> c_int {
    let _ = ctx;
    match net::engine() {
        // SAFETY: passed on to the caller.
        Some(engine) => unsafe { udp_send(engine, address.cast(), buffer) },
        None => {
            // SAFETY: as above. Memory is taken over and freed even so.
            drop(unsafe { outgoing(buffer, None) });
            -1
        }
    }
}

/// The encoded sender of a UDP event and, in `addrsz`, its length; NULL for other events, an unknown
/// tag, and NULL.
///
/// # Safety
/// `msg` is NULL or a socket event whose buffer is intact; `addrsz` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_socket_udp_address(
    msg: *mut SkynetSocketMessage,
    addrsz: *mut c_int,
) -> *const c_char {
    // SAFETY: NULL or an event by the caller's promise.
    let udp_event = unsafe { msg.as_ref() }.filter(|event| {
        event.r#type == SKYNET_SOCKET_TYPE_UDP && !event.buffer.is_null() && event.ud >= 0
    });
    // SAFETY: a UDP event's buffer holds `ud` bytes and the address behind them.
    unsafe { address_behind(udp_event.map(|event| (event.buffer, event.ud)), addrsz) }
}

/// The encoded address behind the payload of a UDP event.
///
/// # Safety
/// `payload` is the buffer of a UDP event and the length of its payload; `addrsz` is NULL or writable.
pub(super) unsafe fn address_behind(
    payload: Option<(*mut c_char, c_int)>,
    addrsz: *mut c_int,
) -> *const c_char {
    // SAFETY: the address begins behind the payload by the caller's promise.
    let address = payload
        .and_then(|(buffer, len)| unsafe { udp_address(buffer.add(len as usize).cast::<u8>()) });
    let Some(address) = address else {
        return ptr::null();
    };
    if !addrsz.is_null() {
        // SAFETY: writable by the caller's promise.
        unsafe { addrsz.write(address.len() as c_int) };
    }
    address.as_ptr().cast()
}

/// Snapshots of all sockets, highest slot first, for `socket_info_release`; NULL if there are none.
#[unsafe(no_mangle)]
pub extern "C" fn skynet_socket_info() -> *mut SocketInfo {
    net::engine().map_or(ptr::null_mut(), |engine| info_list(engine.info()))
}

/// Makes the node's engine. Ends the process when the system refuses (the reason is logged).
#[unsafe(no_mangle)]
pub extern "C" fn skynet_socket_init() {
    if let Err(error) = net::start(1) {
        crate::core::fatal(format_args!("skynet_socket_init: {error}"));
    }
}

/// Tells whoever polls to stop. Nothing happens without an engine.
#[unsafe(no_mangle)]
pub extern "C" fn skynet_socket_exit() {
    net::close();
}

/// Ends all sockets without events. Nothing happens without an engine.
#[unsafe(no_mangle)]
pub extern "C" fn skynet_socket_free() {
    net::stop();
}

/// Waits for one event and delivers it: 0 when the engine was told to stop or does not exist, 1 after
/// the last event of a batch, −1 when there may be more.
#[unsafe(no_mangle)]
pub extern "C" fn skynet_socket_poll() -> c_int {
    match net::serve() {
        Served::Stop => 0,
        Served::Last => 1,
        Served::More => -1,
    }
}

/// Does nothing: the node's engine asks the node's clock itself.
#[unsafe(no_mangle)]
pub extern "C" fn skynet_socket_updatetime() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_behind_the_payload() {
        let mut buffer = *b"abc\x01\x00\x50\x7f\x00\x00\x01";
        let mut event = SkynetSocketMessage {
            r#type: SKYNET_SOCKET_TYPE_UDP,
            id: 1,
            ud: 3,
            buffer: buffer.as_mut_ptr().cast(),
        };
        let mut size = -1;
        // SAFETY: the event is intact, and everything else is NULL or writable.
        unsafe {
            let address = skynet_socket_udp_address(&mut event, &mut size);
            assert_eq!((address, size), (event.buffer.add(3).cast_const(), 7));
            assert_eq!(
                skynet_socket_udp_address(&mut event, ptr::null_mut()),
                address
            );
            event.r#type = SKYNET_SOCKET_TYPE_DATA;
            assert!(skynet_socket_udp_address(&mut event, &mut size).is_null());
            event.r#type = SKYNET_SOCKET_TYPE_UDP;
            event.buffer.add(3).write(9);
            assert!(skynet_socket_udp_address(&mut event, &mut size).is_null());
            assert!(skynet_socket_udp_address(ptr::null_mut(), &mut size).is_null());
        }
    }

    #[test]
    fn bad_descriptors_are_refused() {
        let mut buffer = SocketSendbuffer {
            id: 1,
            r#type: 3,
            buffer: ptr::null(),
            sz: 0,
        };
        // SAFETY: nothing is read through an unknown type, an object without interface, or NULL.
        unsafe {
            assert!(outgoing(&buffer, None).is_none());
            buffer.r#type = SOCKET_BUFFER_OBJECT;
            assert!(outgoing(&buffer, None).is_none());
            assert!(outgoing(ptr::null(), None).is_none());
            buffer.r#type = SOCKET_BUFFER_RAWPOINTER;
            assert!(outgoing(&buffer, None).is_some_and(|(_, data)| data.as_slice().is_empty()));
            assert_eq!(
                skynet_socket_sendbuffer(ptr::null_mut(), ptr::null_mut()),
                -1
            );
            assert_eq!(
                skynet_socket_udp_sendbuffer(ptr::null_mut(), ptr::null(), ptr::null_mut()),
                -1
            );
        }
    }
}
