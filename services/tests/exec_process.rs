//! Runs real commands, and looks for what they leave behind.
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::future::Future;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::pin::Pin;
use std::sync::RwLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use services::exec::{
    Command, CommandError, Ended, Event, Limits, Outcome, Output, ProcessSpawner, Running, Setup,
    Signal, SignalError, SpawnError, Spawner, mark_inherited_descriptors_close_on_exec,
};
use tokio::io::AsyncWriteExt;
use tokio::time::sleep;

/// Held for writing by tests that count what this whole process has open.
static ALONE: RwLock<()> = RwLock::new(());

/// Runs a test on two threads and bounds it in time.
fn run(test: impl Future<Output = ()> + Send + 'static) {
    let _together = ALONE.read().unwrap_or_else(|error| error.into_inner());
    run_alone(test);
}

fn run_alone(test: impl Future<Output = ()> + Send + 'static) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let bounded = tokio::time::timeout(Duration::from_secs(30), tokio::spawn(test));
        bounded.await.expect("in time").unwrap();
    });
}

/// A spawner whose commands carry a mark of this test, with which everything they start is found.
struct Marked {
    spawner: ProcessSpawner,
    mark: String,
}

impl Marked {
    fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let mark = format!("{}-{count}", std::process::id());
        Self {
            spawner: ProcessSpawner::new("/").variable("TEST_MARK", &mark),
            mark,
        }
    }

    async fn shell(&self, line: &str, setup: Setup) -> Running {
        self.spawner
            .spawn(Command::shell(line), setup)
            .await
            .unwrap()
    }

    /// The living processes of this test, whatever group or session they are in.
    fn living(&self) -> Vec<String> {
        let wanted = format!("TEST_MARK={}", self.mark);
        processes()
            .filter(|(_, state, _)| state != "Z")
            .filter(|(pid, _, _)| {
                let variables = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                variables
                    .split(|byte| *byte == 0)
                    .any(|variable| variable == wanted.as_bytes())
            })
            .map(|(pid, state, name)| format!("{pid} {name} {state}"))
            .collect()
    }

    /// Fails unless everything is gone within the time.
    async fn all_gone_within(&self, time: Duration, what: &str) {
        let start = Instant::now();
        loop {
            let living = self.living();
            if living.is_empty() {
                return;
            }
            assert!(start.elapsed() < time, "{what}: {living:?} still alive");
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn some_alive(&self, count: usize) {
        let start = Instant::now();
        while self.living().len() < count {
            assert!(start.elapsed() < Duration::from_secs(5), "nothing started");
            sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Every process: its number, state and name.
fn processes() -> impl Iterator<Item = (u32, String, String)> {
    fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (front, back) = stat.rsplit_once(')')?;
        let name = front.split_once('(')?.1.to_owned();
        let state = back.split_whitespace().next()?.to_owned();
        Some((pid, state, name))
    })
}

/// Our own children that have ended and were not collected.
fn zombies() -> usize {
    let own = std::process::id().to_string();
    processes()
        .filter(|(pid, state, _)| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let parent = stat
                .rsplit_once(')')
                .and_then(|(_, back)| back.split_whitespace().nth(1));
            state == "Z" && parent == Some(&own)
        })
        .count()
}

struct Finished {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    ended: Ended,
}

impl Finished {
    fn out(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }
}

async fn finish(mut running: Running) -> Finished {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    loop {
        match running.next().await.expect("an end is reported") {
            Event::Output(piece) => {
                assert!(!piece.bytes().is_empty() && piece.bytes().len() <= 64 * 1024);
                match piece {
                    Output::Stdout(bytes) => stdout.extend_from_slice(&bytes),
                    Output::Stderr(bytes) => stderr.extend_from_slice(&bytes),
                }
            }
            Event::Ended(ended) => {
                assert_eq!(ended.output_bytes, (stdout.len() + stderr.len()) as u64);
                assert_eq!(running.next().await, None);
                return Finished {
                    stdout,
                    stderr,
                    ended,
                };
            }
        }
    }
}

async fn shell(line: &str) -> Finished {
    finish(Marked::new().shell(line, Setup::new()).await).await
}

async fn arguments<const N: usize>(
    program: &str,
    arguments: [&str; N],
) -> Result<Running, SpawnError> {
    ProcessSpawner::new("/")
        .spawn(Command::arguments(program, arguments), Setup::new())
        .await
}

fn limited(limits: Limits) -> Setup {
    Setup::new().limits(limits)
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn svc_c1_the_two_streams_are_kept_apart() {
    run(async {
        let last = 2_500_000;
        let line = format!("seq 1 {last} & seq {last} -1 1 >&2; wait");
        let finished = shell(&line).await;
        let mut up = blake3::Hasher::new();
        let mut down = blake3::Hasher::new();
        for number in 1..=last {
            up.update(format!("{number}\n").as_bytes());
            down.update(format!("{}\n", last + 1 - number).as_bytes());
        }
        assert_eq!(blake3::hash(&finished.stdout), up.finalize());
        assert_eq!(blake3::hash(&finished.stderr), down.finalize());
        assert_eq!(finished.ended.outcome, Outcome::Exit(0));
        assert!(!finished.ended.held_output);
    });
}

#[test]
fn svc_c2_every_exit_code_arrives_as_it_is() {
    run(async {
        for code in 0..=255 {
            let finished = shell(&format!("exit {code}")).await;
            assert_eq!(finished.ended.outcome, Outcome::Exit(code));
        }
    });
}

#[test]
fn svc_c2_every_deadly_signal_arrives_by_its_name() {
    run(async {
        // Whoever started the tests may have signals ignored, and commands inherit that.
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let ignored = u64::from_str_radix(ignored.unwrap().trim(), 16).unwrap();
        let mut tried = 0;
        for (number, name) in [
            (1, "SIGHUP"),
            (2, "SIGINT"),
            (3, "SIGQUIT"),
            (4, "SIGILL"),
            (5, "SIGTRAP"),
            (6, "SIGABRT"),
            (7, "SIGBUS"),
            (8, "SIGFPE"),
            (9, "SIGKILL"),
            (10, "SIGUSR1"),
            (11, "SIGSEGV"),
            (12, "SIGUSR2"),
            (13, "SIGPIPE"),
            (14, "SIGALRM"),
            (15, "SIGTERM"),
            (24, "SIGXCPU"),
            (25, "SIGXFSZ"),
            (26, "SIGVTALRM"),
            (27, "SIGPROF"),
            (29, "SIGIO"),
            (30, "SIGPWR"),
            (31, "SIGSYS"),
            (34, "SIGRTMIN"),
            (40, "SIGRTMIN+6"),
        ] {
            if number != 13 && ignored & (1 << (number - 1)) != 0 {
                continue;
            }
            let finished = shell(&format!("kill -{number} $$; sleep 5")).await;
            assert_eq!(finished.ended.outcome, Outcome::Signal(name.into()));
            tried += 1;
        }
        assert!(tried > 15);
    });
}

#[test]
fn svc_c2_a_core_dump_changes_nothing() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let running = Marked::new()
            .shell(
                "ulimit -c unlimited; kill -SEGV $$",
                Setup::new().working_directory(folder.path()),
            )
            .await;
        let finished = finish(running).await;
        assert_eq!(finished.ended.outcome, Outcome::Signal("SIGSEGV".into()));
    });
}

