//! The malloc family of the process (core.md §9.1), exported by the executable and by nothing else.
//!
//! The executable comes first in symbol resolution, so every library of the process, libc and Rust's
//! std included, allocates here. All members must be here: a block of libc's that reached our
//! `free`, or the reverse, would be the end.
//!
//! Layout of a block: the raw allocator's block, `prefix` bytes, the bytes the caller asked for. The
//! last 16 bytes of the prefix are the [`Cookie`]. The prefix is 16 bytes, or as long as the alignment
//! where that is larger, so that the raw block and the caller's pointer are equally well aligned.
//!
//! Running out of memory ends the process: callers rely on never seeing NULL.

use skynet::core::memory::{self, Charge};
use skynet::sys::alloc;
use std::ffi::{c_int, c_void};
use std::ptr;

/// What stands before every block.
#[repr(C)]
struct Cookie {
    /// What the caller asked for, in bytes.
    len: usize,
    /// The handle the block is charged to.
    handle: u32,
    /// Length of the prefix as a power of two.
    prefix_log2: u8,
    /// [`Charge::in_slot`] as 0 or 1.
    in_slot: u8,
}

const PREFIX: usize = size_of::<Cookie>();
const _: () = assert!(PREFIX == 16);

impl Cookie {
    fn prefix(&self) -> usize {
        1 << self.prefix_log2
    }

    fn charge(&self) -> Charge {
        Charge {
            handle: self.handle,
            in_slot: self.in_slot != 0,
        }
    }
}

/// Turns a raw block of `prefix + len` bytes into the caller's, and charges the running service.
///
/// # Safety
/// `base` is a raw block of that size, nobody else's, aligned to `prefix`, a power of two from 16 up.
#[inline]
unsafe fn furnish(base: *mut c_void, prefix: usize, len: usize) -> *mut c_void {
    let charge = memory::allocated(len, prefix);
    // SAFETY: the prefix lies within the block, and its last 16 bytes are aligned.
    unsafe {
        let user = base.byte_add(prefix);
        user.cast::<Cookie>().sub(1).write(Cookie {
            len,
            handle: charge.handle,
            prefix_log2: prefix.trailing_zeros() as u8,
            in_slot: charge.in_slot.into(),
        });
        user
    }
}

/// The cookie of a block.
///
/// # Safety
/// `user` is a live block of this family.
#[inline]
unsafe fn cookie(user: *mut c_void) -> Cookie {
    // SAFETY: `furnish` wrote it there.
    unsafe { user.cast::<Cookie>().sub(1).read() }
}

/// A block at an address that is a multiple of `align`, a power of two.
#[inline]
fn allocate_aligned(align: usize, len: usize) -> *mut c_void {
    if align <= PREFIX {
        return allocate(len);
    }
    let Some(total) = len.checked_add(align) else {
        out_of_memory(len)
    };
    let base = alloc::aligned(align, total);
    if base.is_null() {
        out_of_memory(len);
    }
    // SAFETY: just allocated with these measures.
    unsafe { furnish(base, align, len) }
}

/// A block for any type of C.
#[inline]
fn allocate(len: usize) -> *mut c_void {
    let Some(total) = len.checked_add(PREFIX) else {
        out_of_memory(len)
    };
    let base = alloc::malloc(total);
    if base.is_null() {
        out_of_memory(len);
    }
    // SAFETY: just allocated with this size; the raw allocator aligns to 16.
    unsafe { furnish(base, PREFIX, len) }
}

/// Says so on stderr, without allocating, and aborts.
#[cold]
fn out_of_memory(len: usize) -> ! {
    use std::fmt::Write;

    struct Line {
        text: [u8; 96],
        len: usize,
    }
    impl Write for Line {
        fn write_str(&mut self, s: &str) -> std::fmt::Result {
            let room = &mut self.text[self.len..];
            let n = s.len().min(room.len());
            room[..n].copy_from_slice(&s.as_bytes()[..n]);
            self.len += n;
            Ok(())
        }
    }

    let mut line = Line {
        text: [0; 96],
        len: 0,
    };
    let _ = writeln!(
        line,
        "xmalloc: Out of memory trying to allocate {len} bytes"
    );
    // SAFETY: the text has `len` bytes. Nothing can be done about a stderr that does not take it.
    unsafe { libc::write(2, line.text.as_ptr().cast(), line.len) };
    std::process::abort()
}

