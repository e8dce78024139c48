//! The server's configuration file: what it may say, and what it means when it does not.
//!
//! Keys are in snake_case, values in kebab-case. Whatever is not known is refused with its line;
//! whatever cannot work together is refused before anything is opened.

mod dialect;
mod hmac;
mod units;

use std::{
    fs,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use framing::{Budget, ConnectionOptions, FramingFactory, Registry, serve::Address};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use services::{
    course::{Encoding, Keys},
    login::{Right, Rights},
};

pub use self::{
    dialect::{Dialect, Dialects, Form, Stderr},
    hmac::{Digest, Hmac, HmacMutual},
    units::{Size, Time},
};

/// The whole file.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Who may log in.
    pub accounts: Option<Accounts>,
    /// The file store.
    pub files: Option<Files>,
    /// Running commands.
    pub exec: Option<Exec>,
    /// Telling the time.
    pub clock: Option<Clock>,
    /// Limits of every connection.
    #[serde(default)]
    pub limits: Limits,
    /// Where to listen; at least one.
    #[serde(default)]
    pub listen: Vec<Listen>,
}

/// `[accounts]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Accounts {
    /// The accounts file: lines `name|password-or-hash|rights`.
    pub file: PathBuf,
    /// The rights of lines with two fields.
    #[serde(default = "usual_rights")]
    pub default_rights: Vec<Right>,
    /// Failed logins after which a connection is closed.
    #[serde(default = "ten")]
    pub max_tries: u32,
}

/// `[files]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// The folder that holds the files.
    pub root: PathBuf,
    /// The largest file.
    pub max_file: Option<Size>,
    /// The most bytes of all files together.
    pub quota: Option<Size>,
    /// Whether clients may do without a digest.
    #[serde(default)]
    pub digest_optional: bool,
}

/// `[exec]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Exec {
    /// Programs that anyone with the right `exec` may run.
    #[serde(default)]
    pub allow: Vec<String>,
    /// Whether those with the right `shell` may run anything.
    #[serde(default)]
    pub shell: bool,
    /// The longest time a command may run.
    pub timeout: Option<Time>,
    /// The most bytes a command may write.
    pub max_output: Option<Size>,
    /// The folder in which commands run.
    #[serde(default = "root_folder")]
    pub folder: PathBuf,
}

/// `[clock]`
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Clock {
    /// The time between two ticks; ten seconds if not set.
    pub every: Option<Time>,
    /// The format, as of `strftime`; the date if not set.
    pub format: Option<String>,
}

/// `[limits]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The largest frame before a login.
    pub frame_before_login: Size,
    /// The time to log in, from the connection's start.
    pub login_deadline: Time,
    /// The time that connections have to finish when the server stops.
    pub drain_timeout: Time,
    /// What all connections together may hold of frames that are not whole or not sent yet.
    pub buffered: Size,
    /// How long a frame may take from its first byte to its last.
    pub frame_timeout: Option<Time>,
    /// How many bytes a second a frame must have, once it has taken five seconds.
    pub least_rate: Option<Size>,
    /// How long a client may send nothing while nothing is done for it.
    pub idle_timeout: Option<Time>,
    /// How long answers may wait for a client that takes none.
    pub write_timeout: Option<Time>,
}

impl Limits {
    /// The limits of one connection.
    pub(crate) fn connection(&self, buffered: &Budget) -> ConnectionOptions {
        const GRACE: Duration = Duration::from_secs(5);
        let mut options = ConnectionOptions::new().budget(buffered);
        if let Some(limit) = self.frame_timeout {
            options = options.frame_timeout(limit.0);
        }
        if let Some(rate) = self.least_rate {
            // More than any network carries is as good as that.
            options = options.least_rate(u32::try_from(rate.0).unwrap_or(u32::MAX), GRACE);
        }
        if let Some(limit) = self.idle_timeout {
            options = options.idle_timeout(limit.0);
        }
        if let Some(limit) = self.write_timeout {
            options = options.write_timeout(limit.0);
        }
        options
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_before_login: Size(8 * 1024),
            login_deadline: Time(Duration::from_secs(10)),
            drain_timeout: Time(Duration::from_secs(30)),
            buffered: Size(256 << 20),
            frame_timeout: None,
            least_rate: None,
            idle_timeout: None,
            write_timeout: None,
        }
    }
}

