//! What `make` leaves in `3rd/lua` for people who work with C and Lua: headers, library, and the
//! programs `lua` and `luac`. Reads the staged node (`SKYNET_NODE`, set by `make test`).

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn tree() -> PathBuf {
    let node = std::env::var_os("SKYNET_NODE")
        .expect("SKYNET_NODE names the staged node: run `make test`, or set it by hand");
    PathBuf::from(node).join("3rd/lua")
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("test/lua_tree")
        .join(name)
}

/// An empty folder of this test's own.
fn folder(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("lua_tree")
        .join(name);
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).expect("a folder for the test");
    dir
}

/// A file with this content.
fn file(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, text).expect("a file for the test");
    path
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A program of the tree, free of what the user's environment says to Lua.
fn program(name: &str) -> Command {
    let mut command = Command::new(tree().join(name));
    for (key, _) in std::env::vars_os() {
        if key.to_string_lossy().starts_with("LUA_") {
            command.env_remove(key);
        }
    }
    command.stdin(Stdio::null());
    command
}

fn output(command: &mut Command) -> Output {
    command
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"))
}

/// Standard output of a command that must succeed.
#[track_caller]
fn succeed(command: &mut Command) -> String {
    let result = output(command);
    assert!(
        result.status.success(),
        "{command:?}: {}\n{}",
        result.status,
        text(&result.stderr)
    );
    text(&result.stdout)
}

/// Standard error of a command that must exit with 1.
#[track_caller]
fn complain(command: &mut Command) -> String {
    let result = output(command);
    assert_eq!(
        result.status.code(),
        Some(1),
        "{command:?}: {}",
        text(&result.stdout)
    );
    text(&result.stderr)
}

/// Runs a command with this standard input.
fn feed(command: &mut Command, input: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin
        .write_all(input.as_bytes())
        .expect("the program reads");
    drop(stdin);
    child.wait_with_output().expect("the program ends")
}

/// The C compiler, as strict as a project might have it.
fn cc() -> Command {
    let cc = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let mut words = cc.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or("cc"));
    command.args(words);
    command.args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-I"]);
    command.arg(tree());
    command
}

fn version() -> &'static str {
    if cfg!(feature = "lua55") {
        "Lua 5.5"
    } else {
        "Lua 5.4"
    }
}

#[test]
fn script_gets_its_arguments() {
    let dir = folder("arguments");
    let script = file(
        &dir,
        "args.lua",
        "print(_VERSION, #arg, arg[1], arg[2], arg[0] == debug.getinfo(1, 'S').source:sub(2), ...)\n\
         print(arg[-1], arg[-2] ~= nil)",
    );
    let out = succeed(program("lua").arg("-W").arg(&script).args(["a", "-b"]));
    assert_eq!(
        out,
        format!("{}\t2\ta\t-b\ttrue\ta\t-b\n-W\ttrue\n", version())
    );
}

#[test]
fn options_run_in_order() {
    let dir = folder("options");
    file(&dir, "mod.lua", "return { name = ... }");
    let run = |args: &[&str]| succeed(program("lua").current_dir(&dir).args(args));
    assert_eq!(run(&["-e", "x = 1", "-eprint(x)"]), "1\n");
    assert_eq!(
        run(&["-l", "mod", "-lm=mod", "-e", "print(mod.name, m == mod)"]),
        "mod\ttrue\n"
    );
    assert!(run(&["-v"]).starts_with(version()));
    let script = file(&dir, "-odd.lua", "print 'odd'");
    let name = script.file_name().and_then(|n| n.to_str()).expect("a name");
    assert_eq!(run(&["--", name]), "odd\n");
}

#[test]
fn errors_end_with_a_message_and_status_1() {
    let dir = folder("errors");
    let script = file(
        &dir,
        "fails.lua",
        "local function f() error 'no luck' end\nf()",
    );
    let message = complain(program("lua").arg(&script));
    assert!(
        message.contains("fails.lua:1: no luck\nstack traceback:"),
        "{message}"
    );
    let cases: &[(&[&str], &str)] = &[
        (&["/nonexistent.lua"], "cannot open /nonexistent.lua"),
        (
            &["-e", "x ="],
            "(command line):1: unexpected symbol near <eof>",
        ),
        (&["-e", "error {}"], "(error object is a table value)"),
        (
            &[
                "-e",
                "error(setmetatable({}, { __tostring = function() return 'own text' end }))",
            ],
            ": own text\n",
        ),
        (
            &["-l", "no_such_module"],
            "module 'no_such_module' not found",
        ),
        (&["-x"], "unrecognized option '-x'\nusage:"),
        (&["-e"], "needs argument '-e'"),
    ];
    for (args, expected) in cases {
        let message = complain(program("lua").args(*args));
        assert!(message.contains(expected), "{args:?}: {message}");
    }
    assert_eq!(
        output(program("lua").args(["-e", "os.exit(7)"]))
            .status
            .code(),
        Some(7)
    );
}

