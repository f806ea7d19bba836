//! The workloads: a C service or a Lua service in `workload/`, its settings, and what it measures.

use std::fmt::Write;

use crate::load::Load;

/// What a workload is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `workload/PROGRAM.c` is the first service; no Lua runs.
    C,
    /// `workload/PROGRAM.lua` is what the usual bootstrap starts.
    Lua,
}

/// Who measures.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Measured {
    /// The workload itself; it prints its results and ends the node.
    Inside,
    /// The driver watches the process for a while, from the line READY on, and then kills it.
    Watched,
    /// The driver takes the time of the start, up to the line STOPPING, and of the stop.
    StartStop,
    /// Clients put it under load, from the line READY on, for `count` milliseconds; then it is killed.
    Loaded(Load),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Better {
    Higher,
    Lower,
}

pub struct Measure {
    /// As in the line `RESULT name value unit`.
    pub name: &'static str,
    pub unit: &'static str,
    pub better: Better,
}

pub struct Workload {
    pub name: &'static str,
    pub about: &'static str,
    pub kind: Kind,
    pub measured: Measured,
    /// The file in `workload/`, without its ending.
    pub program: &'static str,
    /// Keys of the config file.
    pub settings: &'static [(&'static str, u32)],
    /// The setting `count`, which the scale changes, and the least it can be.
    pub count: (u32, u32),
    pub measures: &'static [Measure],
    /// Whether it keeps the workers busy, so that it shows what accounting costs.
    pub rate: bool,
    /// The number of workers, when it belongs to the workload.
    pub threads: Option<u32>,
}

impl Workload {
    pub fn count(&self, scale: f64) -> u32 {
        let (full, least) = self.count;
        // A float becomes the nearest integer there is; counts are small enough.
        ((f64::from(full) * scale).round() as u32).max(least)
    }
}

const fn higher(name: &'static str, unit: &'static str) -> Measure {
    Measure {
        name,
        unit,
        better: Better::Higher,
    }
}

const fn lower(name: &'static str, unit: &'static str) -> Measure {
    Measure {
        name,
        unit,
        better: Better::Lower,
    }
}

/// What most workloads have in common.
const BUSY: Workload = Workload {
    name: "",
    about: "",
    kind: Kind::Lua,
    measured: Measured::Inside,
    program: "",
    settings: &[],
    count: (1, 1),
    measures: &[],
    rate: true,
    threads: None,
};

/// What clients that wait for answers see, and what an answer costs the node.
const ANSWERS: &[Measure] = &[
    higher("rate", "req/s"),
    lower("p50", "us"),
    lower("p99", "us"),
    lower("p999", "us"),
    lower("cpu", "us"),
];

/// An echo over TCP.
const fn echo(
    name: &'static str,
    about: &'static str,
    kind: Kind,
    connections: usize,
    size: usize,
) -> Workload {
    Workload {
        name,
        about,
        kind,
        measured: Measured::Loaded(Load::Echo {
            connections,
            size,
            framed: false,
        }),
        program: "echo",
        count: (3000, 100),
        measures: ANSWERS,
        rate: false,
        ..BUSY
    }
}

