//! A tree to test: where its executable, its modules and its Lua code are, and what it speaks.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::{Node, SOON, Stage};

/// The API level of a tree: which log texts and behaviours of the two upstream versions it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Upstream release 1.8.0.
    V18,
    /// Upstream's development branch.
    Head,
}

/// The parts that a node is put together from. They may come from different builds.
#[derive(Clone, Debug)]
pub struct Tree {
    /// What reports call it.
    pub name: String,
    /// The executable.
    pub bin: PathBuf,
    /// Folder of the C services.
    pub cservice: PathBuf,
    /// Folder of the Lua C modules.
    pub luaclib: PathBuf,
    /// Folder of the Lua libraries.
    pub lualib: PathBuf,
    /// Folder of the Lua services.
    pub service: PathBuf,
    /// The stand-alone interpreter of the same Lua.
    pub lua: PathBuf,
}

/// The package that these tests belong to.
pub fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

impl Tree {
    /// The tree under test.
    pub fn node() -> Tree {
        if let Some(dir) = env_dir("SKYNET_UNDER_TEST") {
            return Tree::at("node", &dir, &dir);
        }
        let built = env_dir("SKYNET_NODE").unwrap_or_else(|| package().to_owned());
        Tree::at("node", &built, package())
    }

    /// The reference, if there is one.
    pub fn upstream() -> Option<Tree> {
        let dir = env_dir("SKYNET_UPSTREAM")?;
        Some(Tree::at("upstream", &dir, &dir))
    }

    /// Whether this tree is the reference itself, given to the tests as their subject to see that they
    /// expect the right things. What we do better cannot be asked of it.
    pub fn is_upstream(&self) -> bool {
        Tree::upstream().is_some_and(|upstream| upstream.bin == self.bin)
    }

    fn at(name: &str, built: &Path, source: &Path) -> Tree {
        let tree = Tree {
            name: name.to_owned(),
            bin: built.join("skynet"),
            cservice: built.join("cservice"),
            luaclib: built.join("luaclib"),
            lualib: source.join("lualib"),
            service: source.join("service"),
            lua: built.join("3rd/lua/lua"),
        };
        assert!(
            tree.bin.is_file(),
            "{}: no such executable; run make, or set SKYNET_NODE to the folder that holds it",
            tree.bin.display()
        );
        tree
    }

    /// This tree with the C services and Lua C modules of another.
    pub fn with_modules_of(&self, other: &Tree) -> Tree {
        Tree {
            name: format!("{} with the modules of {}", self.name, other.name),
            cservice: other.cservice.clone(),
            luaclib: other.luaclib.clone(),
            ..self.clone()
        }
    }

    /// This tree with the Lua libraries and services of another.
    pub fn with_lua_of(&self, other: &Tree) -> Tree {
        Tree {
            name: format!("{} with the Lua code of {}", self.name, other.name),
            lualib: other.lualib.clone(),
            service: other.service.clone(),
            ..self.clone()
        }
    }

    /// `5.4` or `5.5`, from the identification string that every Lua carries.
    pub fn lua_version(&self) -> String {
        const MARK: &[u8] = b"LuaVersion: Lua ";
        cached(&self.bin, "lua", || {
            let image = std::fs::read(&self.bin).expect("the executable is readable");
            let at = image
                .windows(MARK.len())
                .position(|w| w == MARK)
                .unwrap_or_else(|| panic!("{}: no Lua inside", self.bin.display()));
            let version = &image[at + MARK.len()..][..3];
            String::from_utf8_lossy(version).into_owned()
        })
    }

    /// The API level, from the words for a failed launch. It needs `logger.so` only.
    pub fn level(&self) -> Level {
        let line = cached(&self.bin, "level", || {
            let stage = Stage::new(self);
            let config = "logger = nil bootstrap = 'logger /nonexistent/file'";
            let mut node = Node::start(&stage, config);
            node.expect_exit(SOON);
            node.text()
        });
        match (
            line.contains("error: launch logger FAILED"),
            line.contains("FAILED launch logger"),
        ) {
            (true, false) => Level::Head,
            (false, true) => Level::V18,
            _ => panic!(
                "{}: unknown words for a failed launch: {line}",
                self.bin.display()
            ),
        }
    }
}

fn env_dir(name: &str) -> Option<PathBuf> {
    let value = std::env::var_os(name).filter(|v| !v.is_empty())?;
    let dir = std::fs::canonicalize(&value);
    Some(dir.unwrap_or_else(|e| panic!("{name}={}: {e}", value.display())))
}

/// Looks something up once per executable.
fn cached(bin: &Path, what: &'static str, find: impl FnOnce() -> String) -> String {
    type Known = Option<HashMap<(PathBuf, &'static str), String>>;
    static KNOWN: Mutex<Known> = Mutex::new(None);
    let key = (bin.to_owned(), what);
    let known = || KNOWN.lock().unwrap_or_else(|e| e.into_inner());
    if let Some(found) = known().as_ref().and_then(|k| k.get(&key)) {
        return found.clone();
    }
    let found = find();
    known().get_or_insert_default().insert(key, found.clone());
    found
}
