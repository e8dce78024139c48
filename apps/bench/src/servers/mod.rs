//! Servers to be measured, one kind a file. Each runs as a process of its own on the first core,
//! and prints `LISTENING <port>`.

mod accept;
mod ack;
mod epoll;
mod files;
mod foreign;
mod framed;
mod login;
mod native;
mod ours;
mod output;
mod pooled;
mod raw;
mod tarpc;
mod tokio_tower;

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
};

use clap::{Args, ValueEnum};
use rustix::process::{Signal, set_parent_process_death_signal};
use tracing::subscriber::NoSubscriber;

pub use self::files::{DOWN, UP};
pub use self::foreign::{missing, ssh_client};
pub use self::login::{ECHO, NAME, PASSWORD};
pub use self::tarpc::{EchoRequest, EchoResponse};
use crate::{
    load::Speaks,
    pin::{Side, pin},
    process,
};

#[derive(Args, Debug)]
pub struct ServeOptions {
    pub kind: Kind,
    /// For those of ours that are told.
    #[arg(long, default_value = "struct-header")]
    pub framing: String,
    /// Of the ack-handshake: whether frames are echoed.
    #[arg(long)]
    pub echo: bool,
    /// Where the files are.
    #[arg(long, default_value = ".")]
    pub folder: PathBuf,
    /// Where peers keep their settings.
    #[arg(long, default_value = ".")]
    pub settings: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    Raw,
    RawBytes,
    Epoll,
    Ours,
    OursLent,
    OursDyn,
    OursLayers,
    OursLogin,
    OursNative,
    OursMultiplex,
    Framed,
    FramedTuned,
    TokioTower,
    Tarpc,
    Twisted,
    Netty,
    Pooled,
    AckBlocking,
    AckTokio,
    AckOurs,
    AckOursDyn,
    Native,
    FilesCopied,
    FilesMoved,
    FilesTokio,
    Output,
    Nginx,
    NginxSendfile,
    Vsftpd,
    Sshd,
    Asyncssh,
}

impl Kind {
    /// Its name on the command line and in tables.
    pub fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// What its clients must speak.
    pub fn speaks(self) -> Speaks {
        match self {
            Self::Tarpc => Speaks::Tarpc,
            Self::OursMultiplex => Speaks::Tagged,
            Self::OursLogin => Speaks::Login,
            Self::OursNative => Speaks::Native,
            _ => Speaks::U32,
        }
    }
}

/// Serves until it is killed.
pub fn run(options: &ServeOptions) -> anyhow::Result<()> {
    pin(Side::Server)?;
    // However the benchmark ends, its servers do, too; they may be somebody else's program by then.
    set_parent_process_death_signal(Some(Signal::TERM))?;
    process::raise_open_files()?;
    // A peer's dependencies have `tracing` look for the `log` crate at every span as long as nobody
    // subscribes. So somebody does, who wants nothing.
    tracing::subscriber::set_global_default(NoSubscriber::default())?;
    match options.kind {
        kind @ (Kind::Twisted | Kind::Asyncssh) => {
            return Err(foreign::become_python(kind).into());
        }
        Kind::Netty => return Err(foreign::become_netty().into()),
        _ => {}
    }
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let port = listener.local_addr()?.port();
    let ready = move || println!("LISTENING {port}");
    match options.kind {
        Kind::Epoll => {
            ready();
            return epoll::run(&listener);
        }
        Kind::AckBlocking => {
            ready();
            return ack::blocking(&listener, options.echo);
        }
        Kind::FilesCopied => {
            ready();
            return files::blocking(&listener, &options.folder, files::copied);
        }
        Kind::FilesMoved => {
            ready();
            return files::blocking(&listener, &options.folder, files::moved);
        }
        Kind::Output => {
            ready();
            return files::blocking(&listener, &options.folder, output::run);
        }
        kind @ (Kind::Nginx | Kind::NginxSendfile) => {
            ready();
            let sendfile = kind == Kind::NginxSendfile;
            let (folder, settings) = (&options.folder, &options.settings);
            return Err(foreign::become_nginx(listener, folder, settings, sendfile).into());
        }
        kind @ (Kind::Vsftpd | Kind::Sshd) => {
            foreign::prepare(kind, &options.folder, &options.settings)?;
            ready();
            return foreign::each(&listener, || foreign::session(kind, &options.settings));
        }
        _ => {}
    }
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        ready();
        match options.kind {
            // Have served already.
            Kind::Twisted
            | Kind::Netty
            | Kind::Epoll
            | Kind::AckBlocking
            | Kind::FilesCopied
            | Kind::FilesMoved
            | Kind::Output
            | Kind::Nginx
            | Kind::NginxSendfile
            | Kind::Vsftpd
            | Kind::Sshd
            | Kind::Asyncssh => Ok(()),
            Kind::Native => native::run(listener, &options.framing, &options.folder).await,
            Kind::FilesTokio => {
                let folder = options.folder.clone();
                accept::each(listener, move |stream| {
                    files::tokio_copy(stream, folder.clone())
                })
                .await
            }
            Kind::Pooled => accept::each(listener, pooled::echo).await,
            Kind::AckTokio if options.echo => {
                accept::each(listener, |stream| ack::by_hand(stream, true)).await
            }
            Kind::AckTokio => accept::each(listener, |stream| ack::by_hand(stream, false)).await,
            Kind::AckOurs => ack::fixed(listener, options.echo).await,
            Kind::AckOursDyn => ack::chosen(listener).await,
            Kind::Raw => accept::each(listener, raw::copied).await,
            Kind::RawBytes => accept::each(listener, raw::counted).await,
            Kind::Framed => accept::each(listener, framed::usual).await,
            Kind::FramedTuned => accept::each(listener, framed::tuned).await,
            Kind::TokioTower => accept::each(listener, tokio_tower::echo).await,
            Kind::Tarpc => accept::each(listener, tarpc::echo).await,
            Kind::OursLent => accept::each(listener, ours::lent).await,
            Kind::Ours => ours::fixed(listener).await,
            Kind::OursDyn => ours::chosen(listener, &options.framing).await,
            Kind::OursLayers => ours::layered(listener).await,
            Kind::OursMultiplex => ours::multiplexed(listener).await,
            Kind::OursLogin => login::plain(listener).await,
            Kind::OursNative => login::native(listener).await,
        }
    })
}
