//! The directory: whose a name is, and what one name's owner says to another.
//!
//! A state machine without I/O and clock: [`Directory::handle`] takes a datagram, its sender and the time, and
//! gives at most one answer. It never sends anything by itself, so nobody gets more than was asked for
//! from that very address.
//!
//! ```text
//!  hello ─▶ cookie                               nothing is kept
//!  join  ─▶ joined     name, token, cookie       the name is registered, a session begins
//!  say   ─▶ said       piece after piece         into the receiver's mailbox, once and in order
//!  poll  ─▶ mail       what has come             pieces, and what became of one's own messages
//! ```

mod mailbox;
mod names;
mod upload;

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    task::Waker,
    time::{Duration, Instant},
};

use bytes::Bytes;

use self::{
    names::{Names, NoName, NoSession, Record, Session},
    upload::{Message, Piece},
};
use super::{
    cookie::Cookies,
    name::PeerName,
    pieces::{self, MAX_PIECE},
    token::{Token, TokenDigest, hex},
    wire::{self, Answer, Ask, Refusal, Request, Tell, Undelivered, What},
};

/// How long a request for mail is held until there is some. A client whose request or its answer was
/// lost asks again after that, so it is also how long a loss may delay a message.
pub const HOLD: Duration = Duration::from_secs(1);

/// Messages of one sender of which nobody knows yet what becomes of them.
const MOST_UNDER_WAY: usize = 64;

/// Bytes of names in one answer.
const NAMES: usize = 1000;

/// The limits of a [`Directory`].
#[derive(Clone, Debug)]
pub struct DirectoryOptions {
    most_names: usize,
    most_bytes: usize,
    mailbox: usize,
    idle: Duration,
    delivery: Duration,
}

impl Default for DirectoryOptions {
    fn default() -> Self {
        Self {
            most_names: 10_000,
            most_bytes: 32 * 1024 * 1024,
            mailbox: 128 * 1024,
            idle: Duration::from_secs(60),
            delivery: Duration::from_secs(30),
        }
    }
}

impl DirectoryOptions {
    /// Sets how many names there may be (10 000; at least 1). When there is one more, the one whose owner has
    /// been away for longest is forgotten.
    pub fn most_names(mut self, names: usize) -> Self {
        self.most_names = names;
        self
    }

    /// Sets how many bytes of messages may wait for all receivers together (32 MiB).
    pub fn most_bytes(mut self, bytes: usize) -> Self {
        self.most_bytes = bytes;
        self
    }

    /// Sets how many bytes of messages may wait for one receiver (128 KiB).
    pub fn mailbox(mut self, bytes: usize) -> Self {
        self.mailbox = bytes;
        self
    }

    /// Sets how long a session lasts without a request (60 s).
    pub fn idle(mut self, limit: Duration) -> Self {
        self.idle = limit;
        self
    }

    /// Sets how long a message may wait for its receiver (30 s). Then its sender is told.
    pub fn delivery(mut self, limit: Duration) -> Self {
        self.delivery = limit;
        self
    }
}

/// What becomes of a datagram.
#[derive(Debug)]
pub enum Reply {
    /// This is the answer.
    Now(Bytes),
    /// The answer comes once there is mail; [`Directory::mail`] gives it.
    Later(Ticket),
    /// There is none.
    Never,
}

/// A request that waits for mail.
#[derive(Clone, Debug)]
pub struct Ticket {
    name: PeerName,
    /// The number of the request among all that have waited.
    number: u64,
    id: u32,
}

/// A message on its way to its receiver.
#[derive(Debug)]
struct UnderWay {
    until: Instant,
    from: PeerName,
    seq: u64,
    to: PeerName,
}

/// A directory of names: a state machine without I/O and clock.
///
/// [`handle`](Self::handle) takes a datagram, its sender and the time, and gives at most one answer.
pub struct Directory {
    options: DirectoryOptions,
    key: [u8; 32],
    epoch: String,
    cookies: Cookies,
    names: Names,
    /// By number, so the oldest stands first.
    under_way: BTreeMap<u64, UnderWay>,
    /// The number of the message taken last.
    last_message: u64,
    last_session: u64,
    last_ticket: u64,
    /// Bytes that wait in all uploads and mailboxes.
    bytes: usize,
    changes: u64,
}

