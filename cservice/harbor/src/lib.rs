//! The C service `harbor`: carries messages between the nodes of a harbor network.
//!
//! Launch: `harbor <node> <slave>`. The core hands every message for another node to this service. The Lua
//! service behind the handle `slave` makes the connections and hands them over; it also learns the global
//! names. On a single node (node 0) nobody is reachable, and every request is answered with an error.
//!
//! - `payload`: a message buffer on its way between the core and us
//! - `wire`: packets between nodes
//! - `command`: the control messages
//! - `router`: where a message goes, and the state of every connection; talks to the core through a trait
//! - `service`: that trait for the real core, and the C entry points

mod command;
mod payload;
mod router;
#[cfg(not(test))]
mod service;
mod wire;
