//! Makes `docs/symbols.md`: each exported symbol with its class, the API levels it belongs to, and the
//! tests that use it. The classes are those the page has; everything else is found out.

use super::{MALLOC_FAMILY, UPSTREAM_18, UPSTREAM_HEAD, imports};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const HEAD: &str = "\
# Exported symbols

What the executable and `libskynet.so` export under upstream's names. Classes: **A** is used by the modules
that come with upstream, or is in a public header; **B** is plausible in C services of other people; **C** is
internal, exported because upstream exports everything. The level says which upstream version has the symbol;
we export all at both levels, so that a declaration is what decides.

`main`, `sigign` and the malloc family are exported by the executable only, the malloc family in builds with
jemalloc. Upstream's `je_*` names are not provided. What is ours beside upstream's begins with `skynetx_`
(`include/skynetx.h`; `skynetx_atclose` and `skynetx_sharedtables`, which our sharetable module calls, are in
`src/lua/share.h`), except `malloc_usable_size`, `pvalloc` and `valloc`, which complete the malloc family.

The last column names files in `test/`, the unit tests of a file in `src/`, or a module of ours that the Lua
and whole-process tests run. This page is checked by `test/symbols.rs`, which also writes it:
`SKYNET_WRITE_DOCS=1 make test`.

| symbol | class | level | tested by |
|---|---|---|---|
";

/// Our modules, and where they are tested.
const MODULES: &[(&str, &str)] = &[
    ("cservice/gate.so", "`cservice/gate.so`"),
    ("cservice/harbor.so", "`cservice/harbor.so`"),
    ("cservice/logger.so", "`cservice/logger.so`"),
    ("cservice/snlua.so", "`cservice/snlua.so`"),
    ("luaclib/skynet.so", "`luaclib/skynet.so`"),
];

/// The page as it should be; `old` has the classes.
pub fn page(old: &str) -> String {
    let classes: BTreeMap<&str, &str> = old
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split(" | ");
            Some((cells.next()?.trim_end_matches('`'), cells.next()?))
        })
        .collect();
    let (v18, head) = (names(UPSTREAM_18), names(UPSTREAM_HEAD));
    let (core, lua): (BTreeSet<&str>, BTreeSet<&str>) =
        v18.union(&head).partition(|name| !name.starts_with("lua"));
    let level = |name: &str| match (v18.contains(name), head.contains(name)) {
        (true, true) => "both",
        (true, false) => "1.8",
        _ => "head",
    };

    let tests = Tests::read();
    let mut page = String::from(HEAD);
    for name in core {
        let class = classes.get(name).copied().unwrap_or("?");
        page += &format!(
            "| `{name}` | {class} | {} | {} |\n",
            level(name),
            tests.of(name)
        );
    }
    page += "\n## Lua\n\nThe complete C API of the Lua that is built in, class A: modules of either \
             upstream version load.\n`make check` and `test/symbols.rs` compare with \
             `test/symbols-lua54.txt` and `test/symbols-lua55.txt`, the\nlua_cases tests run upstream's \
             modules. Of these, not in stock Lua: ";
    let own: Vec<_> = super::LUA_ADDITIONS
        .iter()
        .map(|name| format!("`{name}`"))
        .collect();
    page += &own.join(", ");
    page += ".\n";
    for (title, wanted) in [("Both", "both"), ("Lua 5.4", "1.8"), ("Lua 5.5", "head")] {
        let list: Vec<_> = lua
            .iter()
            .copied()
            .filter(|name| level(name) == wanted)
            .collect();
        page += &format!("\n{title}: {}.\n", list.join(", "));
    }
    page
}

fn names(list: &'static str) -> BTreeSet<&'static str> {
    list.lines().collect()
}

/// What mentions which symbol.
struct Tests {
    /// Name in the table, words in the text.
    files: Vec<(String, BTreeSet<String>)>,
    modules: Vec<(&'static str, BTreeSet<String>)>,
}

impl Tests {
    fn read() -> Tests {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut files = Vec::new();
        for file in sources(&root.join("test")) {
            let name = file.strip_prefix(root.join("test")).expect("inside");
            let name = name.to_string_lossy().into_owned();
            let text = fs::read_to_string(&file).expect("readable");
            let c = name.ends_with(".c");
            // The headers' test calls nothing.
            if name == "api/layout.c" || name.starts_with("symbols") {
                continue;
            }
            let words = if c { words(&text) } else { quoted(&text) };
            files.push((format!("`{name}`"), words));
        }
        for file in sources(&root.join("src")) {
            let text = fs::read_to_string(&file).expect("readable");
            if let Some((_, tests)) = text.split_once("mod tests {") {
                let name = file.strip_prefix(root).expect("inside");
                files.push((format!("`{}`", name.display()), words(tests)));
            }
        }
        let modules = MODULES.iter().map(|(file, name)| (*name, imports(file)));
        Tests {
            files,
            modules: modules.collect(),
        }
    }

    /// The files for one symbol.
    fn of(&self, symbol: &str) -> String {
        let family = MALLOC_FAMILY.contains(&symbol);
        let files = self.files.iter().filter(|(name, words)| {
            // Everybody calls malloc.
            words.contains(symbol)
                && (!family || name.contains("heap.c") || name.contains("memory"))
        });
        let mut found: Vec<&str> = files.map(|(name, _)| name.as_str()).collect();
        if !family {
            let modules = self
                .modules
                .iter()
                .filter(|(_, names)| names.contains(symbol));
            found.extend(modules.map(|(name, _)| *name));
        }
        if symbol == "main" {
            return "every test".to_owned();
        }
        found.join(", ")
    }
}

/// C and Rust files below a folder, in a fixed order.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut list = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                open.push(path);
            } else if path
                .extension()
                .is_some_and(|end| end == "c" || end == "rs")
            {
                list.push(path);
            }
        }
    }
    list.sort();
    list
}

fn words(text: &str) -> BTreeSet<String> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    text.split(|c| !is_word(c)).map(String::from).collect()
}

/// The words that are a literal of their own.
fn quoted(text: &str) -> BTreeSet<String> {
    let literals = text.split('"').skip(1).step_by(2);
    literals.map(String::from).collect()
}
