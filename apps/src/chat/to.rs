//! `chat to`: writes to plain peers, one after the other, and shows what they answer at any time.

use std::{collections::HashMap, io, net::SocketAddr, sync::Arc, time::Duration};

use framing::{
    Raw,
    datagram::{DatagramError, Datagrams},
    serve::Address,
};
use futures_util::StreamExt;
use services::{
    chat::{PlainInbox, PlainMessage, plain_message},
    escape::escaped,
};
use tokio::{net::UdpSocket, sync::mpsc, time::timeout};

use super::{
    cli::ToArgs,
    console::{Console, Line},
    contacts::Contacts,
    ending::Ending,
    failure::Failure,
    lang::Lang,
    listen::show,
};

/// How long answers are waited for at the end of a pipe, if nothing else is said.
const AFTER_THE_END: Duration = Duration::from_secs(2);

/// How often a socket is asked whether its peer has refused something: that wakes nobody.
const LOOK: Duration = Duration::from_millis(200);

pub(super) async fn run(args: ToArgs) -> Result<(), Failure> {
    let contacts = Contacts::read(args.directory.as_deref())?;
    let lang = Lang::choose(args.talk.lang);
    let ending = Ending::new(Some(&args.talk))?;
    let (inbox, messages) = PlainInbox::new();
    let (refusals, refused) = mpsc::channel(16);
    let mut writer = Writer {
        contacts,
        lang,
        ending,
        console: Console::new()?,
        sockets: HashMap::new(),
        current: None,
        inbox,
        refusals,
        nobody: None,
    };
    match &args.name {
        Some(name) => match writer.contacts.find(name) {
            Some(address) => writer.choose(name.clone(), address),
            None => {
                let names = writer.contacts.names();
                return Err(Failure::usage(lang.unknown(escaped(name), &names)));
            }
        },
        None => writer.ask(),
    }
    let result = writer.talk(messages, refused).await;
    writer.console.finish().await;
    result
}

struct Writer {
    contacts: Contacts,
    lang: Lang,
    console: Console,
    ending: Ending,
    /// One for each peer, so that one hears when nobody is there; kept, as an answer may come late.
    sockets: HashMap<SocketAddr, Arc<UdpSocket>>,
    /// Whom lines go to; none while it is asked.
    current: Option<(String, SocketAddr)>,
    inbox: PlainInbox,
    refusals: mpsc::Sender<SocketAddr>,
    /// Who was not there when it was last written to.
    nobody: Option<SocketAddr>,
}

impl Writer {
    async fn talk(
        &mut self,
        mut messages: mpsc::Receiver<PlainMessage>,
        mut refused: mpsc::Receiver<SocketAddr>,
    ) -> Result<(), Failure> {
        while !self.ending.is_complete() {
            let prompt = match &self.current {
                Some((name, _)) => format!("{}> ", escaped(name)),
                None => self.lang.whom_prompt().to_owned(),
            };
            tokio::select! {
                () = self.ending.reached() => {
                    self.ending.result()?;
                    return self.somebody_was_there();
                }
                Some(message) = messages.recv() => {
                    self.nobody = None;
                    show(&self.console, self.lang, &message)?;
                    self.ending.count();
                }
                Some(address) = refused.recv() => {
                    if self.nobody.replace(address) != Some(address) {
                        self.console.note(self.lang.nobody_there(address));
                    }
                    if self.console.has_ended() && !self.ending.is_wanted() {
                        return self.somebody_was_there();
                    }
                }
                line = self.console.line(&prompt) => match line {
                    Line::Text(line) => {
                        if !self.line(&line).await? {
                            return Ok(());
                        }
                    }
                    Line::Bad(why) => self.console.note(why),
                    Line::Interrupt => return Ok(()),
                    Line::End if self.console.is_terminal() => return Ok(()),
                    Line::End if self.sockets.is_empty() => return Ok(()),
                    Line::End => self.ending.or_after(AFTER_THE_END),
                    Line::Failed(error) => return Err(Failure::io("cannot read a line", &error)),
                },
            }
        }
        Ok(())
    }

