//! Turns passwords into what is stored of them, and checks them against it.

use std::fmt;
use std::sync::LazyLock;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use subtle::ConstantTimeEq;

use super::password::Password;

/// How much work one argon2id hash takes.
///
/// The default is 19 MiB of memory, 2 iterations and 1 lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashCost {
    memory_kib: u32,
    iterations: u32,
    lanes: u32,
}

impl HashCost {
    /// The most memory of one hash, in KiB (256 MiB).
    pub const MAX_MEMORY_KIB: u32 = 256 << 10;
    /// The most iterations of one hash.
    pub const MAX_ITERATIONS: u32 = 16;
    /// The most lanes of one hash.
    pub const MAX_LANES: u32 = 16;

    /// A cost of so many KiB of memory, iterations and lanes.
    ///
    /// # Errors
    /// When one is 0 or beyond its bound, or there are less than 8 KiB for each lane.
    pub fn new(memory_kib: u32, iterations: u32, lanes: u32) -> Result<Self, SecretError> {
        let within = |value, max| (1..=max).contains(&value);
        if within(memory_kib, Self::MAX_MEMORY_KIB)
            && within(iterations, Self::MAX_ITERATIONS)
            && within(lanes, Self::MAX_LANES)
            && memory_kib >= 8 * lanes
        {
            Ok(Self {
                memory_kib,
                iterations,
                lanes,
            })
        } else {
            Err(SecretError::Cost)
        }
    }
}

impl Default for HashCost {
    fn default() -> Self {
        Self {
            memory_kib: 19 << 10,
            iterations: 2,
            lanes: 1,
        }
    }
}

/// The stored form of a password: plain, or hashed with argon2id.
///
/// Its text is the password itself, or a PHC string such as
/// `$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$…`. A text that begins with `$` is always taken for
/// the latter. `Debug` shows neither.
#[derive(Clone)]
pub struct Secret(Stored);

#[derive(Clone)]
enum Stored {
    Plain(Password),
    Hashed(Hashed),
}

#[derive(Clone)]
struct Hashed {
    cost: HashCost,
    salt: Vec<u8>,
    output: Vec<u8>,
}

impl Secret {
    /// The length of the salts and hashes made here, in bytes.
    const SALT: usize = 16;
    const OUTPUT: usize = 32;

    /// Stores `password` as it is. It works, but whoever reads the accounts has it.
    ///
    /// # Errors
    /// When it is empty.
    pub fn plain(password: Password) -> Result<Self, SecretError> {
        if password.expose().is_empty() {
            return Err(SecretError::Blank);
        }
        Ok(Self(Stored::Plain(password)))
    }

    /// Hashes `password` with a fresh random salt. Takes as long as `cost` says, on this thread.
    ///
    /// # Errors
    /// When the password is empty, the system gives no random bytes or there is no memory for it.
    pub fn hash(password: &Password, cost: HashCost) -> Result<Self, SecretError> {
        if password.expose().is_empty() {
            return Err(SecretError::Blank);
        }
        let mut salt = vec![0; Self::SALT];
        getrandom::fill(&mut salt).map_err(|_| SecretError::System)?;
        let mut output = vec![0; Self::OUTPUT];
        run(cost, password, &salt, &mut output)?;
        Ok(Self(Stored::Hashed(Hashed { cost, salt, output })))
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// Says which rule is broken, and nothing of the text.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        if text.trim().is_empty() {
            return Err(SecretError::Blank);
        }
        if text.chars().any(char::is_control) {
            return Err(SecretError::Control);
        }
        if text.starts_with('$') {
            return parse_phc(text).map(|hashed| Self(Stored::Hashed(hashed)));
        }
        let password = Password::new(text).map_err(|_| SecretError::TooLong)?;
        Self::plain(password)
    }

    /// Whether only a hash is stored.
    pub fn is_hashed(&self) -> bool {
        matches!(self.0, Stored::Hashed(_))
    }

    /// The password, if it is stored as it is.
    pub(super) fn as_plain(&self) -> Option<&Password> {
        match &self.0 {
            Stored::Plain(password) => Some(password),
            Stored::Hashed(_) => None,
        }
    }

    /// The PHC string, if a hash is stored.
    pub(super) fn to_phc(&self) -> Option<String> {
        let Stored::Hashed(Hashed { cost, salt, output }) = &self.0 else {
            return None;
        };
        Some(format!(
            "$argon2id$v=19$m={},t={},p={}${}${}",
            cost.memory_kib,
            cost.iterations,
            cost.lanes,
            STANDARD_NO_PAD.encode(salt),
            STANDARD_NO_PAD.encode(output)
        ))
    }

    /// Whether `password` is the stored one; `None` stands for an account that is not there. Runs
    /// exactly one hash whatever the answer: of `cost` where none is stored.
    pub(super) fn matches(
        stored: Option<&Self>,
        password: &Password,
        cost: HashCost,
    ) -> Result<bool, SecretError> {
        let (matched, fresh) = match stored {
            Some(Self(Stored::Hashed(Hashed { cost, salt, output }))) => {
                let mut fresh = vec![0; output.len()];
                run(*cost, password, salt, &mut fresh)?;
                (fresh.ct_eq(output), fresh)
            }
            other => {
                let mut fresh = vec![0; Self::OUTPUT];
                run(cost, password, DUMMY_SALT, &mut fresh)?;
                let plain = other.and_then(Self::as_plain);
                // Digests are of one length, so not even the length of the password tells.
                let equal = digest(plain.map_or("", |plain| plain.expose()))
                    .ct_eq(&digest(password.expose()));
                (equal & u8::from(plain.is_some()).into(), fresh)
            }
        };
        // Used in all cases, so that the work cannot be left out for an account that is not there.
        std::hint::black_box(fresh);
        let empty = u8::from(password.expose().is_empty());
        Ok(bool::from(matched & !subtle::Choice::from(empty)))
    }
}

