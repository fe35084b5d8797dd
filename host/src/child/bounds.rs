//! What a child process may take.

use std::fmt;

/// The child's address space where there is memory enough, in bytes. A Python guest of
/// 18 MB compiles in about 1.5 GB; the rest is reserve of the allocator's arenas and
/// thread stacks.
const CHILD_MEMORY_BYTES: u64 = 6 << 30;

/// The least that a Python guest compiles in, in bytes, however small the machine.
const LEAST_MEMORY_BYTES: u64 = 2 << 30;

/// The most threads: each has an arena and a stack of its own in the child's address
/// space, and on a large machine the cores are rather for jobs.
const MAX_THREADS: usize = 8;

/// The bounds of one child.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// CPU time, in seconds.
    pub cpu_s: u64,
    /// Address space, in bytes.
    pub memory_bytes: u64,
}

impl Bounds {
    /// On this machine, with so much CPU time.
    pub fn here(cpu_s: u64) -> Self {
        // Half of the memory, so that a child alone never has the host swap or die.
        let half = machine_memory().map_or(u64::MAX, |bytes| bytes / 2);
        Self {
            cpu_s,
            memory_bytes: half.clamp(LEAST_MEMORY_BYTES, CHILD_MEMORY_BYTES),
        }
    }

    /// As the arguments of the child.
    pub(crate) fn args(&self) -> [String; 4] {
        let Self {
            cpu_s,
            memory_bytes,
        } = self;
        [
            "--cpu-s".to_owned(),
            cpu_s.to_string(),
            "--memory-bytes".to_owned(),
            memory_bytes.to_string(),
        ]
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = self.memory_bytes >> 20;
        write!(f, "{} s of CPU and {mib} MiB of memory", self.cpu_s)
    }
}

/// How many threads a child has.
pub(crate) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(MAX_THREADS))
}

/// The memory of this machine, or of the container around this process, in bytes.
pub(crate) fn machine_memory() -> Option<u64> {
    let read = |path| std::fs::read_to_string(path).ok();
    let container = read("/sys/fs/cgroup/memory.max").and_then(|max| max.trim().parse().ok());
    let machine = read("/proc/meminfo").and_then(|meminfo| total(&meminfo));
    [container, machine].into_iter().flatten().min()
}

/// The total of `/proc/meminfo`, in bytes.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_the_machine_is_read() {
        let meminfo = "MemTotal:       24503292 kB\nMemFree:          822416 kB\n";
        assert_eq!(total(meminfo), Some(24_503_292 << 10));
        assert_eq!(total("nothing"), None);
        let here = Bounds::here(7);
        assert!((LEAST_MEMORY_BYTES..=CHILD_MEMORY_BYTES).contains(&here.memory_bytes));
        assert_eq!(here.cpu_s, 7);
    }
}
