//! `framed account …`: edits the accounts file.

use std::path::Path;

use clap::Subcommand;
use services::{
    escape::escaped,
    login::{HashCost, Right, Rights, edit},
};

use crate::terminal::new_password;

/// What to do with the accounts file. A running server notices the change at the next login.
#[derive(Debug, Subcommand)]
pub enum AccountCommand {
    /// Add an account; the password is asked for, or read from standard input
    Add {
        /// The account's name
        name: String,
        /// What it may do, separated by commas: exec, read, write, shell
        #[arg(long, value_delimiter = ',')]
        rights: Option<Vec<Right>>,
    },
    /// Change an account's password
    Passwd {
        /// The account's name
        name: String,
    },
    /// List names and rights
    List,
    /// Remove an account
    Remove {
        /// The account's name
        name: String,
    },
    /// Replace plain passwords by their hashes
    Hash,
}

/// Carries the command out on `file`; lines of the file without rights have `default_rights`.
pub fn run(command: &AccountCommand, file: &Path, default_rights: Rights) -> anyhow::Result<()> {
    let cost = HashCost::default();
    match command {
        AccountCommand::Add { name, rights } => {
            let rights = rights
                .as_ref()
                .map(|rights| rights.iter().copied().collect());
            edit::add(file, name, &new_password()?, rights, cost)?;
            println!("added {} to {}", escaped(name), file.display());
        }
        AccountCommand::Passwd { name } => {
            edit::passwd(file, name, &new_password()?, cost)?;
            println!("changed the password of {}", escaped(name));
        }
        AccountCommand::List => {
            for entry in edit::list(file, default_rights)? {
                let note = if entry.hashed {
                    ""
                } else {
                    "  (password in plain text)"
                };
                println!(
                    "{:<24} {}{note}",
                    escaped(&entry.name).to_string(),
                    entry.rights
                );
            }
        }
        AccountCommand::Remove { name } => {
            edit::remove(file, name)?;
            println!("removed {}", escaped(name));
        }
        AccountCommand::Hash => {
            let count = edit::hash_in_place(file, cost)?;
            println!("hashed {count} passwords");
        }
    }
    Ok(())
}