impl Directory {
    /// An empty directory. `key` must be chance of its own for each start: sessions and cookies are made of it.
    pub fn new(options: DirectoryOptions, key: [u8; 32], now: Instant) -> Self {
        Self {
            names: Names::new(options.most_names),
            options,
            epoch: hex(&blake3::keyed_hash(&key, b"epoch").as_bytes()[..4]),
            cookies: Cookies::new(key, now),
            key,
            under_way: BTreeMap::new(),
            last_message: 0,
            last_session: 0,
            last_ticket: 0,
            bytes: 0,
            changes: 0,
        }
    }

    /// Registers a name as it was kept from an earlier start. Tells whether there was room for it.
    pub fn adopt(&mut self, name: PeerName, digest: TokenDigest) -> bool {
        self.names.len() < self.options.most_names && self.names.add(name, digest).is_ok()
    }

    /// The names and their owners' tokens, to be kept.
    pub fn owners(&self) -> impl Iterator<Item = (&PeerName, &TokenDigest)> {
        let records = self.names.iter();
        records.map(|(name, record)| (name, &record.digest))
    }

    /// Grows whenever [`owners`](Self::owners) change.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is no name.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of messages that wait.
    pub fn waiting_bytes(&self) -> usize {
        self.bytes
    }

    /// Takes the object of a datagram from `source` and gives what is to be answered.
    ///
    /// Who has not proved to be at that address gets no answer that is larger than the question, and what is
    /// no request gets none.
    pub fn handle(&mut self, source: SocketAddr, frame: &[u8], now: Instant) -> Reply {
        self.tick(now);
        let Some(Request { id, ask }) = wire::read(frame) else {
            return Reply::Never;
        };
        let (answer, proved) = match ask {
            Ask::Hello { .. } => {
                let cookie = self.cookies.make(source, now);
                (Tell::Cookie { cookie }, false)
            }
            Ask::Join {
                name,
                token,
                cookie,
                fresh,
            } => match self.cookies.check(&cookie, source, now) {
                None => (refusal(Refusal::Cookie), false),
                Some(stamp) => {
                    let joined = self.join(&name, &token, stamp, fresh, source, now);
                    (joined.unwrap_or_else(|refused| refused), true)
                }
            },
            Ask::Say { ref session, .. }
            | Ask::Poll { ref session, .. }
            | Ask::Who { ref session, .. }
            | Ask::Leave { ref session } => match self.names.owner(session, source, now) {
                Err(NoSession::Unknown) => (refusal(Refusal::NoSession), false),
                Err(NoSession::Moved) => (refusal(Refusal::Moved), false),
                Ok(name) => match self.serve(name, id, ask, now) {
                    Ok(tell) => (tell, true),
                    Err(reply) => return reply,
                },
            },
        };
        match wire::write(&Answer { id, tell: answer }) {
            Some(answer) if proved || answer.len() <= frame.len() => Reply::Now(answer),
            _ => Reply::Never,
        }
    }

    /// The answer to a request that waits for mail, or `None` to be called again once `waker` is woken. With
    /// `at_once` there is an answer in any case.
    pub fn mail(&mut self, ticket: &Ticket, waker: &Waker, at_once: bool) -> Option<Bytes> {
        let mail = match self.names.session(&ticket.name) {
            Some(session) => match &mut session.waiting {
                Some((number, waiting)) if *number == ticket.number => {
                    *waiting = Some(waker.clone());
                    let record = self.names.get_mut(&ticket.name)?;
                    if record.mailbox.is_empty() && !at_once {
                        return None;
                    }
                    let mail = record.mailbox.batch();
                    self.names.session(&ticket.name)?.waiting = None;
                    mail
                }
                // Another request has come meanwhile, and answers go out in order.
                _ => Vec::new(),
            },
            None => Vec::new(),
        };
        let tell = Tell::Mail { mail };
        wire::write(&Answer {
            id: ticket.id,
            tell,
        })
    }

