//! The cases of `compat`: which of upstream's tests and examples are run, when a run is complete, and
//! in how far the order of its output is free.

use regex::Regex;

use super::drive;
use super::seen::{Raw, Seen};
use crate::common::{Node, Stage, Tree};

/// The ports that upstream's tests and examples name; each run gets others in their place.
pub const PORTS: &[u16] = &[
    8000, 8001, 8888, 9948, 2013, 2526, 2527, 2528, 2529, 8765, 8766,
];

/// Where services are looked for, as in upstream's example configuration.
pub const CONFIG: &str = r#"
luaservice = "./service/?.lua;./test/?.lua;./examples/?.lua;./test/?/init.lua"
snax = "./examples/?.lua;./test/?.lua"
"#;

/// Makes a line that is printed one write, so that two services that print at the same time cannot mix
/// their lines.
pub const PRINT: &str = r#"
local tostring, pack, concat = tostring, table.pack, table.concat
function print(...)
	local words = pack(...)
	for i = 1, words.n do
		words[i] = tostring(words[i])
	end
	io.stdout:write(concat(words, "\t", 1, words.n) .. "\n"):flush()
end
"#;

/// In how far the order of lines matters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Exact,
    /// Exact for the lines of one service, free between services. For logs.
    PerService,
    /// The same lines in any order.
    Any,
}

/// A pattern and its replacement.
type Rule = (&'static str, &'static str);

pub struct Case {
    pub name: &'static str,
    /// The service that the configuration starts.
    pub start: &'static str,
    /// More settings.
    pub config: fn(&Stage) -> String,
    /// Lua services of ours that start upstream's.
    pub files: &'static [(&'static str, &'static str)],
    /// Acts as a client; what it returns is compared too.
    pub drive: fn(&mut Node, &Stage, &Tree) -> Result<Vec<String>, String>,
    /// The run is complete when so many lines match.
    pub until: &'static [(&'static str, usize)],
    /// Whether the process ends by itself.
    pub ends: bool,
    /// Seconds that all this may take.
    pub limit: u64,
    /// Milliseconds in which surplus lines are waited for.
    pub settle: u64,
    pub log: Order,
    pub out: Order,
    /// What is replaced in a line before the comparison.
    pub masks: &'static [Rule],
    /// Looks at the values that are masked for the comparison.
    pub check: fn(&Raw) -> Result<(), String>,
    /// Last change of what is compared.
    pub tidy: fn(&mut Seen),
    /// Its lines have sessions or socket ids in them, so it asks for counters that begin at their base.
    pub absolute: bool,
    /// What a tree must have for this case: `skynet.so:stm` is a module inside the big one.
    pub needs: &'static [&'static str],
}

impl Case {
    /// The first of its needs that the tree does not have.
    pub fn missing(&self, tree: &Tree) -> Option<&'static str> {
        self.needs.iter().copied().find(|need| !has(tree, need))
    }
}

fn has(tree: &Tree, need: &str) -> bool {
    let module = need
        .strip_prefix("skynet.so:")
        .expect("a need is a module in the big one");
    let image = std::fs::read(tree.luaclib.join("skynet.so")).unwrap_or_default();
    contains(&image, format!("luaopen_skynet_{module}").as_bytes())
}

fn contains(image: &[u8], text: &[u8]) -> bool {
    image.windows(text.len()).any(|w| w == text)
}

const DEFAULT: Case = Case {
    name: "",
    start: "",
    config: |_| String::new(),
    files: &[],
    drive: |_, _, _| Ok(Vec::new()),
    until: &[],
    ends: false,
    limit: 40,
    settle: 300,
    log: Order::PerService,
    out: Order::Exact,
    masks: &[],
    check: |_| Ok(()),
    tidy: |_| (),
    absolute: false,
    needs: &[],
};

/// The setting that asks for it.
pub const AT_BASE: &str = "sk_debug_wrap = nil\n";

