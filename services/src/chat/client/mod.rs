//! The client of a directory: a state machine without I/O and clock.

mod outgoing;
mod repeat;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;

use self::{outgoing::Outgoing, repeat::Repeat};
use super::{
    directory::HOLD,
    name::PeerName,
    pieces::{Joining, MAX_TEXT},
    token::Token,
    wire::{self, Answer, Ask, Item, Refusal, Request, Tell, Undelivered, What},
};

/// How often a question of the handshake is sent before the directory counts as unreachable: for 8 seconds.
const MOST_TRIES: u32 = 6;

/// How often a question for mail is sent in a row without an answer.
const MOST_POLLS: u32 = 16;

/// How long the answer to a question for mail may take longer than the directory holds it.
const SLACK: Duration = Duration::from_millis(300);

/// How long to wait before asking again after an answer with nothing in it: one's own message has ended the
/// question, and there may be more of these.
const BREATH: Duration = Duration::from_millis(20);

/// The number that [`Client::say`] gave to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub u64);

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The name is ours, and messages come and go.
    Joined,
    /// The directory does not let us in; this is the end.
    Refused {
        /// Why.
        code: Refusal,
        /// What more it says. Not yet safe to show.
        say: String,
    },
    /// The directory has not answered for too long. It is asked again and again.
    Unreachable,
    /// Another client with our token has taken our place; this is the end.
    Moved,
    /// The session has ended as we asked; this is the end.
    Left,
    /// A message has come. Each comes once, those of one sender in their order.
    Message {
        /// Its sender.
        from: PeerName,
        /// Its text. Not yet [safe to show](super::shown).
        text: String,
    },
    /// The receiver's client has taken the message.
    Delivered {
        /// Which.
        message: MessageId,
    },
    /// The message is given up.
    Failed {
        /// Which.
        message: MessageId,
        /// Whom it was for.
        to: PeerName,
        /// Why.
        why: Lost,
    },
    /// Who is here, as it was asked for.
    Names {
        /// Some of the names, sorted.
        names: Vec<PeerName>,
        /// There are others behind the last of these.
        more: bool,
    },
}

/// Why a message is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Lost {
    /// The directory says so.
    Told(Undelivered),
    /// The directory does not answer: it may or may not have taken the message.
    NoAnswer,
    /// The directory was started anew meanwhile: the message may or may not have been shown.
    Restarted,
}

/// Why a message is not even sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SayError {
    /// It has no bytes.
    #[error("an empty message is not sent")]
    Empty,
    /// It has more than [`MAX_TEXT`] bytes.
    #[error("the message has {bytes} bytes; 8192 are allowed, so it was not sent")]
    TooLong {
        /// How many.
        bytes: usize,
    },
}

/// How many datagrams messages have cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Datagrams with a piece of a message.
    pub sent: u64,
    /// How many of these were sent before.
    pub repeated: u64,
}

/// Where the client is on its way in.
#[derive(Debug, PartialEq, Eq)]
enum Phase {
    Hello,
    Join,
    Joined,
    Over,
}

/// A client of a directory: a state machine without I/O and clock.
///
/// What arrives goes into [`receive`](Self::receive); then [`transmit`](Self::transmit) gives what is to be
/// sent and [`event`](Self::event) what has happened, each until there is no more, and
/// [`deadline`](Self::deadline) when to ask again if nothing arrives.
#[derive(Debug)]
pub struct Client {
    name: PeerName,
    token: Token,
    phase: Phase,
    /// Random at first, so that nobody else can make an answer.
    last_id: u32,
    /// Of the directory that was joined last.
    epoch: Option<String>,
    session: String,
    /// The request of the handshake, or the one to leave.
    control: Option<Repeat>,
    who: Option<Repeat>,
    poll: Option<Repeat>,
    /// The number of the item that came last. One number is all that it takes to see no message twice.
    got: u64,
    joining: Joining,
    outgoing: Outgoing,
    last_message: u64,
    events: VecDeque<Event>,
}

impl Client {
    /// A client that wants to be `name`. `chance` is where its requests begin to count.
    pub fn new(name: PeerName, token: Token, chance: u32, now: Instant) -> Self {
        let mut client = Self {
            name,
            token,
            phase: Phase::Hello,
            last_id: chance,
            epoch: None,
            session: String::new(),
            control: None,
            who: None,
            poll: None,
            got: 0,
            joining: Joining::default(),
            outgoing: Outgoing::default(),
            last_message: 0,
            events: VecDeque::new(),
        };
        client.greet(now);
        client
    }