#[test]
fn svc_c3_late_output_is_waited_for() {
    run(async {
        let line = "exec >&-; sleep 0.5; head -c 1048576 /dev/zero >&2; sleep 0.5; exit 44";
        let finished = shell(line).await;
        assert_eq!(finished.stderr.len(), 1 << 20);
        assert_eq!(finished.ended.outcome, Outcome::Exit(44));
    });
}

#[test]
fn svc_c4_a_background_job_does_not_hold_the_result() {
    run(async {
        for line in [
            "sleep 60 & echo done",
            "(trap '' TERM; while :; do sleep 0.1; done) & echo done",
            "setsid sleep 60 & sleep 0.2; echo done",
        ] {
            let marked = Marked::new();
            let start = Instant::now();
            let limits = Limits::new().grace(SECOND / 2);
            let finished = finish(marked.shell(line, limited(limits)).await).await;
            assert!(start.elapsed() < SECOND, "{:?}", start.elapsed());
            assert_eq!(finished.out(), "done\n");
            assert_eq!(finished.ended.outcome, Outcome::Exit(0));
            assert!(finished.ended.held_output, "{line}");
            marked.all_gone_within(2 * SECOND, line).await;
        }
    });
}

#[test]
fn svc_c4_a_background_job_that_writes_without_end_does_not_hold_the_result_either() {
    run(async {
        let marked = Marked::new();
        let start = Instant::now();
        let running = marked
            .shell("yes & sleep 0.1; echo done >&2", Setup::new())
            .await;
        let finished = finish(running).await;
        assert!(start.elapsed() < 2 * SECOND, "{:?}", start.elapsed());
        assert_eq!(finished.stderr, b"done\n");
        assert!(finished.ended.held_output);
        marked.all_gone_within(2 * SECOND, "yes").await;
    });
}

