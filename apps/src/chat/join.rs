//! `chat join`: a name in a directory, and messages to other names.

use std::{collections::HashMap, net::SocketAddr, time::Instant};

use framing::{
    StructHeader,
    datagram::{DatagramError, Datagrams},
    serve::Address,
};
use futures_util::{SinkExt, StreamExt};
use services::{
    chat::{self, Client, Event, Lost, MessageId, PeerName, Refusal, Undelivered, shown},
    escape::escaped,
};
use tokio::{net::UdpSocket, time::sleep_until};

use super::{
    cli::JoinArgs,
    command::{Post, post},
    console::{Console, Line},
    ending::Ending,
    failure::Failure,
    lang::Lang,
    token_file,
};

/// Bytes of a message that are shown again when it was not delivered.
const EXCERPT: usize = 60;

/// Messages of a pipe under way at once; then its next line waits.
const MOST_UNDER_WAY: usize = 64;

const HELP: &str = "@NAME TEXT writes to NAME; @NAME makes further lines go there; /who lists who is here; @@x and //x \
                    send @x and /x; /quit ends";

pub(super) async fn run(args: JoinArgs) -> Result<(), Failure> {
    let lang = Lang::choose(args.talk.lang);
    let ending = Ending::new(Some(&args.talk))?;
    let path = match args.token_file {
        Some(path) => path,
        None => token_file::usual(&args.name, args.server)?,
    };
    let token = token_file::read_or_make(&path)?;
    let datagrams = connect(args.server).await?;
    let mut chance = [0; 4];
    getrandom::fill(&mut chance).map_err(Failure::chance)?;
    let chance = u32::from_ne_bytes(chance);
    let mut member = Member {
        server: args.server,
        datagrams,
        client: Client::new(args.name, token, chance, Instant::now()),
        lang,
        console: Console::new()?,
        ending,
        chosen: args.to,
        last: None,
        under_way: HashMap::new(),
        failed: 0,
        is_in: false,
        is_leaving: false,
    };
    let result = member.talk().await;
    member.console.finish().await;
    result
}

/// A socket that hears the directory only.
async fn connect(server: SocketAddr) -> Result<Datagrams<UdpSocket, StructHeader>, Failure> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (std::net::Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let failed = |error: std::io::Error| {
        Failure::unavailable(format!("cannot reach udp://{server}: {error}"))
    };
    let socket = UdpSocket::bind(any).await.map_err(failed)?;
    socket.connect(server).await.map_err(failed)?;
    let datagrams = chat::framing().and_then(|framing| Datagrams::new(socket, framing));
    datagrams.map_err(|error| Failure::usage(error.to_string()))
}

struct Member {
    server: SocketAddr,
    datagrams: Datagrams<UdpSocket, StructHeader>,
    client: Client,
    lang: Lang,
    console: Console,
    ending: Ending,
    /// Whom lines were said to go to.
    chosen: Option<PeerName>,
    /// Whom one wrote to, or heard from, last.
    last: Option<PeerName>,
    /// The beginnings of messages of which nothing is known yet.
    under_way: HashMap<MessageId, String>,
    failed: u64,
    /// We have been in.
    is_in: bool,
    is_leaving: bool,
}

impl Member {
    async fn talk(&mut self) -> Result<(), Failure> {
        loop {
            let now = Instant::now();
            while let Some(object) = self.client.transmit(now) {
                self.send(object).await;
            }
            while let Some(event) = self.client.event() {
                if self.event(event)? {
                    return self.result();
                }
            }
            if !self.is_leaving && self.is_done() {
                self.leave();
                continue;
            }
            let deadline = self.client.deadline(now);
            let at = tokio::time::Instant::from_std(deadline.unwrap_or(now));
            let may_read = self.is_in
                && !self.is_leaving
                && (self.console.is_terminal() || self.client.under_way() < MOST_UNDER_WAY);
            tokio::select! {
                () = self.ending.reached() => {
                    if self.is_leaving {
                        return self.result();
                    }
                    self.leave();
                }
                received = self.datagrams.next() => match received {
                    Some(Ok((object, _))) => self.client.receive(&object, Instant::now()),
                    Some(Err(error)) => self.trouble(&error),
                    None => {}
                },
                () = sleep_until(at), if deadline.is_some() => {}
                line = self.console.line("> "), if may_read => match line {
                    Line::Text(line) => {
                        if !self.line(&line) {
                            self.leave();
                        }
                    }
                    Line::Bad(why) => self.console.note(why),
                    Line::Interrupt => self.leave(),
                    Line::End if self.console.is_terminal() => self.leave(),
                    Line::End => {}
                    Line::Failed(error) => return Err(Failure::io("cannot read a line", &error)),
                },
            }
        }
    }

    /// Whether there is nothing left to do.
    fn is_done(&self) -> bool {
        let said_all = self.console.has_ended() && self.client.under_way() == 0;
        self.ending.is_complete() || (said_all && !self.ending.is_wanted())
    }

    fn leave(&mut self) {
        self.is_leaving = true;
        self.client.leave(Instant::now());
    }

