//! Storms: everything at random for a while, and nothing lost, doubled, out of order or left behind.
//!
//! `SKYNET_STORM_SECONDS` is how long each storm takes (default 5), `SKYNET_STORM_SEED` the seed of an earlier
//! one to try again; who runs when is the machine's choice, so the same seed makes a similar storm, not the same.
//! `SKYNET_STORM_CYCLES` is how many nodes are started and aborted (default 50). `make storm` takes 60 and 1,000.

mod common;

use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{Node, Stage, Tree, tree};

/// What ends a hang. Far more than a busy machine needs for the ends of a storm.
const PATIENCE: Duration = Duration::from_secs(150);

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| {
        let number = text.parse();
        number.unwrap_or_else(|e| panic!("{name}={text}: {e}"))
    })
}

fn seconds() -> u64 {
    setting("SKYNET_STORM_SECONDS", 5)
}

/// The seed of this run.
fn seed() -> u64 {
    static SEED: LazyLock<u64> = LazyLock::new(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let new = now.map_or(1, |now| u64::from(now.subsec_nanos()) ^ now.as_secs());
        let seed = setting("SKYNET_STORM_SEED", new);
        println!("SKYNET_STORM_SEED={seed}");
        seed
    });
    *SEED
}

/// 500 services of `storm/storm.c`, which says what it checks.
fn storm(workers: u32) {
    let stage = Stage::new(&Tree::node());
    for name in ["storm", "quiet"] {
        stage.c_module(&tree::package().join(format!("test/storm/{name}.c")));
    }
    let (seconds, seed) = (seconds(), seed());
    let mut node = Node::start(
        &stage,
        &format!(
            "thread = {workers} logger = nil logservice = 'quiet'
             cpath = './cservice/?.so;./extra/?.so'
             bootstrap = 'storm lord {seconds} {seed}'"
        ),
    );
    node.expect_code(0, Duration::from_secs(seconds) + PATIENCE);
    node.expect_no_panic();
    for line in ["STORM aborts after", "STORM exit: 0"] {
        assert_eq!(node.count(line), 1, "{line}\n{}", node.report());
    }
    println!("{workers} workers\n{}", node.report());
}

#[test]
fn one_worker() {
    storm(1);
}

#[test]
fn two_workers() {
    storm(2);
}

#[test]
fn three_workers() {
    storm(3);
}

#[test]
fn eight_workers() {
    storm(8);
}

const LUA: &str = "luaservice = './service/?.lua;./test/lua/storm/?.lua'\n";

/// Lua services, see `lua/storm/storm_lua.lua`.
fn lua_storm(workers: u32) {
    let stage = Stage::new(&Tree::node());
    stage.link("test", &tree::package().join("test"));
    let (seconds, seed) = (seconds(), seed());
    let mut node = Node::start(
        &stage,
        &format!(
            "{LUA} thread = {workers} logger = nil start = 'storm_lua'
             storm_seconds = {seconds} storm_seed = {seed}"
        ),
    );
    node.expect_code(0, Duration::from_secs(seconds) + PATIENCE);
    node.expect_no_panic();
    for wrong in [
        "STORM FAIL",
        "Unknown session",
        "lua call .* error",
        "stack traceback",
    ] {
        assert_eq!(node.count(wrong), 0, "{wrong}\n{}", node.report());
    }
    let line = node.expect("STORM over", Duration::ZERO);
    println!("{workers} workers: {line}");
    let numbers: Vec<u64> = line
        .split([' ', ':'])
        .filter_map(|word| word.parse().ok())
        .collect();
    let [services, calls, raised] = numbers[..] else {
        panic!("three numbers in {line}");
    };
    assert!(services > 10 && calls > 1000 && raised > 10, "{line}");
}

#[test]
fn lua_services_on_two_workers() {
    lua_storm(2);
}

#[test]
fn lua_services_on_eight_workers() {
    lua_storm(8);
}

/// Nodes that are aborted at any moment of their life end, and end well.
#[test]
fn aborts() {
    const AT_ONCE: u64 = 2;
    let cycles = setting("SKYNET_STORM_CYCLES", 50);
    let seed = seed();
    let cycle = |stage: &Stage, number: u64| {
        // Spread evenly, without a pattern, over what it takes to start and a while more.
        let delay = (seed
            .wrapping_add(number)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            >> 40)
            % 150;
        let workers = [1, 2, 4, 8][number as usize % 4];
        let mut node = Node::start(
            stage,
            &format!(
                "{LUA} thread = {workers} logger = nil start = 'storm_load'
                 storm_delay = {delay} port = {}",
                stage.port(number as u16)
            ),
        );
        node.expect_code(0, PATIENCE);
        node.expect_no_panic();
    };
    thread::scope(|scope| {
        for half in 0..AT_ONCE {
            scope.spawn(move || {
                let stage = Stage::new(&Tree::node());
                stage.link("test", &tree::package().join("test"));
                (half..cycles)
                    .step_by(AT_ONCE as usize)
                    .for_each(|number| cycle(&stage, number));
            });
        }
    });
    println!("{cycles} aborts");
}
