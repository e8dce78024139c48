//! The accounts file against what editors, operators and other processes do to it.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use services::login::edit::{self, EditError};
use services::login::{
    Account, Accounts, AccountsFile, AccountsFileProblem, Authenticator, HashCost, LineError,
    Password, Refused, Right, Rights, SecretError, Source,
};
use tempfile::TempDir;

struct Folder {
    _folder: TempDir,
    file: PathBuf,
}

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("accounts.txt");
        Self {
            _folder: folder,
            file,
        }
    }

    fn with(text: impl AsRef<[u8]>) -> Self {
        let folder = Self::new();
        fs::write(&folder.file, text).unwrap();
        folder.set_mode(0o600);
        folder
    }

    fn set_mode(&self, mode: u32) {
        fs::set_permissions(&self.file, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn open(&self) -> Result<AccountsFile, AccountsFileProblem> {
        open(&self.file)
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.file).unwrap()
    }

    /// Puts another file in its place, as careful editors do.
    fn replace(&self, text: &str) {
        let new = self.file.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(&new, &self.file).unwrap();
    }

    fn assert_no_leftovers(&self) {
        let folder = self.file.parent().unwrap();
        assert_eq!(fs::read_dir(folder).unwrap().count(), 1);
    }
}

fn open(path: &Path) -> Result<AccountsFile, AccountsFileProblem> {
    let opened = AccountsFile::open(path, Rights::from([Right::Exec]));
    opened.map_err(|error| {
        assert_eq!(error.path(), path);
        assert!(error.to_string().contains("accounts.txt"), "{error}");
        error.problem().clone()
    })
}

fn cheap() -> HashCost {
    HashCost::new(8, 1, 1).unwrap()
}

fn password(text: &str) -> Password {
    Password::new(text).unwrap()
}

async fn find(accounts: &AccountsFile, name: &str) -> Option<Account> {
    accounts.find(name).await.unwrap()
}

async fn may_log_in(accounts: &Arc<AccountsFile>, name: &str, with: &str) -> bool {
    let authenticator = Authenticator::shared(accounts.clone()).hash_cost(cheap());
    let outcome = authenticator
        .authenticate(name, password(with), Source::LOCAL)
        .await;
    assert!(matches!(outcome, Ok(_) | Err(Refused::Credentials)));
    outcome.is_ok()
}

#[tokio::test]
async fn a_file_of_accounts_lets_its_people_in() {
    let folder = Folder::with("# people\nalice|secret\nbob|x y|read,write\n");
    edit::add(
        &folder.file,
        "carol",
        &password("p|w"),
        Some([Right::Shell].into()),
        cheap(),
    )
    .unwrap();
    let accounts = Arc::new(folder.open().unwrap());
    for (name, right, wrong) in [
        ("alice", "secret", "x y"),
        ("bob", "x y", "x"),
        ("carol", "p|w", "p"),
    ] {
        assert!(may_log_in(&accounts, name, right).await, "{name}");
        assert!(!may_log_in(&accounts, name, wrong).await, "{name}");
        assert!(!may_log_in(&accounts, name, "").await, "{name}");
    }
    let rights = |account: Option<Account>| account.unwrap().rights.to_string();
    assert_eq!(rights(find(&accounts, "alice").await), "exec");
    assert_eq!(rights(find(&accounts, "bob").await), "read,write");
    assert_eq!(rights(find(&accounts, "carol").await), "shell");
    assert!(find(&accounts, "# people").await.is_none());
}

#[tokio::test]
async fn svc_b17_bad_lines_refuse_the_file_and_name_themselves() {
    for (line, error) in [
        ("a|b|c|d", LineError::Fields),
        ("|x", LineError::BlankName),
        ("a|", LineError::Secret(SecretError::Blank)),
        ("alice|x", LineError::Duplicate { first: 1 }),
        ("good|bye", LineError::Sentinel),
    ] {
        let folder = Folder::with(format!("alice|secret\r\n\r\n{line}\r\n"));
        let problem = folder.open().unwrap_err();
        assert_eq!(problem, AccountsFileProblem::Line { line: 3, error });
    }
    let folder = Folder::with("a|b|c");
    assert!(matches!(
        folder.open(),
        Err(AccountsFileProblem::Line {
            line: 1,
            error: LineError::Right(_)
        })
    ));
}