#[test]
fn svc_c4_a_silent_background_job_holds_nothing_and_goes_too() {
    run(async {
        let marked = Marked::new();
        let line = "sleep 60 >/dev/null 2>&1 & echo done";
        let finished = finish(marked.shell(line, Setup::new()).await).await;
        assert_eq!(finished.out(), "done\n");
        assert!(!finished.ended.held_output);
        marked.all_gone_within(2 * SECOND, line).await;
    });
}

#[test]
fn svc_c4_a_background_job_may_stay_where_that_is_the_policy() {
    run(async {
        let marked = Marked::new();
        let limits = Limits::new().keep_background();
        let line = "sleep 2.5 & echo done";
        let mut running = marked.shell(line, limited(limits)).await;
        while !matches!(running.next().await, Some(Event::Ended(_))) {}
        drop(running);
        sleep(SECOND + SECOND / 2).await;
        assert_eq!(marked.living().len(), 1);
        marked.all_gone_within(3 * SECOND, line).await;
    });
}

#[test]
fn what_a_background_job_still_says_soon_after_the_end_is_heard() {
    run(async {
        let finished = shell("(sleep 0.05; echo late) & echo done").await;
        assert_eq!(finished.out(), "done\nlate\n");
        assert!(!finished.ended.held_output);
    });
}

#[test]
fn svc_c5_nothing_outlives_a_caller_that_is_gone() {
    let kinds = [
        ("plain", "sleep 100"),
        ("exec", "exec sleep 100"),
        ("grandchild", "sh -c 'sleep 100; :'; :"),
        ("pipeline", "sleep 100 | sleep 100 | cat; :"),
        ("background", "sleep 100 & sleep 100 & wait"),
        ("nohup", "nohup sleep 100 >/dev/null 2>&1 & nohup sleep 100"),
        (
            "ignores TERM",
            "trap '' TERM HUP INT; while :; do sleep 0.1; done",
        ),
        (
            "grandchild ignores TERM",
            "(trap '' TERM; while :; do sleep 0.1; done) & sleep 100",
        ),
        ("stopped", "kill -STOP $$; sleep 100"),
        (
            "stopped grandchild",
            "sh -c 'trap \"\" TERM; kill -STOP $$' & wait",
        ),
        ("floods", "yes"),
        ("busy", "while :; do :; done"),
        ("reads", "cat"),
        ("setsid", "setsid -w sleep 100"),
        ("double fork", "(setsid sleep 100 &) & sleep 100"),
        (
            "double fork ignores TERM",
            "(setsid sh -c 'trap \"\" TERM; while :; do sleep 0.1; done' &) & sleep 100",
        ),
        (
            "forks on TERM",
            "trap 'sleep 100 & exit' TERM; sleep 100 & wait",
        ),
    ];
    run(async move {
        let mut cases = tokio::task::JoinSet::new();
        for (kind, line) in kinds {
            for delay in [0, 3, 10, 40, 150] {
                cases.spawn(async move {
                    let marked = Marked::new();
                    let setup = limited(Limits::new().grace(SECOND / 2)).pipe_stdin();
                    let mut running = marked.shell(line, setup).await;
                    if delay > 0 {
                        let read = async { while running.next().await.is_some() {} };
                        let _ = tokio::time::timeout(Duration::from_millis(delay), read).await;
                    }
                    drop(running);
                    let what = format!("{kind} after {delay} ms");
                    marked.all_gone_within(2 * SECOND, &what).await;
                });
                if cases.len() >= 8 {
                    cases.join_next().await.unwrap().unwrap();
                }
            }
        }
        while let Some(case) = cases.join_next().await {
            case.unwrap();
        }
    });
}

#[test]
fn svc_c5_a_start_that_is_cancelled_leaves_nothing() {
    run(async {
        let marked = Marked::new();
        for polls in 0..40 {
            let start = marked
                .spawner
                .spawn(Command::shell("sleep 100"), Setup::new());
            let time = Duration::from_micros(polls * 50);
            let _ = tokio::time::timeout(time, start).await;
        }
        sleep(SECOND / 5).await;
        marked.all_gone_within(2 * SECOND, "cancelled start").await;
    });
}

#[test]
fn svc_c5_nothing_outlives_the_runtime() {
    let _together = ALONE.read().unwrap_or_else(|error| error.into_inner());
    let marked = Marked::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let lines = ["sleep 100", "trap '' TERM; while :; do sleep 0.1; done"];
    let kept = runtime.block_on(async {
        let mut kept = Vec::new();
        for line in lines {
            kept.push(marked.shell(line, Setup::new()).await);
        }
        marked.some_alive(3).await;
        kept
    });
    drop(runtime);
    run_alone(async move {
        marked.all_gone_within(SECOND, "runtime gone").await;
        for running in kept {
            let finished = finish(running).await;
            assert_eq!(finished.ended.outcome.kind(), "killed");
        }
    });
}

