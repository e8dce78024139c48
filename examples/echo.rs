//! cargo run --release --example echo -- --listen tcp://127.0.0.1:7000 --framing struct-header
//!
//! Sends every frame back to whoever sent it, over any framing, until it is stopped. The address may be a
//! name, `tcp://` in front of it may be left out, and port 0 is any that is free.

use std::{convert::Infallible, env};

use anyhow::{Context, bail};
use bytes::Bytes;
use framing::{
    FramingFactory, Registry,
    serve::{Tcp, serve},
};
use tokio::net::TcpListener;
use tower::{make::Shared, service_fn};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Options { listen, framing } = Options::parse(env::args().skip(1))?;
    let listener = TcpListener::bind(&listen)
        .await
        .with_context(|| format!("cannot listen on {listen}"))?;
    println!("LISTENING {}", listener.local_addr()?.port());
    echo(listener, framing).await
}

/// Serves until it is dropped.
async fn echo(listener: TcpListener, framing: FramingFactory) -> anyhow::Result<()> {
    let service = service_fn(async |frame: Bytes| Ok::<_, Infallible>(frame));
    serve(Tcp::new(listener)?, Shared::new(service))
        .framing(framing)
        .await;
    Ok(())
}

/// What the command line says.
struct Options {
    listen: String,
    framing: FramingFactory,
}

impl Options {
    fn parse(mut words: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let (mut listen, mut framing) = ("tcp://127.0.0.1:0".into(), "struct-header".into());
        while let Some(word) = words.next() {
            let (option, value) = match word.split_once('=') {
                Some((option, value)) => (option, Some(value.to_owned())),
                None => (&*word, None),
            };
            let place = match option {
                "--listen" => &mut listen,
                "--framing" => &mut framing,
                _ => bail!(
                    "`{option}` is not known; there are --listen tcp://127.0.0.1:0 and --framing struct-header"
                ),
            };
            *place = value
                .or_else(|| words.next())
                .with_context(|| format!("{option} needs a value"))?;
        }
        let address = listen.strip_prefix("tcp://").unwrap_or(&listen);
        // Without this a path of a socket would be looked up as a name.
        let port = address
            .rsplit_once(':')
            .map(|(_, port)| port.parse::<u16>());
        if !matches!(port, Some(Ok(_))) {
            bail!("`{listen}` is not an address like tcp://127.0.0.1:7000");
        }
        Ok(Self {
            listen: address.to_owned(),
            framing: Registry::default().parse(&framing)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use framing::{Connection, client::dial};
    use futures_util::{SinkExt, StreamExt};

    use super::*;

    #[tokio::test]
    async fn echoes_over_every_framing() -> anyhow::Result<()> {
        for framing in ["struct-header", "ack-handshake", "delimiter", "lines"] {
            let framing = format!("--framing={framing}");
            let words = [&framing, "--listen", "127.0.0.1:0"];
            let Options { listen, framing } = Options::parse(words.map(String::from).into_iter())?;
            let listener = TcpListener::bind(listen).await?;
            let address = format!("tcp://{}", listener.local_addr()?).parse()?;
            let server = tokio::spawn(echo(listener, framing.clone()));

            let mut client = Connection::new(dial(&address).await?, framing.make());
            for frame in ["hello", "", "世界"].map(Bytes::from) {
                client.send(frame.clone()).await?;
                let answer = client.next().await.context("the server has gone")??;
                assert_eq!(answer, frame, "{}", framing.name());
            }
            server.abort();
        }
        Ok(())
    }

    #[test]
    fn says_what_is_wrong_with_the_command_line() {
        for (words, told) in [
            (&["--lisen", "127.0.0.1:0"][..], "--listen"),
            (&["--listen"], "needs a value"),
            (&["--listen", "localhost"], "127.0.0.1:7000"),
            (&["--framing", "morse"], "struct-header"),
        ] {
            let error = Options::parse(words.iter().map(|word| word.to_string())).err();
            let text = error.map(|error| error.to_string()).unwrap_or_default();
            assert!(text.contains(told), "{words:?}: {text}");
        }
    }
}
