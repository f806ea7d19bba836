//! The headers in `include/`: writes those that are made from `src/capi` and its templates
//! (`generate.rs`), and compares all of them with the Rust view that our modules use (`compare.rs`).
//!
//! `make headers` runs it. With `--verify`, as `make check` runs it, it writes nothing and fails when a
//! header is not what it would write.

mod compare;
mod generate;
mod names;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let verify = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--verify") => true,
        Some(other) => {
            eprintln!("headers: unknown argument {other}; there is --verify");
            return ExitCode::FAILURE;
        }
    };
    match run(verify) {
        Ok(report) => {
            print!("{report}");
            ExitCode::SUCCESS
        }
        Err(problems) => {
            eprintln!("{}", problems.trim_end());
            ExitCode::FAILURE
        }
    }
}

fn run(verify: bool) -> Result<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let root = fs::canonicalize(&root).map_err(|e| format!("{}: {e}", root.display()))?;
    let headers = generate::headers(&root)?;
    for (path, text) in &headers {
        if fs::read_to_string(path).is_ok_and(|old| old == *text) {
            continue;
        }
        if verify {
            return Err(format!(
                "{} is not what src/capi says; run make headers",
                path.display()
            ));
        }
        fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    let compared = compare::run(&root)?;
    Ok(format!("headers: {} generated\n{compared}", headers.len()))
}
