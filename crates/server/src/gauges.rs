//! Measuring the process: memory from the allocator and the kernel, processor time from the kernel.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use russet_dispatch::state::Gauges;
use russet_persist::file::Files;
use russet_persist::vfs::Vfs;
use tikv_jemalloc_ctl::{epoch, stats};

use crate::allocator;

/// The kernel counts processor time in ticks of this many microseconds.
const TICK_US: u64 = 10_000;

/// Bytes of a page; Russet runs on machines where this holds.
const PAGE: u64 = 4096;

/// Brings all gauges up to date.
pub(crate) fn measure(gauges: &Gauges) {
    measure_allocator(gauges);
    if let Some(rss) = words("/proc/self/statm").and_then(|words| words.get(1).copied()) {
        gauges.rss.store(rss * PAGE, Ordering::Relaxed);
    }
    measure_processor(gauges);
}

/// Bytes that are allocated, those included that threads keep at hand, and bytes of the pages that they lie in.
pub(crate) fn allocation() -> (u64, u64) {
    // As above: without this call the statistics stay as they are.
    let _ = epoch::advance();
    let read =
        |bytes: Result<usize, tikv_jemalloc_ctl::Error>| bytes.map_or(0, |bytes| bytes as u64);
    (read(stats::allocated::read()), read(stats::active::read()))
}

/// Name and version of the allocator, as INFO prints them.
pub(crate) fn allocator_name() -> String {
    let version = tikv_jemalloc_ctl::version::read().unwrap_or("");
    format!("jemalloc-{}", version.split('-').next().unwrap_or_default())
}

/// What the allocator says of itself.
pub(crate) fn allocator_report() -> String {
    let mut text = Vec::new();
    // The only error is one of writing, and a vector takes everything.
    let _ = tikv_jemalloc_ctl::stats_print::stats_print(
        &mut text,
        tikv_jemalloc_ctl::stats_print::Options::default(),
    );
    String::from_utf8_lossy(&text).into_owned()
}

fn measure_allocator(gauges: &Gauges) {
    // The statistics are a snapshot that this call renews; without it they stay as they are.
    let _ = epoch::advance();
    let set = |place: &AtomicU64, value: Result<usize, _>| {
        if let Ok(value) = value.map_err(|_: tikv_jemalloc_ctl::Error| ()) {
            place.store(value as u64, Ordering::Relaxed);
        }
    };
    let allocated = stats::allocated::read();
    set(&gauges.allocated, allocated);
    set(&gauges.used_memory, allocated.map(|bytes| bytes.saturating_sub(allocator::own_bytes())));
    set(&gauges.active, stats::active::read());
    set(&gauges.resident, stats::resident::read());
    gauges
        .used_memory_peak
        .fetch_max(gauges.used_memory.load(Ordering::Relaxed), Ordering::Relaxed);
}

fn measure_processor(gauges: &Gauges) {
    let Ok(stat) = Files.read(Path::new("/proc/self/stat")) else { return };
    let stat = String::from_utf8_lossy(&stat);
    // The process name stands in parentheses and may hold anything; what follows is counted from there.
    let Some((_, rest)) = stat.rsplit_once(')') else { return };
    let field = |nth: usize| {
        rest.split_ascii_whitespace().nth(nth).and_then(|word| word.parse::<u64>().ok())
    };
    gauges.cpu_user_us.store(field(11).unwrap_or(0) * TICK_US, Ordering::Relaxed);
    gauges.cpu_system_us.store(field(12).unwrap_or(0) * TICK_US, Ordering::Relaxed);
}

fn words(path: &str) -> Option<Vec<u64>> {
    let text = Files.read(Path::new(path)).ok()?;
    Some(
        String::from_utf8_lossy(&text)
            .split_ascii_whitespace()
            .filter_map(|word| word.parse().ok())
            .collect(),
    )
}

/// All memory that the process may have: the control group's limit, or the machine's.
pub(crate) fn system_memory() -> u64 {
    group_memory().unwrap_or_else(machine_memory)
}

fn machine_memory() -> u64 {
    let machine = rustix::system::sysinfo();
    (machine.totalram as u64).saturating_mul(machine.mem_unit.into())
}

/// What the control groups of the process, of version 2 or 1, allow it; nothing if that is no less than what the machine has.
pub(crate) fn group_memory() -> Option<u64> {
    let groups = Files.read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let files = limit_files(&String::from_utf8_lossy(&groups));
    let limits = files.iter().filter_map(|path| words(path)?.first().copied());
    limits.min().filter(|limit| *limit < machine_memory())
}

/// Where the limits of memory stand, by what `/proc/self/cgroup` says: of the group itself, and of all above it, which hold as well. In a
/// container the names may be those of the host, while the files begin at the container's own group: that is the last of them.
fn limit_files(groups: &str) -> Vec<String> {
    let file = |line: &str| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, group) = rest.split_once(':')?;
        let (root, name) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|controller| controller == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => return None,
        };
        let ancestors = Path::new(group).ancestors();
        let path = |group: &Path| format!("{root}{}/{name}", group.display()).replace("//", "/");
        Some(ancestors.map(path).collect::<Vec<_>>())
    };
    groups.lines().filter_map(file).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::limit_files;

    #[test]
    fn limits_of_both_versions_are_looked_for_up_to_the_root() {
        let first = limit_files("9:name=systemd:/\n8:pids:/\n4:memory:/a/b\n");
        let expected = ["/a/b/", "/a/", "/"]
            .map(|group| format!("/sys/fs/cgroup/memory{group}memory.limit_in_bytes"));
        assert_eq!(first, expected);
        let second = limit_files("0::/system.slice\n");
        assert_eq!(second, ["/sys/fs/cgroup/system.slice/memory.max", "/sys/fs/cgroup/memory.max"]);
        assert!(limit_files("").is_empty());
    }
}
