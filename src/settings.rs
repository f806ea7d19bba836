//! The config keys that are ours, `sk_*`. Programs that embed the node give them through the environment
//! store. `docs/config.md` is their list.

use crate::core::node::NODE;
use crate::net::options::{Action, Setting};
use crate::net::resolver;
use crate::net::server::{MAX_POLLERS, SocketServer};
use std::ffi::{CStr, CString};
use std::thread;
use std::time::Duration;

/// A line for the operator: what is wrong with a setting.
type Wrong = Vec<u8>;

/// Everything they say.
pub struct Settings {
    /// `sk_endless_seconds`: how often the monitor looks at the workers.
    pub endless: Duration,
    pub stop: Option<Stop>,
    /// `sk_debug_wrap`: counters begin just below their limits.
    pub wrap: bool,
    /// `sk_poller`: threads that serve sockets.
    pub pollers: usize,
    /// `sk_resolver`: names looked up at the same time.
    resolvers: usize,
    /// `sk_backlog`: least backlog of a listener.
    backlog: i32,
    /// `sk_write_limit_total`: unsent bytes of all sockets.
    write_total: usize,
    /// What sockets begin with: `sk_nodelay`, `sk_write_limit`, `sk_write_limit_action`,
    /// `sk_idle_seconds`, `sk_keepalive`, `sk_connect_seconds`.
    sockets: Vec<Setting>,
}

/// What SIGTERM and SIGINT do when they are not to end the process at once.
pub struct Stop {
    /// `sk_stop`: name of the service that is told.
    pub service: CString,
    /// `sk_stop_grace`: how long it has to end the node.
    pub grace: Duration,
}

impl Settings {
    pub fn from_env() -> Result<Settings, Wrong> {
        let grace = seconds(c"sk_stop_grace")?.unwrap_or(Duration::from_secs(10));
        let stop = NODE.env.get(c"sk_stop").map(|name| Stop {
            service: name.to_owned(),
            grace,
        });
        let number =
            |key, most| setting(key, &format!("[1,{most}]"), |text| in_range(text, 1, most));
        Ok(Settings {
            endless: seconds(c"sk_endless_seconds")?.unwrap_or(Duration::from_secs(5)),
            stop,
            wrap: NODE.env.get(c"sk_debug_wrap") == Some(c"true"),
            pollers: pollers()?,
            resolvers: number(c"sk_resolver", 1024)?
                .map_or(resolver::DEFAULT_LIMIT, |n| n as usize),
            backlog: number(c"sk_backlog", 65_535)?.map_or(0, |n| n as i32),
            write_total: bytes(c"sk_write_limit_total")?.unwrap_or(0),
            sockets: sockets()?,
        })
    }

    /// Tells the engine what is for it.
    pub fn set_up(&self, engine: &SocketServer) {
        engine.resolver.set_limit(self.resolvers);
        engine.limits.set_backlog(self.backlog);
        engine.limits.set_total(self.write_total);
        for setting in &self.sockets {
            engine.set_default(*setting);
        }
    }
}

/// One poller serves about a hundred thousand small requests a second; more are of use beside many workers only.
fn pollers() -> Result<usize, Wrong> {
    let by_cores =
        || thread::available_parallelism().map_or(1, |cores| (cores.get() / 4).clamp(1, 8));
    let range = format!("auto or in [1,{MAX_POLLERS}]");
    let chosen = setting(c"sk_poller", &range, |text| match text {
        "auto" => Some(by_cores()),
        text => in_range(text, 1, MAX_POLLERS as u64).map(|n| n as usize),
    })?;
    Ok(chosen.unwrap_or_else(by_cores))
}

fn sockets() -> Result<Vec<Setting>, Wrong> {
    let mut list = Vec::new();
    list.extend(
        setting(c"sk_nodelay", "true or false", |text| text.parse().ok())?.map(Setting::NoDelay),
    );
    list.extend(bytes(c"sk_write_limit")?.map(Setting::WriteLimit));
    let action = setting(
        c"sk_write_limit_action",
        "warn, pause or close",
        |text| match text {
            "warn" => Some(Action::Warn),
            "pause" => Some(Action::Pause),
            "close" => Some(Action::Close),
            _ => None,
        },
    )?;
    list.extend(action.map(Setting::WriteAction));
    list.extend(seconds(c"sk_idle_seconds")?.map(|time| Setting::Idle(Some(time))));
    list.extend(seconds(c"sk_connect_seconds")?.map(|time| Setting::Connect(Some(time))));
    let probes = setting(c"sk_keepalive", "idle,interval,count", |text| {
        let parts: Option<Vec<u32>> = text
            .split(',')
            .map(|part| in_range(part.trim(), 1, 32_767).map(|n| n as u32))
            .collect();
        <[u32; 3]>::try_from(parts?).ok()
    })?;
    if let Some([idle, interval, count]) = probes {
        list.extend([
            Setting::KeepAliveIdle(idle),
            Setting::KeepAliveInterval(interval),
            Setting::KeepAliveCount(count),
        ]);
    }
    Ok(list)
}

/// Reads a setting; `should` says what it can be.
fn setting<T>(
    key: &CStr,
    should: &str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, Wrong> {
    let Some(text) = NODE.env.get(key) else {
        return Ok(None);
    };
    match text.to_str().ok().and_then(read) {
        Some(value) => Ok(Some(value)),
        None => {
            let parts = [b"Invalid ", key.to_bytes(), b" ", text.to_bytes()].concat();
            let be = if should.starts_with('[') {
                "be in "
            } else {
                "be "
            };
            Err([&parts, &b" , should "[..], be.as_bytes(), should.as_bytes()].concat())
        }
    }
}

fn in_range(text: &str, least: u64, most: u64) -> Option<u64> {
    text.parse()
        .ok()
        .filter(|value| (least..=most).contains(value))
}

/// A setting in whole seconds, from one to a day.
fn seconds(key: &CStr) -> Result<Option<Duration>, Wrong> {
    setting(key, "[1,86400]", |text| {
        in_range(text, 1, 86_400).map(Duration::from_secs)
    })
}

/// A setting in bytes, with K, M or G for powers of 1,024.
fn bytes(key: &CStr) -> Result<Option<usize>, Wrong> {
    setting(
        key,
        "a number of bytes above 0, like 65536, 64K, 1M or 2G",
        read_bytes,
    )
}

fn read_bytes(text: &str) -> Option<usize> {
    let (digits, shift) = match text.as_bytes().last()? {
        b'K' | b'k' => (&text[..text.len() - 1], 10),
        b'M' | b'm' => (&text[..text.len() - 1], 20),
        b'G' | b'g' => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let value: usize = digits.parse().ok()?;
    value.checked_mul(1 << shift).filter(|value| *value > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_suffixes() {
        assert_eq!(read_bytes("65536"), Some(65_536));
        assert_eq!(read_bytes("64K"), Some(65_536));
        assert_eq!(read_bytes("1m"), Some(1 << 20));
        assert_eq!(read_bytes("2G"), Some(2 << 30));
        for text in ["", "K", "0", "-1", "1.5M", "1T", "99999999999999999999"] {
            assert_eq!(read_bytes(text), None, "{text}");
        }
    }
}
