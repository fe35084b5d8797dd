//! What the kernel says of this process, under the names that Prometheus has for it. Where
//! there is no `/proc`, nothing is said.

use std::fs;

use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

/// The numbers of this moment.
pub(crate) fn processes() -> Registry {
    let mut to = Registry::with_prefix("process");
    if let Some(stat) = fs::read_to_string("/proc/self/stat")
        .ok()
        .as_deref()
        .and_then(fields)
    {
        let ticks = clock_ticks_per_second() as f64;
        to.register_with_unit(
            "cpu",
            "User and system CPU time spent",
            Unit::Seconds,
            ConstCounter::new(stat.cpu_ticks as f64 / ticks),
        );
        to.register_with_unit(
            "resident_memory",
            "Resident memory size",
            Unit::Bytes,
            ConstGauge::new(stat.resident_pages.saturating_mul(page_size() as u64)),
        );
        to.register_with_unit(
            "virtual_memory",
            "Virtual memory size, most of which are addresses set aside for sandboxes",
            Unit::Bytes,
            ConstGauge::new(stat.virtual_bytes),
        );
        to.register(
            "threads",
            "Number of OS threads",
            ConstGauge::new(stat.threads),
        );
        if let Some(boot_s) = boot_s() {
            let start = boot_s as f64 + stat.start_ticks as f64 / ticks;
            to.register_with_unit(
                "start_time",
                "Start time of the process since the Unix epoch",
                Unit::Seconds,
                ConstGauge::new(start),
            );
        }
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // The directory that is read is open too.
        let open = (open.count() as u64).saturating_sub(1);
        to.register(
            "open_fds",
            "Number of open file descriptors",
            ConstGauge::new(open),
        );
    }
    if let Some(most) = getrlimit(Resource::Nofile).current {
        to.register(
            "max_fds",
            "Maximum number of open file descriptors",
            ConstGauge::new(most),
        );
    }
    to
}

/// What is of interest in `/proc/self/stat`.
struct Stat {
    cpu_ticks: u64,
    threads: u64,
    start_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

fn fields(stat: &str) -> Option<Stat> {
    // The name of the program, which comes first, may have spaces and parentheses in it.
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // As proc(5) numbers them; the first of the rest is the third.
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some(Stat {
        cpu_ticks: field(14)?.saturating_add(field(15)?),
        threads: field(20)?,
        start_ticks: field(22)?,
        virtual_bytes: field(23)?,
        resident_pages: field(24)?,
    })
}

/// When the machine was started, in s since the Unix epoch.
fn boot_s() -> Option<u64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "));
    line?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_may_have_any_name() {
        let line = "7 (a) b (c) R 1 7 7 0 -1 4194304 100 0 0 0 40 2 0 0 20 0 9 0 12345 1000000 250 18446744073709551615 1 1 0 0";
        let stat = fields(line).unwrap();
        assert_eq!((stat.cpu_ticks, stat.threads), (42, 9));
        assert_eq!((stat.start_ticks, stat.virtual_bytes), (12345, 1_000_000));
        assert_eq!(stat.resident_pages, 250);
        assert!(fields("7 (a").is_none());
    }
}
