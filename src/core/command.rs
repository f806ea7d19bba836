//! The text commands of `skynet_command` (core.md §5).

use super::context::{self, Context};
use super::message::{Message, ptype};
use super::node::NODE;
use super::timer::Expiry;
use super::{ERROR_MARK, address, fatal, log, log_parts};
use crate::sync::atomic::Ordering;
use crate::sys::num;
use std::ffi::{CStr, CString, c_char};

/// What a command answers.
pub enum Answer {
    /// NULL
    Nothing,
    /// A text for the reply buffer of the context.
    Text(String),
    /// A string that the core keeps: a name (until its handle is retired) or a setting.
    Kept(*const c_char),
}

/// Runs a command for the service that calls it. An unknown one answers nothing.
pub fn run(ctx: &Context, command: &CStr, parm: Option<&CStr>) -> Answer {
    let text = parm.unwrap_or_default();
    match command.to_bytes() {
        b"TIMEOUT" => timeout(ctx, text),
        b"REG" => register(ctx, text),
        b"QUERY" => query(text),
        b"NAME" => name(ctx, text),
        b"EXIT" => exit(ctx, 0),
        b"KILL" => match address::parse(ctx.handle(), text) {
            0 => Answer::Nothing,
            handle => exit(ctx, handle),
        },
        b"LAUNCH" => launch(text),
        b"GETENV" => NODE
            .env
            .get(text)
            .map_or(Answer::Nothing, |value| Answer::Kept(value.as_ptr())),
        b"SETENV" => set_env(text),
        b"STARTTIME" => Answer::Text(NODE.timer.start_time().to_string()),
        b"ABORT" => {
            retire_all();
            Answer::Nothing
        }
        b"MONITOR" => monitor(ctx, text),
        b"STAT" => stat(ctx, text),
        b"LOGON" => {
            if let Some(dir) = NODE.env.get(c"logpath") {
                with_target(ctx, text, |target| target.open_log(ctx.handle(), dir));
            }
            Answer::Nothing
        }
        b"LOGOFF" => {
            with_target(ctx, text, |target| target.close_log(ctx.handle()));
            Answer::Nothing
        }
        b"SIGNAL" => {
            let number = text.to_bytes().iter().position(|byte| *byte == b' ');
            let number = number.map_or(0, |at| num::strtol(tail(text, at), 0));
            with_target(ctx, text, |target| target.signal(number as i32));
            Answer::Nothing
        }
        _ => Answer::Nothing,
    }
}

/// The text from byte `at` on.
fn tail(text: &CStr, at: usize) -> &CStr {
    CStr::from_bytes_with_nul(&text.to_bytes_with_nul()[at..]).unwrap_or_default()
}

/// Bytes of a C string are a C string again.
fn owned(bytes: &[u8]) -> CString {
    CString::new(bytes).unwrap_or_default()
}

/// Runs `f` on the service that `text` names, if it lives.
fn with_target(ctx: &Context, text: &CStr, f: impl FnOnce(&Context)) {
    let handle = address::parse(ctx.handle(), text);
    if let Some(target) = NODE.grab(handle) {
        f(&target);
    }
}

fn handle_text(handle: u32) -> Answer {
    Answer::Text(format!(":{handle:x}"))
}

fn timeout(ctx: &Context, text: &CStr) -> Answer {
    let session = ctx.new_session();
    set_timeout(ctx.handle(), num::strtol(text, 10) as i32, session);
    Answer::Text(session.to_string())
}

/// `skynet_timeout` (core.md §7.2): false when the time is up at once and the handle is dead.
pub fn set_timeout(handle: u32, ticks: i32, session: i32) -> bool {
    let expiry = Expiry { handle, session };
    match u32::try_from(ticks) {
        Ok(ticks) if ticks > 0 => {
            NODE.timer.insert(ticks, expiry);
            true
        }
        _ => expire(expiry),
    }
}

/// As [`set_timeout`], in milliseconds and never early.
pub fn set_timeout_ms(handle: u32, ms: i32, session: i32) -> bool {
    let expiry = Expiry { handle, session };
    match u32::try_from(ms) {
        Ok(ms) if ms > 0 => {
            NODE.timer.insert_ms(ms, expiry);
            true
        }
        _ => expire(expiry),
    }
}

/// Sends the message of a timeout that is due. False when nobody is there to get it.
pub fn expire(expiry: Expiry) -> bool {
    let message = Message::empty(0, expiry.session, ptype::RESPONSE);
    NODE.push(expiry.handle, message).is_ok()
}

fn register(ctx: &Context, text: &CStr) -> Answer {
    match text.to_bytes() {
        [] => handle_text(ctx.handle()),
        [b'.', ..] => set_name(ctx.handle(), tail(text, 1)),
        other => {
            let parts = [
                ERROR_MARK.as_bytes(),
                b"Can't register global name ",
                other,
                b" in C",
            ];
            log_parts(ctx.handle(), &parts);
            Answer::Nothing
        }
    }
}

