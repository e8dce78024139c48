//! Finds out who somebody is, from a name and a password.
//!
//! An [`Authenticator`] asks [`Accounts`] for a name's secret and rights, lets [`Attempts`] say whether
//! one may try at all, and spends the same work on every try, so that neither its answer nor its time
//! tells whether a name exists. [`AccountsFile`] keeps accounts in a text file, [`edit`] changes one.
//!
//! It knows nothing of connections and messages, and cannot end a session.
//!
//! ```
//! use services::login::{Authenticator, MemoryAccounts, Password, Refused, Right, Source};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let accounts = MemoryAccounts::new().with("alice", Password::new("secret")?, [Right::Read])?;
//! let authenticator = Authenticator::new(accounts);
//!
//! let alice = authenticator.authenticate("alice", Password::new("secret")?, Source::LOCAL).await?;
//! assert!(alice.rights.contains(Right::Read));
//! let refused = authenticator.authenticate("alice", Password::new("guess")?, Source::LOCAL).await;
//! assert_eq!(refused, Err(Refused::Credentials));
//! # Ok(())
//! # }
//! ```

mod accounts;
mod accounts_file;
mod attempts;
mod authenticator;
pub mod edit;
mod hashing;
mod identity;
mod layer;
mod password;
mod secret;
mod table;

pub use self::accounts::{
    Account, Accounts, AccountsError, BoxFuture, MemoryAccounts, MemoryAccountsError,
};
pub use self::accounts_file::{AccountsFile, AccountsFileError, AccountsFileProblem};
pub use self::attempts::{Attempts, MemoryAttempts, Source, Unlimited};
pub use self::authenticator::{Authenticator, Refused};
pub use self::identity::{Identity, Right, Rights, UnknownRight};
pub use self::layer::{
    Anonymous, AnonymousLayer, Login, LoginFuture, LoginLayer, WRONG_CREDENTIALS,
};
pub use self::password::{Password, PasswordTooLong};
pub use self::secret::{HashCost, Secret, SecretError};
pub use self::table::{LineError, MAX_NAME};
