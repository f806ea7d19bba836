//! The running service: the core as the router sees it, and the entry points that the core looks up.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::slice;

use skynet_sys::{
    PTYPE_ERROR, PTYPE_HARBOR, PTYPE_SOCKET, PTYPE_SYSTEM, PTYPE_TAG_DONTCOPY, PTYPE_TEXT,
    RemoteMessage, SKYNET_SOCKET_TYPE_CLOSE, SKYNET_SOCKET_TYPE_CONNECT, SKYNET_SOCKET_TYPE_DATA,
    SKYNET_SOCKET_TYPE_ERROR, SKYNET_SOCKET_TYPE_WARNING, SOCKET_BUFFER_MEMORY, SkynetContext,
    SkynetSocketMessage, SocketSendbuffer, skynet_send,
};

use crate::command::int;
use crate::payload::Payload;
use crate::router::{Host, Parcel, Router};

/// The core, for this service.
struct Core {
    context: *mut SkynetContext,
    /// Handle of the Lua service that manages the network.
    slave: u32,
}

impl Host for Core {
    fn deliver(&self, parcel: Parcel) -> bool {
        let kind = c_int::from(parcel.kind) | PTYPE_TAG_DONTCOPY;
        let (data, size) = parcel.data.into_raw();
        // SAFETY: the buffer is the core's from here on, whatever the result.
        let result = unsafe {
            skynet_send(
                self.context,
                parcel.source,
                parcel.destination,
                kind,
                parcel.session,
                data,
                size,
            )
        };
        result >= 0
    }

    fn fail(&self, from: u32, to: u32, session: c_int) {
        let nothing = std::ptr::null_mut();
        // SAFETY: valid context, no data.
        unsafe { skynet_send(self.context, from, to, PTYPE_ERROR, session, nothing, 0) };
    }

    fn tell_slave(&self, text: &[u8]) {
        let data = text.as_ptr().cast_mut().cast();
        // SAFETY: without the "do not copy" flag the core only reads `text`, during the call.
        unsafe { skynet_send(self.context, 0, self.slave, PTYPE_TEXT, 0, data, text.len()) };
    }

    fn write(&self, socket: c_int, data: Payload) {
        let (data, size) = data.into_raw();
        let mut buffer = SocketSendbuffer {
            id: socket,
            kind: SOCKET_BUFFER_MEMORY,
            buffer: data,
            sz: size,
        };
        // SAFETY: the buffer is the core's from here on, whatever the result.
        unsafe { skynet_sys::skynet_socket_sendbuffer(self.context, &mut buffer) };
    }

    fn start(&self, socket: c_int) {
        // SAFETY: valid context; any id is allowed.
        unsafe { skynet_sys::skynet_socket_start(self.context, socket) }
    }

    fn close(&self, socket: c_int) {
        // SAFETY: valid context; any id is allowed.
        unsafe { skynet_sys::skynet_socket_close(self.context, socket) }
    }

    fn log(&self, text: &[u8]) {
        let end = text.iter().position(|&b| b == 0).unwrap_or(text.len());
        let text = CString::new(&text[..end]).expect("no NUL is left");
        // SAFETY: valid context; the format takes one string, which is terminated.
        unsafe { skynet_sys::skynet_error(self.context, c"%s".as_ptr(), text.as_ptr()) }
    }
}

fn socket_event(router: &mut Router<Core>, event: &SkynetSocketMessage) {
    let id = event.id;
    // SAFETY: data and datagrams come in a buffer of `ud` bytes (and an address) that is ours; other events
    // have none.
    let data = unsafe { Payload::from_raw(event.buffer.cast(), event.ud.max(0) as usize) };
    match event.kind {
        SKYNET_SOCKET_TYPE_DATA => router.receive(id, data.bytes()),
        SKYNET_SOCKET_TYPE_CONNECT => (),
        SKYNET_SOCKET_TYPE_CLOSE | SKYNET_SOCKET_TYPE_ERROR => router.lost(id),
        SKYNET_SOCKET_TYPE_WARNING => router.congested(id, event.ud),
        kind => {
            let text = format!("recv invalid socket message type {kind}");
            router.host.log(text.as_bytes());
        }
    }
}