/// What stands in for a salt where the work is all that counts.
const DUMMY_SALT: &[u8] = b"no account of it";

/// Of no use outside of this process.
fn digest(text: &str) -> [u8; 32] {
    static KEY: LazyLock<[u8; 32]> = LazyLock::new(|| {
        let mut key = [0; 32];
        // Without random bytes the digest is still one of equal length, which is what it is for.
        let _ = getrandom::fill(&mut key);
        key
    });
    *blake3::keyed_hash(&KEY, text.as_bytes()).as_bytes()
}

fn run(
    cost: HashCost,
    password: &Password,
    salt: &[u8],
    output: &mut [u8],
) -> Result<(), SecretError> {
    #[cfg(test)]
    tests::RUNS.with(|runs| runs.set(runs.get() + 1));
    let HashCost {
        memory_kib,
        iterations,
        lanes,
    } = cost;
    let params = Params::new(memory_kib, iterations, lanes, Some(output.len()))
        .map_err(|_| SecretError::Cost)?;
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password.expose().as_bytes(), salt, output)
        .map_err(|_| SecretError::System)
}

/// Reads `$argon2id$v=19$m=…,t=…,p=…$salt$output`, and nothing that is more or less than that.
fn parse_phc(text: &str) -> Result<Hashed, SecretError> {
    let mut fields = text.split('$').skip(1);
    let mut next = || fields.next().ok_or(SecretError::Phc);
    if next()? != "argon2id" {
        return Err(SecretError::Algorithm);
    }
    if next()? != "v=19" {
        return Err(SecretError::Phc);
    }
    let (costs, salt, output) = (next()?, next()?, next()?);
    if fields.next().is_some() {
        return Err(SecretError::Phc);
    }
    let mut costs = costs.split(',');
    let mut cost = |key: &str| {
        let value = costs
            .next()
            .and_then(|pair| pair.strip_prefix(key))
            .ok_or(SecretError::Phc)?;
        let digits = value.bytes().all(|byte| byte.is_ascii_digit());
        if value.is_empty() || !digits || (value.len() > 1 && value.starts_with('0')) {
            return Err(SecretError::Phc);
        }
        // So many digits that it does not fit is a number beyond the bound.
        value.parse().map_err(|_| SecretError::Cost)
    };
    let cost = HashCost::new(cost("m=")?, cost("t=")?, cost("p=")?)?;
    if costs.next().is_some() {
        return Err(SecretError::Phc);
    }
    let bytes = |text, lengths: std::ops::RangeInclusive<usize>| {
        let bytes = STANDARD_NO_PAD.decode(text).map_err(|_| SecretError::Phc)?;
        lengths
            .contains(&bytes.len())
            .then_some(bytes)
            .ok_or(SecretError::Phc)
    };
    Ok(Hashed {
        cost,
        salt: bytes(salt, 8..=64)?,
        output: bytes(output, 16..=64)?,
    })
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_hashed() {
            "Secret(hashed)"
        } else {
            "Secret(plain)"
        })
    }
}

/// Why a stored form of a password is none, or could not be made.
///
/// Says nothing of the password or the hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The secret is empty or blank.
    #[error("a blank password")]
    Blank,
    /// The secret holds a control character.
    #[error("a control character in the password")]
    Control,
    /// The password is longer than [`Password::MAX_LENGTH`].
    #[error("a password of more than 1024 bytes")]
    TooLong,
    /// The secret begins with `$` but is not an argon2id hash.
    #[error(
        "a hash that is not argon2id; only $argon2id$… is read, and a password that begins with $ must be stored as such a hash"
    )]
    Algorithm,
    /// The hash is not in the form of a PHC string with all its parts.
    #[error("a broken hash; it must read $argon2id$v=19$m=…,t=…,p=…$salt$hash")]
    Phc,
    /// The hash's cost is out of bounds.
    #[error(
        "a hash whose cost is out of bounds (at most m=262144, t=16, p=16; at least 8 of m for each of p)"
    )]
    Cost,
    /// The operating system gave no random bytes, or no memory.
    #[error("the system has no memory or no random bytes for a hash")]
    System,
}