/// One `[[listen]]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// `tcp://ADDRESS:PORT` or `unix:/PATH`.
    #[serde(deserialize_with = "address", serialize_with = "display")]
    pub address: Address,
    /// The framing of the native dialect: a name, or a table with its options. The others bring
    /// their own.
    pub framing: Option<Framing>,
    /// How requests are written in frames.
    #[serde(default)]
    pub dialect: Dialects,
    /// Which form of its dialect is spoken; the dialect's first if not set.
    pub form: Option<Form>,
    /// What the output of commands is written in.
    pub encoding: Option<Encoding>,
    /// What becomes of what commands write to their standard error.
    pub stderr: Option<Stderr>,
    /// Whether each file that was sent is answered.
    pub reply: Option<bool>,
    /// The file that is sent to whoever connects.
    pub file: Option<String>,
    /// What the keys of file headers are called.
    pub keys: Option<Keys>,
    /// A secret that clients must know, before the first frame.
    pub hmac: Option<Hmac>,
    /// The same where the server proves itself, too.
    pub hmac_mutual: Option<HmacMutual>,
    /// What is offered; by default the login and every configured part.
    pub services: Option<Vec<Service>>,
    /// Who everybody is, in place of a login.
    pub identity: Option<Identity>,
    /// Connections at once; further ones wait.
    #[serde(default = "connections")]
    pub max_connections: usize,
    /// Whether others than this machine may connect, in plain text.
    #[serde(default)]
    pub expose: bool,
    /// Whether small writes leave at once.
    #[serde(default = "yes")]
    pub nodelay: bool,
    /// Whether a restarted server may bind at once.
    #[serde(default = "yes")]
    pub reuse_address: bool,
    /// Connections that the system lets wait.
    #[serde(default = "backlog")]
    pub backlog: u32,
    /// The socket's receive buffer; the system's choice if not set.
    pub receive_buffer: Option<Size>,
    /// The socket's send buffer; the system's choice if not set.
    pub send_buffer: Option<Size>,
    /// Idle time after which the system asks whether the peer is still there.
    pub keepalive: Option<Time>,
}

/// A part that a listener can offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Service {
    /// Who is it?
    Login,
    /// Running commands.
    Exec,
    /// Storing files.
    Files,
    /// Telling the time.
    Clock,
}

impl Service {
    /// The name in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Exec => "exec",
            Self::Files => "files",
            Self::Clock => "clock",
        }
    }
}

/// Who everybody is, where nobody logs in.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The name.
    pub name: String,
    /// What it may do.
    pub rights: Vec<Right>,
}

/// A framing from the registry.
#[derive(Clone, Debug)]
pub struct Framing {
    /// Makes one for each connection.
    pub factory: FramingFactory,
    /// As it stands in the file.
    shown: toml::Value,
}

impl Default for Framing {
    fn default() -> Self {
        let factory = FramingFactory::new("struct-header", framing::StructHeader::default());
        Self {
            factory,
            shown: "struct-header".into(),
        }
    }
}

impl<'de> Deserialize<'de> for Framing {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let factory = de::DeserializeSeed::deserialize(Registry::default().seed(), deserializer)?;
        let shown = factory.name().into();
        Ok(Self { factory, shown })
    }
}

impl Serialize for Framing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.shown.serialize(serializer)
    }
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Address, D::Error> {
    Address::from_str(&String::deserialize(deserializer)?).map_err(de::Error::custom)
}

fn display<S: Serializer>(address: &Address, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(address)
}

fn usual_rights() -> Vec<Right> {
    vec![Right::Read, Right::Write, Right::Exec]
}

fn ten() -> u32 {
    10
}

