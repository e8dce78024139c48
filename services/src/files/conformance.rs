//! Checks that a store keeps the promises of [`Store`].
//!
//! Give [`check`] a way to make fresh, empty stores and run it in a test. It panics with a message at
//! the first broken promise.
//!
//! ```no_run
//! use std::sync::Arc;
//! use services::files::{MemoryStore, conformance};
//!
//! # async fn test() {
//! conformance::check(&|setup: conformance::Setup| {
//!     Arc::new(MemoryStore::with_limits(setup.max_file, setup.quota))
//! })
//! .await;
//! # }
//! ```

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;

use super::{
    Digest, FileInfo, FileName, Precondition, ReadFrom, Store, StoreError, StoreErrorKind, Stored,
    Upload, Version,
};

/// What a store is to be made with.
#[derive(Debug, Clone, Copy, Default)]
pub struct Setup {
    /// The largest file it takes, in bytes.
    pub max_file: Option<u64>,
    /// What all files and uploads may have together, in bytes.
    pub quota: Option<u64>,
}

/// Makes a fresh, empty store.
pub trait Make: Fn(Setup) -> Arc<dyn Store> + Sync {}

impl<F: Fn(Setup) -> Arc<dyn Store> + Sync> Make for F {}

/// Runs all checks. Needs a multi-thread tokio runtime for the races to be real.
///
/// # Panics
/// At the first broken promise.
pub async fn check<M: Make>(make: &M) {
    contents_come_back_whole(make).await;
    a_download_may_start_anywhere(make).await;
    short_and_long_uploads_fail(make).await;
    a_wrong_digest_fails(make).await;
    a_cut_overwrite_changes_nothing(make).await;
    names_that_look_alike_collide(make).await;
    names_unfit_for_new_files_are_refused(make).await;
    one_of_many_creators_wins(make).await;
    readers_keep_their_version(make).await;
    preconditions_hold(make).await;
    limits_hold(make).await;
    ended_uploads_free_their_quota(make).await;
    lists_are_sorted_pages(make).await;
}

/// `length` bytes that tell `seed` and every place apart.
fn content(seed: u8, length: usize) -> Bytes {
    let mut state = u32::from(seed).wrapping_mul(2_654_435_761) | 1;
    let byte = |_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    (0..length).map(byte).collect()
}

fn name(text: &str) -> FileName {
    text.parse().expect("a name of the checks is valid")
}

async fn put(
    store: &dyn Store,
    to: &str,
    content: &Bytes,
    precondition: Precondition,
) -> Result<Stored, StoreError> {
    let size = content.len() as u64;
    let mut upload = store.begin(&name(to), Some(size), precondition).await?;
    for chunk in content.chunks(100_000) {
        upload.write(content.slice_ref(chunk)).await?;
    }
    upload.commit(size, Some(Digest::of(content))).await
}

async fn get(store: &dyn Store, from: &str, start: ReadFrom) -> Result<Bytes, StoreError> {
    let mut download = store.open(&name(from), start).await?;
    let mut all = Vec::new();
    while let Some(chunk) = download.read().await? {
        assert!(!chunk.is_empty(), "no chunk is empty");
        assert!(chunk.len() <= 256 << 10, "no chunk is larger than 256 KiB");
        all.extend_from_slice(&chunk);
    }
    assert_eq!(download.read().await?, None, "the end stays the end");
    Ok(all.into())
}

async fn listed(store: &dyn Store) -> Vec<FileInfo> {
    let listing = store.list(None, usize::MAX).await.expect("a list");
    listing.files
}

#[track_caller]
fn kind<T: std::fmt::Debug>(outcome: Result<T, StoreError>) -> StoreErrorKind {
    outcome.expect_err("this must be refused").kind()
}

async fn contents_come_back_whole<M: Make>(make: &M) {
    const PIECE: usize = 256 << 10;
    let store = make(Setup::default());
    for (seed, length) in [0, 1, 1000, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 7]
        .into_iter()
        .enumerate()
    {
        let sent = content(seed as u8, length);
        for cut in [1013, 65_536, PIECE, usize::MAX] {
            let to = name(&format!("size-{length}-cut-{cut}"));
            let mut upload = store.begin(&to, None, Precondition::Absent).await.unwrap();
            for chunk in sent.chunks(cut.min(length.max(1))) {
                upload.write(Bytes::copy_from_slice(chunk)).await.unwrap();
            }
            assert_eq!(upload.offset(), length as u64);
            let stored = upload
                .commit(length as u64, Some(Digest::of(&sent)))
                .await
                .unwrap();
            assert!(!stored.replaced);
            assert_eq!(stored.info.size, length as u64);
            assert_eq!(stored.info.name, to);
            let got = get(&*store, to.as_str(), ReadFrom::start()).await.unwrap();
            assert_eq!(got, sent, "{to}");
            let info = store
                .open(&to, ReadFrom::start())
                .await
                .unwrap()
                .info()
                .clone();
            assert_eq!(info, stored.info, "{to}");
            assert!(listed(&*store).await.contains(&info), "{to}");
        }
    }
}

