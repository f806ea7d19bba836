//! cservice-snlua
