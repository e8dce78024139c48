//! Lets in who gives the right password, and tells the others nothing.

use std::fmt;
use std::sync::Arc;

use super::accounts::Accounts;
use super::attempts::{Attempts, Source, Unlimited};
use super::hashing::{Hashing, NotChecked};
use super::identity::Identity;
use super::password::Password;
use super::secret::HashCost;
use crate::escape::escaped;

/// Checks names and passwords.
///
/// A wrong password and a name without an account get the same answer after the same work: exactly
/// one hash, whether the secret is stored plain, hashed or not at all. Where a hash is stored it is
/// checked at its own cost, so accounts whose hashes have another cost than
/// [`hash_cost`](Authenticator::hash_cost) can be told from names that do not exist by their time;
/// hash those passwords anew. A locked-out pair of name and source gets the same answer without work,
/// whether the name exists or not.
///
/// Hashes run on blocking threads, at most two at once unless set otherwise; when too many wait
/// already, the answer is [`Refused::Busy`].
///
/// Each try is one log record: who (escaped, cut at 256 bytes), from where, and the outcome. Cloning
/// is cheap and shares everything.
#[derive(Clone)]
pub struct Authenticator {
    accounts: Arc<dyn Accounts>,
    attempts: Arc<dyn Attempts>,
    limits: Limits,
    hashing: Hashing,
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    cost: HashCost,
    at_once: usize,
    waiting: usize,
}

impl Limits {
    fn hashing(self) -> Hashing {
        Hashing::new(self.cost, self.at_once, self.waiting)
    }
}

impl Authenticator {
    /// Checks against `accounts`, counting no attempts.
    pub fn new(accounts: impl Accounts + 'static) -> Self {
        Self::shared(Arc::new(accounts))
    }

    /// As [`new`](Self::new), for accounts that others use too.
    pub fn shared(accounts: Arc<dyn Accounts>) -> Self {
        let limits = Limits {
            cost: HashCost::default(),
            at_once: 2,
            waiting: 64,
        };
        Self {
            accounts,
            attempts: Arc::new(Unlimited),
            limits,
            hashing: limits.hashing(),
        }
    }

    /// Lets `attempts` say who may try.
    #[must_use]
    pub fn attempts(mut self, attempts: Arc<dyn Attempts>) -> Self {
        self.attempts = attempts;
        self
    }

    /// What a hash costs where none is stored. Default: [`HashCost::default`].
    #[must_use]
    pub fn hash_cost(mut self, cost: HashCost) -> Self {
        self.limits.cost = cost;
        self.hashing = self.limits.hashing();
        self
    }

    /// How many hashes may run at once (at least 1). Default: 2.
    #[must_use]
    pub fn max_hashes(mut self, hashes: usize) -> Self {
        self.limits.at_once = hashes;
        self.hashing = self.limits.hashing();
        self
    }

    /// How many tries may wait for their hash. Default: 64.
    #[must_use]
    pub fn max_waiting(mut self, tries: usize) -> Self {
        self.limits.waiting = tries;
        self.hashing = self.limits.hashing();
        self
    }

    /// Says who `name` is, if the password is theirs. An empty password is nobody's.
    ///
    /// A dropped future counts as a try that was wrong; a hash that runs for it runs to its end and
    /// keeps its place until then.
    ///
    /// # Errors
    /// [`Refused`], which tells nothing of why.
    pub async fn authenticate(
        &self,
        name: &str,
        password: Password,
        source: Source,
    ) -> Result<Identity, Refused> {
        let outcome = self.check(name, password, source).await;
        match &outcome {
            Ok(_) => tracing::info!(name = %escaped(name), %source, "logged in"),
            Err(Logged { reason, .. }) => {
                tracing::warn!(name = %escaped(name), %source, reason, "login refused");
            }
        }
        outcome.map_err(|logged| logged.refused)
    }

