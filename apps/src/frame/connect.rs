//! From a URL to a client that is logged in.

use std::{fmt, future::Future, io, path::PathBuf, str::FromStr, time::Duration};

use framing::{FramingFactory, Registry, client::dial, serve::Address};
use services::{
    client::{Client, ClientError},
    course::{self, CourseCaller, TransferForm},
    login::Password,
    native,
};
use tokio::{net::lookup_host, time::timeout};

use super::{
    cli::{GetArgs, ServerArgs},
    dialect::{self, Script},
    exit::{Exit, Failure},
    password,
    proof::Proof,
};

/// The longest wait for a name to be looked up and a server to take the connection.
pub(super) const CONNECT_TIME: Duration = Duration::from_secs(10);

/// The longest wait for a good-bye to be on its way.
const LEAVE_TIME: Duration = Duration::from_secs(1);

/// The longest wait for an answer that needs no work to speak of.
const ANSWER_TIME: Duration = Duration::from_secs(30);

/// Where a server is: `tcp://host:port` with a name or an IP address, or `unix:/path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ServerUrl {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

impl FromStr for ServerUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || "a server is written tcp://127.0.0.1:8002, tcp://name:8002 or unix:/path".to_owned();
        let Some(rest) = text.strip_prefix("tcp://") else {
            return match text.parse() {
                Ok(Address::Unix(Some(path))) => Ok(Self::Unix(path)),
                _ => Err(wrong()),
            };
        };
        let (host, port) = rest.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        let host = match host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
        {
            Some(ip) if ip.contains(':') => ip,
            None if !host.contains(':') => host,
            _ => return Err(wrong()),
        };
        let allowed = |c: char| !c.is_whitespace() && !c.is_control() && !"/@?#[]".contains(c);
        if host.is_empty() || !host.chars().all(allowed) {
            return Err(wrong());
        }
        Ok(Self::Tcp {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl ServerUrl {
    /// What its name stands for.
    pub(super) async fn addresses(&self) -> io::Result<Vec<Address>> {
        match self {
            Self::Unix(path) => Ok(vec![Address::Unix(Some(path.clone()))]),
            Self::Tcp { host, port } => {
                let found = lookup_host((host.as_str(), *port)).await?;
                Ok(found.map(Address::Tcp).collect())
            }
        }
    }
}

/// A server, how to speak to it, and as whom.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) url: ServerUrl,
    speaks: Speaks,
    proof: Option<Proof>,
    login: Option<(String, Password)>,
}

/// What a server speaks.
#[derive(Debug)]
enum Speaks {
    Native(FramingFactory),
    /// A dialect of the course by its name; none is the login alone.
    Course(String, Option<course::Dialect>),
}

impl Target {
    /// Reads the options, and the password if one is needed; may ask for it.
    pub(super) fn new(args: &ServerArgs) -> Result<Self, Failure> {
        let speaks = match dialect::script(args)? {
            Some(Script(course)) => {
                Speaks::Course(dialect::name(args.dialect.unwrap_or_default()), course)
            }
            None => {
                let framing = framing(args.framing())?;
                native::check(&framing.make()).map_err(|error| {
                    let message = format!("--framing {}: {error}", framing.name());
                    Failure::new(Exit::DATA, "config", message)
                })?;
                Speaks::Native(framing)
            }
        };
        let login = match (&args.user, &args.password_file) {
            (Some(user), file) => Some((user.clone(), password::find(user, file.as_deref())?)),
            (None, None) => None,
            (None, Some(_)) => {
                return Err(Failure::usage(
                    "--password-file without --user: whose is it?",
                ));
            }
        };
        let url = args.server.clone().unwrap_or(ServerUrl::Tcp {
            host: "127.0.0.1".to_owned(),
            port: 8002,
        });
        let proof = Proof::new(args)?;
        Ok(Self {
            url,
            speaks,
            proof,
            login,
        })
    }

    /// Whether connections are logged in from the start.
    pub(super) fn has_login(&self) -> bool {
        self.login.is_some()
    }

    /// Logs further connections in as whoever has just logged in.
    pub(super) fn remember(&mut self, name: String, password: Password) {
        self.login = Some((name, password));
    }

    /// Whether commands can be given a standard input there.
    pub(super) fn has_stdin(&self) -> bool {
        matches!(self.speaks, Speaks::Native(_))
    }

    /// Sees that a file is named where the server must be told which one is wanted.
    pub(super) fn check_name(&self, args: &GetArgs) -> Result<(), Failure> {
        let unasked = matches!(
            &self.speaks,
            Speaks::Course(_, Some(course::Dialect::Transfer(options)))
                if options.form != TransferForm::Ack
        );
        if args.file.is_none() && !unasked {
            return Err(Failure::usage("which file? get NAME|NUMBER"));
        }
        Ok(())
    }

    /// Names what was spoken in a failure that came before any answer did.
    pub(super) fn doubt(&self, failure: Failure) -> Failure {
        match &self.speaks {
            Speaks::Native(framing) => failure.over(framing.name(), &self.url),
            Speaks::Course(dialect, _) => failure.in_dialect(dialect, &self.url),
        }
    }

    /// The same for a failure after [`connect`](Self::connect): a login was an answer, so what is
    /// merely lost later is just that.
    pub(super) fn doubt_unless_answered(&self, failure: Failure) -> Failure {
        match self.login {
            Some(_) if failure.exit() != Exit::PROTOCOL => failure,
            _ => self.doubt(failure),
        }
    }

    /// Connects and logs in.
    pub(super) async fn connect(&self) -> Result<Client, Failure> {
        let mut io = timeout(CONNECT_TIME, self.dial())
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|error| Failure::unreachable(&self.url, error))?;
        if let Some(proof) = &self.proof {
            proof.give(&mut *io).await?;
        }
        let mut client = match &self.speaks {
            Speaks::Native(framing) => Client::new(io, framing.make())
                .map_err(|error| Failure::new(Exit::DATA, "config", error.to_string()))?,
            Speaks::Course(_, dialect) => CourseCaller::new(io, dialect.clone())
                .map_err(|error| Failure::new(Exit::DATA, "config", error.to_string()))?
                .into(),
        };
        if let Some((name, password)) = &self.login {
            let logged_in = in_time(client.login(name, password.clone())).await;
            if let Err(failure) = logged_in {
                // Not a word more than the answer needs: the failure is what counts.
                let _ = timeout(LEAVE_TIME, client.leave()).await;
                return Err(self.doubt(failure));
            }
        }
        Ok(client)
    }

    async fn dial(&self) -> io::Result<Box<dyn framing::client::Io>> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in self.url.addresses().await? {
            match dial(&address).await {
                Ok(io) => return Ok(io),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// Reads `--framing`.
pub(super) fn framing(text: &str) -> Result<FramingFactory, Failure> {
    Registry::default()
        .parse(text)
        .map_err(|error| Failure::framing(&error))
}

/// Waits for an answer that needs no work to speak of; a server that says nothing for so long speaks
/// something else.
pub(super) async fn in_time<T>(
    answer: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, Failure> {
    match timeout(ANSWER_TIME, answer).await {
        Ok(result) => Ok(result?),
        Err(_) => {
            let message = format!("no answer within {} s", ANSWER_TIME.as_secs());
            Err(Failure::new(Exit::UNAVAILABLE, "no-answer", message).doubting_framing())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_shown() {
        for url in [
            "tcp://127.0.0.1:8002",
            "tcp://localhost:1",
            "tcp://[::1]:8002",
            "unix:/run/framed.sock",
        ] {
            assert_eq!(url.parse::<ServerUrl>().unwrap().to_string(), url);
        }
        for url in [
            "",
            "127.0.0.1:8002",
            "tcp://",
            "tcp://host",
            "tcp://:80",
            "tcp://host:70000",
            "tcp://::1:80",
            "tcp://[host]:80",
            "tcp://me@host:80",
            "tcp://host:80/",
            "tls://host:80",
            "unix:",
        ] {
            assert!(url.parse::<ServerUrl>().is_err(), "{url}");
        }
    }
}
