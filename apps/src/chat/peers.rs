//! Numbers for those who have written.

use std::net::SocketAddr;

use super::contacts::Contacts;

/// How many peers are remembered. Whoever forges senders could make it any number.
const MOST: usize = 1000;

/// Those who have written, in the order of their first message, and whom lines go to.
#[derive(Debug, Default)]
pub(super) struct Peers {
    seen: Vec<SocketAddr>,
    /// Whom `/to` has chosen.
    chosen: Option<SocketAddr>,
    /// Whose message was shown last.
    last: Option<SocketAddr>,
}

impl Peers {
    /// Notes that somebody's message is shown; gives the number of one who is new.
    pub(super) fn shown(&mut self, from: SocketAddr) -> Option<usize> {
        self.last = Some(from);
        if self.seen.contains(&from) || self.seen.len() >= MOST {
            return None;
        }
        self.seen.push(from);
        Some(self.seen.len())
    }

    /// Whom a line goes to.
    pub(super) fn current(&self) -> Option<SocketAddr> {
        self.chosen.or(self.last)
    }

    /// From now on lines go to this one, or again to whoever was shown last.
    pub(super) fn choose(&mut self, whom: Option<SocketAddr>) {
        self.chosen = whom;
    }

    /// Finds somebody by number, name or address.
    pub(super) fn find(&self, whom: &str, contacts: &Contacts) -> Option<SocketAddr> {
        let number: Option<usize> = whom.parse().ok();
        let seen = number.and_then(|number| self.seen.get(number.checked_sub(1)?));
        seen.copied().or_else(|| contacts.find(whom))
    }

    /// All of them with their numbers.
    pub(super) fn list(&self) -> impl Iterator<Item = (usize, SocketAddr)> {
        (1..).zip(self.seen.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_to_whom_was_shown_last_unless_somebody_is_chosen() {
        let contacts = Contacts::read(None).unwrap();
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let mut peers = Peers::default();
        assert_eq!(peers.current(), None);
        assert_eq!(peers.shown(address(1)), Some(1));
        assert_eq!(peers.shown(address(2)), Some(2));
        assert_eq!(peers.shown(address(1)), None);
        assert_eq!(peers.current(), Some(address(1)));
        peers.choose(peers.find("2", &contacts));
        peers.shown(address(1));
        assert_eq!(peers.current(), Some(address(2)));
        peers.choose(None);
        assert_eq!(peers.current(), Some(address(1)));
        assert_eq!(peers.find("Jack", &contacts), Some(address(8081)));
        assert_eq!(peers.find("127.0.0.1:5", &contacts), Some(address(5)));
        for nobody in ["0", "3", "nobody", ""] {
            assert_eq!(peers.find(nobody, &contacts), None);
        }
    }
}