    async fn check(
        &self,
        name: &str,
        password: Password,
        source: Source,
    ) -> Result<Identity, Logged> {
        if !self.attempts.begin(name, source).await {
            return Err(Logged {
                refused: Refused::Credentials,
                reason: "locked out",
            });
        }
        let account = match self.accounts.find(name).await {
            Ok(account) => account,
            Err(error) => {
                self.attempts.returned(name, source).await;
                let reason = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(reason, "the accounts cannot be asked");
                return Err(Logged {
                    refused: Refused::Unavailable,
                    reason: "no accounts",
                });
            }
        };
        let stored = account.as_ref().map(|account| account.secret.clone());
        match (self.hashing.matches(stored, password).await, account) {
            (Ok(true), Some(account)) => {
                self.attempts.succeeded(name, source).await;
                Ok(Identity {
                    name: account.name,
                    rights: account.rights,
                })
            }
            // The log does not tell a wrong name from a wrong password either: it may well be the
            // password that somebody typed in place of the name.
            (Ok(_), _) => Err(Logged {
                refused: Refused::Credentials,
                reason: "wrong name or password",
            }),
            (Err(NotChecked::Busy), _) => {
                self.attempts.returned(name, source).await;
                Err(Logged {
                    refused: Refused::Busy,
                    reason: "too many logins at once",
                })
            }
            (Err(NotChecked::Failed(error)), _) => {
                self.attempts.returned(name, source).await;
                let error = error.map(|error| error.to_string());
                tracing::error!(error, "a password could not be hashed");
                Err(Logged {
                    refused: Refused::Unavailable,
                    reason: "no hash",
                })
            }
        }
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator")
            .field("attempts", &self.attempts)
            .field("hashing", &self.hashing)
            .finish_non_exhaustive()
    }
}

/// A refusal with its reason, which goes to the log only.
struct Logged {
    refused: Refused,
    reason: &'static str,
}

