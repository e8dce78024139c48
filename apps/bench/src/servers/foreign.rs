//! Peers in other languages: this process becomes theirs, pinned as it is.

use std::{
    fs, io,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
};

use super::Kind;
use crate::process::is_installed;

const TWISTED: &str = include_str!("twisted.py");
const NETTY: &str = include_str!("Netty.java");

/// Where Debian has Netty, and the parts of it that an echo needs.
const JARS: &str = "/usr/share/java";
const PARTS: [&str; 6] = [
    "buffer",
    "codec",
    "common",
    "handler",
    "resolver",
    "transport",
];

/// Those parts, as `java` wants them.
fn class_path() -> String {
    PARTS
        .map(|part| format!("{JARS}/netty-{part}.jar"))
        .join(":")
}

/// Why a peer cannot be measured, if it cannot.
pub fn missing(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Twisted if !imports_twisted() => Some("it is not installed (`python3-twisted`)"),
        Kind::Netty if !is_installed("java") => Some("there is no `java`"),
        Kind::Netty if !Path::new(JARS).join("netty-codec.jar").exists() => {
            Some("it is not installed (`libnetty-java`)")
        }
        _ => None,
    }
}

fn imports_twisted() -> bool {
    let import = Command::new("python3")
        .args(["-c", "import twisted"])
        .stderr(Stdio::null())
        .status();
    import.is_ok_and(|status| status.success())
}

/// Returns only if it does not work.
pub(super) fn become_twisted() -> io::Error {
    Command::new("python3").args(["-c", TWISTED]).exec()
}

/// Returns only if it does not work.
pub(super) fn become_netty() -> io::Error {
    // The launcher of single files wants a file; it reads it once, and the next run writes it anew.
    let folder = std::env::temp_dir().join("framewright-bench-netty");
    let file = folder.join("Netty.java");
    if let Err(error) = fs::create_dir_all(&folder).and_then(|()| fs::write(&file, NETTY)) {
        return error;
    }
    Command::new("java")
        .args(["-cp", &class_path()])
        .arg(file)
        .exec()
}
