//! The engine as its callers see it: make, use and end sockets from any thread.
//!
//! What a call does at once: check the id, resolve and bind (listen and UDP), write if nothing is
//! queued, queue otherwise, note that start or close was asked for. Everything else is a command to
//! the poller (`drive.rs`), which executes them in order. Two consequences that callers rely on:
//! - what a thread sends after its start, connect or UDP destination counts, because the socket knows
//!   of them at once; what it sends after its close does not;
//! - what one thread sends on one socket stays in order, and each send goes out in one piece, because
//!   writing to a stream and queueing happen under the socket's lock.

use super::event::{Owner, SocketId};
use super::options::{Limits, Options};
use super::output::Priority;
use super::poller::{Command, Poller};
use super::resolver::{Job, Resolve, Resolver};
use super::slots::{Locked, Slots};
use super::socket::{Closing, Dialing, Gate, Kind, Phase, Socket};
use super::udp;
use crate::core::{API_HEAD, log};
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Arc, RwLock};
use crate::sys::buffer::{ObjectInterface, Outgoing};
use crate::sys::poll::SetupError;
use crate::sys::resolve::{self, Transport};
use crate::sys::socket::{self as sys, Descriptor, error_text};
use std::ffi::CStr;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::OnceLock;

/// The most pollers of one engine.
pub const MAX_POLLERS: usize = 64;

/// The longest host name that connect takes.
const MAX_HOST: usize = 231;

/// The beginning of most log lines of the engine (core.md §8.13).
pub const LOG_PREFIX: &str = if API_HEAD {
    "socket-server error: "
} else {
    "socket-server: "
};

/// Where the times in the statistics come from.
pub enum Clock {
    /// Asked when needed.
    Live(fn() -> u64),
    /// Set from outside.
    Manual(AtomicU64),
}

/// The id is not valid (any more), or the socket cannot take what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// A socket engine. All methods may be called from any thread.
pub struct SocketServer {
    pub(super) slots: Slots,
    /// As many as were ever used; `in_use` of them serve sockets.
    pollers: Box<[OnceLock<Arc<Poller>>]>,
    /// Changes only while there are no sockets.
    in_use: AtomicUsize,
    pub resolver: Resolver,
    /// Whether names may be looked up on threads that we start.
    aside: AtomicBool,
    pub limits: Limits,
    clock: Clock,
    /// How user objects are read; none until installed.
    objects: RwLock<Option<ObjectInterface>>,
}

fn new_poller() -> io::Result<Arc<Poller>> {
    let poller = Poller::new().map_err(|error| {
        let (what, error) = match error {
            SetupError::Epoll(error) => ("create event pool failed.", error),
            SetupError::Eventfd(error) => ("create socket pair failed.", error),
            SetupError::Register(error) => ("can't add server fd to event pool.", error),
        };
        log(0, format_args!("{LOG_PREFIX}{what}"));
        error
    })?;
    Ok(Arc::new(poller))
}

impl SocketServer {
    /// An engine with one poller.
    pub fn new(clock: Clock) -> io::Result<SocketServer> {
        SocketServer::with_resolver(clock, resolve::lookup)
    }

    /// As [`SocketServer::new`], with another way to look names up.
    pub fn with_resolver(clock: Clock, resolve: Resolve) -> io::Result<SocketServer> {
        let server = SocketServer {
            slots: Slots::default(),
            pollers: (0..MAX_POLLERS).map(|_| OnceLock::new()).collect(),
            in_use: AtomicUsize::new(0),
            resolver: Resolver::new(resolve),
            aside: AtomicBool::new(false),
            limits: Limits::default(),
            clock,
            objects: RwLock::new(None),
        };
        server.set_pollers(1)?;
        Ok(server)
    }

    /// Spreads sockets over `count` pollers from now on. Does nothing while there are sockets.
    pub fn set_pollers(&self, count: usize) -> io::Result<()> {
        let count = count.clamp(1, MAX_POLLERS);
        for place in &self.pollers[..count] {
            if place.get().is_none() {
                // Two callers at once: one poller is kept, the other was never used.
                let _ = place.set(new_poller()?);
            }
        }
        if self.slots.used() == 0 {
            self.in_use.store(count, Ordering::Relaxed);
        }
        Ok(())
    }

    /// How many pollers serve sockets.
    pub fn pollers(&self) -> usize {
        self.in_use.load(Ordering::Relaxed)
    }

    /// The poller with this number, below [`SocketServer::pollers`].
    pub(super) fn poller_at(&self, index: usize) -> &Arc<Poller> {
        let poller = self.pollers[index].get();
        poller.expect("pollers in use were made")
    }