/// Why somebody is not let in, as far as they may know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The name or the password is wrong, or the account is locked.
    #[error("wrong name or password")]
    Credentials,
    /// Too many try at once; later may work.
    #[error("too many logins at once; try again later")]
    Busy,
    /// Nobody can log in now, whatever their password.
    #[error("logging in is not possible now")]
    Unavailable,
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use tokio::task::JoinSet;

    use super::*;
    use crate::login::secret::tests::cheap;
    use crate::login::{
        Account, AccountsError, BoxFuture, MemoryAccounts, MemoryAttempts, Right, Secret,
    };

    fn password(text: &str) -> Password {
        Password::new(text).unwrap()
    }

    fn accounts() -> MemoryAccounts {
        let hashed = Account {
            name: "hashed".to_owned(),
            secret: Secret::hash(&password("secret"), cheap()).unwrap(),
            rights: [Right::Read].into(),
        };
        let accounts = MemoryAccounts::new().with("plain", password("secret"), [Right::Exec]);
        accounts.unwrap().with_account(hashed).unwrap()
    }

    fn authenticator() -> Authenticator {
        Authenticator::new(accounts()).hash_cost(cheap())
    }

    async fn log_in(to: &Authenticator, name: &str, with: &str) -> Result<Identity, Refused> {
        to.authenticate(name, password(with), Source::LOCAL).await
    }

    fn hashes(of: &Authenticator) -> u64 {
        of.hashing.counts().started.load(Ordering::Relaxed)
    }

    #[tokio::test]
    async fn the_right_password_lets_in() {
        let authenticator = authenticator();
        for (name, right) in [("plain", Right::Exec), ("hashed", Right::Read)] {
            let identity = log_in(&authenticator, name, "secret").await.unwrap();
            assert_eq!(
                identity,
                Identity {
                    name: name.to_owned(),
                    rights: [right].into()
                }
            );
        }
    }

    #[tokio::test]
    async fn svc_b4_svc_b6_all_refusals_are_the_same_after_the_same_work() {
        let authenticator = authenticator();
        let long = "x".repeat(64 << 10);
        for name in [
            "plain", "hashed", "nobody", "", "Plain", "plain ", "a\0b", &long,
        ] {
            for wrong in ["wrong", "", "secret ", &"x".repeat(1024)] {
                let before = hashes(&authenticator);
                let refused = log_in(&authenticator, name, wrong).await;
                assert_eq!(refused, Err(Refused::Credentials), "{wrong:?}");
                assert_eq!(hashes(&authenticator) - before, 1, "one hash each");
            }
        }
        let before = hashes(&authenticator);
        log_in(&authenticator, "plain", "secret").await.unwrap();
        log_in(&authenticator, "hashed", "secret").await.unwrap();
        assert_eq!(
            hashes(&authenticator) - before,
            2,
            "and for the right one too"
        );
    }

    #[tokio::test]
    async fn svc_b4_svc_b10_a_lock_answers_as_a_wrong_password_does() {
        let attempts = MemoryAttempts::new(3, Duration::from_secs(60));
        let authenticator = authenticator().attempts(Arc::new(attempts));
        for name in ["plain", "nobody"] {
            for _ in 0..3 {
                let refused = log_in(&authenticator, name, "wrong").await;
                assert_eq!(refused, Err(Refused::Credentials));
            }
            let before = hashes(&authenticator);
            for given in ["wrong", "secret", ""] {
                let refused = log_in(&authenticator, name, given).await;
                assert_eq!(refused, Err(Refused::Credentials), "{given}");
            }
            assert_eq!(
                hashes(&authenticator),
                before,
                "no work for who is locked out"
            );
        }
        log_in(&authenticator, "hashed", "secret").await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn svc_b9_many_wrong_passwords_at_one_instant_are_few_hashes() {
        let attempts = MemoryAttempts::new(5, Duration::from_secs(60));
        let authenticator = authenticator()
            .attempts(Arc::new(attempts))
            .max_waiting(1000);
        let mut tries = JoinSet::new();
        for _ in 0..200 {
            let authenticator = authenticator.clone();
            tries.spawn(async move { log_in(&authenticator, "plain", "wrong").await });
        }
        for refused in tries.join_all().await {
            assert_eq!(refused, Err(Refused::Credentials));
        }
        assert_eq!(hashes(&authenticator), 5);
        assert_eq!(
            log_in(&authenticator, "plain", "secret").await,
            Err(Refused::Credentials)
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn svc_b15_a_storm_of_logins_runs_two_hashes_at_once() {
        let cost = HashCost::new(256, 1, 1).unwrap();
        let authenticator = Authenticator::new(accounts())
            .hash_cost(cost)
            .max_waiting(64);
        let mut tries = JoinSet::new();
        for _ in 0..500 {
            let authenticator = authenticator.clone();
            tries.spawn(async move { log_in(&authenticator, "plain", "secret").await });
        }
        let outcomes = tries.join_all().await;
        let busy = outcomes
            .iter()
            .filter(|outcome| **outcome == Err(Refused::Busy))
            .count();
        let let_in = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert_eq!(busy + let_in, 500);
        assert!(let_in >= 66, "two run and 64 wait: {let_in}");
        assert!(busy > 0);
        let most = authenticator
            .hashing
            .counts()
            .most_at_once
            .load(Ordering::Relaxed);
        assert!((1..=2).contains(&most), "{most} at once");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn svc_b15_clients_that_vanish_keep_their_places_until_the_hash_ends() {
        let cost = HashCost::new(2048, 1, 1).unwrap();
        let authenticator = Authenticator::new(accounts()).hash_cost(cost);
        for _ in 0..500 {
            let attempt = log_in(&authenticator, "plain", "secret");
            // Long enough for the job to begin, not for it to end.
            let _ = tokio::time::timeout(Duration::from_micros(100), attempt).await;
        }
        let counts = authenticator.hashing.counts();
        let most = counts.most_at_once.load(Ordering::Relaxed);
        assert!((1..=2).contains(&most), "{most} at once");
        assert!(
            counts.started.load(Ordering::Relaxed) > 2,
            "hashes were begun"
        );
        // And all places are free again after it.
        log_in(&authenticator, "plain", "secret").await.unwrap();
        while counts.now() > 0 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn svc_b15_a_busy_server_takes_no_tries_away() {
        let attempts = MemoryAttempts::new(1, Duration::from_secs(60));
        let cost = HashCost::new(4096, 2, 1).unwrap();
        let authenticator = Authenticator::new(accounts())
            .hash_cost(cost)
            .max_hashes(1)
            .max_waiting(0)
            .attempts(Arc::new(attempts));
        let (first, second) = tokio::join!(
            log_in(&authenticator, "plain", "secret"),
            log_in(&authenticator, "hashed", "secret"),
        );
        first.unwrap();
        assert_eq!(second, Err(Refused::Busy));
        log_in(&authenticator, "hashed", "secret").await.unwrap();
    }

    /// Accounts of a database that does not answer.
    #[derive(Debug)]
    struct Broken;

    impl Accounts for Broken {
        fn find<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Option<Account>, AccountsError>> {
            Box::pin(async { Err(AccountsError::new("connection refused by 10.0.0.7")) })
        }
    }

    #[tokio::test]
    async fn without_accounts_nobody_is_let_in() {
        let refused = log_in(&Authenticator::new(Broken), "plain", "secret").await;
        assert_eq!(refused, Err(Refused::Unavailable));
        assert!(!refused.unwrap_err().to_string().contains("10.0.0.7"));
    }

    #[test]
    fn svc_b19_an_authenticator_does_not_show_secrets() {
        let shown = format!("{:?} {:?}", authenticator(), accounts());
        assert!(
            !shown.contains("secret\"") && !shown.contains("$argon2id"),
            "{shown}"
        );
    }
}
