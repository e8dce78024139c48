//! The command line.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};
use services::chat::PeerName;

use super::lang::Lang;

const EXAMPLES: &str = "\
Examples:
  chat listen                                        hear plain peers on 127.0.0.1:8081 and answer them
  chat to Jack                                       write to one
  chat serve                                         keep a directory of names on 127.0.0.1:8090
  chat join alice                                    be alice in it; `@bob hello` writes to bob

Exit codes: 0 done, also after Ctrl-C; 64 usage, 65 bad data in a file, 66 no such file, 69 nobody there or \
not delivered, 73 cannot create a file, 74 reading or writing failed, 77 not allowed.";

const LISTEN_EXAMPLES: &str = "\
Examples:
  chat listen
  chat listen --bind 127.0.0.1:9000 --lang zh
  printf 'I am here\\n' | chat listen --count 1

A line answers the peer whose message was shown last.
  /to 2          from now on lines go to peer 2, or to an address or a name
  /to 2 hello    this line alone does
  /to            lines go to whoever was shown last again
  /peers         who has written, with numbers
  //text         sends /text
  /quit          ends, as Ctrl-C and Ctrl-D do

Lines of a pipe that come before any message wait, and each answers one message. At the end of a pipe it goes \
on listening; --for and --count end it.";

const TO_EXAMPLES: &str = "\
Examples:
  chat to
  chat to Jack
  chat to 127.0.0.1:9000
  chat to --directory contacts.toml Jack
  printf 'hello\\n' | chat to Jack --count 1 --for 10s

Without a name, and again after a line `q`, it asks whom to talk to. A directory is a TOML file with lines such \
as `Jack = \"127.0.0.1:8081\"`. At the end of a pipe it stays two seconds more for answers, or as long as --for and \
--count say.";

const SERVE_EXAMPLES: &str = "\
Examples:
  chat serve
  chat serve --bind 127.0.0.1:9001 --names names.txt

A name is whose token registered it first. --names keeps names over a restart.";

const JOIN_EXAMPLES: &str = "\
Examples:
  chat join alice
  chat join alice --server 127.0.0.1:9001 --to bob
  printf '@bob hello\\n' | chat join alice

  @bob hello     writes to bob
  @bob           from now on lines go to bob, otherwise to whom one wrote to, or heard from, last
  @@text, //text send @text and /text
  /who           who is here
  /quit          ends, as Ctrl-C and Ctrl-D do

The token is made at the first join and kept in a private file; whoever has it has the name. At the end of a \
pipe it stays until it is known what became of each message, and --for and --count may make it stay longer.";

/// Chats over UDP, with plain peers and through a directory of names
///
/// The plain form is the text alone, as short scripts send it. In a directory messages are confirmed,
/// repeated, put in order and shown once. Nothing is encrypted.
#[derive(Debug, Parser)]
#[command(name = "chat", version, after_help = EXAMPLES)]
pub(super) struct Cli {
    /// What is logged, such as `debug` [default: RUST_LOG, or warn]
    #[arg(long, value_name = "FILTER", global = true)]
    pub(super) log: Option<String>,

    #[command(subcommand)]
    pub(super) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Hear plain peers and answer them
    Listen(ListenArgs),
    /// Write to a plain peer
    To(ToArgs),
    /// Keep a directory of names
    Serve(ServeArgs),
    /// Write to others in a directory
    Join(JoinArgs),
    /// Print a script that completes commands in a shell
    #[command(after_help = "Example:\n  chat completions bash > chat.bash")]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    #[command(after_help = "Example:\n  chat man > chat.1")]
    Man,
}

/// What the verbs that talk have in common.
#[derive(Clone, Debug, Args)]
pub(super) struct Talk {
    /// The language [default: from LC_ALL, LC_MESSAGES or LANG]
    #[arg(long, value_enum)]
    pub(super) lang: Option<Lang>,

    /// End after so long, such as 10s
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(super) time: Option<Duration>,

    /// End after so many messages have been shown
    #[arg(long, value_name = "N")]
    pub(super) count: Option<u64>,
}

#[derive(Debug, Args)]
#[command(after_help = LISTEN_EXAMPLES)]
pub(super) struct ListenArgs {
    /// Where to listen; port 0 lets the system choose
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081")]
    pub(super) bind: SocketAddr,

    /// Allow an address that others can reach: nothing is encrypted, and anybody can write
    #[arg(long)]
    pub(super) expose: bool,

    /// The directory of names for /to
    #[arg(long, value_name = "FILE")]
    pub(super) directory: Option<PathBuf>,

    #[command(flatten)]
    pub(super) talk: Talk,
}

#[derive(Debug, Args)]
#[command(after_help = TO_EXAMPLES)]
pub(super) struct ToArgs {
    /// A name in the directory, or an address
    pub(super) name: Option<String>,

    /// The directory of names [default: taibai, Jedan, Jack and John, all at 127.0.0.1:8081]
    #[arg(long, value_name = "FILE")]
    pub(super) directory: Option<PathBuf>,

    #[command(flatten)]
    pub(super) talk: Talk,
}

#[derive(Debug, Args)]
#[command(after_help = SERVE_EXAMPLES)]
pub(super) struct ServeArgs {
    /// Where to listen; port 0 lets the system choose
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    pub(super) bind: SocketAddr,

    /// Allow an address that others can reach: nothing is encrypted, tokens neither
    #[arg(long)]
    pub(super) expose: bool,

    /// Keep the names, and what their tokens are checked against, in this file
    #[arg(long, value_name = "FILE")]
    pub(super) names: Option<PathBuf>,

    /// How many names there may be; for one more, who was away for longest is forgotten
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) max_names: u32,
}

#[derive(Debug, Args)]
#[command(after_help = JOIN_EXAMPLES)]
pub(super) struct JoinArgs {
    /// The name to have
    pub(super) name: PeerName,

    /// Where the directory is
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    pub(super) server: SocketAddr,

    /// Where the token is kept [default: chat/NAME@ADDRESS.token in XDG_STATE_HOME or ~/.local/state]
    #[arg(long, value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,

    /// Whom lines go to
    #[arg(long, value_name = "NAME")]
    pub(super) to: Option<PeerName>,

    #[command(flatten)]
    pub(super) talk: Talk,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_holds_together_and_every_verb_has_examples() {
        let mut command = Cli::command();
        command.build();
        command.clone().debug_assert();
        for verb in command
            .get_subcommands()
            .filter(|verb| verb.get_name() != "help")
        {
            let help = verb.get_after_help().map(ToString::to_string);
            assert!(
                help.unwrap_or_default().contains("Example"),
                "{}",
                verb.get_name()
            );
        }
    }
}