    fn somebody_was_there(&self) -> Result<(), Failure> {
        match self.nobody {
            Some(address) if !self.console.is_terminal() => {
                Err(Failure::unavailable(self.lang.nobody_there(address)))
            }
            _ => Ok(()),
        }
    }

    fn ask(&mut self) {
        self.current = None;
        let names = self.contacts.names();
        self.console.note(self.lang.whom(&names));
    }

    fn choose(&mut self, name: String, address: SocketAddr) {
        self.console.note(self.lang.talking(escaped(&name)));
        self.current = Some((name, address));
    }

    /// Does what a line says; false if it ends the program.
    async fn line(&mut self, line: &str) -> Result<bool, Failure> {
        match (&self.current, line) {
            // Asked whom to talk to, `q` is nobody.
            (None, "q") => return Ok(false),
            (None, name) => {
                let name = name.trim();
                match self.contacts.find(name) {
                    Some(address) => self.choose(name.to_owned(), address),
                    None if name.is_empty() => self.ask(),
                    None => {
                        let names = self.contacts.names();
                        self.console.note(self.lang.unknown(escaped(name), &names));
                    }
                }
            }
            (Some(_), "q") => self.ask(),
            (Some(_), "") => {}
            (Some((name, address)), text) => {
                let (name, address) = (name.clone(), *address);
                if let Err(why) = self.send(address, text).await? {
                    self.console.note(self.lang.not_sent(escaped(&name), why));
                }
            }
        }
        Ok(true)
    }

    async fn send(&mut self, to: SocketAddr, text: &str) -> Result<Result<(), String>, Failure> {
        let datagram = match plain_message(text) {
            Ok(datagram) => datagram,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let socket = match self.sockets.get(&to) {
            Some(socket) => socket.clone(),
            None => self.connect(to).await?,
        };
        let mut sent = socket.send(&datagram).await;
        if let Err(error) = &sent
            && error.kind() == io::ErrorKind::ConnectionRefused
        {
            // That is the fate of the message before.
            self.refused(to);
            sent = socket.send(&datagram).await;
        }
        Ok(sent.map(drop).map_err(|error| error.to_string()))
    }

    fn refused(&self, address: SocketAddr) {
        // One that waits says it already.
        let _ = self.refusals.try_send(address);
    }

    /// A socket that hears this peer only, and is heard by us from now on.
    async fn connect(&mut self, to: SocketAddr) -> Result<Arc<UdpSocket>, Failure> {
        let failed = |error: io::Error| Failure::io("cannot open a socket", &error);
        let any: SocketAddr = match to {
            SocketAddr::V4(_) => (std::net::Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any).await.map_err(failed)?;
        socket.connect(to).await.map_err(failed)?;
        let local = socket.local_addr().map_err(failed)?;
        let socket = Arc::new(socket);
        let mut datagrams = Datagrams::new(socket.clone(), Raw::default())
            .map_err(|error| Failure::usage(error.to_string()))?;
        let (inbox, refusals) = (self.inbox.clone(), self.refusals.clone());
        tokio::spawn(async move {
            loop {
                match timeout(LOOK, datagrams.next()).await {
                    Ok(Some(Ok((text, Address::Udp(from))))) => inbox.take(from, local, &text),
                    Ok(Some(Err(DatagramError::Receive(error))))
                        if error.kind() == io::ErrorKind::ConnectionRefused =>
                    {
                        let _ = refusals.try_send(to);
                    }
                    Ok(Some(Err(error))) => tracing::warn!(%error, "the socket lives on"),
                    Ok(_) | Err(_) => {}
                }
            }
        });
        self.sockets.insert(to, socket.clone());
        Ok(socket)
    }
}
