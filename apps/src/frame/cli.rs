//! The command line.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};

use super::{
    connect::ServerUrl,
    dialect::{Dialect, Encoding, Form, KeyNames},
    proof::HmacDigest,
    shell::Language,
};

const EXAMPLES: &str = "\
Examples:
  frame --user admin whoami
  frame --user admin exec -- uname -a
  frame --user admin put report.pdf
  frame --user admin shell
  printf '5\\nhello' | frame decode --framing ack-handshake
  frame inspect --upstream tcp://127.0.0.1:8002
  frame --server tcp://127.0.0.1:8005 --dialect course-exec --encoding gbk exec -- dir

The password comes from --password-file, the variable FRAME_PASSWORD, or a question on the terminal.

Exit codes: 0 done; for exec the status of the remote program, 128+n for a signal, 124 timed out, \
126 or 127 if it cannot be run or found; otherwise 64 usage, 65 bad data or bad framing options, \
66 no such file, 69 server unreachable or busy, 73 cannot create the file, 74 connection lost, \
76 protocol error, 77 not allowed.";

const EXEC_EXAMPLES: &str = "\
Examples:
  frame --user admin exec -- df -h
  frame --user admin exec --timeout 10s -- sleep 60
  echo hello | frame --user admin exec -- cat
  frame --user admin exec --shell 'ls | wc -l'

Ctrl-C sends SIGINT to the remote command; a second one ends it, a third one gives up.";

const PUT_EXAMPLES: &str = "\
Examples:
  frame --user admin put report.pdf
  frame --user admin put report.pdf 'report 2024.pdf' --overwrite
  tar c src | frame --user admin put - src.tar";

const LS_EXAMPLES: &str = "\
Examples:
  frame --user admin ls
  frame --user admin --json ls";

const GET_EXAMPLES: &str = "\
Examples:
  frame --user admin get report.pdf
  frame --user admin get 2
  frame --user admin get report.pdf -o /tmp/latest.pdf --force
  frame --user admin get notes.txt -o - | less
  frame --server tcp://127.0.0.1:8006 --dialect course-transfer get

A word of digits is a number in the list that `frame ls` shows; the list is taken anew. A file that \
is really called 3 is fetched with `frame get --name 3`. Nothing that is here already is overwritten \
unless --force says so, and a file lands under its name only when all of it has come.";

const RM_EXAMPLES: &str = "\
Example:
  frame --user admin rm 'report 2024.pdf'";

const WHOAMI_EXAMPLES: &str = "\
Example:
  frame --user admin whoami";

const PING_EXAMPLES: &str = "\
Examples:
  frame ping
  frame --server unix:/run/framed.sock --framing ack-handshake ping";

const CLOCK_EXAMPLES: &str = "\
Examples:
  frame --user admin clock
  frame --user admin clock --every 1s --format '%H:%M:%S' --count 3
  frame --server tcp://127.0.0.1:8007 --dialect course-clock clock

Each line is the server's local time, and behind it the seconds since 1970, where the server tells. \
The server must offer the service `clock`.";

const SHELL_EXAMPLES: &str = "\
Examples:
  frame --user admin shell
  printf 'ls\\nget 1\\n' | frame --user admin shell
  frame --server tcp://127.0.0.1:8006 --dialect course-files shell --menu --lang zh

Lines are like the verbs of this program: ls, get 2, put FILE, rm NAME, exec PROGRAM ARG…, whoami, \
ping, help, quit. A line that fails does not end the shell. When lines come from a pipe, the exit \
code is that of the first one that failed.";

const FRAMINGS_EXAMPLES: &str = "\
Examples:
  frame framings
  frame framings struct-header
  frame --json framings";

const DECODE_EXAMPLES: &str = r#"Examples:
  printf 'a||b||' | frame decode --framing '{ type = "delimiter", delimiter = "||" }'
  printf '350a\n6f6e65\nwait\n' | frame decode --framing ack-handshake --chunks

Prints one JSON object a line: {"frame":"<hex>"}, {"reply":"<hex>"} for what the framing would send back, {"error":"<kind>","message":"…","offset":N} and exit code 65 on an error. With --chunks each line of hex is one read, an empty line is skipped, and `wait` lets the framing's time limits pass."#;