/// The size of a page of memory.
fn page() -> usize {
    // SAFETY: sysconf only answers.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}

/// `malloc`. Any size gives a block of its own, 0 too.
#[unsafe(no_mangle)]
pub extern "C" fn malloc(len: usize) -> *mut c_void {
    allocate(len)
}

/// `calloc`. A product that overflows is memory nobody has.
#[unsafe(no_mangle)]
pub extern "C" fn calloc(count: usize, len: usize) -> *mut c_void {
    let Some((len, total)) = count
        .checked_mul(len)
        .and_then(|len| Some((len, len.checked_add(PREFIX)?)))
    else {
        out_of_memory(count.saturating_mul(len))
    };
    let base = alloc::zeroed(total);
    if base.is_null() {
        out_of_memory(len);
    }
    // SAFETY: just allocated with this size; the raw allocator aligns to 16.
    unsafe { furnish(base, PREFIX, len) }
}

/// `realloc`. Charges the block to the service that calls. Size 0 gives an empty block and does not
/// free; an alignment above 16 is not kept.
///
/// # Safety
/// `user` is null or a live block of this family.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realloc(user: *mut c_void, len: usize) -> *mut c_void {
    if user.is_null() {
        return allocate(len);
    }
    // SAFETY: the caller's promise.
    let old = unsafe { cookie(user) };
    if old.prefix() != PREFIX {
        let new = allocate(len);
        // SAFETY: both blocks have as many bytes and do not overlap; the old one is not used again.
        unsafe {
            ptr::copy_nonoverlapping::<u8>(user.cast(), new.cast(), old.len.min(len));
            free(user);
        }
        return new;
    }
    let Some(total) = len.checked_add(PREFIX) else {
        out_of_memory(len)
    };
    // SAFETY: the raw block begins at the prefix; `total` is not 0.
    let base = unsafe { alloc::realloc(user.byte_sub(PREFIX), total) };
    if base.is_null() {
        out_of_memory(len);
    }
    memory::freed(old.charge(), old.len, PREFIX);
    // SAFETY: as large as asked for, and ours.
    unsafe { furnish(base, PREFIX, len) }
}

/// `free`. The account that was charged is relieved, whichever thread and service calls.
///
/// # Safety
/// `user` is null or a live block of this family that nobody uses any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free(user: *mut c_void) {
    if user.is_null() {
        return;
    }
    // SAFETY: the caller's promise; the raw block begins at the prefix.
    unsafe {
        let old = cookie(user);
        memory::freed(old.charge(), old.len, old.prefix());
        alloc::free(user.byte_sub(old.prefix()));
    }
}

/// `memalign`. As glibc's, an alignment that is no power of two is rounded up to one.
#[unsafe(no_mangle)]
pub extern "C" fn memalign(align: usize, len: usize) -> *mut c_void {
    match align.checked_next_power_of_two() {
        Some(align) => allocate_aligned(align, len),
        None => out_of_memory(len),
    }
}

/// `aligned_alloc`, with any size.
#[unsafe(no_mangle)]
pub extern "C" fn aligned_alloc(align: usize, len: usize) -> *mut c_void {
    memalign(align, len)
}

/// `posix_memalign`. EINVAL for an alignment that is not a power of two or smaller than a pointer,
/// as POSIX has it; otherwise 0.
///
/// # Safety
/// `out` is a valid place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_memalign(out: *mut *mut c_void, align: usize, len: usize) -> c_int {
    if !align.is_power_of_two() || align < size_of::<*mut c_void>() {
        return libc::EINVAL;
    }
    let user = allocate_aligned(align, len);
    // SAFETY: the caller's promise.
    unsafe { out.write(user) };
    0
}

