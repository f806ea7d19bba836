//! Service modules: finding them along `cpath` and keeping them (core.md §3).

use super::log;
use crate::sync::Mutex;
use crate::sys::cabi::Module;
use crate::sys::dl::Library;
use crate::sys::stderr;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString};

/// The modules that were asked for so far. There is no limit on their number.
pub struct Modules {
    inner: Mutex<Inner>,
}

struct Inner {
    /// `;`-separated templates.
    path: Vec<u8>,
    loaded: BTreeMap<CString, &'static Module>,
}

impl Modules {
    pub const fn new() -> Self {
        Modules {
            inner: Mutex::new(Inner {
                path: Vec::new(),
                loaded: BTreeMap::new(),
            }),
        }
    }

    /// Sets the search path. Modules that are loaded stay.
    pub fn set_path(&self, path: &CStr) {
        self.inner.lock().path = path.to_bytes().to_vec();
    }

    /// The module of this name, loaded on the first call. The lock is held meanwhile, so a library's
    /// constructors must not come back here (core.md §3.3(3)).
    ///
    /// Says why on stderr, and in the log when there is one, if it cannot be had.
    pub fn query(&self, name: &CStr) -> Option<&'static Module> {
        let mut inner = self.inner.lock();
        if let Some(module) = inner.loaded.get(name) {
            return Some(module);
        }
        let (library, file) = open(&inner.path, name)?;
        let base = base_name(name);
        let entries = library.entry_points(&base);
        if entries.init.is_none() {
            let line = [
                b"module ".as_slice(),
                file.to_bytes(),
                b" has no symbol ",
                base.to_bytes(),
                b"_init",
            ]
            .concat();
            drop(inner);
            report(&line);
            return None;
        }
        let module = Module::new(name, library.as_ptr(), entries);
        inner.loaded.insert(name.to_owned(), module);
        Some(module)
    }
}

impl Default for Modules {
    fn default() -> Self {
        Self::new()
    }
}

/// A line for whoever can read it: stderr always, the log once there is one.
fn report(line: &[u8]) {
    stderr::line(line);
    log::log_bytes(0, line);
}

/// The part of a module name that its symbols begin with: what follows the last dot.
fn base_name(name: &CStr) -> CString {
    let bytes = name.to_bytes();
    let start = bytes
        .iter()
        .rposition(|byte| *byte == b'.')
        .map_or(0, |dot| dot + 1);
    CString::new(&bytes[start..]).unwrap_or_default()
}

/// Tries the templates in order. A template without `?` ends the process (core.md §3.1(2)).
fn open(path: &[u8], name: &CStr) -> Option<(Library, CString)> {
    let mut last_error = c"no template in cpath".to_owned();
    for template in path
        .split(|byte| *byte == b';')
        .filter(|template| !template.is_empty())
    {
        let Some(mark) = template.iter().position(|byte| *byte == b'?') else {
            stderr::line(b"Invalid C service path");
            std::process::exit(1);
        };
        let file = [&template[..mark], name.to_bytes(), &template[mark + 1..]].concat();
        let file = CString::new(file).ok()?;
        match Library::open(&file) {
            Ok(library) => return Some((library, file)),
            Err(text) => last_error = text,
        }
    }
    let line = [
        b"try open ".as_slice(),
        name.to_bytes(),
        b" failed : ",
        last_error.to_bytes(),
    ]
    .concat();
    report(&line);
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_begin_with_what_follows_the_last_dot() {
        assert_eq!(base_name(c"snlua").as_c_str(), c"snlua");
        assert_eq!(base_name(c"a.b.c").as_c_str(), c"c");
        assert_eq!(base_name(c"a.").as_c_str(), c"");
    }

    #[test]
    fn a_library_without_init_is_refused() {
        let modules = Modules::new();
        // libm opens under any name that the templates build, and has no `m_init`.
        modules.set_path(c";/nowhere/?.so;lib?.so.6");
        assert!(modules.query(c"m").is_none());
        assert!(modules.query(c"no-such-module").is_none());
    }
}
