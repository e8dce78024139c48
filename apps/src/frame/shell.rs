//! Line after line on one connection.
//!
//! On a terminal there are a prompt, a history and completion; from a pipe there are just lines. A
//! line that fails does not end the shell, and after a lost connection the next line connects anew.

mod complete;
mod input;
mod menu;

use clap::{Parser, Subcommand};
use services::client::{Client, RemoteFile};

pub(super) use self::menu::Language;

use self::input::{Input, Line};
use super::{
    ask,
    cli::{ClockArgs, ExecArgs, GetArgs, PutArgs, RmArgs, ShellArgs},
    clock,
    connect::Target,
    exec,
    exit::{Exit, Failure},
    get,
    interrupt::Interrupts,
    listing,
    output::Output,
    put,
};

/// One line of the shell.
#[derive(Debug, Parser)]
#[command(
    name = "frame",
    no_binary_name = true,
    disable_version_flag = true,
    help_template = "{subcommands}"
)]
struct ShellLine {
    #[command(subcommand)]
    verb: ShellVerb,
}

#[derive(Debug, Subcommand)]
enum ShellVerb {
    /// List the server's files, numbered.
    Ls,
    /// Fetch a file into the current folder, by its name or its number in the last list.
    Get(GetArgs),
    /// Store a file on the server.
    Put(PutArgs),
    /// Remove a file from the server.
    Rm(RmArgs),
    /// Run a program on the server, without standard input.
    Exec(ExecArgs),
    /// Look at the server's clock.
    Clock(ClockArgs),
    /// Say who one is.
    Whoami,
    /// Ask whether the server answers, and how fast.
    Ping,
    /// End the shell.
    #[command(visible_alias = "exit")]
    Quit,
}

const PROMPT: &str = "frame> ";

/// Runs until `quit` or the end of the input. The exit code is 0 on a terminal, otherwise that of
/// the first line that failed.
pub(super) async fn run(
    target: Target,
    args: &ShellArgs,
    output: Output,
    interrupts: &mut Interrupts,
) -> Result<u8, Failure> {
    let input = Input::new()?;
    let client = interrupts.unless(target.connect()).await?;
    let mut shell = Shell {
        target,
        output,
        input,
        client: Some(client),
        list: None,
    };
    let code = if args.menu {
        menu::walk(&mut shell, args.lang, interrupts).await?
    } else {
        shell.lines(interrupts).await?
    };
    Ok(if shell.input.is_terminal() { 0 } else { code })
}

/// How a line went.
enum Done {
    Code(u8),
    Quit,
}

struct Shell {
    target: Target,
    output: Output,
    input: Input,
    /// None after it was lost.
    client: Option<Client>,
    /// The list that was shown last, on this connection.
    list: Option<Vec<RemoteFile>>,
}

impl Shell {
    /// Carries out line after line, and gives the exit code of the first that failed.
    async fn lines(&mut self, interrupts: &mut Interrupts) -> Result<u8, Failure> {
        let mut first_failure = 0;
        if self.input.is_terminal() {
            self.output.note(format_args!(
                "{}: `help` lists what there is",
                self.target.url
            ));
        }
        loop {
            let line = match interrupts.unless(self.input.next(PROMPT)).await? {
                Line::Text(line) => line,
                Line::Nothing => continue,
                Line::End => break,
                Line::Bad(why) => {
                    let failure = Failure::usage(why);
                    self.output.failure(&failure);
                    first_failure = if first_failure == 0 {
                        failure.exit()
                    } else {
                        first_failure
                    };
                    continue;
                }
            };
            let code = match self.line(&line, interrupts).await {
                Ok(Done::Code(code)) => code,
                Ok(Done::Quit) => break,
                Err(failure) if failure.exit() == Exit::TERMINATED || failure.is_quiet() => {
                    return Err(failure);
                }
                Err(failure) => {
                    self.output.failure(&failure);
                    failure.exit()
                }
            };
            if first_failure == 0 {
                first_failure = code;
            }
            self.input.complete_names(self.list.as_deref());
        }
        Ok(first_failure)
    }

    async fn line(&mut self, line: &str, interrupts: &mut Interrupts) -> Result<Done, Failure> {
        let words = shlex::split(line)
            .ok_or_else(|| Failure::usage("a quotation mark or a backslash has no counterpart"))?;
        if words.is_empty() {
            return Ok(Done::Code(0));
        }
        let verb = match ShellLine::try_parse_from(words) {
            Ok(line) => line.verb,
            Err(error) => {
                let _ = error.print();
                return Ok(Done::Code(if error.use_stderr() { Exit::USAGE } else { 0 }));
            }
        };
        if let ShellVerb::Quit = verb {
            return Ok(Done::Quit);
        }
        self.carry_out(verb, interrupts).await.map(Done::Code)
    }

    /// Carries out a verb, on a new connection if the last one was lost.
    async fn carry_out(
        &mut self,
        verb: ShellVerb,
        interrupts: &mut Interrupts,
    ) -> Result<u8, Failure> {
        let mut client = self.connected(interrupts).await?;
        let result = self.verb(&mut client, verb, interrupts).await;
        // What was left in the middle of an answer cannot be used any more.
        let lost = match &result {
            Ok(code) => *code == Exit::IO,
            Err(failure) => !failure.leaves_in_step(),
        };
        if !lost {
            self.keep(client);
        }
        result.map_err(|failure| self.target.doubt_unless_answered(failure))
    }

    /// The connection, or a new one.
    async fn connected(&mut self, interrupts: &mut Interrupts) -> Result<Client, Failure> {
        match self.client.take() {
            Some(client) => Ok(client),
            None => {
                self.list = None;
                interrupts.unless(self.target.connect()).await
            }
        }
    }

    /// Keeps the connection for the next verb, if it can carry one.
    fn keep(&mut self, client: Client) {
        self.client = Some(client).filter(Client::is_open);
    }

    async fn verb(
        &mut self,
        client: &mut Client,
        verb: ShellVerb,
        interrupts: &mut Interrupts,
    ) -> Result<u8, Failure> {
        let output = self.output;
        match verb {
            ShellVerb::Ls => {
                let list = interrupts.unless(listing::run(client, output)).await?;
                self.list = Some(list);
            }
            ShellVerb::Get(args) => {
                self.target.check_name(&args)?;
                let list = self.list.as_deref();
                interrupts
                    .unless(get::run(client, &args, list, output))
                    .await?;
            }
            ShellVerb::Put(args) => {
                if args.file.as_os_str() == "-" {
                    return Err(Failure::usage("standard input is the shell's here"));
                }
                interrupts.unless(put::run(client, &args, output)).await?;
            }
            ShellVerb::Rm(args) => {
                interrupts
                    .unless(ask::remove(client, &args, output))
                    .await?
            }
            ShellVerb::Exec(args) => {
                if args.stdin {
                    return Err(Failure::usage("standard input is the shell's here"));
                }
                return exec::run(client, &args, false, output, interrupts).await;
            }
            ShellVerb::Clock(args) => interrupts.unless(clock::run(client, &args, output)).await?,
            ShellVerb::Whoami => interrupts.unless(ask::whoami(client, output)).await?,
            ShellVerb::Ping => {
                interrupts
                    .unless(ask::ping(client, &self.target, output))
                    .await?
            }
            ShellVerb::Quit => {}
        }
        Ok(0)
    }
}
