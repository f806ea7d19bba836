//! `socket_server.h` (core.md §1.18, §1.20.5): the engine as a library of its own.
//!
//! Every function answers a NULL engine like one without sockets. The text of CONNECT, ACCEPT and ERR
//! events belongs to the engine and lasts until the next poll; the data of DATA and UDP events is the
//! caller's, to be freed with `free`.

use super::skynet_socket::{
    address_behind, id_or_minus_one, send, text, udp_connect as connect_udp, udp_send,
};
use super::socket_buffer::SocketSendbuffer;
use super::socket_info::{SocketInfo, info_list};
use crate::net::event::{Body, EventKind, Owner, SocketId};
use crate::net::output::Priority;
use crate::net::server::{Clock, SocketServer as Engine};
use crate::sync::Mutex;
use crate::sync::atomic::AtomicU64;
use crate::sys::buffer::ObjectInterface;
use crate::sys::socket::Descriptor;
use libc::{size_t, uintptr_t};
use std::ffi::{CString, c_char, c_int, c_void};
use std::mem::offset_of;
use std::ptr;

/// What poll returns.
pub const SOCKET_DATA: c_int = 0;
pub const SOCKET_CLOSE: c_int = 1;
pub const SOCKET_OPEN: c_int = 2;
pub const SOCKET_ACCEPT: c_int = 3;
pub const SOCKET_ERR: c_int = 4;
pub const SOCKET_EXIT: c_int = 5;
pub const SOCKET_UDP: c_int = 6;
pub const SOCKET_WARNING: c_int = 7;
/// Never leaves the engine; ours does not use it.
pub const SOCKET_RST: c_int = 8;
/// Never leaves the engine; ours does not use it.
pub const SOCKET_MORE: c_int = 9;

/// An engine and what it lent.
pub struct SocketServer {
    engine: Engine,
    /// The text of the last event.
    text: Mutex<CString>,
}

/// `struct socket_udp_address`, opaque: an encoded address.
#[repr(C)]
pub struct SocketUdpAddress {
    _bytes: [u8; 0],
}

/// One event.
#[repr(C)]
pub struct SocketMessage {
    pub id: c_int,
    pub opaque: uintptr_t,
    pub ud: c_int,
    pub data: *mut c_char,
}

const _: () = assert!(size_of::<SocketMessage>() == 32);
const _: () = assert!(offset_of!(SocketMessage, opaque) == 8);
const _: () = assert!(offset_of!(SocketMessage, data) == 24);

/// How the engine reads and frees buffers of type SOCKET_BUFFER_OBJECT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SocketObjectInterface {
    pub buffer: Option<unsafe extern "C" fn(object: *const c_void) -> *const c_void>,
    pub size: Option<unsafe extern "C" fn(object: *const c_void) -> size_t>,
    pub free: Option<unsafe extern "C" fn(object: *mut c_void)>,
}

const _: () = assert!(size_of::<SocketObjectInterface>() == 24);

/// The engine behind a pointer.
///
/// # Safety
/// `ss` is NULL or from `socket_server_create` and not released.
unsafe fn engine<'a>(ss: *mut SocketServer) -> Option<&'a Engine> {
    // SAFETY: NULL or live by the caller's promise.
    unsafe { ss.as_ref() }.map(|server| &server.engine)
}

/// A new engine whose clock shows `time`; NULL when the system refuses (the reason is logged).
#[unsafe(no_mangle)]
pub extern "C" fn socket_server_create(time: u64) -> *mut SocketServer {
    match Engine::new(Clock::Manual(AtomicU64::new(time))) {
        Ok(engine) => Box::into_raw(Box::new(SocketServer {
            engine,
            text: Mutex::default(),
        })),
        Err(_) => ptr::null_mut(),
    }
}

/// Ends all sockets without events and frees the engine. NULL is ignored.
///
/// # Safety
/// `ss` is NULL or live, and no other thread uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn socket_server_release(ss: *mut SocketServer) {
    if !ss.is_null() {
        // SAFETY: the caller gives up the only pointer.
        let server = unsafe { Box::from_raw(ss) };
        server.engine.clear();
    }
}

/// Sets the clock that `rtime` and `wtime` are taken from.
///
/// # Safety
/// `ss` is NULL or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn socket_server_updatetime(ss: *mut SocketServer, time: u64) {
    // SAFETY: passed on to the caller.
    if let Some(engine) = unsafe { engine(ss) } {
        engine.set_time(time);
    }
}

