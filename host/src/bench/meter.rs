//! Clocks and counters: CPU time, resident memory, percentiles, and the disk.

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::process::Pid;
use rustix::time::{ClockId, clock_gettime};

use super::Figure;

/// Wall and CPU time since a moment; all threads of this process count.
pub(super) struct Stopwatch {
    wall: Instant,
    cpu: Duration,
}

impl Stopwatch {
    pub(super) fn start() -> Self {
        Self {
            wall: Instant::now(),
            cpu: cpu_time(),
        }
    }

    /// Seconds of wall time.
    pub(super) fn wall_s(&self) -> f64 {
        self.wall.elapsed().as_secs_f64()
    }

    /// µs of CPU time for each of `count` things.
    pub(super) fn cpu_us_per(&self, count: usize) -> f64 {
        (cpu_time() - self.cpu).as_secs_f64() * 1e6 / count as f64
    }
}

fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// The `percent`th percentile, in µs.
pub(super) fn percentile_us(sorted: &[Duration], percent: usize) -> f64 {
    let index = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted
        .get(index)
        .map_or(0.0, |time| time.as_secs_f64() * 1e6)
}

/// The resident memory of a process, in MiB.
pub(super) fn resident_mib(pid: Pid) -> anyhow::Result<f64> {
    status_mib(pid, "VmRSS:")
}

/// The most resident memory that a process has had, in MiB.
pub(super) fn peak_mib(pid: Pid) -> anyhow::Result<f64> {
    status_mib(pid, "VmHWM:")
}

fn status_mib(pid: Pid, name: &str) -> anyhow::Result<f64> {
    let path = format!("/proc/{}/status", pid.as_raw_nonzero());
    let status = std::fs::read_to_string(&path).context("reading resident memory")?;
    let kib = (status.lines())
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|kib| kib.parse::<f64>().ok())
        .with_context(|| format!("no {name} in {path}"))?;
    Ok(kib / 1024.0)
}

/// The CPU time of a process so far, in seconds.
pub(super) fn cpu_of(pid: Pid) -> anyhow::Result<f64> {
    /// What Linux shows to programs, on all machines (`man 5 proc`, USER_HZ).
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()))?;
    // The name in parentheses may hold spaces; utime and stime are the 12th and
    // 13th fields after it.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: f64 = (fields.split_whitespace().skip(11).take(2))
        .filter_map(|field| field.parse::<f64>().ok())
        .sum();
    Ok(ticks / TICKS_PER_SECOND)
}

/// What one small durable write costs on this disk.
pub(super) fn disk(directory: &Path) -> anyhow::Result<Vec<Figure>> {
    const WRITES: usize = 500;
    let mut file = tempfile::tempfile_in(directory)?;
    let block = [0x5a; 512];
    let mut times = Vec::with_capacity(WRITES);
    for _ in 0..WRITES {
        let begun = Instant::now();
        file.write_all(&block)?;
        file.sync_data()?;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    Ok(vec![
        Figure::new("fsync of 512 bytes, p50", percentile_us(&times, 50), "µs"),
        Figure::new("fsync of 512 bytes, p99", percentile_us(&times, 99), "µs"),
    ])
}
