//! Keeps the token of a name in a private file.

use std::{
    env, fs,
    io::{self, Write},
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use services::chat::{PeerName, Token};

use super::failure::Failure;

/// The token in a file, which is made if it is not there.
pub(super) fn read_or_make(path: &Path) -> Result<Token, Failure> {
    let what = format_args!("the token {}", path.display()).to_string();
    match fs::metadata(path) {
        Ok(metadata) if metadata.permissions().mode() & 0o077 != 0 => {
            return Err(Failure::not_allowed(format!(
                "others can read {what}, and whoever has it has the name; `chmod 600` makes it private"
            )));
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return make(path, &what),
        Err(error) => return Err(Failure::input(what, &error)),
    }
    let text = fs::read_to_string(path).map_err(|error| Failure::input(&what, &error))?;
    text.trim_end()
        .parse()
        .map_err(|error| Failure::data(format!("{what}: {error}")))
}

fn make(path: &Path, what: &str) -> Result<Token, Failure> {
    let failed = |error: io::Error| Failure::create(what, &error);
    if let Some(folder) = path.parent() {
        let mut builder = fs::DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(failed)?;
    }
    let token = Token::random().map_err(failed)?;
    // If two begin at once, one of them made it and the other says so.
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    writeln!(file, "{}", token.expose())
        .and_then(|()| file.sync_all())
        .map_err(failed)?;
    Ok(token)
}

/// Where the token of a name at a directory is kept.
pub(super) fn usual(name: &PeerName, server: SocketAddr) -> Result<PathBuf, Failure> {
    let folder = |name| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let state = folder("XDG_STATE_HOME")
        .or_else(|| Some(folder("HOME")?.join(".local/state")))
        .ok_or_else(|| {
            Failure::usage("there is neither XDG_STATE_HOME nor HOME: --token-file names a file")
        })?;
    Ok(state.join(format!("chat/{name}@{server}.token")))
}
