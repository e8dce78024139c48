//! `chat listen`: hears plain peers, and answers them.

use std::{collections::VecDeque, net::SocketAddr, sync::Arc};

use framing::{
    Raw,
    datagram::{Datagrams, serve_datagrams},
};
use services::{
    chat::{PlainInbox, PlainMessage, plain_message, shown},
    escape::escaped,
};
use tokio::{net::UdpSocket, sync::mpsc};

use super::{
    cli::ListenArgs,
    command::{Reply, reply},
    console::{Console, Line, print},
    contacts::Contacts,
    ending::Ending,
    failure::Failure,
    lang::Lang,
    peers::Peers,
};

/// Lines of a pipe that wait for a message to answer.
const MOST_WAITING: usize = 1000;

const HELP: &str = "/to N, NAME or ADDRESS chooses whom lines go to; /to N TEXT is for one line; /to undoes it; /peers \
                    lists; //x sends /x; /quit ends";

pub(super) async fn run(args: ListenArgs) -> Result<(), Failure> {
    let contacts = Contacts::read(args.directory.as_deref())?;
    let ending = Ending::new(Some(&args.talk))?;
    let socket = Arc::new(bind(args.bind, args.expose).await?);
    let address =
        UdpSocket::local_addr(&socket).map_err(|error| Failure::bind(args.bind, &error))?;
    let (inbox, messages) = PlainInbox::new();
    let datagrams = Datagrams::new(socket.clone(), Raw::default())
        .map_err(|error| Failure::usage(error.to_string()))?;
    let server = serve_datagrams(datagrams, inbox.clone()).silent_when_empty(true);
    tokio::spawn(server.into_future());
    print(format!("listening on udp://{address}\n").as_bytes())?;
    let mut listener = Listener {
        socket,
        contacts,
        lang: Lang::choose(args.talk.lang),
        console: Console::new()?,
        peers: Peers::default(),
        waiting: VecDeque::new(),
        ending,
    };
    let result = listener.talk(messages).await;
    if inbox.lost() > 0 {
        let lost = inbox.lost();
        listener
            .console
            .note(format_args!("{lost} messages came too fast to be shown"));
    }
    listener.console.finish().await;
    result
}

/// Binds, but not where others can reach it unless that is wanted.
pub(super) async fn bind(address: SocketAddr, expose: bool) -> Result<UdpSocket, Failure> {
    if !address.ip().to_canonical().is_loopback() && !expose {
        return Err(Failure::usage(format!(
            "{address} can be reached by others, and nothing is encrypted; --expose allows it, a loopback \
             address such as 127.0.0.1 needs nothing"
        )));
    }
    let socket = UdpSocket::bind(address).await;
    socket.map_err(|error| Failure::bind(address, &error))
}

struct Listener {
    socket: Arc<UdpSocket>,
    contacts: Contacts,
    lang: Lang,
    console: Console,
    peers: Peers,
    /// Lines that came before anybody had written. Each answers one message.
    waiting: VecDeque<String>,
    ending: Ending,
}

impl Listener {
    async fn talk(&mut self, mut messages: mpsc::Receiver<PlainMessage>) -> Result<(), Failure> {
        while !self.ending.is_complete() {
            tokio::select! {
                () = self.ending.reached() => return self.ending.result(),
                Some(message) = messages.recv() => self.message(&message).await?,
                line = self.console.line("> "), if self.waiting.len() < MOST_WAITING => match line {
                    Line::Text(line) => {
                        if !self.line(line).await {
                            return Ok(());
                        }
                    }
                    Line::Bad(why) => self.console.note(why),
                    Line::Interrupt => return Ok(()),
                    Line::End if self.console.is_terminal() => return Ok(()),
                    // Whoever writes can still be heard.
                    Line::End => {}
                    Line::Failed(error) => return Err(Failure::io("cannot read a line", &error)),
                },
            }
        }
        // Its answer may just be in the pipe.
        if let Line::Text(line) = self.last_line().await {
            self.line(line).await;
        }
        Ok(())
    }

    async fn message(&mut self, message: &PlainMessage) -> Result<(), Failure> {
        show(&self.console, self.lang, message)?;
        self.ending.count();
        if let Some(number) = self.peers.shown(message.from) {
            self.console.note(self.lang.new_peer(number, message.from));
        }
        if let Some(line) = self.waiting.pop_front() {
            self.send(message.from, &line).await;
        }
        Ok(())
    }

    /// Does what a line says; false if it ends the program.
    async fn line(&mut self, line: String) -> bool {
        match reply(&line) {
            Reply::Say("") => {}
            Reply::Say(text) => match self.peers.current() {
                Some(peer) if self.waiting.is_empty() => self.send(peer, text).await,
                _ if !self.console.is_terminal() => self.waiting.push_back(text.to_owned()),
                _ => self.console.note(self.lang.nobody_yet()),
            },
            Reply::SayTo(whom, text) => {
                if let Some(peer) = self.find(whom) {
                    self.send(peer, text).await;
                }
            }
            Reply::To(None) => self.peers.choose(None),
            Reply::To(Some(whom)) => {
                if let Some(peer) = self.find(whom) {
                    self.peers.choose(Some(peer));
                    // What waited for somebody to write has its receiver now.
                    for line in std::mem::take(&mut self.waiting) {
                        self.send(peer, &line).await;
                    }
                }
            }
            Reply::Peers => {
                for (number, address) in self.peers.list() {
                    self.console.note(format_args!("[{number}] {address}"));
                }
            }
            Reply::Help => self.console.note(HELP),
            Reply::Quit => return false,
            Reply::Unknown(line) => {
                let line = escaped(line);
                self.console
                    .note(format_args!("no such command: {line}; {HELP}"));
            }
        }
        true
    }

    fn find(&self, whom: &str) -> Option<SocketAddr> {
        let found = self.peers.find(whom, &self.contacts);
        if found.is_none() {
            let names = self.contacts.names();
            self.console.note(self.lang.unknown(escaped(whom), &names));
        }
        found
    }

    async fn send(&self, to: SocketAddr, text: &str) {
        let sent = match plain_message(text) {
            Ok(datagram) => self
                .socket
                .send_to(&datagram, to)
                .await
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(why) = sent {
            self.console.note(self.lang.not_sent(to, why));
        }
    }

    /// A line that is there at once.
    async fn last_line(&mut self) -> Line {
        if self.console.is_terminal() || self.console.has_ended() || !self.waiting.is_empty() {
            return Line::End;
        }
        let soon = std::time::Duration::from_millis(100);
        let line = tokio::time::timeout(soon, self.console.line("")).await;
        line.unwrap_or(Line::End)
    }
}

/// Shows a message and what is wrong with it.
pub(super) fn show(console: &Console, lang: Lang, message: &PlainMessage) -> Result<(), Failure> {
    let text = console.ground(shown(&message.text));
    console.show(lang.message(message.from, text))?;
    for flaw in &message.flaws {
        console.note(format_args!("  ({}: {flaw})", message.from));
    }
    Ok(())
}