    /// The poller of a socket. It follows from the id, also when the socket is gone, so that what is asked of
    /// an id stays in order; and ids that are given out one after the other spread over all pollers.
    pub(super) fn poller(&self, id: SocketId) -> &Arc<Poller> {
        self.poller_at(id.0 as u32 as usize % self.pollers())
    }

    /// Has the poller of a socket look at its deadlines.
    pub(super) fn arm_later(&self, id: SocketId) {
        self.poller(id).post(Command::Arm(id));
    }

    pub(super) fn now(&self) -> u64 {
        match &self.clock {
            Clock::Live(now) => now(),
            Clock::Manual(time) => time.load(Ordering::Relaxed),
        }
    }

    /// Sets a manual clock; a live one needs no setting.
    pub fn set_time(&self, now: u64) {
        if let Clock::Manual(time) = &self.clock {
            time.store(now, Ordering::Relaxed);
        }
    }

    /// For tests: ids begin just below their limit.
    pub fn skip_ids(&self) {
        self.slots.skip_to_end(crate::core::WRAP_AFTER);
    }

    /// Looks names up on threads of their own from now on. Until then the polling thread does it, as
    /// befits an engine whose user starts all threads himself.
    pub fn look_up_aside(&self) {
        self.aside.store(true, Ordering::Relaxed);
    }

    /// Says how user objects are read from now on.
    pub fn set_objects(&self, interface: ObjectInterface) {
        *self.objects.write() = Some(interface);
    }

    /// How user objects are read.
    pub fn objects(&self) -> Option<ObjectInterface> {
        *self.objects.read()
    }

    /// Listens on the first address of `host` (none or empty: any IPv4 address).
    pub fn listen(
        &self,
        owner: Owner,
        host: Option<&CStr>,
        port: i32,
        backlog: i32,
    ) -> Result<SocketId, String> {
        let address =
            local_address(host, port, Transport::Tcp).ok_or("the address is not known")?;
        let backlog = self.limits.backlog(backlog);
        let fd = sys::listen(&address, backlog).map_err(|error| error_text(&error))?;
        let inserted = self.insert(owner, Kind::Tcp, Phase::Listen, Some(fd));
        let mut socket = inserted.ok_or("no socket id is free")?;
        socket.options = self.limits.defaults();
        let id = socket.id;
        drop(socket);
        self.poller(id).post(Command::Listen(id));
        Ok(id)
    }

    /// Connects to `host`. The result comes as an event.
    pub fn connect(&self, owner: Owner, host: &CStr, port: i32) -> Option<SocketId> {
        if host.count_bytes() > MAX_HOST {
            let colon = if API_HEAD { " error: " } else { " : " };
            let host = host.to_string_lossy();
            log(0, format_args!("socket-server{colon}Invalid addr {host}."));
            return None;
        }
        let until = self.limits.connect_until();
        let phase = Phase::Dialing(Dialing {
            until,
            attempt_until: until,
            ..Dialing::default()
        });
        let mut socket = self.insert(owner, Kind::Tcp, phase, None)?;
        socket.options = Options {
            idle: None,
            ..self.limits.defaults()
        };
        let id = socket.id;
        drop(socket);
        let poller = self.poller(id);
        if until.is_some() {
            poller.post(Command::Arm(id));
        }
        if let Some(address) = resolve::numeric(host, port, Transport::Tcp) {
            poller.post(Command::Dial(id, Ok(vec![address])));
            return Some(id);
        }
        let job = Job {
            id,
            host: host.to_owned(),
            port,
            poller: Arc::clone(poller),
        };
        if self.aside.load(Ordering::Relaxed) {
            self.resolver.ask(job);
        } else {
            poller.post(Command::LookUp(job));
        }
        Some(id)
    }

    /// Takes a descriptor of the caller's; none stands for a number that cannot be one.
    pub fn bind(&self, owner: Owner, fd: Option<Descriptor>) -> Option<SocketId> {
        let id = self.insert(owner, Kind::Bound, Phase::Binding, fd)?.id;
        self.poller(id).post(Command::Bind(id));
        Some(id)
    }

    /// Starts or resumes a socket and makes `caller` its owner.
    pub fn start(&self, caller: Owner, id: SocketId) {
        if let Some(mut socket) = self.slots.lock(id)
            && let Phase::Accepted { started } = &mut socket.phase
        {
            *started = true;
        }
        self.poller(id).post(Command::Start { id, caller });
    }

    /// Stops reading or accepting.
    pub fn pause(&self, id: SocketId) {
        self.poller(id).post(Command::Pause(id));
    }

    /// Closes a socket once its output is out.
    pub fn close(&self, id: SocketId) {
        self.end(id, false);
    }

    /// Closes a socket now.
    pub fn shutdown(&self, id: SocketId) {
        self.end(id, true);
    }