#[test]
fn svc_c5_a_caller_that_leaves_while_the_runtime_stands_still_is_noticed_at_once() {
    let _together = ALONE.read().unwrap_or_else(|error| error.into_inner());
    let marked = Marked::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let running = runtime.block_on(marked.shell("exec sleep 100", Setup::new()));
    drop(running);
    std::thread::sleep(SECOND / 2);
    assert_eq!(marked.living(), [""; 0]);
}

#[test]
fn svc_c9_the_time_limit_ends_what_will_not() {
    run(async {
        let mut cases = tokio::task::JoinSet::new();
        for (line, ignores) in [
            ("sleep 1000", false),
            ("trap '' TERM; while :; do sleep 0.05; done", true),
            ("while :; do :; done", false),
            ("kill -STOP $$", false),
            ("trap 'exit 0' TERM; sleep 1000 & wait", false),
        ] {
            cases.spawn(async move {
                let marked = Marked::new();
                let grace = SECOND / 2;
                let limits = Limits::new().timeout(SECOND).grace(grace);
                let start = Instant::now();
                let finished = finish(marked.shell(line, limited(limits)).await).await;
                let took = start.elapsed();
                let due = if ignores { SECOND + grace } else { SECOND };
                assert_eq!(finished.ended.outcome, Outcome::TimedOut, "{line}");
                assert!(
                    took >= due && took < due + SECOND / 2,
                    "{line}: {took:?} instead of {due:?}"
                );
                marked.all_gone_within(grace + SECOND / 4, line).await;
            });
        }
        while let Some(case) = cases.join_next().await {
            case.unwrap();
        }
    });
}

#[test]
fn svc_c10_exactly_the_allowed_output_arrives() {
    run(async {
        let marked = Marked::new();
        let setup = limited(Limits::new().max_output(1 << 20));
        let finished = finish(marked.shell("yes", setup).await).await;
        assert_eq!(finished.ended.outcome, Outcome::OutputCap);
        assert_eq!(finished.stdout, b"y\n".repeat(1 << 19));
        marked.all_gone_within(SECOND, "yes").await;

        let setup = limited(Limits::new().max_output(1000));
        let line = "head -c 600 /dev/zero; head -c 400 /dev/zero >&2";
        let finished = finish(marked.shell(line, setup.clone()).await).await;
        assert_eq!(finished.ended.outcome, Outcome::Exit(0));
        assert_eq!(finished.ended.output_bytes, 1000);

        let line = "head -c 600 /dev/zero; head -c 401 /dev/zero >&2";
        let finished = finish(marked.shell(line, setup).await).await;
        assert_eq!(finished.ended.outcome, Outcome::OutputCap);
        assert_eq!(finished.ended.output_bytes, 1000);
    });
}

#[test]
fn svc_c10_a_command_that_was_quicker_than_we_is_told_the_same() {
    run(async {
        for _ in 0..50 {
            let setup = limited(Limits::new().max_output(10));
            let running = Marked::new().shell("printf 12345678901", setup).await;
            let finished = finish(running).await;
            assert_eq!(finished.out(), "1234567890");
            assert_eq!(finished.ended.outcome, Outcome::OutputCap);
        }
    });
}

#[test]
fn svc_c11_whoever_does_not_read_holds_the_command_back() {
    run(async {
        let marked = Marked::new();
        let running = marked.shell("exec yes", Setup::new()).await;
        sleep(SECOND).await;
        assert_eq!(marked.living().len(), 1, "held back, not ended");
        running.kill("enough");
        let finished = finish(running).await;
        assert_eq!(finished.ended.outcome, Outcome::Killed("enough".into()));
        // What waited here, what was read once we did, and what stood in the pipe.
        let bytes = finished.ended.output_bytes;
        assert!((1..=12 * 64 * 1024).contains(&bytes), "{bytes} bytes");
    });
}

#[test]
fn svc_c11_limits_are_kept_while_nobody_reads() {
    run(async {
        let marked = Marked::new();
        let limits = Limits::new().timeout(SECOND / 5);
        let running = marked.shell("yes", limited(limits)).await;
        sleep(SECOND / 5).await;
        marked.all_gone_within(SECOND, "unread").await;
        assert_eq!(finish(running).await.ended.outcome, Outcome::TimedOut);
    });
}