    fn join(
        &mut self,
        name: &str,
        token: &str,
        stamp: u64,
        fresh: bool,
        address: SocketAddr,
        now: Instant,
    ) -> Result<Tell, Tell> {
        let name: PeerName = name.parse().map_err(|error| said(Refusal::Name, error))?;
        let token: Token = token.parse().map_err(|error| said(Refusal::Token, error))?;
        self.register(&name, &token)?;
        let id = self.session_id();
        let (last, current) = match self.names.get_mut(&name) {
            None => return Err(refusal(Refusal::Full)),
            Some(record) => (record.stamp, self.names.session(&name)),
        };
        let again = match current {
            Some(session) if stamp == last && session.address == address => {
                Some(session.id.clone())
            }
            _ if stamp <= last => return Err(refusal(Refusal::Stale)),
            _ => None,
        };
        let is_again = again.is_some();
        let id = again.unwrap_or(id);
        if !is_again {
            let waiting = None;
            let session = Session {
                id: id.clone(),
                address,
                heard: now,
                waiting,
            };
            self.names.begin(&name, session);
        }
        let joined = self.counted(&name, |record| {
            record.stamp = stamp;
            if !is_again {
                record.upload.rewind();
            }
            if fresh && !is_again {
                record.mailbox.forget_receipts();
            }
            (record.born, record.upload.next(), record.mailbox.taken())
        });
        let (born, next, got) = joined.ok_or_else(|| refusal(Refusal::Full))?;
        Ok(Tell::Joined {
            session: id,
            // A name that was forgotten and registered again begins anew as well.
            epoch: format!("{}-{born:x}", self.epoch),
            next,
            got,
        })
    }

    /// Sees to it that the name is the token's.
    fn register(&mut self, name: &PeerName, token: &Token) -> Result<(), Tell> {
        match self.names.get_mut(name) {
            Some(record) if record.digest.is_of(token) => return Ok(()),
            Some(_) => return Err(refusal(Refusal::Taken)),
            None => {}
        }
        let gone = self.names.add(name.clone(), token.digest());
        let gone = gone.map_err(|no_name| match no_name {
            NoName::LooksLike(other) => said(Refusal::LookAlike, other),
            NoName::Full => refusal(Refusal::Full),
        })?;
        if let Some(record) = gone {
            self.bytes -= bytes_of(&record);
        }
        self.changes += 1;
        Ok(())
    }

    fn session_id(&mut self) -> String {
        self.last_session += 1;
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(b"session");
        hasher.update(&self.last_session.to_be_bytes());
        hex(&hasher.finalize().as_bytes()[..16])
    }

    /// Does what the owner of a name asks.
    fn serve(&mut self, name: PeerName, id: u32, ask: Ask, now: Instant) -> Result<Tell, Reply> {
        // Answers go out in order: none must wait behind the one that waits for mail.
        if let Some(session) = self.names.session(&name) {
            session.supersede();
        }
        match ask {
            Ask::Say {
                seq,
                to,
                text,
                more,
                ..
            } => {
                if pieces::size(&text) > MAX_PIECE || to.len() > PeerName::MAX_LENGTH {
                    return Ok(refusal(Refusal::BadRequest));
                }
                let piece = Piece { to, text, more };
                let next = self.say(&name, seq, piece, now).ok_or(Reply::Never)?;
                Ok(Tell::Said { seq, next })
            }
            Ask::Poll { got, .. } => {
                let confirmed = self.counted(&name, |record| record.mailbox.confirm(got));
                for message in confirmed.unwrap_or_default() {
                    self.close(message, |seq| What::Shown { shown: seq });
                }
                self.last_ticket += 1;
                let number = self.last_ticket;
                if let Some(session) = self.names.session(&name) {
                    session.waiting = Some((number, None));
                }
                Err(Reply::Later(Ticket { name, number, id }))
            }
            Ask::Who { after, .. } => {
                let mut room = NAMES;
                let mut names = self.names.here_after(&after);
                let fitting = names.iter().take_while(|name| {
                    let left = room.checked_sub(name.as_str().len() + 3);
                    room = left.unwrap_or(0);
                    left.is_some()
                });
                let count = fitting.count();
                let more = count < names.len();
                names.truncate(count);
                Ok(Tell::Names { names, more })
            }
            Ask::Leave { .. } => {
                self.names.end(&name);
                Ok(Tell::Left)
            }
            // These have no session.
            Ask::Hello { .. } | Ask::Join { .. } => Err(Reply::Never),
        }
    }

