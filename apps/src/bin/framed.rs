//! The server: login, exec and files over any framing.

use std::{io::Write, path::PathBuf, process::ExitCode};

use anyhow::Context;
use apps::{
    account::{self, AccountCommand},
    check,
    config::Config,
    first_start,
    server::Server,
    terminal,
};
use clap::{CommandFactory, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

/// Serves login, exec and files over message framings
///
/// Without --config it listens on loopback only: 8001 (ack-handshake), 8002 (struct-header) and 8003
/// (delimiter). It keeps accounts and files in ./framed-data, and prints the password of the account
/// `admin` when it makes it.
#[derive(Debug, Parser)]
#[command(
    name = "framed",
    version,
    after_help = "Examples:
  framed                                  serve on loopback, keep everything in ./framed-data
  framed --config framed.toml             serve what the file says
  framed --config framed.toml --check     say whether it, its accounts and folders are right
  framed account add alice --rights read  asks for alice's password
  echo secret | framed account passwd alice"
)]
struct Arguments {
    /// The configuration file
    #[arg(long, env = "FRAMED_CONFIG", value_name = "FILE", global = true)]
    config: Option<PathBuf>,

    /// Where accounts and files are kept without --config
    #[arg(
        long,
        env = "FRAMED_DATA",
        value_name = "FOLDER",
        default_value = "framed-data",
        global = true
    )]
    data: PathBuf,

    /// What is logged, such as `debug` or `services=debug` [default: RUST_LOG, or info]
    #[arg(long, value_name = "FILTER", global = true)]
    log: Option<String>,

    /// Check the configuration, the accounts file and the folders, and stop
    #[arg(long)]
    check: bool,

    /// Print the configuration that is in force and stop
    #[arg(long, conflicts_with = "check")]
    print_config: bool,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Edit the accounts file
    #[command(subcommand)]
    Account(AccountCommand),
    /// Print a script that completes commands in a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // If nobody can be told, the exit code still says it.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 64 } else { 0 });
        }
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("framed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.command {
        None => {}
        Some(Command::Account(command)) => {
            let config = configuration(arguments)?;
            let accounts = config
                .accounts
                .context("the configuration names no accounts file")?;
            let file = &accounts.file;
            if let (AccountCommand::Add { .. }, Some(folder)) = (command, file.parent()) {
                first_start::private_folder(folder)?;
            }
            return account::run(command, file, accounts.default_rights());
        }
        Some(Command::Completions { shell }) => {
            let mut command = Arguments::command();
            clap_complete::generate(*shell, &mut command, "framed", &mut std::io::stdout());
            return Ok(());
        }
        Some(Command::Man) => {
            return Ok(clap_mangen::Man::new(Arguments::command()).render(&mut std::io::stdout())?);
        }
    }
    if arguments.check || arguments.print_config {
        let config = configuration(arguments)?;
        if arguments.print_config {
            print!("{}", config.to_toml()?);
            return Ok(());
        }
        // What is no error may still be worth a warning, such as passwords in plain text.
        terminal::init_log(arguments.log.as_deref(), "warn")?;
        let problems = check::problems(&config, arguments.config.as_deref());
        if !problems.is_empty() {
            let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
            anyhow::bail!(lines.join("\nframed: "));
        }
        println!("the configuration is right");
        return Ok(());
    }
    terminal::init_log(arguments.log.as_deref(), "info")?;
    // A command that we run must not inherit what whoever started us left open.
    services::exec::mark_inherited_descriptors_close_on_exec();
    let config = match &arguments.config {
        Some(_) => configuration(arguments)?,
        None => {
            let (config, password) = first_start::prepare(&arguments.data)?;
            if let Some(password) = password {
                println!(
                    "created the account {} with the password {password}",
                    first_start::ADMIN
                );
                println!("(it is shown this once; `framed account passwd` changes it)");
            }
            config
        }
    };
    serve(&config)
}

/// The configuration that is in force, without touching anything.
fn configuration(arguments: &Arguments) -> anyhow::Result<Config> {
    match &arguments.config {
        Some(path) => Config::read(path),
        None => Config::standard(&arguments.data),
    }
}

#[tokio::main]
async fn serve(config: &Config) -> anyhow::Result<()> {
    // Listened for before anyone can know that we are here.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let server = Server::bind(config).await?;
    let mut out = std::io::stdout().lock();
    for line in server.announcements() {
        writeln!(out, "{line}").context("cannot write to standard output")?;
    }
    out.flush()?;
    drop(out);
    server
        .run(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!("stopping: no new connections, waiting for those that are open");
        })
        .await;
    tracing::info!("stopped");
    Ok(())
}