async fn a_download_may_start_anywhere<M: Make>(make: &M) {
    let store = make(Setup::default());
    let sent = content(1, (1 << 20) + 5);
    let size = sent.len();
    put(&*store, "file", &sent, Precondition::Absent)
        .await
        .unwrap();
    for offset in [0, 1, 1 << 10, 1 << 20, size - 1, size] {
        let from = ReadFrom::offset(offset as u64);
        assert_eq!(
            get(&*store, "file", from).await.unwrap(),
            sent.slice(offset..)
        );
    }
    let behind = get(&*store, "file", ReadFrom::offset(size as u64 + 1)).await;
    assert_eq!(kind(behind), StoreErrorKind::OffsetBeyondEnd);
}

/// Whatever ended an upload, the old file is there, the name list is the same and no upload works on.
async fn unchanged(store: &dyn Store, old: Option<&Bytes>) {
    match old {
        Some(old) => {
            assert_eq!(
                get(store, "file", ReadFrom::start()).await.as_ref(),
                Ok(old)
            );
            assert_eq!(listed(store).await.len(), 1);
        }
        None => {
            assert_eq!(
                kind(get(store, "file", ReadFrom::start()).await),
                StoreErrorKind::NotFound
            );
            assert_eq!(listed(store).await, []);
        }
    }
}

async fn short_and_long_uploads_fail<M: Make>(make: &M) {
    let sent = content(2, 300_000);
    let size = sent.len() as u64;
    for old in [None, Some(content(3, 1000))] {
        let store = make(Setup::default());
        if let Some(old) = &old {
            put(&*store, "file", old, Precondition::Any).await.unwrap();
        }
        let begin = async |expected| {
            let file = name("file");
            store
                .begin(&file, expected, Precondition::Any)
                .await
                .unwrap()
        };
        for expected in [None, Some(size)] {
            for came in [0, 1, 299_999] {
                let mut upload = begin(expected).await;
                upload.write(sent.slice(..came)).await.unwrap();
                let outcome = upload.commit(size, Some(Digest::of(&sent))).await;
                let mismatch = StoreError::SizeMismatch {
                    expected: size,
                    got: came as u64,
                };
                assert_eq!(outcome, Err(mismatch));
                unchanged(&*store, old.as_ref()).await;
            }
        }
        // What came is exactly what the commit says, but not what was announced.
        let mut upload = begin(Some(size)).await;
        upload.write(sent.slice(..10)).await.unwrap();
        let outcome = upload.commit(10, Some(Digest::of(&sent[..10]))).await;
        assert_eq!(kind(outcome), StoreErrorKind::SizeMismatch);
        // One byte more than announced ends the upload for good.
        let mut upload = begin(Some(size)).await;
        upload.write(sent.clone()).await.unwrap();
        let more = upload.write(Bytes::from_static(b"x")).await;
        assert_eq!(kind(more), StoreErrorKind::SizeMismatch);
        assert!(upload.write(Bytes::new()).await.is_err());
        assert!(upload.commit(size, Some(Digest::of(&sent))).await.is_err());
        unchanged(&*store, old.as_ref()).await;
    }
}

async fn a_wrong_digest_fails<M: Make>(make: &M) {
    let store = make(Setup::default());
    let (old, sent) = (content(4, 1000), content(5, 1000));
    put(&*store, "file", &old, Precondition::Any).await.unwrap();
    let mut upload = store
        .begin(&name("file"), Some(1000), Precondition::Any)
        .await
        .unwrap();
    upload.write(sent).await.unwrap();
    let outcome = upload.commit(1000, Some(Digest::of(&old))).await;
    assert_eq!(kind(outcome), StoreErrorKind::DigestMismatch);
    unchanged(&*store, Some(&old)).await;
}

