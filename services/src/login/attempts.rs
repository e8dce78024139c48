//! Counts tries to log in, and locks out who has had too many.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::accounts::BoxFuture;

/// Where a login comes from, as coarse as it is counted.
///
/// An IPv6 address stands for its network of 64 bits, which one person can have all of; an IPv4
/// address written as IPv6 stands for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source(Option<IpAddr>);

impl Source {
    /// This machine, over a Unix socket or in memory.
    pub const LOCAL: Self = Self(None);
}

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        Self(Some(match address.to_canonical() {
            IpAddr::V6(address) if !address.is_loopback() => {
                let network = u128::from(address) & !u128::from(u64::MAX);
                Ipv6Addr::from(network).into()
            }
            address => address,
        }))
    }
}

impl From<SocketAddr> for Source {
    fn from(address: SocketAddr) -> Self {
        address.ip().into()
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("local"),
            Some(IpAddr::V6(network)) if !network.is_loopback() => write!(f, "{network}/64"),
            Some(address) => write!(f, "{address}"),
        }
    }
}

/// Decides whether somebody may try to log in, from how often it failed.
///
/// A try is counted when it starts, so that many at the same instant are no more than many in a row.
/// An error of a shared counter is to be answered with what is safe there, most often `false`.
pub trait Attempts: fmt::Debug + Send + Sync {
    /// Takes one of the tries that `name` has from `source`; `false` when there is none left now.
    fn begin<'a>(&'a self, name: &'a str, source: Source) -> BoxFuture<'a, bool>;

    /// The try was right: forgets those that were not.
    fn succeeded<'a>(&'a self, name: &'a str, source: Source) -> BoxFuture<'a, ()>;

    /// The try was not made after all, because the server was busy: gives it back.
    fn returned<'a>(&'a self, name: &'a str, source: Source) -> BoxFuture<'a, ()>;
}

/// Counts nothing: everybody may always try.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unlimited;

impl Attempts for Unlimited {
    fn begin<'a>(&'a self, _: &'a str, _: Source) -> BoxFuture<'a, bool> {
        Box::pin(async { true })
    }

    fn succeeded<'a>(&'a self, _: &'a str, _: Source) -> BoxFuture<'a, ()> {
        Box::pin(async {})
    }

    fn returned<'a>(&'a self, _: &'a str, _: Source) -> BoxFuture<'a, ()> {
        Box::pin(async {})
    }
}

/// Counts in memory, for each pair of a name and a source.
///
/// After so many tries that were not right, the pair is locked out for a time; tries during it
/// change nothing, and after it the count starts anew. One who burns the tries of a name from one
/// address does not lock out its owner at another. Names that have no account count alike.
///
/// At most [`capacity`](MemoryAttempts::capacity) pairs are kept; the one not seen for longest gives
/// way. Time is the monotonic clock's: setting the system's clock changes nothing.
pub struct MemoryAttempts {
    tries: u32,
    lock: Duration,
    capacity: usize,
    clock: Box<dyn Fn() -> Instant + Send + Sync>,
    key: [u8; 32],
    table: Mutex<Table>,
}

impl MemoryAttempts {
    /// Allows `tries` (at least 1), then locks out for the time of `lock`.
    pub fn new(tries: u32, lock: Duration) -> Self {
        let mut key = [0; 32];
        // The key only keeps strangers from choosing pairs that fall together; zeros would do.
        let _ = getrandom::fill(&mut key);
        Self {
            tries: tries.max(1),
            lock,
            capacity: 65_536,
            clock: Box::new(Instant::now),
            key,
            table: Mutex::default(),
        }
    }

    /// Keeps at most so many pairs (at least 1). Default: 65 536, which take about 10 MiB.
    #[must_use]
    pub fn capacity(mut self, pairs: usize) -> Self {
        self.capacity = pairs.max(1);
        self
    }

    /// Takes the time from `clock`, which must not run backwards.
    #[must_use]
    pub fn clock(mut self, clock: impl Fn() -> Instant + Send + Sync + 'static) -> Self {
        self.clock = Box::new(clock);
        self
    }