    /// Takes a piece, and passes on the messages that it completes; `None` if there is no room for it now.
    fn say(&mut self, name: &PeerName, seq: u64, piece: Piece, now: Instant) -> Option<u64> {
        let is_full = self.bytes >= self.options.most_bytes;
        let most_unread = self.options.mailbox.saturating_mul(2);
        let taken = self.counted(name, |record| {
            let known = seq < record.upload.next();
            // Who does not ask what became of the messages cannot pile up the answers either.
            let unread = record.mailbox.bytes() > most_unread;
            let room = !is_full && !unread && record.under_way < MOST_UNDER_WAY;
            (known || room) && record.upload.take(seq, piece)
        })?;
        if !taken {
            return None;
        }
        while let Some(message) = self.counted(name, |record| record.upload.message())? {
            self.pass_on(name, message, now);
        }
        Some(self.names.get_mut(name)?.upload.next())
    }

    /// Puts a message into its receiver's mailbox, or says why not into its sender's.
    fn pass_on(&mut self, from: &PeerName, message: Message, now: Instant) {
        let Message { seq, to, text } = message;
        let why = match (text, to.parse::<PeerName>()) {
            (Err(_), _) => Undelivered::TooLong,
            (_, Err(_)) => Undelivered::Unknown,
            (Ok(text), Ok(to)) => match self.deliver(from, &to, seq, &text, now) {
                Ok(()) => return,
                Err(why) => why,
            },
        };
        self.post(from, What::Failed { failed: seq, why }, None);
    }

    fn deliver(
        &mut self,
        from: &PeerName,
        to: &PeerName,
        seq: u64,
        text: &str,
        now: Instant,
    ) -> Result<(), Undelivered> {
        let receiver = self.names.get_mut(to).ok_or(Undelivered::Unknown)?;
        if receiver.mailbox.bytes() + text.len() > self.options.mailbox {
            return Err(Undelivered::Full);
        }
        self.last_message += 1;
        let message = self.last_message;
        let pieces = pieces::cut(text);
        let last = pieces.len() - 1;
        for (index, piece) in pieces.into_iter().enumerate() {
            let what = What::Piece {
                from: from.clone(),
                text: piece.to_owned(),
                more: index < last,
            };
            self.post(to, what, Some(message));
        }
        let under_way = UnderWay {
            until: now + self.options.delivery,
            from: from.clone(),
            seq,
            to: to.clone(),
        };
        self.under_way.insert(message, under_way);
        if let Some(record) = self.names.get_mut(from) {
            record.under_way += 1;
        }
        Ok(())
    }

    /// Ends a message's way, and tells its sender.
    fn close(&mut self, message: u64, what: impl FnOnce(u64) -> What) {
        let Some(UnderWay { from, seq, .. }) = self.under_way.remove(&message) else {
            return;
        };
        if let Some(record) = self.names.get_mut(&from) {
            record.under_way = record.under_way.saturating_sub(1);
        }
        self.post(&from, what(seq), None);
    }

    fn post(&mut self, to: &PeerName, what: What, message: Option<u64>) {
        self.counted(to, |record| record.mailbox.put(what, message));
        if let Some(session) = self.names.session(to) {
            session.wake();
        }
    }

    /// Ends what has lasted for too long.
    fn tick(&mut self, now: Instant) {
        while let Some((name, heard)) = self.names.quietest()
            && now.saturating_duration_since(heard) > self.options.idle
        {
            self.names.end(&name);
        }
        while let Some((&message, under_way)) = self.under_way.first_key_value()
            && under_way.until <= now
        {
            let to = under_way.to.clone();
            let unseen = self.counted(&to, |record| record.mailbox.withdraw(message));
            let why = match unseen {
                Some(false) => Undelivered::Unconfirmed,
                Some(true) | None => Undelivered::NotHere,
            };
            self.close(message, |failed| What::Failed { failed, why });
        }
    }

    /// Works on a record, and keeps count of the bytes that wait in it.
    fn counted<T>(&mut self, name: &PeerName, work: impl FnOnce(&mut Record) -> T) -> Option<T> {
        let record = self.names.get_mut(name)?;
        let before = bytes_of(record);
        let result = work(record);
        self.bytes = self.bytes + bytes_of(record) - before;
        Some(result)
    }
}

fn bytes_of(record: &Record) -> usize {
    record.upload.bytes() + record.mailbox.bytes()
}

fn refusal(code: Refusal) -> Tell {
    let say = String::new();
    Tell::Error { code, say }
}

fn said(code: Refusal, why: impl fmt::Display) -> Tell {
    let say = why.to_string();
    Tell::Error { code, say }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory")
            .field("options", &self.options)
            .field("names", &self.names.len())
            .field("under_way", &self.under_way.len())
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}