fn set_name(handle: u32, name: &CStr) -> Answer {
    NODE.handles
        .set_name(handle, name)
        .map_or(Answer::Nothing, Answer::Kept)
}

fn query(text: &CStr) -> Answer {
    match text.to_bytes() {
        [b'.', ..] => address::local_name(text).map_or(Answer::Nothing, handle_text),
        _ => Answer::Nothing,
    }
}

fn name(ctx: &Context, text: &CStr) -> Answer {
    let blank = |byte: &u8| byte.is_ascii_whitespace();
    let mut words = text.to_bytes().split(blank).filter(|word| !word.is_empty());
    let (Some(name), Some(target @ [b':', ..])) = (words.next(), words.next()) else {
        return Answer::Nothing;
    };
    let handle = address::number(&owned(target));
    match (handle, name) {
        (0, _) => Answer::Nothing,
        (_, [b'.', name @ ..]) => set_name(handle, &owned(name)),
        _ => {
            let parts = [
                ERROR_MARK.as_bytes(),
                b"Can't set global name ",
                name,
                b" in C",
            ];
            log_parts(ctx.handle(), &parts);
            Answer::Nothing
        }
    }
}

/// Ends `handle`, or the caller itself for 0 (core.md §5.5, §5.6).
fn exit(ctx: &Context, handle: u32) -> Answer {
    let target = if handle == 0 {
        log(ctx.handle(), format_args!("KILL self"));
        ctx.handle()
    } else {
        log(ctx.handle(), format_args!("KILL :{handle:x}"));
        handle
    };
    let watcher = NODE.exit_monitor.load(Ordering::Relaxed);
    if watcher != 0 {
        super::send::notice(watcher, Message::empty(target, 0, ptype::CLIENT));
    }
    NODE.retire(target);
    Answer::Nothing
}

/// Retires every service, lowest slot first, until none is left. For good: services that launch others in their
/// place would keep the node alive, by being faster or by doing it in a callback that ends after the last look.
pub fn retire_all() {
    retire_all_but(0);
}

/// As [`retire_all`], but `kept` stays.
pub fn retire_all_but(kept: u32) {
    // A program may clean up before its first start, or after one that got nowhere.
    if NODE.handles.is_unused() {
        return;
    }
    NODE.ending.store(true, Ordering::SeqCst);
    loop {
        let mut handles = NODE.handles.all();
        handles.retain(|handle| *handle != kept);
        if handles.is_empty() {
            return;
        }
        for handle in handles {
            NODE.retire(handle);
        }
    }
}

fn launch(text: &CStr) -> Answer {
    let bytes = text.to_bytes();
    let end = bytes.iter().position(|byte| b" \t\r\n".contains(byte));
    let (module, parm) = match end {
        None => (owned(bytes), None),
        Some(end) => {
            let rest = &bytes[end + 1..];
            let stop = rest
                .iter()
                .position(|byte| b"\r\n".contains(byte))
                .unwrap_or(rest.len());
            (owned(&bytes[..end]), Some(owned(&rest[..stop])))
        }
    };
    match context::launch(&module, parm.as_deref()) {
        Ok((handle, _)) => Answer::Text(format!(":{handle:08X}")),
        Err(_) => Answer::Nothing,
    }
}

fn set_env(text: &CStr) -> Answer {
    let bytes = text.to_bytes();
    if let Some(end) = bytes.iter().position(|byte| *byte == b' ') {
        set_env_once(&owned(&bytes[..end]), tail(text, end + 1));
    }
    Answer::Nothing
}

/// Stores a setting; a second value for a key ends the process (core.md §2.5(3)).
pub fn set_env_once(key: &CStr, value: &CStr) {
    if !NODE.env.set(key, value) {
        fatal(format_args!("setenv: {key:?} has a value already"));
    }
}

fn monitor(ctx: &Context, text: &CStr) -> Answer {
    if text.is_empty() {
        return match NODE.exit_monitor.load(Ordering::Relaxed) {
            0 => Answer::Nothing,
            handle => handle_text(handle),
        };
    }
    NODE.exit_monitor
        .store(address::parse(ctx.handle(), text), Ordering::Relaxed);
    Answer::Nothing
}

fn stat(ctx: &Context, what: &CStr) -> Answer {
    Answer::Text(match what.to_bytes() {
        b"mqlen" => ctx.mailbox().len().to_string(),
        b"endless" => u8::from(ctx.take_endless()).to_string(),
        b"cpu" => format!("{:.6}", ctx.cpu_seconds()),
        b"time" => ctx
            .message_seconds()
            .map_or("0".to_string(), |time| format!("{time:.6}")),
        b"message" => ctx.message_count().to_string(),
        _ => String::new(),
    })
}
