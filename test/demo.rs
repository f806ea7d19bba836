//! The demo as a test: `examples/demo/run.sh` with the node under test. Its clients check every reply.

mod common;

use common::Tree;
use std::process::Command;

#[test]
fn the_demo_server_answers_its_players() {
    let tree = Tree::node();
    let package = common::tree::package();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let config = dir.path().join("config");
    let text = format!(
        "thread = 4\n\
         harbor = 0\n\
         demo_port = $DEMO_PORT\n\
         cpath = '{}/?.so'\n\
         lua_cpath = '{}/?.so'\n\
         lualoader = '{lualib}/loader.lua'\n\
         lua_path = '{lualib}/?.lua;{lualib}/?/init.lua'\n\
         luaservice = '{}/examples/demo/?.lua;{}/?.lua'\n",
        tree.cservice.display(),
        tree.luaclib.display(),
        package.display(),
        tree.service.display(),
        lualib = tree.lualib.display(),
    );
    std::fs::write(&config, text).expect("the config is written");
    let output = Command::new("timeout")
        .args(["90", "sh", "examples/demo/run.sh"])
        .current_dir(package)
        .env("SKYNET", &tree.bin)
        .env("LUA_PROGRAM", &tree.lua)
        .env("DEMO_CONFIG", &config)
        .env("DEMO_CPATH", format!("{}/?.so", tree.luaclib.display()))
        .output()
        .expect("the demo runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    for line in [
        "alice  < CHAT carol: hello from carol",
        "bob    < BYE bob",
        "demo server stops",
        "demo: every reply was right",
    ] {
        assert!(text.contains(line), "no line `{line}` in\n{text}\n{errors}");
    }
}