/// A node with a console and a service to look at: `:00000009` and `:0000000a`.
const CONSOLE: &[(&str, &str)] = &[
    (
        "console_main.lua",
        r#"
local skynet = require "skynet"
skynet.start(function()
	skynet.newservice("debug_console", skynet.getenv "console")
	skynet.newservice "target"
	skynet.timeout(10, function() skynet.error "console is up" end)
end)
"#,
    ),
    (
        "target.lua",
        r#"
local skynet = require "skynet"
skynet.info_func(function(...)
	return { n = select('#', ...), z = "zz" }
end)
skynet.start(function()
	skynet.dispatch("lua", function(_, _, _, ...)
		skynet.retpack(...)
	end)
	skynet.fork(function()
		skynet.call(skynet.self(), "debug", "LINK")
	end)
end)
"#,
    ),
];

/// Figures that the console shows and that differ from run to run.
const FIGURES: &[Rule] = &[
    (r"cpu:[\d.e-]+", "cpu:N"),
    (r"message:\d+", "message:N"),
    (r"[\d.]+ Kb", "N Kb"),
    (r"cost [\d.]+ sec", "cost N sec"),
    (r"[\d.]+K", "NK"),
    (r"[rw]time:[\d.:ms]+", "time:N"),
];

/// `<TRACE tag> nanoseconds event : positions`: clock and positions differ.
const TRACE_CLOCK: Rule = (r"(<TRACE \S+>) \d+ ", "$1 T ");
const TRACE_STACK: Rule = (r"(?: @\S+:\d+)+$", " @*");

/// An error that is passed on gets the position of each function on its way in front; the last one is
/// where it was raised. Upstream colours the text.
const PASSED_ON: Rule = (
    r"(error : \S*?m)?(?:\.?/?(?:lualib|service)/\S+:\d+: )+",
    "$1",
);

/// The last number of a line is a clock value.
const CLOCK: Rule = (r"([\t ])\d+$", "${1}T");

/// Slack of clock values in centiseconds: machines that run tests are busy.
const SLACK: i64 = 150;

/// Checks the times in the lines that match `pattern` (its first group): the next is so many
/// centiseconds after the one before, a tick early at most.
fn steps(lines: &[String], pattern: &str, want: &[i64]) -> Result<(), String> {
    let regex = Regex::new(pattern).expect("a valid pattern");
    let times: Vec<i64> = lines
        .iter()
        .filter_map(|l| regex.captures(l))
        .map(|c| c[1].parse().expect("a number"))
        .collect();
    let got: Vec<i64> = times.windows(2).map(|w| w[1] - w[0]).collect();
    let fits = |(got, want): (&i64, &i64)| *got >= want - 1 && *got <= want + SLACK;
    if got.len() == want.len() && got.iter().zip(want).all(fits) {
        return Ok(());
    }
    Err(format!(
        "times of /{pattern}/: steps {got:?}, want about {want:?}"
    ))
}

