//! Servers to be measured, one kind a file. Each runs as a process of its own on the first core,
//! and prints `LISTENING <port>`.

mod accept;
mod epoll;
mod framed;
mod ours;
mod raw;
mod tarpc;
mod tokio_tower;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use clap::{Args, ValueEnum};

pub use self::tarpc::{EchoRequest, EchoResponse};
use crate::{
    load::Speaks,
    pin::{Side, pin},
};

#[derive(Args, Debug)]
pub struct ServeOptions {
    pub kind: Kind,
    /// For those of ours that are told.
    #[arg(long, default_value = "struct-header")]
    pub framing: String,
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
    OursMultiplex,
    Framed,
    TokioTower,
    Tarpc,
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
            _ => Speaks::U32,
        }
    }
}

/// Serves until it is killed.
pub fn run(options: &ServeOptions) -> anyhow::Result<()> {
    pin(Side::Server)?;
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let port = listener.local_addr()?.port();
    let ready = move || println!("LISTENING {port}");
    if options.kind == Kind::Epoll {
        ready();
        return epoll::run(&listener);
    }
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        ready();
        match options.kind {
            Kind::Epoll => Ok(()),
            Kind::Raw => accept::each(listener, raw::copied).await,
            Kind::RawBytes => accept::each(listener, raw::counted).await,
            Kind::Framed => accept::each(listener, framed::echo).await,
            Kind::TokioTower => accept::each(listener, tokio_tower::echo).await,
            Kind::Tarpc => accept::each(listener, tarpc::echo).await,
            Kind::OursLent => accept::each(listener, ours::lent).await,
            Kind::Ours => ours::fixed(listener).await,
            Kind::OursDyn => ours::chosen(listener, &options.framing).await,
            Kind::OursLayers => ours::layered(listener).await,
            Kind::OursMultiplex => ours::multiplexed(listener).await,
        }
    })
}