#[cfg(test)]
pub(super) mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        /// How many hashes this thread has run.
        pub(in super::super) static RUNS: Cell<u32> = const { Cell::new(0) };
    }

    pub(in super::super) fn cheap() -> HashCost {
        HashCost::new(8, 1, 1).unwrap()
    }

    fn password(text: &str) -> Password {
        Password::new(text).unwrap()
    }

    fn matches(stored: Option<&Secret>, text: &str) -> bool {
        let before = RUNS.get();
        let matched = Secret::matches(stored, &password(text), cheap()).unwrap();
        assert_eq!(RUNS.get() - before, 1, "exactly one hash");
        matched
    }

    #[test]
    fn svc_b4_every_check_runs_one_hash() {
        let hashed = Secret::hash(&password("right"), cheap()).unwrap();
        let plain = Secret::parse("right").unwrap();
        for stored in [&hashed, &plain] {
            assert!(matches(Some(stored), "right"));
            for wrong in ["", "wrong", "Right", "right ", "righ"] {
                assert!(!matches(Some(stored), wrong), "{wrong:?}");
            }
        }
        assert!(!matches(None, "right"));
        assert!(
            !matches(None, ""),
            "the digest of nothing is equal, the account is not there"
        );
    }

    #[test]
    fn a_hash_reads_back_from_its_text() {
        let hashed = Secret::hash(&password("p|w"), cheap()).unwrap();
        let text = hashed.to_phc().unwrap();
        assert!(text.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{text}");
        let read = Secret::parse(&text).unwrap();
        assert!(matches(Some(&read), "p|w"));
        assert!(!matches(Some(&read), &text), "the hash is not the password");
        let again = Secret::hash(&password("p|w"), cheap())
            .unwrap()
            .to_phc()
            .unwrap();
        assert_ne!(text, again, "salted");
    }

    #[test]
    fn a_hash_of_the_reference_program_is_read() {
        // Made with the reference implementation: password `password`, salt `somesalt`.
        let text =
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        assert!(matches(Some(&Secret::parse(text).unwrap()), "password"));
    }

    #[test]
    fn svc_b16_hostile_hashes_are_refused() {
        let good =
            "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        Secret::parse(good).unwrap();
        for (part, hostile, error) in [
            ("m=8", "m=4194304", SecretError::Cost),
            ("m=8", "m=262145", SecretError::Cost),
            ("m=8", "m=99999999999999999999", SecretError::Cost),
            ("t=1", "t=1000000000", SecretError::Cost),
            ("t=1", "t=0", SecretError::Cost),
            ("p=1", "p=16777216", SecretError::Cost),
            ("p=1", "p=2", SecretError::Cost),
            ("argon2id", "argon2i", SecretError::Algorithm),
            ("argon2id", "scrypt", SecretError::Algorithm),
            ("argon2id", "2b", SecretError::Algorithm),
            ("v=19", "v=16", SecretError::Phc),
            ("$v=19", "", SecretError::Phc),
            ("$c29tZXNhbHQ", "", SecretError::Phc),
            ("c29tZXNhbHQ", "", SecretError::Phc),
            ("c29tZXNhbHQ", "c29t", SecretError::Phc),
            ("c29tZXNhbHQ", "****", SecretError::Phc),
            (
                "$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
                "",
                SecretError::Phc,
            ),
            (
                "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
                "nf65",
                SecretError::Phc,
            ),
            ("m=8,t=1,p=1", "t=1,m=8,p=1", SecretError::Phc),
            ("m=8", "m=+8", SecretError::Phc),
            ("m=8", "m=08", SecretError::Phc),
            ("p=1", "p=1,keyid=AAAA", SecretError::Phc),
            ("/4", "/4$more", SecretError::Phc),
        ] {
            let text = good.replacen(part, hostile, 1);
            assert_eq!(Secret::parse(&text).unwrap_err(), error, "{text}");
        }
        assert_eq!(Secret::parse("$").unwrap_err(), SecretError::Algorithm);
    }

    #[test]
    fn blank_and_broken_secrets_are_refused() {
        for (text, error) in [
            ("", SecretError::Blank),
            ("  ", SecretError::Blank),
            ("a\0", SecretError::Control),
            ("a\rb", SecretError::Control),
        ] {
            assert_eq!(Secret::parse(text).unwrap_err(), error, "{text:?}");
        }
        assert_eq!(
            Secret::parse(&"x".repeat(1025)).unwrap_err(),
            SecretError::TooLong
        );
        assert_eq!(
            Secret::hash(&password(""), cheap()).unwrap_err(),
            SecretError::Blank
        );
    }

    #[test]
    fn svc_b19_secrets_are_never_shown() {
        let plain = Secret::parse("hunter2").unwrap();
        let hashed = Secret::hash(&password("hunter2"), cheap()).unwrap();
        let shown = format!("{plain:?} {hashed:?} {plain:#?} {hashed:#?}");
        assert_eq!(
            shown,
            "Secret(plain) Secret(hashed) Secret(plain) Secret(hashed)"
        );
    }
}
