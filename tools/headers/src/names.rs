//! What Rust's types are called in C.

use std::collections::BTreeSet;

/// Types whose names in C do not follow from Rust's.
const OTHER: &[(&str, &str)] = &[
    ("Module", "skynet_module"),
    ("CreateFn", "skynet_dl_create"),
    ("InitFn", "skynet_dl_init"),
    ("ReleaseFn", "skynet_dl_release"),
    ("SignalFn", "skynet_dl_signal"),
    ("MemInfo", "MemInfo"),
    ("AtomicMemInfo", "AtomicMemInfo"),
];

/// `SkynetContext` is `skynet_context`.
pub fn c_name(rust: &str) -> String {
    if let Some((_, c)) = OTHER.iter().find(|(name, _)| *name == rust) {
        return (*c).to_owned();
    }
    let mut name = String::new();
    for (i, c) in rust.char_indices() {
        if c.is_uppercase() && i > 0 {
            name.push('_');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}

/// The words of a source that look like types of ours: `CamelCase`, neither `FILE` nor `c_int`.
pub fn type_names(source: &str) -> BTreeSet<&str> {
    source
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| {
            word.starts_with(|c: char| c.is_ascii_uppercase())
                && word.contains(|c: char| c.is_ascii_lowercase())
                && !word.contains('_')
                && *word != "Option"
        })
        .collect()
}