/// Waits for the next event, fills `result` and returns its code. `more` is set to 1 when another one
/// may be had without waiting, to 0 otherwise. SOCKET_EXIT for NULL; without `result` the event is lost.
///
/// # Safety
/// `ss` is NULL or live; `result` and `more` are NULL or writable; one thread at a time polls.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn socket_server_poll(
    ss: *mut SocketServer,
    result: *mut SocketMessage,
    more: *mut c_int,
) -> c_int {
    // SAFETY: NULL or live by the caller's promise.
    let Some(server) = (unsafe { ss.as_ref() }) else {
        return SOCKET_EXIT;
    };
    let polled = server.engine.poll();
    let event = polled.event;
    if !more.is_null() {
        // SAFETY: writable by the caller's promise.
        unsafe { more.write(polled.more.into()) };
    }
    if !result.is_null() {
        let data = match event.body {
            Body::None => ptr::null_mut(),
            Body::Bytes(block) => block.into_raw().cast(),
            Body::Text(text) => {
                let mut last = server.text.lock();
                *last = CString::new(text.into_owned()).unwrap_or_default();
                last.as_ptr().cast_mut()
            }
        };
        let message = SocketMessage {
            id: event.id.0,
            opaque: event.owner,
            ud: event.ud,
            data,
        };
        // SAFETY: as above.
        unsafe { result.write(message) };
    }
    match event.kind {
        EventKind::Data => SOCKET_DATA,
        EventKind::Close => SOCKET_CLOSE,
        EventKind::Connect => SOCKET_OPEN,
        EventKind::Accept => SOCKET_ACCEPT,
        EventKind::Error => SOCKET_ERR,
        EventKind::Exit => SOCKET_EXIT,
        EventKind::Udp => SOCKET_UDP,
        EventKind::Warning => SOCKET_WARNING,
    }
}

/// Makes poll return SOCKET_EXIT once everything asked for before is done.
///
/// # Safety
/// `ss` is NULL or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn socket_server_exit(ss: *mut SocketServer) {
    // SAFETY: passed on to the caller.
    if let Some(engine) = unsafe { engine(ss) } {
        engine.exit();
    }
}

/// As `skynet_socket_close`; `opaque` is not used.
///
/// # Safety
/// `ss` is NULL or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn socket_server_close(ss: *mut SocketServer, opaque: uintptr_t, id: c_int) {
    let _ = opaque;
    // SAFETY: passed on to the caller.
    if let Some(engine) = unsafe { engine(ss) } {
        engine.close(SocketId(id));
    }
}

/// As `skynet_socket_shutdown`; `opaque` is not used.
///
/// # Safety
/// `ss` is NULL or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn socket_server_shutdown(
    ss: *mut SocketServer,
    opaque: uintptr_t,
    id: c_int,
) {
    let _ = opaque;
    // SAFETY: passed on to the caller.
    if let Some(engine) = unsafe { engine(ss) } {
        engine.shutdown(SocketId(id));
    }
}

/// As `skynet_socket_start`, for the owner `opaque`.
///
/// # Safety
/// `ss` is NULL or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn socket_server_start(ss: *mut SocketServer, opaque: uintptr_t, id: c_int) {
    // SAFETY: passed on to the caller.
    if let Some(engine) = unsafe { engine(ss) } {
        engine.start(opaque as Owner, SocketId(id));
    }
}

/// As `skynet_socket_pause`; `opaque` is not used.
///
/// # Safety
/// `ss` is NULL or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn socket_server_pause(ss: *mut SocketServer, opaque: uintptr_t, id: c_int) {
    let _ = opaque;
    // SAFETY: passed on to the caller.
    if let Some(engine) = unsafe { engine(ss) } {
        engine.pause(SocketId(id));
    }
}

/// As `skynet_socket_sendbuffer`; −1 for NULL, which leaves the buffer with the caller.
///
/// # Safety
/// `ss` is NULL or live; `buffer` as for `skynet_socket_sendbuffer`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn socket_server_send(
    ss: *mut SocketServer,
    buffer: *mut SocketSendbuffer,
) -> c_int {
    // SAFETY: passed on to the caller.
    unsafe { engine(ss).map_or(-1, |engine| send(engine, buffer, Priority::High)) }
}

/// As `skynet_socket_sendbuffer_lowpriority`; −1 for NULL, which leaves the buffer with the caller.
///
/// # Safety
/// As `socket_server_send`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn socket_server_send_lowpriority(
    ss: *mut SocketServer,
    buffer: *mut SocketSendbuffer,
) -> c_int {
    // SAFETY: passed on to the caller.
    unsafe { engine(ss).map_or(-1, |engine| send(engine, buffer, Priority::Low)) }
}

