//! Upstream's headers and C sources against ours. `SKYNET_UPSTREAM` names a built tree of upstream, of
//! either version; the API level is that of the tree.

mod common;

use common::rebuild::{Headers, cc, is_head, rebuild};
use common::{Node, SOON, Stage, Tree};
use object::{Object, ObjectSymbol};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// Upstream's files that are the inside of its socket engine.
const INSIDE: &[&str] = &["socket_epoll.h", "socket_kqueue.h"];

fn upstream() -> Option<PathBuf> {
    let tree = std::env::var_os("SKYNET_UPSTREAM").map(PathBuf::from);
    if tree.is_none() {
        common::skipped("SKYNET_UPSTREAM is not set");
    }
    tree
}

/// A fresh directory for what one test makes.
fn scratch(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    dir
}

fn level(tree: &Path) -> String {
    format!("-DSKYNET_API_HEAD={}", u8::from(is_head(tree)))
}

/// The headers that upstream has, by name, with their text.
fn upstream_headers(tree: &Path) -> BTreeMap<String, String> {
    fs::read_dir(tree.join("skynet-src"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?.to_owned();
            let wanted = name.ends_with(".h") && !INSIDE.contains(&name.as_str());
            wanted.then(|| (name, fs::read_to_string(&path).unwrap()))
        })
        .collect()
}

/// What the preprocessor leaves of a header of ours, without the headers it includes.
fn preprocessed(tree: &Path, header: &str) -> String {
    let ours = Headers::ours();
    let file = ours.core.join(header);
    let done = cc()
        .args(["-E", "-xc", "-std=gnu11", &level(tree), "-I"])
        .arg(&ours.lua)
        .arg(&file)
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{header}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    let mut own = false;
    let mut text = String::new();
    for line in String::from_utf8(done.stdout).unwrap().lines() {
        match line.strip_prefix("# ") {
            Some(marker) => own = marker.contains(&format!("\"{}\"", file.display())),
            None if own => writeln!(text, "{line}").unwrap(),
            None => {}
        }
    }
    text
}

/// The declarations of functions in preprocessed text.
fn prototypes(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let (mut depth, mut item) = (0, String::new());
    for c in text.chars() {
        match c {
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                // The body of an inline function ends without a semicolon.
                if item.contains("static inline") {
                    item.clear();
                }
            }
            ';' if depth == 0 => {
                let item = std::mem::take(&mut item);
                if item.contains('(') && !item.contains("typedef") {
                    found.push(item.split_whitespace().collect::<Vec<_>>().join(" ") + ";");
                }
            }
            c if depth == 0 => item.push(c),
            _ => {}
        }
    }
    found
}

/// Compiles one header of upstream's with `more` behind it.
fn compile_behind(tree: &Path, dir: &Path, header: &str, more: &str) -> Result<(), String> {
    // What upstream's own sources include before it.
    let unit = format!(
        "#include <stddef.h>\n#include <stdint.h>\n#include <stdlib.h>\n\
         struct skynet_monitor;\nstruct message_queue;\nstruct skynet_message;\n\
         #include \"skynet.h\"\n#include \"{header}\"\n{more}\n"
    );
    let file = dir.join(format!("{header}.c"));
    fs::write(&file, unit).unwrap();
    let theirs = Headers::of(tree);
    let done = cc()
        .args(["-std=gnu11", "-Wall", "-fsyntax-only", "-I"])
        .arg(&theirs.core)
        .arg("-I")
        .arg(&theirs.lua)
        .arg(&file)
        .output()
        .unwrap();
    if done.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&done.stderr).into_owned())
    }
}

/// A compiler accepts a second declaration of a function only if it is the same.
#[test]
fn prototypes_are_the_same() {
    let Some(tree) = upstream() else { return };
    let dir = scratch("prototypes");
    let mut count = 0;
    for header in upstream_headers(&tree).keys() {
        let ours = prototypes(&preprocessed(&tree, header));
        count += ours.len();
        if let Err(text) = compile_behind(&tree, &dir, header, &ours.join("\n")) {
            panic!("{header}: {text}");
        }
    }
    assert!(count > 120, "only {count} prototypes found");

    // And it does notice.
    let other = "uint64_t skynet_now(int);";
    assert!(compile_behind(&tree, &dir, "skynet.h", other).is_err());
}

