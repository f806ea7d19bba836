//! Writes the headers: each template of `src/capi/header/` becomes the header of its name in
//! `include/`.
//!
//! A template is the header, with lines of the form
//!
//! ```text
//! @items FILE.rs [only|without NAME...]
//! ```
//!
//! in the place of what cbindgen reads from that file of `src/capi`: constants, types, then functions,
//! with their comments. What Rust cannot say (macros, inline functions, the variadic function,
//! prototypes that say less than the function does) stands in the template as it is.

use crate::names::{c_name, type_names};
use std::fs;
use std::path::{Path, PathBuf};

/// How long lines may be.
const WIDTH: usize = 100;

/// Types that have a name without `struct`, in headers of upstream's that did it so.
const TYPEDEFS: &[&str] = &["MemInfo", "AtomicMemInfo"];

/// Path and text of each generated header.
pub fn headers(root: &Path) -> Result<Vec<(PathBuf, String)>, String> {
    let templates = root.join("src/capi/header");
    let mut names: Vec<_> = fs::read_dir(&templates)
        .map_err(|e| format!("{}: {e}", templates.display()))?
        .filter_map(|entry| Some(entry.ok()?.file_name()))
        .collect();
    names.sort();
    names
        .iter()
        .map(|name| {
            let template = read(&templates.join(name))?;
            let text = expand(root, &template)
                .map_err(|e| format!("{}: {e}", templates.join(name).display()))?;
            Ok((root.join("include").join(name), text))
        })
        .collect()
}

pub fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
}

/// The header that a template describes.
fn expand(root: &Path, template: &str) -> Result<String, String> {
    let mut text = String::new();
    for line in template.lines() {
        match line.strip_prefix("@items ") {
            Some(words) => {
                let words: Vec<_> = words.split_whitespace().collect();
                let (file, chosen) = match words.as_slice() {
                    [file] => (file, None),
                    [file, "only", names @ ..] => (file, Some((true, names))),
                    [file, "without", names @ ..] => (file, Some((false, names))),
                    _ => return Err(format!("cannot read: {line}")),
                };
                let mut items = items(&root.join("src/capi").join(file))?;
                if let Some((keep, names)) = chosen {
                    for name in names {
                        if !items.iter().any(|item| item.name == *name) {
                            return Err(format!("{file} has no {name}"));
                        }
                    }
                    items.retain(|item| names.contains(&item.name.as_str()) == keep);
                }
                // C wants to have heard of a struct before it is in a list of parameters.
                let mut known = text.clone();
                for included in includes(template) {
                    let path = root.join("src/capi/header").join(included);
                    if path.exists() {
                        known += &expand(root, &read(&path)?)?;
                    }
                }
                text += &declarations(&known, &items);
                text += &join(&items);
            }
            None => {
                text += line;
                text.push('\n');
            }
        }
    }
    Ok(text)
}

/// The headers of ours that a template includes.
fn includes(template: &str) -> impl Iterator<Item = &str> {
    template
        .lines()
        .filter_map(|line| line.strip_prefix("#include \"")?.strip_suffix('"'))
}

/// One constant, type or function, as C.
struct Item {
    name: String,
    comment: String,
    /// Lines of the declaration, with `#if` and `#endif` when it is for one API level.
    text: String,
}

