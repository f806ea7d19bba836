//! Compiles the C that the core carries, Lua with our changes and the shim behind `skynet_error`,
//! and tells the linker which names the executable exports. It has no other job.
//!
//! Lua comes from the crate `lua-src`, used as a package of sources: the files are copied to
//! `OUT_DIR/lua`, changed there (`src/lua/README.md` says what and why) and compiled together with
//! our own C files. Packages that depend on the library find the headers through
//! `DEP_SKYNET_LUA_INCLUDE`; `make` copies them, and `libskynetlua.a`, to `3rd/lua`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A Lua that can be built in. The directory is named in full so that a new `lua-src` fails here
/// instead of bringing sources nobody looked at.
struct Lua {
    dir: &'static str,
    edits: &'static [Edit],
}

const LUA_54: Lua = Lua {
    dir: "lua-5.4.9",
    edits: EDITS_54,
};

const LUA_55: Lua = Lua {
    dir: "lua-5.5.1",
    edits: EDITS_55,
};

include!("src/lua/edits.rs");

/// What is compiled of `src/lua`: everything as one unit, and the assertions (the folder also holds the
/// programs `lua` and `luac`, which the Makefile builds).
const OWN_SOURCES: &[&str] = &["layout.c", "whole.c"];

fn main() {
    let root = PathBuf::from(var("CARGO_MANIFEST_DIR"));
    let out = PathBuf::from(var("OUT_DIR"));

    watch(&root);
    let lua = match (feature("lua54"), feature("lua55")) {
        (true, false) => LUA_54,
        (false, true) => LUA_55,
        _ => fail("choose exactly one of the features lua54 and lua55"),
    };
    if feature("api18") && feature("apihead") {
        fail("the features api18 and apihead exclude each other");
    }
    let api_head = feature("apihead") || (feature("lua55") && !feature("api18"));
    println!("cargo:rustc-check-cfg=cfg(api_head)");
    if api_head {
        println!("cargo:rustc-cfg=api_head");
    }

    let include = out.join("lua");
    let stock = lua_sources(&root).join(lua.dir);
    copy_sources(&stock, &include);
    for edit in EDITS.iter().chain(lua.edits) {
        apply(edit, &include);
    }
    compile_lua(&include, &root.join("src/lua"));
    compile_shim(&root.join("src/capi/error.c"), api_head);

    // For a test that compares the changed Lua with the unchanged one.
    println!("cargo:rustc-env=SKYNET_LUA_STOCK={}", stock.display());
    println!("cargo:rustc-env=SKYNET_LUA_CHANGED={}", include.display());
    println!("cargo:include={}", include.display());
    println!("cargo:rustc-link-search=native={}", out.display());
    for lib in ["skynetlua", "skynetshim"] {
        // Everything in these two must reach the outside, also what no Rust code mentions:
        // whole-archive for the executable, export-symbols for libskynet.so.
        println!("cargo:rustc-link-lib=static:+whole-archive,+export-symbols={lib}");
    }
    println!("cargo:rustc-link-lib=m");
    println!("cargo:rustc-link-lib=dl");
    if var("CARGO_CFG_TARGET_VENDOR") == "apple" {
        println!("cargo:rustc-link-arg-bins=-Wl,-export_dynamic");
    } else {
        let list = root.join("include/skynet.sym");
        println!(
            "cargo:rustc-link-arg-bins=-Wl,--dynamic-list={}",
            list.display()
        );
    }
}

