//! What the executable and libskynet.so export, as the dynamic linker sees it: the names that
//! modules of other people import. Reads the staged node (`SKYNET_NODE`, set by `make test`).

use object::{Object, ObjectSymbol};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Everything upstream's executable of this Lua version exports. Its `lua*` names are the complete
/// C API of the patched Lua, which we export in full.
const UPSTREAM: &str = if cfg!(feature = "lua55") {
    include_str!("symbols-lua55.txt")
} else {
    include_str!("symbols-lua54.txt")
};

/// What the shipped modules import or a public header declares (class A), besides the allocator.
const CORE: &[&str] = &[
    "skynet_error",
    "skynet_command",
    "skynet_queryname",
    "skynet_send",
    "skynet_sendname",
    "skynet_isremote",
    "skynet_callback",
    "skynet_current_handle",
    "skynet_now",
    "skynet_debug_memory",
    "skynet_harbor_start",
    "skynet_socket_sendbuffer",
    "skynet_socket_sendbuffer_lowpriority",
    "skynet_socket_listen",
    "skynet_socket_connect",
    "skynet_socket_bind",
    "skynet_socket_close",
    "skynet_socket_shutdown",
    "skynet_socket_start",
    "skynet_socket_pause",
    "skynet_socket_nodelay",
    "skynet_socket_udp",
    "skynet_socket_udp_connect",
    "skynet_socket_udp_dial",
    "skynet_socket_udp_listen",
    "skynet_socket_udp_sendbuffer",
    "skynet_socket_udp_address",
    "skynet_socket_info",
    "socket_info_release",
    "skynet_lalloc",
    "skynet_strdup",
    "malloc_used_memory",
    "malloc_memory_block",
    "malloc_current_memory",
    "memory_info_dump",
    "mallctl_int64",
    "mallctl_opt",
    "mallctl_bool",
    "mallctl_cmd",
    "dump_c_mem",
    "dump_mem_lua",
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
    let bytes = read(name);
    let file = object::File::parse(&*bytes).expect("an object file");
    file.dynamic_symbols()
        .filter(|symbol| symbol.is_global() && symbol.is_definition())
        .map(|symbol| symbol.name().expect("a symbol name").to_owned())
        .collect()
}

fn lua_names() -> Vec<&'static str> {
    let names: Vec<_> = UPSTREAM
        .lines()
        .filter(|name| name.starts_with("lua"))
        .collect();
    for name in LUA_ADDITIONS {
        assert!(names.contains(name), "the list of names lacks {name}");
    }
    names
}

#[track_caller]
fn assert_exported(file: &str, exported: &BTreeSet<String>, names: &[&str]) {
    let missing: Vec<_> = names
        .iter()
        .filter(|name| !exported.contains(**name))
        .collect();
    assert!(missing.is_empty(), "{file} does not export {missing:?}");
}

/// Names of the Rust inside are nobody's business, and thousands of them would slow down loading.
#[track_caller]
fn assert_nothing_mangled(file: &str, exported: &BTreeSet<String>) {
    let mangled: Vec<_> = exported
        .iter()
        .filter(|name| name.starts_with("_R") || name.starts_with("_ZN"))
        .take(5)
        .collect();
    assert!(mangled.is_empty(), "{file} exports {mangled:?}");
}

#[test]
fn executable_exports_the_core_and_lua() {
    let exported = exports("skynet");
    assert_exported("skynet", &exported, CORE);
    assert_exported("skynet", &exported, &lua_names());
    assert_nothing_mangled("skynet", &exported);
}

#[test]
fn library_exports_the_core_and_lua() {
    let exported = exports("libskynet.so");
    assert_exported("libskynet.so", &exported, CORE);
    assert_exported("libskynet.so", &exported, &lua_names());
    assert_nothing_mangled("libskynet.so", &exported);
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
