//! The running gate: connections, socket events, reports, and the entry points that the core looks up.
//!
//! The core runs one callback of a service at a time, so nothing here is locked.

use std::collections::HashMap;
use std::ffi::{CString, c_char, c_int, c_void};
use std::slice;

use skynet_sys::{
    PTYPE_CLIENT, PTYPE_SOCKET, PTYPE_TEXT, SKYNET_SOCKET_TYPE_ACCEPT, SKYNET_SOCKET_TYPE_CLOSE,
    SKYNET_SOCKET_TYPE_CONNECT, SKYNET_SOCKET_TYPE_DATA, SKYNET_SOCKET_TYPE_ERROR,
    SKYNET_SOCKET_TYPE_WARNING, SOCKET_BUFFER_MEMORY, SkynetContext, SkynetSocketMessage,
    SocketSendbuffer,
};

use crate::command::{self, Command};
use crate::framing::{Framer, Prefix};
use crate::param::{self, ParamError};

/// Connections that may wait for us to accept them.
const BACKLOG: c_int = 128;

/// Longest peer name in an `open` report.
const PEER_NAME: usize = 31;

/// The context of this service, with the calls the gate makes to the core.
#[derive(Clone, Copy)]
struct Host(*mut SkynetContext);

/// `text` up to its first NUL, for the core.
fn c_string(text: &[u8]) -> CString {
    let end = text.iter().position(|&b| b == 0).unwrap_or(text.len());
    CString::new(&text[..end]).expect("no NUL is left")
}

impl Host {
    fn log(self, text: impl AsRef<[u8]>) {
        let text = c_string(text.as_ref());
        // SAFETY: the context outlives the service; the format takes one string, which is terminated.
        unsafe { skynet_sys::skynet_error(self.0, c"%s".as_ptr(), text.as_ptr()) }
    }

    /// The handle behind `:hex` or `.name`, 0 if there is none.
    fn query(self, name: &[u8]) -> u32 {
        let name = c_string(name);
        // SAFETY: valid context, terminated string.
        unsafe { skynet_sys::skynet_queryname(self.0, name.as_ptr()) }
    }

    /// Sends a copy of `data`; a dead receiver is no concern of the gate.
    fn send(self, source: u32, destination: u32, kind: c_int, session: c_int, data: &[u8]) {
        let message = data.as_ptr().cast_mut().cast();
        // SAFETY: without the "do not copy" flag the core only reads `data`, during the call.
        unsafe {
            skynet_sys::skynet_send(
                self.0,
                source,
                destination,
                kind,
                session,
                message,
                data.len(),
            );
        }
    }

    fn listen(self, host: &[u8], port: c_int) -> c_int {
        let host = c_string(host);
        // SAFETY: valid context, terminated string.
        unsafe { skynet_sys::skynet_socket_listen(self.0, host.as_ptr(), port, BACKLOG) }
    }

    fn start_socket(self, id: c_int) {
        // SAFETY: valid context; any id is allowed.
        unsafe { skynet_sys::skynet_socket_start(self.0, id) }
    }

    fn close_socket(self, id: c_int) {
        // SAFETY: valid context; any id is allowed.
        unsafe { skynet_sys::skynet_socket_close(self.0, id) }
    }
}

struct Connection {
    framer: Framer,
    /// Who gets the packets (`forward`); 0 = the watchdog.
    receiver: u32,
    /// In whose name; 0 = the gate's.
    source: u32,
    /// We have asked the core to close it: what still arrives is thrown away.
    closing: bool,
}

struct Gate {
    host: Host,
    /// The listening socket, until `close`.
    listener: Option<c_int>,
    /// Handle of the service that is told about connections, 0 = none.
    watchdog: u32,
    /// Handle of the service that gets all packets, 0 = none.
    broker: u32,
    client_tag: c_int,
    max: usize,
    prefix: Prefix,
    connections: HashMap<c_int, Connection>,
}