#[test]
fn svc_c11_the_end_does_not_wait_for_a_slow_reader() {
    run(async {
        let marked = Marked::new();
        // All of it fits into the pipe, and more pieces than wait here.
        let line =
            "for i in 1 2 3 4 5 6 7 8; do head -c 5000 /dev/zero; sleep 0.02; done; sleep 60 &";
        let running = marked.shell(line, Setup::new()).await;
        marked.some_alive(1).await;
        sleep(SECOND).await;
        marked.all_gone_within(SECOND, "slow reader").await;
        let finished = finish(running).await;
        assert_eq!(finished.ended.outcome, Outcome::Exit(0));
        assert_eq!(finished.stdout.len(), 40_000);
        assert!(finished.ended.held_output);
    });
}

#[test]
fn svc_c12_a_broken_pipe_between_two_makes_no_noise() {
    run(async {
        let finished = shell("yes | head -2000").await;
        assert_eq!(finished.stdout, b"y\n".repeat(2000));
        assert_eq!(finished.stderr, b"");
        assert_eq!(finished.ended.outcome, Outcome::Exit(0));
    });
}

#[test]
fn svc_c13_a_thousand_commands_leave_neither_zombies_nor_descriptors() {
    let _alone = ALONE.write().unwrap_or_else(|error| error.into_inner());
    run_alone(async {
        let descriptors = || fs::read_dir("/proc/self/fd").unwrap().count();
        async fn one() {
            let running = arguments("true", []).await.unwrap();
            assert_eq!(finish(running).await.ended.outcome, Outcome::Exit(0));
        }
        one().await;
        let start = Instant::now();
        while zombies() > 0 {
            assert!(start.elapsed() < 5 * SECOND, "left by other tests");
            sleep(SECOND / 20).await;
        }
        let before = descriptors();
        let mut cases = tokio::task::JoinSet::new();
        for _ in 0..1000 {
            if cases.len() >= 50 {
                cases.join_next().await.unwrap().unwrap();
            }
            cases.spawn(one());
        }
        while let Some(case) = cases.join_next().await {
            case.unwrap();
        }
        // Who has heard of the end finds nothing left, without waiting.
        assert_eq!(zombies(), 0);
        sleep(SECOND / 10).await;
        let after = descriptors();
        assert!(after <= before + 2, "{before} descriptors, now {after}");
    });
}

#[test]
fn svc_c16_a_command_has_three_descriptors() {
    let _alone = ALONE.write().unwrap_or_else(|error| error.into_inner());
    run_alone(async {
        /// The descriptors of a command, without the one it lists them with.
        async fn listed() -> BTreeSet<String> {
            let running = arguments("ls", ["-l", "/proc/self/fd"]).await.unwrap();
            let finished = finish(running).await;
            let lines = finished.out().lines();
            lines
                .filter_map(|line| line.split_once(" -> "))
                .filter(|(_, target)| !target.starts_with("/proc/"))
                .map(|(front, _)| front.rsplit_once(' ').unwrap().1.to_owned())
                .collect()
        }
        let file = fs::File::open("/dev/zero").unwrap();
        // A copy without the mark, as whoever started us may have left it.
        let leaked = rustix::io::dup(&file).unwrap();
        assert!(listed().await.len() > 3, "the leak is seen before");
        mark_inherited_descriptors_close_on_exec();
        let mut cases = tokio::task::JoinSet::new();
        for _ in 0..100 {
            cases.spawn(listed());
        }
        while let Some(found) = cases.join_next().await {
            let found: Vec<_> = found.unwrap().into_iter().collect();
            assert_eq!(found, ["0", "1", "2"]);
        }
        drop(leaked);
    });
}

#[test]
fn svc_c17_nothing_of_our_environment_arrives() {
    run(async {
        assert!(std::env::var_os("PATH").is_some() && std::env::vars().count() > 5);
        let spawner = ProcessSpawner::new("/tmp")
            .variable("SITE", "a b")
            .accept_variable("TZ");
        let setup = Setup::new()
            .variable("TZ", "Asia/Shanghai")
            .variable("LD_PRELOAD", "/tmp/x.so")
            .variable("BASH_ENV", "/tmp/x")
            .variable("PATH", "/tmp")
            .variable("IFS", "/")
            .variable("FRAMEWRIGHT_COMMAND", "x")
            .variable("SHELLSHOCK", "() { :;}; echo vulnerable")
            .variable("a=b", "c");
        let running = spawner
            .spawn(Command::arguments("env", [""; 0]), setup)
            .await
            .unwrap();
        let finished = finish(running).await;
        let mut lines: Vec<_> = finished.out().lines().collect();
        lines.sort_unstable();
        let names: Vec<_> = lines
            .iter()
            .map(|line| line.split_once('=').unwrap().0)
            .collect();
        assert_eq!(
            names,
            [
                "FRAMEWRIGHT_COMMAND",
                "HOME",
                "LANG",
                "LOGNAME",
                "PATH",
                "PWD",
                "SHELL",
                "SITE",
                "TZ",
                "USER"
            ]
        );
        for line in [
            "HOME=/tmp",
            "LANG=C.UTF-8",
            "PATH=/usr/local/bin:/usr/bin:/bin",
            "SITE=a b",
            "TZ=Asia/Shanghai",
        ] {
            assert!(lines.contains(&line), "{line} in {lines:?}");
        }
        assert!(!lines.contains(&"FRAMEWRIGHT_COMMAND=x"));
    });
}

