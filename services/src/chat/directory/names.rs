//! The names that there are, whose they are, and which ones make room.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    task::Waker,
    time::Instant,
};

use super::{
    super::{name::PeerName, token::TokenDigest},
    mailbox::Mailbox,
    upload::Upload,
};

/// A name and what belongs to it.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) digest: TokenDigest,
    look: String,
    /// When it was registered, in the order of all names.
    pub(super) born: u64,
    /// The stamp of the join seen last. An earlier one is old, whenever it arrives.
    pub(super) stamp: u64,
    /// None while its owner is not here.
    session: Option<Session>,
    /// The session that the current one has taken the place of.
    previous: Option<String>,
    /// Its place in the order of those that are here, or of those that are not.
    turn: u64,
    pub(super) upload: Upload,
    pub(super) mailbox: Mailbox,
    /// Messages taken from its owner of which nobody knows yet what becomes of them.
    pub(super) under_way: usize,
}

/// An owner who is here.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: String,
    pub(super) address: SocketAddr,
    pub(super) heard: Instant,
    /// The number of the request that waits for mail, and whom to wake for it.
    pub(super) waiting: Option<(u64, Option<Waker>)>,
}

impl Session {
    /// Lets the request that waits for mail see what there is.
    pub(super) fn wake(&mut self) {
        if let Some((_, waker)) = &mut self.waiting
            && let Some(waker) = waker.take()
        {
            waker.wake();
        }
    }

    /// Ends the request that waits for mail; it will see that it is not the one any more.
    pub(super) fn supersede(&mut self) {
        self.wake();
        self.waiting = None;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.supersede();
    }
}

/// Why a name cannot be had.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoName {
    LooksLike(PeerName),
    Full,
}

/// Why a session is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoSession {
    Unknown,
    /// Its owner has begun another one.
    Moved,
}

/// All names.
#[derive(Debug)]
pub(super) struct Names {
    records: HashMap<PeerName, Record>,
    looks: HashMap<String, PeerName>,
    sessions: HashMap<String, PeerName>,
    /// Those who are here, who was not heard of for longest first.
    here: BTreeMap<u64, PeerName>,
    /// Those who are not, who has been away for longest first.
    away: BTreeMap<u64, PeerName>,
    turn: u64,
    most: usize,
}

