//! What a process has used, from `/proc`.

use std::time::Duration;
use std::{fs, io};

/// CPU time of all living threads of a process, to the nanosecond.
///
/// From the scheduler's own counters: `utime` and `stime` count ticks of 10 ms.
pub fn cpu(pid: u32) -> io::Result<Duration> {
    let mut total_ns = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end between the listing and the reading.
        let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
        total_ns += first_number(&text).ok_or(io::ErrorKind::InvalidData)?;
    }
    Ok(Duration::from_nanos(total_ns))
}

/// Resident memory of a process, in bytes.
pub fn rss_bytes(pid: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(first_number).ok_or(io::ErrorKind::InvalidData)?;
    Ok(kib * 1024)
}

/// Resident memory of a process and of its children, in bytes; a page that several have counts once. Where there are children, that takes a
/// walk through page tables.
pub fn family_bytes(pid: u32) -> io::Result<u64> {
    let children = children(pid)?;
    if children.is_empty() {
        return rss_bytes(pid);
    }
    // A child may have ended meanwhile.
    let all = children.into_iter().filter_map(|child| proportional_bytes(child).ok());
    Ok(proportional_bytes(pid)? + all.sum::<u64>())
}

/// Resident memory, where each of those who share a page has a part of it.
fn proportional_bytes(pid: u32) -> io::Result<u64> {
    let own = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let kib = own.lines().find_map(|line| line.strip_prefix("Pss:")).and_then(first_number);
    Ok(kib.ok_or(io::ErrorKind::InvalidData)? * 1024)
}

fn children(pid: u32) -> io::Result<Vec<u32>> {
    let mut all = Vec::new();
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(task?.path().join("children")).unwrap_or_default();
        all.extend(text.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
    }
    Ok(all)
}

fn first_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_time_and_memory() {
        let pid = std::process::id();
        let before = cpu(pid).unwrap();
        let work = (0..20_000_000_u64).fold(0, |sum: u64, n| std::hint::black_box(sum ^ n));
        std::hint::black_box(work);
        assert!(cpu(pid).unwrap() > before);
        assert!(rss_bytes(pid).unwrap() > 100 * 1024);
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        assert!(cpu(u32::MAX).is_err());
        assert!(rss_bytes(u32::MAX).is_err());
    }
}
