//! Socket system calls: the descriptors, and the few ways in which the engine makes and uses them.
//!
//! Everything made here is non-blocking and is not inherited by child processes.

use super::block::Block;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};
use std::ffi::c_int;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::slice;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A descriptor that the engine works with. One that it made is closed when dropped; one that it
/// adopted stays open unless [`Descriptor::take_over`] was called.
#[derive(Debug)]
pub struct Descriptor {
    /// Not negative, and open as long as this value lives.
    raw: RawFd,
    /// Whether dropping closes it.
    owned: AtomicBool,
}

impl Descriptor {
    /// Adopts a descriptor of the caller; nothing for a negative number.
    ///
    /// # Safety
    /// The caller closes `raw` only after the engine let go of it (core.md §8.8(3)), and never when
    /// `take_over` was called.
    pub unsafe fn adopt(raw: RawFd) -> Option<Descriptor> {
        (raw >= 0).then_some(Descriptor {
            raw,
            owned: AtomicBool::new(false),
        })
    }

    /// Makes the engine the one who closes it.
    pub fn take_over(&self) {
        self.owned.store(true, Ordering::Relaxed);
    }
}

impl From<OwnedFd> for Descriptor {
    fn from(fd: OwnedFd) -> Self {
        Descriptor {
            raw: fd.into_raw_fd(),
            owned: AtomicBool::new(true),
        }
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: open as long as we live: ours, or kept open by whoever lent it.
        unsafe { BorrowedFd::borrow_raw(self.raw) }
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        if *self.owned.get_mut() {
            // SAFETY: the descriptor is ours, and this is its last use.
            if unsafe { libc::close(self.raw) } != 0 {
                let why = error_text(&io::Error::last_os_error());
                super::stderr::line(format!("close socket:: {why}").as_bytes());
            }
        }
    }
}

/// The system's text for an error, without Rust's number behind it.
pub fn error_text(error: &io::Error) -> String {
    let mut text = error.to_string();
    if let Some(number) = error.raw_os_error() {
        let suffix = format!(" (os error {number})");
        if text.ends_with(&suffix) {
            text.truncate(text.len() - suffix.len());
        }
    }
    text
}

/// True for "not now, try again later".
pub fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

/// True when the kernel has no memory for it at the moment.
pub fn is_starved(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOBUFS | libc::ENOMEM))
}

/// True when the process or the system has no descriptor left.
pub fn is_exhausted(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

fn open(address: &SocketAddr, kind: SocketType) -> io::Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    Ok(net::socket_with(
        family,
        kind,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?)
}

fn open_bound(address: &SocketAddr, kind: SocketType) -> io::Result<OwnedFd> {
    let fd = open(address, kind)?;
    sockopt::set_socket_reuseaddr(&fd, true)?;
    net::bind(&fd, address)?;
    Ok(fd)
}

/// A TCP socket that listens on `address`.
pub fn listen(address: &SocketAddr, backlog: c_int) -> io::Result<Descriptor> {
    let fd = open_bound(address, SocketType::STREAM)?;
    net::listen(&fd, backlog)?;
    Ok(fd.into())
}

/// A UDP socket bound to `address`.
pub fn udp_bound(address: &SocketAddr) -> io::Result<Descriptor> {
    Ok(open_bound(address, SocketType::DGRAM)?.into())
}

/// A UDP socket of the family of `like`, not bound.
pub fn udp_unbound(like: &SocketAddr) -> io::Result<Descriptor> {
    Ok(open(like, SocketType::DGRAM)?.into())
}

/// What became of a connect that does not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialed {
    Connected,
    InProgress,
}

/// Begins to connect a new TCP socket to `address`.
pub fn dial(address: &SocketAddr) -> io::Result<(Descriptor, Dialed)> {
    let fd = open(address, SocketType::STREAM)?;
    keep_alive(&fd);
    match net::connect(&fd, address) {
        Ok(()) => Ok((fd.into(), Dialed::Connected)),
        // An interrupted connect goes on by itself.
        Err(Errno::INPROGRESS | Errno::INTR) => Ok((fd.into(), Dialed::InProgress)),
        Err(errno) => Err(errno.into()),
    }
}

/// Takes the next connection of a listening socket.
pub fn accept(listener: impl AsFd) -> io::Result<(Descriptor, Option<SocketAddr>)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (fd, peer) = net::acceptfrom_with(listener, flags)?;
    keep_alive(&fd);
    Ok((fd.into(), peer.and_then(|any| any.try_into().ok())))
}

/// Switches TCP's keep-alive probes on.
fn keep_alive(fd: impl AsFd) {
    let _ = sockopt::set_socket_keepalive(fd, true);
}

/// When TCP's keep-alive probes are sent; 0 leaves it to the system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeepAlive {
    /// Seconds of silence before the first.
    pub idle: u32,
    /// Seconds between them.
    pub interval: u32,
    /// How many without an answer end the connection.
    pub count: u32,
}

/// Sets when keep-alive probes are sent. Does nothing where there are none.
pub fn set_keep_alive(fd: impl AsFd, keep_alive: &KeepAlive) {
    let seconds = |value: u32| Duration::from_secs(value.into());
    if keep_alive.idle > 0 {
        let _ = sockopt::set_tcp_keepidle(&fd, seconds(keep_alive.idle));
    }
    if keep_alive.interval > 0 {
        let _ = sockopt::set_tcp_keepintvl(&fd, seconds(keep_alive.interval));
    }
    if keep_alive.count > 0 {
        let _ = sockopt::set_tcp_keepcnt(&fd, keep_alive.count);
    }
}

