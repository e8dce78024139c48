//! The seam between the login and whatever keeps the accounts.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::pin::Pin;

use super::identity::Rights;
use super::password::Password;
use super::secret::{Secret, SecretError};
use super::table::{LineError, check_name};

/// A future on the heap, as the object-safe traits here return it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Somebody who may log in. `Debug` shows nothing of the secret.
#[derive(Debug, Clone)]
pub struct Account {
    /// The name to log in with, compared byte by byte.
    pub name: String,
    /// The stored form of the password.
    pub secret: Secret,
    /// What the account may do.
    pub rights: Rights,
}

/// Finds accounts by name.
pub trait Accounts: fmt::Debug + Send + Sync {
    /// The account of `name`, which is foreign text of any length; `None` when there is none.
    ///
    /// To take as long for a name that is not there as for one that is, is the implementation's
    /// part of hiding which names exist.
    ///
    /// # Errors
    /// When the accounts cannot be asked now. Nobody can log in then.
    fn find<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Account>, AccountsError>>;
}

/// The accounts cannot be asked.
///
/// The reason is in [`source`](Error::source), for the log; what is shown says nothing of it.
#[derive(Debug, thiserror::Error)]
#[error("the accounts cannot be asked now")]
pub struct AccountsError(#[source] Box<dyn Error + Send + Sync>);

impl AccountsError {
    /// Says why, for the log.
    pub fn new(reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(reason.into())
    }
}

/// Accounts in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryAccounts {
    accounts: HashMap<String, Account>,
}

impl MemoryAccounts {
    /// No accounts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an account with a plain password, in place of one of the same name.
    ///
    /// # Errors
    /// When the name is not fit for an account, or the password is empty.
    pub fn with(
        self,
        name: &str,
        password: Password,
        rights: impl Into<Rights>,
    ) -> Result<Self, MemoryAccountsError> {
        let secret = Secret::plain(password)?;
        self.with_account(Account {
            name: name.to_owned(),
            secret,
            rights: rights.into(),
        })
    }

    /// Adds an account in place of one of the same name.
    ///
    /// # Errors
    /// When the name is not fit for an account.
    pub fn with_account(mut self, account: Account) -> Result<Self, MemoryAccountsError> {
        check_name(&account.name)?;
        self.accounts.insert(account.name.clone(), account);
        Ok(self)
    }
}

impl Accounts for MemoryAccounts {
    fn find<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Account>, AccountsError>> {
        Box::pin(async move { Ok(self.accounts.get(name).cloned()) })
    }
}

/// An account that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MemoryAccountsError {
    /// The name is not fit for an account.
    #[error(transparent)]
    Name(#[from] LineError),
    /// The secret is not fit for an account.
    #[error(transparent)]
    Secret(#[from] SecretError),
}
