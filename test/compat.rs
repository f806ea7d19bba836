//! Upstream's own tests and examples, run by our parts inside upstream's tree and by upstream itself,
//! with both outputs compared. What upstream prints is the truth.
//!
//! Each case runs on four mixtures:
//! `core` is our executable under upstream's modules and Lua code; `modules` is upstream's executable
//! with our `cservice/*.so` and `luaclib/*.so`; `lua` is upstream's executable and modules with our
//! Lua libraries and services; `node` is ours throughout. A file that our tree does not have comes
//! from upstream's, as in a project that keeps its libraries. Where that is not possible, because the
//! missing part is inside a file that we have, the case is reported as ignored.
//!
//! `SKYNET_UPSTREAM` names the built upstream tree (see `common`); without it nothing is run.
//! `SKYNET_TEST_SHOW=1` prints what each run was compared by.

#[path = "compat/cases.rs"]
mod cases;
mod common;
#[path = "compat/drive.rs"]
mod drive;
#[path = "compat/seen.rs"]
mod seen;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use cases::{Case, Order};
use common::log::{Mask, difference};
use common::{From, Node, Stage, Tree};
use libtest_mimic::{Arguments, Failed, Trial};
use seen::{Raw, Seen, flat};

/// Upstream's own run of a case, made once and compared with several times.
type Reference = Arc<OnceLock<Result<Seen, String>>>;

fn main() {
    let mut args = Arguments::from_args();
    // The cases wait far more than they compute.
    args.test_threads.get_or_insert(8);
    libtest_mimic::run(&args, trials()).exit();
}

fn trials() -> Vec<Trial> {
    let Some(upstream) = Tree::upstream() else {
        common::skipped("SKYNET_UPSTREAM is not set");
        return Vec::new();
    };
    let node = Tree::node();
    let (theirs, ours) = (upstream.lua_version(), node.lua_version());
    if theirs != ours {
        common::skipped(&format!(
            "SKYNET_UPSTREAM has Lua {theirs}, the node Lua {ours}"
        ));
        return Vec::new();
    }
    if upstream.level() != node.level() {
        common::skipped("SKYNET_UPSTREAM and the node have different API levels");
        return Vec::new();
    }
    let mixtures = [
        (
            "core",
            node.with_modules_of(&upstream).with_lua_of(&upstream),
        ),
        ("modules", upstream.with_modules_of(&node)),
        ("lua", upstream.with_lua_of(&node)),
        ("node", node),
    ];
    let mut trials = Vec::new();
    for case in cases::all() {
        let case = Arc::new(case);
        let reference = Reference::default();
        for (mixture, tree) in &mixtures {
            let (case, reference) = (case.clone(), reference.clone());
            let (tree, upstream) = (tree.clone(), upstream.clone());
            let name = format!("{mixture}::{}", case.name);
            let missing = case.missing(&tree);
            if let Some(missing) = missing {
                common::skipped(&format!("{name}: the tree has no {missing} yet"));
            }
            let trial = Trial::test(name, move || check(&case, &tree, &upstream, &reference));
            trials.push(trial.with_ignored_flag(missing.is_some()));
        }
    }
    trials
}

fn check(case: &Case, tree: &Tree, upstream: &Tree, reference: &Reference) -> Result<(), Failed> {
    let want = reference.get_or_init(|| run(case, upstream, upstream));
    let want = want.as_ref().map_err(|e| format!("upstream itself: {e}"))?;
    let got = run(case, tree, upstream)?;
    let mut text = String::new();
    if case.log == Order::PerService {
        let (want, got) = (by_service(&want.log), by_service(&got.log));
        for source in want
            .keys()
            .chain(got.keys().filter(|k| !want.contains_key(k)))
        {
            let of =
                |seen: &BTreeMap<u32, Vec<String>>| seen.get(source).cloned().unwrap_or_default();
            text += &compare(
                &format!("log of :{source:08x}"),
                Order::Exact,
                of(&want),
                of(&got),
            );
        }
    } else {
        text += &compare("log", case.log, flat(&want.log), flat(&got.log));
    }
    text += &compare("stdout", case.out, want.out.clone(), got.out);
    text += &compare("stderr", Order::Any, want.err.clone(), got.err);
    text += &compare("client", Order::Exact, want.driver.clone(), got.driver);
    if text.is_empty() {
        Ok(())
    } else {
        Err(text.into())
    }
}

