//! The Lua test services of `test/lua`, each run by a node of its own and reported as one test.
//!
//! A case is a service that logs `ok ...` or `FAIL ...` per check, ends with `TEST <name> PASSED <n>`
//! or `TEST <name> FAILED <n>` and then aborts the node, so that the process ends with code 0.
//! Every case runs on the node under test (`node::<name>`) and, when `SKYNET_UPSTREAM` is set, on
//! upstream as well (`upstream::<name>`): what we expect must be true there, or be declared as ours.
//! Then upstream's unchanged C sources, compiled against our headers, run under our executable with
//! upstream's Lua code too (`rebuilt::<name>`).
//!
//! Comment lines at the top of a case may say
//! `-- upstream: no <reason>` (it tests something of ours, or a defect that we do not repeat),
//! `-- foreign: also` or `-- foreign: only` (run it, too or only, by upstream's executable with our modules and
//! Lua code, `foreign::<name>`, where our core's additions are missing),
//! `-- lua: 5.5` or `-- api: head` / `-- api: 1.8` (only for this Lua or API level),
//! `-- config: key = value` (a setting; several lines are possible) and
//! `-- limit: 60` (seconds it may take; 30 otherwise).
//! Every case finds the setting `api_level`, `head` or `1.8`.
//! In a setting `$PORT1` ... `$PORT9` stand for free ports, read by the case with `skynet.getenv`.

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use common::{Level, Node, Stage, Tree, rebuild, tree};
use libtest_mimic::{Arguments, Failed, Trial};
use regex::Regex;

/// What the head of a case says about it.
struct Case {
    name: String,
    config: String,
    limit: Duration,
    lua: Option<String>,
    api: Option<String>,
    upstream: bool,
    foreign: Foreign,
}

/// Whether a case is for our modules in upstream's executable.
#[derive(PartialEq)]
enum Foreign {
    No,
    Also,
    Only,
}

fn main() {
    let mut args = Arguments::from_args();
    // The cases wait more than they compute.
    args.test_threads.get_or_insert(4);
    libtest_mimic::run(&args, trials()).exit();
}

fn trials() -> Vec<Trial> {
    let folder = tree::package().join("test/lua");
    let cases: Vec<Case> = names(&folder)
        .iter()
        .map(|name| read(&folder, name))
        .collect();
    assert!(!cases.is_empty(), "{}: no cases", folder.display());
    let mut trees = vec![("node", Tree::node())];
    match Tree::upstream() {
        Some(upstream) => trees.push(("upstream", upstream)),
        None => common::skipped("SKYNET_UPSTREAM is not set: the cases are run on the node only"),
    }
    if let Some(tree) = rebuilt() {
        trees.push(("rebuilt", tree));
    }
    if let Some(tree) = foreign() {
        trees.push(("foreign", tree));
    }
    let mut trials = Vec::new();
    for (on, tree) in trees {
        for case in &cases {
            let theirs = matches!(on, "rebuilt" | "upstream");
            let meant = match on {
                "foreign" => case.foreign != Foreign::No,
                _ => case.foreign != Foreign::Only && (case.upstream || !theirs),
            };
            let applies = case.applies(&tree) && meant;
            let (tree, name) = (tree.clone(), case.name.clone());
            let (config, limit) = (case.config.clone(), case.limit);
            let trial = Trial::test(format!("{on}::{name}"), move || {
                run(&tree, &name, &config, limit)
            });
            trials.push(trial.with_ignored_flag(!applies));
        }
    }
    trials
}

/// Our executable with upstream's modules, made from its sources and our headers, and its Lua code.
fn rebuilt() -> Option<Tree> {
    let (node, upstream) = (Tree::node(), Tree::upstream()?);
    if node.is_upstream() || node.lua_version() != upstream.lua_version() {
        return None;
    }
    if node.level() != upstream.level() {
        common::skipped("SKYNET_UPSTREAM and the node have different API levels");
        return None;
    }
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rebuilt");
    let source = upstream.bin.parent().expect("a folder");
    if let Err(text) = rebuild::rebuild(source, &rebuild::Headers::ours(), &dir) {
        panic!("{text}");
    }
    Some(Tree {
        name: "node with rebuilt modules".to_owned(),
        cservice: dir.join("cservice"),
        luaclib: dir.join("luaclib"),
        ..node.with_lua_of(&upstream)
    })
}