/// What cbindgen finds in one file.
fn items(file: &Path) -> Result<Vec<Item>, String> {
    let source = read(file)?;
    // The types of service modules, which the core knows too.
    let types = read(&file.with_file_name("../sys/cabi.rs"))?;
    let defined: Vec<_> = ["struct ", "type "]
        .iter()
        .flat_map(|word| definitions(&source, word).chain(definitions(&types, word)))
        .collect();
    let mut config = cbindgen::Config {
        language: cbindgen::Language::C,
        style: cbindgen::Style::Tag,
        usize_is_size_t: !source.contains("uintptr_t"),
        no_includes: true,
        documentation: true,
        documentation_style: cbindgen::DocumentationStyle::C99,
        line_length: usize::MAX,
        ..cbindgen::Config::default()
    };
    config
        .defines
        .insert("api_head".into(), "SKYNET_API_HEAD".into());
    config.function.args = cbindgen::Layout::Horizontal;
    // Of a service everybody knows the address only, and only its module's header shows the module.
    let shows_module = file.ends_with("skynet_module.rs");
    let hidden = |name: &str| name == "SkynetContext" || name == "Module" && !shows_module;
    config.export.exclude = ["SkynetContext", "AtomicMemInfo"].map(String::from).into();
    // Also structs that no function of the file takes.
    config.export.include = definitions(&source, "struct ").map(String::from).collect();
    for name in type_names(&source).into_iter().chain(type_names(&types)) {
        let c = c_name(name);
        let tag = TYPEDEFS.contains(&name) || defined.contains(&name) && !hidden(name);
        let c = if tag { c } else { format!("struct {c}") };
        config.export.rename.insert(name.into(), c);
    }
    if TYPEDEFS.iter().any(|name| defined.contains(name)) {
        config.style = cbindgen::Style::Type;
    }
    let mut text = Vec::new();
    let mut builder = cbindgen::Builder::new().with_config(config).with_src(file);
    if shows_module || source.contains("SkynetCb") {
        builder = builder.with_src(file.with_file_name("../sys/cabi.rs"));
    }
    builder
        .generate()
        .map_err(|e| e.to_string())?
        .write(&mut text);
    let text = String::from_utf8(text).map_err(|e| e.to_string())?;
    Ok(text
        .split("\n\n")
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .map(|item| Item::parse(item, &source))
        .filter(|item| !item.is_opaque())
        .collect())
}

/// The names that a source defines with `word`.
fn definitions<'s>(source: &'s str, word: &'s str) -> impl Iterator<Item = &'s str> {
    source.lines().filter_map(move |line| {
        let rest = line.strip_prefix("pub ")?.strip_prefix(word)?;
        rest.split(|c: char| !c.is_alphanumeric()).next()
    })
}

impl Item {
    /// Of cbindgen's text: `//` comments, the declaration, perhaps between `#if` and `#endif`.
    fn parse(item: &str, source: &str) -> Item {
        let lines: Vec<&str> = item.lines().collect();
        let first = lines
            .iter()
            .position(|line| !line.starts_with("//") && !line.starts_with("#if"))
            .unwrap_or(0);
        let comment = lines[..first].iter().copied();
        let comment = comment_text(comment.filter(|line| line.starts_with("//")), "");
        // The comment of something that is for one level stands inside of the `#if`.
        let mut text = String::new();
        let mut comment = comment;
        if let Some(condition) = lines[..first].iter().find(|line| line.starts_with("#if")) {
            text += &condition.replace("defined(SKYNET_API_HEAD)", "SKYNET_API_HEAD");
            text.push('\n');
            text += &std::mem::take(&mut comment);
        }
        let body = &lines[first..];
        let name = declared_name(body);
        let mut fields: Vec<&str> = Vec::new();
        for line in body {
            let bare = line.trim_start();
            if bare.starts_with("//") {
                fields.push(bare);
                continue;
            }
            let indent = if bare.len() < line.len() { "\t" } else { "" };
            text += &comment_text(fields.drain(..), indent);
            text += &declaration(&bare.replace("* *", "**"), indent, &name, source);
        }
        Item {
            name,
            comment,
            text,
        }
    }
}

impl Item {
    /// A struct without content, or with none that C should see.
    fn is_opaque(&self) -> bool {
        self.text.starts_with("struct ")
            && (self.text.contains("[0];") || !self.text.contains(['{', '(']))
    }

    /// Whether no empty line belongs between this one and the next.
    fn stands_with(&self, next: &Item) -> bool {
        let constant = |item: &Item| item.text.starts_with("#define");
        let plain = |item: &Item| item.comment.is_empty() && item.text.ends_with(");\n");
        constant(self) && constant(next) || plain(self) && plain(next)
    }
}

/// The name that a declaration is for.
fn declared_name(lines: &[&str]) -> String {
    let (first, last) = (lines[0], lines[lines.len() - 1]);
    let words = |text: &str| text.rsplit([' ', '*']).next().unwrap_or("").to_owned();
    if let Some(constant) = first.strip_prefix("#define ") {
        return constant.split(' ').next().unwrap_or("").to_owned();
    }
    if let Some(name) = last.strip_prefix("} ") {
        return name.trim_end_matches(';').to_owned();
    }
    if let Some((_, rest)) = first
        .split_once("(*")
        .filter(|_| first.starts_with("typedef "))
    {
        return rest.split(')').next().unwrap_or("").to_owned();
    }
    words(first.split(['(', '{', ';']).next().unwrap_or("").trim_end())
}