/// Upstream's tests, all started by the service of the same name.
fn tests() -> Vec<Case> {
    vec![
        Case {
            name: "testbson",
            until: &[(r"^o\.hello\tnumber\t1", 1)],
            // The order of keys is the hash table's.
            out: Order::Any,

            ..DEFAULT
        },
        Case {
            name: "testcoroutine",
            until: &[(r"\[:00000008\] KILL self", 1)],
            masks: &[(r"time:\t[\d.e-]+$", "time:\tT")],

            ..DEFAULT
        },
        Case {
            name: "testcrypt",
            until: &[(r"\[:00000008\] KILL self", 1)],
            ..DEFAULT
        },
        Case {
            name: "testdatacenter",
            until: &[("1>\tbingo", 1)],
            ..DEFAULT
        },
        Case {
            name: "testdatasheet",
            until: &[(r"^\[3\]\t", 3)],
            out: Order::Any,
            needs: &["skynet.so:datasheet_core"],
            ..DEFAULT
        },
        Case {
            name: "testdeadcall",
            absolute: true,
            until: &[(r"^return\tfalse", 1)],
            out: Order::Any,
            ..DEFAULT
        },
        Case {
            name: "testdeadloop",
            start: "beside_deadloop",
            files: &[(
                "beside_deadloop.lua",
                r#"
local skynet = require "skynet"
skynet.start(function()
	skynet.newservice("testdeadloop")
	for i = 1, 10 do
		skynet.sleep(10)
		skynet.error("alive", i)
	end
end)
"#,
            )],
            until: &[("alive 10", 1)],
            ..DEFAULT
        },
        Case {
            name: "testecho",
            until: &[("qps", 2)],
            masks: &[(r"^qps = \t[\d.]+$", "qps")],
            ..DEFAULT
        },
        Case {
            name: "testendless",
            // A pair costs seconds of CPU.
            until: &[("Cost time", 1)],
            settle: 0,
            limit: 90,
            masks: &[(r"time = \t[\d.]+$", "time = \tT")],
            check: |raw| {
                let cost = raw.out[1]
                    .rsplit('\t')
                    .next()
                    .and_then(|t| t.parse::<f64>().ok());
                match cost {
                    Some(cost) if cost > 0.0 => Ok(()),
                    other => Err(format!("CPU time of a long loop: {other:?}")),
                }
            },
            tidy: |seen| {
                // Whether the monitor came by is chance; so is what follows the first pair.
                seen.out.truncate(2);
                seen.out[0] = seen.out[0].replace("Endless = \t1", "Endless = \t0");
                seen.log.retain(|(_, text)| !text.contains("endless loop"));
            },
            ..DEFAULT
        },
        Case {
            name: "testmemlimit",
            until: &[(r"\[:00000008\] KILL self", 1)],
            // How much fits under the limit is chance (lualib: "or").
            masks: &[(r"^(?:12355 nil|\d+ not enough memory)$", "limit")],
            ..DEFAULT
        },
        Case {
            name: "testmulticast",
            until: &[("<===", 10)],
            out: Order::Any,
            needs: &["skynet.so:multicast_core"],
            ..DEFAULT
        },
        Case {
            name: "testoverload",
            // The order of that one line and the others of its service.
            log: Order::Any,
            until: &[("for loop begin", 1)],
            masks: &[(r"queue length = \d+$", "queue length = N")],
            // How often depends on how fast the receiver is; once at least is certain.
            tidy: |seen| {
                let mut first = true;
                seen.log
                    .retain(|(_, text)| match text.contains("May overload") {
                        true => std::mem::take(&mut first),
                        false => text != "for loop end",
                    });
            },
            ..DEFAULT
        },
        Case {
            name: "testping",
            absolute: true,
            until: &[(r"KILL self", 3)],
            out: Order::Any,
            masks: &[
                TRACE_CLOCK,
                TRACE_STACK,
                (r"time:[\d.]+", "time:T"),
                PASSED_ON,
            ],
            ..DEFAULT
        },
        Case {
            name: "testqueue",
            until: &[("^20\thello", 1)],
            out: Order::Any,
            ..DEFAULT
        },
        Case {
            name: "testresponse",
            until: &[("end\t", 5)],
            // Five answers come together; what follows the waits is in any order.
            out: Order::Any,
            masks: &[CLOCK],
            check: |raw| {
                steps(&raw.out, r"call\t(\d+)", &[10; 4])?;
                steps(&raw.out, r"response\t(\d+)", &[0; 4])
            },
            ..DEFAULT
        },
        Case {
            name: "testselect",
            until: &[(r"0000000[89]\] KILL self", 2)],
            masks: &[
                PASSED_ON,
                // Waiting for the fifth token costs a session.
                (r"(lua call \[8 to :9 : )\d+ ", "${1}N "),
            ],
            tidy: |seen| {
                // A fifth token is possible; sleeps that end a moment apart may change places.
                seen.log.retain(|(_, text)| text != "RESP SLEEP 5 token<5>");
                let is_answer = |entry: &(u32, String)| entry.1.starts_with("RESP SLEEP");
                let mut answers: Vec<_> = seen.log.extract_if(.., |e| is_answer(e)).collect();
                answers.sort();
                seen.log.extend(answers);
            },
            ..DEFAULT
        },
        Case {
            name: "testservice",
            until: &[(r"^db10\t19\t20", 1)],

            ..DEFAULT
        },
        Case {
            name: "testsha",
            until: &[(r"\[:00000008\] KILL self", 1)],
            ..DEFAULT
        },
        Case {
            name: "testsharetable",
            until: &[(r"^test_three\t", 3)],
            out: Order::Any,
            needs: &["skynet.so:sharetable_core"],
            ..DEFAULT
        },
        Case {
            name: "testsm",
            until: &[(r"^s=\t", 3)],
            needs: &["skynet.so:stm"],
            ..DEFAULT
        },
        Case {
            name: "testsocket",
            absolute: true,
            drive: drive::echo_client,
            until: &[(r"KILL self", 2)],
            out: Order::Any,
            ..DEFAULT
        },
        Case {
            name: "teststm",
            until: &[(r"0000000[89]\] KILL self", 2)],
            // Reader and writer are two services; the writer ends right after its last value.
            out: Order::Any,
            tidy: |seen| {
                seen.out
                    .retain(|l| l != "read:\tfalse" && !l.ends_with("hello world\t5"))
            },
            needs: &["skynet.so:stm"],
            ..DEFAULT
        },
        Case {
            name: "testterm",
            until: &[("unblock the unexisted", 1)],
            ..DEFAULT
        },
        Case {
            name: "testtimeout",
            until: &[(r"\[:00000008\] KILL self", 1)],
            masks: &[CLOCK],
            check: |raw| steps(&raw.log_of(8), r"^\d (\d+)$", &[100, 50, 100]),

            ..DEFAULT
        },
        Case {
            name: "testtimer",
            absolute: true,
            until: &[(r"\[:00000008\] KILL self", 1)],
            // A busy machine lets the sleeps drift past the timeout.
            out: Order::Any,
            masks: &[(r"TIMER \d+\+10", "TIMER T+10"), CLOCK],
            check: |raw| {
                steps(&raw.out, r"test sleep\t\d+\t(\d+)", &[1; 9])?;
                steps(
                    &raw.out,
                    r"^\d\t(\d+)$",
                    &[50, 50, 50, 50, 50, 100, 100, 100],
                )
            },
            // The trace of the first timer is a traceback of several lines.
            tidy: |seen| {
                seen.out
                    .retain(|l| !l.starts_with('\t') && l != "stack traceback:")
            },
            ..DEFAULT
        },
        Case {
            name: "testtobeclosed",
            absolute: true,
            until: &[("closemeta:skynet.exit", 1)],
            // One second after the start several coroutines are closed in any order.
            log: Order::Any,
            masks: &[PASSED_ON],
            ..DEFAULT
        },
        Case {
            name: "testudp",
            absolute: true,
            until: &[("client recv v6", 20), ("client v4 recv", 20)],
            out: Order::Any,
            masks: &[(r"(127\.0\.0\.1)\t\d+$", "$1\tPORT")],
            ..DEFAULT
        },
        Case {
            name: "time",
            until: &[(r"^in 100\t", 1)],
            masks: &[(r"^\d+$", "T"), CLOCK],
            check: |raw| {
                steps(&raw.out, r"^in \d\t(\d+)", &[1, 1, 1])?;
                steps(&raw.out, r"^in 100\t(\d+)", &[])?;
                steps(&raw.out, r"^(?:in 100\t)?(\d{1,4})$", &[100])
            },
            ..DEFAULT
        },
    ]
}

