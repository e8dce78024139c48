//! The client `frame`: the services' verbs on a command line, and framings without a network.
//!
//! | file | what it holds |
//! |---|---|
//! | `cli.rs` | the command line |
//! | `connect.rs`, `dialect.rs`, `password.rs`, `proof.rs` | from a URL and a name to a client that is logged in |
//! | `exec.rs`, `printer.rs`, `mask.rs` | a command on the server, and what it writes |
//! | `listing.rs`, `put.rs`, `get.rs`, `landing.rs`, `progress.rs` | files |
//! | `ask.rs`, `clock.rs` | small questions: `ping`, `whoami`, `rm`, `clock` |
//! | `shell.rs`, `shell/` | line after line on one connection |
//! | `decode.rs`, `encode.rs`, `framings.rs`, `hex.rs`, `lines.rs` | framings without a network |
//! | `inspect/` | a proxy that shows the frames that pass |
//! | `exit.rs`, `interrupt.rs`, `output.rs` | how a verb ends, is ended, and says so |
//!
//! Nothing a server says reaches the terminal, or becomes a path, as it came.

mod ask;
mod cli;
mod clock;
mod connect;
mod decode;
mod dialect;
mod encode;
mod exec;
mod exit;
mod framings;
mod get;
mod hex;
mod inspect;
mod interrupt;
mod landing;
pub(crate) mod lines;
mod listing;
mod manual;
mod mask;
mod output;
mod password;
mod printer;
mod progress;
mod proof;
mod put;
mod shell;

use clap::Parser;
use services::client::Client;
use tokio::runtime;

use self::{
    cli::{Cli, Verb},
    connect::Target,
    exit::{Exit, Failure},
    interrupt::Interrupts,
    output::Output,
};

/// Runs the program with the arguments of this process and gives its exit code.
///
/// The caller ends the process with it at once: a thread may still be waiting for standard input.
pub fn run() -> u8 {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody is left to tell where this cannot be printed.
            let _ = error.print();
            return if error.use_stderr() { Exit::USAGE } else { 0 };
        }
    };
    let output = Output::new(cli.json);
    match dispatch(cli, output) {
        Ok(code) => code,
        Err(failure) => {
            output.failure(&failure);
            failure.exit()
        }
    }
}

fn dispatch(cli: Cli, output: Output) -> Result<u8, Failure> {
    let offline = matches!(
        cli.verb,
        Verb::Framings(_) | Verb::Decode(_) | Verb::Encode(_) | Verb::Inspect(_)
    );
    if let Some(option) = cli.server.of_a_server().filter(|_| offline) {
        let message = format!("{option} says nothing to a verb that asks no server");
        return Err(Failure::usage(message).hint("--framing is all that it needs to know"));
    }
    match cli.verb {
        Verb::Framings(args) => framings::run(&args, output),
        Verb::Decode(args) => decode::run(cli.server.framing(), &args),
        Verb::Encode(args) => encode::run(cli.server.framing(), &args, output),
        Verb::Completions { shell } => manual::completions(shell),
        Verb::Man { verb } => manual::page(verb.as_deref()),
        Verb::Inspect(args) => {
            let framing = cli.server.framing();
            in_runtime(inspect::run(framing, &args, output))
        }
        verb => {
            // A password is asked for before signals are caught, so that Ctrl-C ends the question.
            let target = Target::new(&cli.server)?;
            if let Verb::Get(args) = &verb {
                target.check_name(args)?;
            }
            in_runtime(online(verb, target, output))
        }
    }
}

fn in_runtime<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::local_io("cannot start", &error))?;
    let result = runtime.block_on(work);
    // A thread that waits for standard input would never let go.
    runtime.shutdown_background();
    result
}

async fn online(verb: Verb, target: Target, output: Output) -> Result<u8, Failure> {
    let mut interrupts = Interrupts::new()?;
    if let Verb::Shell(args) = verb {
        return shell::run(target, &args, output, &mut interrupts).await;
    }
    let mut client = interrupts.unless(target.connect()).await?;
    let result = ask(verb, &mut client, &target, output, &mut interrupts).await;
    result.map_err(|failure| target.doubt_unless_answered(failure))
}

/// Carries out a verb that is one request.
async fn ask(
    verb: Verb,
    client: &mut Client,
    target: &Target,
    output: Output,
    interrupts: &mut Interrupts,
) -> Result<u8, Failure> {
    match verb {
        Verb::Exec(args) => {
            let stdin = exec::forwards_stdin(&args, target);
            return exec::run(client, &args, stdin, output, interrupts).await;
        }
        Verb::Put(args) => interrupts.unless(put::run(client, &args, output)).await?,
        Verb::Get(args) => {
            interrupts
                .unless(get::run(client, &args, None, output))
                .await?
        }
        Verb::Ls => interrupts
            .unless(listing::run(client, output))
            .await
            .map(drop)?,
        Verb::Rm(args) => {
            interrupts
                .unless(ask::remove(client, &args, output))
                .await?
        }
        Verb::Whoami => interrupts.unless(ask::whoami(client, output)).await?,
        Verb::Ping => interrupts.unless(ask::ping(client, target, output)).await?,
        Verb::Clock(args) => interrupts.unless(clock::run(client, &args, output)).await?,
        Verb::Shell(_)
        | Verb::Framings(_)
        | Verb::Decode(_)
        | Verb::Encode(_)
        | Verb::Inspect(_)
        | Verb::Completions { .. }
        | Verb::Man { .. } => {}
    }
    Ok(0)
}
