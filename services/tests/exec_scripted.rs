//! Plays scripts in place of commands.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use services::exec::{
    Command, Event, Limits, Outcome, Output, Running, Script, ScriptedSpawner, Setup, Signal,
    SignalError, SpawnError, Spawner,
};
use tokio::io::AsyncWriteExt;

fn command(program: &str) -> Command {
    Command::arguments(program, ["-a"])
}

async fn finish(mut running: Running) -> (Vec<u8>, Vec<u8>, services::exec::Ended) {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    loop {
        match running.next().await.expect("an end is reported") {
            Event::Output(Output::Stdout(bytes)) => stdout.extend_from_slice(&bytes),
            Event::Output(Output::Stderr(bytes)) => stderr.extend_from_slice(&bytes),
            Event::Ended(ended) => {
                assert_eq!(running.next().await, None);
                return (stdout, stderr, ended);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_script_is_played_step_by_step() {
    let script = Script::new()
        .stdout("one ")
        .stderr("oops")
        .pause(Duration::from_secs(3600))
        .stdout("two")
        .holds_output()
        .exit(3);
    let spawner = ScriptedSpawner::new().program("uname", script);
    let spawner: Arc<dyn Spawner> = Arc::new(spawner);
    let running = spawner
        .spawn(command("/usr/bin/uname"), Setup::new())
        .await
        .unwrap();
    let (stdout, stderr, ended) = finish(running).await;
    assert_eq!((&stdout[..], &stderr[..]), (&b"one two"[..], &b"oops"[..]));
    assert_eq!(ended.outcome, Outcome::Exit(3));
    assert_eq!(ended.output_bytes, 11);
    assert!(ended.held_output);
}

#[tokio::test]
async fn what_is_not_scripted_is_not_found() {
    let spawner = ScriptedSpawner::new()
        .program("ls", Script::new())
        .shell("ls | wc", Script::new().stdout("1"))
        .refuse("df", || {
            SpawnError::Exhausted(io::ErrorKind::WouldBlock.into())
        });
    let spawn = |command| spawner.spawn(command, Setup::new());
    for unknown in [command("LS"), command("ls/"), Command::shell("ls")] {
        let error = spawn(unknown.clone()).await.err();
        // A path is known by its last part, and a trailing slash is none.
        if unknown != command("ls/") {
            assert_eq!(error.map(|error| error.kind()), Some("not-found"));
        }
    }
    assert_eq!(spawn(command("df")).await.unwrap_err().kind(), "exhausted");
    assert_eq!(
        spawn(command("")).await.unwrap_err().kind(),
        "invalid-command"
    );
    let running = spawn(Command::shell("ls | wc")).await.unwrap();
    assert_eq!(finish(running).await.0, b"1");
}

#[tokio::test(start_paused = true)]
async fn svc_c9_svc_c10_limits_are_kept() {
    let spawner = ScriptedSpawner::new()
        .program("yes", Script::new().stdout(vec![b'y'; 1_000_000]))
        .program("sleep", Script::new().stdout("zzz").hang());
    let setup = Setup::new().limits(Limits::new().max_output(300_000));
    let running = spawner.spawn(command("yes"), setup).await.unwrap();
    let (stdout, _, ended) = finish(running).await;
    assert_eq!(stdout.len(), 300_000);
    assert_eq!(ended.outcome, Outcome::OutputCap);

    let setup = Setup::new().limits(Limits::new().timeout(Duration::from_secs(9)));
    let running = spawner.spawn(command("sleep"), setup).await.unwrap();
    let start = tokio::time::Instant::now();
    let (stdout, _, ended) = finish(running).await;
    assert_eq!(stdout, b"zzz");
    assert_eq!(ended.outcome, Outcome::TimedOut);
    assert_eq!(start.elapsed().as_secs(), 9);
}

#[tokio::test]
async fn svc_c22_input_is_copied_and_written_down() {
    let spawner = ScriptedSpawner::new()
        .program("cat", Script::new().copy_stdin())
        .program("true", Script::new());
    let setup = Setup::new().pipe_stdin();
    let mut running = spawner.spawn(command("cat"), setup.clone()).await.unwrap();
    let mut stdin = running.take_stdin().unwrap();
    let input = vec![7; 1_000_000];
    let write = async {
        stdin.write_all(&input).await.unwrap();
        stdin.shutdown().await.unwrap();
    };
    let ((), (stdout, _, ended)) = tokio::join!(write, finish(running));
    assert_eq!(stdout, input);
    assert_eq!(ended.outcome, Outcome::Exit(0));
    assert_eq!(spawner.runs()[0].stdin, input);

    let mut running = spawner.spawn(command("true"), setup).await.unwrap();
    let mut stdin = running.take_stdin().unwrap();
    let (written, (.., ended)) = tokio::join!(stdin.write_all(&input), finish(running));
    written.unwrap();
    assert_eq!(ended.outcome, Outcome::Exit(0));
}

#[tokio::test]
async fn kills_signals_and_drops_are_written_down() {
    let spawner =
        ScriptedSpawner::new().program("sleep", Script::new().hang().ignores(Signal::Interrupt));
    let spawn = || spawner.spawn(command("sleep"), Setup::new());

    let running = spawn().await.unwrap();
    running.kill("enough");
    running.kill("more than enough");
    let handle = running.handle();
    let (.., ended) = finish(running).await;
    assert_eq!(ended.outcome, Outcome::Killed("enough".into()));
    assert!(matches!(
        handle.signal(Signal::Hangup),
        Err(SignalError::Ended)
    ));

    let running = spawn().await.unwrap();
    for signal in [Signal::Stop, Signal::Interrupt, Signal::Hangup] {
        running.signal(signal).unwrap();
    }
    let (.., ended) = finish(running).await;
    assert_eq!(ended.outcome, Outcome::Signal("SIGHUP".into()));

    drop(spawn().await.unwrap());
    let run = || spawner.runs().pop().unwrap();
    while run().outcome.is_none() {
        tokio::task::yield_now().await;
    }
    assert!(run().was_abandoned);
    let runs = spawner.runs();
    assert_eq!(runs.len(), 3);
    assert_eq!(
        runs[1].signals,
        [Signal::Stop, Signal::Interrupt, Signal::Hangup]
    );
    assert!(!runs[0].was_abandoned && !runs[1].was_abandoned);
    assert_eq!(runs[0].command, command("sleep"));
}

#[tokio::test]
async fn svc_c11_a_script_waits_for_its_reader() {
    let spawner =
        ScriptedSpawner::new().program("yes", Script::new().stdout(vec![b'y'; 10_000_000]));
    let running = spawner.spawn(command("yes"), Setup::new()).await.unwrap();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(spawner.runs()[0].outcome, None);
    let (stdout, ..) = finish(running).await;
    assert_eq!(stdout.len(), 10_000_000);
}
