//! Compares the headers with `luaclib/skynet-sys`, Rust's view of them that our own modules use, and
//! the names they declare with those that the core defines.
//!
//! cbindgen writes down in C what skynet-sys says. That text and the headers go into one translation
//! unit, once for each API level: two declarations of a function that differ are an error of the C
//! compiler, and so are, by assertions that we add, constants and layouts that differ. Names must be
//! on both sides, save for the exceptions listed here, each with its reason.

use crate::names::c_name;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is opaque in C: no layout to compare.
const NO_LAYOUT: &[&str] = &["SkynetContext"];

/// Functions that no header declares: a helper of `error.c`.
const NOT_DECLARED: &[&str] = &["skynetx_error_bytes"];

/// Functions that `src/capi` does not define: written in C, or the malloc family.
const NOT_IN_CAPI: &[&str] = &[
    "skynet_error",
    "malloc",
    "calloc",
    "realloc",
    "free",
    "memalign",
    "aligned_alloc",
    "posix_memalign",
];

/// Declared at one level only, or as an inline function instead; defined at both.
fn not_at(level: Level, function: &str) -> bool {
    match level {
        Level::V18 => function == "skynet_handle_register_thread",
        Level::Head => function == "skynet_strdup",
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    V18,
    Head,
}

/// Everything at both levels: a line for each comparison, or what is wrong.
pub fn run(root: &Path) -> Result<String, String> {
    let scratch = std::env::temp_dir().join(format!("skynet-headers-{}", std::process::id()));
    fs::create_dir_all(&scratch).map_err(|e| e.to_string())?;
    let result = compare(root, &scratch);
    let _ = fs::remove_dir_all(&scratch);
    result
}

fn compare(root: &Path, scratch: &Path) -> Result<String, String> {
    let core = Declarations::of(&root.join("src/capi/mod.rs"))?;
    let modules = Declarations::of(&root.join("luaclib/skynet-sys/src/lib.rs"))?;
    let mut report = String::new();
    for level in [Level::V18, Level::Head] {
        let fail = |text: String| format!("headers at {level:?}:\n{text}");
        let compared = compile(root, scratch, &modules, level).map_err(fail)?;
        names(root, &core, level).map_err(fail)?;
        writeln!(report, "headers: skynet-sys at {level:?}: {compared} agree").unwrap();
    }
    Ok(report)
}

/// What Rust sources declare, as C.
#[derive(Default)]
struct Declarations {
    /// Prototypes with the `#if` lines around them, in our headers' words.
    functions: Vec<Function>,
    /// Name and value.
    constants: Vec<(String, String)>,
    structs: Vec<Struct>,
}

struct Function {
    name: String,
    text: String,
}

/// A struct in Rust's names and order.
struct Struct {
    name: String,
    text: String,
    fields: Vec<String>,
}

impl Declarations {
    fn of(source: &Path) -> Result<Declarations, String> {
        let mut config = cbindgen::Config {
            language: cbindgen::Language::C,
            style: cbindgen::Style::Tag,
            usize_is_size_t: true,
            no_includes: true,
            documentation: false,
            ..cbindgen::Config::default()
        };
        config
            .defines
            .insert("api_head".into(), "SKYNET_API_HEAD".into());
        let builder = cbindgen::Builder::new()
            .with_config(config)
            .with_src(source);
        let mut text = Vec::new();
        builder
            .generate()
            .map_err(|e| e.to_string())?
            .write(&mut text);
        let text = String::from_utf8(text).map_err(|e| e.to_string())?;

        // One item after the other, with empty lines between them.
        let mut all = Declarations::default();
        for item in text.split("\n\n").map(str::trim).filter(|i| !i.is_empty()) {
            if let Some(constant) = item.strip_prefix("#define ") {
                if let Some((name, value)) = constant.split_once(' ') {
                    all.constants.push((name.into(), value.into()));
                }
            } else if item.starts_with("struct ") && item.contains('{') {
                all.structs.push(Struct::parse(item));
            } else if item.contains('(') && !item.starts_with("typedef ") {
                all.functions.push(Function::parse(item));
            }
        }
        if all.functions.len() < 30 {
            return Err(format!("only {} functions found", all.functions.len()));
        }
        Ok(all)
    }
}

impl Function {
    fn parse(item: &str) -> Function {
        let line = item.lines().find(|line| !line.starts_with('#'));
        let before = line.unwrap_or("").split('(').next().unwrap_or("");
        let name = before.rsplit([' ', '*']).next().unwrap_or("").to_owned();
        Function {
            name,
            text: in_c(item),
        }
    }
}

impl Struct {
    fn parse(item: &str) -> Struct {
        let word = |line: &str| line.split(' ').nth(1).unwrap_or("").to_owned();
        let name = word(item);
        let fields = item
            .lines()
            .skip(1)
            .filter_map(|line| line.trim().strip_suffix(';'))
            .map(|field| match field.split_once("(*") {
                // A pointer to a function: the name is in the middle.
                Some((_, rest)) => rest.split(')').next().unwrap_or("").to_owned(),
                None => {
                    let field = field.split('[').next().unwrap_or("");
                    field.rsplit([' ', '*']).next().unwrap_or("").to_owned()
                }
            })
            .filter(|field| !field.is_empty() && field != "}")
            .collect();
        Struct {
            name,
            text: item.to_owned(),
            fields,
        }
    }
}

/// The headers' names instead of Rust's.
fn in_c(text: &str) -> String {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut changed = String::new();
    for part in text.split_inclusive(|c| !is_word(c)) {
        let word = part.trim_end_matches(|c| !is_word(c));
        let camel = word.starts_with(|c: char| c.is_ascii_uppercase())
            && word.contains(|c: char| c.is_ascii_lowercase());
        if camel {
            changed += &c_name(word);
            changed += &part[word.len()..];
        } else {
            changed += part;
        }
    }
    changed
}

/// All headers, in a stable order.
fn headers(root: &Path) -> Result<Vec<PathBuf>, String> {
    let include = root.join("include");
    let entries = fs::read_dir(&include).map_err(|e| format!("{}: {e}", include.display()))?;
    let mut list: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    list.retain(|path| path.extension().is_some_and(|end| end == "h"));
    list.sort();
    Ok(list)
}

/// Compiles headers and declarations together. What was compared, or what the compiler says.
fn compile(
    root: &Path,
    scratch: &Path,
    rust: &Declarations,
    level: Level,
) -> Result<String, String> {
    // All that malloc_hook.h and the lines below need of Lua.
    fs::write(
        scratch.join("lua.h"),
        "typedef struct lua_State lua_State;\n",
    )
    .map_err(|e| e.to_string())?;
    let mut unit = String::from("#include <stddef.h>\n#include <stdio.h>\n");
    for header in headers(root)? {
        let name = header.file_name().unwrap_or_default().to_string_lossy();
        writeln!(unit, "#include \"{name}\"").unwrap();
    }

    let mut functions = 0;
    for function in &rust.functions {
        let name = function.name.as_str();
        let own = name.starts_with("lua");
        if own || not_at(level, name) {
            continue;
        }
        functions += 1;
        writeln!(unit, "{}", function.text).unwrap();
    }
    let mut constants = 0;
    for (name, value) in &rust.constants {
        // A value that names another constant of Rust's says nothing to C.
        if value.parse::<i64>().is_ok() {
            constants += 1;
            writeln!(
                unit,
                "_Static_assert(({name}) == {value}, \"{name} is {value} in Rust\");"
            )
            .unwrap();
        }
    }
    let mut structs = 0;
    for item in &rust.structs {
        let name = &item.name;
        let c = in_c(&format!("struct {name}"));
        if NO_LAYOUT.contains(&name.as_str()) {
            continue;
        }
        structs += 1;
        writeln!(unit, "{}", item.text).unwrap();
        writeln!(
            unit,
            "_Static_assert(sizeof(struct {name}) == sizeof({c}), \"size of {name}\");"
        )
        .unwrap();
        for field in &item.fields {
            // `type` is a word of Rust's.
            let c_field = if field == "kind" { "type" } else { field };
            writeln!(
                unit,
                "_Static_assert(offsetof(struct {name}, {field}) == offsetof({c}, {c_field}), \
                 \"{field} of {name}\");"
            )
            .unwrap();
        }
    }

    let file = scratch.join("unit.c");
    fs::write(&file, unit).map_err(|e| e.to_string())?;
    let mut cc = Command::new(std::env::var("CC").unwrap_or_else(|_| "cc".into()));
    cc.args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"])
        .arg(match level {
            Level::V18 => "-DSKYNET_API_HEAD=0",
            Level::Head => "-DSKYNET_API_HEAD=1",
        })
        .arg("-I")
        .arg(root.join("include"))
        .arg("-I")
        .arg(scratch)
        .arg(&file);
    let done = cc.output().map_err(|e| format!("{cc:?}: {e}"))?;
    if !done.status.success() {
        return Err(String::from_utf8_lossy(&done.stderr).into_owned());
    }
    Ok(format!(
        "{functions} functions, {constants} constants, {structs} structs"
    ))
}

/// Compares the sets of names: what the core defines is declared, and the reverse.
fn names(root: &Path, rust: &Declarations, level: Level) -> Result<(), String> {
    let mut declared = BTreeSet::new();
    for header in headers(root)? {
        let text = fs::read_to_string(&header).map_err(|e| e.to_string())?;
        declared.extend(prototypes(&text));
    }
    let defined: BTreeSet<&str> = rust
        .functions
        .iter()
        .map(|function| function.name.as_str())
        .filter(|name| !name.starts_with("lua"))
        .collect();
    let mut problems = String::new();
    for name in &defined {
        if !declared.contains(*name) && !NOT_DECLARED.contains(name) && !not_at(level, name) {
            writeln!(problems, "{name} is in src/capi and in no header").unwrap();
        }
    }
    for name in &declared {
        let elsewhere = NOT_IN_CAPI.contains(&name.strip_prefix("skynet_").unwrap_or(name))
            || NOT_IN_CAPI.contains(&name.as_str());
        if !defined.contains(name.as_str()) && !elsewhere {
            writeln!(problems, "{name} is in a header and not in src/capi").unwrap();
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems)
    }
}

/// The names of the functions that a header declares and does not define, at any level.
fn prototypes(header: &str) -> Vec<String> {
    let mut text = String::new();
    // Comments and lines of the preprocessor say nothing.
    let mut rest = header;
    while let Some((before, comment)) = rest.split_once("/*") {
        text += before;
        rest = comment.split_once("*/").map_or("", |(_, after)| after);
    }
    text += rest;
    let mut code = String::new();
    let mut continued = false;
    for line in text.lines() {
        if !continued && !line.starts_with('#') {
            code += line;
            code.push(' ');
        }
        continued = (continued || line.starts_with('#')) && line.ends_with('\\');
    }
    // What `extern "C" {` opens is as good as the outermost level.
    let code = code
        .replace("extern \"C\" {", " ")
        .replace("extern \"C++\" {", " ");

    let mut names = Vec::new();
    let mut depth = 0usize;
    let mut item = String::new();
    for c in code.chars() {
        match c {
            '{' => depth += 1,
            '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && item.contains("static inline") {
                    item.clear();
                }
            }
            ';' if depth == 0 => {
                let plain = !item.contains("typedef") && !item.contains("static inline");
                if let Some((before, _)) = item.split_once('(')
                    && plain
                    && let Some(name) = before.rsplit([' ', '*', '\t']).next()
                    && !name.is_empty()
                {
                    names.push(name.to_owned());
                }
                item.clear();
            }
            c if depth == 0 => item.push(c),
            _ => {}
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prototypes_are_found() {
        let header = "/* a(b); */\n#define X(y) z(y);\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n\
                      struct s {\n\tint (*f)(int);\n};\nint one(int a,\n\tint b);\n\
                      char *two(void);\ntypedef int (*t)(void);\n\
                      static inline int\nthree(void)\n{\n\tfour();\n\treturn 0;\n}\nvoid five(t);\n";
        assert_eq!(prototypes(header), ["one", "two", "five"]);
    }
}
