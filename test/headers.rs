//! The headers in `include/` as projects compile them: each alone, all in both orders (so that every
//! pair meets in either order), as C and C++, at both API levels, without a warning.
//! (`upstream.rs` compares them with upstream's.)

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const INCLUDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/include");
const API: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/test/api");

/// Compiler and arguments for each language that a project may use.
const LANGUAGES: [&[&str]; 5] = [
    &["cc", "-xc", "-std=c99"],
    &["cc", "-xc", "-std=c11"],
    &["cc", "-xc", "-std=gnu17"],
    &["c++", "-xc++", "-std=c++11"],
    &["c++", "-xc++", "-std=c++20"],
];

const STRICT: [&str; 5] = ["-Wall", "-Wextra", "-pedantic", "-Werror", "-pthread"];

/// A fresh directory for what one test makes.
fn scratch(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    dir
}

/// The compiler of a language of [`LANGUAGES`], ready for more arguments. `CC` and `CXX` are obeyed.
fn compiler(language: &[&str]) -> Command {
    let variable = if language[0] == "cc" { "CC" } else { "CXX" };
    let mut command =
        Command::new(std::env::var(variable).unwrap_or_else(|_| language[0].to_owned()));
    command.args(&language[1..]).arg("-I").arg(INCLUDE);
    command
}

fn run(command: &mut Command) {
    let done = command.output().expect("a C compiler and a C++ compiler");
    assert!(
        done.status.success(),
        "{command:?}\n{}",
        String::from_utf8_lossy(&done.stderr)
    );
}

fn headers() -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(INCLUDE)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".h"))
        .collect();
    names.sort();
    names
}

/// A directory with as much of `lua.h` as `malloc_hook.h` needs.
fn lua(dir: &Path) -> PathBuf {
    let lua = dir.join("lua");
    fs::create_dir_all(&lua).unwrap();
    fs::write(lua.join("lua.h"), "typedef struct lua_State lua_State;\n").unwrap();
    lua
}

#[test]
fn the_list_is_complete() {
    let expected = "atomic malloc_hook mem_info rwlock skynet skynet_api skynet_daemon skynet_env \
                    skynet_handle skynet_harbor skynet_imp skynet_log skynet_malloc skynet_module \
                    skynet_monitor skynet_mq skynet_server skynet_socket skynet_timer skynetx \
                    socket_buffer socket_info socket_poll socket_server spinlock";
    let mut found = headers();
    found.retain(|name| name != "skynet_level.h"); // left by make
    let found: Vec<_> = found
        .iter()
        .map(|name| name.strip_suffix(".h").unwrap())
        .collect();
    assert_eq!(found.join(" "), expected);
}

#[test]
fn headers_compile_alone_and_in_any_order() {
    let dir = scratch("orders");
    let lua = lua(&dir);
    let headers = headers();
    let include = |name: &String| format!("#include \"{name}\"\n");

    let mut units: Vec<String> = headers.iter().map(include).collect();
    let forward: String = headers.iter().map(include).collect();
    let backward: String = headers.iter().rev().map(include).collect();
    // Twice, and among the headers of the system that know the same names.
    let system = "#include <stdlib.h>\n#include <string.h>\n#include <stdio.h>\n";
    units.push(format!("{forward}{forward}{system}"));
    units.push(format!("{system}{backward}"));
    // C++ projects had to do this themselves and still may.
    units.push(format!(
        "#ifdef __cplusplus\nextern \"C\" {{\n#endif\n{forward}#ifdef __cplusplus\n}}\n#endif\n"
    ));

    let files: Vec<PathBuf> = units
        .iter()
        .enumerate()
        .map(|(i, unit)| {
            let file = dir.join(format!("{i}.c"));
            // A declaration, as an empty unit is no C.
            fs::write(&file, format!("{unit}extern int unit;\n")).unwrap();
            file
        })
        .collect();
    for language in LANGUAGES {
        for level in ["-DSKYNET_API_HEAD=0", "-DSKYNET_API_HEAD=1"] {
            run(compiler(language)
                .args(STRICT)
                .args(["-fsyntax-only", level, "-I"])
                .arg(&lua)
                .args(&files));
        }
    }
}

#[test]
fn layouts_and_constants_hold() {
    for language in LANGUAGES {
        for level in ["-DSKYNET_API_HEAD=0", "-DSKYNET_API_HEAD=1"] {
            run(compiler(language)
                .args(STRICT)
                .args(["-fsyntax-only", level])
                .arg(format!("{API}/layout.c")));
        }
    }
}

#[test]
fn atomics_and_locks_work() {
    let dir = scratch("atomics");
    for language in LANGUAGES {
        for locks in ["-DSPINNING_LOCKS", "-DUSE_PTHREAD_LOCK"] {
            let program = dir.join("atomics");
            run(compiler(language)
                .args(STRICT)
                .args(["-O1", locks, "-o"])
                .arg(&program)
                .arg(format!("{API}/atomics.c")));
            run(&mut Command::new(&program));
        }
    }
}

/// Level 1.8 unless the project or `make` says otherwise.
#[test]
fn the_level_can_be_chosen() {
    let dir = scratch("level");
    let unit = |level: u32| {
        format!(
            "#include \"skynet_api.h\"\n#if SKYNET_API_HEAD != {level}\n#error level\n#endif\n\
             extern int unit;\n"
        )
    };
    for level in 0..2 {
        fs::write(dir.join(format!("{level}.c")), unit(level)).unwrap();
    }
    // A copy without what make may have left in include/.
    let bare = dir.join("include");
    fs::create_dir(&bare).unwrap();
    fs::copy(
        Path::new(INCLUDE).join("skynet_api.h"),
        bare.join("skynet_api.h"),
    )
    .unwrap();
    let compile = |file: &str, define: Option<&str>| {
        let mut cc = Command::new(std::env::var("CC").unwrap_or_else(|_| "cc".into()));
        cc.args(["-std=c99", "-pedantic", "-Werror", "-fsyntax-only", "-I"]);
        run(cc.arg(&bare).args(define).arg(dir.join(file)));
    };
    compile("0.c", None);
    compile("1.c", Some("-DSKYNET_API_HEAD=1"));
    fs::write(bare.join("skynet_level.h"), "#define SKYNET_API_HEAD 1\n").unwrap();
    compile("1.c", None);
    compile("0.c", Some("-DSKYNET_API_HEAD=0"));
}