/// Drops an overwriting upload after so many polls of its futures, for every number until it gets
/// through.
async fn a_cut_overwrite_changes_nothing<M: Make>(make: &M) {
    let store = make(Setup::default());
    let (old, sent) = (content(6, 5000), content(7, 700_000));
    put(&*store, "file", &old, Precondition::Any).await.unwrap();
    let mut cut = 0;
    loop {
        let done = poll_then_drop(cut, overwrite(&*store, &sent)).await;
        if let Some(outcome) = done {
            outcome.unwrap();
            break;
        }
        let got = get(&*store, "file", ReadFrom::start()).await.unwrap();
        // A commit whose future was dropped may have been too late to stop.
        if got == sent {
            put(&*store, "file", &old, Precondition::Any).await.unwrap();
        } else {
            assert_eq!(got, old, "cut after {cut} polls");
        }
        assert_eq!(listed(&*store).await.len(), 1, "cut after {cut} polls");
        cut += 1;
        assert!(cut < 10_000, "the upload never ends");
    }
    assert_eq!(get(&*store, "file", ReadFrom::start()).await.unwrap(), sent);

    // Cut between the calls, and ended on purpose.
    for aborted in [false, true] {
        let size = Some(sent.len() as u64);
        let mut upload = store
            .begin(&name("file"), size, Precondition::Any)
            .await
            .unwrap();
        upload.write(sent.slice(..600_000)).await.unwrap();
        if aborted {
            upload.abort().await;
        }
    }
    unchanged(&*store, Some(&sent)).await;
}

async fn overwrite(store: &dyn Store, sent: &Bytes) -> Result<(), StoreError> {
    let size = sent.len() as u64;
    let mut upload = store
        .begin(&name("file"), Some(size), Precondition::Any)
        .await?;
    for chunk in sent.chunks(100_000) {
        upload.write(sent.slice_ref(chunk)).await?;
    }
    upload.commit(size, Some(Digest::of(sent))).await.map(drop)
}

async fn poll_then_drop<T>(times: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    for _ in 0..times {
        let poll = future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(done) = poll {
            return Some(done);
        }
        // Long enough for most writes of a blocking thread, so that the cuts fall everywhere.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    None
}

async fn names_that_look_alike_collide<M: Make>(make: &M) {
    let store = make(Setup::default());
    let sent = content(8, 10);
    put(&*store, "README", &sent, Precondition::Absent)
        .await
        .unwrap();
    put(&*store, "\u{e9}t\u{e9}", &sent, Precondition::Absent)
        .await
        .unwrap();
    for alike in ["readme", "Readme", "\u{c9}T\u{c9}", "ＲＥＡＤＭＥ"] {
        for precondition in [Precondition::Absent, Precondition::Any] {
            let outcome = put(&*store, alike, &sent, precondition).await;
            assert_eq!(kind(outcome), StoreErrorKind::Collision, "{alike}");
        }
    }
    // Both were fine when they began.
    let begin = async |to| {
        store
            .begin(&name(to), Some(0), Precondition::Any)
            .await
            .unwrap()
    };
    let (first, second) = (begin("notes").await, begin("Notes").await);
    first.commit(0, Some(Digest::of(b""))).await.unwrap();
    let outcome = second.commit(0, Some(Digest::of(b""))).await;
    assert_eq!(kind(outcome), StoreErrorKind::Collision);
    assert_eq!(listed(&*store).await.len(), 3);
}

async fn names_unfit_for_new_files_are_refused<M: Make>(make: &M) {
    let store = make(Setup::default());
    for unfit in ["NUL", "a:b", "-x", "e\u{301}", "a\nb"] {
        let unfit = FileName::existing(unfit).expect("such a file can exist");
        let outcome = store.begin(&unfit, None, Precondition::Any).await;
        assert_eq!(kind(outcome), StoreErrorKind::Name, "{unfit:?}");
        let outcome = store.open(&unfit, ReadFrom::start()).await;
        assert_eq!(kind(outcome), StoreErrorKind::NotFound, "{unfit:?}");
    }
}

async fn one_of_many_creators_wins<M: Make>(make: &M) {
    let store = make(Setup::default());
    for round in 0..20 {
        let to = format!("new-{round}");
        let tasks: Vec<_> = (0..16)
            .map(|seed| {
                let (store, to) = (Arc::clone(&store), to.clone());
                tokio::spawn(async move {
                    put(&*store, &to, &content(seed, 2000), Precondition::Absent).await
                })
            })
            .collect();
        let mut winner = None;
        for (seed, task) in (0..).zip(tasks) {
            match task.await.expect("no panic") {
                Ok(_) => assert_eq!(winner.replace(seed), None, "two winners of {to}"),
                Err(error) => assert_eq!(error, StoreError::AlreadyExists),
            }
        }
        let winner = winner.expect("somebody wins");
        let got = get(&*store, &to, ReadFrom::start()).await.unwrap();
        assert_eq!(got, content(winner, 2000));
    }
}

async fn readers_keep_their_version<M: Make>(make: &M) {
    let store = make(Setup::default());
    let version = |seed| content(seed, 300_000 + usize::from(seed));
    put(&*store, "file", &version(0), Precondition::Any)
        .await
        .unwrap();

    // Replaced, then removed, in the middle of a download.
    for seed in 1..=2 {
        let before = get(&*store, "file", ReadFrom::start()).await.unwrap();
        let mut download = store.open(&name("file"), ReadFrom::start()).await.unwrap();
        let mut got = download.read().await.unwrap().unwrap().to_vec();
        if seed == 1 {
            put(&*store, "file", &version(1), Precondition::Any)
                .await
                .unwrap();
        } else {
            store
                .remove(&name("file"), Precondition::Any)
                .await
                .unwrap();
            assert_eq!(listed(&*store).await, []);
        }
        while let Some(chunk) = download.read().await.unwrap() {
            got.extend_from_slice(&chunk);
        }
        assert_eq!(got, before);
    }

    put(&*store, "file", &version(0), Precondition::Any)
        .await
        .unwrap();
    let readers: Vec<_> = (0..8)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for _ in 0..25 {
                    let got = get(&*store, "file", ReadFrom::start()).await.unwrap();
                    let seed = u8::try_from(got.len() - 300_000).unwrap();
                    assert!(got == version(seed), "a mixture of versions");
                }
            })
        })
        .collect();
    for seed in 1..=20 {
        let stored = put(&*store, "file", &version(seed), Precondition::Any)
            .await
            .unwrap();
        assert!(stored.replaced);
    }
    for reader in readers {
        reader.await.expect("every read is one whole version");
    }
}

