//! A C service that has a Lua state of its own, as projects do that replaced snlua, with values of its own on the
//! stack: skynet.core serves it as it serves snlua.

mod common;

use std::path::Path;
use std::process::Command;

use common::{Node, SOON, Stage, Tree, skipped, tree};

/// `include` holds skynet.h, and `none` is what a host without values sees on its stack.
fn hosts(tree: &Tree, include: &Path, none: &str) {
    let stage = Stage::new(tree);
    let folder = tree::package().join("test/lua_host");
    std::fs::create_dir(stage.file("extra")).expect("a new folder");
    let cc = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let lua = tree.lua.parent().expect("a file lies in a folder");
    let made = Command::new(&cc)
        .args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-g", "-O2"])
        .args(["-shared", "-fPIC", "-I"])
        .args([include, Path::new("-I"), lua, Path::new("-o")])
        .arg(stage.file("extra/host.so"))
        .arg(folder.join("host.c"))
        .output()
        .unwrap_or_else(|e| panic!("{cc}: {e}"));
    let errors = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{errors}");
    stage.link("main.lua", &folder.join("main.lua"));
    // Upstream's luaL_newstate of Lua 5.5 makes states that cannot share the code of a file.
    for values in 0..4 {
        stage.link(&format!("script{values}.lua"), &folder.join("script.lua"));
    }
    let mut node = Node::start(
        &stage,
        "cpath = './cservice/?.so;./extra/?.so' lua_cpath = './luaclib/?.so' lua_path = './lualib/?.lua'
         lualoader = './lualib/loader.lua' luaservice = './service/?.lua;./?.lua' logger = nil",
    );
    node.expect("^MAIN done$", SOON);
    for values in 0..4 {
        let stack: String = match values {
            0 => none.into(),
            _ => (1..=values).map(|i| format!(" {}", 100 + i)).collect(),
        };
        node.expect(&format!("HOST ends, on its stack:{stack}\\.$"), SOON);
    }
    for line in ["got one", "got change", "forwarded last"] {
        node.expect_count(&format!("^{line}$"), 4, SOON);
    }
    node.expect_count("lua call .* error : .*script.\\.lua:15: as told", 4, SOON);
    assert_eq!(node.count("stack traceback:"), 4, "{}", node.report());
    node.expect_no_panic();
}

#[test]
fn hosts_keep_their_values() {
    // docs/differences.md: the function of skynet.core is on the stack of the main thread.
    hosts(&Tree::node(), &tree::package().join("include"), " 0 0");
}

#[test]
fn hosts_of_upstream_keep_their_values() {
    let Some(upstream) = Tree::upstream() else {
        return skipped("SKYNET_UPSTREAM is not set");
    };
    let include = upstream.cservice.with_file_name("skynet-src");
    hosts(&upstream, &include, "");
}
