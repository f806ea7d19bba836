//! The config file: a Lua chunk whose globals become settings (core.md §2.2, §2.3).

use mlua::{Lua, LuaOptions, StdLib, Value};
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;

/// Settings in no particular order, each in the text form that the environment store keeps.
pub type Settings = Vec<(CString, CString)>;

/// Runs the config file. The error is the line for the operator.
pub fn load(file: &OsStr) -> Result<Settings, Vec<u8>> {
    let inside = |error: mlua::Error| error.to_string().into_bytes();
    let (done, (_lua, outcome)) = run(file).map_err(inside)?;
    match outcome {
        Value::Table(settings) if done => {
            let mut list = Settings::new();
            for pair in settings.pairs::<Value, Value>() {
                let (key, value) = pair.map_err(inside)?;
                list.push(export(&key, &value)?);
            }
            Ok(list)
        }
        Value::String(message) => Err(message.as_bytes().to_vec()),
        other => Err(format!("config loader answered {}", other.type_name()).into_bytes()),
    }
}

fn run(file: &OsStr) -> mlua::Result<(bool, (Lua, Value))> {
    let lua = Lua::new_with(StdLib::ALL_SAFE, LuaOptions::default())?;
    let name = lua.create_string(file.as_bytes())?;
    let loader = lua
        .load(include_str!("config.lua"))
        .set_name("=[skynet config]");
    let (done, outcome) = loader.call::<(bool, Value)>(name)?;
    Ok((done, (lua, outcome)))
}

/// The text form of a setting.
fn export(key: &Value, value: &Value) -> Result<(CString, CString), Vec<u8>> {
    let Value::String(key) = key else {
        return Err(b"Invalid config table".to_vec());
    };
    let key = key.as_bytes().to_vec();
    let text = match value {
        Value::Boolean(flag) => flag.to_string().into_bytes(),
        Value::String(text) => text.as_bytes().to_vec(),
        _ => return Err([b"Invalid config table key = ", &key[..]].concat()),
    };
    match (CString::new(&key[..]), CString::new(text)) {
        (Ok(key), Ok(text)) => Ok((key, text)),
        _ => Err([b"Invalid config table key = ", &key[..]].concat()),
    }
}