#[tokio::test]
async fn svc_b17_only_a_plain_file_of_moderate_size_is_read() {
    let folder = Folder::new();
    let missing = AccountsFileProblem::Io(std::io::ErrorKind::NotFound);
    assert_eq!(folder.open().unwrap_err(), missing);

    assert!(
        Command::new("mkfifo")
            .arg(&folder.file)
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(folder.open().unwrap_err(), AccountsFileProblem::NotAFile);
    fs::remove_file(&folder.file).unwrap();

    fs::create_dir(&folder.file).unwrap();
    assert_eq!(folder.open().unwrap_err(), AccountsFileProblem::NotAFile);
    fs::remove_dir(&folder.file).unwrap();

    File::create(&folder.file)
        .unwrap()
        .set_len(1 << 30)
        .unwrap();
    let start = Instant::now();
    assert_eq!(folder.open().unwrap_err(), AccountsFileProblem::TooLarge);
    assert!(start.elapsed() < Duration::from_secs(1), "not read first");
    fs::remove_file(&folder.file).unwrap();

    // A link is the operator's way to keep the file elsewhere.
    let elsewhere = Folder::with("alice|secret");
    symlink(&elsewhere.file, &folder.file).unwrap();
    assert!(find(&folder.open().unwrap(), "alice").await.is_some());
    fs::remove_file(&elsewhere.file).unwrap();
    assert_eq!(folder.open().unwrap_err(), missing);
}

#[tokio::test]
async fn svc_b17_a_file_that_everybody_can_write_is_refused() {
    let folder = Folder::with("alice|secret");
    for (mode, accepted) in [
        (0o666, false),
        (0o602, false),
        (0o644, true),
        (0o640, true),
        (0o600, true),
    ] {
        folder.set_mode(mode);
        match folder.open() {
            Ok(_) => assert!(accepted, "{mode:o}"),
            Err(problem) => {
                assert!(!accepted, "{mode:o}");
                assert_eq!(problem, AccountsFileProblem::Writable);
            }
        }
    }
}

#[tokio::test]
async fn a_changed_file_is_read_again() {
    let folder = Folder::with("alice|old");
    let accounts = Arc::new(folder.open().unwrap());
    assert!(may_log_in(&accounts, "alice", "old").await);
    for round in 0..20 {
        folder.replace(&format!("alice|new-{round}"));
        assert!(may_log_in(&accounts, "alice", &format!("new-{round}")).await);
    }
    assert!(!may_log_in(&accounts, "alice", "old").await);
    // Written in place, and by the edits of the command line.
    fs::write(&folder.file, "alice|in-place\nbob|x").unwrap();
    assert!(may_log_in(&accounts, "alice", "in-place").await);
    edit::passwd(&folder.file, "alice", &password("edited"), cheap()).unwrap();
    assert!(may_log_in(&accounts, "alice", "edited").await);
    edit::remove(&folder.file, "bob").unwrap();
    assert!(!may_log_in(&accounts, "bob", "x").await);
}

#[tokio::test]
async fn svc_b16_svc_b17_a_refused_file_changes_nothing() {
    let folder = Folder::with("alice|secret");
    let accounts = Arc::new(folder.open().unwrap());
    for bad in [
        "alice|new\nbob|$argon2id$v=19$m=4194304,t=1,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEg",
        "alice|new\nbob|$argon2id$v=19$m=8,t=1000000000,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEg",
        "alice|new\nbob|$argon2id$v=19$m=8,t=1,p=16777216$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEg",
        "alice|new\nbob|$argon2id$v=19$m=8,t=1,p=1",
        "alice|new\nbob|$md5$x",
        "alice|new\nbob|",
        "alice",
    ] {
        folder.replace(bad);
        for _ in 0..2 {
            assert!(may_log_in(&accounts, "alice", "secret").await, "{bad}");
            assert!(!may_log_in(&accounts, "alice", "new").await, "{bad}");
        }
    }
    folder.replace("alice|new");
    folder.set_mode(0o666);
    assert!(may_log_in(&accounts, "alice", "secret").await);
    fs::remove_file(&folder.file).unwrap();
    assert!(may_log_in(&accounts, "alice", "secret").await);
    // And what is good again counts again.
    folder.replace("alice|newest");
    assert!(may_log_in(&accounts, "alice", "newest").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn svc_b17_a_file_half_written_is_not_read() {
    let old = "alice|secret|read\n";
    let new = "# a long line that is written first\nalice|another secret|write\n";
    let folder = Folder::with(old);
    let accounts = folder.open().unwrap();
    let file = folder.file.clone();
    let writer = std::thread::spawn(move || {
        // Slowly and in place; cut where the line is an account all the same.
        let mut file = OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(file)
            .unwrap();
        let cut = new.find("other").unwrap();
        for part in [&new[..10], &new[10..cut], &new[cut..]] {
            std::thread::sleep(Duration::from_millis(10));
            file.write_all(part.as_bytes()).unwrap();
        }
    });
    let mut seen = Vec::new();
    let start = Instant::now();
    while seen.last().is_none_or(|last| last != "write") {
        let alice = find(&accounts, "alice").await.expect("alice is never gone");
        seen.push(alice.rights.to_string());
        assert!(start.elapsed() < Duration::from_secs(10));
    }
    writer.join().unwrap();
    seen.dedup();
    assert!(
        seen == ["read", "write"] || seen == ["write"],
        "half a file was read: {seen:?}"
    );
}

#[test]
fn edits_keep_everything_else() {
    let text =
        "\u{feff}# staff\r\n\r\nalice|one|read\r\n# guests\r\nbob|two|exec, read\r\ncarol|three";
    let folder = Folder::with(text);
    folder.set_mode(0o640);

    edit::passwd(&folder.file, "bob", &password("new"), cheap()).unwrap();
    let edited = folder.text();
    let (before, rest) = edited.split_once("bob|").unwrap();
    assert_eq!(
        before,
        "\u{feff}# staff\r\n\r\nalice|one|read\r\n# guests\r\n"
    );
    let (hash, after) = rest.split_once('|').unwrap();
    assert!(hash.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{hash}");
    assert_eq!(after, "exec, read\r\ncarol|three");

    edit::remove(&folder.file, "bob").unwrap();
    let removed = "\u{feff}# staff\r\n\r\nalice|one|read\r\n# guests\r\ncarol|three";
    assert_eq!(folder.text(), removed);

    edit::add(&folder.file, "dave", &password("x"), None, cheap()).unwrap();
    let added = folder.text();
    let line = added
        .strip_prefix(&format!("{removed}\r\ndave|$argon2id$"))
        .unwrap();
    assert!(line.ends_with("\r\n") && !line.contains('|'), "{line:?}");

    assert_eq!(edit::hash_in_place(&folder.file, cheap()), Ok(2));
    let hashed = folder.text();
    assert!(
        !hashed.contains("one") && !hashed.contains("three"),
        "{hashed}"
    );
    assert!(
        hashed.starts_with("\u{feff}# staff\r\n\r\nalice|$argon2id$"),
        "{hashed}"
    );
    assert_eq!(edit::hash_in_place(&folder.file, cheap()), Ok(0));
    assert_eq!(folder.text(), hashed);

    let entries = edit::list(&folder.file, [Right::Write].into()).unwrap();
    let entries: Vec<_> = entries
        .iter()
        .map(|entry| format!("{} {} {}", entry.name, entry.rights, entry.hashed))
        .collect();
    assert_eq!(
        entries,
        ["alice read true", "carol write true", "dave write true"]
    );

    let mode = folder.file.metadata().unwrap().mode() & 0o7777;
    assert_eq!(mode, 0o640, "the mode stays");
    folder.assert_no_leftovers();
}

#[test]
fn a_new_file_is_private_and_keeps_its_owner() {
    let folder = Folder::new();
    edit::add(&folder.file, "alice", &password("x"), None, cheap()).unwrap();
    let metadata = folder.file.metadata().unwrap();
    assert_eq!(metadata.mode() & 0o7777, 0o600);
    if rustix::process::getuid().is_root() {
        std::os::unix::fs::chown(&folder.file, Some(1234), Some(4321)).unwrap();
        edit::add(&folder.file, "bob", &password("x"), None, cheap()).unwrap();
        let metadata = folder.file.metadata().unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (1234, 4321));
    } else {
        eprintln!("SKIPPED: only root can give files away");
    }
    folder.assert_no_leftovers();
}

#[test]
fn a_link_to_the_file_stays_a_link() {
    let (folder, elsewhere) = (Folder::new(), Folder::with("alice|x"));
    symlink(&elsewhere.file, &folder.file).unwrap();
    edit::add(&folder.file, "bob", &password("x"), None, cheap()).unwrap();
    assert!(folder.file.symlink_metadata().unwrap().is_symlink());
    assert!(elsewhere.text().contains("\nbob|$argon2id$"));
}

#[test]
fn edits_that_make_no_sense_change_nothing() {
    let text = "alice|one|read\n";
    let folder = Folder::with(text);
    let (file, x) = (&folder.file, password("x"));
    let add = |name: &str, with: &Password| edit::add(file, name, with, None, cheap());
    assert_eq!(add("alice", &x), Err(EditError::Exists));
    assert_eq!(
        edit::passwd(file, "bob", &x, cheap()),
        Err(EditError::Missing)
    );
    assert_eq!(edit::remove(file, "bob"), Err(EditError::Missing));
    assert_eq!(
        add("bob", &password("")),
        Err(EditError::Secret(SecretError::Blank))
    );
    for name in ["", " ", "a|b", "#a", "a\nb", "a\u{202e}b", " a"] {
        assert!(matches!(add(name, &x), Err(EditError::Name(_))), "{name:?}");
    }
    let none = edit::add(file, "bob", &x, Some(Rights::NONE), cheap());
    assert_eq!(none, Err(EditError::NoRights));
    assert_eq!(folder.text(), text);

    // A file that a server would refuse is left for a person to look at.
    let broken = Folder::with("alice|one\nbob\n");
    let problem = AccountsFileProblem::Line {
        line: 2,
        error: LineError::NoSecret,
    };
    match edit::remove(&broken.file, "alice") {
        Err(EditError::File(error)) => assert_eq!(*error.problem(), problem),
        other => panic!("{other:?}"),
    }
    assert_eq!(broken.text(), "alice|one\nbob\n");
    folder.assert_no_leftovers();
}

#[test]
fn svc_b27_the_sentinel_is_no_account() {
    let folder = Folder::with("alice|one\n");
    let bye = password("bye");
    let added = edit::add(&folder.file, "good", &bye, None, cheap());
    assert_eq!(added, Err(EditError::Name(LineError::Sentinel)));
    edit::add(&folder.file, "good", &password("other"), None, cheap()).unwrap();
    let set = edit::passwd(&folder.file, "good", &bye, cheap());
    assert_eq!(set, Err(EditError::Name(LineError::Sentinel)));
    edit::passwd(&folder.file, "alice", &bye, cheap()).unwrap();
}

#[test]
fn of_two_edits_at_once_one_waits_outside_and_none_is_lost() {
    let folder = Folder::with("alice|one\n");
    let held = File::open(&folder.file).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    assert_eq!(edit::remove(&folder.file, "alice"), Err(EditError::Busy));
    drop(held);

    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let file = folder.file.clone();
            std::thread::spawn(move || {
                let start = Instant::now();
                for number in 0..10 {
                    let name = format!("user-{thread}-{number}");
                    while let Err(error) = edit::add(&file, &name, &password("x"), None, cheap()) {
                        assert_eq!(error, EditError::Busy);
                        assert!(start.elapsed() < Duration::from_secs(20));
                        std::thread::yield_now();
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let entries = edit::list(&folder.file, Rights::NONE).unwrap();
    assert_eq!(entries.len(), 81, "no edit is lost");
    folder.assert_no_leftovers();
}

#[test]
fn svc_b19_errors_and_debug_texts_hold_no_password() {
    let folder = Folder::with("alice|hunter2\nbob|hunter2|hunter2|hunter2\n");
    let error = AccountsFile::open(&folder.file, Rights::NONE).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter"), "{error}");
    let error = edit::remove(&folder.file, "alice").unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter"), "{error}");
    folder.replace("alice|hunter2\n");
    let accounts = folder.open().unwrap();
    assert!(!format!("{accounts:?}").contains("hunter"));
}
