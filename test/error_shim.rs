//! The C shim behind `skynet_error`, at both API levels: formatting, lengths, raw bytes.

use std::path::Path;
use std::process::Command;

/// Compiles and runs `error_shim/check.c` with the shim; gives its standard error.
fn check(level: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("error_shim_{level}"));
    let cc = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let mut words = cc.split_whitespace();
    let compiled = Command::new(words.next().unwrap_or("cc"))
        .args(words)
        .args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"])
        .arg(format!("-DSKYNET_API_HEAD={level}"))
        .arg("-o")
        .arg(&program)
        .arg(root.join("src/capi/error.c"))
        .arg(root.join("test/error_shim/check.c"))
        .status()
        .expect("a C compiler");
    assert!(compiled.success());

    let result = Command::new(&program).output().expect("the program starts");
    let message = String::from_utf8_lossy(&result.stderr).into_owned();
    assert!(result.status.success(), "{message}");
    message
}

#[test]
fn level_1_8() {
    let message = check("0");
    assert!(message.starts_with("vsnprintf error :: "), "{message}");
}

#[test]
fn level_head() {
    let message = check("1");
    assert!(message.starts_with("vsnprintf error :: "), "{message}");
}