const ENCODE_EXAMPLES: &str = r#"Examples:
  echo 68656c6c6f | frame encode --framing struct-header | xxd
  echo 68656c6c6f | frame encode --framing '{ type = "struct-header", format = "<H" }' --hex

An empty line is an empty frame. For ack-handshake, length and body are written as if each `ok` had come. A frame that cannot be carried is told on standard error as {"error":…}, exit code 65."#;

const INSPECT_EXAMPLES: &str = r#"Examples:
  frame inspect --upstream tcp://127.0.0.1:8002
  frame inspect --listen tcp://127.0.0.1:9001 --upstream tcp://127.0.0.1:8001 --framing ack-handshake
  frame inspect --listen unix:/tmp/in --upstream unix:/tmp/out --framing lines --answers raw --json

Connect the client to the address that is printed. Bytes pass unchanged and at once; of a copy, every frame is shown with the seconds since its connection began, → from the client or ← from the server, its size, its size with all wrapping, and the reads in which it came. Reads are those of this program: on the way to it bytes may have been joined or cut already.

An error is shown where it is found; from there on that direction is shown read by read. What the framing itself would answer is never sent. For ack-handshake both directions are followed together; other framings that answer frames cannot be inspected. Content may hold secrets: --no-content shows sizes only. Ctrl-C ends it, and with it the connections.

With --json each line is an object with an "event": listening, opened, frame, announcement, ack, error, raw, end, left-out, closed."#;

const COMPLETIONS_EXAMPLES: &str = "\
Example:
  frame completions bash > ~/.local/share/bash-completion/completions/frame";

const MAN_EXAMPLES: &str = "\
Examples:
  frame man | man -l -
  frame man exec > frame-exec.1";

/// Talks to a framewright server, and takes framings apart without one.
#[derive(Debug, Parser)]
#[command(name = "frame", version, after_help = EXAMPLES, max_term_width = 100)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) server: ServerArgs,

    /// Print the outcome as one JSON object.
    #[arg(long, global = true)]
    pub(super) json: bool,

    #[command(subcommand)]
    pub(super) verb: Verb,
}

#[derive(Debug, Args)]
pub(super) struct ServerArgs {
    /// The server: tcp://host:port or unix:/path [default: tcp://127.0.0.1:8002].
    #[arg(long, global = true, help_heading = "Server", value_name = "URL")]
    pub(super) server: Option<ServerUrl>,

    /// The framing: a name, or an inline table with `type` and options; see `frame framings`
    /// [default: struct-header].
    #[arg(long, global = true, help_heading = "Server", value_name = "F")]
    pub(super) framing: Option<String>,

    /// The dialect; those of the course's scripts bring their own framing [default: native].
    #[arg(long, global = true, help_heading = "Server", value_name = "D")]
    pub(super) dialect: Option<Dialect>,

    /// Prove with the secret in this file that we are one of the server's clients.
    #[arg(long, global = true, help_heading = "Server", value_name = "FILE")]
    pub(super) hmac_secret_file: Option<PathBuf>,

    /// The hash of that proof; md5 is for servers from before Python 3.8 [default: sha256].
    #[arg(
        long,
        global = true,
        help_heading = "Server",
        value_name = "HASH",
        requires = "hmac_secret_file",
        conflicts_with = "hmac_mutual"
    )]
    pub(super) hmac_digest: Option<HmacDigest>,

    /// The server must prove itself, too.
    #[arg(
        long,
        global = true,
        help_heading = "Server",
        requires = "hmac_secret_file"
    )]
    pub(super) hmac_mutual: bool,

    /// The form of course-struct (both, answer) or course-transfer (upload, ack).
    #[arg(long, global = true, help_heading = "Course", value_name = "FORM")]
    pub(super) form: Option<Form>,

    /// What the server writes the output of commands in [default: utf-8].
    #[arg(long, global = true, help_heading = "Course", value_name = "E")]
    pub(super) encoding: Option<Encoding>,

    /// The server answers each file that was sent with course-transfer.
    #[arg(long, global = true, help_heading = "Course")]
    pub(super) reply: bool,

    /// Other keys of file headers, such as filename=file_name,md5=MD5.
    #[arg(long, global = true, help_heading = "Course", value_name = "KEYS")]
    pub(super) keys: Option<KeyNames>,

    /// Log in as this user.
    #[arg(long, global = true, help_heading = "Server", value_name = "NAME")]
    pub(super) user: Option<String>,

    /// Read the password from the first line of this file.
    #[arg(long, global = true, help_heading = "Server", value_name = "FILE")]
    pub(super) password_file: Option<PathBuf>,
}