async fn preconditions_hold<M: Make>(make: &M) {
    let store = make(Setup::default());
    let (one, two) = (content(1, 10), content(2, 10));
    let nowhere = Precondition::Version(Version::from([7; Version::LENGTH]));
    assert_eq!(
        kind(put(&*store, "file", &one, nowhere).await),
        StoreErrorKind::NotFound
    );
    let removed = store.remove(&name("file"), Precondition::Any).await;
    assert_eq!(kind(removed), StoreErrorKind::NotFound);

    let first = put(&*store, "file", &one, Precondition::Absent)
        .await
        .unwrap()
        .info
        .version;
    let taken = put(&*store, "file", &two, Precondition::Absent).await;
    assert_eq!(kind(taken), StoreErrorKind::AlreadyExists);
    assert_eq!(
        kind(put(&*store, "file", &two, nowhere).await),
        StoreErrorKind::Changed
    );
    let file = name("file");
    let late = store
        .begin(&file, Some(0), Precondition::Version(first))
        .await
        .unwrap();
    let second = put(&*store, "file", &two, Precondition::Version(first))
        .await
        .unwrap();
    assert!(second.replaced);
    let second = second.info.version;
    assert_ne!(first, second);
    // It held at the beginning and does not hold at the end.
    assert_eq!(
        kind(late.commit(0, Some(Digest::of(b""))).await),
        StoreErrorKind::Changed
    );

    let resumed = ReadFrom::offset(3).of_version(second);
    assert_eq!(get(&*store, "file", resumed).await.unwrap(), two.slice(3..));
    let stale = ReadFrom::offset(3).of_version(first);
    assert_eq!(
        kind(get(&*store, "file", stale).await),
        StoreErrorKind::Changed
    );

    for (precondition, refused) in [
        (Precondition::Version(first), StoreErrorKind::Changed),
        (Precondition::Absent, StoreErrorKind::AlreadyExists),
    ] {
        assert_eq!(kind(store.remove(&file, precondition).await), refused);
    }
    store
        .remove(&file, Precondition::Version(second))
        .await
        .unwrap();
    assert_eq!(listed(&*store).await, []);
}