    /// Our name.
    pub fn name(&self) -> &PeerName {
        &self.name
    }

    /// Sends a message, in pieces if it is long. What becomes of it is told by an event.
    ///
    /// # Errors
    /// When it is empty or has more than [`MAX_TEXT`] bytes; then nothing is sent.
    pub fn say(&mut self, to: &PeerName, text: &str) -> Result<MessageId, SayError> {
        match text.len() {
            0 => Err(SayError::Empty),
            1..=MAX_TEXT => {
                self.last_message += 1;
                let id = MessageId(self.last_message);
                self.outgoing.put(id, to.clone(), text);
                Ok(id)
            }
            bytes => Err(SayError::TooLong { bytes }),
        }
    }

    /// Asks who is here, behind a name in the order of names.
    pub fn ask_who(&mut self, after: &str, now: Instant) {
        let session = self.session.clone();
        let after = after.to_owned();
        self.who = self.request(Ask::Who { session, after }, now, MOST_TRIES);
    }

    /// Ends the session. Messages that have not been told of are given up without a word.
    pub fn leave(&mut self, now: Instant) {
        let session = self.session.clone();
        self.outgoing.give_up();
        (self.poll, self.who) = (None, None);
        match self.phase {
            Phase::Joined => self.control = self.request(Ask::Leave { session }, now, 2),
            _ => {
                self.phase = Phase::Over;
                self.control = None;
                self.events.push_back(Event::Left);
            }
        }
    }

    /// How many messages there are of which nothing has been told.
    pub fn under_way(&self) -> usize {
        self.outgoing.len()
    }

    /// How many datagrams messages have cost so far.
    pub fn stats(&self) -> Stats {
        let Outgoing { sent, repeated, .. } = self.outgoing;
        Stats { sent, repeated }
    }

    /// The next event, if there is one.
    pub fn event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next object to be sent, if there is one.
    pub fn transmit(&mut self, now: Instant) -> Option<Bytes> {
        self.tick(now);
        if let Some(object) = self.control.as_mut().and_then(|repeat| repeat.due(now)) {
            return Some(object);
        }
        if self.phase != Phase::Joined {
            return None;
        }
        let Self {
            outgoing,
            session,
            last_id,
            ..
        } = self;
        if let Some(object) = outgoing.transmit(session, last_id, now) {
            return Some(object);
        }
        let asked = self.who.as_mut().and_then(|repeat| repeat.due(now));
        // Behind the others, which end it.
        asked.or_else(|| self.poll.as_mut().and_then(|repeat| repeat.due(now)))
    }

