//! OpenSSH's server, with keys that are thrown away afterwards.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, ensure};
use rustix::process::geteuid;

use crate::process::{is_installed, program};

/// What the server changes its root to before somebody has logged in; only root can, and the
/// folder's name is built in.
const EMPTY: &str = "/run/sshd";

const SERVER: &str = "sshd_config";
const CLIENT: &str = "ssh_config";

pub(super) fn missing() -> Option<&'static str> {
    if !is_installed("sshd") {
        return Some("there is no sshd for it to talk to (`openssh-server`)");
    }
    let clients = ["ssh", "scp", "ssh-keygen"];
    (!clients.into_iter().all(is_installed)).then_some("it is not installed (`openssh-client`)")
}

/// Makes both sides' settings and keys: its clients reach only this server, and only they get in.
pub(super) fn prepare(settings: &Path) -> anyhow::Result<()> {
    for key in ["host_key", "user_key"] {
        let file = settings.join(key);
        if file.exists() {
            continue;
        }
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"])
            .arg(file)
            .stdin(Stdio::null())
            .status()?;
        ensure!(made.success(), "ssh-keygen has failed");
    }
    let host = fs::read_to_string(settings.join("host_key.pub"))?;
    fs::write(settings.join("known_hosts"), format!("bench {host}"))?;
    let folder = settings.display();
    // The home is an empty one: what a user's shell does when it starts is not measured.
    let server = format!(
        "HostKey {folder}/host_key\n\
         AuthorizedKeysFile {folder}/user_key.pub\n\
         AuthenticationMethods publickey\n\
         PermitRootLogin prohibit-password\n\
         StrictModes no\n\
         UsePAM no\n\
         SetEnv HOME={folder}\n\
         Subsystem sftp internal-sftp\n"
    );
    fs::write(settings.join(SERVER), server)?;
    let client = format!(
        "Host bench\n  \
           HostName 127.0.0.1\n  \
           HostKeyAlias bench\n  \
           UserKnownHostsFile {folder}/known_hosts\n  \
           IdentityFile {folder}/user_key\n  \
           IdentitiesOnly yes\n  \
           IdentityAgent none\n  \
           BatchMode yes\n  \
           Ciphers aes128-gcm@openssh.com\n  \
           ControlPath {folder}/control\n  \
           LogLevel ERROR\n"
    );
    fs::write(settings.join(CLIENT), client)?;
    if geteuid().is_root() {
        fs::create_dir_all(EMPTY).with_context(|| format!("cannot make {EMPTY}"))?;
    }
    Ok(())
}

/// A client, `ssh` or `scp`, for which the server's name is `bench`.
pub fn ssh_client(name: &str, settings: &Path, port: u16) -> Command {
    let mut command = Command::new(name);
    command
        .arg("-F")
        .arg(settings.join(CLIENT))
        .args(["-o", &format!("Port={port}")])
        .stdin(Stdio::null());
    command
}

/// One session on its standard input.
pub(super) fn session(settings: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new(program("sshd").context("there is no sshd")?);
    command.arg("-i").arg("-f").arg(settings.join(SERVER));
    Ok(command)
}