/// `valloc`: aligned to a page.
#[unsafe(no_mangle)]
pub extern "C" fn valloc(len: usize) -> *mut c_void {
    allocate_aligned(page(), len)
}

/// `pvalloc`: whole pages.
#[unsafe(no_mangle)]
pub extern "C" fn pvalloc(len: usize) -> *mut c_void {
    let page = page();
    match len.checked_next_multiple_of(page) {
        Some(len) => allocate_aligned(page, len),
        None => out_of_memory(len),
    }
}

/// `malloc_usable_size`: what was asked for, as `realloc` of an aligned block copies no more.
///
/// # Safety
/// `user` is null or a live block of this family.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn malloc_usable_size(user: *mut c_void) -> usize {
    if user.is_null() {
        return 0;
    }
    // SAFETY: the caller's promise.
    unsafe { cookie(user) }.len
}

/// jemalloc was built with the name `_RJEM_MALLOC_CONF` for its options; people set `JE_MALLOC_CONF`.
/// The C library calls what stands in this section before the constructors of any library, and with
/// them before the first allocation. (Other C libraries do not, or pass no environment.)
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod options {
    use super::*;
    use std::ffi::{CStr, c_char};

    #[used]
    #[unsafe(link_section = ".preinit_array")]
    static BEFORE_ALL: unsafe extern "C" fn(c_int, *const *mut c_char, *const *mut c_char) = read;

    unsafe extern "C" fn read(
        _argc: c_int,
        _argv: *const *mut c_char,
        environ: *const *mut c_char,
    ) {
        const NAME: &[u8] = b"JE_MALLOC_CONF=";
        // As jemalloc itself does, leave the environment alone in a set-user-id program.
        // SAFETY: only answers from the auxiliary vector.
        if unsafe { libc::getauxval(libc::AT_SECURE) } != 0 {
            return;
        }
        let mut at = environ;
        // SAFETY: `environ` is the process's, a list of C strings that ends with null.
        unsafe {
            while !(*at).is_null() {
                if CStr::from_ptr(*at).to_bytes().starts_with(NAME) {
                    // No thread is there yet, and the initial environment stays in place.
                    alloc::set_options((*at).add(NAME.len()));
                    return;
                }
                at = at.add(1);
            }
        }
    }
}

