//! tarpc's server, over bincode.

use futures_util::StreamExt;
use tarpc::{
    context, serde_transport,
    server::{BaseChannel, Channel},
    tokio_serde::formats::Bincode,
};
use tokio::net::TcpStream;
use tokio_util::codec::LengthDelimitedCodec;

#[tarpc::service]
pub trait Echo {
    async fn echo(payload: Vec<u8>) -> Vec<u8>;
}

#[derive(Clone)]
struct Echoes;

impl Echo for Echoes {
    async fn echo(self, _: context::Context, payload: Vec<u8>) -> Vec<u8> {
        payload
    }
}

pub(super) async fn echo(stream: TcpStream) {
    let framed = LengthDelimitedCodec::builder().new_framed(stream);
    let transport = serde_transport::new(framed, Bincode::default());
    BaseChannel::with_defaults(transport)
        .execute(Echoes.serve())
        .for_each(|response| async {
            tokio::spawn(response);
        })
        .await;
}