/// Upstream's executable with our modules and Lua code.
fn foreign() -> Option<Tree> {
    let (node, upstream) = (Tree::node(), Tree::upstream()?);
    let same = node.lua_version() == upstream.lua_version() && node.level() == upstream.level();
    (same && !node.is_upstream()).then(|| upstream.with_modules_of(&node).with_lua_of(&node))
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let paths = entries.map(|e| e.expect("a readable folder").path());
    let scripts = paths.filter(|p| p.is_file() && p.extension().is_some_and(|e| e == "lua"));
    scripts
        .map(|p| {
            p.file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned()
        })
        .collect()
}

fn read(folder: &Path, name: &str) -> Case {
    let path = folder.join(format!("{name}.lua"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut case = Case {
        name: name.to_owned(),
        config: String::new(),
        limit: Duration::from_secs(30),
        lua: None,
        api: None,
        upstream: true,
        foreign: Foreign::No,
    };
    for line in text.lines().map_while(|l| l.strip_prefix("--")) {
        let Some((key, value)) = line.split_once(':') else {
            continue;
        };
        let value = value.trim();
        match key.trim() {
            "config" => case.config += &format!("{value}\n"),
            "limit" => {
                let seconds = value
                    .parse()
                    .unwrap_or_else(|_| panic!("{name}: limit {value}"));
                case.limit = Duration::from_secs(seconds);
            }
            "lua" => case.lua = Some(value.to_owned()),
            "api" if ["head", "1.8"].contains(&value) => case.api = Some(value.to_owned()),
            "api" => panic!("{name}: unknown API level {value}"),
            "upstream" => case.upstream = !value.starts_with("no"),
            "foreign" if value == "also" => case.foreign = Foreign::Also,
            "foreign" if value == "only" => case.foreign = Foreign::Only,
            "foreign" => panic!("{name}: foreign {value}"),
            // Prose with a colon in it.
            _ => {}
        }
    }
    case
}

/// The name that `API=` gives to a tree's level.
fn level(tree: &Tree) -> &'static str {
    match tree.level() {
        Level::Head => "head",
        Level::V18 => "1.8",
    }
}

impl Case {
    fn applies(&self, tree: &Tree) -> bool {
        let lua = self.lua.as_ref().is_none_or(|v| *v == tree.lua_version());
        let api = self.api.as_deref().is_none_or(|api| api == level(tree));
        lua && api
    }
}

fn run(tree: &Tree, name: &str, config: &str, limit: Duration) -> Result<(), Failed> {
    let stage = Stage::new(tree);
    stage.link("test", &tree::package().join("test"));
    let mut settings = format!(
        r#"start = "{name}"
luaservice = "./service/?.lua;./test/lua/?.lua"
snax = "./test/lua/?.lua"
api_level = "{}"
"#,
        level(tree)
    );
    settings += config;
    for number in 1..=9 {
        let mark = format!("$PORT{number}");
        if settings.contains(&mark) {
            settings = settings.replace(&mark, &stage.port(number).to_string());
        }
    }
    let mut node = Node::start(&stage, &settings);
    // A case that cannot be loaded, or gives up, has nothing more to say; it is the eighth service.
    let verdict = format!(
        r"\] TEST {} (PASSED|FAILED)|\[:00000008\] KILL self",
        regex::escape(name)
    );
    node.wait_count(&verdict, 1, limit)?;
    if node.count(r"\] TEST ") == 0 {
        return Err(format!("ended without a verdict\n{}", node.report()).into());
    }
    let Some(status) = node.wait_exit(limit) else {
        return Err(format!("does not end after its verdict\n{}", node.report()).into());
    };

    let log: Vec<String> = node.log().into_iter().map(|e| e.text).collect();
    let failed: Vec<&str> = log
        .iter()
        .map(String::as_str)
        .filter(|l| l.starts_with("FAIL "))
        .collect();
    let passed = Regex::new(r"^TEST \S+ PASSED (\d+)").expect("a valid pattern");
    let count = log
        .iter()
        .find_map(|l| passed.captures(l))
        .and_then(|c| c[1].parse::<u32>().ok());
    let why = match count {
        _ if !failed.is_empty() => format!("failed checks:\n  {}", failed.join("\n  ")),
        None => "the verdict is FAILED".to_owned(),
        Some(0) => "no check was made".to_owned(),
        Some(_) if status.code() != Some(0) => format!("ended with {status}"),
        Some(_) => return Ok(()),
    };
    Err(format!("{why}\n{}", node.report()).into())
}
