//! cservice-logger
