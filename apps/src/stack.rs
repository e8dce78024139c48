//! Which layers stand in which order: the table of contents of the server.

use std::{convert::Infallible, sync::Arc};

use anyhow::Context;
use services::{
    Clock, HandleLayer, Ping, Request, Response, TraceLayer, Unsupported, WhoAmI,
    exec::{Allow, Exec, Limits, ProcessSpawner},
    files::{DirectoryStore, Files},
    login::{AccountsFile, AnonymousLayer, Authenticator, Identity, LoginLayer, MemoryAttempts},
};
use tower::{Layer, ServiceBuilder, util::BoxCloneSyncService};

use crate::config::{self, Config, Listen, Service};

/// The services of one listener, from a request to its response.
pub type Stack = BoxCloneSyncService<Request, Response, Infallible>;

/// Failed logins of one name from one address before that pair has to wait.
const LOCK_AFTER: u32 = 20;

/// How long it waits.
const LOCK_TIME: std::time::Duration = std::time::Duration::from_secs(60);

/// The configured parts, each opened once and shared by all listeners.
#[derive(Debug)]
pub struct Parts {
    login: Option<LoginLayer>,
    exec: Option<Exec>,
    files: Option<Files>,
    clock: Clock,
}

impl Parts {
    /// Opens what the configuration names: reads the accounts, opens the folder of the files.
    pub fn open(config: &Config) -> anyhow::Result<Self> {
        let login = config.accounts.as_ref().map(open_login).transpose()?;
        let exec = config.exec.as_ref().map(open_exec).transpose()?;
        let files = config.files.as_ref().map(open_files).transpose()?;
        let clock = config.clock.clone().unwrap_or_default().build()?;
        Ok(Self {
            login,
            exec,
            files,
            clock,
        })
    }

    /// Puts the layers of one listener together, outermost first.
    pub fn stack(&self, config: &Config, listen: &Listen) -> anyhow::Result<Stack> {
        let offered = config.services(listen);
        let offers = |service| offered.contains(&service);

        // Whoever is inside is somebody: everything below takes an `Authed<Request>`.
        let inside = ServiceBuilder::new()
            // Tells people who they are.
            .layer(HandleLayer::new(WhoAmI))
            // Runs commands.
            .option_layer(
                self.exec
                    .clone()
                    .filter(|_| offers(Service::Exec))
                    .map(Exec::into_layer),
            )
            // Keeps files.
            .option_layer(
                self.files
                    .clone()
                    .filter(|_| offers(Service::Files))
                    .map(Files::into_layer),
            )
            // Tells the time.
            .option_layer(offers(Service::Clock).then(|| self.clock.clone().into_layer()))
            // Says that nothing above knew the verb.
            .service(Unsupported);

        // The way in: a login, or the same identity for everybody.
        let entrance: Stack = match &listen.identity {
            Some(identity) => {
                let identity = Identity::new(&identity.name, identity.rights.iter().copied());
                BoxCloneSyncService::new(AnonymousLayer::new(identity).layer(inside))
            }
            None => {
                let login = self.login.as_ref().context("there is no [accounts]")?;
                BoxCloneSyncService::new(login.layer(inside))
            }
        };

        Ok(BoxCloneSyncService::new(
            ServiceBuilder::new()
                // Notes every request in the log.
                .layer(TraceLayer)
                // Answers whoever asks whether we are here; tells nothing.
                .layer(HandleLayer::new(Ping))
                .service(entrance),
        ))
    }
}

fn open_login(config: &config::Accounts) -> anyhow::Result<LoginLayer> {
    let accounts = AccountsFile::open(&config.file, config.default_rights())?;
    let attempts = Arc::new(MemoryAttempts::new(LOCK_AFTER, LOCK_TIME));
    let authenticator = Authenticator::new(accounts).attempts(attempts);
    Ok(LoginLayer::new(authenticator).max_tries(config.max_tries))
}

fn open_exec(config: &config::Exec) -> anyhow::Result<Exec> {
    let mut limits = Limits::new();
    if let Some(timeout) = config.timeout {
        limits = limits.timeout(timeout.0);
    }
    if let Some(bytes) = config.max_output {
        limits = limits.max_output(bytes.0);
    }
    let allow = Allow::new(&config.allow).context("[exec] allow")?;
    let spawner = ProcessSpawner::new(&config.folder);
    Ok(Exec::new(spawner, allow).shell(config.shell).limits(limits))
}

fn open_files(config: &config::Files) -> anyhow::Result<Files> {
    let mut options = DirectoryStore::options();
    if let Some(bytes) = config.max_file {
        options = options.max_file(bytes.0);
    }
    if let Some(bytes) = config.quota {
        options = options.quota(bytes.0);
    }
    std::fs::create_dir_all(&config.root)
        .with_context(|| format!("cannot create the folder {}", config.root.display()))?;
    let store = options
        .open(&config.root)
        .with_context(|| format!("cannot open the folder {}", config.root.display()))?;
    Ok(Files::new(store).digest_optional(config.digest_optional))
}
