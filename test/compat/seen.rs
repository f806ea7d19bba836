//! What a run showed: as it came, and prepared for comparison.

use crate::common::Entry;

/// As it came.
pub struct Raw {
    pub log: Vec<Entry>,
    pub out: Vec<String>,
}

impl Raw {
    /// The log messages of one service.
    pub fn log_of(&self, source: u32) -> Vec<String> {
        let own = self.log.iter().filter(|e| e.source == source);
        own.map(|e| e.text.clone()).collect()
    }
}

/// Prepared for comparison: what differs from run to run is masked.
#[derive(Default)]
pub struct Seen {
    pub log: Vec<(u32, String)>,
    pub out: Vec<String>,
    pub err: Vec<String>,
    /// What the case's driver got to see as a client.
    pub driver: Vec<String>,
}

/// A log as lines.
pub fn flat(log: &[(u32, String)]) -> Vec<String> {
    log.iter()
        .map(|(source, text)| format!("[:{source:08x}] {text}"))
        .collect()
}
