//! vsftpd, with nothing tuned, for anybody.

use std::{
    fs, io,
    os::unix::{
        fs::{chown, symlink},
        process::CommandExt,
    },
    path::Path,
    process::Command,
};

use anyhow::Context;
use rustix::process::geteuid;

use crate::{process::program, servers::DOWN};

/// Whose process it is where we are root: it serves anybody, and could reach every file.
const NOBODY: u32 = 65534;

const CONFIGURATION: &str = "vsftpd.conf";

/// What one may fetch and store: a folder of its own, with a way to the file that is fetched.
pub(super) fn prepare(folder: &Path, settings: &Path) -> io::Result<()> {
    let own = settings.join("ftp");
    fs::create_dir_all(&own)?;
    let down = own.join(DOWN);
    if !down.exists() {
        symlink(folder.join(DOWN), down)?;
    }
    let text = format!(
        "listen=NO\n\
         run_as_launching_user=YES\n\
         anonymous_enable=YES\n\
         no_anon_password=YES\n\
         anon_root={}\n\
         anon_world_readable_only=NO\n\
         write_enable=YES\n\
         anon_upload_enable=YES\n\
         anon_other_write_enable=YES\n",
        own.display()
    );
    // It takes no configuration but its own user's.
    let file = settings.join(CONFIGURATION);
    fs::write(&file, text)?;
    if geteuid().is_root() {
        chown(&own, Some(NOBODY), None)?;
        chown(&file, Some(NOBODY), None)?;
    }
    Ok(())
}

/// One session on its standard input.
pub(super) fn session(settings: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new(program("vsftpd").context("there is no vsftpd")?);
    command.arg(settings.join(CONFIGURATION));
    if geteuid().is_root() {
        command.uid(NOBODY);
    }
    Ok(command)
}