/// Lets a close throw away what was not sent, and tell the peer with a reset.
pub fn reset_on_close(fd: impl AsFd) {
    let _ = sockopt::set_socket_linger(fd, Some(Duration::ZERO));
}

/// Switches Nagle's algorithm off or on. Does nothing where there is none.
pub fn set_no_delay(fd: impl AsFd, on: bool) {
    let _ = sockopt::set_tcp_nodelay(fd, on);
}

/// Makes a foreign descriptor non-blocking.
pub fn set_nonblocking(fd: impl AsFd) {
    let _ = rustix::io::ioctl_fionbio(fd, true);
}

/// Ends the writing direction. Does nothing for what is not a connected socket.
pub fn shut_output(fd: impl AsFd) {
    let _ = net::shutdown(fd, net::Shutdown::Write);
}

/// Takes the pending error of a socket. What is no socket has none to tell.
pub fn take_error(fd: impl AsFd) -> Option<io::Error> {
    match sockopt::socket_error(fd) {
        Ok(Ok(())) | Err(_) => None,
        Ok(Err(errno)) => Some(errno.into()),
    }
}

/// The address a socket is bound to.
pub fn local_address(fd: impl AsFd) -> Option<SocketAddr> {
    net::getsockname(fd).ok()?.try_into().ok()
}

/// The address a socket is connected to.
pub fn peer_address(fd: impl AsFd) -> Option<SocketAddr> {
    net::getpeername(fd).ok()??.try_into().ok()
}

/// Reads at most `size` bytes into a new block; `stream` says that it is a connected socket, for which
/// there is a shorter way. Zero bytes means end of input.
pub fn read_block(fd: impl AsFd, size: usize, stream: bool) -> io::Result<(Block, usize)> {
    let block = Block::with_len(size);
    // SAFETY: the block is ours, `size` bytes long, and MaybeUninit bytes need no value.
    let space =
        unsafe { slice::from_raw_parts_mut(block.as_ptr().cast::<MaybeUninit<u8>>(), size) };
    let len = if stream {
        net::recv(fd, space, RecvFlags::empty())?.0.0.len()
    } else {
        rustix::io::read(fd, space)?.0.len()
    };
    Ok((block, len))
}

/// Reads into `space`. Zero bytes means end of input.
pub fn read_into(fd: impl AsFd, space: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::io::read(fd, space)?)
}

/// Sends to a connected socket, in one go; a broken connection raises no signal.
pub fn send(fd: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    Ok(retry_on_intr(|| {
        net::send(&fd, bytes, SendFlags::NOSIGNAL)
    })?)
}

/// As [`send`], for several pieces.
pub fn send_vectored(fd: impl AsFd, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
    let mut control = net::SendAncillaryBuffer::default();
    Ok(retry_on_intr(|| {
        net::sendmsg(&fd, pieces, &mut control, SendFlags::NOSIGNAL)
    })?)
}

/// Writes to a descriptor that need not be a socket.
pub fn write_vectored(fd: impl AsFd, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
    Ok(retry_on_intr(|| rustix::io::writev(&fd, pieces))?)
}

/// Sends one datagram.
pub fn send_to(fd: impl AsFd, bytes: &[u8], to: &SocketAddr) -> io::Result<()> {
    retry_on_intr(|| net::sendto(&fd, bytes, SendFlags::NOSIGNAL, to))?;
    Ok(())
}

/// Receives one datagram into `space`.
pub fn receive_from(fd: impl AsFd, space: &mut [u8]) -> io::Result<(usize, Option<SocketAddr>)> {
    let (len, _, from) = retry_on_intr(|| net::recvfrom(&fd, &mut *space, RecvFlags::empty()))?;
    Ok((len, from.and_then(|any| any.try_into().ok())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn error_texts_are_the_systems() {
        assert_eq!(
            error_text(&io::Error::from_raw_os_error(libc::ECONNREFUSED)),
            "Connection refused"
        );
        assert_eq!(
            error_text(&io::Error::from_raw_os_error(libc::EMFILE)),
            "Too many open files"
        );
        assert_eq!(error_text(&io::Error::other("x")), "x");
    }

    #[test]
    fn an_adopted_descriptor_stays_open_until_taken_over() {
        let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
        let raw = near.into_raw_fd();
        // SAFETY: the descriptor was given up above and is used by nobody else.
        let lent = unsafe { Descriptor::adopt(raw) }.unwrap();
        drop(lent);
        far.set_nonblocking(true).unwrap();
        assert!(is_transient(&read_block(&far, 8, true).unwrap_err()));
        // SAFETY: as above.
        let lent = unsafe { Descriptor::adopt(raw) }.unwrap();
        lent.take_over();
        drop(lent);
        assert_eq!(read_block(&far, 8, true).unwrap().1, 0);
        // SAFETY: a negative number is no descriptor at all.
        assert!(unsafe { Descriptor::adopt(-1) }.is_none());
    }

    #[test]
    fn what_we_open_is_not_inherited() {
        let fd = listen(&"127.0.0.1:0".parse().unwrap(), 1).unwrap();
        let flags = rustix::io::fcntl_getfd(&fd).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        assert!(fd.as_fd().as_raw_fd() >= 0);
    }
}