/// What a verb without a server works with.
pub(super) const FRAMING: &str = "struct-header";

impl ServerArgs {
    /// The framing, as it is written.
    pub(super) fn framing(&self) -> &str {
        self.framing.as_deref().unwrap_or(FRAMING)
    }

    /// The first option that only makes sense where a server is asked.
    pub(super) fn of_a_server(&self) -> Option<&'static str> {
        let given = [
            ("--server", self.server.is_some()),
            ("--dialect", self.dialect.is_some()),
            ("--form", self.form.is_some()),
            ("--encoding", self.encoding.is_some()),
            ("--reply", self.reply),
            ("--keys", self.keys.is_some()),
            ("--hmac-secret-file", self.hmac_secret_file.is_some()),
            ("--user", self.user.is_some()),
            ("--password-file", self.password_file.is_some()),
        ];
        given
            .into_iter()
            .find(|(_, given)| *given)
            .map(|(option, _)| option)
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Run a program on the server.
    Exec(ExecArgs),
    /// Store a file on the server.
    Put(PutArgs),
    /// List the server's files, numbered.
    #[command(after_help = LS_EXAMPLES)]
    Ls,
    /// Fetch a file into the current folder.
    Get(GetArgs),
    /// Remove a file from the server.
    Rm(RmArgs),
    /// Log in and say who one is.
    #[command(after_help = WHOAMI_EXAMPLES)]
    Whoami,
    /// Ask whether the server answers, and how fast.
    #[command(after_help = PING_EXAMPLES)]
    Ping,
    /// Look at the server's clock, until it or you end it.
    Clock(ClockArgs),
    /// Work line by line on one connection.
    Shell(ShellArgs),
    /// List the framings and their options.
    Framings(FramingsArgs),
    /// Find the frames in the bytes on standard input.
    Decode(DecodeArgs),
    /// Write frames, given as lines of hex, as a framing does.
    Encode(EncodeArgs),
    /// Stand between a client and a server, change nothing, and show the frames that pass.
    Inspect(InspectArgs),
    /// Print completions for a shell.
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page, of the program or of one verb.
    #[command(after_help = MAN_EXAMPLES)]
    Man {
        /// The verb.
        verb: Option<String>,
    },
}

#[derive(Debug, Args)]
#[command(after_help = EXEC_EXAMPLES)]
pub(super) struct ExecArgs {
    /// End the command after this time, such as 10s or 2min.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(super) timeout: Option<Duration>,

    /// Forward standard input, whatever it is.
    #[arg(long, conflicts_with = "no_stdin")]
    pub(super) stdin: bool,

    /// Do not forward standard input.
    #[arg(long)]
    pub(super) no_stdin: bool,

    /// Let the command's output drive the terminal; without it, control characters are shown.
    #[arg(long)]
    pub(super) raw: bool,

    /// Run this line in the server's shell; needs the right `shell`.
    #[arg(long, value_name = "LINE", conflicts_with = "program")]
    pub(super) shell: Option<String>,

    /// The program and its arguments, each passed on as it is.
    #[arg(
        value_name = "PROGRAM",
        trailing_var_arg = true,
        required_unless_present = "shell"
    )]
    pub(super) program: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = PUT_EXAMPLES)]
pub(super) struct PutArgs {
    /// The file to store; `-` is standard input.
    pub(super) file: PathBuf,

    /// The name to store it under; without it, the file's own.
    pub(super) name: Option<String>,

    /// Replace a file of this name.
    #[arg(long)]
    pub(super) overwrite: bool,
}

