//! The stack that C code expects of a thread (core.md §6.8).

/// Size in bytes of the stack that a pthread has by default here (`ulimit -s`); Rust's own default is
/// smaller than what C services were written for.
pub fn default_size() -> usize {
    let mut size = 0;
    // SAFETY: the attribute is initialised before it is asked and destroyed after.
    unsafe {
        let mut attributes: libc::pthread_attr_t = std::mem::zeroed();
        if libc::pthread_attr_init(&mut attributes) == 0 {
            libc::pthread_attr_getstacksize(&attributes, &mut size);
            libc::pthread_attr_destroy(&mut attributes);
        }
    }
    size.max(2 << 20)
}
