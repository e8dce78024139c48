//! Says on what, when and with which versions was measured.

use std::{fs, process::Command, time::SystemTime};

use serde::{Deserialize, Serialize};

/// Whose versions are of interest.
const PACKAGES: [&str; 9] = [
    "asynchronous-codec",
    "bytes",
    "framewright",
    "memchr",
    "tarpc",
    "tokio",
    "tokio-tower",
    "tokio-util",
    "tower",
];

/// Other people's programs, by the names of their Debian packages.
const PROGRAMS: [&str; 4] = ["libnetty-java", "nginx-light", "openssh-server", "vsftpd"];

/// Prints the versions of Python and of what runs in it.
const IN_PYTHON: &str = "
import platform
from importlib import metadata
print('python', platform.python_version())
for name in ('asyncssh', 'twisted'):
    try:
        print(name, metadata.version(name))
    except metadata.PackageNotFoundError:
        pass
";

/// The machine and the versions of one run.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Machine {
    pub processor: String,
    pub cores: usize,
    pub memory: String,
    pub kernel: String,
    pub compiler: String,
    pub commit: String,
    pub date: String,
    /// Of the last minute, when the run began: what else the machine did.
    pub load: String,
    pub rounds: usize,
    pub packages: Vec<String>,
    #[serde(default)]
    pub programs: Vec<String>,
}

impl Machine {
    pub fn here(rounds: usize) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let field = |path: &str, name: &str| {
            let text = read(path);
            let line = text.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_once(':'))
                .map_or_else(|| UNKNOWN.to_owned(), |(_, value)| value.trim().to_owned())
        };
        let first = |text: String| text.split_whitespace().next().unwrap_or(UNKNOWN).to_owned();
        Self {
            processor: field("/proc/cpuinfo", "model name"),
            cores: crate::pin::cores().map_or(0, |cores| cores.len()),
            memory: gibibytes(&field("/proc/meminfo", "MemTotal")),
            kernel: first(read("/proc/sys/kernel/osrelease")),
            compiler: says("rustc", &["--version"]),
            commit: says(
                "git",
                &[
                    "-C",
                    env!("CARGO_MANIFEST_DIR"),
                    "describe",
                    "--always",
                    "--dirty",
                    "--abbrev=10",
                ],
            ),
            date: date(SystemTime::now()),
            load: first(read("/proc/loadavg")),
            rounds,
            packages: packages(include_str!("../../Cargo.lock")),
            programs: programs(),
        }
    }
}

/// Of kibibytes, as the kernel writes them.
fn gibibytes(text: &str) -> String {
    match text.trim_end_matches(" kB").parse::<f64>() {
        Ok(kibibytes) => format!("{:.1} GiB", kibibytes / f64::from(1 << 20)),
        Err(_) => text.to_owned(),
    }
}

/// What cannot be found out.
const UNKNOWN: &str = "unknown";

/// What a program prints, if it can be run.
fn says(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.ok()
        .filter(|text| !text.is_empty())
        .unwrap_or_else(|| UNKNOWN.to_owned())
}

/// Names and versions out of a lock file.
fn packages(lock: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = lock.lines();
    while let Some(line) = lines.next() {
        let name = line
            .strip_prefix("name = \"")
            .map(|rest| rest.trim_end_matches('"'));
        let Some(name) = name.filter(|name| PACKAGES.contains(name)) else {
            continue;
        };
        let version = lines
            .next()
            .and_then(|line| line.strip_prefix("version = \""));
        if let Some(version) = version {
            found.push(format!("{name} {}", version.trim_end_matches('"')));
        }
    }
    found
}

/// The programs that are here, with their versions.
fn programs() -> Vec<String> {
    let format = "--showformat=${db:Status-Abbrev}${Package} ${Version}\n";
    let listed = says("dpkg-query", &[&["--show", format], &PROGRAMS[..]].concat());
    // Of one that is known and not installed there is a line, too.
    let debian = listed.lines().filter_map(|line| line.strip_prefix("ii "));
    let java = says("java", &["--version"]);
    let python = says("python3", &["-c", IN_PYTHON]);
    debian
        .chain(java.lines().take(1))
        .chain(python.lines())
        .map(str::trim)
        .filter(|version| *version != UNKNOWN)
        .map(str::to_owned)
        .collect()
}

/// The day, as ISO 8601 writes it.
fn date(time: SystemTime) -> String {
    let seconds = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |time| time.as_secs());
    let mut days = seconds / 86_400;
    let mut year = 1970;
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", days + 1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_day_is_that_of_the_calendar() {
        for (seconds, day) in [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (1_735_689_599, "2024-12-31"),
            (1_735_689_600, "2025-01-01"),
            (1_772_323_200, "2026-03-01"),
        ] {
            assert_eq!(
                date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)),
                day
            );
        }
    }

    #[test]
    fn versions_come_from_the_lock_file() {
        let lock = "[[package]]\nname = \"tokio\"\nversion = \"1.54.1\"\n\n[[package]]\nname = \"syn\"\nversion = \"2.0.0\"\n";
        assert_eq!(packages(lock), ["tokio 1.54.1"]);
        assert!(packages(include_str!("../../Cargo.lock")).len() >= PACKAGES.len());
    }
}
