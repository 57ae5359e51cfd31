//! What the kernel says of a process, and what a list of times says.

use std::time::Duration;

/// Kernel ticks a second; fixed in the Linux ABI for what `/proc` shows.
const TICKS: f64 = 100.0;

/// CPU time that a process used so far, its threads included, children not.
pub(crate) fn cpu(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in parentheses may hold anything, so fields count from its end.
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().collect())
        .unwrap_or_default();
    let ticks = |index: usize| -> f64 {
        fields
            .get(index)
            .and_then(|field| field.parse().ok())
            .unwrap_or(0.0)
    };
    // utime and stime are fields 14 and 15 of proc(5), the first after the name being 3.
    Duration::from_secs_f64((ticks(11) + ticks(12)) / TICKS)
}

/// Memory of a process that is really in use, in bytes.
pub(crate) fn resident(pid: u32) -> u64 {
    memory(pid, "VmRSS:")
}

/// The most that it ever had in use, in bytes.
pub(crate) fn most_resident(pid: u32) -> u64 {
    memory(pid, "VmHWM:")
}

fn memory(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.trim().strip_suffix("kB"))
        .and_then(|kilobytes| kilobytes.trim().parse::<u64>().ok())
        .unwrap_or(0)
        * 1024
}

/// The time that `share` of all times do not exceed. `times` must be sorted.
pub(crate) fn quantile(times: &[Duration], share: f64) -> Duration {
    let last = times.len().saturating_sub(1);
    let index = (last as f64 * share).round() as usize;
    times.get(index.min(last)).copied().unwrap_or_default()
}

/// The number that `share` of all numbers do not exceed.
pub(crate) fn quantile_of(mut numbers: Vec<f64>, share: f64) -> f64 {
    numbers.sort_unstable_by(f64::total_cmp);
    let last = numbers.len().saturating_sub(1);
    let index = (last as f64 * share).round() as usize;
    numbers.get(index.min(last)).copied().unwrap_or_default()
}

/// A duration with a unit that fits.
pub(crate) fn show(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 1e-3 {
        format!("{:.1} µs", seconds * 1e6)
    } else if seconds < 1.0 {
        format!("{:.2} ms", seconds * 1e3)
    } else {
        format!("{seconds:.2} s")
    }
}

/// A ratio beside what it should be.
pub(crate) fn verdict(ratio: f64, target: f64, at_least: bool) -> String {
    let met = if at_least {
        ratio >= target
    } else {
        ratio <= target
    };
    let sign = if at_least { "≥" } else { "≤" };
    let word = if met { "met" } else { "MISSED" };
    format!("{ratio:.2} ({sign} {target}: {word})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_taken_from_the_list() {
        let times: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(quantile(&times, 0.0), Duration::from_millis(1));
        assert_eq!(quantile(&times, 0.5), Duration::from_millis(51));
        assert_eq!(quantile(&times, 1.0), Duration::from_millis(100));
        assert_eq!(quantile(&[], 0.5), Duration::ZERO);
    }

    #[test]
    fn this_process_uses_memory_and_time() {
        assert!(resident(std::process::id()) > 1024 * 1024);
        let before = cpu(std::process::id());
        let mut sum = 0u64;
        while cpu(std::process::id()) < before + Duration::from_millis(20) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
    }

    #[test]
    fn a_missed_target_is_called_so() {
        assert_eq!(verdict(0.4, 0.5, true), "0.40 (≥ 0.5: MISSED)");
        assert_eq!(verdict(1.1, 1.3, false), "1.10 (≤ 1.3: met)");
    }
}