fn outgoing(router: &mut Router<Core>, source: u32, session: c_int, message: &RemoteMessage) {
    let parcel = Parcel {
        source,
        destination: message.destination.handle,
        // The core passes on eight bits of it.
        kind: message.kind as u8,
        session,
        // SAFETY: the core has handed the buffer over with the message.
        data: unsafe { Payload::from_raw(message.message.cast_mut(), message.sz) },
    };
    if parcel.destination != 0 {
        router.send(parcel);
    } else {
        let name = message.destination.name.map(|c| c as u8);
        router.send_by_name(name, parcel);
    }
}

/// What the core keeps for us: empty until `harbor_init` has succeeded.
type Instance = Option<Router<Core>>;

unsafe extern "C" fn callback(
    _context: *mut SkynetContext,
    instance: *mut c_void,
    kind: c_int,
    session: c_int,
    source: u32,
    message: *const c_void,
    size: usize,
) -> c_int {
    // SAFETY: `instance` is what `harbor_init` registered, and the core runs one callback at a time.
    let Some(router) = (unsafe { (*instance.cast::<Instance>()).as_mut() }) else {
        return 0;
    };
    let size = if message.is_null() { 0 } else { size };
    match kind {
        PTYPE_SOCKET if size >= size_of::<SkynetSocketMessage>() => {
            // SAFETY: a socket message begins with this struct.
            socket_event(router, unsafe { &*message.cast() });
        }
        PTYPE_HARBOR => {
            let text: &[u8] = match size {
                0 => &[],
                // SAFETY: the core passes a message of `size` bytes.
                _ => unsafe { slice::from_raw_parts(message.cast(), size) },
            };
            router.control(source, text);
        }
        PTYPE_SYSTEM if size == size_of::<RemoteMessage>() => {
            // SAFETY: this is how the core hands over a message for another node.
            outgoing(router, source, session, unsafe { &*message.cast() });
        }
        _ => {
            let host = &router.host;
            let text = format!("recv invalid message from {source:x},  type = {kind}");
            host.log(text.as_bytes());
            if session != 0 && kind != PTYPE_ERROR {
                host.fail(0, source, session);
            }
        }
    }
    0
}

/// Makes an instance. Called by the core (core.md §3.2).
#[unsafe(no_mangle)]
pub extern "C" fn harbor_create() -> *mut c_void {
    Box::into_raw(Box::new(Instance::None)).cast()
}

/// Registers the service as the way to other nodes; 0 = ready.
///
/// # Safety
/// `instance` comes from `harbor_create`, `context` is its context, `parameter` is NULL or a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn harbor_init(
    instance: *mut c_void,
    context: *mut SkynetContext,
    parameter: *const c_char,
) -> c_int {
    if parameter.is_null() {
        return 1;
    }
    // SAFETY: not NULL, hence a terminated string.
    let text = unsafe { CStr::from_ptr(parameter) }.to_bytes();
    let Some((own, slave)) = parse(text) else {
        return 1;
    };
    let router = Router::new(Core { context, slave }, own);
    // SAFETY: the instance is ours alone until `init` returns; the callback gets it back as its user data.
    unsafe {
        *instance.cast::<Instance>() = Some(router);
        skynet_sys::skynet_callback(context, instance, Some(callback));
        skynet_sys::skynet_harbor_start(context.cast());
    }
    0
}

/// `<node> <slave>`. Of the node number the core uses eight bits, and so do we.
fn parse(text: &[u8]) -> Option<(u8, u32)> {
    let (own, rest) = int(text)?;
    let slave = str::from_utf8(rest).ok()?.split_whitespace().next()?;
    let digits = slave.find(|c: char| !c.is_ascii_digit());
    let slave = slave[..digits.unwrap_or(slave.len())].parse().ok()?;
    (slave != 0).then_some((own as u8, slave))
}

/// Ends the service, which closes its connections. Also called when `harbor_init` has failed.
///
/// # Safety
/// `instance` comes from `harbor_create` and is not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn harbor_release(instance: *mut c_void) {
    // SAFETY: made by `Box::into_raw` in `harbor_create`.
    drop(unsafe { Box::from_raw(instance.cast::<Instance>()) });
}
