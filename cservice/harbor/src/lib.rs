//! cservice-harbor