#[test]
fn svc_c18_arguments_arrive_literally() {
    run(async {
        let words = [
            "; id",
            "$(id)",
            "`id`",
            "a\nb",
            "*",
            "-rf",
            "--",
            "",
            " ",
            "'",
            "\"",
            "\\",
            "$HOME",
            "~",
            "&",
            "|",
            ">x",
            "#",
            "中文",
            "\u{7f}\u{1b}[2J",
        ];
        let spawner = ProcessSpawner::new("/");
        let command = Command::arguments("printf", [&["[%s]"], &words[..]].concat());
        let finished = finish(spawner.spawn(command, Setup::new()).await.unwrap()).await;
        let expected: String = words.iter().map(|word| format!("[{word}]")).collect();
        assert_eq!(finished.out(), expected);
    });
}

#[test]
fn svc_c18_a_nul_byte_starts_nothing() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let witness = folder.path().join("witness");
        let witness_name = witness.to_str().unwrap();
        let spawner = ProcessSpawner::new(folder.path());
        for (command, expected) in [
            (
                Command::arguments("touch", [witness_name, "x\0y"]),
                CommandError::Nul { argument: 2 },
            ),
            (
                Command::arguments("touch\0", [witness_name]),
                CommandError::Nul { argument: 0 },
            ),
            (Command::shell("touch witness #\0"), CommandError::NulInLine),
        ] {
            match spawner.spawn(command, Setup::new()).await {
                Err(SpawnError::Command(error)) => assert_eq!(error, expected),
                other => panic!("{other:?}"),
            }
        }
        assert!(!witness.exists());
    });
}

#[test]
fn svc_c18_a_shell_line_is_never_taken_for_options() {
    run(async {
        let finished = shell("-x").await;
        assert_eq!(finished.ended.outcome, Outcome::Exit(127));
        let finished = shell("--help").await;
        assert_eq!(finished.ended.outcome, Outcome::Exit(127));
    });
}

#[test]
fn svc_c20_a_folder_that_cannot_be_is_an_error_before_the_start() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let gone = folder.path().join("gone");
        let locked = folder.path().join("locked");
        fs::create_dir(&locked).unwrap();
        fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();

        let mut impossible = vec![file, gone];
        // Nothing is locked to the superuser.
        if !rustix::process::geteuid().is_root() {
            impossible.push(locked);
        }
        for bad in impossible {
            let command = Command::arguments("true", [""; 0]);
            match ProcessSpawner::new(&bad).spawn(command, Setup::new()).await {
                Err(SpawnError::WorkingDirectory { folder, .. }) => assert_eq!(folder, bad),
                other => panic!("{bad:?}: {other:?}"),
            }
        }
        let spawner = ProcessSpawner::new(folder.path());
        let real = folder.path().canonicalize().unwrap();
        for (asked, found) in [
            (None, real.as_path()),
            (Some("link"), real.as_path()),
            (Some(".."), real.parent().unwrap()),
            (Some("/"), Path::new("/")),
        ] {
            let mut setup = Setup::new();
            setup.working_directory = asked.map(Into::into);
            let command = Command::arguments("pwd", ["-P"]);
            let finished = finish(spawner.spawn(command, setup).await.unwrap()).await;
            assert_eq!(finished.out().trim_end(), found.to_str().unwrap());
        }
    });
}