    /// When to call [`transmit`](Self::transmit) if nothing arrives before.
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        let messages = match self.phase {
            Phase::Joined => self.outgoing.deadline(now),
            _ => None,
        };
        let repeats = [&self.control, &self.who, &self.poll].into_iter().flatten();
        repeats.map(Repeat::at).chain(messages).min()
    }

    /// Takes the object of a datagram of the directory. What is no answer to an open question is passed over.
    pub fn receive(&mut self, frame: &[u8], now: Instant) {
        let Some(Answer { id, tell }) = wire::read(frame) else {
            return;
        };
        let is = |repeat: &Option<Repeat>| repeat.as_ref().is_some_and(|repeat| repeat.id == id);
        let (control, who, poll) = (is(&self.control), is(&self.who), is(&self.poll));
        let piece = self.outgoing.awaits(id);
        match tell {
            Tell::Cookie { cookie } if control && self.phase == Phase::Hello => {
                self.join(cookie, now);
            }
            Tell::Joined {
                session,
                epoch,
                next,
                got,
            } if control && self.phase == Phase::Join => {
                self.joined(session, epoch, next, got, now)
            }
            Tell::Left if control => self.over(Event::Left),
            Tell::Said { seq, next } if piece => self.outgoing.taken(Some(seq), next, now),
            Tell::Mail { mail } if poll => {
                let pause = if mail.is_empty() {
                    BREATH
                } else {
                    Duration::ZERO
                };
                for item in mail {
                    self.item(item, now);
                }
                self.ask_for_mail(now + pause);
            }
            Tell::Names { names, more } if who => {
                self.who = None;
                self.events.push_back(Event::Names { names, more });
            }
            Tell::Error { code, say } if control || who || poll || piece => {
                self.refused(code, say, control, now);
            }
            _ => {}
        }
    }

    fn refused(&mut self, code: Refusal, say: String, control: bool, now: Instant) {
        match (code, &self.phase) {
            (Refusal::Moved, Phase::Joined) => self.over(Event::Moved),
            (Refusal::NoSession, Phase::Joined) => self.greet(now),
            // Asked again at leisure, so that two ends that do not agree make no storm.
            (Refusal::Cookie | Refusal::Stale, Phase::Join) => self.greet(now + HOLD),
            (_, Phase::Join) if control => self.over(Event::Refused { code, say }),
            _ => {}
        }
    }

    fn over(&mut self, event: Event) {
        self.phase = Phase::Over;
        (self.control, self.who, self.poll) = (None, None, None);
        for (message, to) in self.outgoing.give_up() {
            let why = Lost::NoAnswer;
            self.events.push_back(Event::Failed { message, to, why });
        }
        self.events.push_back(event);
    }

    /// Begins the handshake.
    fn greet(&mut self, at: Instant) {
        self.phase = Phase::Hello;
        (self.who, self.poll) = (None, None);
        self.last_id = self.last_id.wrapping_add(1);
        let hello = wire::hello(self.last_id);
        self.control = Some(Repeat::new(self.last_id, hello, at, MOST_TRIES));
    }

    fn join(&mut self, cookie: String, now: Instant) {
        self.phase = Phase::Join;
        let ask = Ask::Join {
            name: self.name.to_string(),
            token: self.token.expose().to_owned(),
            cookie,
            fresh: self.epoch.is_none(),
        };
        self.control = self.request(ask, now, MOST_TRIES);
    }

    fn joined(&mut self, session: String, epoch: String, next: u64, got: u64, now: Instant) {
        self.phase = Phase::Joined;
        self.session = session;
        self.control = None;
        if self.epoch.as_ref() == Some(&epoch) {
            self.outgoing.resume(next, now);
        } else {
            let forgotten = self.outgoing.forgotten(next);
            self.fail(forgotten, Lost::Restarted);
            self.epoch = Some(epoch);
            self.got = got;
            self.joining.clear();
        }
        self.ask_for_mail(now);
        self.events.push_back(Event::Joined);
    }

    fn ask_for_mail(&mut self, at: Instant) {
        let ask = Ask::Poll {
            session: self.session.clone(),
            got: self.got,
        };
        let poll = self.request(ask, at, MOST_POLLS);
        self.poll = poll.map(|repeat| repeat.pausing(HOLD + SLACK));
    }

    fn request(&mut self, ask: Ask, at: Instant, most: u32) -> Option<Repeat> {
        self.last_id = self.last_id.wrapping_add(1);
        let id = self.last_id;
        let object = wire::write(&Request { id, ask })?;
        Some(Repeat::new(id, object, at, most))
    }

    /// Takes what has come, if it is the next one.
    fn item(&mut self, item: Item, now: Instant) {
        if item.n != self.got + 1 {
            return;
        }
        self.got = item.n;
        match item.what {
            What::Piece { from, text, more } => {
                if let Some(Ok(text)) = self.joining.add(&text, more) {
                    self.events.push_back(Event::Message { from, text });
                }
            }
            What::Shown { shown } => {
                if let Some((message, _)) = self.outgoing.close(shown, now) {
                    self.events.push_back(Event::Delivered { message });
                }
            }
            What::Failed { failed, why } => {
                let closed = self.outgoing.close(failed, now);
                self.fail(closed, Lost::Told(why));
            }
        }
    }

    /// Gives up what has lasted too long.
    fn tick(&mut self, now: Instant) {
        let expired = self.outgoing.expired(now);
        self.fail(expired, Lost::NoAnswer);
        let is_exhausted = |repeat: &Option<Repeat>| {
            let repeat = repeat.as_ref();
            repeat.is_some_and(|repeat| repeat.is_exhausted(now))
        };
        if is_exhausted(&self.who) {
            self.who = None;
        }
        let silent = match self.phase {
            Phase::Over => false,
            Phase::Hello | Phase::Join => is_exhausted(&self.control),
            Phase::Joined if is_exhausted(&self.control) => {
                // Whoever leaves does not insist.
                self.over(Event::Left);
                false
            }
            Phase::Joined => is_exhausted(&self.poll) || self.outgoing.is_exhausted(now),
        };
        if silent {
            let given_up = self.outgoing.give_up();
            self.fail(given_up, Lost::NoAnswer);
            self.events.push_back(Event::Unreachable);
            self.greet(now);
        }
    }

    fn fail(&mut self, lost: impl IntoIterator<Item = (MessageId, PeerName)>, why: Lost) {
        for (message, to) in lost {
            self.events.push_back(Event::Failed { message, to, why });
        }
    }
}
