//! The environment store: settings of the config file, readable for the life of the process.
//!
//! Values are write-once and never freed, which is what lets `get` hand out `'static` strings and
//! C code keep the pointers (core.md §2.5).

use crate::sync::RwLock;
use std::collections::BTreeMap;
use std::ffi::CStr;

/// A process-wide map of write-once settings. Any thread may call it.
pub struct Env {
    values: RwLock<BTreeMap<&'static CStr, &'static CStr>>,
}

impl Env {
    pub const fn new() -> Self {
        Env {
            values: RwLock::new(BTreeMap::new()),
        }
    }

    /// The value of `key`, if it was ever set.
    pub fn get(&self, key: &CStr) -> Option<&'static CStr> {
        self.values.read().get(key).copied()
    }

    /// Stores a copy of both strings. False when `key` already has a value, which stays.
    #[must_use]
    pub fn set(&self, key: &CStr, value: &CStr) -> bool {
        let mut values = self.values.write();
        if values.contains_key(key) {
            return false;
        }
        values.insert(leak(key), leak(value));
        true
    }
}

impl Default for Env {
    fn default() -> Self {
        Self::new()
    }
}

fn leak(text: &CStr) -> &'static CStr {
    Box::leak(text.to_owned().into_boxed_c_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_stays() {
        let env = Env::new();
        assert_eq!(env.get(c"k"), None);
        assert!(env.set(c"k", c"1"));
        assert!(!env.set(c"k", c"2"));
        assert_eq!(env.get(c"k"), Some(c"1"));
        assert!(env.set(c"empty", c""));
        assert_eq!(env.get(c"empty"), Some(c""));
    }
}