#[test]
fn svc_c21_odd_commands_have_a_typed_result() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str, text: &str, mode: u32| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path.into_os_string()
        };
        let long = "x".repeat(1 << 20);
        let expected: Vec<(OsString, &str, Option<u8>)> = vec![
            ("no-such-program".into(), "not-found", Some(127)),
            ("/no/such/program".into(), "not-found", Some(127)),
            ("./no-such-program".into(), "not-found", Some(127)),
            (long.clone().into(), "not-found", Some(127)),
            (format!("/{long}").into(), "not-found", Some(127)),
            (OsString::from_vec(vec![0xff, 0xfe]), "not-found", Some(127)),
            ("/etc/passwd/x".into(), "not-found", Some(127)),
            (make("lost", "#!/no/such\n", 0o755), "not-found", Some(127)),
            ("".into(), "invalid-command", None),
            ("/tmp".into(), "not-executable", Some(126)),
            (make("plain", "true\n", 0o644), "not-executable", Some(126)),
            (
                make("format", "nonsense\n", 0o755),
                "not-executable",
                Some(126),
            ),
        ];
        let spawner = ProcessSpawner::new("/");
        for (program, kind, status) in expected {
            let command = Command::arguments(program.clone(), [""; 0]);
            let error = spawner.spawn(command, Setup::new()).await.unwrap_err();
            let name = program.to_string_lossy();
            let shown = &name[..name.len().min(40)];
            assert_eq!(error.kind(), kind, "{shown}: {error:?}");
            assert_eq!(error.shell_status(), status, "{shown}");
        }
        let finished = shell("no-such-program").await;
        assert_eq!(finished.ended.outcome, Outcome::Exit(127));
        let finished = shell("").await;
        assert_eq!(finished.ended.outcome, Outcome::Exit(0));
    });
}

#[test]
fn svc_c21_arguments_beyond_the_systems_limits_have_a_typed_result() {
    run(async {
        let spawner = ProcessSpawner::new("/");
        let one = vec!["x".repeat(1 << 20)];
        let many = vec!["x".repeat(30); 100_000];
        for words in [one.clone(), many] {
            let command = Command::arguments("true", words);
            let error = spawner.spawn(command, Setup::new()).await.unwrap_err();
            assert!(matches!(error, SpawnError::TooLong), "{error:?}");
        }
        let error = spawner
            .spawn(Command::shell(one[0].clone()), Setup::new())
            .await
            .unwrap_err();
        assert!(matches!(error, SpawnError::TooLong), "{error:?}");
        let command = Command::arguments("true", vec!["x"; 50_000]);
        let finished = finish(spawner.spawn(command, Setup::new()).await.unwrap()).await;
        assert_eq!(finished.ended.outcome, Outcome::Exit(0));
        let command = Command::Arguments {
            program: "printf".into(),
            arguments: vec!["%s".into(), OsString::from_vec(vec![0xc4, 0xe3, 0xff])],
        };
        let finished = finish(spawner.spawn(command, Setup::new()).await.unwrap()).await;
        assert_eq!(finished.stdout, [0xc4, 0xe3, 0xff]);
    });
}

#[test]
fn svc_c22_what_goes_in_comes_out_and_the_end_is_seen() {
    run(async {
        let input: Vec<u8> = (0..20_000_000_u32)
            .map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        let hash = blake3::hash(&input);
        let mut running = Marked::new().shell("cat", Setup::new().pipe_stdin()).await;
        let mut stdin = running.take_stdin().unwrap();
        assert!(running.take_stdin().is_none());
        let writer = tokio::spawn(async move {
            stdin.write_all(&input).await.unwrap();
            stdin.shutdown().await.unwrap();
            stdin
        });
        // The writer is kept meanwhile: shutting it down is what ends the input.
        let finished = finish(running).await;
        drop(writer.await.unwrap());
        assert_eq!(blake3::hash(&finished.stdout), hash);
        assert_eq!(finished.ended.outcome, Outcome::Exit(0));
    });
}

#[test]
fn svc_c22_input_waits_while_the_command_does_not_read() {
    run(async {
        let line = "sleep 0.5; wc -c";
        let mut running = Marked::new().shell(line, Setup::new().pipe_stdin()).await;
        let mut stdin = running.take_stdin().unwrap();
        let input = Bytes::from(vec![0; 1_000_000]);
        let start = Instant::now();
        stdin.write_all(&input).await.unwrap();
        assert!(start.elapsed() > SECOND / 4);
        drop(stdin);
        assert_eq!(finish(running).await.out().trim(), "1000000");
    });
}

#[test]
fn svc_c22_a_command_that_does_not_read_is_no_error() {
    run(async {
        let mut running = Marked::new()
            .shell("exec <&-; echo fine", Setup::new().pipe_stdin())
            .await;
        let mut stdin = running.take_stdin().unwrap();
        let (written, finished) = tokio::join!(stdin.write_all(&[0; 5_000_000]), finish(running));
        written.unwrap();
        assert!(!stdin.is_open());
        assert_eq!(finished.out(), "fine\n");
        assert_eq!(finished.ended.outcome, Outcome::Exit(0));
    });
}

