//! What the system says about this process and this machine.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

/// The machine, for reports.
#[derive(Serialize, Clone, Debug)]
pub(crate) struct Machine {
    /// Processors that this process may use.
    pub(crate) cores: usize,
    /// The processor's name.
    pub(crate) cpu: String,
    /// The system's name and version.
    pub(crate) os: String,
}

impl Machine {
    /// This one. What cannot be found out is "unknown".
    pub(crate) fn this() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let cpu = field("/proc/cpuinfo", "model name");
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let name = field("/etc/os-release", "PRETTY_NAME");
        let os = match name {
            Some(name) => format!("{}, kernel {}", name.trim_matches('"'), kernel.trim()),
            None => std::env::consts::OS.to_owned(),
        };
        Self {
            cores,
            cpu: cpu.unwrap_or_else(|| "unknown".to_owned()),
            os,
        }
    }
}

/// Processor time that this process has used so far, in user and system mode.
pub(crate) fn cpu_time() -> Duration {
    // Linux reports these two in hundredths of a second, whatever its timer runs at.
    const TICKS_PER_SECOND: u64 = 100;
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in parentheses may hold spaces; of what follows it, fields 12 and 13 are the times.
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let times = after_name.split_whitespace().skip(11).take(2);
    let ticks: u64 = times.filter_map(|time| time.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
}

/// Anonymous memory of this process in bytes: heap and stacks, without mapped files.
pub(crate) fn anonymous_bytes() -> u64 {
    kibibytes("/proc/self/status", "RssAnon").unwrap_or(0)
}

/// Memory that can still be had without swapping, in bytes.
pub(crate) fn available_bytes() -> u64 {
    kibibytes("/proc/meminfo", "MemAvailable").unwrap_or(1 << 30)
}

/// The type of the file system that holds `path`, such as "ext4" or "tmpfs".
pub(crate) fn file_system(path: &Path) -> String {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let holding = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (point, kind) = (words.next()?, words.next()?);
        path.starts_with(point).then_some((point.len(), kind))
    });
    // Of several mounts at one place, the last one is on top.
    let nearest = holding.max_by_key(|(length, _)| *length);
    nearest.map_or_else(|| "unknown".to_owned(), |(_, kind)| kind.to_owned())
}

fn kibibytes(file: &str, name: &str) -> Option<u64> {
    let value = field(file, name)?;
    let number: u64 = value.strip_suffix("kB")?.trim().parse().ok()?;
    Some(number * 1024)
}

/// The value of the first line `name: value` or `name=value`.
fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| {
        let rest = line.strip_prefix(name)?.trim_start();
        let value = rest.strip_prefix([':', '='])?;
        Some(value.trim().to_owned())
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_a_machine_below_it() {
        assert!(anonymous_bytes() > 100_000);
        assert!(available_bytes() > 1_000_000);
        assert!(Machine::this().cores > 0);
        assert_ne!(file_system(Path::new("/proc/self")), "unknown");
    }

    #[test]
    fn processor_time_grows_with_work() {
        let before = cpu_time();
        let mut digest = blake3::hash(b"");
        while cpu_time() < before + Duration::from_millis(20) {
            digest = blake3::hash(digest.as_bytes());
        }
        assert!(cpu_time() - before < Duration::from_secs(20));
    }
}
