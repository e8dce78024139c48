//! The program `chat`: two people over UDP, and a directory of names.
//!
//! | file | what it holds |
//! |---|---|
//! | `cli.rs` | the command line |
//! | `listen.rs`, `to.rs` | the plain form: the text of a message is a datagram |
//! | `contacts.rs`, `peers.rs` | names in a file, and numbers of those who have written |
//! | `serve.rs`, `names_file.rs` | the directory |
//! | `join.rs`, `command.rs`, `token_file.rs` | its client |
//! | `console.rs`, `terminal.rs`, `lang.rs` | lines in, lines out, while the other goes on, in one's language |
//! | `ending.rs`, `failure.rs` | when it ends, and how it says so |
//!
//! What is said in datagrams is in [`services::chat`].

mod cli;
mod command;
mod console;
mod contacts;
mod ending;
mod failure;
mod join;
mod lang;
mod listen;
mod names_file;
mod peers;
mod serve;
mod terminal;
mod to;
mod token_file;

use clap::{CommandFactory, Parser};
use tokio::runtime;

use self::{
    cli::{Cli, Verb},
    failure::Failure,
};
use crate::terminal::init_log;

/// Runs the program with the arguments of this process and gives its exit code.
///
/// The caller ends the process with it at once: a thread may still be waiting for a line.
pub fn run() -> u8 {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody is left to tell where this cannot be printed.
            let _ = error.print();
            return if error.use_stderr() {
                Failure::USAGE
            } else {
                0
            };
        }
    };
    match dispatch(cli) {
        Ok(()) => 0,
        Err(failure) => {
            if !failure.is_quiet() {
                eprintln!("chat: {failure}");
            }
            failure.exit()
        }
    }
}

fn dispatch(cli: Cli) -> Result<(), Failure> {
    let mut page = Vec::new();
    match cli.verb {
        Verb::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "chat", &mut page);
            return console::print(&page);
        }
        Verb::Man => {
            let man = clap_mangen::Man::new(Cli::command());
            man.render(&mut page)
                .map_err(|error| Failure::io("cannot make the page", &error))?;
            return console::print(&page);
        }
        _ => {}
    }
    init_log(cli.log.as_deref(), "warn").map_err(|error| Failure::usage(format!("{error:#}")))?;
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::io("cannot start", &error))?;
    let result = runtime.block_on(async {
        match cli.verb {
            Verb::Listen(args) => listen::run(args).await,
            Verb::To(args) => to::run(args).await,
            Verb::Serve(args) => serve::run(args).await,
            Verb::Join(args) => join::run(args).await,
            Verb::Completions { .. } | Verb::Man => Ok(()),
        }
    });
    // A thread that waits for a line would never let go.
    runtime.shutdown_background();
    result
}
