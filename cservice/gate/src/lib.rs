//! cservice-gate
