//! Lua as we change it: the language behaves as the unchanged one's, and states on many threads share functions,
//! strings and tables. Both Luas are compiled here from the sources that the build script used.
//!
//! `SKYNET_LUA_SANITIZE=address|thread` instruments the second test, `SKYNET_LUA_ROUNDS` is how many states each of
//! its threads makes (`make lua-asan`, `make lua-tsan`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const STOCK: &str = env!("SKYNET_LUA_STOCK");
const CHANGED: &str = env!("SKYNET_LUA_CHANGED");

fn package(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn folder(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("lua_share")
        .join(name);
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).expect("a folder for the test");
    dir
}

fn c_files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("a folder of sources");
    let paths = entries.map(|entry| entry.expect("a readable folder").path());
    paths
        .filter(|path| path.extension().is_some_and(|ext| ext == "c"))
        .collect()
}

/// The files of ours that are part of the VM.
fn own() -> Vec<PathBuf> {
    let names = ["chunk.c", "codecache.c", "layout.c", "share.c"];
    names
        .iter()
        .map(|name| package("src/lua").join(name))
        .collect()
}

fn output(command: &mut Command) -> Output {
    command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"))
}

/// What a command prints, which must succeed.
#[track_caller]
fn run(command: &mut Command) -> String {
    let result = output(command);
    let text = String::from_utf8_lossy(&result.stdout).into_owned();
    assert!(
        result.status.success(),
        "{command:?}: {}\n{text}{}",
        result.status,
        String::from_utf8_lossy(&result.stderr)
    );
    text
}

/// Compiles Lua from `include` and these files beside it into one program.
fn build(program: &Path, include: &str, sources: &[PathBuf], flags: &[&str]) {
    let cc = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let mut words = cc.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or("cc"));
    command.args(words).args(flags).arg("-I").arg(include);
    if cfg!(target_os = "linux") {
        command.arg("-DLUA_USE_LINUX");
    } else {
        command.args(["-DLUA_USE_POSIX", "-DLUA_USE_DLOPEN"]);
    }
    command.args(c_files(Path::new(include))).args(sources);
    command.arg("-o").arg(program);
    run(command.args(["-lm", "-ldl", "-lpthread"]));
}

/// The same cases, with the same output. The second time the changed Lua takes its files from the cache.
#[test]
fn the_language_is_the_same() {
    let dir = folder("language");
    let (stock, changed) = (dir.join("stock"), dir.join("changed"));
    let main = package("src/lua/lua.c");
    build(&stock, STOCK, std::slice::from_ref(&main), &["-O1"]);
    let mut sources = own();
    sources.push(main);
    build(&changed, CHANGED, &sources, &["-O1"]);
    let cases = package("test/lua_share/language");
    for collector in ["incremental", "generational"] {
        let all = |lua: &Path| {
            run(Command::new(lua)
                .env_clear()
                .current_dir(&cases)
                .args(["main.lua", collector]))
        };
        let (want, got) = (all(&stock), all(&changed));
        assert!(want.lines().count() > 100, "the cases did run:\n{want}");
        for (want, got) in want.lines().zip(got.lines()) {
            assert_eq!(got, want);
        }
        assert_eq!(got.lines().count(), want.lines().count());
    }
}

#[test]
fn storm() {
    let dir = folder("storm");
    let program = dir.join("storm");
    let rounds = std::env::var("SKYNET_LUA_ROUNDS").unwrap_or_else(|_| "30".into());
    let mut flags = vec!["-O1", "-g"];
    let mut threads = "16";
    match std::env::var("SKYNET_LUA_SANITIZE").as_deref() {
        Ok("address") => flags.push("-fsanitize=address"),
        // Without its notes of calls (gcc's option), which jumps over frames would let grow without end.
        Ok("thread") => flags.extend([
            "-fsanitize=thread",
            "--param=tsan-instrument-func-entry-exit=0",
        ]),
        Ok(other) => panic!("SKYNET_LUA_SANITIZE={other}"),
        Err(_) => threads = "4",
    }
    let mut sources = own();
    sources.push(package("test/lua_share/storm.c"));
    build(&program, CHANGED, &sources, &flags);
    let files = package("test/lua_share/files");
    let text = run(Command::new(&program).arg(files).args([&rounds, threads]));
    assert_eq!(text, "storm passed\n");
}
