//! What a workload runs on: an executable with the modules and Lua code of a tree.

use std::path::{Path, PathBuf};
use std::process::Command;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Always,
    /// Only for workloads that keep the workers busy.
    RatesOnly,
}

pub struct Subject {
    pub name: String,
    pub tree: PathBuf,
    pub bin: PathBuf,
    /// Keys of the config file that overrule those of the workload.
    pub settings: Vec<(String, String)>,
    pub kind: Kind,
    /// Folder of the C workloads compiled for it, in the directory of the driver's run.
    pub modules: PathBuf,
}

impl Subject {
    fn new(name: &str, tree: &Path) -> Subject {
        // Nodes run in another directory. What is missing is reported by check().
        let tree = std::path::absolute(tree).unwrap_or_else(|_| tree.to_owned());
        Subject {
            name: name.to_owned(),
            bin: tree.join("skynet"),
            tree,
            settings: Vec::new(),
            kind: Kind::Always,
            modules: PathBuf::new(),
        }
    }

    /// `NAME=DIR[,skynet=FILE][,KEY=VALUE]...`
    pub fn parse(text: &str) -> Result<Subject, String> {
        let mut parts = text.split(',');
        let pair = |part: &str| {
            part.split_once('=')
                .map(|(a, b)| (a.to_owned(), b.to_owned()))
                .ok_or(format!("a subject is NAME=DIR[,KEY=VALUE]..., not {text}"))
        };
        let (name, tree) = pair(parts.next().unwrap_or_default())?;
        let mut subject = Subject::new(&name, Path::new(&tree));
        for part in parts {
            match pair(part)? {
                (key, file) if key == "skynet" => {
                    subject.bin = std::path::absolute(&file).map_err(|e| format!("{file}: {e}"))?;
                }
                setting => subject.settings.push(setting),
            }
        }
        Ok(subject)
    }

    /// Whether all is there that a run needs.
    pub fn check(&self) -> Result<(), String> {
        let parts = ["cservice", "luaclib", "lualib", "service", "skynet-src"];
        let missing = std::iter::once(self.bin.clone())
            .chain(parts.iter().map(|part| self.tree.join(part)))
            .find(|path| !path.exists());
        match missing {
            Some(path) => Err(format!(
                "{}: no {}; is it built?",
                self.name,
                path.display()
            )),
            None => Ok(()),
        }
    }

    /// Compiles a C workload against the headers of the tree, unless that was done before, and gives
    /// the folder of the module.
    pub fn compile(&self, program: &str, work: &Path) -> Result<PathBuf, String> {
        let folder = work.join(&self.modules);
        let module = folder.join(format!("{program}.so"));
        if module.exists() {
            return Ok(folder);
        }
        std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let cc = std::env::var("CC").unwrap_or_else(|_| "cc".into());
        let mut words = cc.split_whitespace();
        let done = Command::new(words.next().unwrap_or("cc"))
            .args(words)
            .args(["-O2", "-Wall", "-Wextra", "-shared", "-fPIC", "-I"])
            .arg(self.tree.join("skynet-src"))
            .arg("-o")
            .arg(&module)
            .arg(sources().join(format!("{program}.c")))
            .output()
            .map_err(|e| format!("{cc}: {e}"))?;
        match done.status.success() {
            true => Ok(folder),
            false => Err(format!(
                "{program}.c does not compile:\n{}",
                String::from_utf8_lossy(&done.stderr)
            )),
        }
    }
}

/// The folder of the workloads.
pub fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("workload")
}

/// Our node, our core in upstream's tree, upstream, and upstream without accounting.
pub fn usual(node: Option<PathBuf>, upstream: Option<PathBuf>) -> Vec<Subject> {
    let ours = node.map(|dir| Subject::new("ours", &dir));
    let Some(upstream) = upstream else {
        return ours.into_iter().collect();
    };
    let core = ours.as_ref().map(|ours| Subject {
        bin: ours.bin.clone(),
        ..Subject::new("core", &upstream)
    });
    let noprofile = Subject {
        settings: vec![("profile".to_owned(), "false".to_owned())],
        kind: Kind::RatesOnly,
        ..Subject::new("noprofile", &upstream)
    };
    let upstream = Subject::new("upstream", &upstream);
    ours.into_iter()
        .chain(core)
        .chain([upstream, noprofile])
        .collect()
}
