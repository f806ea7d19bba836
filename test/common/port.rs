//! Free TCP and UDP ports for the nodes under test.
//!
//! Ports come from below the range that the system gives to outgoing connections, so that a client
//! of another test cannot take a port between our look and the node's listen.

use std::net::{TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};

/// Counts the ports tried by this process; each one is tried once per round.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// First and last port to use.
fn range() -> (u16, u16) {
    let Ok(text) = std::env::var("SKYNET_TEST_PORTS") else {
        return (20_000, 29_999);
    };
    let parsed = text
        .split_once('-')
        .and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)))
        .filter(|(a, b): &(u16, u16)| a <= b);
    parsed.unwrap_or_else(|| panic!("SKYNET_TEST_PORTS={text}: want FIRST-LAST"))
}

/// A port that nobody listens on, on any local address, in TCP and in UDP.
///
/// Test processes that run side by side start at different places of the range.
pub fn free() -> u16 {
    let (first, last) = range();
    let count = u32::from(last - first) + 1;
    let start = std::process::id().wrapping_mul(61) % count;
    for _ in 0..count {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = first + ((start + step) % count) as u16;
        if is_free(port) {
            return port;
        }
    }
    panic!("no free port in {first}-{last}");
}

fn is_free(port: u16) -> bool {
    ["0.0.0.0", "127.0.0.1"].iter().all(|host| {
        TcpListener::bind((*host, port)).is_ok() && UdpSocket::bind((*host, port)).is_ok()
    })
}
