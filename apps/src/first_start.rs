//! What `framed` does without a configuration file: a folder of its own, and one account.

use std::{fs, io, os::unix::fs::DirBuilderExt, path::Path};

use anyhow::Context;
use services::login::{HashCost, Password, Right, edit};

use crate::config::Config;

/// The account that is made.
pub const ADMIN: &str = "admin";

/// Characters that nobody mistakes for one another.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Makes `folder` ready, and gives the standard configuration in it.
///
/// If there are no accounts yet, the second part is the new password of [`ADMIN`]. It is shown once;
/// only its hash is kept.
pub fn prepare(folder: &Path) -> anyhow::Result<(Config, Option<String>)> {
    let config = Config::standard(folder)?;
    private_folder(folder)?;
    let accounts = config
        .accounts
        .as_ref()
        .context("the standard configuration has accounts")?;
    match fs::metadata(&accounts.file) {
        Ok(_) => return Ok((config, None)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            return Err(error)
                .with_context(|| format!("cannot look at {}", accounts.file.display()));
        }
    }
    let password = random_password()?;
    let rights = [Right::Read, Right::Write, Right::Exec];
    edit::add(
        &accounts.file,
        ADMIN,
        &Password::new(password.clone())?,
        Some(rights.into_iter().collect()),
        HashCost::default(),
    )?;
    Ok((config, Some(password)))
}

/// Makes a folder that nobody else may look into, if it is not there.
pub fn private_folder(folder: &Path) -> anyhow::Result<()> {
    let whose = || format!("cannot create the folder {}", folder.display());
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(whose)
}

/// A hundred random bits.
fn random_password() -> anyhow::Result<String> {
    let mut bytes = [0; 20];
    getrandom::fill(&mut bytes).context("the system gives no random numbers")?;
    Ok(bytes
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(byte % 32)]))
        .collect())
}