fn root_folder() -> PathBuf {
    "/".into()
}

fn connections() -> usize {
    1024
}

fn backlog() -> u32 {
    1024
}

fn yes() -> bool {
    true
}

impl Config {
    /// Reads and checks a file. Paths in it are relative to its folder.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("cannot read the configuration {}", path.display()))?;
        let mut config = Self::parse(&text).with_context(|| format!("in {}", path.display()))?;
        config.resolve(path.parent().unwrap_or(Path::new("")))?;
        Ok(config)
    }

    /// Reads and checks the text of a file.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let mut config: Self = toml::from_str(text)?;
        config.show_framings(text)?;
        for listen in &mut config.listen {
            if listen.dialect.is_native() {
                listen.framing.get_or_insert_default();
            }
        }
        config.check()?;
        Ok(config)
    }

    /// What there is without a file: three listeners on loopback, and everything else in `folder`.
    pub fn standard(folder: &Path) -> anyhow::Result<Self> {
        let mut config = Self::parse(STANDARD)?;
        config.resolve(folder)?;
        Ok(config)
    }

    /// Keeps each framing as it is written, for [`to_toml`](Self::to_toml).
    fn show_framings(&mut self, text: &str) -> anyhow::Result<()> {
        let raw: toml::Table = toml::from_str(text)?;
        let listeners = raw.get("listen").and_then(toml::Value::as_array);
        for (listen, raw) in self.listen.iter_mut().zip(listeners.into_iter().flatten()) {
            if let (Some(framing), Some(raw)) = (&mut listen.framing, raw.get("framing")) {
                framing.shown = raw.clone();
            }
        }
        Ok(())
    }

    /// The configuration that is in force, as a file.
    pub fn to_toml(&self) -> anyhow::Result<String> {
        Ok(toml::to_string(self)?)
    }

    /// Makes every path a whole one, so that a printed configuration means the same anywhere.
    fn resolve(&mut self, folder: &Path) -> anyhow::Result<()> {
        let here = std::env::current_dir().context("cannot find out the current folder")?;
        // Joining an absolute path gives that path.
        let folder = here.join(folder);
        if let Some(accounts) = &mut self.accounts {
            accounts.file = folder.join(&accounts.file);
        }
        if let Some(files) = &mut self.files {
            files.root = folder.join(&files.root);
        }
        if let Some(exec) = &mut self.exec {
            exec.folder = folder.join(&exec.folder);
        }
        for listen in &mut self.listen {
            listen.resolve_secret(&folder);
        }
        Ok(())
    }

    /// Finds what cannot work together.
    fn check(&self) -> anyhow::Result<()> {
        ensure!(
            !self.listen.is_empty(),
            "there is no [[listen]]: nobody could connect"
        );
        if let Some(exec) = &self.exec {
            services::exec::Allow::new(&exec.allow).context("[exec] allow")?;
        }
        if let Some(clock) = &self.clock {
            clock.build().context("[clock]")?;
        }
        ensure!(
            self.limits.frame_before_login.0 >= LEAST_BEFORE_LOGIN,
            "[limits] frame_before_login is {} bytes; a login needs {LEAST_BEFORE_LOGIN}",
            self.limits.frame_before_login.0
        );
        for listen in &self.listen {
            let whose = || format!("the listener on {}", listen.address);
            self.check_listener(listen).with_context(whose)?;
        }
        Ok(())
    }

    fn check_listener(&self, listen: &Listen) -> anyhow::Result<()> {
        match &listen.framing {
            Some(framing) if listen.dialect.is_native() => {
                services::native::check(&framing.factory.make())?;
            }
            Some(_) => bail!("the dialect {} brings a framing of its own", listen.dialect),
            None => {}
        }
        listen.check_dialect()?;
        let offered = self.services(listen);
        for service in &offered {
            let (configured, section) = match service {
                Service::Login => (self.accounts.is_some(), "[accounts]"),
                Service::Exec => (self.exec.is_some(), "[exec]"),
                Service::Files => (self.files.is_some(), "[files]"),
                Service::Clock => (true, "[clock]"),
            };
            ensure!(
                listen.dialect.has_words_for(*service),
                "the dialect {} has no words for {}",
                listen.dialect,
                service.as_str()
            );
            ensure!(
                configured,
                "it offers {}, and there is no {section}",
                service.as_str()
            );
        }
        for service in listen.dialect.needs() {
            ensure!(
                offered.contains(&service),
                "the dialect {} needs the service {}, which is not offered",
                listen.dialect,
                service.as_str()
            );
        }
        let login = offered.contains(&Service::Login);
        match (&listen.identity, login) {
            (Some(_), true) => bail!("it has an `identity`, and offers `login`; only one can be"),
            (None, false) => bail!(
                "it offers no `login`, so it needs an `identity`{}",
                listen.dialect.way_to_log_in()
            ),
            _ => {}
        }
        let of_tcp = [
            ("receive_buffer", listen.receive_buffer.is_some()),
            ("send_buffer", listen.send_buffer.is_some()),
            ("keepalive", listen.keepalive.is_some()),
        ];
        if let (Address::Unix(_), Some((name, _))) =
            (&listen.address, of_tcp.iter().find(|(_, set)| *set))
        {
            bail!("`{name}` is for tcp:// addresses only");
        }
        ensure!(
            matches!(listen.address, Address::Tcp(_) | Address::Unix(_)),
            "a listener's address is tcp://ADDRESS:PORT or unix:/PATH"
        );
        ensure!(
            listen.hmac.is_none() || listen.hmac_mutual.is_none(),
            "it has `hmac` and `hmac_mutual`; only one can be"
        );
        ensure!(
            listen.max_connections > 0,
            "`max_connections` must be at least 1"
        );
        let asks = !offered.is_empty() || listen.secret().is_some();
        if !listen.address.is_local() && !listen.expose && asks {
            bail!(
                "others than this machine could connect, and everything would pass in plain text; \
                 listen on 127.0.0.1, or set `expose = true` if that is what you want"
            );
        }
        Ok(())
    }

    /// What a listener offers.
    pub fn services(&self, listen: &Listen) -> Vec<Service> {
        if let Some(services) = &listen.services {
            return services.clone();
        }
        let parts = [
            (Service::Login, listen.identity.is_none()),
            (Service::Exec, self.exec.is_some()),
            (Service::Files, self.files.is_some()),
            (
                Service::Clock,
                // A dialect that is about nothing else need not be told.
                self.clock.is_some() || !listen.dialect.is_native(),
            ),
        ];
        parts
            .into_iter()
            .filter(|(service, there)| *there && listen.dialect.has_words_for(*service))
            .map(|(service, _)| service)
            .collect()
    }
}

impl Clock {
    /// The service.
    pub(crate) fn build(&self) -> anyhow::Result<services::Clock> {
        let mut clock = services::Clock::new();
        if let Some(every) = self.every {
            clock = clock.every(every.0);
        }
        if let Some(format) = &self.format {
            clock = clock.format(format)?;
        }
        Ok(clock)
    }
}

impl Accounts {
    /// The rights of lines that name none.
    pub fn default_rights(&self) -> Rights {
        self.default_rights.iter().copied().collect()
    }
}

/// The smallest frame in which every login fits, in bytes.
const LEAST_BEFORE_LOGIN: u64 = 1024;

/// The configuration without a file.
const STANDARD: &str = r#"
[accounts]
file = "accounts.txt"

[files]
root = "files"

[exec]
allow = ["cat", "date", "df", "echo", "head", "id", "ls", "seq", "uname", "uptime", "wc"]

[[listen]]
address = "tcp://127.0.0.1:8001"
framing = "ack-handshake"

[[listen]]
address = "tcp://127.0.0.1:8002"
framing = "struct-header"

[[listen]]
address = "tcp://127.0.0.1:8003"
framing = { type = "delimiter", delimiter = "\n" }
"#;
