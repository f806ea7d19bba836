//! A directory to run a node in: links to the parts of a tree, so that upstream's relative paths
//! (`./cservice/?.so`, `./lualib/?.lua` ...) hold whatever the parts come from.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use regex::{Captures, Regex};
use tempfile::TempDir;

use super::tree::package;
use super::{Level, Tree, port};

/// One run directory. Removed with the value, unless `SKYNET_TEST_KEEP` is set.
pub struct Stage {
    dir: TempDir,
    pub tree: Tree,
    /// Port number in the sources → the one used here.
    ports: Mutex<BTreeMap<u16, u16>>,
}

impl Stage {
    pub fn new(tree: &Tree) -> Stage {
        let mut dir = TempDir::with_prefix("skynet-test-").expect("a temporary directory");
        if std::env::var_os("SKYNET_TEST_KEEP").is_some() {
            dir.disable_cleanup(true);
            println!("{}: kept in {}", tree.name, dir.path().display());
        }
        let stage = Stage {
            dir,
            tree: tree.clone(),
            ports: Mutex::default(),
        };
        stage.link("cservice", &tree.cservice);
        stage.link("luaclib", &tree.luaclib);
        stage.link("lualib", &tree.lualib);
        stage.link("service", &tree.service);
        stage
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The path of a file in the stage.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub fn read(&self, name: &str) -> String {
        let bytes = std::fs::read(self.file(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Writes a file, with its folder.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.file(name);
        let folder = path.parent().expect("a file lies in a folder");
        std::fs::create_dir_all(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        std::fs::write(&path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        path
    }

    pub fn link(&self, name: &str, target: &Path) {
        symlink(target, self.file(name)).unwrap_or_else(|e| panic!("link {name}: {e}"));
    }

    /// Takes from another tree what this one does not have: a module, a library, a service.
    pub fn complete_from(&self, other: &Tree) {
        for (name, own, others) in [
            ("cservice", &self.tree.cservice, &other.cservice),
            ("luaclib", &self.tree.luaclib, &other.luaclib),
            ("lualib", &self.tree.lualib, &other.lualib),
            ("service", &self.tree.service, &other.service),
        ] {
            if own != others {
                let link = self.file(name);
                std::fs::remove_file(&link).unwrap_or_else(|e| panic!("{name}: {e}"));
                link_files(own, &link);
                link_files(others, &link);
            }
        }
    }

    /// Compiles C source to the C service `extra/<name>.so`, for which a configuration says `cpath =
    /// "./cservice/?.so;./extra/?.so"`.
    pub fn c_service(&self, name: &str, source: &str) {
        let c = self.write(&format!("extra/{name}.c"), source);
        let so = self.file(&format!("extra/{name}.so"));
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let made = Command::new(&compiler)
            .args(["-shared", "-fPIC", "-Wall", "-Werror", "-o"])
            .args([&so, &c])
            .output()
            .unwrap_or_else(|e| panic!("{}: {e}", compiler.display()));
        assert!(
            made.status.success(),
            "{name}.c: {}",
            String::from_utf8_lossy(&made.stderr)
        );
    }

    /// Compiles a C file of the tests, as strict C99 with threads, against the core's headers to the C service
    /// `extra/<stem>.so`.
    pub fn c_module(&self, source: &Path) {
        let name = source.file_stem().expect("a file").to_string_lossy();
        // As much of Lua as malloc_hook.h needs, for when nobody built one.
        self.write("extra/lua.h", "typedef struct lua_State lua_State;\n");
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let made = Command::new(&compiler)
            .args(["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror"])
            .args(["-g", "-O2", "-shared", "-fPIC", "-pthread"])
            .arg(format!(
                "-DSKYNET_API_HEAD={}",
                u8::from(self.tree.level() == Level::Head)
            ))
            .arg("-I")
            .arg(package().join("include"))
            .arg("-I")
            .arg(self.file("extra"))
            .arg("-o")
            .arg(self.file(&format!("extra/{name}.so")))
            .arg(source)
            .output()
            .unwrap_or_else(|e| panic!("{}: {e}", compiler.display()));
        assert!(
            made.status.success(),
            "{}: {}",
            source.display(),
            String::from_utf8_lossy(&made.stderr)
        );
    }

    /// The port that stands for `number` in this run. The sources name fixed ports; runs side by side
    /// need their own.
    pub fn port(&self, number: u16) -> u16 {
        let mut ports = self.ports.lock().unwrap_or_else(|e| e.into_inner());
        *ports.entry(number).or_insert_with(port::free)
    }

    /// The ports given out so far: (number in the sources, number in use).
    pub fn ports(&self) -> Vec<(u16, u16)> {
        let ports = self.ports.lock().unwrap_or_else(|e| e.into_inner());
        ports.iter().map(|(a, b)| (*a, *b)).collect()
    }

    /// Copies a folder of Lua sources, with `fixed` port numbers exchanged for those of this run.
    pub fn copy_sources(&self, from: &Path, to: &str, fixed: &[u16]) {
        let number = Regex::new(r"\b\d{4,5}\b").expect("a valid pattern");
        let entries = std::fs::read_dir(from).unwrap_or_else(|e| panic!("{}: {e}", from.display()));
        for entry in entries {
            let path = entry.expect("a readable folder").path();
            let name = path
                .file_name()
                .expect("an entry has a name")
                .to_string_lossy();
            let target = format!("{to}/{name}");
            if path.is_dir() {
                self.copy_sources(&path, &target, fixed);
                continue;
            }
            let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let text = String::from_utf8_lossy(&bytes);
            let text = number.replace_all(&text, |c: &Captures| match c[0].parse() {
                Ok(n) if fixed.contains(&n) => self.port(n).to_string(),
                _ => c[0].to_owned(),
            });
            self.write(&target, &text);
        }
    }
}

/// Fills the folder `to` with links to the files of `from` that it does not have yet.
fn link_files(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap_or_else(|e| panic!("{}: {e}", to.display()));
    let entries = std::fs::read_dir(from).unwrap_or_else(|e| panic!("{}: {e}", from.display()));
    for entry in entries {
        let path = entry.expect("a readable folder").path();
        let target = to.join(path.file_name().expect("an entry has a name"));
        if path.is_dir() {
            link_files(&path, &target);
        } else if !target.exists() {
            symlink(&path, &target).unwrap_or_else(|e| panic!("{}: {e}", target.display()));
        }
    }
}