fn by_service(log: &[(u32, String)]) -> BTreeMap<u32, Vec<String>> {
    let mut map = BTreeMap::<u32, Vec<String>>::new();
    for (source, text) in log {
        map.entry(*source).or_default().push(text.clone());
    }
    map
}

/// Describes how `got` differs from `want`; empty when it does not.
fn compare(what: &str, order: Order, want: Vec<String>, got: Vec<String>) -> String {
    let same = match order {
        Order::Exact | Order::PerService => want == got,
        Order::Any => difference(&want, &got).is_empty(),
    };
    if same {
        return String::new();
    }
    let list = match difference(&want, &got) {
        list if list.is_empty() => {
            format!("  same lines, other order:\n  want {want:#?}\n  got {got:#?}\n")
        }
        list => list,
    };
    format!("{what} differs:\n{list}")
}

/// Runs a case on a tree, with the test services of upstream.
fn run(case: &Case, tree: &Tree, upstream: &Tree) -> Result<Seen, String> {
    let stage = Stage::new(tree);
    stage.complete_from(upstream);
    let root = upstream.lualib.parent().expect("the tree has a root");
    for folder in ["test", "examples"] {
        stage.copy_sources(&root.join(folder), folder, cases::PORTS);
    }
    for (name, text) in case.files {
        stage.write(&format!("test/{name}"), text);
    }
    let mut settings = format!("{}start = '{}'\n", cases::CONFIG, case.start);
    if case.out == Order::Any {
        stage.write("print.lua", cases::PRINT);
        settings += "preload = './print.lua'\n";
    }
    if case.absolute {
        settings += cases::AT_BASE;
    }
    settings += &(case.config)(&stage);
    let mut node = Node::start(&stage, &settings);
    let end = Instant::now() + Duration::from_secs(case.limit);
    let mut driver = (case.drive)(&mut node, &stage, upstream)?;
    for (pattern, count) in case.until {
        node.wait_count(
            pattern,
            *count,
            end.saturating_duration_since(Instant::now()),
        )?;
    }
    if case.ends {
        let left = end.saturating_duration_since(Instant::now());
        let status = node
            .wait_exit(left)
            .ok_or_else(|| format!("does not end\n{}", node.report()))?;
        driver.push(format!("exit code {:?}", status.code()));
    } else {
        // Lines too many would come now.
        std::thread::sleep(Duration::from_millis(case.settle));
        if node.wait_exit(Duration::ZERO).is_some() {
            return Err(format!("ended by itself\n{}", node.report()));
        }
        node.stop();
    }
    node.expect_no_panic();

    let raw = Raw {
        log: node.log(),
        out: node.lines_from(From::Out),
    };
    (case.check)(&raw).map_err(|e| format!("{e}\n{}", node.report()))?;

    let mask = Mask::new(&stage, case.masks);
    let mask_all =
        |lines: Vec<String>| -> Vec<String> { lines.iter().map(|l| mask.apply(l)).collect() };
    let mut seen = Seen {
        log: raw
            .log
            .iter()
            .map(|e| (e.source, mask.apply(&e.text)))
            .collect(),
        out: mask_all(raw.out),
        err: mask_all(node.lines_from(From::Err)),
        driver: mask_all(driver),
    };
    (case.tidy)(&mut seen);
    if std::env::var_os("SKYNET_TEST_SHOW").is_some() {
        let log = flat(&seen.log).join("\n");
        println!(
            "=== {} on {}\n{log}\n--- stdout\n{}",
            case.name,
            tree.name,
            seen.out.join("\n")
        );
        println!(
            "--- stderr\n{}\n--- client\n{}",
            seen.err.join("\n"),
            seen.driver.join("\n")
        );
    }
    Ok(seen)
}