/// As `skynet_socket_listen`, for the owner `opaque`.
///
/// # Safety
/// `ss` is NULL or live, `addr` NULL or a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn socket_server_listen(
    ss: *mut SocketServer,
    opaque: uintptr_t,
    addr: *const c_char,
    port: c_int,
    backlog: c_int,
) -> c_int {
    // SAFETY: passed on to the caller.
    let (engine, host) = unsafe { (engine(ss), text(addr)) };
    id_or_minus_one(engine.and_then(|engine| engine.listen(opaque, host, port, backlog).ok()))
}

/// As `skynet_socket_connect`, for the owner `opaque`.
///
/// # Safety
/// As `socket_server_listen`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn socket_server_connect(
    ss: *mut SocketServer,
    opaque: uintptr_t,
    addr: *const c_char,
    port: c_int,
) -> c_int {
    // SAFETY: passed on to the caller.
    let (engine, host) = unsafe { (engine(ss), text(addr)) };
    id_or_minus_one(
        engine
            .zip(host)
            .and_then(|(engine, host)| engine.connect(opaque, host, port)),
    )
}

/// As `skynet_socket_bind`, for the owner `opaque`.
///
/// # Safety
/// `ss` is NULL or live; `fd` as for `skynet_socket_bind`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn socket_server_bind(
    ss: *mut SocketServer,
    opaque: uintptr_t,
    fd: c_int,
) -> c_int {
    // SAFETY: passed on to the caller.
    let (engine, fd) = unsafe { (engine(ss), Descriptor::adopt(fd)) };
    id_or_minus_one(engine.and_then(|engine| engine.bind(opaque, fd)))
}

/// As `skynet_socket_nodelay`.
///
/// # Safety
/// `ss` is NULL or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn socket_server_nodelay(ss: *mut SocketServer, id: c_int) {
    // SAFETY: passed on to the caller.
    if let Some(engine) = unsafe { engine(ss) } {
        engine.no_delay(SocketId(id));
    }
}

/// As `skynet_socket_udp`, for the owner `opaque`.
///
/// # Safety
/// As `socket_server_listen`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn socket_server_udp(
    ss: *mut SocketServer,
    opaque: uintptr_t,
    addr: *const c_char,
    port: c_int,
) -> c_int {
    // SAFETY: passed on to the caller.
    let (engine, host) = unsafe { (engine(ss), text(addr)) };
    id_or_minus_one(engine.and_then(|engine| engine.udp(opaque, host, port)))
}

/// As `skynet_socket_udp_dial`, for the owner `opaque`.
///
/// # Safety
/// As `socket_server_listen`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn socket_server_udp_dial(
    ss: *mut SocketServer,
    opaque: uintptr_t,
    addr: *const c_char,
    port: c_int,
) -> c_int {
    // SAFETY: passed on to the caller.
    let (engine, host) = unsafe { (engine(ss), text(addr)) };
    id_or_minus_one(
        engine
            .zip(host)
            .and_then(|(engine, host)| engine.udp_dial(opaque, host, port)),
    )
}

/// As `skynet_socket_udp_listen`, for the owner `opaque`.
///
/// # Safety
/// As `socket_server_listen`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn socket_server_udp_listen(
    ss: *mut SocketServer,
    opaque: uintptr_t,
    addr: *const c_char,
    port: c_int,
) -> c_int {
    // SAFETY: passed on to the caller.
    let (engine, host) = unsafe { (engine(ss), text(addr)) };
    id_or_minus_one(engine.and_then(|engine| engine.udp_listen(opaque, host, port)))
}

/// As `skynet_socket_udp_connect`.
///
/// # Safety
/// As `socket_server_listen`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn socket_server_udp_connect(
    ss: *mut SocketServer,
    id: c_int,
    addr: *const c_char,
    port: c_int,
) -> c_int {
    // SAFETY: passed on to the caller.
    let (engine, host) = unsafe { (engine(ss), text(addr)) };
    engine.map_or(-1, |engine| connect_udp(engine, id, host, port))
}

/// As `skynet_socket_udp_sendbuffer`; −1 for NULL, which leaves the buffer with the caller.
///
/// # Safety
/// `ss` is NULL or live; the rest as for `skynet_socket_udp_sendbuffer`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn socket_server_udp_send(
    ss: *mut SocketServer,
    addr: *const SocketUdpAddress,
    buffer: *mut SocketSendbuffer,
) -> c_int {
    // SAFETY: passed on to the caller.
    unsafe { engine(ss).map_or(-1, |engine| udp_send(engine, addr.cast(), buffer)) }
}