#[derive(Debug, Args)]
#[command(after_help = GET_EXAMPLES)]
pub(super) struct GetArgs {
    /// The file's name, or its number in the list; none where a script's server sends one unasked.
    #[arg(value_name = "NAME|NUMBER")]
    pub(super) file: Option<String>,

    /// Take the word for a name, also if it has digits only.
    #[arg(long, conflicts_with = "number")]
    pub(super) name: bool,

    /// Take the word for a number, and nothing else.
    #[arg(long)]
    pub(super) number: bool,

    /// Save it here; `-` is standard output.
    #[arg(short, long, value_name = "PATH")]
    pub(super) output: Option<PathBuf>,

    /// Replace a file that is here.
    #[arg(long)]
    pub(super) force: bool,
}

#[derive(Debug, Args)]
#[command(after_help = RM_EXAMPLES)]
pub(super) struct RmArgs {
    /// The file's name.
    pub(super) name: String,
}

#[derive(Debug, Args)]
#[command(after_help = CLOCK_EXAMPLES)]
pub(super) struct ClockArgs {
    /// The time between two ticks, such as 10s [default: the server's].
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(super) every: Option<Duration>,

    /// The format, as of strftime [default: the server's].
    #[arg(long, value_name = "F")]
    pub(super) format: Option<String>,

    /// End after so many ticks.
    #[arg(long, value_name = "N")]
    pub(super) count: Option<u64>,
}

#[derive(Debug, Args)]
#[command(after_help = SHELL_EXAMPLES)]
pub(super) struct ShellArgs {
    /// Go by a menu: log in, choose upload or download, type a number.
    #[arg(long)]
    pub(super) menu: bool,

    /// The language of the menu [default: that of the locale].
    #[arg(long, value_name = "LANG", requires = "menu")]
    pub(super) lang: Option<Language>,
}

#[derive(Debug, Args)]
#[command(after_help = FRAMINGS_EXAMPLES)]
pub(super) struct FramingsArgs {
    /// Only this one.
    pub(super) name: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = DECODE_EXAMPLES)]
pub(super) struct DecodeArgs {
    /// Standard input is lines of hex, each one read.
    #[arg(long)]
    pub(super) chunks: bool,
}

#[derive(Debug, Args)]
#[command(after_help = ENCODE_EXAMPLES)]
pub(super) struct EncodeArgs {
    /// Write a line of hex for each frame instead of the bytes.
    #[arg(long)]
    pub(super) hex: bool,
}

#[derive(Debug, Args)]
#[command(after_help = INSPECT_EXAMPLES)]
pub(super) struct InspectArgs {
    /// Where to listen: tcp://host:port or unix:/path; port 0 lets the system choose.
    #[arg(long, value_name = "URL", default_value = "tcp://127.0.0.1:0")]
    pub(super) listen: ServerUrl,

    /// Where to connect to for each connection: tcp://host:port or unix:/path.
    #[arg(long, value_name = "URL")]
    pub(super) upstream: ServerUrl,

    /// The framing of what the server sends; without it, --framing.
    #[arg(long, value_name = "F")]
    pub(super) answers: Option<String>,

    /// Show content in hex.
    #[arg(long)]
    pub(super) hex: bool,

    /// Show at most so many bytes of a frame.
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub(super) max_bytes: usize,

    /// Show sizes only.
    #[arg(long, conflicts_with_all = ["hex", "max_bytes"])]
    pub(super) no_content: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_holds_together_and_every_verb_has_examples() {
        let mut command = Cli::command();
        command.build();
        command.clone().debug_assert();
        for verb in command
            .get_subcommands()
            .filter(|verb| verb.get_name() != "help")
        {
            let help = verb
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(help.contains("Example"), "{}", verb.get_name());
        }
    }

    #[test]
    fn what_follows_the_program_is_the_programs() {
        let cli = Cli::try_parse_from(["frame", "exec", "ls", "--json", "-l", "--", "x"]).unwrap();
        let Verb::Exec(args) = cli.verb else {
            panic!("not exec");
        };
        assert_eq!(args.program, ["ls", "--json", "-l", "--", "x"]);
        assert!(!cli.json);
    }
}
