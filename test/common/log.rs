//! Reading and comparing what nodes log and print.

use regex::Regex;
use std::sync::LazyLock;

use super::Stage;

/// One log message. A message of several lines is one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Handle of the service that logged it; 0 is the core.
    pub source: u32,
    pub text: String,
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[:{:08x}] {}", self.source, self.text)
    }
}

/// Start of a log line: a time stamp when the log is a file, then the handle.
static HEAD: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?:\d\d/\d\d/\d\d \d\d:\d\d:\d\d\.\d\d )?\[:([0-9a-f]{8})\] (.*)$")
        .expect("valid")
});

/// Puts log lines together to entries. Lines before the first entry are left out.
pub fn entries(lines: &[String]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for line in lines {
        if let Some(head) = HEAD.captures(line) {
            entries.push(Entry {
                source: u32::from_str_radix(&head[1], 16).expect("eight hex digits"),
                text: head[2].to_owned(),
            });
        } else if let Some(last) = entries.last_mut() {
            last.text.push('\n');
            last.text.push_str(line);
        }
    }
    entries
}

/// Takes out of a text what differs from run to run, so that two runs can be compared.
pub struct Mask {
    rules: Vec<(Regex, String)>,
}

/// What is masked in every run. Handles stay.
const COMMON: &[(&str, &str)] = &[
    // Frames of a traceback name lines and functions of the Lua code.
    (r"(?s)\nstack traceback:.*", "\nstack traceback: *"),
    (r"0x[0-9a-f]+", "0x*"),
    // Peers have the port that the system gave them.
    (r"(127\.0\.0\.1|\[?::1\]?)([: ])\d{4,5}\b", "$1$2PORT"),
    // Positions inside the Lua libraries, which may be another implementation's.
    (r"[\w./]*(lualib|service)/[\w./]+\.lua:\d+:", "$1:*:"),
];

impl Mask {
    /// The common rules, the ports and paths of a stage, and `rules` of the test (pattern,
    /// replacement), which come first.
    pub fn new(stage: &Stage, rules: &[(&str, &str)]) -> Mask {
        let mut all: Vec<(String, String)> = Vec::new();
        let dir = regex::escape(&stage.path().to_string_lossy());
        all.push((dir, "<dir>".to_owned()));
        for (number, used) in stage.ports() {
            all.push((format!(r"\b{used}\b"), format!("P{number}")));
        }
        let own = |r: &(&str, &str)| (r.0.to_owned(), r.1.to_owned());
        all.extend(rules.iter().map(own));
        all.extend(COMMON.iter().map(own));
        let compile =
            |(p, r): (String, String)| (Regex::new(&p).unwrap_or_else(|e| panic!("{e}")), r);
        Mask {
            rules: all.into_iter().map(compile).collect(),
        }
    }

    pub fn apply(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (pattern, replacement) in &self.rules {
            if pattern.is_match(&text) {
                text = pattern
                    .replace_all(&text, replacement.as_str())
                    .into_owned();
            }
        }
        text
    }
}

/// A readable list of what one run has and the other has not; empty when they are equal as sets with
/// counts.
pub fn difference(want: &[String], got: &[String]) -> String {
    let mut left: Vec<&String> = got.iter().collect();
    let mut text = String::new();
    for line in want {
        match left.iter().position(|l| *l == line) {
            Some(at) => drop(left.remove(at)),
            None => text += &format!("  only in the reference: {line}\n"),
        }
    }
    for line in left {
        text += &format!("  only in this run: {line}\n");
    }
    text
}
