//! `socket_info.h`: lists of sockets, for statistics (core.md §1.4, §8.12).

use crate::net::info::{Snapshot, Type};
use crate::sys::block::Block;
use std::ffi::{c_char, c_int};
use std::mem::offset_of;
use std::ptr;

/// What a socket is.
pub const SOCKET_INFO_UNKNOWN: c_int = 0;
pub const SOCKET_INFO_LISTEN: c_int = 1;
pub const SOCKET_INFO_TCP: c_int = 2;
pub const SOCKET_INFO_UDP: c_int = 3;
pub const SOCKET_INFO_BIND: c_int = 4;
pub const SOCKET_INFO_CLOSING: c_int = 5;

/// A snapshot of one socket, in a list of them.
#[repr(C)]
pub struct SocketInfo {
    pub id: c_int,
    /// SOCKET_INFO_...
    pub r#type: c_int,
    /// Handle of the owner.
    pub opaque: u64,
    /// Bytes; of a listener, accepted connections.
    pub read: u64,
    pub write: u64,
    /// skynet_now() of the last read; 0 for never.
    pub rtime: u64,
    /// The same of the last write.
    pub wtime: u64,
    /// Bytes that wait to be written.
    pub wbuffer: i64,
    /// Whether the socket is polled for that.
    pub reading: u8,
    pub writing: u8,
    /// Address and port.
    pub name: [c_char; 128],
    pub next: *mut SocketInfo,
}

const _: () = assert!(size_of::<SocketInfo>() == 200);
const _: () = assert!(offset_of!(SocketInfo, wbuffer) == 48);
const _: () = assert!(offset_of!(SocketInfo, name) == 58);
const _: () = assert!(offset_of!(SocketInfo, next) == 192);

/// Turns snapshots into a C list, the last one first.
pub(super) fn info_list(list: Vec<Snapshot>) -> *mut SocketInfo {
    list.into_iter().fold(ptr::null_mut(), |next, socket| {
        let mut node = empty_info(next);
        node.id = socket.id.0;
        node.r#type = match socket.kind {
            Type::Listen => SOCKET_INFO_LISTEN,
            Type::Tcp => SOCKET_INFO_TCP,
            Type::Udp => SOCKET_INFO_UDP,
            Type::Bind => SOCKET_INFO_BIND,
            Type::Closing => SOCKET_INFO_CLOSING,
        };
        node.opaque = socket.owner as u64;
        node.read = socket.stat.read;
        node.write = socket.stat.write;
        node.rtime = socket.stat.read_time;
        node.wtime = socket.stat.write_time;
        node.wbuffer = socket.pending as i64;
        node.reading = socket.reading.into();
        node.writing = socket.writing.into();
        let room = node.name.len() - 1;
        for (to, from) in node.name.iter_mut().zip(socket.name.bytes().take(room)) {
            *to = from as c_char;
        }
        Block::of_value(node).into_raw().cast()
    })
}

fn empty_info(next: *mut SocketInfo) -> SocketInfo {
    SocketInfo {
        id: 0,
        r#type: SOCKET_INFO_UNKNOWN,
        opaque: 0,
        read: 0,
        write: 0,
        rtime: 0,
        wtime: 0,
        wbuffer: 0,
        reading: 0,
        writing: 0,
        name: [0; 128],
        next,
    }
}

/// A new zeroed node in front of `last`, which may be NULL.
///
/// # Safety
/// `last` is NULL or a list that is not used by itself any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn socket_info_create(last: *mut SocketInfo) -> *mut SocketInfo {
    Block::of_value(empty_info(last)).into_raw().cast()
}

/// Frees a whole list. NULL is an empty list.
///
/// # Safety
/// `si` is NULL or a list from `skynet_socket_info` or `socket_info_create`, not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn socket_info_release(si: *mut SocketInfo) {
    let mut node = si;
    while !node.is_null() {
        // SAFETY: a node of a list that is ours now: malloc'ed, and freed here only.
        unsafe {
            let next = (*node).next;
            drop(Block::from_raw(node.cast()));
            node = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::event::SocketId;
    use std::ffi::CStr;

    #[test]
    fn lists_of_snapshots_are_linked_last_first() {
        let snapshot = |id, name: &str| Snapshot {
            id: SocketId(id),
            kind: Type::Tcp,
            owner: 5,
            stat: Default::default(),
            pending: 9,
            reading: true,
            writing: false,
            name: name.into(),
        };
        let list = info_list(vec![snapshot(1, "a:1"), snapshot(2, &"b".repeat(200))]);
        // SAFETY: the list was just made.
        unsafe {
            let first = &*list;
            assert_eq!(
                (first.id, first.r#type, first.opaque),
                (2, SOCKET_INFO_TCP, 5)
            );
            assert_eq!((first.wbuffer, first.reading, first.writing), (9, 1, 0));
            assert_eq!(CStr::from_ptr(first.name.as_ptr()).count_bytes(), 127);
            let second = &*first.next;
            assert_eq!(
                (second.id, CStr::from_ptr(second.name.as_ptr())),
                (1, c"a:1")
            );
            assert!(second.next.is_null());

            let front = socket_info_create(list);
            assert_eq!(((*front).id, (*front).next), (0, list));
            socket_info_release(front);
            socket_info_release(ptr::null_mut());
        }
    }
}