async fn limits_hold<M: Make>(make: &M) {
    let store = make(Setup {
        max_file: Some(1000),
        quota: Some(2500),
    });
    let file = name("file");
    for absurd in [1001, 1 << 63, u64::MAX] {
        let outcome = store.begin(&file, Some(absurd), Precondition::Any).await;
        assert_eq!(
            outcome.expect_err("too large"),
            StoreError::TooLarge { limit: 1000 }
        );
    }
    let mut upload = store.begin(&file, None, Precondition::Any).await.unwrap();
    upload.write(content(1, 1000)).await.unwrap();
    let over = upload.write(Bytes::from_static(b"x")).await;
    assert_eq!(kind(over), StoreErrorKind::TooLarge);
    drop(upload);

    let store = make(Setup {
        max_file: None,
        quota: Some(1000),
    });
    for absurd in [1 << 63, u64::MAX] {
        let outcome = store.begin(&file, Some(absurd), Precondition::Any).await;
        assert_eq!(kind(outcome), StoreErrorKind::TooLarge);
    }
    let first = store
        .begin(&name("first"), Some(600), Precondition::Any)
        .await
        .unwrap();
    let second = store
        .begin(&name("second"), Some(600), Precondition::Any)
        .await;
    let exceeded = StoreError::QuotaExceeded {
        quota: 1000,
        needed: 600,
        left: 400,
    };
    assert_eq!(second.expect_err("beyond the quota"), exceeded);
    first.abort().await;
    put(&*store, "second", &content(1, 600), Precondition::Any)
        .await
        .unwrap();
    let mut growing = store
        .begin(&name("first"), None, Precondition::Any)
        .await
        .unwrap();
    growing.write(content(2, 400)).await.unwrap();
    assert_eq!(
        kind(growing.write(content(2, 1)).await),
        StoreErrorKind::QuotaExceeded
    );
    drop(growing);
    store
        .remove(&name("second"), Precondition::Any)
        .await
        .unwrap();
    put(&*store, "first", &content(3, 1000), Precondition::Any)
        .await
        .unwrap();
}

async fn ended_uploads_free_their_quota<M: Make>(make: &M) {
    let store = make(Setup {
        max_file: None,
        quota: Some(1_000_000),
    });
    let file = name("file");
    for round in 0..50 {
        let mut upload = within_quota(&*store, &file).await;
        upload.write(content(1, 700_000)).await.unwrap();
        match round % 3 {
            0 => drop(upload),
            1 => upload.abort().await,
            _ => assert!(upload.commit(1, Some(Digest::of(b""))).await.is_err()),
        }
    }
    drop(within_quota(&*store, &file).await);
}

/// What a dropped upload held is free at the latest when its last write has ended.
async fn within_quota(store: &dyn Store, file: &FileName) -> Box<dyn Upload> {
    for _ in 0..500 {
        match store.begin(file, Some(1_000_000), Precondition::Any).await {
            Ok(upload) => return upload,
            Err(error) => assert_eq!(error.kind(), StoreErrorKind::QuotaExceeded),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the quota of ended uploads is never free again");
}

async fn lists_are_sorted_pages<M: Make>(make: &M) {
    let store = make(Setup::default());
    assert_eq!(store.list(None, 10).await, Ok(Default::default()));
    let names = ["b", "a", "é", "Z", "10", "9", "a b", ".x", "用户"];
    for to in names {
        put(&*store, to, &content(1, to.len()), Precondition::Absent)
            .await
            .unwrap();
    }
    let mut sorted = names;
    sorted.sort_unstable();
    for limit in [0, 1, 2, 4, 8, 9, 10] {
        let mut got = Vec::new();
        let mut after = None;
        loop {
            let page = store.list(after.as_ref(), limit).await.unwrap();
            assert!(
                page.files.len() <= limit.max(1),
                "{} of {limit}",
                page.files.len()
            );
            got.extend(page.files.iter().map(|file| file.name.to_string()));
            assert!(
                page.files
                    .iter()
                    .all(|file| file.size == file.name.as_str().len() as u64)
            );
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(got, sorted, "limit {limit}");
    }
    // The place in the list survives the file it was named after.
    store.remove(&name("a"), Precondition::Any).await.unwrap();
    let page = store.list(Some(&name("a")), 1).await.unwrap();
    assert_eq!(page.files[0].name.as_str(), "a b");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::{DirectoryOptions, DirectoryStore, MemoryStore};

    #[tokio::test(flavor = "multi_thread")]
    async fn svc_d_the_memory_store_conforms() {
        check(&|setup: Setup| -> Arc<dyn Store> {
            Arc::new(MemoryStore::with_limits(setup.max_file, setup.quota))
        })
        .await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn svc_d_the_directory_store_conforms() {
        let root = tempfile::tempdir().unwrap();
        let count = std::sync::atomic::AtomicUsize::new(0);
        check(&|setup: Setup| -> Arc<dyn Store> {
            let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let folder = root.path().join(number.to_string());
            std::fs::create_dir(&folder).unwrap();
            Arc::new(options(setup).open(folder).unwrap())
        })
        .await;
    }

    fn options(setup: Setup) -> DirectoryOptions {
        let mut options = DirectoryStore::options();
        if let Some(bytes) = setup.max_file {
            options = options.max_file(bytes);
        }
        if let Some(bytes) = setup.quota {
            options = options.quota(bytes);
        }
        options
    }
}
