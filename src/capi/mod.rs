//! The C interface: `extern "C"` functions only, one file per header of `include/`.
pub mod malloc_hook;
pub mod mem_info;
pub mod skynet_malloc;
