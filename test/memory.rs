//! Where the memory of a node is, and that it goes back to the system.
//!
//! The Lua side is in `test/lua/volume`. With `SKYNET_MEMORY_LONG=1` the cycles have the size of the goal: ten of
//! 2,000 services with a megabyte each.

mod common;

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use common::{Node, Stage, Tree, tree};

const LIMIT: Duration = Duration::from_secs(120);
const LONG_LIMIT: Duration = Duration::from_secs(1800);

fn start(stage: &Stage, service: &str, config: &str, change: impl FnOnce(&mut Command)) -> Node {
    stage.link("test", &tree::package().join("test"));
    let settings = format!(
        "thread = 4 start = '{service}' luaservice = './service/?.lua;./test/lua/volume/?.lua'\n{config}"
    );
    Node::start_changed(stage, &settings, change)
}

/// What only our core says, and only of an allocator that it knows.
fn has_map() -> bool {
    let known = !Tree::node().is_upstream() && cfg!(all(feature = "jemalloc", target_os = "linux"));
    if !known {
        common::skipped("this node does not know where its memory is");
    }
    known
}

/// The figures of each `map SITUATION name=value ...` in the log.
fn maps(node: &Node) -> BTreeMap<String, BTreeMap<String, i64>> {
    let figure = |word: &str| {
        let (name, value) = word.split_once('=')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    node.log()
        .iter()
        .filter_map(|entry| {
            let mut words = entry.text.strip_prefix("map ")?.split(' ');
            let situation = words.next()?.to_owned();
            Some((situation, words.filter_map(figure).collect()))
        })
        .collect()
}

/// The parts explain the resident memory, and each thing is where it belongs.
#[test]
fn the_map_explains_resident_memory() {
    if !has_map() {
        return;
    }
    let stage = Stage::new(&Tree::node());
    let mut node = start(&stage, "volume_map", "", |_| ());
    node.expect("complete", LIMIT);
    let maps = maps(&node);
    let situations = ["empty", "services", "exit", "messages", "handled"];
    for situation in situations {
        let map = &maps[situation];
        let report = || format!("{situation}: {map:?}");
        let (sum, resident) = (map["sum"] as f64, map["resident"] as f64);
        assert!((sum / resident - 1.0).abs() <= 0.05, "{}", report());
        // The correction is for what may be untouched: the allocator's own, and blocks that nobody used yet.
        let idle = map["metadata"] + map["thread_caches"] + map["fragments"] + map["free_pages"];
        assert!(map["untouched"] <= idle, "{}", report());
        // Nothing hides in what has no name.
        assert!(map["other"] < 1 << 20, "{}", report());
        assert!(map["files"] > 1 << 20, "{}", report());
        assert!(map["stacks"] > 30 << 10, "{}", report());
        let counted = map["lua"] + map["c"] + map["c_ended"] + map["c_nobody"];
        assert!(map["uncounted"] < counted / 4 + (2 << 20), "{}", report());
        assert_eq!(map["small"], 0, "{}", report());
    }
    let grown = |name: &str, from: &str, to: &str| maps[to][name] - maps[from][name];
    let report = format!("{maps:?}");
    // A Lua service has some 15 to 200 KB.
    let lua = grown("lua", "empty", "services");
    assert!((15_000_000..300_000_000).contains(&lua), "{report}");
    assert!(lua * 2 > grown("resident", "empty", "services"), "{report}");
    assert_eq!(grown("services", "empty", "services"), 1000, "{report}");
    assert!(grown("lua", "empty", "exit") < 2 << 20, "{report}");
    assert_eq!(grown("services", "empty", "exit"), 0, "{report}");
    let messages = grown("messages", "exit", "messages");
    assert!((20_000_000..21_000_000).contains(&messages), "{report}");
    assert!(grown("c", "exit", "messages") >= messages, "{report}");
    assert!(
        grown("messages", "exit", "handled").abs() < 20_000,
        "{report}"
    );
    assert!(grown("c", "exit", "handled") < 2 << 20, "{report}");
    node.expect_no_panic();
}

struct Cycle {
    peak: u64,
    after: u64,
}

/// Runs cycles of services that load data and exit; the resident memory in KiB before the first, and of each.
fn cycles(config: &str, limit: Duration, change: impl FnOnce(&mut Command)) -> (u64, Vec<Cycle>) {
    let stage = Stage::new(&Tree::node());
    let mut node = start(&stage, "volume_exits", config, change);
    node.expect("complete", limit);
    let (mut start, mut cycles) = (0, Vec::new());
    for entry in node.log() {
        let words: Vec<&str> = entry.text.split(' ').collect();
        let number = |word: &str| word.parse::<u64>().expect("a number");
        match words[..] {
            ["start", kib] => start = number(kib),
            ["cycle", _, peak, _, after] => {
                println!("{}", entry.text);
                cycles.push(Cycle {
                    peak: number(peak),
                    after: number(after),
                });
            }
            _ => (),
        }
    }
    assert!(start > 0, "{}", node.report());
    (start, cycles)
}

/// After a mass exit the memory goes back, although nothing happens any more that would make the allocator do it.
#[test]
fn memory_goes_back_after_a_mass_exit() {
    if !has_map() {
        return;
    }
    let long = std::env::var_os("SKYNET_MEMORY_LONG").is_some_and(|value| value == "1");
    let (count, config, limit) = match long {
        true => (10, "cycles = 10 services = 2000 rest = 10", LONG_LIMIT),
        // Longer than the goal says, for a busy machine.
        false => (2, "cycles = 2 services = 200 rest = 15", LIMIT),
    };
    let (start, cycles) = cycles(config, limit, |_| ());
    assert_eq!(cycles.len(), count);
    for (index, cycle) in cycles.iter().enumerate() {
        // What a node of any size keeps: caches of the threads, and pages that are not many.
        let floor = if long { 0 } else { 32 << 10 };
        assert!(
            cycle.after <= start + cycle.peak * 3 / 100 + floor,
            "cycle {}: from {start} to {}, {} KiB are left",
            index + 1,
            cycle.peak,
            cycle.after
        );
    }
    if long {
        let (second, last) = (cycles[1].after, cycles[count - 1].after);
        assert!(
            last * 100 <= second * 105,
            "grew from {second} to {last} KiB"
        );
    }
}

/// Who tells the allocator to keep its pages has them kept.
#[test]
fn settings_of_the_allocator_win() {
    if !has_map() {
        return;
    }
    let config = "cycles = 1 services = 100 rest = 12";
    let keep = |command: &mut Command| {
        command.env("JE_MALLOC_CONF", "dirty_decay_ms:-1");
    };
    let (_, cycles) = cycles(config, LIMIT, keep);
    let Cycle { peak, after } = cycles[0];
    assert!(after * 10 >= peak * 9, "of {peak} KiB {after} are left");
}