#[test]
fn svc_c22_without_a_request_for_input_its_end_is_seen_at_once() {
    run(async {
        let finished = shell("cat; readlink /proc/self/fd/0").await;
        assert_eq!(finished.out(), "/dev/null\n");
    });
}

#[test]
fn svc_c22_input_that_never_ends_is_bounded_by_the_time_limit() {
    run(async {
        let limits = Limits::new().timeout(SECOND / 5);
        let setup = limited(limits).pipe_stdin();
        let running = Marked::new().shell("cat", setup).await;
        assert_eq!(finish(running).await.ended.outcome, Outcome::TimedOut);
    });
}

#[test]
fn svc_c26_signals_reach_the_group_and_are_refused_after_the_end() {
    run(async {
        let line = "trap 'echo got; exit 3' USR1; echo ready; while :; do sleep 0.05; done";
        let mut running = Marked::new().shell(line, Setup::new()).await;
        let handle = running.handle();
        let ready = running.next().await;
        assert_eq!(ready, Some(Event::Output(Output::Stdout("ready\n".into()))));
        // The sleep of that moment gets it too, and ends by it; the shell goes by its trap.
        handle.signal(Signal::User1).unwrap();
        let finished = finish_rest(running).await;
        assert_eq!(finished.0, b"got\n");
        assert_eq!(finished.1.outcome, Outcome::Exit(3));
        assert!(matches!(
            handle.signal(Signal::Kill),
            Err(SignalError::Ended)
        ));
        handle.kill("too late");
    });
}

/// Standard output from here on, and the end.
async fn finish_rest(mut running: Running) -> (Vec<u8>, Ended) {
    let mut stdout = Vec::new();
    loop {
        match running.next().await.unwrap() {
            Event::Output(Output::Stdout(bytes)) => stdout.extend_from_slice(&bytes),
            Event::Output(_) => {}
            Event::Ended(ended) => return (stdout, ended),
        }
    }
}

#[test]
fn a_killed_command_may_have_its_last_words() {
    run(async {
        let line = "trap 'echo bye; exit 0' TERM; echo ready; sleep 100 & wait";
        let mut running = Marked::new().shell(line, Setup::new()).await;
        assert!(running.next().await.is_some());
        running.kill("the server is going down");
        running.kill("another reason");
        let (stdout, ended) = finish_rest(running).await;
        assert_eq!(stdout, b"bye\n");
        assert_eq!(
            ended.outcome,
            Outcome::Killed("the server is going down".into())
        );
    });
}

#[test]
fn svc_c29_children_of_others_are_left_alone() {
    run(async {
        let mut own: Vec<_> = (0..20)
            .map(|code| {
                std::process::Command::new("/bin/sh")
                    .args(["-c", &format!("exit {code}")])
                    .spawn()
                    .unwrap()
            })
            .collect();
        let marked = Marked::new();
        for _ in 0..20 {
            let finished = finish(marked.shell("true", Setup::new()).await).await;
            assert_eq!(finished.ended.outcome, Outcome::Exit(0));
            drop(marked.shell("sleep 100", Setup::new()).await);
        }
        marked.all_gone_within(2 * SECOND, "ours").await;
        for (code, child) in own.iter_mut().enumerate() {
            let status = child.wait().unwrap();
            assert_eq!(status.code(), Some(i32::try_from(code).unwrap()));
        }
    });
}

#[test]
fn next_loses_nothing_when_it_is_cancelled() {
    run(async {
        let mut running = Marked::new()
            .shell("seq 1 200000; sleep 0.1; seq 1 200000", Setup::new())
            .await;
        let mut bytes = 0;
        loop {
            let next = tokio::time::timeout(Duration::from_micros(50), running.next()).await;
            match next {
                Err(_) => {}
                Ok(Some(Event::Output(piece))) => bytes += piece.bytes().len() as u64,
                Ok(Some(Event::Ended(ended))) => {
                    assert_eq!(ended.output_bytes, bytes);
                    assert_eq!(bytes, 2 * 1_288_895);
                    return;
                }
                Ok(None) => panic!("an end is reported"),
            }
        }
    });
}

#[test]
fn a_command_that_runs_is_a_stream_of_events() {
    run(async {
        use futures_util::StreamExt;
        let running = Marked::new().shell("echo one; exit 4", Setup::new()).await;
        let spawned: Pin<Box<dyn futures_core::Stream<Item = Event> + Send>> = Box::pin(running);
        let events: Vec<_> = spawned.collect().await;
        assert_eq!(events.len(), 2);
        assert_eq!(events[0], Event::Output(Output::Stdout("one\n".into())));
        assert!(matches!(&events[1], Event::Ended(ended) if ended.outcome == Outcome::Exit(4)));
    });
}
