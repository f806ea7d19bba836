//! What the executable and libskynet.so export, as the dynamic linker sees it: the names that
//! modules of other people import. Reads the staged node (`SKYNET_NODE`, set by `make test`).

#[path = "symbols/table.rs"]
mod table;

use object::{Object, ObjectSymbol};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Everything upstream's executables export, v1.8.0 with Lua 5.4 and the head with Lua 5.5. Their
/// `lua*` names are the complete C API of the patched Lua, which we export in full.
const UPSTREAM_18: &str = include_str!("symbols-lua54.txt");
const UPSTREAM_HEAD: &str = include_str!("symbols-lua55.txt");

/// The one of the Lua that is built in.
const UPSTREAM: &str = if cfg!(feature = "lua55") {
    UPSTREAM_HEAD
} else {
    UPSTREAM_18
};

/// Of upstream's names, those that the executable alone has.
const EXECUTABLE_ONLY: &[&str] = &["main", "sigign"];

/// What linkers and the start of a program export, on their own account.
const LINKER: &[&str] = &[
    "_IO_stdin_used",
    "__bss_start",
    "__data_start",
    "__dso_handle",
    "_edata",
    "_end",
    "_fini",
    "_init",
    "_start",
    "data_start",
    "environ",
    "stderr",
    "stdin",
    "stdout",
];

/// The allocator: all of it in the executable, or none where nothing is interposed. The first
/// seven are what upstream exports; a libc whose other members stayed in use would hand out blocks
/// that our `free` does not know.
const MALLOC_FAMILY: &[&str] = &[
    "malloc",
    "calloc",
    "realloc",
    "free",
    "memalign",
    "aligned_alloc",
    "posix_memalign",
    "valloc",
    "pvalloc",
    "malloc_usable_size",
];

/// The non-stock Lua functions, which the lists must name too: a list made from a stock Lua would
/// check nothing.
const LUA_ADDITIONS: &[&str] = &[
    "lua_sharefunction",
    "lua_clonefunction",
    "lua_sharestring",
    "lua_clonetable",
    "luaL_initcodecache",
    "luaL_loadfilex_",
    "luaopen_cache",
];

fn staged(name: &str) -> PathBuf {
    let node = std::env::var_os("SKYNET_NODE")
        .expect("SKYNET_NODE names the staged node: run `make test`, or set it by hand");
    PathBuf::from(node).join(name)
}

