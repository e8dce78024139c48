//! Keeps files by name: whole versions in, whole versions out.
//!
//! A [`Store`] holds plain files under flat names. A name shows an old or a new complete version and
//! nothing in between: an upload is staged aside and takes its name in one step, after its length and
//! its [`Digest`] agreed; a reader keeps the version it opened. [`DirectoryStore`] keeps them in a
//! folder, [`MemoryStore`] in memory, and a third party's store can run the same
#![cfg_attr(any(test, feature = "testkit"), doc = "[`conformance`] checks.")]
#![cfg_attr(
    not(any(test, feature = "testkit")),
    doc = "conformance checks (feature `testkit`)."
)]
//!
//! It knows nothing of requests, users and rights, and has no folders below the one it keeps.
//!
//! ```
//! use bytes::Bytes;
//! use services::files::{Digest, FileName, MemoryStore, Precondition, ReadFrom, Store};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = MemoryStore::new();
//! let name: FileName = "notes.txt".parse()?;
//!
//! let mut upload = store.begin(&name, Some(5), Precondition::Absent).await?;
//! upload.write(Bytes::from_static(b"hello")).await?;
//! upload.commit(5, Some(Digest::of(b"hello"))).await?;
//!
//! let mut download = store.open(&name, ReadFrom::start()).await?;
//! assert_eq!(download.read().await?.as_deref(), Some(&b"hello"[..]));
//! assert_eq!(download.read().await?, None);
//! # Ok(())
//! # }
//! ```

mod digest;
mod directory;
mod error;
mod layer;
mod memory;
mod name;
mod quota;
mod store;
mod trailer;

#[cfg(any(test, feature = "testkit"))]
pub mod conformance;

pub use self::digest::{Digest, Hasher, ParseDigestError};
pub use self::directory::{DirectoryOptions, DirectoryStore};
pub use self::error::{StoreError, StoreErrorKind};
pub use self::layer::Files;
pub use self::memory::MemoryStore;
pub use self::name::{FileName, NameError, NameRule};
pub use self::store::{
    BoxFuture, Download, FileInfo, Listing, MAX_PAGE, ParseVersionError, Precondition, ReadFrom,
    Store, Stored, Upload, Version,
};