/// A line of C, broken where it is too long. Numbers are written as in the source.
fn declaration(line: &str, indent: &str, name: &str, source: &str) -> String {
    if let Some(rest) = line.strip_prefix("#define ") {
        let written = source.lines().find_map(|line| {
            let (head, value) = line.split_once(" = ")?;
            let is_it = head
                .strip_prefix("pub const ")?
                .starts_with(&format!("{name}:"));
            is_it.then(|| value.trim_end_matches(';'))
        });
        return match written.filter(|value| value.starts_with("0x")) {
            Some(value) => format!("#define {name} {value}\n"),
            None => match rest.split_once(" -") {
                Some((name, number)) => format!("#define {name} (-{number})\n"),
                None => format!("#define {rest}\n"),
            },
        };
    }
    let parts: Vec<_> = line.split_inclusive(", ").map(str::trim_end).collect();
    wrap(&parts, indent, &format!("{indent}\t"))
}

/// Fills lines with pieces. A tab counts as eight columns.
fn wrap(pieces: &[&str], first: &str, rest: &str) -> String {
    let columns = |text: &str| {
        text.chars()
            .map(|c| if c == '\t' { 8 } else { 1 })
            .sum::<usize>()
    };
    let mut text = String::new();
    let mut line = first.to_owned();
    let mut empty = true;
    for piece in pieces {
        if !empty && columns(&line) + 1 + columns(piece) > WIDTH {
            text += &line;
            text.push('\n');
            line = rest.to_owned();
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line += piece;
        empty = false;
    }
    text + &line + "\n"
}

/// A comment of Rust's for readers of C: without the section on safety, which the compiler of C does
/// not ask for, and without marks.
fn comment_text<'l>(lines: impl Iterator<Item = &'l str>, indent: &str) -> String {
    let mut words = Vec::new();
    let text: Vec<&str> = lines
        .map(|line| line.trim_start_matches('/').trim())
        .take_while(|line| *line != "# Safety")
        .collect();
    let mut text = text.join(" ");
    while let Some(from) = text.find(" (core.md") {
        let end = text[from..].find(')').map_or(text.len(), |end| {
            // Sections have parentheses of their own: core.md §4.5(6).
            let end = from + end + 1;
            if text[from + 2..end].contains('(') {
                end + text[end..].find(')').map_or(0, |more| more + 1)
            } else {
                end
            }
        });
        text.replace_range(from..end, "");
    }
    let text = text
        .replace("[`", "")
        .replace("`]", "")
        .replace('`', "")
        .replace('−', "-");
    words.extend(text.split_whitespace());
    if words.is_empty() {
        return String::new();
    }
    let (mut first, mut last) = (String::from("/* "), String::new());
    first += words[0];
    last += words[words.len() - 1];
    last += " */";
    if words.len() == 1 {
        return format!("{indent}{first} */\n");
    }
    let count = words.len();
    words[0] = &first;
    words[count - 1] = &last;
    wrap(&words, indent, &format!("{indent}   "))
}

/// `struct NAME;` for what the items mention and nobody has declared.
fn declarations(known: &str, items: &[Item]) -> String {
    let all: String = items.iter().map(|item| item.text.as_str()).collect();
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut names: Vec<&str> = all
        .split("struct ")
        .skip(1)
        .filter_map(|rest| rest.split(|c| !is_word(c)).next())
        .filter(|name| {
            let declared = |text: &str| {
                text.contains(&format!("struct {name};"))
                    || text.contains(&format!("struct {name} {{"))
            };
            !name.is_empty() && !declared(known) && !declared(&all)
        })
        .collect();
    names.sort();
    names.dedup();
    let mut text: String = names
        .iter()
        .map(|name| format!("struct {name};\n"))
        .collect();
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

/// Items one below the other. Constants stand together, and so do functions without comments.
fn join(items: &[Item]) -> String {
    let mut text = String::new();
    let mut before: Option<&Item> = None;
    for item in items {
        if before.is_some_and(|before| !before.stands_with(item)) {
            text.push('\n');
        }
        text += &item.comment;
        text += &item.text;
        before = Some(item);
    }
    text
}
