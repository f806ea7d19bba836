//! Every workload on our node, much smaller than usual: the driver, the workloads and the node work
//! together. Nothing is said about how fast they are.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// The driver with its results in `out`. `SKYNET_NODE` names the node, as for the other tests.
fn bench(out: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bench"))
        .env_remove("SKYNET_UPSTREAM")
        .arg("--out")
        .arg(out)
        .args(arguments)
        .output()
        .expect("the driver runs")
}

fn scratch() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The cells of the lines of a table.
fn rows(page: &str) -> Vec<Vec<String>> {
    page.lines()
        .filter(|line| line.starts_with("| "))
        .skip(2)
        .map(|line| {
            let cells = line.trim_matches('|').split('|');
            cells.map(|cell| cell.trim().to_owned()).collect()
        })
        .collect()
}

#[test]
fn every_workload_gives_results() {
    let out = scratch();
    let done = bench(
        out.path(),
        &["--runs", "1", "--scale", "0.001", "--timeout", "60"],
    );
    assert!(done.status.success(), "{}", stderr(&done));

    let page = fs::read_to_string(out.path().join("results.md")).expect("a page");
    let rows = rows(&page);
    for row in &rows {
        let value = row[3].split(' ').next().unwrap_or_default();
        let value = value.replace(',', "").parse::<f64>();
        assert!(value.is_ok_and(|v| v >= 0.0), "{row:?}");
    }
    let listed = bench(out.path(), &["--list"]);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.lines().count() > 10, "{listed}");
    for line in listed.lines() {
        let name = line.split_whitespace().next().expect("a name");
        let of = |row: &&Vec<String>| row[0].split(' ').next() == Some(name);
        assert!(rows.iter().any(|row| of(&row)), "{name} is not in\n{page}");
    }
    let picture = fs::read_to_string(out.path().join("results.svg")).expect("a picture");
    assert!(picture.starts_with("<svg") && picture.trim_end().ends_with("</svg>"));
}

/// A subject whose executable is a shell script.
fn fake(dir: &Path, script: &str) -> String {
    for part in ["cservice", "luaclib", "lualib", "service", "skynet-src"] {
        fs::create_dir_all(dir.join(part)).expect("a folder");
    }
    let bin = dir.join("skynet");
    fs::write(&bin, format!("#!/bin/sh\n{script}\n")).expect("a script");
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&bin, mode).expect("an executable script");
    format!("fake={}", dir.display())
}

/// Runs one workload on such a subject; the exit code and what was said.
fn run_fake(script: &str) -> (Option<i32>, String, String) {
    let (dir, out) = (scratch(), scratch());
    let subject = fake(dir.path(), script);
    let timeout = if script.contains("sleep") { "3" } else { "60" };
    let only = ["--only", "fake", "--runs", "2", "--timeout", timeout];
    let arguments = [&["lua-call", "--subject", &subject], &only[..]].concat();
    let done = bench(out.path(), &arguments);
    let page: PathBuf = out.path().join("results.md");
    let page = fs::read_to_string(page).expect("a page");
    (done.status.code(), stderr(&done), page)
}

#[test]
fn a_result_counts() {
    let (code, said, page) = run_fake("echo RESULT rate 1234 calls/s");
    assert_eq!(code, Some(0), "{said}");
    assert!(page.contains("| 1,234 (1,234 … 1,234) |"), "{page}");
}

#[test]
fn what_a_node_does_not_have_is_no_failure() {
    let (code, said, page) = run_fake("echo SKIPPED no such thing");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("skipped, no such thing"), "{said}");
    assert!(page.contains("| lua-call | 2 | calls/s | – |"), "{page}");
}

#[test]
fn a_run_that_fails_is_reported() {
    for (script, why) in [
        ("echo a last word; exit 3", "exit status: 3"),
        ("echo a last word; kill -SEGV $$", "signal: 11"),
        ("echo a last word", "0 results rate"),
        (
            "echo a last word; echo RESULT rate 1 msg/s",
            "0 results rate",
        ),
        ("echo a last word; exec sleep 60", "not done after 3s"),
        ("echo a last word > node.log; exit 1", "exit status: 1"),
    ] {
        let (code, said, page) = run_fake(script);
        assert_eq!(code, Some(1), "{script}: {said}");
        for text in ["FAILED: lua-call", why, "a last word"] {
            assert!(said.contains(text), "{script}: no {text:?} in\n{said}");
        }
        assert!(page.contains("| failed |"), "{script}: {page}");
    }
}

#[test]
fn what_is_not_there_is_an_error() {
    let out = scratch();
    for (arguments, why) in [
        (&["nothing"][..], "no workload nothing"),
        (&["--only", "nobody"], "no subject nobody"),
        (
            &["--subject", "x=/nonexistent"],
            "x: no /nonexistent/skynet",
        ),
        (&["--scale", "0"], "scale"),
        (&["--subject", "ours=."], "the same name"),
    ] {
        let done = bench(out.path(), arguments);
        assert!(!done.status.success(), "{arguments:?}");
        assert!(stderr(&done).contains(why), "{}", stderr(&done));
    }
}