impl Names {
    pub(super) fn new(most: usize) -> Self {
        Self {
            records: HashMap::new(),
            looks: HashMap::new(),
            sessions: HashMap::new(),
            here: BTreeMap::new(),
            away: BTreeMap::new(),
            turn: 0,
            most: most.max(1),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&PeerName, &Record)> {
        self.records.iter()
    }

    pub(super) fn get_mut(&mut self, name: &PeerName) -> Option<&mut Record> {
        self.records.get_mut(name)
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Registers a name. If there is no room, the one whose owner has been away for longest makes some; it is
    /// returned.
    pub(super) fn add(
        &mut self,
        name: PeerName,
        digest: TokenDigest,
    ) -> Result<Option<Record>, NoName> {
        let look = name.look();
        if let Some(other) = self.looks.get(&look) {
            return Err(NoName::LooksLike(other.clone()));
        }
        let gone = if self.records.len() >= self.most {
            let (_, oldest) = self.away.pop_first().ok_or(NoName::Full)?;
            let gone = self.records.remove(&oldest);
            if let Some(record) = &gone {
                self.looks.remove(&record.look);
                if let Some(previous) = &record.previous {
                    self.sessions.remove(previous);
                }
            }
            gone
        } else {
            None
        };
        self.turn += 1;
        self.looks.insert(look.clone(), name.clone());
        self.away.insert(self.turn, name.clone());
        let record = Record {
            digest,
            look,
            born: self.turn,
            stamp: 0,
            session: None,
            previous: None,
            turn: self.turn,
            upload: Upload::default(),
            mailbox: Mailbox::default(),
            under_way: 0,
        };
        self.records.insert(name, record);
        Ok(gone)
    }

    /// The session of a name.
    pub(super) fn session(&mut self, name: &PeerName) -> Option<&mut Session> {
        self.records.get_mut(name)?.session.as_mut()
    }

    /// Whose session it is, if it is that address's; or whether the owner has begun another one since.
    pub(super) fn owner(
        &mut self,
        id: &str,
        address: SocketAddr,
        now: Instant,
    ) -> Result<PeerName, NoSession> {
        let name = self.sessions.get(id).ok_or(NoSession::Unknown)?.clone();
        let session = self.session(&name).ok_or(NoSession::Unknown)?;
        if session.id != id {
            return Err(NoSession::Moved);
        }
        if session.address != address {
            return Err(NoSession::Unknown);
        }
        session.heard = now;
        self.touch(&name);
        Ok(name)
    }

    /// Begins a session, in place of the one that there was.
    pub(super) fn begin(&mut self, name: &PeerName, session: Session) {
        let Some(record) = self.records.get_mut(name) else {
            return;
        };
        let replaced = record.session.as_ref().map(|session| session.id.clone());
        let older = std::mem::replace(&mut record.previous, replaced.clone());
        self.end(name);
        if let Some(older) = older {
            self.sessions.remove(&older);
        }
        // Whoever still uses it is to be told that it was replaced, or would come back and take the
        // name's mail away again, for ever in turns.
        if let Some(replaced) = replaced {
            self.sessions.insert(replaced, name.clone());
        }
        let Some(record) = self.records.get_mut(name) else {
            return;
        };
        self.sessions.insert(session.id.clone(), name.clone());
        record.session = Some(session);
        self.away.remove(&record.turn);
        self.here.insert(record.turn, name.clone());
        self.touch(name);
    }

    /// Ends a session; the name stays its owner's.
    pub(super) fn end(&mut self, name: &PeerName) {
        let Some(record) = self.records.get_mut(name) else {
            return;
        };
        let Some(session) = record.session.take() else {
            return;
        };
        self.sessions.remove(&session.id);
        self.here.remove(&record.turn);
        self.turn += 1;
        record.turn = self.turn;
        self.away.insert(self.turn, name.clone());
    }

    /// Who was not heard of for longest of those who are here.
    pub(super) fn quietest(&mut self) -> Option<(PeerName, Instant)> {
        let (_, name) = self.here.first_key_value()?;
        let name = name.clone();
        let heard = self.session(&name)?.heard;
        Some((name, heard))
    }

    /// The names of those who are here, sorted, behind one of them.
    pub(super) fn here_after(&self, after: &str) -> Vec<PeerName> {
        let behind = self.here.values().filter(|name| name.as_str() > after);
        let mut names: Vec<_> = behind.cloned().collect();
        names.sort();
        names
    }

    /// Puts one who is here last in the order.
    fn touch(&mut self, name: &PeerName) {
        if let Some(record) = self.records.get_mut(name)
            && let Some(name) = self.here.remove(&record.turn)
        {
            self.turn += 1;
            record.turn = self.turn;
            self.here.insert(self.turn, name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest() -> TokenDigest {
        "0123456789abcdef".repeat(4).parse().unwrap()
    }

    fn name(text: &str) -> PeerName {
        text.parse().unwrap()
    }

    fn session(id: &str) -> Session {
        Session {
            id: id.to_owned(),
            address: "127.0.0.1:9".parse().unwrap(),
            heard: Instant::now(),
            waiting: None,
        }
    }

    #[test]
    fn svc_g10_who_has_been_away_for_longest_makes_room_and_who_is_here_stays() {
        let mut names = Names::new(3);
        for (text, id) in [("ann", "1"), ("ben", "2"), ("cat", "3")] {
            names.add(name(text), digest()).unwrap();
            names.begin(&name(text), session(id));
        }
        assert_eq!(names.add(name("dan"), digest()).unwrap_err(), NoName::Full);
        names.end(&name("ben"));
        names.end(&name("ann"));
        assert!(names.add(name("dan"), digest()).unwrap().is_some());
        assert!(names.get_mut(&name("ben")).is_none());
        assert!(names.get_mut(&name("ann")).is_some());
        let gone = names.owner("2", session("2").address, Instant::now());
        assert_eq!(gone, Err(NoSession::Unknown));
        // Gone with all that belonged to it.
        assert!(names.add(name("Ben"), digest()).is_ok());
        assert!(names.get_mut(&name("ann")).is_none());
        assert_eq!((names.len(), names.looks.len()), (3, 3));
        assert_eq!(names.here.len() + names.away.len(), 3);
        assert_eq!(names.here_after(""), [name("cat")]);
    }

    #[test]
    fn svc_g9_a_name_that_looks_like_another_is_refused() {
        let mut names = Names::new(3);
        names.add(name("paypal"), digest()).unwrap();
        let error = names.add(name("PayPaI"), digest()).unwrap_err();
        assert_eq!(error, NoName::LooksLike(name("paypal")));
    }
}