    fn with<T>(
        &self,
        name: &str,
        source: Source,
        act: impl FnOnce(&mut Table, Pair, Instant) -> T,
    ) -> T {
        let pair = self.pair(name, source);
        let now = (self.clock)();
        // The table is whole after each of its calls, whoever panicked.
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        act(&mut table, pair, now)
    }

    /// A name can be as long as a frame; a digest of it cannot.
    fn pair(&self, name: &str, source: Source) -> Pair {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        match source.0 {
            None => hasher.update(&[0]),
            Some(IpAddr::V4(address)) => hasher.update(&[4]).update(&address.octets()),
            Some(IpAddr::V6(address)) => hasher.update(&[6]).update(&address.octets()),
        };
        hasher.update(name.as_bytes());
        let mut pair = [0; 16];
        hasher.finalize_xof().fill(&mut pair);
        pair
    }
}

impl fmt::Debug for MemoryAttempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryAttempts")
            .field("tries", &self.tries)
            .field("lock", &self.lock)
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

type Pair = [u8; 16];

#[derive(Debug, Default)]
struct Table {
    entries: HashMap<Pair, Entry>,
    /// The pairs in the order in which they were last seen.
    order: BTreeMap<u64, Pair>,
    ticks: u64,
}

#[derive(Debug)]
struct Entry {
    tries: u32,
    last: Instant,
    tick: u64,
}

impl Table {
    fn begin(&mut self, pair: Pair, now: Instant, limits: &MemoryAttempts) -> bool {
        let entry = self.entries.get(&pair);
        let still = entry.filter(|entry| now.saturating_duration_since(entry.last) < limits.lock);
        let tries = still.map_or(0, |entry| entry.tries);
        if tries >= limits.tries {
            // Neither counted nor put off: a lock ends when it was to end.
            return false;
        }
        self.forget(&pair);
        while self.entries.len() >= limits.capacity {
            let Some((_, oldest)) = self.order.pop_first() else {
                break;
            };
            self.entries.remove(&oldest);
        }
        self.ticks += 1;
        self.order.insert(self.ticks, pair);
        let entry = Entry {
            tries: tries + 1,
            last: now,
            tick: self.ticks,
        };
        self.entries.insert(pair, entry);
        true
    }

    fn forget(&mut self, pair: &Pair) {
        if let Some(entry) = self.entries.remove(pair) {
            self.order.remove(&entry.tick);
        }
    }

    fn give_back(&mut self, pair: &Pair) {
        if let Some(entry) = self.entries.get_mut(pair) {
            entry.tries = entry.tries.saturating_sub(1);
            if entry.tries == 0 {
                self.forget(pair);
            }
        }
    }
}

impl Attempts for MemoryAttempts {
    fn begin<'a>(&'a self, name: &'a str, source: Source) -> BoxFuture<'a, bool> {
        let allowed = self.with(name, source, |table, pair, now| {
            table.begin(pair, now, self)
        });
        Box::pin(async move { allowed })
    }

    fn succeeded<'a>(&'a self, name: &'a str, source: Source) -> BoxFuture<'a, ()> {
        self.with(name, source, |table, pair, _| table.forget(&pair));
        Box::pin(async {})
    }