/// Every function that upstream declares, we declare.
#[test]
fn prototypes_are_complete() {
    let Some(tree) = upstream() else { return };
    let name = |prototype: &String| {
        let before = prototype.split('(').next().unwrap();
        before.rsplit([' ', '*']).next().unwrap().to_owned()
    };
    let mut ours = BTreeSet::new();
    let mut theirs = BTreeSet::new();
    for (header, text) in upstream_headers(&tree) {
        ours.extend(prototypes(&preprocessed(&tree, &header)).iter().map(name));
        let plain: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let plain = prototypes(&plain.join("\n"));
        // The polling layer is made of static functions.
        let plain = plain.iter().filter(|item| !item.contains("static "));
        theirs.extend(plain.map(name).filter(|name| name.contains('_')));
    }
    // Under their names before the preprocessor.
    theirs.retain(|name| !["malloc", "calloc", "realloc", "free"].contains(&name.as_str()));
    let family = |name: &String| match name.strip_prefix("skynet_") {
        Some(plain)
            if name.contains("alloc") || name.contains("free") || name.contains("memalign") =>
        {
            ours.contains(plain)
        }
        _ => false,
    };
    let missing: Vec<_> = theirs
        .iter()
        .filter(|name| !ours.contains(*name) && !family(name))
        .collect();
    assert!(theirs.len() > 110, "only {} found", theirs.len());
    assert!(missing.is_empty(), "{missing:?}");
}

/// The names of structs and their fields, and of constants, in the text of headers.
#[derive(Default)]
struct Names {
    /// `struct NAME` or `NAME`, with fields.
    types: BTreeMap<String, BTreeSet<String>>,
    constants: BTreeSet<String>,
}

impl Names {
    fn read(&mut self, text: &str) {
        let mut text = text.to_owned();
        while let Some(from) = text.find("/*") {
            let end = text[from..]
                .find("*/")
                .map_or(text.len(), |end| from + end + 2);
            text.replace_range(from..end, "");
        }
        // Of a type in a condition, both variants are read.
        let mut open: Option<(Option<String>, BTreeSet<String>)> = None;
        for line in text.lines() {
            let line = line.split("//").next().unwrap().trim();
            if let Some(define) = line.strip_prefix("#define ") {
                if let Some((name, value)) = define.split_once(char::is_whitespace)
                    && is_number(value)
                    // The inside of a header.
                    && !name.ends_with('_')
                {
                    self.constants.insert(name.to_owned());
                }
            } else if line.ends_with('{') && line.contains("struct") && !line.contains('(') {
                let tag = line
                    .trim_start_matches("typedef ")
                    .trim_end_matches('{')
                    .trim();
                let tag = tag.strip_prefix("struct").unwrap().trim();
                let name = (!tag.is_empty()).then(|| format!("struct {tag}"));
                open = Some((name, BTreeSet::new()));
            } else if let Some(end) = line.strip_prefix('}') {
                if let Some((name, fields)) = open.take() {
                    let name = name.unwrap_or_else(|| end.trim_matches([' ', ';']).to_owned());
                    self.types.entry(name).or_default().extend(fields);
                }
            } else if let (Some((_, fields)), Some(field)) = (&mut open, line.strip_suffix(';')) {
                let name = match field.split_once("(*") {
                    Some((_, rest)) => rest.split(')').next().unwrap(),
                    None => {
                        let field = field.split(['[', '_']).next().map_or(field, |_| field);
                        let field = field.split(" __attribute__").next().unwrap();
                        let field = field.split('[').next().unwrap();
                        field.rsplit([' ', '*']).next().unwrap()
                    }
                };
                fields.insert(name.to_owned());
            }
        }
    }
}

/// Whether the text of a macro is a number, or an expression of numbers.
fn is_number(value: &str) -> bool {
    let value = value.trim();
    let value = value
        .replace("sizeof(size_t)", "8")
        .replace("SIZE_MAX", "8");
    !value.is_empty()
        && value
            .chars()
            .all(|c| c.is_ascii_hexdigit() || " ()x<>-*+".contains(c))
        && value.contains(|c: char| c.is_ascii_digit())
}