impl Gate {
    /// Reads the launch parameter and begins to listen. `None`: the launch has failed and the log says why.
    fn launch(host: Host, text: &[u8]) -> Option<Gate> {
        let complain = |what: &[u8], text: &[u8]| host.log([what, text].concat());
        let param = param::parse(text)
            .map_err(|error| match error {
                ParamError::TooFewParts => complain(b"Invalid gate parm ", text),
                ParamError::NoMax => host.log("Need max connection"),
                ParamError::UnknownHeader => host.log("Invalid data header style"),
            })
            .ok()?;
        let mut watchdog = 0;
        if let Some(name) = param.watchdog {
            watchdog = host.query(name);
            if watchdog == 0 {
                complain(b"Invalid watchdog ", name);
                return None;
            }
        }
        let Some((address, port)) = param::address(param.bind) else {
            complain(b"Invalid gate address ", param.bind);
            return None;
        };
        let listener = host.listen(address, port);
        if listener < 0 {
            return None;
        }
        host.start_socket(listener);
        Some(Gate {
            host,
            listener: Some(listener),
            watchdog,
            broker: 0,
            client_tag: param.client_tag,
            max: param.max,
            prefix: param.prefix,
            connections: HashMap::new(),
        })
    }

    fn report(&self, session: c_int, text: &[u8]) {
        if self.watchdog != 0 {
            self.host.send(0, self.watchdog, PTYPE_TEXT, session, text);
        }
    }

    fn text(&mut self, text: &[u8]) {
        match command::parse(text) {
            Command::Kick(id) => {
                if self.connections.contains_key(&id) {
                    self.host.close_socket(id);
                }
            }
            Command::Forward {
                id,
                receiver,
                source,
            } => {
                if let Some(connection) = self.connections.get_mut(&id) {
                    connection.receiver = receiver;
                    connection.source = source;
                }
            }
            Command::Broker(name) => self.broker = self.host.query(name),
            Command::Start(id) => {
                if self.connections.contains_key(&id) {
                    self.host.start_socket(id);
                }
            }
            Command::Close => {
                if let Some(listener) = self.listener.take() {
                    self.host.close_socket(listener);
                }
            }
            Command::Nothing => (),
            Command::Unknown => self.host.log([b"[gate] Unknown command : ", text].concat()),
        }
    }

    /// Data for a client: payload, then the socket id in four bytes. True if the buffer went to the socket
    /// layer and the core must not free it.
    fn client(&self, source: u32, message: *const c_void, size: usize) -> bool {
        // SAFETY: the core passes a message of `size` bytes.
        let bytes = unsafe { bytes(message, size) };
        let id = match bytes.split_last_chunk::<4>() {
            Some((payload, id)) if !payload.is_empty() => c_int::from_le_bytes(*id),
            _ => {
                self.host
                    .log(format!("Invalid client message from {source:x}"));
                return false;
            }
        };
        if !self.connections.contains_key(&id) {
            self.host
                .log(format!("Invalid client id {id} from {source:x}"));
            return false;
        }
        let mut buffer = SocketSendbuffer {
            id,
            kind: SOCKET_BUFFER_MEMORY,
            buffer: message,
            sz: size - 4,
        };
        // SAFETY: the message came from the process allocator, and from here on it is the core's again,
        // whatever the result.
        unsafe { skynet_sys::skynet_socket_sendbuffer(self.host.0, &mut buffer) };
        true
    }

    fn socket(&mut self, event: &SkynetSocketMessage, text: &[u8]) {
        let id = event.id;
        match event.kind {
            SKYNET_SOCKET_TYPE_DATA => {
                // SAFETY: a data event carries `ud` bytes, which are ours to free.
                let data = unsafe { bytes(event.buffer.cast(), event.ud.max(0) as usize) };
                self.data(id, data);
                // SAFETY: as above; `data` is not used any more.
                unsafe { libc::free(event.buffer.cast()) };
            }
            SKYNET_SOCKET_TYPE_CONNECT => self.connected(id),
            SKYNET_SOCKET_TYPE_ACCEPT => self.accept(event.ud, text),
            SKYNET_SOCKET_TYPE_CLOSE | SKYNET_SOCKET_TYPE_ERROR => self.closed(id),
            SKYNET_SOCKET_TYPE_WARNING => {
                let size = event.ud;
                self.host.log(format!("fd ({id}) send buffer ({size})K"));
            }
            _ => (),
        }
    }

    fn connected(&self, id: c_int) {
        if self.listener != Some(id) && !self.connections.contains_key(&id) {
            self.host.log(format!("Close unknown connection {id}"));
            self.host.close_socket(id);
        }
    }

    fn closed(&mut self, id: c_int) {
        if self.connections.remove(&id).is_some() {
            // After an end of file the socket lives on, half closed, until its owner closes it.
            self.host.close_socket(id);
            self.report(0, format!("{id} close").as_bytes());
        }
    }

