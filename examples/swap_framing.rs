//! cargo run --release --example swap_framing
//!
//! Serves the same service over three framings, each chosen by a line of TOML, and shows the bytes.

use std::convert::Infallible;

use anyhow::bail;
use bytes::Bytes;
use framing::{
    FramingFactory, Machine, Received, Registry,
    serve::{Memory, serve},
};
use serde::de::DeserializeSeed;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::{make::Shared, service_fn};

const CONFIGURATIONS: [&str; 3] = [
    r#"framing = "ack-handshake""#,
    r#"framing = { type = "struct-header", format = "!H" }"#,
    r#"framing = { type = "delimiter", delimiter = "||" }"#,
];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    for configuration in CONFIGURATIONS {
        println!("{configuration}");
        let answer = ask(read(configuration)?, "hello").await?;
        println!("  answer ◀ {answer:?}\n");
        anyhow::ensure!(answer == "HELLO", "the framing changed the answer");
    }
    Ok(())
}

/// Reads the line as a program reads its configuration: unknown names and options are errors here.
fn read(configuration: &str) -> anyhow::Result<FramingFactory> {
    let mut table: toml::Table = configuration.parse()?;
    let framing = table.remove("framing").unwrap_or("struct-header".into());
    Ok(Registry::default().seed().deserialize(framing)?)
}

/// Starts the service over a framing and sends it one request. This is the only service here, and it
/// never learns which framing it is.
async fn ask(framing: FramingFactory, request: &'static str) -> anyhow::Result<Bytes> {
    let shout = service_fn(async |frame: Bytes| {
        Ok::<_, Infallible>(Bytes::from(frame.to_ascii_uppercase()))
    });
    let (listener, connector) = Memory::new(1024);
    let server = serve(listener, Shared::new(shout)).framing(framing.clone());
    let server = tokio::spawn(server.into_future());
    let answer = talk(connector.connect().await?, framing, request.into()).await;
    server.abort();
    answer
}

/// Sends a frame and waits for one, with the framing's machine in our own hands: so we see each
/// byte on its way. A `Connection` or a `Client` does the same unseen.
async fn talk(
    mut io: tokio::io::DuplexStream,
    framing: FramingFactory,
    request: Bytes,
) -> anyhow::Result<Bytes> {
    let mut machine = Machine::new(framing.make());
    machine.send(request)?;
    loop {
        let received = machine.next_frame()?;
        let bytes = machine.outbox().take_bytes();
        if !bytes.is_empty() {
            println!("  client ▶ {}", bytes.escape_ascii());
            io.write_all(&bytes).await?;
        }
        match received {
            Received::Frame(answer) => return Ok(answer),
            Received::End => bail!("the server has closed the connection"),
            _ => {}
        }
        let mut bytes = [0; 64];
        match io.read(&mut bytes).await? {
            0 => machine.close_input(),
            count => {
                println!("  server ▶ {}", bytes[..count].escape_ascii());
                machine.receive(&bytes[..count]);
            }
        }
    }
}

#[test]
fn runs() -> anyhow::Result<()> {
    main()
}