    fn end(&self, id: SocketId, discard: bool) {
        if let Some(mut socket) = self.slots.lock(id)
            && socket.closing == Closing::No
        {
            socket.closing = Closing::Asked;
        }
        self.poller(id).post(Command::Close { id, discard });
    }

    /// Switches Nagle's algorithm off.
    pub fn no_delay(&self, id: SocketId) {
        if let Some(mut socket) = self.slots.lock(id) {
            socket.options.no_delay = true;
            if let Some(fd) = &socket.fd {
                sys::set_no_delay(fd, true);
            }
        }
    }

    /// Sends stream data, or a datagram to the default destination.
    pub fn send(
        &self,
        id: SocketId,
        data: Outgoing<'_>,
        priority: Priority,
    ) -> Result<(), Refused> {
        let mut socket = self.slots.lock(id).ok_or(Refused)?;
        match socket.gate(priority) {
            Gate::Refuse => Err(Refused),
            Gate::Discard => Ok(()),
            Gate::Listener => {
                drop(socket);
                log(0, format_args!("{LOG_PREFIX}write to listen fd {id}."));
                Ok(())
            }
            gate if socket.is_udp() => match socket.default_to {
                Some(to) => self.send_datagram(socket, gate, data, to, priority),
                None => {
                    drop(socket);
                    let error = if API_HEAD { "error: " } else { "" };
                    log(
                        0,
                        format_args!("socket-server : set udp ({id}) {error}address first."),
                    );
                    Err(Refused)
                }
            },
            gate => {
                let mut sent = 0;
                if let (Gate::Write, Some(fd)) = (gate, &socket.fd) {
                    // A failure here comes again, and is handled, when the poller writes the rest.
                    sent = sys::send(fd, data.as_slice()).unwrap_or(0);
                }
                if sent > 0 {
                    socket.count_write(sent, self.now());
                }
                if sent < data.as_slice().len() {
                    socket.output.push(data, sent, priority);
                    self.queued(&mut socket, gate);
                }
                Ok(())
            }
        }
    }

    /// After output was queued: have it written. If there was some before, warn if it is much now.
    fn queued(&self, socket: &mut Socket, gate: Gate) {
        self.account(socket);
        let poller = self.poller(socket.id);
        if gate == Gate::Queue
            && let Some(kib) = socket.output.take_warning()
        {
            poller.post(Command::Warn(socket.id, kib));
        }
        if self.over_limit(socket) {
            poller.post(Command::Overflow(socket.id));
        }
        // Failing here means no memory in the kernel; the next send tries again.
        let _ = poller.adapt(socket);
    }

    /// A UDP socket, bound if a host or a port is given.
    pub fn udp(&self, owner: Owner, host: Option<&CStr>, port: i32) -> Option<SocketId> {
        let fd = if host.is_some() || port != 0 {
            sys::udp_bound(&local_address(host, port, Transport::Udp)?)
        } else {
            sys::udp_unbound(&any_address(0))
        };
        self.insert_udp(owner, fd.ok()?, None)
    }

    /// A UDP socket bound to a port of the caller's choice.
    pub fn udp_listen(&self, owner: Owner, host: Option<&CStr>, port: i32) -> Option<SocketId> {
        if port == 0 {
            None
        } else {
            self.udp(owner, host, port)
        }
    }

    /// A UDP socket with a default destination.
    pub fn udp_dial(&self, owner: Owner, host: &CStr, port: i32) -> Option<SocketId> {
        let to = remote_address(host, port)?;
        self.insert_udp(owner, sys::udp_unbound(&to).ok()?, Some(to))
    }

    /// Sets the default destination of a UDP socket.
    pub fn udp_connect(&self, id: SocketId, host: &CStr, port: i32) -> Result<(), Refused> {
        // Looking the name up may take long: not under the lock, and not for a socket that is gone.
        drop(
            self.slots
                .lock(id)
                .filter(|socket| socket.is_udp())
                .ok_or(Refused)?,
        );
        let to = remote_address(host, port).ok_or(Refused)?;
        let mut socket = self.slots.lock(id).ok_or(Refused)?;
        if socket.kind == (Kind::Udp { v6: to.is_ipv6() }) {
            socket.default_to = Some(to);
        } else {
            self.poller(id).post(Command::Mismatch(id));
        }
        Ok(())
    }

    /// Sends one datagram to an encoded address.
    pub fn udp_send(
        &self,
        id: SocketId,
        address: &[u8],
        data: Outgoing<'_>,
    ) -> Result<(), Refused> {
        let socket = self.slots.lock(id).ok_or(Refused)?;
        let to = udp::decode(address).ok_or(Refused)?;
        if socket.kind != (Kind::Udp { v6: to.is_ipv6() }) {
            return Err(Refused);
        }
        match socket.gate(Priority::High) {
            Gate::Refuse => Err(Refused),
            Gate::Discard | Gate::Listener => Ok(()),
            gate => self.send_datagram(socket, gate, data, to, Priority::High),
        }
    }

