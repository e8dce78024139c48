//! Netty, from a single file of Java.

use std::{fs, io, os::unix::process::CommandExt, path::Path, process::Command};

use crate::process::is_installed;

const SOURCE: &str = include_str!("Netty.java");

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

pub(super) fn missing() -> Option<&'static str> {
    if !is_installed("java") {
        return Some("there is no `java`");
    }
    let codec = Path::new(JARS).join("netty-codec.jar");
    (!codec.exists()).then_some("it is not installed (`libnetty-java`)")
}

/// Returns only if it does not work.
pub(in super::super) fn become_netty() -> io::Error {
    // The launcher of single files wants a file; it reads it once, and the next run writes it anew.
    let folder = std::env::temp_dir().join("framewright-bench-netty");
    let file = folder.join("Netty.java");
    if let Err(error) = fs::create_dir_all(&folder).and_then(|()| fs::write(&file, SOURCE)) {
        return error;
    }
    Command::new("java")
        .args(["-cp", &class_path()])
        .arg(file)
        .exec()
}
