//! The config file: a Lua chunk whose globals become settings (core.md §2.2, §2.3).

use mlua::{Lua, LuaOptions, StdLib, Value};
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;

/// Settings in no particular order, each in the text form that the environment store keeps.
pub type Settings = Vec<(CString, CString)>;

/// Runs the config file. The error is the line for the operator.
pub fn load(file: &OsStr) -> Result<Settings, String> {
    let (done, outcome) = run(file).map_err(|error| error.to_string())?;
    match outcome {
        (_, Value::Table(settings)) if done => {
            let mut list = Settings::new();
            for pair in settings.pairs::<Value, Value>() {
                let (key, value) = pair.map_err(|error| error.to_string())?;
                list.push(export(&key, &value)?);
            }
            Ok(list)
        }
        (_, Value::String(message)) => Err(message.to_string_lossy()),
        (_, other) => Err(format!("config loader answered {}", other.type_name())),
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
fn export(key: &Value, value: &Value) -> Result<(CString, CString), String> {
    let Value::String(key) = key else {
        return Err("Invalid config table".to_string());
    };
    let name = key.to_string_lossy();
    let refuse = || format!("Invalid config table key = {name}");
    let text = match value {
        Value::Boolean(flag) => flag.to_string().into_bytes(),
        Value::String(text) => text.as_bytes().to_vec(),
        Value::Integer(number) => number.to_string().into_bytes(),
        // Lua's own text for a float, "8.0" and not "8".
        Value::Number(_) => value.to_string().map_err(|_| refuse())?.into_bytes(),
        _ => return Err(refuse()),
    };
    let key = CString::new(key.as_bytes().to_vec()).map_err(|_| refuse())?;
    let text = CString::new(text).map_err(|_| refuse())?;
    Ok((key, text))
}