/// One program, compiled against either tree of headers, says the same numbers.
#[test]
fn sizes_offsets_and_constants_are_the_same() {
    let Some(tree) = upstream() else { return };
    let dir = scratch("values");
    let headers = upstream_headers(&tree);
    let mut names = Names::default();
    let include = Headers::ours().core;
    for (header, text) in &headers {
        names.read(text);
        names.read(&fs::read_to_string(include.join(header)).unwrap());
    }
    // Of the other way to build locks.
    for kept in ["struct spinlock", "struct rwlock"] {
        let fields = names.types.get_mut(kept).unwrap();
        fields.retain(|field| ["lock", "read", "write"].contains(&field.as_str()));
        if kept.ends_with("rwlock") {
            fields.remove("lock");
        }
    }

    let mut program = String::from(
        "#include <stdio.h>\n#include <stddef.h>\n#include <stdint.h>\n#include <stdlib.h>\n\
         #include \"skynet.h\"\n",
    );
    for header in headers.keys() {
        // Its functions are static, and defined beside it.
        if header != "socket_poll.h" {
            writeln!(program, "#include \"{header}\"").unwrap();
        }
    }
    // An engine's type that only socket_poll.h has; test/api/layout.c knows its layout.
    names.types.remove("struct event");
    program += "int main(void) {\n";
    let mut lines = 0;
    let mut print = |program: &mut String, what: &str| {
        writeln!(
            program,
            "printf(\"%s %lld\\n\", \"{what}\", (long long)({what}));"
        )
        .unwrap();
        lines += 1;
    };
    for (name, fields) in &names.types {
        print(&mut program, &format!("sizeof({name})"));
        for field in fields {
            print(&mut program, &format!("offsetof({name}, {field})"));
            print(&mut program, &format!("sizeof((({name} *)0)->{field})"));
        }
    }
    for name in &names.constants {
        print(&mut program, name);
    }
    for name in ["ATOM_INT", "ATOM_POINTER", "ATOM_SIZET", "ATOM_ULONG"] {
        print(&mut program, &format!("sizeof({name})"));
    }
    program += "return 0;\n}\n";
    assert!(lines > 150, "only {lines} values\n{program}");
    let file = dir.join("values.c");
    fs::write(&file, program).unwrap();

    let said = |headers: &Headers, name: &str| {
        let binary = dir.join(name);
        let done = cc()
            .args(["-std=gnu11", "-Wno-unused-function", &level(&tree), "-I"])
            .arg(&headers.core)
            .arg("-I")
            .arg(&headers.lua)
            .arg(&file)
            .arg("-o")
            .arg(&binary)
            .output()
            .unwrap();
        assert!(
            done.status.success(),
            "{name}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
        let done = std::process::Command::new(&binary).output().unwrap();
        String::from_utf8(done.stdout).unwrap()
    };
    let (ours, theirs) = (
        said(&Headers::ours(), "ours"),
        said(&Headers::of(&tree), "theirs"),
    );
    assert_eq!(ours.lines().count(), lines);
    assert_eq!(ours, theirs);
}

/// Whatever upstream compiles against its headers compiles against ours, save for the two files that
/// are the inside of things we do otherwise.
#[test]
fn core_sources_compile() {
    let Some(tree) = upstream() else { return };
    let dir = scratch("core");
    let mut sources = Vec::new();
    for entry in fs::read_dir(tree.join("skynet-src")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.ends_with(".c") && !["malloc_hook.c", "socket_server.c"].contains(&name) {
            // Copies, as a file finds what lies beside it first.
            fs::copy(&path, dir.join(name)).unwrap();
            sources.push(dir.join(name));
        }
    }
    assert!(sources.len() > 12);
    let done = cc()
        .args(["-std=gnu17", "-Wall", "-Werror", "-fsyntax-only", "-I"])
        .arg(Headers::ours().core)
        .arg("-I")
        .arg(tree.join("3rd/lua"))
        .arg(level(&tree))
        .args(&sources)
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
}

/// All modules of upstream's, compiled against either side. (`lua_cases` runs those made with ours.)
#[test]
fn module_sources_draw_no_new_warning() {
    let Some(tree) = upstream() else { return };
    if is_head(&tree) != cfg!(feature = "lua55") {
        common::skipped("SKYNET_UPSTREAM is of the other Lua");
        return;
    }
    let dir = scratch("modules");
    let ours = rebuild(&tree, &Headers::ours(), &dir.join("ours")).unwrap();
    let theirs = rebuild(&tree, &Headers::of(&tree), &dir.join("theirs")).unwrap();
    let new: Vec<_> = ours.iter().filter(|line| !theirs.contains(line)).collect();
    assert!(
        new.is_empty(),
        "{new:#?}\nbut with their headers {theirs:#?}"
    );
}

/// What upstream's start files call.
const START_FILES_CALL: &[&str] = &[
    "skynet_context_dispatchall",
    "skynet_context_message_dispatch",
    "skynet_context_new",
    "skynet_context_push",
    "skynet_context_total",
    "skynet_env_init",
    "skynet_globalexit",
    "skynet_globalinit",
    "skynet_handle_findname",
    "skynet_handle_init",
    "skynet_handle_namehandle",
    "skynet_harbor_exit",
    "skynet_harbor_init",
    "skynet_initthread",
    "skynet_module_init",
    "skynet_monitor_check",
    "skynet_monitor_delete",
    "skynet_monitor_new",
    "skynet_mq_init",
    "skynet_profile_enable",
    "skynet_socket_exit",
    "skynet_socket_free",
    "skynet_socket_init",
    "skynet_socket_poll",
    "skynet_socket_updatetime",
    "skynet_timer_init",
    "skynet_updatetime",
];

/// Upstream's `skynet_main.c` and `skynet_start.c` with libskynet.so in the place of the rest of its
/// core: their threads run our node.
#[test]
fn upstream_start_files_run_a_node() {
    let Some(tree) = upstream() else { return };
    if is_head(&tree) != cfg!(feature = "lua55") {
        common::skipped("SKYNET_UPSTREAM is of the other Lua");
        return;
    }
    let ours = Tree::node();
    let built = ours.bin.parent().unwrap();
    let library = built.join("libskynet.so");
    assert!(library.exists(), "{}: make builds it", library.display());
    let dir = scratch("start");
    let mut sources = Vec::new();
    for name in ["skynet_main.c", "skynet_start.c"] {
        fs::copy(tree.join("skynet-src").join(name), dir.join(name)).unwrap();
        sources.push(dir.join(name));
    }
    let bin = dir.join("skynet");
    let headers = Headers::ours();
    let done = cc()
        .args(["-g", "-O2", "-Wall", "-Werror", &level(&tree), "-I"])
        .arg(&headers.core)
        .arg("-I")
        .arg(&headers.lua)
        .args(&sources)
        .arg("-o")
        .arg(&bin)
        .arg(&library)
        .arg(format!("-Wl,-rpath,{}", built.display()))
        .args(["-lpthread", "-lm", "-ldl"])
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    let program = fs::read(&bin).unwrap();
    let program = object::File::parse(&*program).unwrap();
    let called: BTreeSet<&str> = program
        .dynamic_symbols()
        .filter(|symbol| symbol.is_undefined())
        .map(|symbol| symbol.name().unwrap())
        .collect();
    let head = cfg!(feature = "lua55").then_some(&"skynet_handle_register_thread");
    for name in START_FILES_CALL.iter().chain(head) {
        assert!(called.contains(name), "{name} is not called");
    }
    let tree = Tree { bin, ..ours };
    let stage = Stage::new(&tree);
    stage.link("test", &common::tree::package().join("test"));
    let settings = "start = \"lib_request\"\nluaservice = \"./service/?.lua;./test/lua/?.lua\"\n";
    let mut node = Node::start(&stage, settings);
    node.expect(r"TEST lib_request PASSED", SOON);
    node.expect_code(0, SOON);
}