// In the test harness of this binary the family is in force, for the harness itself as well.
#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::{CStr, CString, c_char};
    use std::process::{Command, Output};

    /// Runs one of the `child_…` tests below in a process of its own.
    fn child(name: &str, env: (&str, &str)) -> Output {
        let name = format!("malloc_hook::tests::{name}");
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &name, "--ignored", "--nocapture"])
            .env(env.0, env.1)
            .output()
            .unwrap()
    }

    #[test]
    fn libc_allocates_here() {
        // SAFETY: a C string; the copy has a cookie only if it is ours.
        unsafe {
            let p = libc::strdup(c"fourteen bytes".as_ptr());
            assert_eq!(malloc_usable_size(p.cast()), 15);
            assert_eq!(cookie(p.cast()).prefix(), PREFIX);
            free(p.cast());
        }
    }

    #[test]
    fn blocks_are_counted() {
        // The tests beside this one run under the same handle: only a size that stands out shows.
        const LEN: usize = 1 << 27;
        let me = skynet::core::current_handle();
        let before = memory::of(me);
        let p = malloc(LEN);
        assert!(memory::of(me) - before >= LEN / 2);
        // SAFETY: the block is ours.
        let p = unsafe { realloc(p, 2 * LEN) };
        assert!(memory::of(me) - before >= LEN + LEN / 2);
        let p = p as usize;
        let other = std::thread::spawn(move || {
            // SAFETY: the block is ours. Freed elsewhere, it is released from our account.
            unsafe { free(p as *mut c_void) }
        });
        other.join().unwrap();
        assert!(memory::of(me).abs_diff(before) < LEN / 2);
    }

    /// The same checks that run as a service, in a module of C that is loaded at run time.
    #[test]
    fn modules_of_c_are_served() {
        let so = std::env::temp_dir().join(format!("skynet-heap-{}.so", std::process::id()));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/test/api/heap.c");
        let cc = std::env::var("CC").unwrap_or_else(|_| "cc".into());
        let compiled = Command::new(cc)
            .args([
                "-std=gnu11",
                "-g",
                "-O0",
                "-fno-builtin",
                "-shared",
                "-fPIC",
            ])
            .arg("-pthread")
            .args(["-o".as_ref(), so.as_os_str(), source.as_ref()])
            .status();
        assert!(compiled.unwrap().success());
        let path = CString::new(so.as_os_str().as_encoded_bytes()).unwrap();
        // SAFETY: our own module, whose function has this type.
        let failed = unsafe {
            let module = libc::dlopen(path.as_ptr(), libc::RTLD_NOW);
            assert!(!module.is_null(), "{:?}", CStr::from_ptr(libc::dlerror()));
            let check = libc::dlsym(module, c"heap_check".as_ptr());
            assert!(!check.is_null());
            let check: extern "C" fn(c_int) -> *const c_char = std::mem::transmute(check);
            let failed = check(1);
            (!failed.is_null()).then(|| CStr::from_ptr(failed))
        };
        std::fs::remove_file(so).unwrap();
        assert_eq!(failed, None);
    }

    #[test]
    #[ignore = "started by `out_of_memory_aborts`"]
    fn child_out_of_memory() {
        const HUGE: usize = 1 << 62;
        let mut out = ptr::null_mut();
        // SAFETY: `out` is valid; none of these calls returns.
        unsafe {
            match std::env::var("CALL").unwrap().as_str() {
                "malloc" => malloc(HUGE),
                "malloc max" => malloc(usize::MAX),
                "calloc" => calloc(HUGE, 16),
                "realloc" => realloc(malloc(10), HUGE),
                "realloc aligned" => realloc(memalign(64, 10), HUGE),
                "memalign" => memalign(64, HUGE),
                "memalign max" => memalign(HUGE, usize::MAX - 100),
                "posix_memalign" => posix_memalign(&mut out, 64, HUGE) as usize as *mut c_void,
                "pvalloc" => pvalloc(usize::MAX),
                other => panic!("{other}"),
            }
        };
    }

    #[test]
    fn out_of_memory_aborts() {
        use std::os::unix::process::ExitStatusExt;

        const HUGE: usize = 1 << 62;
        for (call, size) in [
            ("malloc", HUGE),
            ("malloc max", usize::MAX),
            ("calloc", usize::MAX),
            ("realloc", HUGE),
            ("realloc aligned", HUGE),
            ("memalign", HUGE),
            ("memalign max", usize::MAX - 100),
            ("posix_memalign", HUGE),
            ("pvalloc", usize::MAX),
        ] {
            let run = child("child_out_of_memory", ("CALL", call));
            assert_eq!(run.status.signal(), Some(libc::SIGABRT), "{call}");
            assert_eq!(
                String::from_utf8_lossy(&run.stderr),
                format!("xmalloc: Out of memory trying to allocate {size} bytes\n"),
                "{call}"
            );
        }
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    #[ignore = "started by `options_come_from_the_environment`"]
    fn child_options() {
        println!(
            "narenas {}",
            alloc::control::<c_int>(c"opt.narenas", None).0
        );
        println!(
            "run of 64 bytes {}",
            alloc::control::<usize>(c"arenas.bin.4.slab_size", None).0
        );
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn options_come_from_the_environment() {
        let run = child("child_options", ("JE_MALLOC_CONF", "narenas:3"));
        let out = String::from_utf8_lossy(&run.stdout).into_owned();
        assert!(out.contains("narenas 3\n"), "{out}");
        // Of `.cargo/config.toml`.
        assert!(out.contains("run of 64 bytes 32768\n"), "{out}");
    }
}