    fn accept(&mut self, id: c_int, peer: &[u8]) {
        if self.connections.len() >= self.max {
            self.host.close_socket(id);
            return;
        }
        self.connections.insert(
            id,
            Connection {
                framer: Framer::new(self.prefix),
                receiver: 0,
                source: 0,
                closing: false,
            },
        );
        self.host.log(format!("socket open: {id:x}"));
        let peer = &peer[..peer.len().min(PEER_NAME)];
        let head = format!("{id} open {id} ");
        self.report(0, &[head.as_bytes(), peer, b":0"].concat());
    }

    fn data(&mut self, id: c_int, data: &[u8]) {
        let Gate {
            host,
            watchdog,
            broker,
            client_tag,
            ..
        } = *self;
        let Some(connection) = self.connections.get_mut(&id) else {
            host.log(format!("Drop unknown connection {id} message"));
            host.close_socket(id);
            return;
        };
        if connection.closing {
            return;
        }
        let (receiver, source) = (connection.receiver, connection.source);
        let cut = connection.framer.feed(data, |packet| {
            if broker != 0 {
                host.send(0, broker, client_tag, id, packet);
            } else if receiver != 0 {
                host.send(source, receiver, client_tag, id, packet);
            } else if watchdog != 0 {
                let head = format!("{id} data ");
                let report = [head.as_bytes(), packet].concat();
                host.send(0, watchdog, PTYPE_TEXT, id, &report);
            }
        });
        if cut.is_err() {
            connection.closing = true;
            connection.framer = Framer::new(self.prefix);
            host.close_socket(id);
            host.log("Recv socket message > 16M");
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        for &id in self.connections.keys() {
            self.host.close_socket(id);
        }
        if let Some(listener) = self.listener {
            self.host.close_socket(listener);
        }
    }
}

/// The bytes of a message; none for a null pointer.
///
/// # Safety
/// A pointer that is not null must have `size` readable bytes for as long as the slice is used.
unsafe fn bytes<'a>(message: *const c_void, size: usize) -> &'a [u8] {
    if message.is_null() {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { slice::from_raw_parts(message.cast(), size) }
}

/// What the core keeps for us: empty until `gate_init` has succeeded.
type Instance = Option<Gate>;

unsafe extern "C" fn callback(
    _context: *mut SkynetContext,
    instance: *mut c_void,
    kind: c_int,
    _session: c_int,
    source: u32,
    message: *const c_void,
    size: usize,
) -> c_int {
    // SAFETY: `instance` is what `gate_init` registered, and the core runs one callback at a time.
    let Some(gate) = (unsafe { (*instance.cast::<Instance>()).as_mut() }) else {
        return 0;
    };
    match kind {
        // SAFETY: the core passes a message of `size` bytes.
        PTYPE_TEXT => gate.text(unsafe { bytes(message, size) }),
        PTYPE_CLIENT => return c_int::from(gate.client(source, message, size)),
        PTYPE_SOCKET if size >= size_of::<SkynetSocketMessage>() && !message.is_null() => {
            // SAFETY: a socket message begins with this struct, and the text of some events follows it.
            let (event, all) =
                unsafe { (*message.cast::<SkynetSocketMessage>(), bytes(message, size)) };
            gate.socket(&event, &all[size_of::<SkynetSocketMessage>()..]);
        }
        _ => (),
    }
    0
}

/// Makes an instance. Called by the core (core.md §3.2).
#[unsafe(no_mangle)]
pub extern "C" fn gate_create() -> *mut c_void {
    Box::into_raw(Box::new(Instance::None)).cast()
}

/// Starts the gate; 0 = it listens.
///
/// # Safety
/// `instance` comes from `gate_create`, `context` is its context, `parameter` is NULL or a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gate_init(
    instance: *mut c_void,
    context: *mut SkynetContext,
    parameter: *const c_char,
) -> c_int {
    if parameter.is_null() {
        return 1;
    }
    // SAFETY: not NULL, hence a terminated string.
    let text = unsafe { std::ffi::CStr::from_ptr(parameter) };
    let Some(gate) = Gate::launch(Host(context), text.to_bytes()) else {
        return 1;
    };
    // SAFETY: the instance is ours alone until `init` returns; the callback gets it back as its user data.
    unsafe {
        *instance.cast::<Instance>() = Some(gate);
        skynet_sys::skynet_callback(context, instance, Some(callback));
    }
    0
}

/// Ends the gate, which closes its sockets. Also called when `gate_init` has failed.
///
/// # Safety
/// `instance` comes from `gate_create` and is not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gate_release(instance: *mut c_void) {
    // SAFETY: made by `Box::into_raw` in `gate_create`.
    drop(unsafe { Box::from_raw(instance.cast::<Instance>()) });
}