pub const WORKLOADS: &[Workload] = &[
    Workload {
        name: "c-ping-pong",
        about: "two C services, one message in flight",
        kind: Kind::C,
        program: "pingpong",
        settings: &[("pairs", 1), ("inflight", 1)],
        count: (1_000_000, 100),
        measures: &[higher("rate", "msg/s")],
        ..BUSY
    },
    Workload {
        name: "c-ping-pong-4x32",
        about: "4 pairs of C services, 32 messages in flight in each",
        kind: Kind::C,
        program: "pingpong",
        settings: &[("pairs", 4), ("inflight", 32)],
        count: (1_000_000, 1000),
        measures: &[higher("rate", "msg/s")],
        ..BUSY
    },
    Workload {
        name: "c-one-way",
        about: "one C callback sends 1 M copies of 16 bytes to another service, until handled",
        kind: Kind::C,
        program: "oneway",
        count: (1_000_000, 1000),
        measures: &[higher("rate", "msg/s")],
        ..BUSY
    },
    Workload {
        name: "lua-call",
        about: "300 k calls, one after the other",
        program: "call",
        count: (300_000, 100),
        measures: &[higher("rate", "calls/s")],
        ..BUSY
    },
    Workload {
        name: "lua-send",
        about: "1 M sends without a pause, until handled",
        program: "send",
        count: (1_000_000, 1000),
        measures: &[higher("rate", "msg/s")],
        ..BUSY
    },
    Workload {
        name: "lua-64x64",
        about: "64 callers, 64 callees, each caller 2,000 calls round robin",
        program: "matrix",
        settings: &[("callers", 64), ("callees", 64)],
        count: (2000, 5),
        measures: &[higher("rate", "calls/s")],
        ..BUSY
    },
    Workload {
        name: "lua-ring",
        about: "1,000 services, 64 tokens, 1 M hops",
        program: "ring",
        settings: &[("services", 1000), ("tokens", 64)],
        count: (1_000_000, 1000),
        measures: &[higher("rate", "hops/s")],
        ..BUSY
    },
    Workload {
        name: "wake",
        about: "from a send to the begin of the receiver, while the sender works on for 60 ms",
        kind: Kind::C,
        program: "wake",
        count: (400, 5),
        measures: &[lower("p50", "us"), lower("p99", "us")],
        rate: false,
        ..BUSY
    },
    Workload {
        name: "fork-join",
        about: "4 jobs of about 0.3 ms called at once, 300 rounds: median round, in jobs run alone",
        program: "forkjoin",
        settings: &[("jobs", 4)],
        count: (300, 5),
        measures: &[lower("round", "jobs")],
        rate: false,
        ..BUSY
    },
    Workload {
        name: "spawn",
        about: "2,000 Lua services are started and end",
        program: "spawn",
        count: (2000, 5),
        measures: &[higher("rate", "services/s")],
        ..BUSY
    },
    Workload {
        name: "launch",
        about: "2,000 Lua services that do nothing: memory of each; CPU time of a launch and an end the second time",
        program: "launch",
        count: (2000, 100),
        measures: &[
            lower("rss", "KiB"),
            lower("cpu", "us"),
            lower("end-cpu", "us"),
        ],
        rate: false,
        ..BUSY
    },
    Workload {
        name: "timers",
        about: "200,000 timeouts of 1 to 5 s: creation, lateness against the begin of the due tick",
        kind: Kind::C,
        program: "timers",
        settings: &[("unit", 10)],
        count: (200_000, 100),
        measures: &[
            higher("create", "/s"),
            lower("late-p50", "us"),
            lower("late-p99", "us"),
        ],
        rate: false,
        ..BUSY
    },
    Workload {
        name: "timers-ms",
        about: "the same with timeouts of milliseconds, an addition of ours: lateness",
        kind: Kind::C,
        program: "timers",
        settings: &[("unit", 1)],
        count: (200_000, 100),
        measures: &[
            higher("create", "/s"),
            lower("late-p50", "us"),
            lower("late-p99", "us"),
        ],
        rate: false,
        ..BUSY
    },
    Workload {
        name: "set-cancel",
        about: "1 M timeouts are set and taken back, an addition of ours",
        kind: Kind::C,
        program: "setcancel",
        settings: &[("pending", 1000)],
        count: (1_000_000, 1000),
        measures: &[higher("rate", "pairs/s")],
        rate: false,
        ..BUSY
    },
    Workload {
        name: "lua-set-cancel",
        about: "the same with 300 k timeouts of skynet.timeout_ms",
        program: "cancel",
        settings: &[("pending", 1000)],
        count: (300_000, 1000),
        measures: &[higher("rate", "pairs/s")],
        rate: false,
        ..BUSY
    },
    echo(
        "echo-c-50x64",
        "TCP echo of a C service, 50 connections, 64 bytes",
        Kind::C,
        50,
        64,
    ),
    echo(
        "echo-c-200x64",
        "the same, 200 connections",
        Kind::C,
        200,
        64,
    ),
    echo(
        "echo-c-50x4k",
        "the same, 50 connections, 4,096 bytes",
        Kind::C,
        50,
        4096,
    ),
    echo(
        "echo-c-200x4k",
        "the same, 200 connections, 4,096 bytes",
        Kind::C,
        200,
        4096,
    ),
    echo(
        "echo-lua-50x64",
        "TCP echo with skynet.socket, 50 connections, 64 bytes",
        Kind::Lua,
        50,
        64,
    ),
    echo(
        "echo-lua-200x64",
        "the same, 200 connections",
        Kind::Lua,
        200,
        64,
    ),
    echo(
        "echo-lua-50x4k",
        "the same, 50 connections, 4,096 bytes",
        Kind::Lua,
        50,
        4096,
    ),
    echo(
        "echo-lua-200x4k",
        "the same, 200 connections, 4,096 bytes",
        Kind::Lua,
        200,
        4096,
    ),
    Workload {
        measured: Measured::Loaded(Load::EchoBesideSlow {
            connections: 200,
            size: 64,
        }),
        ..echo(
            "echo-c-slow",
            "echo-c-200x64 beside one client that asks and never reads",
            Kind::C,
            200,
            64,
        )
    },
    Workload {
        program: "echogate",
        measured: Measured::Loaded(Load::Echo {
            connections: 200,
            size: 64,
            framed: true,
        }),
        ..echo(
            "echo-gate-200x64",
            "echo of an agent behind the gate service, 200 connections, 64 bytes",
            Kind::Lua,
            200,
            64,
        )
    },
    Workload {
        name: "broadcast",
        about: "a C service sends 64 bytes to each of 1,000 connections, and again when all have them",
        kind: Kind::C,
        measured: Measured::Loaded(Load::Broadcast {
            connections: 1000,
            size: 64,
        }),
        program: "broadcast",
        count: (3000, 100),
        measures: &[
            higher("rate", "msg/s"),
            lower("p50", "us"),
            lower("p99", "us"),
            lower("cpu", "us"),
        ],
        rate: false,
        ..BUSY
    },
    Workload {
        name: "accept",
        about: "clients connect to the C echo, get one byte back and hang up, 32 at a time",
        kind: Kind::C,
        measured: Measured::Loaded(Load::Accept { parallel: 32 }),
        program: "echo",
        count: (3000, 100),
        measures: &[
            higher("rate", "conn/s"),
            lower("p50", "us"),
            lower("p99", "us"),
            lower("cpu", "us"),
        ],
        rate: false,
        ..BUSY
    },
    Workload {
        name: "connections",
        about: "10,000 connections to the C echo that say nothing any more: memory of each",
        kind: Kind::C,
        measured: Measured::Loaded(Load::Idle {
            connections: 10_000,
        }),
        program: "echo",
        count: (3000, 100),
        measures: &[lower("memory", "B/conn")],
        rate: false,
        ..BUSY
    },
    Workload {
        name: "connections-lua",
        about: "the same with the Lua echo",
        measured: Measured::Loaded(Load::Idle {
            connections: 10_000,
        }),
        program: "echo",
        count: (3000, 100),
        measures: &[lower("memory", "B/conn")],
        rate: false,
        ..BUSY
    },
    Workload {
        measured: Measured::Loaded(Load::Udp {
            sockets: 50,
            size: 64,
        }),
        program: "udp",
        ..echo(
            "echo-udp",
            "UDP echo of a C service, 50 sockets, 64 bytes",
            Kind::C,
            50,
            64,
        )
    },
    Workload {
        name: "idle",
        about: "200 Lua services, 8 workers, nothing to do for 10 s",
        measured: Measured::Watched,
        program: "idle",
        settings: &[("services", 200)],
        count: (10, 1),
        measures: &[lower("switches", "/s"), lower("cpu", "ms/s")],
        rate: false,
        threads: Some(8),
        ..BUSY
    },
    Workload {
        name: "stop",
        about: "a node with the usual services starts, and ends at once",
        measured: Measured::StartStop,
        program: "stop",
        measures: &[lower("start", "ms"), lower("stop", "ms")],
        rate: false,
        ..BUSY
    },
];

pub fn listing() -> String {
    let mut text = String::new();
    for w in WORKLOADS {
        writeln!(text, "  {:<18} {}", w.name, w.about).expect("a String takes all");
    }
    text
}
