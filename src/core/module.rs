//! Service modules: those that the program itself brings, and those found along `cpath` (core.md §3).

use super::log;
use crate::sync::Mutex;
use crate::sys::cabi::{EntryPoints, Module};
use crate::sys::dl::{self, Library};
use crate::sys::stderr;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString};

/// The modules that were asked for so far, and those that the program registered. There is no limit on
/// their number.
pub struct Modules {
    inner: Mutex<Inner>,
    /// Held while a library is opened, which runs its constructors: those may register modules and ask
    /// for modules that are there, but must not have another one opened (core.md §3.3(3)).
    opening: Mutex<()>,
}

struct Inner {
    /// `;`-separated templates.
    path: Vec<u8>,
    /// Modules are never unloaded.
    known: BTreeMap<CString, &'static Module>,
}

/// Why a module cannot be registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Nobody could ask for it: the name is empty or has blanks in it.
    Name,
    /// There is no `init`.
    Init,
    /// There is a module of this name.
    Taken,
}

impl Modules {
    pub const fn new() -> Self {
        Modules {
            inner: Mutex::new(Inner {
                path: Vec::new(),
                known: BTreeMap::new(),
            }),
            opening: Mutex::new(()),
        }
    }

    /// Sets the search path. Modules that are loaded stay.
    pub fn set_path(&self, path: &CStr) {
        self.inner.lock().path = path.to_bytes().to_vec();
    }

    /// Makes functions of the program a module, which comes before files of its name.
    pub fn register(&self, name: &CStr, entries: EntryPoints) -> Result<(), Refused> {
        let bytes = name.to_bytes();
        if bytes.is_empty() || bytes.iter().any(u8::is_ascii_whitespace) {
            return Err(Refused::Name);
        }
        if entries.init.is_none() {
            return Err(Refused::Init);
        }
        let mut inner = self.inner.lock();
        if inner.known.contains_key(name) {
            return Err(Refused::Taken);
        }
        let module = Module::new(name, std::ptr::null_mut(), entries);
        inner.known.insert(name.to_owned(), module);
        Ok(())
    }

    /// The module of this name, loaded on the first call.
    ///
    /// Says why on stderr, and in the log when there is one, if it cannot be had.
    pub fn query(&self, name: &CStr) -> Option<&'static Module> {
        if let Some(module) = self.known(name) {
            return Some(module);
        }
        let _opening = self.opening.lock();
        // Somebody else may have loaded it meanwhile.
        if let Some(module) = self.known(name) {
            return Some(module);
        }
        let path = self.inner.lock().path.clone();
        let (library, file) = open(&path, name)?;
        if let Some(other) = library.foreign_core() {
            report(&[
                b"module ",
                file.to_bytes(),
                b" depends on ",
                other.to_bytes(),
                b", a second core beside this one: modules are to be linked without it",
            ]);
        }
        let base = base_name(name);
        let entries = library.entry_points(&base);
        if entries.init.is_none() {
            report(&[
                b"module ",
                file.to_bytes(),
                b" has no symbol ",
                base.to_bytes(),
                b"_init",
            ]);
            return None;
        }
        // A constructor may have registered the name.
        let mut inner = self.inner.lock();
        let load = || Module::new(name, library.as_ptr(), entries);
        Some(*inner.known.entry(name.to_owned()).or_insert_with(load))
    }

    fn known(&self, name: &CStr) -> Option<&'static Module> {
        self.inner.lock().known.get(name).copied()
    }
}

impl Default for Modules {
    fn default() -> Self {
        Self::new()
    }
}

/// A line for whoever can read it: stderr always, the log once there is one.
fn report(parts: &[&[u8]]) {
    let line = parts.concat();
    stderr::line(&line);
    log::log_bytes(0, &line);
}

/// The template of `path` that has no `?`, if there is one.
pub fn bad_template(path: &[u8]) -> Option<&[u8]> {
    templates(path).find(|template| !template.contains(&b'?'))
}

fn templates(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b';')
        .filter(|template| !template.is_empty())
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
    for template in templates(path) {
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
    report(&[
        b"try open ",
        name.to_bytes(),
        b" failed : ",
        last_error.to_bytes(),
    ]);
    let unresolved = last_error.to_string_lossy().contains("undefined symbol");
    if unresolved && !dl::is_visible() {
        report(&[
            b"modules cannot see the core in this program: open libskynet.so with RTLD_GLOBAL, \
              or export what is linked in (-rdynamic)",
        ]);
    }
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
    #[test]
    fn registered_modules_come_before_files_and_keep_their_names() {
        extern "C" fn init(
            _: *mut std::ffi::c_void,
            _: crate::sys::cabi::ContextPtr,
            _: *const std::ffi::c_char,
        ) -> std::ffi::c_int {
            0
        }
        let modules = Modules::new();
        let entries = EntryPoints {
            init: Some(init),
            ..EntryPoints::default()
        };
        assert_eq!(modules.register(c"m", entries), Ok(()));
        assert_eq!(modules.register(c"m", entries), Err(Refused::Taken));
        assert_eq!(modules.register(c"", entries), Err(Refused::Name));
        assert_eq!(modules.register(c"a b", entries), Err(Refused::Name));
        assert_eq!(
            modules.register(c"n", EntryPoints::default()),
            Err(Refused::Init)
        );
        modules.set_path(c"lib?.so.6");
        assert_eq!(modules.query(c"m").unwrap().name(), c"m");
        assert!(modules.query(c"n").is_none());
    }

    #[test]
    fn templates_have_a_place_for_the_name() {
        assert_eq!(bad_template(b"./?.so;;./x/?.so"), None);
        assert_eq!(bad_template(b"./?.so;./x.so"), Some(&b"./x.so"[..]));
    }
}
