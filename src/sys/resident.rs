//! Which pages of the process are in memory, as the system says.

use std::ops::Range;

/// Bytes of resident memory, and what they are part of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resident {
    /// All of it.
    pub total: usize,
    /// Program and libraries, with their variables, and other files.
    pub files: usize,
    /// Stacks of threads.
    pub stacks: usize,
    /// Memory without a name, which is what allocators have.
    pub anonymous: usize,
    /// What is left, such as pages of the kernel.
    pub other: usize,
}

/// The figures of now; `is_stack` knows ranges of addresses that hold a stack. Reads what the system writes about
/// each mapping, which takes it some milliseconds for each gigabyte. `None` where it says nothing.
pub fn resident(is_stack: impl Fn(&Range<usize>) -> bool) -> Option<Resident> {
    #[cfg(target_os = "linux")]
    {
        let modules = modules();
        let text = std::io::BufReader::new(std::fs::File::open("/proc/self/smaps").ok()?);
        sum(text, &modules, is_stack)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = is_stack;
        None
    }
}

/// Where the program and its libraries are. The pages behind a file's end that hold variables have no name.
#[cfg(target_os = "linux")]
fn modules() -> Vec<Range<usize>> {
    unsafe extern "C" fn add(
        info: *mut libc::dl_phdr_info,
        _: usize,
        modules: *mut std::ffi::c_void,
    ) -> std::ffi::c_int {
        // SAFETY: the loader's description of a module, and the list below.
        unsafe {
            let (info, modules) = (&*info, &mut *modules.cast::<Vec<Range<usize>>>());
            if info.dlpi_phdr.is_null() {
                return 0;
            }
            let headers = std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into());
            for header in headers {
                if header.p_type == libc::PT_LOAD {
                    let start = info.dlpi_addr as usize + header.p_vaddr as usize;
                    modules.push(start..start + header.p_memsz as usize);
                }
            }
        }
        0
    }
    let mut modules: Vec<Range<usize>> = Vec::new();
    // SAFETY: `add` takes what it is given here, during this call.
    unsafe { libc::dl_iterate_phdr(Some(add), (&raw mut modules).cast()) };
    modules
}

/// Adds up the text of `/proc/self/smaps`.
#[cfg(target_os = "linux")]
fn sum(
    text: impl std::io::BufRead,
    modules: &[Range<usize>],
    is_stack: impl Fn(&Range<usize>) -> bool,
) -> Option<Resident> {
    #[derive(Clone, Copy)]
    enum Kind {
        Files,
        Stack,
        Anonymous,
        Other,
    }
    let mut resident = Resident::default();
    let mut kind = Kind::Other;
    for line in text.lines() {
        let line = line.ok()?;
        let mut words = line.split_ascii_whitespace();
        let first = words.next().unwrap_or_default();
        if let Some(size) = first.strip_suffix(':') {
            if size != "Rss" {
                continue;
            }
            let bytes = words.next()?.parse::<usize>().ok()? << 10;
            resident.total += bytes;
            *match kind {
                Kind::Files => &mut resident.files,
                Kind::Stack => &mut resident.stacks,
                Kind::Anonymous => &mut resident.anonymous,
                Kind::Other => &mut resident.other,
            } += bytes;
            continue;
        }
        let (start, end) = first.split_once('-')?;
        let range = usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?;
        let in_module =
            |module: &Range<usize>| module.start < range.end && range.start < module.end;
        // Rights, offset, device, inode; then the name.
        kind = match words.nth(4) {
            Some("[stack]") => Kind::Stack,
            Some(name) if name.starts_with('/') => Kind::Files,
            None if modules.iter().any(in_module) => Kind::Files,
            None if is_stack(&range) => Kind::Stack,
            None => Kind::Anonymous,
            // A name that a program gave.
            Some(name) if name.starts_with("[anon") => Kind::Anonymous,
            Some(_) => Kind::Other,
        };
    }
    Some(resident)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn mappings_are_told_apart() {
        let text = "\
10000-20000 r-xp 00000000 08:01 42                     /bin/program
Size:                 64 kB
Rss:                  40 kB
VmFlags: rd ex mr
20000-21000 rw-p 00000000 00:00 0
Rss:                   4 kB
50000-60000 rw-p 00000000 00:00 0
Rss:                   8 kB
Anonymous:             8 kB
70000-80000 rw-p 00000000 00:00 0
Rss:                  60 kB
80000-90000 rw-p 00000000 00:00 0                      [anon: a name]
Rss:                   4 kB
7ff00-7ff80 rw-p 00000000 00:00 0                      [stack]
Rss:                  12 kB
7ff80-7ffa0 r-xp 00000000 00:00 0                      [vdso]
Rss:                   4 kB
";
        let module = 0x10000..0x20800;
        let is_stack = |range: &Range<usize>| range.contains(&0x5fff0);
        let found = sum(text.as_bytes(), std::slice::from_ref(&module), is_stack).unwrap();
        assert_eq!(
            found,
            Resident {
                total: 132 << 10,
                files: 44 << 10,
                stacks: 20 << 10,
                anonymous: 64 << 10,
                other: 4 << 10,
            }
        );
    }

    #[test]
    fn this_process() {
        let here = 0u8;
        let here = (&raw const here) as usize;
        let found = resident(|range| range.contains(&here)).unwrap();
        assert!(found.files > 100 << 10, "{found:?}");
        assert!(found.stacks >= 4 << 10, "{found:?}");
        assert!(found.anonymous > 100 << 10, "{found:?}");
        let parts = found.files + found.stacks + found.anonymous + found.other;
        assert_eq!(parts, found.total);
    }
}