    fn returned<'a>(&'a self, name: &'a str, source: Source) -> BoxFuture<'a, ()> {
        self.with(name, source, |table, pair, _| table.give_back(&pair));
        Box::pin(async {})
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    fn source(text: &str) -> Source {
        text.parse::<IpAddr>().unwrap().into()
    }

    /// Tries that count at a clock which is set by hand, in seconds.
    fn counted(tries: u32) -> (MemoryAttempts, Arc<AtomicU64>) {
        let (start, seconds) = (Instant::now(), Arc::new(AtomicU64::new(0)));
        let clock = Arc::clone(&seconds);
        let attempts = MemoryAttempts::new(tries, Duration::from_secs(60))
            .clock(move || start + Duration::from_secs(clock.load(Ordering::Relaxed)));
        (attempts, seconds)
    }

    #[tokio::test]
    async fn svc_b9_so_many_tries_and_no_more() {
        let (attempts, _) = counted(5);
        let mut allowed = 0;
        for _ in 0..200 {
            allowed += u32::from(attempts.begin("alice", source("10.0.0.1")).await);
        }
        assert_eq!(allowed, 5);
    }

    #[tokio::test]
    async fn svc_b10_svc_b12_a_lock_ends_in_time_and_is_not_put_off() {
        let (attempts, seconds) = counted(2);
        let from = source("10.0.0.1");
        for _ in 0..2 {
            assert!(attempts.begin("alice", from).await);
        }
        for second in [1, 30, 59] {
            seconds.store(second, Ordering::Relaxed);
            assert!(!attempts.begin("alice", from).await, "{second}");
        }
        seconds.store(60, Ordering::Relaxed);
        assert!(attempts.begin("alice", from).await);
        assert!(attempts.begin("alice", from).await, "the count starts anew");
        assert!(!attempts.begin("alice", from).await);
    }

    #[tokio::test]
    async fn svc_b11_the_tries_of_one_address_are_not_those_of_another() {
        let (attempts, _) = counted(1);
        assert!(attempts.begin("alice", source("10.0.0.1")).await);
        assert!(!attempts.begin("alice", source("10.0.0.1")).await);
        assert!(attempts.begin("alice", source("10.0.0.2")).await);
        assert!(attempts.begin("alice", Source::LOCAL).await);
        assert!(attempts.begin("bob", source("10.0.0.1")).await);
        // One network of 64 bits is one source, and so is an address in its two spellings.
        assert!(attempts.begin("carol", source("2001:db8::1")).await);
        assert!(!attempts.begin("carol", source("2001:db8::ffff:2")).await);
        assert!(attempts.begin("carol", source("2001:db8:0:1::1")).await);
        assert!(attempts.begin("dave", source("10.0.0.9")).await);
        assert!(!attempts.begin("dave", source("::ffff:10.0.0.9")).await);
    }

    #[tokio::test]
    async fn success_and_return_give_tries_back() {
        let (attempts, _) = counted(2);
        let from = Source::LOCAL;
        for _ in 0..10 {
            assert!(attempts.begin("alice", from).await);
            attempts.returned("alice", from).await;
        }
        assert!(attempts.begin("alice", from).await);
        assert!(attempts.begin("alice", from).await);
        attempts.succeeded("alice", from).await;
        assert!(attempts.begin("alice", from).await);
        assert!(attempts.begin("alice", from).await);
        assert!(!attempts.begin("alice", from).await);
        attempts.returned("nobody", from).await;
    }

    #[tokio::test]
    async fn svc_b8_the_table_never_outgrows_its_capacity() {
        let (attempts, _) = counted(1);
        let attempts = attempts.capacity(100);
        for number in 0..10_000u32 {
            assert!(
                attempts
                    .begin(&format!("user-{number}"), Source::LOCAL)
                    .await
            );
        }
        let lengths = || {
            let table = attempts.table.lock().unwrap();
            (table.entries.len(), table.order.len())
        };
        assert_eq!(lengths(), (100, 100));
        assert!(
            !attempts.begin("user-9999", Source::LOCAL).await,
            "the latest are kept"
        );
        assert!(
            attempts.begin("user-0", Source::LOCAL).await,
            "the oldest gave way"
        );
        assert!(attempts.begin(&"x".repeat(10 << 20), Source::LOCAL).await);
    }

    #[test]
    fn sources_show_what_is_counted() {
        assert_eq!(source("10.0.0.1").to_string(), "10.0.0.1");
        assert_eq!(source("2001:db8::7").to_string(), "2001:db8::/64");
        assert_eq!(source("::1").to_string(), "::1");
        assert_eq!(Source::LOCAL.to_string(), "local");
    }
}
