//! Upstream's C services and Lua C modules, compiled from its unchanged sources: against its own headers
//! or against ours.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the headers of one side are.
pub struct Headers {
    /// Folder of `skynet.h` and its like.
    pub core: PathBuf,
    /// Folder of `lua.h` and its like.
    pub lua: PathBuf,
}

impl Headers {
    /// Ours: of the core for the API level of `tree`, and of the Lua that this build has.
    pub fn ours() -> Headers {
        Headers {
            core: Path::new(env!("CARGO_MANIFEST_DIR")).join("include"),
            lua: Path::new(env!("OUT_DIR")).join("lua"),
        }
    }

    /// Those of an upstream tree.
    pub fn of(tree: &Path) -> Headers {
        Headers {
            core: tree.join("skynet-src"),
            lua: tree.join("3rd/lua"),
        }
    }
}

/// Whether a tree of upstream has the API level head.
pub fn is_head(tree: &Path) -> bool {
    tree.join("skynet-src/mem_info.h").exists()
}

/// A shared object: its place in the tree, its sources (a folder stands for all in it, without those
/// behind it that begin with a minus), folders it includes from, and libraries.
struct Module {
    out: &'static str,
    sources: &'static [&'static str],
    include: &'static [&'static str],
    libs: &'static [&'static str],
}

const MODULES: &[Module] = &[
    Module {
        out: "cservice/gate.so",
        sources: &["service-src/service_gate.c"],
        include: &[],
        libs: &[],
    },
    Module {
        out: "cservice/harbor.so",
        sources: &["service-src/service_harbor.c"],
        include: &[],
        libs: &[],
    },
    Module {
        out: "cservice/logger.so",
        sources: &["service-src/service_logger.c"],
        include: &[],
        libs: &[],
    },
    Module {
        out: "cservice/snlua.so",
        sources: &["service-src/service_snlua.c"],
        include: &[],
        libs: &[],
    },
    Module {
        out: "luaclib/skynet.so",
        sources: &[
            "lualib-src",
            "-lua-bson.c",
            "-lua-clientsocket.c",
            "-ltls.c",
        ],
        include: &["service-src", "lualib-src"],
        libs: &[],
    },
    Module {
        out: "luaclib/bson.so",
        sources: &["lualib-src/lua-bson.c"],
        include: &[],
        libs: &[],
    },
    Module {
        out: "luaclib/client.so",
        sources: &[
            "lualib-src/lua-clientsocket.c",
            "lualib-src/lua-crypt.c",
            "lualib-src/lsha1.c",
        ],
        include: &[],
        libs: &["-lpthread"],
    },
    Module {
        out: "luaclib/sproto.so",
        sources: &["lualib-src/sproto"],
        include: &["lualib-src/sproto"],
        libs: &[],
    },
    Module {
        out: "luaclib/md5.so",
        sources: &["3rd/lua-md5"],
        include: &["3rd/lua-md5"],
        libs: &[],
    },
    Module {
        out: "luaclib/lpeg.so",
        sources: &["3rd/lpeg"],
        include: &["3rd/lpeg"],
        libs: &[],
    },
    Module {
        out: "luaclib/ltls.so",
        sources: &["lualib-src/ltls.c"],
        include: &[],
        libs: &["-lssl", "-lcrypto"],
    },
];

/// The C compiler that `CC` names.
pub fn cc() -> Command {
    let cc = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let mut words = cc.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or("cc"));
    command.args(words);
    command
}

/// Compiles and links all modules of `tree` into `out/cservice` and `out/luaclib`. The warnings, one
/// for a line, without the paths of headers; or what went wrong.
///
/// The TLS module is left out where OpenSSL's headers are missing.
pub fn rebuild(tree: &Path, headers: &Headers, out: &Path) -> Result<Vec<String>, String> {
    let mut warnings = Vec::new();
    for module in MODULES {
        if module.libs.contains(&"-lssl") && !has_openssl() {
            super::skipped("ltls.c: no OpenSSL headers");
            continue;
        }
        let target = out.join(module.out);
        let folder = target.parent().expect("a folder");
        std::fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        // Exchanged in one step: another run of the tests may be about to load the one that is there.
        let fresh = target.with_extension(format!("{}.new", std::process::id()));
        let mut cc = cc();
        // The include path of upstream's Makefile, with headers exchanged.
        cc.args(["-g", "-O2", "-Wall", "-Wextra", "-shared", "-fPIC", "-I"])
            .arg(&headers.core)
            .arg("-I")
            .arg(&headers.lua)
            .args(
                module
                    .include
                    .iter()
                    .map(|dir| format!("-I{}", tree.join(dir).display())),
            )
            .arg(format!("-DSKYNET_API_HEAD={}", u8::from(is_head(tree))))
            .arg("-o")
            .arg(&fresh)
            .args(sources(tree, module.sources)?)
            .args(module.libs);
        let done = cc.output().map_err(|e| format!("{cc:?}: {e}"))?;
        let text = String::from_utf8_lossy(&done.stderr);
        if !done.status.success() {
            return Err(format!("{cc:?}\n{text}"));
        }
        std::fs::rename(&fresh, &target).map_err(|e| format!("{}: {e}", target.display()))?;
        warnings.extend(text.lines().filter_map(|line| {
            let (place, message) = line.split_once(": warning: ")?;
            let file = place.rsplit('/').next().unwrap_or(place);
            // The line number of a source says which it is; headers have theirs elsewhere.
            let file = match file.split_once(".h:") {
                Some((name, _)) => format!("{name}.h"),
                None => file.to_owned(),
            };
            Some(format!("{}: {file}: {message}", module.out))
        }));
    }
    Ok(warnings)
}

fn has_openssl() -> bool {
    let mut cc = cc();
    cc.args(["-E", "-include", "openssl/ssl.h", "-xc", "/dev/null"]);
    cc.output().is_ok_and(|done| done.status.success())
}

/// The files that a list of [`Module::sources`] means.
fn sources(tree: &Path, list: &[&str]) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for entry in list.iter().filter(|entry| !entry.starts_with('-')) {
        let path = tree.join(entry);
        if path.is_file() {
            files.push(path);
            continue;
        }
        let inside = std::fs::read_dir(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let mut inside: Vec<PathBuf> = inside.filter_map(|e| Some(e.ok()?.path())).collect();
        inside.retain(|file| {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            let left_out = list
                .iter()
                .any(|other| other.strip_prefix('-') == Some(&name));
            name.ends_with(".c") && !left_out
        });
        inside.sort();
        files.extend(inside);
    }
    Ok(files)
}
