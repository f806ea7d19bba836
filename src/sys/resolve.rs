//! Names to addresses, through the C library's resolver.
//!
//! [`lookup`] may take as long as the name servers do; [`numeric`] never blocks.

use std::ffi::{CStr, CString, c_int};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::ptr;

/// What the addresses are wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Tcp,
    Udp,
}

/// Why there is no address, as the C library words it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookupError(pub String);

/// The addresses of `host`, in the resolver's order. Blocks.
pub fn lookup(
    host: &CStr,
    port: i32,
    transport: Transport,
) -> Result<Vec<SocketAddr>, LookupError> {
    query(host, port, transport, 0).map_err(|code| LookupError(message(code)))
}

/// The address that `host` spells out, or nothing when it is a name.
pub fn numeric(host: &CStr, port: i32, transport: Transport) -> Option<SocketAddr> {
    query(host, port, transport, libc::AI_NUMERICHOST)
        .ok()?
        .first()
        .copied()
}

fn query(
    host: &CStr,
    port: i32,
    transport: Transport,
    flags: c_int,
) -> Result<Vec<SocketAddr>, c_int> {
    // The port travels as text so that the C library judges what a valid one is.
    let service = CString::new(port.to_string()).unwrap_or_default();
    // SAFETY: addrinfo is plain data for which all-zero bytes are the documented default.
    let mut hints: libc::addrinfo = unsafe { MaybeUninit::zeroed().assume_init() };
    hints.ai_flags = flags;
    hints.ai_family = libc::AF_UNSPEC;
    (hints.ai_socktype, hints.ai_protocol) = match transport {
        Transport::Tcp => (libc::SOCK_STREAM, libc::IPPROTO_TCP),
        Transport::Udp => (libc::SOCK_DGRAM, libc::IPPROTO_UDP),
    };
    let mut list = ptr::null_mut();
    // SAFETY: the strings end with NUL, hints is initialised, and list is a place for the answer.
    let code = unsafe { libc::getaddrinfo(host.as_ptr(), service.as_ptr(), &hints, &mut list) };
    if code != 0 {
        return Err(code);
    }
    let mut found = Vec::new();
    let mut node = list;
    while !node.is_null() {
        // SAFETY: the list and what it points to live until freeaddrinfo below.
        unsafe {
            found.extend(address((*node).ai_addr));
            node = (*node).ai_next;
        }
    }
    // SAFETY: list came from getaddrinfo and nothing refers into it any more.
    unsafe { libc::freeaddrinfo(list) };
    if found.is_empty() {
        Err(libc::EAI_NONAME)
    } else {
        Ok(found)
    }
}

/// An internet address in Rust's form.
///
/// # Safety
/// `raw` is null or points to a socket address that is as long as its family says.
unsafe fn address(raw: *const libc::sockaddr) -> Option<SocketAddr> {
    if raw.is_null() {
        return None;
    }
    // SAFETY: by the caller's promise; every socket address begins with its family.
    match c_int::from(unsafe { (*raw).sa_family }) {
        libc::AF_INET => {
            // SAFETY: the family says which struct this is; the list may not be aligned for it.
            let v4 = unsafe { raw.cast::<libc::sockaddr_in>().read_unaligned() };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let v6 = unsafe { raw.cast::<libc::sockaddr_in6>().read_unaligned() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            let port = u16::from_be(v6.sin6_port);
            Some(SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id).into())
        }
        _ => None,
    }
}

fn message(code: c_int) -> String {
    // SAFETY: gai_strerror accepts any number and returns a constant string.
    unsafe { CStr::from_ptr(libc::gai_strerror(code)) }
        .to_string_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numeric_addresses_need_no_lookup() {
        let v4 = numeric(c"127.0.0.1", 80, Transport::Tcp).unwrap();
        assert_eq!(v4, "127.0.0.1:80".parse().unwrap());
        let v6 = numeric(c"::1", 81, Transport::Udp).unwrap();
        assert_eq!(v6, "[::1]:81".parse().unwrap());
        assert_eq!(numeric(c"localhost", 80, Transport::Tcp), None);
        assert_eq!(numeric(c"", 80, Transport::Tcp), None);
    }

    #[test]
    fn localhost_has_an_address() {
        let found = lookup(c"localhost", 80, Transport::Tcp).unwrap();
        assert!(
            found
                .iter()
                .all(|address| address.ip().is_loopback() && address.port() == 80)
        );
    }

    #[test]
    fn a_bad_name_gives_the_librarys_text() {
        let error = lookup(c"no such host", 80, Transport::Tcp).unwrap_err();
        assert!(
            !error.0.is_empty() && !error.0.contains("os error"),
            "{error:?}"
        );
    }
}