fn read(name: &str) -> Vec<u8> {
    let path = staged(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The names that the file defines for others.
fn exports(name: &str) -> BTreeSet<String> {
    symbols(name, true)
}

/// The names that the file wants from others.
fn imports(name: &str) -> BTreeSet<String> {
    symbols(name, false)
}

fn symbols(name: &str, defined: bool) -> BTreeSet<String> {
    let bytes = read(name);
    let file = object::File::parse(&*bytes).expect("an object file");
    file.dynamic_symbols()
        .filter(|symbol| symbol.is_global() && symbol.is_undefined() != defined)
        .map(|symbol| symbol.name().expect("a symbol name").to_owned())
        .collect()
}

#[track_caller]
fn assert_exported(file: &str, exported: &BTreeSet<String>, names: &[&str]) {
    let missing: Vec<_> = names
        .iter()
        .filter(|name| !exported.contains(**name))
        .collect();
    assert!(missing.is_empty(), "{file} does not export {missing:?}");
}

/// What a file exports beyond upstream's names of either version is marked as ours. Names of the Rust
/// inside would be nobody's business, and thousands of them would slow down loading.
#[track_caller]
fn assert_nothing_else(file: &str, exported: &BTreeSet<String>) {
    let known: BTreeSet<&str> = UPSTREAM_18.lines().chain(UPSTREAM_HEAD.lines()).collect();
    let other: Vec<_> = exported
        .iter()
        .map(|name| name.split('@').next().unwrap_or(name))
        .filter(|name| {
            let upstream = known.contains(name) && (!name.starts_with("lua") || own_lua(name));
            let family = MALLOC_FAMILY.contains(name) && file == "skynet";
            !upstream && !family && !LINKER.contains(name) && !name.starts_with("skynetx_")
        })
        .collect();
    assert!(other.is_empty(), "{file} exports {other:?}");
}

/// Whether a name of Lua's is one of the version that is built in.
fn own_lua(name: &str) -> bool {
    UPSTREAM.lines().any(|line| line == name)
}

#[test]
fn lists_of_names_are_of_the_patched_lua() {
    for (list, least) in [(UPSTREAM_18, 300), (UPSTREAM_HEAD, 310)] {
        assert!(list.lines().count() >= least);
        for name in LUA_ADDITIONS {
            assert!(list.lines().any(|line| line == *name), "{name} is missing");
        }
    }
}

#[test]
fn executable_exports_what_upstream_does() {
    let exported = exports("skynet");
    let wanted: Vec<_> = UPSTREAM
        .lines()
        .filter(|name| cfg!(feature = "jemalloc") || !MALLOC_FAMILY.contains(name))
        .collect();
    assert_exported("skynet", &exported, &wanted);
    assert_nothing_else("skynet", &exported);
}

#[test]
fn library_exports_what_upstream_does() {
    let exported = exports("libskynet.so");
    let wanted: Vec<_> = UPSTREAM
        .lines()
        .filter(|name| !MALLOC_FAMILY.contains(name) && !EXECUTABLE_ONLY.contains(name))
        .collect();
    assert_exported("libskynet.so", &exported, &wanted);
    assert_nothing_else("libskynet.so", &exported);
    for name in EXECUTABLE_ONLY {
        assert!(!exported.contains(*name), "libskynet.so exports {name}");
    }
}

#[test]
fn malloc_family_is_complete_in_the_executable_or_absent() {
    let exported = exports("skynet");
    if cfg!(feature = "jemalloc") {
        assert_exported("skynet", &exported, MALLOC_FAMILY);
    } else {
        for name in MALLOC_FAMILY {
            assert!(!exported.contains(*name), "skynet exports {name}");
        }
    }
}

/// A library that is loaded late must not bring a second heap.
#[test]
fn library_leaves_malloc_alone() {
    let exported = exports("libskynet.so");
    for name in MALLOC_FAMILY {
        assert!(!exported.contains(*name), "libskynet.so exports {name}");
    }
}

/// Programs that link libskynet.so remember this name, not the path they found it under.
#[test]
fn library_has_a_soname() {
    use object::elf::DT_SONAME;
    use object::read::elf::ElfFile64;

    let bytes = read("libskynet.so");
    let file = ElfFile64::<object::Endianness>::parse(&*bytes).expect("an ELF file");
    let table = file.elf_dynamic_table().expect("a dynamic section");
    let entry = table
        .iter()
        .find(|entry| entry.tag == DT_SONAME)
        .expect("a SONAME");
    let soname = String::from_utf8_lossy(table.string(entry).expect("a string"));
    let lua = if cfg!(feature = "lua55") {
        "5.5"
    } else {
        "5.4"
    };
    assert!(
        soname.starts_with(&format!("libskynet-lua{lua}")) && soname.contains(".so."),
        "{soname}"
    );
    assert!(staged(&soname).exists(), "{soname} is not there");
}

/// A program that knows nothing of us loads the library while it runs, and modules into it.
#[test]
fn library_loads_late() {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("load_library");
    let cc = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let mut words = cc.split_whitespace();
    let compiled = Command::new(words.next().unwrap_or("cc"))
        .args(words)
        .args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-o"])
        .arg(&program)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("test/symbols/load.c"))
        .arg("-ldl")
        .status()
        .expect("a C compiler");
    assert!(compiled.success());
    let modules = [
        "cservice/logger.so",
        "cservice/gate.so",
        "luaclib/client.so",
    ];
    let result = Command::new(&program)
        .arg(staged("libskynet.so"))
        .args(modules.map(staged))
        .output()
        .expect("the program starts");
    assert!(
        result.status.success(),
        "{}",
        String::from_utf8_lossy(&result.stderr)
    );
}

/// The page that lists the symbols says what is the case. `SKYNET_WRITE_DOCS=1` writes it anew.
#[test]
fn the_page_is_right() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/symbols.md");
    let page = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let right = table::page(&page);
    if std::env::var_os("SKYNET_WRITE_DOCS").is_some() {
        std::fs::write(&path, &right).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    } else if page != right {
        let differs: Vec<_> = right
            .lines()
            .filter(|line| !page.lines().any(|old| old == *line))
            .collect();
        panic!(
            "{} should have:\n{}\n(SKYNET_WRITE_DOCS=1 with this test writes it)",
            path.display(),
            differs.join("\n")
        );
    }
    let unknown: Vec<_> = right
        .lines()
        .filter(|line| line.contains("| ? |"))
        .collect();
    assert!(unknown.is_empty(), "no class: {unknown:#?}");
    let untested: Vec<_> = right
        .lines()
        .filter(|line| line.ends_with("|  |"))
        .collect();
    assert!(untested.is_empty(), "no test: {untested:#?}");
}