/// The encoded sender of a UDP event and, in `addrsz`, its length; NULL for NULL and for an unknown
/// tag. The message must be one that poll returned with SOCKET_UDP.
///
/// # Safety
/// `msg` is NULL or a UDP event whose data is intact; `addrsz` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn socket_server_udp_address(
    ss: *mut SocketServer,
    msg: *mut SocketMessage,
    addrsz: *mut c_int,
) -> *const SocketUdpAddress {
    let _ = ss;
    // SAFETY: NULL or an event by the caller's promise.
    let event = unsafe { msg.as_ref() }.filter(|event| !event.data.is_null() && event.ud >= 0);
    // SAFETY: the data of a UDP event is its payload and the address behind it.
    unsafe { address_behind(event.map(|event| (event.data, event.ud)), addrsz).cast() }
}

/// Installs how buffers of type OBJECT are read and freed. NULL, or a NULL function in it, changes
/// nothing.
///
/// # Safety
/// `ss` is NULL or live; `soi` is NULL or filled, and its functions may be called from any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn socket_server_userobject(
    ss: *mut SocketServer,
    soi: *mut SocketObjectInterface,
) {
    // SAFETY: passed on to the caller.
    let (engine, interface) = unsafe { (engine(ss), soi.as_ref()) };
    if let (Some(engine), Some(&SocketObjectInterface { buffer, size, free })) = (engine, interface)
        && let (Some(buffer), Some(size), Some(free)) = (buffer, size, free)
    {
        engine.set_objects(ObjectInterface { buffer, size, free });
    }
}

/// As `skynet_socket_info`.
///
/// # Safety
/// `ss` is NULL or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn socket_server_info(ss: *mut SocketServer) -> *mut SocketInfo {
    // SAFETY: passed on to the caller.
    unsafe { engine(ss) }.map_or(ptr::null_mut(), |engine| info_list(engine.info()))
}

#[cfg(test)]
mod tests {
    use super::super::socket_buffer::{
        SOCKET_BUFFER_MEMORY, SOCKET_BUFFER_OBJECT, SOCKET_BUFFER_RAWPOINTER,
    };
    use super::super::socket_info::{SOCKET_INFO_LISTEN, socket_info_release};
    use super::*;
    use crate::sys::block::Block;
    use std::ffi::CStr;
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::sync::atomic::{AtomicUsize, Ordering};

    static FREED: AtomicUsize = AtomicUsize::new(0);

    unsafe extern "C" fn object_buffer(object: *const c_void) -> *const c_void {
        object
    }
    unsafe extern "C" fn object_size(_: *const c_void) -> usize {
        6
    }
    unsafe extern "C" fn object_free(_: *mut c_void) {
        FREED.fetch_add(1, Ordering::Relaxed);
    }

    /// Polls once: the code, the message, and its text if it has one.
    fn poll(ss: *mut SocketServer) -> (c_int, SocketMessage, String) {
        let mut message = SocketMessage {
            id: 0,
            opaque: 0,
            ud: 0,
            data: ptr::null_mut(),
        };
        let mut more = -1;
        // SAFETY: the engine is live, and everything is writable.
        let code = unsafe { socket_server_poll(ss, &mut message, &mut more) };
        assert!(more == 0 || more == 1);
        let text = match code {
            // SAFETY: these events carry a C string.
            SOCKET_OPEN | SOCKET_ACCEPT | SOCKET_ERR => unsafe { CStr::from_ptr(message.data) }
                .to_str()
                .unwrap()
                .to_owned(),
            _ => String::new(),
        };
        (code, message, text)
    }