#[test]
fn environment_is_heeded_unless_told_otherwise() {
    let dir = folder("environment");
    let init = file(&dir, "init.lua", "x = 'from a file'");
    let ask = ["-e", "print(x)"];
    assert_eq!(
        succeed(program("lua").env("LUA_INIT", "x = 'text'").args(ask)),
        "text\n"
    );
    let at = format!("@{}", init.display());
    assert_eq!(
        succeed(program("lua").env("LUA_INIT", &at).args(ask)),
        "from a file\n"
    );
    assert_eq!(
        succeed(program("lua").env("LUA_INIT", &at).arg("-E").args(ask)),
        "nil\n"
    );
    let suffixed = version().replace("Lua ", "LUA_INIT_").replace('.', "_");
    assert_eq!(
        succeed(
            program("lua")
                .env("LUA_INIT", "x = 'any'")
                .env(suffixed, "x = 'this one'")
                .args(ask)
        ),
        "this one\n"
    );
}

#[test]
fn standard_input_is_a_script_or_a_conversation() {
    let result = feed(program("lua").args(["-", "a"]), "print('in', ...)");
    assert_eq!(text(&result.stdout), "in\ta\n");
    let result = feed(&mut program("lua"), "print(2)");
    assert_eq!(text(&result.stdout), "2\n");

    // Expressions are printed, statements go on over lines, an error does not end it.
    let result = feed(
        program("lua").arg("-i"),
        "1 + 1\nfor i = 1, 2 do\nprint('line', i)\nend\nerror 'oops'\n_PROMPT = '# '\n'last', nil\n",
    );
    let out = text(&result.stdout);
    assert!(out.contains("> 2\n"), "{out}");
    assert!(out.contains("> >> >> line\t1\nline\t2\n"), "{out}");
    assert!(out.contains("# last\tnil\n"), "{out}");
    assert!(text(&result.stderr).contains("stdin:1: oops"));
    assert!(result.status.success());
}

#[test]
fn compiled_chunks_run() {
    let dir = folder("luac");
    let script = file(&dir, "ok.lua", "local name = ...\nprint('hello ' .. name)");
    let bad = file(&dir, "bad.lua", "x = = 1");
    let chunk = dir.join("ok.luac");
    let small = dir.join("small.luac");

    succeed(program("luac").arg("-o").arg(&chunk).arg(&script));
    succeed(program("luac").arg("-s").arg("-o").arg(&small).arg(&script));
    for path in [&chunk, &small] {
        assert_eq!(
            succeed(program("lua").arg(path).arg("you")),
            "hello you\n",
            "{path:?}"
        );
    }
    let size = |path: &Path| fs::metadata(path).expect("a file").len();
    assert!(size(&small) < size(&chunk));

    succeed(program("luac").arg("-p").arg(&script).arg(&script));
    let message = complain(program("luac").arg("-p").arg(&script).arg(&bad));
    assert!(
        message.contains("bad.lua:1: unexpected symbol near '='"),
        "{message}"
    );
    complain(program("luac").arg(&script).arg(&script));
    complain(
        program("luac")
            .arg("-o")
            .arg("/nonexistent/out")
            .arg(&script),
    );
    complain(program("luac").arg("-l").arg(&script));
    complain(&mut program("luac"));
}

#[test]
fn c_modules_find_lua_in_the_interpreter() {
    let dir = folder("module");
    fs::create_dir(dir.join("sample")).expect("a folder");
    let module = dir.join("sample/module.so");
    succeed(
        cc().args(["-pedantic", "-shared", "-fPIC", "-o"])
            .arg(&module)
            .arg(source("module.c")),
    );
    let setup = format!("package.cpath = '{}/?.so'", dir.display());
    let out = succeed(program("lua").args([
        "-e",
        &setup,
        "-e",
        "print(require('sample.module').add(40, 2))",
    ]));
    assert_eq!(out, "42\n");
}

#[test]
fn the_interpreter_collects_as_the_usual_one() {
    let script = "print(collectgarbage('incremental'))";
    assert_eq!(
        succeed(program("lua").args(["-e", script])),
        "generational\n"
    );
}

#[test]
fn c_programs_have_the_additions() {
    let dir = folder("host");
    let host = dir.join("host");
    // Each function counts its own calls: what one load did must not show in another.
    let counter = file(
        &dir,
        "counter.lua",
        "calls = calls or setmetatable({}, { __mode = 'k' })\n\
         local me = debug.getinfo(1, 'f').func\n\
         calls[me] = (calls[me] or 0) + 1\n\
         return calls[me]\n",
    );
    succeed(
        cc().arg("-o")
            .arg(&host)
            .arg(source("host.c"))
            .arg(tree().join("liblua.a"))
            .args(["-lm", "-ldl"]),
    );
    succeed(Command::new(&host).arg(source("host.lua")).arg(&counter));
}

#[test]
fn headers_serve_cpp() {
    if Command::new("c++").arg("--version").output().is_err() {
        eprintln!("skipped: there is no C++ compiler");
        return;
    }
    let dir = folder("cpp");
    let unit = file(
        &dir,
        "unit.cpp",
        "#include <lua.hpp>\nint top(lua_State *L) { return lua_gettop(L); }\n",
    );
    let object = dir.join("unit.o");
    succeed(
        Command::new("c++")
            .arg("-I")
            .arg(tree())
            .arg("-c")
            .arg(&unit)
            .arg("-o")
            .arg(&object),
    );
    // A C++ name here would mean that nothing links.
    let names = fs::read(&object).expect("an object file");
    let has = |name: &[u8]| names.windows(name.len()).any(|w| w == name);
    assert!(has(b"\0lua_gettop\0"));
}
