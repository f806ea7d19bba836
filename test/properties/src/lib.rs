//! What must hold for every input of the parts that take apart what strangers send: gate commands and
//! streams, netpack frames, receive buffers, encoded UDP addresses.
//!
//! Each property is a function of arbitrary bytes that panics when it does not hold; most compare with a
//! simple model. The fuzz targets of `fuzz/` call them with inputs that cover more and more of the code, the
//! tests here with some thousand that are the same in every run.
//!
//! The sources are those of the modules, which have other entry points and cannot be linked with.

#[path = "../../../cservice/gate/src/command.rs"]
mod command;
#[path = "../../../luaclib/skynet/src/frames.rs"]
mod frames;
#[path = "../../../cservice/gate/src/framing.rs"]
mod framing;
mod input;
#[path = "../../../cservice/gate/src/param.rs"]
mod param;
#[path = "../../../luaclib/skynet/src/recvbuf.rs"]
mod recvbuf;
#[path = "../../../cservice/gate/src/scan.rs"]
mod scan;
#[path = "../../../src/net/udp.rs"]
mod udp;

mod buffers;
mod gate;
mod netpack;
#[cfg(test)]
mod tests;
mod udp_address;

pub use buffers::receive_buffer;
pub use gate::{gate_command, gate_framing};
pub use netpack::netpack_framing;
pub use udp_address::udp_address;

/// A property.
pub type Property = fn(&[u8]);

/// All of them, by the names of the fuzz targets.
pub const ALL: &[(&str, Property)] = &[
    ("gate_command", gate_command),
    ("gate_framing", gate_framing),
    ("netpack_framing", netpack_framing),
    ("receive_buffer", receive_buffer),
    ("udp_address", udp_address),
];