    #[test]
    fn a_connection_from_listen_to_release() {
        let ss = socket_server_create(3);
        // SAFETY: the engine lives until the release at the end, and every pointer is good.
        unsafe {
            let listener = socket_server_listen(ss, 8, c"127.0.0.1".as_ptr(), 0, 4);
            assert_eq!(listener, 1);
            let (code, message, text) = poll(ss);
            assert_eq!(
                (code, message.opaque, text.as_str()),
                (SOCKET_OPEN, 8, "127.0.0.1")
            );
            let mut peer = TcpStream::connect(("127.0.0.1", message.ud as u16)).unwrap();
            socket_server_start(ss, 9, listener);
            assert_eq!(poll(ss).2, "start");
            let (code, message, text) = poll(ss);
            assert_eq!(
                (code, message.id, message.opaque),
                (SOCKET_ACCEPT, listener, 9)
            );
            assert_eq!(text, peer.local_addr().unwrap().to_string());
            let id = message.ud;
            socket_server_start(ss, 10, id);
            assert_eq!(poll(ss).1.opaque, 10);
            socket_server_nodelay(ss, id);

            peer.write_all(b"ping").unwrap();
            let (code, message, _) = poll(ss);
            assert_eq!((code, message.id, message.ud), (SOCKET_DATA, id, 4));
            assert_eq!(
                std::slice::from_raw_parts(message.data.cast::<u8>(), 4),
                b"ping"
            );
            drop(Block::from_raw(message.data.cast()));

            let send = |kind, buffer: *const c_void, sz| {
                let mut buffer = SocketSendbuffer {
                    id,
                    r#type: kind,
                    buffer,
                    sz,
                };
                socket_server_send(ss, &mut buffer)
            };
            let mut object = *b"object";
            let object: *mut c_void = object.as_mut_ptr().cast();
            assert_eq!(send(SOCKET_BUFFER_OBJECT, object, 0), -1);
            let mut interface = SocketObjectInterface {
                buffer: Some(object_buffer),
                size: Some(object_size),
                free: Some(object_free),
            };
            socket_server_userobject(ss, &mut interface);
            assert_eq!(send(SOCKET_BUFFER_OBJECT, object, 0), 0);
            assert_eq!(FREED.load(Ordering::Relaxed), 1);
            assert_eq!(
                send(
                    SOCKET_BUFFER_MEMORY,
                    Block::copy_of(b"memory").into_raw(),
                    6
                ),
                0
            );
            assert_eq!(send(SOCKET_BUFFER_RAWPOINTER, b"raw".as_ptr().cast(), 3), 0);
            let mut bytes = [0; 15];
            peer.read_exact(&mut bytes).unwrap();
            assert_eq!(&bytes, b"objectmemoryraw");

            let list = socket_server_info(ss);
            assert_eq!(((*list).id, (*list).write, (*list).rtime), (id, 15, 3));
            assert_eq!((*(*list).next).r#type, SOCKET_INFO_LISTEN);
            socket_info_release(list);

            socket_server_close(ss, 0, id);
            assert_eq!(poll(ss).0, SOCKET_CLOSE);
            assert_eq!(send(SOCKET_BUFFER_OBJECT, object, 0), -1);
            assert_eq!(FREED.load(Ordering::Relaxed), 2);
            socket_server_exit(ss);
            assert_eq!(poll(ss).0, SOCKET_EXIT);
            socket_server_release(ss);
        }
    }

    #[test]
    fn null_is_an_engine_without_sockets() {
        let none = ptr::null_mut();
        // SAFETY: NULL is allowed everywhere.
        unsafe {
            assert_eq!(
                socket_server_poll(none, ptr::null_mut(), ptr::null_mut()),
                SOCKET_EXIT
            );
            assert_eq!(socket_server_listen(none, 0, ptr::null(), 0, 1), -1);
            assert_eq!(socket_server_connect(none, 0, ptr::null(), 0), -1);
            assert_eq!(socket_server_bind(none, 0, 0), -1);
            assert_eq!(socket_server_udp(none, 0, ptr::null(), 0), -1);
            assert_eq!(socket_server_udp_dial(none, 0, ptr::null(), 0), -1);
            assert_eq!(socket_server_udp_listen(none, 0, ptr::null(), 1), -1);
            assert_eq!(socket_server_udp_connect(none, 1, ptr::null(), 0), -1);
            assert_eq!(socket_server_send(none, ptr::null_mut()), -1);
            assert!(socket_server_info(none).is_null());
            assert!(socket_server_udp_address(none, ptr::null_mut(), ptr::null_mut()).is_null());
            socket_server_start(none, 0, 1);
            socket_server_pause(none, 0, 1);
            socket_server_close(none, 0, 1);
            socket_server_shutdown(none, 0, 1);
            socket_server_nodelay(none, 1);
            socket_server_updatetime(none, 1);
            socket_server_userobject(none, ptr::null_mut());
            socket_server_exit(none);
            socket_server_release(none);
        }
        let ss = socket_server_create(0);
        // SAFETY: the engine is live, NULL is allowed everywhere else.
        unsafe {
            assert_eq!(socket_server_connect(ss, 0, ptr::null(), 0), -1);
            assert_eq!(socket_server_udp_dial(ss, 0, ptr::null(), 0), -1);
            assert_eq!(socket_server_udp_send(ss, ptr::null(), ptr::null_mut()), -1);
            socket_server_release(ss);
        }
    }
}
