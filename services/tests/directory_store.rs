//! The directory store against what operators, other processes and full disks do to its folder.

use std::fs;
use std::future::Future;
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use services::files::{
    Digest, DirectoryStore, FileName, Precondition, ReadFrom, Store, StoreError, StoreErrorKind,
    Stored,
};
use tempfile::TempDir;

const STAGING: &str = ".framewright-staging";

/// A store's folder beside a file that nobody may reach through it.
struct House {
    house: TempDir,
    root: PathBuf,
    secret: PathBuf,
}

impl House {
    fn new() -> Self {
        let house = tempfile::tempdir().unwrap();
        let root = house.path().join("files");
        let secret = house.path().join("secret");
        fs::create_dir(&root).unwrap();
        fs::write(&secret, "secret").unwrap();
        Self {
            house,
            root,
            secret,
        }
    }

    fn store(&self) -> DirectoryStore {
        DirectoryStore::open(&self.root).unwrap()
    }

    fn staged(&self) -> Vec<String> {
        names_in(&self.root.join(STAGING))
    }

    /// Waits until the staging folder is empty, as blocking jobs may end after their futures.
    async fn assert_nothing_staged(&self) {
        let start = Instant::now();
        while !self.staged().is_empty() {
            let left = self.staged();
            assert!(
                start.elapsed() < Duration::from_secs(5),
                "still there: {left:?}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[track_caller]
    fn assert_outside_untouched(&self) {
        assert_eq!(fs::read_to_string(&self.secret).unwrap(), "secret");
        assert_eq!(names_in(self.house.path()), ["files", "secret"]);
    }
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn name(text: &str) -> FileName {
    FileName::existing(text).unwrap()
}

fn filled(length: usize, with: u8) -> Bytes {
    vec![with; length].into()
}

async fn put(
    store: &dyn Store,
    to: &str,
    content: &Bytes,
    precondition: Precondition,
) -> Result<Stored, StoreError> {
    let size = content.len() as u64;
    let mut upload = store.begin(&name(to), Some(size), precondition).await?;
    for chunk in content.chunks(64 << 10) {
        upload.write(content.slice_ref(chunk)).await?;
    }
    upload.commit(size, Some(Digest::of(content))).await
}

async fn get(store: &dyn Store, from: &str) -> Result<Vec<u8>, StoreError> {
    let mut download = store.open(&name(from), ReadFrom::start()).await?;
    let mut all = Vec::new();
    while let Some(chunk) = download.read().await? {
        all.extend_from_slice(&chunk);
    }
    Ok(all)
}

async fn remove(store: &dyn Store, what: &str) -> Result<(), StoreError> {
    store.remove(&name(what), Precondition::Any).await
}

#[track_caller]
fn kind<T: std::fmt::Debug>(outcome: Result<T, StoreError>) -> StoreErrorKind {
    outcome.expect_err("this must be refused").kind()
}

#[tokio::test]
async fn svc_d1_svc_d2_no_name_leads_out_of_the_folder() {
    let house = House::new();
    let store = house.store();
    for text in [
        "../secret",
        "a/../../secret",
        r"..\secret",
        "....//secret",
        "%2e%2e/secret",
        "secret/..",
        "/etc/passwd",
        r"C:\x",
        r"\\server\share\x",
        "~",
        "~root",
        "%2e%2e",
        "..",
        ".",
        "",
    ] {
        for name in [text.parse(), FileName::existing(text)]
            .into_iter()
            .flatten()
        {
            let _ = put(&store, name.as_str(), &filled(3, b'x'), Precondition::Any).await;
            let _ = get(&store, name.as_str()).await;
        }
    }
    house.assert_outside_untouched();
    assert_eq!(names_in(&house.root), ["%2e%2e", STAGING, "~", "~root"]);
}

#[tokio::test]
async fn svc_d4_our_own_files_cannot_be_named() {
    let house = House::new();
    let _store = house.store();
    assert!(FileName::existing(STAGING).is_err());
    assert!(STAGING.parse::<FileName>().is_err());
}

#[tokio::test]
async fn svc_d5_a_folder_or_link_of_the_same_look_counts_too() {
    let house = House::new();
    let store = house.store();
    fs::create_dir(house.root.join("Docs")).unwrap();
    symlink("nowhere", house.root.join("Link")).unwrap();
    fs::write(house.root.join("e\u{301}"), "").unwrap();
    for text in ["docs", "link", "\u{e9}", "\u{c9}"] {
        let outcome = put(&store, text, &filled(1, b'x'), Precondition::Any).await;
        assert_eq!(kind(outcome), StoreErrorKind::Collision, "{text}");
    }
}

#[tokio::test]
async fn svc_d6_planted_links_are_never_followed() {
    let house = House::new();
    let store = house.store();
    fs::create_dir(house.root.join("folder")).unwrap();
    for (link, target) in [
        ("to-file", house.secret.to_str().unwrap()),
        ("to-relative", "../secret"),
        ("to-folder", house.house.path().to_str().unwrap()),
        ("to-inside", "plain"),
        ("loop", "loop"),
        ("dangling", "../made-by-following"),
    ] {
        symlink(target, house.root.join(link)).unwrap();
    }
    put(&store, "plain", &filled(3, b'p'), Precondition::Absent)
        .await
        .unwrap();

    let links = [
        "to-file",
        "to-relative",
        "to-folder",
        "to-inside",
        "loop",
        "dangling",
        "folder",
    ];
    for link in links {
        let content = filled(3, b'x');
        assert_eq!(
            kind(get(&store, link).await),
            StoreErrorKind::NotAFile,
            "{link}"
        );
        assert_eq!(
            kind(remove(&store, link).await),
            StoreErrorKind::NotAFile,
            "{link}"
        );
        let replaced = put(&store, link, &content, Precondition::Any).await;
        assert_eq!(kind(replaced), StoreErrorKind::NotAFile, "{link}");
        let made = put(&store, link, &content, Precondition::Absent).await;
        assert_eq!(kind(made), StoreErrorKind::AlreadyExists, "{link}");
        assert!(
            house.root.join(link).symlink_metadata().is_ok(),
            "{link} is still there"
        );
    }
    let listing = store.list(None, 100).await.unwrap();
    assert_eq!(listing.files.len(), 1);
    assert_eq!(listing.files[0].name.as_str(), "plain");
    assert_eq!(listing.others, links.len() as u64);
    assert!(!house.house.path().join("made-by-following").exists());
    house.assert_outside_untouched();

    // As a middle part: a name cannot have one.
    assert!(FileName::existing("to-folder/secret").is_err());
}

#[tokio::test]
async fn svc_d6_a_planted_staging_folder_is_refused() {
    let house = House::new();
    symlink(house.house.path(), house.root.join(STAGING)).unwrap();
    assert!(DirectoryStore::open(&house.root).is_err());
    house.assert_outside_untouched();
}

#[tokio::test(flavor = "multi_thread")]
async fn svc_d7_a_link_swapped_in_at_the_right_moment_gains_nothing() {
    let house = House::new();
    let store = DirectoryStore::options()
        .sync(false)
        .open(&house.root)
        .unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let swapper = std::thread::spawn({
        let (root, stop, secret) = (house.root.clone(), Arc::clone(&stop), house.secret.clone());
        move || {
            let mut swaps = 0u32;
            while !stop.load(Ordering::Relaxed) {
                let aside = root.join(format!("{STAGING}/swap"));
                symlink(&secret, &aside).unwrap();
                fs::rename(&aside, root.join("target")).unwrap();
                fs::write(&aside, "plain").unwrap();
                fs::rename(&aside, root.join("target")).unwrap();
                swaps += 1;
            }
            swaps
        }
    });
    let until = Instant::now() + Duration::from_millis(1500);
    let mut read = 0;
    while Instant::now() < until {
        if let Ok(got) = get(&store, "target").await {
            assert_ne!(got, b"secret");
            read += 1;
        }
        let _ = put(&store, "target", &filled(5, b'u'), Precondition::Any).await;
        let _ = remove(&store, "target").await;
    }
    stop.store(true, Ordering::Relaxed);
    let swaps = swapper.join().unwrap();
    assert!(
        swaps > 100 && read > 10,
        "no race: {swaps} swaps, {read} reads"
    );
    house.assert_outside_untouched();
}

#[tokio::test]
async fn svc_d8_odd_file_types_are_not_opened() {
    let house = House::new();
    let store = house.store();
    let fifo = house.root.join("fifo");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let _listener = UnixListener::bind(house.root.join("socket")).unwrap();
    let mut odd = vec!["fifo", "socket", "hard-link"];
    fs::hard_link(&house.secret, house.root.join("hard-link")).unwrap();
    let device = house.root.join("device");
    let made = Command::new("mknod")
        .arg(&device)
        .args(["c", "1", "5"])
        .output();
    if made.is_ok_and(|made| made.status.success()) {
        assert!(
            device
                .symlink_metadata()
                .unwrap()
                .file_type()
                .is_char_device()
        );
        odd.push("device");
    } else {
        eprintln!("SKIPPED: device nodes cannot be made here");
    }
    for odd in &odd {
        // A FIFO without a writer would block for ever.
        let in_time = Duration::from_secs(5);
        let outcome = tokio::time::timeout(in_time, get(&store, odd)).await;
        assert_eq!(kind(outcome.expect(odd)), StoreErrorKind::NotAFile, "{odd}");
        let replaced = put(&store, odd, &filled(1, b'x'), Precondition::Any).await;
        assert_eq!(kind(replaced), StoreErrorKind::NotAFile, "{odd}");
        assert_eq!(
            kind(remove(&store, odd).await),
            StoreErrorKind::NotAFile,
            "{odd}"
        );
    }
    let listing = store.list(None, 100).await.unwrap();
    assert_eq!(listing.files, []);
    assert_eq!(listing.others, odd.len() as u64);
    house.assert_outside_untouched();

    let trusting = DirectoryStore::options()
        .hard_links(true)
        .open(&house.root)
        .unwrap();
    assert_eq!(get(&trusting, "hard-link").await.unwrap(), b"secret");
    // Replacing it gives the name to another file and leaves the outside one alone.
    put(&trusting, "hard-link", &filled(1, b'x'), Precondition::Any)
        .await
        .unwrap();
    house.assert_outside_untouched();
}

/// Polls `future` so many times, with a pause after each, and drops it.
async fn poll_then_drop<T>(
    times: usize,
    pause: Duration,
    future: impl Future<Output = T>,
) -> Option<T> {
    let mut future = pin!(future);
    for _ in 0..times {
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return Some(done);
        }
        tokio::time::sleep(pause).await;
    }
    None
}

#[tokio::test]
async fn svc_d9_svc_d33_an_upload_dropped_anywhere_leaves_nothing() {
    let house = House::new();
    let store = house.store();
    let (old, new) = (filled(1000, b'o'), filled(900_000, b'n'));
    put(&store, "file", &old, Precondition::Absent)
        .await
        .unwrap();
    let mut dropped = 0;
    for cut in 0..60 {
        // Sometimes the blocking job gets its time, sometimes the drop comes in its middle.
        let pause = Duration::from_micros(cut % 4 * 300);
        let upload = put(&store, "file", &new, Precondition::Any);
        let done = poll_then_drop(cut as usize / 4, pause, upload).await;
        // Nothing may change behind this: a job that ends later must not publish.
        house.assert_nothing_staged().await;
        let got = get(&store, "file").await.unwrap();
        match done {
            Some(outcome) => {
                outcome.unwrap();
                assert!(got == new);
            }
            None => {
                dropped += 1;
                let size = got.len();
                assert!(got == old || got == new, "cut {cut}: {size} bytes");
            }
        }
        assert_eq!(names_in(&house.root), [STAGING, "file"]);
        put(&store, "file", &old, Precondition::Any).await.unwrap();
    }
    assert!(dropped >= 8, "only {dropped} were cut");
}

#[tokio::test]
async fn svc_d33_a_runtime_that_goes_takes_its_uploads_along() {
    let house = House::new();
    let root = house.root.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let upload = runtime.block_on(async {
            let store = DirectoryStore::open(root).unwrap();
            let mut upload = store
                .begin(&name("file"), None, Precondition::Absent)
                .await
                .unwrap();
            upload.write(filled(600_000, b'x')).await.unwrap();
            upload
        });
        drop(runtime);
        drop(upload);
    })
    .join()
    .unwrap();
    assert_eq!(house.staged(), [""; 0]);
}

#[tokio::test]
async fn svc_d10_svc_d11_svc_d12_refused_uploads_leave_nothing_staged() {
    let house = House::new();
    let store = house.store();
    let sent = filled(400_000, b's');
    let size = sent.len() as u64;
    for (written, said, digest, refused) in [
        (
            size - 1,
            size,
            Digest::of(&sent),
            StoreErrorKind::SizeMismatch,
        ),
        (
            size,
            size,
            Digest::of(b"other"),
            StoreErrorKind::DigestMismatch,
        ),
        (
            size,
            size - 1,
            Digest::of(&sent),
            StoreErrorKind::SizeMismatch,
        ),
    ] {
        let mut upload = store
            .begin(&name("file"), None, Precondition::Absent)
            .await
            .unwrap();
        assert_eq!(house.staged().len(), 1);
        upload.write(sent.slice(..written as usize)).await.unwrap();
        assert_eq!(kind(upload.commit(said, Some(digest)).await), refused);
        assert_eq!(house.staged(), [""; 0], "gone before the answer");
    }
    let mut upload = store
        .begin(&name("file"), Some(10), Precondition::Absent)
        .await
        .unwrap();
    assert_eq!(
        kind(upload.write(filled(11, b'x')).await),
        StoreErrorKind::SizeMismatch
    );
    // Even while the refused upload is still held.
    house.assert_nothing_staged().await;
    drop(upload);
    assert_eq!(names_in(&house.root), [STAGING]);
}

#[tokio::test]
async fn svc_d14_a_file_changed_in_place_is_noticed() {
    let house = House::new();
    let store = house.store();
    let path = house.root.join("file");
    for change in ["longer", "same size", "shorter"] {
        // More than is read ahead.
        fs::write(&path, filled(4_000_000, b'a')).unwrap();
        let mut download = store.open(&name("file"), ReadFrom::start()).await.unwrap();
        download.read().await.unwrap();
        let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        match change {
            "longer" => file.set_len(5_000_000).unwrap(),
            "shorter" => file.set_len(500_000).unwrap(),
            _ => file.write_all(b"b").unwrap(),
        }
        let end = loop {
            match download.read().await {
                Ok(Some(_)) => {}
                end => break end,
            }
        };
        assert_eq!(end, Err(StoreError::Changed), "{change}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn svc_d16_two_stores_on_one_folder_have_one_winner() {
    let house = House::new();
    let stores = [house.store(), house.store()];
    for round in 0..20 {
        let to = format!("new-{round}");
        let tasks: Vec<_> = (0..16)
            .map(|number: u8| {
                let (store, to) = (stores[usize::from(number % 2)].clone(), to.clone());
                tokio::spawn(async move {
                    put(&store, &to, &filled(1000, number), Precondition::Absent).await
                })
            })
            .collect();
        let mut winners = Vec::new();
        for (number, task) in (0..).zip(tasks) {
            match task.await.unwrap() {
                Ok(_) => winners.push(number),
                Err(error) => assert_eq!(error, StoreError::AlreadyExists),
            }
        }
        assert_eq!(winners.len(), 1, "{winners:?}");
        assert_eq!(
            get(&stores[0], &to).await.unwrap(),
            filled(1000, winners[0])
        );
    }
    house.assert_nothing_staged().await;
}

#[tokio::test]
async fn svc_d16_two_processes_have_one_winner() {
    let house = House::new();
    let children: Vec<_> = (0..2)
        .map(|_| Helper::start("create", &house.root))
        .collect();
    let mut won = Vec::new();
    for child in children {
        won.extend(child.output().lines().map(str::to_owned));
    }
    won.sort();
    let mut all: Vec<_> = (0..40).map(|number| format!("won new-{number}")).collect();
    all.sort();
    assert_eq!(won, all);
}

#[tokio::test]
async fn svc_d9_svc_d22_what_a_killed_process_staged_is_swept() {
    let house = House::new();
    let living = house.store();
    put(&living, "file", &filled(10, b'o'), Precondition::Absent)
        .await
        .unwrap();
    let mut alive = living
        .begin(&name("alive"), None, Precondition::Absent)
        .await
        .unwrap();
    alive.write(filled(300_000, b'a')).await.unwrap();

    let mut helper = Helper::start("stage", &house.root);
    helper.wait_for("staged");
    assert_eq!(house.staged().len(), 6);
    assert_eq!(
        living.sweep().unwrap(),
        0,
        "uploads of living processes stay"
    );
    helper.kill();
    assert_eq!(house.staged().len(), 6, "nobody could tidy up");

    let fresh = house.store();
    assert_eq!(
        house.staged().len(),
        1,
        "swept at the start, but for the living one"
    );
    assert_eq!(get(&fresh, "file").await.unwrap(), filled(10, b'o'));
    let content = filled(300_000, b'a');
    alive
        .commit(300_000, Some(Digest::of(&content)))
        .await
        .unwrap();
    assert_eq!(get(&fresh, "alive").await.unwrap(), content);
    assert_eq!(house.staged(), [""; 0]);
}

/// A file system of four MiB; unmounted on drop.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path) -> Option<Self> {
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m", "framewright-test"])
            .arg(at)
            .output();
        mount
            .is_ok_and(|mount| mount.status.success())
            .then(|| Self(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn svc_d18_a_full_disk_is_said_and_survived() {
    let house = House::new();
    let Some(_disk) = SmallDisk::mount(&house.root) else {
        eprintln!("SKIPPED: no file system can be mounted here");
        return;
    };
    let store = house.store();
    let (old, big) = (filled(100_000, b'o'), filled(8 << 20, b'b'));
    put(&store, "file", &old, Precondition::Absent)
        .await
        .unwrap();

    // Announced: refused before anything is written.
    let outcome = store
        .begin(&name("file"), Some(8 << 20), Precondition::Any)
        .await;
    assert_eq!(kind(outcome), StoreErrorKind::NoSpace);
    assert_eq!(house.staged(), [""; 0]);

    // Not announced: refused when the disk is full.
    let mut upload = store
        .begin(&name("file"), None, Precondition::Any)
        .await
        .unwrap();
    let mut outcome = Ok(());
    for chunk in big.chunks(256 << 10) {
        outcome = upload.write(big.slice_ref(chunk)).await;
        if outcome.is_err() {
            break;
        }
    }
    assert_eq!(kind(outcome), StoreErrorKind::NoSpace);
    assert_eq!(
        kind(upload.write(Bytes::new()).await),
        StoreErrorKind::NoSpace
    );
    assert_eq!(
        kind(upload.commit(8 << 20, Some(Digest::of(&big))).await),
        StoreErrorKind::NoSpace
    );
    house.assert_nothing_staged().await;
    assert_eq!(get(&store, "file").await.unwrap(), old);
    put(
        &store,
        "small",
        &filled(1 << 20, b's'),
        Precondition::Absent,
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn svc_d20_without_descriptors_the_store_is_busy_and_recovers() {
    let house = House::new();
    let mut helper = Helper::start("descriptors", &house.root);
    helper.wait_for("busy");
    helper.wait_for("recovered");
}

#[tokio::test]
async fn svc_d24_what_the_operator_removes_is_noticed_by_the_quota() {
    let house = House::new();
    fs::write(house.root.join("old"), filled(900, b'o')).unwrap();
    let store = DirectoryStore::options()
        .quota(1000)
        .open(&house.root)
        .unwrap();
    let new = filled(500, b'n');
    let refused = put(&store, "new", &new, Precondition::Absent).await;
    assert_eq!(kind(refused), StoreErrorKind::QuotaExceeded);
    fs::remove_file(house.root.join("old")).unwrap();
    let start = Instant::now();
    while let Err(error) = put(&store, "new", &new, Precondition::Absent).await {
        assert_eq!(error.kind(), StoreErrorKind::QuotaExceeded);
        assert!(start.elapsed() < Duration::from_secs(5));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn svc_d25_an_absurd_size_takes_no_disk() {
    let house = House::new();
    let store = house.store();
    for size in [1 << 63, u64::MAX, (1 << 63) - 1] {
        let outcome = store
            .begin(&name("file"), Some(size), Precondition::Absent)
            .await;
        assert!(outcome.is_err(), "{size}");
        assert_eq!(house.staged(), [""; 0]);
    }
}

#[tokio::test]
async fn svc_d27_a_big_folder_is_listed_page_by_page() {
    let house = House::new();
    let count = 5000;
    for number in 0..count {
        fs::write(house.root.join(format!("f{number:05}")), "").unwrap();
    }
    let store = house.store();
    let (mut after, mut got) = (None, Vec::new());
    loop {
        let page = store.list(after.as_ref(), 999).await.unwrap();
        assert!(page.files.len() <= 999);
        got.extend(page.files.into_iter().map(|file| file.name.to_string()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert!(got.iter().is_sorted());
    assert_eq!(got.len(), count);
    let all = store.list(None, usize::MAX).await.unwrap();
    assert_eq!(all.files.len(), services::files::MAX_PAGE);
}

#[tokio::test]
async fn svc_d28_odd_names_of_the_operator_are_listed_exactly() {
    let house = House::new();
    let odd = [
        "NUL",
        "a:b",
        "esc\u{1b}]0;title\u{7}",
        "e\u{301}",
        "rlo\u{202e}txt.exe",
    ];
    for odd in odd {
        fs::write(house.root.join(odd), odd).unwrap();
    }
    let store = house.store();
    let listing = store.list(None, 100).await.unwrap();
    let listed: Vec<_> = listing
        .files
        .iter()
        .map(|file| file.name.as_str())
        .collect();
    assert_eq!(listed, odd);
    for odd in odd {
        assert_eq!(get(&store, odd).await.unwrap(), odd.as_bytes());
        remove(&store, odd).await.unwrap();
    }
}

#[tokio::test]
async fn svc_d34_files_are_never_executable_nor_open_to_all() {
    let house = House::new();
    let mut helper = Helper::start("umask", &house.root);
    helper.wait_for("stored");
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&house.root.join("file")), 0o640);
    assert_eq!(mode(&house.root.join(STAGING)), 0o700);
}

#[tokio::test]
async fn svc_d35_temporary_names_are_not_guessed_nor_taken() {
    let house = House::new();
    let store = house.store();
    // What an attacker may have left there is neither followed nor removed nor in the way.
    let planted = house.root.join(STAGING).join("upload-planted");
    symlink(&house.secret, &planted).unwrap();
    fs::create_dir(house.root.join(STAGING).join("folder")).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..100 {
        let upload = store
            .begin(&name("file"), None, Precondition::Absent)
            .await
            .unwrap();
        for staged in house.staged() {
            if let Some(random) = staged
                .strip_prefix("upload-")
                .filter(|rest| *rest != "planted")
            {
                assert_eq!(random.len(), 32, "128 bits in {staged}");
                seen.insert(staged);
            }
        }
        let staged = seen.iter().find_map(|staged| {
            house
                .root
                .join(STAGING)
                .join(staged)
                .symlink_metadata()
                .ok()
        });
        assert!(staged.is_some_and(|staged| staged.is_file() && staged.nlink() == 1));
        upload.abort().await;
    }
    assert_eq!(seen.len(), 100);
    store.sweep().unwrap();
    assert_eq!(fs::read_link(&planted).unwrap(), house.secret);
    house.assert_outside_untouched();
}

/// This test program run again, as another process that uses the store in one of several ways.
struct Helper(Child);

impl Helper {
    const TASK: &str = "FRAMEWRIGHT_TEST_TASK";
    const ROOT: &str = "FRAMEWRIGHT_TEST_ROOT";

    fn start(task: &str, root: &Path) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "helper_process", "--nocapture", "--quiet"])
            .env(Self::TASK, task)
            .env(Self::ROOT, root)
            .stdout(Stdio::piped())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        Self(child)
    }

    /// What it says beside the test runner's own words.
    fn output(mut self) -> String {
        let mut all = String::new();
        self.0
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut all)
            .unwrap();
        assert!(self.0.wait().unwrap().success(), "{all}");
        let said = all.lines().filter(|line| line.starts_with("won "));
        said.map(|line| format!("{line}\n")).collect()
    }

    #[track_caller]
    fn wait_for(&mut self, word: &str) {
        let mut said = Vec::new();
        let stdout = self.0.stdout.as_mut().unwrap();
        let mut byte = [0];
        while !said.ends_with(format!("{word}\n").as_bytes()) {
            let count = stdout.read(&mut byte).unwrap();
            assert_ne!(count, 0, "ended with {:?}", String::from_utf8_lossy(&said));
            said.push(byte[0]);
        }
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Does nothing in an ordinary run; see [`Helper`].
#[tokio::test(flavor = "multi_thread")]
async fn helper_process() {
    let Ok(task) = std::env::var(Helper::TASK) else {
        return;
    };
    let root = PathBuf::from(std::env::var_os(Helper::ROOT).unwrap());
    match task.as_str() {
        "create" => create_many(&root).await,
        "stage" => stage_and_wait(&root).await,
        "umask" => store_without_umask(&root).await,
        "descriptors" => use_up_descriptors(&root).await,
        other => panic!("no task {other}"),
    }
}

async fn create_many(root: &Path) {
    let store = DirectoryStore::open(root).unwrap();
    let tasks: Vec<_> = (0..40)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move {
                let to = format!("new-{number}");
                match put(&store, &to, &filled(1000, b'x'), Precondition::Absent).await {
                    Ok(_) => println!("\nwon {to}"),
                    Err(error) => assert_eq!(error, StoreError::AlreadyExists),
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

async fn stage_and_wait(root: &Path) {
    let store = DirectoryStore::open(root).unwrap();
    let mut uploads = Vec::new();
    for _ in 0..5 {
        let mut upload = store
            .begin(&name("file"), None, Precondition::Any)
            .await
            .unwrap();
        upload.write(filled(600_000, b'k')).await.unwrap();
        uploads.push(upload);
    }
    println!("\nstaged");
    // Until the test kills us, or has gone itself.
    let _ = std::io::stdin().read(&mut [0]);
}

async fn store_without_umask(root: &Path) {
    rustix::process::umask(rustix::fs::Mode::empty());
    let store = DirectoryStore::open(root).unwrap();
    put(&store, "file", &filled(1, b'x'), Precondition::Absent)
        .await
        .unwrap();
    println!("\nstored");
}

async fn use_up_descriptors(root: &Path) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let store = DirectoryStore::open(root).unwrap();
    // Threads first: one that starts later may need a descriptor for itself.
    put(&store, "file", &filled(1, b'x'), Precondition::Absent)
        .await
        .unwrap();
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = Some(64);
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
    let mut held = Vec::new();
    while let Ok(file) = fs::File::open("/dev/null") {
        held.push(file);
    }
    let begun = store
        .begin(&name("other"), None, Precondition::Absent)
        .await;
    assert_eq!(kind(begun), StoreErrorKind::Busy);
    assert_eq!(kind(get(&store, "file").await), StoreErrorKind::Busy);
    assert_eq!(kind(store.list(None, 1).await), StoreErrorKind::Busy);
    println!("\nbusy");
    drop(held);
    put(&store, "other", &filled(1, b'x'), Precondition::Absent)
        .await
        .unwrap();
    println!("\nrecovered");
}