    fn send_datagram<'a>(
        &'a self,
        mut socket: Locked<'a>,
        gate: Gate,
        data: Outgoing<'_>,
        to: SocketAddr,
        priority: Priority,
    ) -> Result<(), Refused> {
        if let (Gate::Write, Some(fd)) = (gate, socket.fd.clone()) {
            // Without the lock: a UDP socket may be the only one of a server, and everybody's. Datagrams that
            // one thread sends stay in order all the same.
            let id = socket.id;
            drop(socket);
            let len = data.as_slice().len();
            let sent = sys::send_to(&fd, data.as_slice(), &to);
            if let Err(error) = &sent
                && !sys::is_transient(error)
            {
                log_send_failure(id, error);
                return Ok(());
            }
            // If it ended meanwhile, so did its output.
            let Some(again) = self.slots.lock(id) else {
                return Ok(());
            };
            socket = again;
            if sent.is_ok() {
                socket.count_write(len, self.now());
                return Ok(());
            }
        }
        socket.output.push_datagram(data, to, priority);
        self.queued(&mut socket, gate);
        Ok(())
    }

    fn insert(
        &self,
        owner: Owner,
        kind: Kind,
        phase: Phase,
        fd: Option<Descriptor>,
    ) -> Option<Locked<'_>> {
        self.slots
            .insert(|id| Socket::new(id, owner, kind, phase, fd))
    }

    fn insert_udp(&self, owner: Owner, fd: Descriptor, to: Option<SocketAddr>) -> Option<SocketId> {
        let v6 = sys::local_address(&fd).is_some_and(|address| address.is_ipv6());
        let mut socket = self.insert(owner, Kind::Udp { v6 }, Phase::Open, Some(fd))?;
        socket.default_to = to;
        if self.poller(socket.id).watch(&mut socket).is_err() {
            drop(socket.remove());
            return None;
        }
        Some(socket.id)
    }

    /// Ends the rest of every poller that rests.
    pub fn hurry(&self) {
        for index in 0..self.pollers() {
            self.poller_at(index).hurry();
        }
    }

    /// Tells whoever polls to stop, after everything asked for before.
    pub fn exit(&self) {
        for index in 0..self.pollers() {
            self.poller_at(index).post(Command::Exit);
        }
    }

    /// Ends all sockets without events; whoever polls is told to stop first. Adopted descriptors stay
    /// open.
    pub fn clear(&self) {
        self.exit();
        for index in 0..self.pollers() {
            let poller = self.poller_at(index);
            let mut turn = poller.turn.lock();
            while poller.next_command().is_some() {}
            turn.exited = true;
            turn.events.clear();
            turn.deadlines.clear();
        }
        for mut socket in self.slots.take_all() {
            self.poller(socket.id).unwatch(&mut socket);
            self.forget(&socket);
        }
    }

    /// Makes a cleared engine as good as new.
    pub fn reopen(&self) {
        for index in 0..self.pollers() {
            let poller = self.poller_at(index);
            let mut turn = poller.turn.lock();
            while poller.next_command().is_some() {}
            turn.exited = false;
        }
    }

    /// Takes a socket that ends out of all sums and queues.
    pub(super) fn forget(&self, socket: &Socket) {
        self.limits.account(socket.accounted, 0);
        if let (Phase::Dialing(_), None) = (&socket.phase, &socket.fd) {
            self.resolver.forget(socket.id);
        }
    }
}

/// The log line for a datagram that could not be sent.
pub(super) fn log_send_failure(id: SocketId, error: &io::Error) {
    let text = sys::error_text(error);
    log(
        0,
        format_args!("socket-server : udp ({id}) sendto error {text}."),
    );
}

fn any_address(port: u16) -> SocketAddr {
    (Ipv4Addr::UNSPECIFIED, port).into()
}

/// The address to bind: the first one of `host`.
fn local_address(host: Option<&CStr>, port: i32, transport: Transport) -> Option<SocketAddr> {
    let host = host.filter(|host| !host.is_empty()).unwrap_or(c"0.0.0.0");
    resolve::numeric(host, port, transport).or_else(|| {
        resolve::lookup(host, port, transport)
            .ok()?
            .first()
            .copied()
    })
}

/// The address to send datagrams to: the first one of `host`.
fn remote_address(host: &CStr, port: i32) -> Option<SocketAddr> {
    resolve::numeric(host, port, Transport::Udp).or_else(|| {
        resolve::lookup(host, port, Transport::Udp)
            .ok()?
            .first()
            .copied()
    })
}