/// Upstream's examples.
fn examples() -> Vec<Case> {
    vec![
        Case {
            name: "abort",
            start: "abort",
            ends: true,
            // The log service is the first to go, with whatever it has not written.
            tidy: |seen| seen.log.clear(),
            ..DEFAULT
        },
        Case {
            name: "checkdeadloop",
            start: "checkdeadloop",
            until: &[(r"\[:00000008\] KILL self", 1)],
            ..DEFAULT
        },
        Case {
            name: "console",
            start: "console_main",
            files: CONSOLE,
            config: drive::console_config,
            drive: drive::console_commands,
            masks: FIGURES,
            out: Order::Any,

            ..DEFAULT
        },
        Case {
            name: "console_more",
            absolute: true,
            start: "console_main",
            files: CONSOLE,
            config: drive::console_config,
            drive: drive::console_more,
            masks: FIGURES,
            // A command of ours.
            tidy: |seen| {
                seen.driver
                    .retain(|line| !line.starts_with("memory\tmemory [n] :"))
            },
            out: Order::Any,

            // The first connection may be seen to end after the second one has begun.
            log: Order::Any,
            ..DEFAULT
        },
        Case {
            name: "preload",
            start: "testterm",
            config: |_| "preload = './examples/preload.lua'".to_owned(),
            until: &[("unblock the unexisted", 1)],
            out: Order::Any,
            ..DEFAULT
        },
        Case {
            name: "userlog",
            start: "testterm",
            config: |_| "logservice = 'snlua' logger = 'userlog'".to_owned(),
            drive: drive::hangup,
            until: &[("SIGHUP", 1)],
            masks: &[(r"\(\d+\.\d\d\): ", "(T): ")],
            out: Order::Any,
            ..DEFAULT
        },
        Case {
            name: "share",
            start: "share",
            // Tables are shown in the order of their hashes.
            log: Order::Any,
            until: &[(r"\[:00000008\] KILL self", 1)],
            // Reader and writer both act on full seconds: what the reader sees there is chance.
            masks: &[("^a = [123]$", "a = N")],
            tidy: |seen| seen.log.retain(|(_, text)| !text.starts_with("b = table")),
            needs: &["skynet.so:sharedata_core"],
            ..DEFAULT
        },
        Case {
            name: "login",
            absolute: true,
            start: "main",
            config: |_| "luaservice = './examples/login/?.lua;' .. luaservice".to_owned(),
            drive: drive::login_client,
            masks: &[(r"\b[0-9a-f]{16}\b", "SECRET")],
            out: Order::Any,

            ..DEFAULT
        },
        Case {
            name: "simpleweb",
            start: "simpleweb",
            drive: drive::web_client,
            log: Order::Any,

            ..DEFAULT
        },
        Case {
            name: "simplewebsocket",
            absolute: true,
            start: "simplewebsocket",
            until: &[("<: hello world!", 2)],
            out: Order::Any,
            masks: &[(r"(sec-websocket-key\t).*", "${1}KEY")],

            ..DEFAULT
        },
        Case {
            name: "cluster",
            absolute: true,
            start: "cluster1",
            config: |_| "cluster = './examples/clustername.lua'".to_owned(),
            drive: drive::cluster_peer,
            // A push and a call come to the first node by different ways.
            log: Order::Any,
            out: Order::Any,
            masks: &[
                TRACE_CLOCK,
                TRACE_STACK,
                // A node is called by its host and process number.
                (r"\([^()\s]+-(\w+-\d+)\)", "(NODE-$1)"),
                (r"(clustersender \w+) \S+", "$1 NODE"),
            ],
            needs: &["skynet.so:cluster_core"],
            ..DEFAULT
        },
        Case {
            name: "harborlink",
            absolute: true,
            start: "testharborlink",
            config: drive::main_config,
            drive: drive::harbor_peer,
            needs: &["skynet.so:multicast_core"],
            // The peer is killed; whether it had everything read that it was sent is chance.
            tidy: |seen| {
                seen.log
                    .retain(|(_, text)| !text.contains("Connection reset by peer"))
            },
            ..DEFAULT
        },
        Case {
            name: "multicast_between_nodes",
            absolute: true,
            start: "testmulticast",
            config: drive::main_config,
            drive: drive::multicast_peer,
            out: Order::Any,
            // On their way to the first node the messages race with the end of the channel.
            tidy: |seen| {
                seen.out.retain(|line| !line.contains("Remote message"));
                // The peer is killed.
                seen.log
                    .retain(|(_, text)| !text.contains("Connection reset by peer"));
            },
            needs: &["skynet.so:multicast_core"],
            ..DEFAULT
        },
        Case {
            name: "client_and_agent",
            absolute: true,
            start: "main",
            config: drive::main_config,
            drive: drive::example_client,
            until: &[("socket close", 1)],
            masks: &[TRACE_CLOCK, TRACE_STACK],
            out: Order::Any,
            ..DEFAULT
        },
    ]
}

pub fn all() -> Vec<Case> {
    let mut all = tests();
    for case in all.iter_mut().filter(|c| c.start.is_empty()) {
        case.start = case.name;
    }
    all.extend(examples());
    all
}
