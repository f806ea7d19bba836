//! Sending: by handle, by name, to this node or another (core.md §4.8–§4.10).

use super::context::Context;
use super::harbor::{Destination, NAME_LENGTH};
use super::message::Message;
use super::node::NODE;
use super::{ERROR_MARK, address, log, log_parts};
use crate::sys::block::Block;
use std::ffi::CStr;

/// The session argument of a send.
#[derive(Clone, Copy)]
pub enum Session {
    /// This one; 0 when no answer is wanted.
    Given(i32),
    /// A fresh one of the sending context.
    New,
}

/// Why a message was not sent. Its data is freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// Longer than a message can be.
    TooLarge,
    /// No such service.
    NoDestination,
}

/// What is to be sent.
pub struct Letter {
    /// Sender; 0 stands for the sending context.
    pub source: u32,
    pub kind: u8,
    pub session: Session,
    pub data: Block,
    /// Length of the payload in bytes, at most [`super::message::MAX_LEN`].
    pub len: usize,
}

impl Letter {
    /// Settles session and source. A context may only be missing when neither asks for it.
    #[inline(always)]
    fn seal(&mut self, ctx: Option<&Context>) -> i32 {
        if self.source == 0 {
            self.source = ctx.map_or(0, Context::handle);
        }
        match self.session {
            Session::Given(session) => session,
            Session::New => {
                let Some(ctx) = ctx else {
                    super::fatal(format_args!("a send without context asked for a session"))
                };
                let session = ctx.new_session();
                self.session = Session::Given(session);
                session
            }
        }
    }
}

/// Sends to a handle; the answer is the session.
///
/// All that a local send goes through is inlined here: a message that is passed on through memory in parts and
/// read as a whole stalls the processor at every step, which took a third of the time.
#[inline(always)]
pub fn send(ctx: Option<&Context>, destination: u32, mut letter: Letter) -> Result<i32, SendError> {
    let session = letter.seal(ctx);
    if destination == 0 {
        // Without data this is the idiom that draws a session (core.md §4.8(6)).
        if letter.data.is_null() {
            return Ok(session);
        }
        let text = format_args!("{ERROR_MARK}Destination address can't be 0");
        log(ctx.map_or(0, Context::handle), text);
        return Err(SendError::NoDestination);
    }
    let Letter {
        source,
        kind,
        data,
        len,
        ..
    } = letter;
    if NODE.harbor.is_remote(destination) {
        NODE.harbor.send(
            Destination::Handle(destination),
            source,
            kind,
            session,
            data,
            len,
        );
        return Ok(session);
    }
    match NODE.push_inlined(destination, Message::new(source, session, kind, data, len)) {
        Ok(()) => Ok(session),
        Err(_) => Err(SendError::NoDestination),
    }
}

/// Where an address text leads (core.md §4.9).
pub enum Target<'a> {
    /// `:hex`, or a `.name` that somebody has.
    Handle(u32),
    /// A `.name` that nobody has.
    Nobody,
    /// Anything else: a global name.
    Global(&'a CStr),
}

/// Reads an address text.
pub fn target(text: &CStr) -> Target<'_> {
    match text.to_bytes() {
        [b':', ..] => Target::Handle(address::number(text)),
        [b'.', ..] => address::local_name(text).map_or(Target::Nobody, Target::Handle),
        _ => Target::Global(text),
    }
}

/// Sends to a global name, through the harbor service; the answer is the session.
pub fn send_global(ctx: Option<&Context>, name: &CStr, mut letter: Letter) -> i32 {
    let session = letter.seal(ctx);
    let name = name.to_bytes();
    let mut padded = [0; NAME_LENGTH];
    let length = name.len().min(NAME_LENGTH);
    padded[..length].copy_from_slice(&name[..length]);
    let Letter {
        source,
        kind,
        data,
        len,
        ..
    } = letter;
    NODE.harbor
        .send(Destination::Name(padded), source, kind, session, data, len);
    session
}

/// A notice without data from the core to whatever node `destination` is on; dropped when nobody is there to
/// take it.
pub fn notice(destination: u32, message: Message) {
    if !NODE.harbor.is_remote(destination) {
        let _ = NODE.push(destination, message);
    } else if NODE.harbor.is_running() {
        let (source, session, kind) = (message.source, message.session, message.kind());
        let to = Destination::Handle(destination);
        NODE.harbor.send(to, source, kind, session, message.data, 0);
    }
}

/// The log line for a message that is too large; `to` is the destination as the caller wrote it.
pub fn log_too_large(ctx: Option<&Context>, to: &[u8]) {
    let parts = [
        ERROR_MARK.as_bytes(),
        b"The message to ",
        to,
        b" is too large",
    ];
    log_parts(ctx.map_or(0, Context::handle), &parts);
}