/// Names every input: cargo then runs this program again only when one of them changes.
fn watch(root: &Path) {
    for path in [
        "build.rs",
        "src/lua",
        "src/capi/error.c",
        "include/skynet.sym",
    ] {
        println!("cargo:rerun-if-changed={}", root.join(path).display());
    }
    for name in ["SKYNET_LUA_SRC", "CC", "CFLAGS", "AR"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
}

/// The directory of the crate `lua-src`, which does not tell it: `SKYNET_LUA_SRC` when set, else
/// what cargo itself says. The network is asked only if cargo lacks a package that another
/// target or a test would need.
fn lua_sources(root: &Path) -> PathBuf {
    if let Some(dir) = env::var_os("SKYNET_LUA_SRC") {
        return dir.into();
    }
    let attempts: [&[&str]; 2] = [&["--offline"], &[]];
    for extra in attempts {
        let result = Command::new(var("CARGO"))
            .current_dir(root)
            .args(["metadata", "--format-version=1", "--filter-platform"])
            .arg(var("TARGET"))
            .args(extra)
            .output();
        if let Ok(result) = result
            && result.status.success()
            && let Some(dir) = package_dir(&String::from_utf8_lossy(&result.stdout), "lua-src")
        {
            return dir;
        }
    }
    fail("cargo metadata does not name the package lua-src; set SKYNET_LUA_SRC to its directory")
}

/// The directory of package `name` in the output of `cargo metadata`.
fn package_dir(metadata: &str, name: &str) -> Option<PathBuf> {
    const KEY: &str = "\"manifest_path\":\"";
    let package = &metadata[metadata.find(&format!("\"name\":\"{name}\",\"version\""))?..];
    let path = &package[package.find(KEY)? + KEY.len()..];
    let manifest = Path::new(&path[..path.find('"')?]);
    manifest.parent().map(Path::to_path_buf)
}

/// Copies the `.c` and `.h` files of `from` into an emptied `to`.
fn copy_sources(from: &Path, to: &Path) {
    if to.exists() {
        fs::remove_dir_all(to).unwrap_or_else(|e| fail(&format!("{}: {e}", to.display())));
    }
    fs::create_dir_all(to).unwrap_or_else(|e| fail(&format!("{}: {e}", to.display())));
    for path in c_files(from) {
        let target = to.join(path.file_name().unwrap_or_default());
        // Read and write rather than copy: a vendored source may be read-only.
        write(&target, &read(&path));
    }
}

/// Makes one change and ends the build if it does not fit.
fn apply(edit: &Edit, dir: &Path) {
    let path = dir.join(edit.file);
    let text = read(&path);
    let found = text.matches(edit.find).count();
    if found != 1 {
        fail(&format!(
            "{}: expected one `{}`, found {found}",
            edit.file,
            edit.find.trim_end()
        ));
    }
    let change = match edit.change {
        Replace(text) => text.to_owned(),
        Before(text) => format!("{text}{}", edit.find),
        After(text) => format!("{}{text}", edit.find),
    };
    write(&path, &text.replace(edit.find, &change));
}

/// Compiles the changed Lua and our files beside it into `libskynetlua.a`.
fn compile_lua(include: &Path, own: &Path) {
    let mut cc = compiler();
    match var("CARGO_CFG_TARGET_OS").as_str() {
        "linux" => cc.define("LUA_USE_LINUX", None),
        "macos" => cc.define("LUA_USE_MACOSX", None),
        _ => cc
            .define("LUA_USE_POSIX", None)
            .define("LUA_USE_DLOPEN", None),
    };
    if var("PROFILE") == "debug" {
        cc.define("LUA_USE_APICHECK", None);
    }
    cc.include(include).include(own);
    cc.define("LUA_CORE", "").define("LUA_LIB", "");
    cc.files(OWN_SOURCES.iter().map(|name| own.join(name)));
    cc.compile("skynetlua");
}

/// Compiles the variadic function that Rust cannot define.
fn compile_shim(source: &Path, api_head: bool) {
    compiler()
        .define("SKYNET_API_HEAD", if api_head { "1" } else { "0" })
        .warnings(true)
        .file(source)
        .compile("skynetshim");
}

/// What both libraries are compiled with. `-O2` in every profile: nobody debugs Lua's C here, and
/// an unoptimised VM makes every test slow.
fn compiler() -> cc::Build {
    let mut cc = cc::Build::new();
    cc.cargo_metadata(false)
        .opt_level(2)
        .warnings(false)
        // There is debug information to unwind by, and the interpreter can use the register.
        .force_frame_pointer(false)
        .flag_if_supported("-fno-common")
        // The objects also go into libskynet.so, hence PIC; calls among them need not go through
        // the symbol table, which nobody overrides.
        .flag_if_supported("-fno-semantic-interposition")
        .flag_if_supported("-fno-plt");
    cc
}

/// The `.c` and `.h` files of a directory, in a fixed order.
fn c_files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap_or_else(|e| fail(&format!("{}: {e}", dir.display())));
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|ext| ext == "c" || ext == "h"))
        .collect();
    files.sort();
    files
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| fail(&format!("{}: {e}", path.display())))
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|e| fail(&format!("{}: {e}", path.display())));
}

/// A variable that cargo always sets for a build script.
fn var(name: &str) -> String {
    env::var(name).unwrap_or_else(|e| fail(&format!("{name}: {e}")))
}

fn feature(name: &str) -> bool {
    env::var_os(format!("CARGO_FEATURE_{}", name.to_uppercase())).is_some()
}

/// Ends the build with a message instead of a panic's backtrace.
fn fail(message: &str) -> ! {
    eprintln!("build.rs: {message}");
    std::process::exit(1)
}
