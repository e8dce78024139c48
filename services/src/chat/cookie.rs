//! Proves that a client is where its datagrams say, without keeping anything for it.
//!
//! Anybody can write any sender on a datagram, but only who is there sees the answer. So the first answer
//! is a cookie: a stamp, and a keyed hash of it and the address. Whoever brings it back from that address
//! within its time is there.
//!
//! No two stamps are alike and they only grow, so that of two joins it is known which is the later one.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use subtle::ConstantTimeEq;

use super::token::hex;

/// How long a cookie can be used.
const LIFE: Duration = Duration::from_secs(20);

/// Bytes of the hash that a cookie holds.
const HASH: usize = 12;

/// Makes cookies, and knows its own.
pub(super) struct Cookies {
    key: [u8; 32],
    start: Instant,
    last: u64,
}

impl Cookies {
    pub(super) fn new(key: [u8; 32], now: Instant) -> Self {
        Self {
            key,
            start: now,
            last: 0,
        }
    }

    /// A cookie for whoever is at `address`.
    pub(super) fn make(&mut self, address: SocketAddr, now: Instant) -> String {
        self.last = self.micros(now).max(self.last + 1);
        let stamp = self.last.to_be_bytes();
        hex(&stamp) + &hex(&self.hash(stamp, address))
    }

    /// The stamp of a cookie that was made for `address` not too long ago.
    pub(super) fn check(&self, cookie: &str, address: SocketAddr, now: Instant) -> Option<u64> {
        let (stamp, _) = cookie.split_at_checked(16)?;
        let stamp = u64::from_str_radix(stamp, 16).ok()?;
        let bytes = stamp.to_be_bytes();
        // Compared as text, which also refuses every other way to write the same number.
        let own = hex(&bytes) + &hex(&self.hash(bytes, address));
        let same: bool = own.as_bytes().ct_eq(cookie.as_bytes()).into();
        let age = self.micros(now).saturating_sub(stamp);
        (same && u128::from(age) <= LIFE.as_micros()).then_some(stamp)
    }

    fn micros(&self, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(self.start).as_micros();
        u64::try_from(passed).unwrap_or(u64::MAX)
    }

    fn hash(&self, stamp: [u8; 8], address: SocketAddr) -> [u8; HASH] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&stamp);
        hasher.update(address.to_string().as_bytes());
        let mut hash = [0; HASH];
        hasher.finalize_xof().fill(&mut hash);
        hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn svc_g12_a_cookie_is_good_at_its_address_for_its_time_and_under_its_key() {
        let now = Instant::now();
        let (here, there) = (
            "127.0.0.1:1".parse().unwrap(),
            "127.0.0.1:2".parse().unwrap(),
        );
        let mut cookies = Cookies::new([1; 32], now);
        let cookie = cookies.make(here, now);
        assert_eq!(cookies.check(&cookie, here, now), Some(1));
        assert_eq!(cookies.check(&cookie, here, now + LIFE), Some(1));
        let late = now + LIFE + Duration::from_millis(1);
        assert_eq!(cookies.check(&cookie, here, late), None);
        assert_eq!(cookies.check(&cookie, there, now), None);
        let restarted = Cookies::new([2; 32], now);
        assert_eq!(restarted.check(&cookie, here, now), None);
        for bad in [
            "",
            "0",
            &cookie[..39],
            &format!("{cookie}0"),
            &cookie.to_uppercase(),
            "语语语语语语语语",
        ] {
            let digits = bad == cookie;
            assert!(digits || cookies.check(bad, here, now).is_none(), "{bad}");
        }
        // Within one tick of the clock they still grow.
        let next = cookies.make(here, now);
        assert_eq!(cookies.check(&next, here, now), Some(2));
    }
}