    fn result(&self) -> Result<(), Failure> {
        if self.failed > 0 && !self.console.is_terminal() {
            let failed = self.failed;
            return Err(Failure::unavailable(format!(
                "{failed} messages were not delivered"
            )));
        }
        self.ending.result()
    }

    async fn send(&mut self, object: bytes::Bytes) {
        let to = Address::Udp(self.server);
        // What is not sent is as good as lost, and repeated.
        if let Err(error) = self.datagrams.send((object, to)).await {
            self.trouble(&error);
        }
    }

    fn trouble(&self, error: &DatagramError) {
        tracing::debug!(%error, "the socket lives on");
    }

    /// Takes note of what has happened; true at the end.
    fn event(&mut self, event: Event) -> Result<bool, Failure> {
        match event {
            Event::Joined if !self.is_in => {
                self.is_in = true;
                self.console.note(self.lang.joined(self.client.name()));
            }
            Event::Message { from, text } => {
                let text = self.console.ground(shown(&text));
                self.console.show(self.lang.message(&from, text))?;
                self.ending.count();
                self.last = Some(from);
            }
            Event::Delivered { message } => drop(self.under_way.remove(&message)),
            Event::Failed { message, to, why } => {
                let text = self.under_way.remove(&message).unwrap_or_default();
                self.failed += 1;
                let text = escaped(&text).limit(EXCERPT).to_string();
                self.console
                    .note(self.lang.not_delivered(to, reason(why), text));
            }
            Event::Names { names, more } => {
                let mut names: Vec<_> = names.iter().map(PeerName::to_string).collect();
                if more {
                    names.push("…".to_owned());
                }
                self.console.note(self.lang.here(&names.join(", ")));
            }
            Event::Unreachable if self.is_in => self.console.note(self.lang.silent(self.server)),
            Event::Unreachable => {
                let server = self.server;
                return Err(Failure::unavailable(format!(
                    "no directory answers at udp://{server}; `chat serve` starts one, --server names another one"
                )));
            }
            Event::Refused { code, say } => return Err(self.refused(code, &say)),
            Event::Moved => {
                return Err(Failure::unavailable(
                    "another chat has joined under this name with the same token",
                ));
            }
            Event::Left => return Ok(true),
            _ => {}
        }
        Ok(false)
    }

    fn refused(&self, code: Refusal, say: &str) -> Failure {
        let (name, say) = (self.client.name(), escaped(say));
        match code {
            Refusal::Taken => Failure::not_allowed(format!(
                "the name {name} is taken, and not with this token; choose another name, or --token-file with its \
                 owner's token"
            )),
            Refusal::LookAlike => Failure::not_allowed(format!(
                "the name {name} looks like {say}, which is taken; choose one that nobody confuses"
            )),
            Refusal::Full => Failure::unavailable("the directory has no room for another name"),
            _ => Failure::unavailable(format!("the directory refuses: {code:?}: {say}")),
        }
    }

    /// Does what a line says; false if it ends the program.
    fn line(&mut self, line: &str) -> bool {
        match post(line) {
            Post::Say("") => {}
            Post::Say(text) => match self.chosen.clone().or_else(|| self.last.clone()) {
                Some(to) => self.say(&to, text),
                None => self.refuse("nobody", "whom it is for was not said; @NAME TEXT does"),
            },
            Post::SayTo(to, text) => {
                if let Some(to) = self.name(to) {
                    self.say(&to, text);
                    self.last = Some(to);
                }
            }
            Post::To(to) => self.chosen = self.name(to).or(self.chosen.take()),
            Post::Who => self.client.ask_who("", Instant::now()),
            Post::Help => self.console.note(HELP),
            Post::Quit => return false,
            Post::Unknown(line) => {
                let line = escaped(line);
                self.console
                    .note(format_args!("no such command: {line}; {HELP}"));
            }
        }
        true
    }

    fn name(&mut self, name: &str) -> Option<PeerName> {
        match name.parse() {
            Ok(name) => Some(name),
            Err(error) => {
                self.refuse(&escaped(name).to_string(), &format!("{error}"));
                None
            }
        }
    }

    fn say(&mut self, to: &PeerName, text: &str) {
        match self.client.say(to, text) {
            Ok(message) => {
                let excerpt = text.chars().take(EXCERPT).collect();
                self.under_way.insert(message, excerpt);
            }
            Err(error) => self.refuse(to.as_str(), &error.to_string()),
        }
    }

    fn refuse(&mut self, to: &str, why: &str) {
        self.failed += 1;
        self.console.note(self.lang.not_sent(to, why));
    }
}

fn reason(why: Lost) -> &'static str {
    match why {
        Lost::NoAnswer => "the directory does not answer, so it may or may not have arrived",
        Lost::Restarted => "the directory was started anew, so it may or may not have arrived",
        Lost::Told(Undelivered::Unknown) => "nobody has that name",
        Lost::Told(Undelivered::NotHere) => "they did not come",
        Lost::Told(Undelivered::Full) => "too much waits for them already",
        Lost::Told(Undelivered::TooLong) => "it is too long",
        Lost::Told(Undelivered::Unconfirmed) => {
            "they did not confirm it, so it may or may not have been shown"
        }
        _ => "the directory says so",
    }
}
