//! cargo run --release --example talk
//!
//! Two people talk over TCP, line by line. Either may end it; then the next caller has a turn.
//!
//! In two terminals, with yourself at both ends:
//!
//! ```sh
//! cargo run --release --example talk -- listen 127.0.0.1:9010
//! cargo run --release --example talk -- to 127.0.0.1:9010
//! ```

use std::{fmt::Display, net::SocketAddr};

use anyhow::{Context, bail};
use framing::{
    Connection, Lines,
    serve::{Listener, Tcp},
};
use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader, stdin},
    net::TcpStream,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["listen", address] => {
            let mut listener = Tcp::bind(address).await?;
            println!("listening on {}", listener.local_addr());
            let mut lines = BufReader::new(stdin());
            loop {
                let (io, peer) = listener.accept().await;
                println!("{} is here", peer.remote);
                let connection = Connection::new(io, Lines::new()?);
                // A caller who breaks off must not end the talk with the next one.
                match talk(connection, &mut lines, "they").await {
                    Ok(Ended::Here) => return Ok(()),
                    Ok(Ended::There) => println!("{} has left", peer.remote),
                    Err(error) => println!("{} was lost: {error:#}", peer.remote),
                }
            }
        }
        ["to", address] => {
            let io = TcpStream::connect(address)
                .await
                .with_context(|| format!("cannot reach {address}"))?;
            let connection = Connection::new(io, Lines::new()?);
            talk(connection, &mut BufReader::new(stdin()), "they").await?;
            Ok(())
        }
        [] => demonstration().await,
        _ => bail!("there are: talk, talk listen ADDRESS, talk to ADDRESS"),
    }
}

/// Who has ended a talk.
#[derive(Debug, PartialEq)]
enum Ended {
    Here,
    There,
}

/// Sends each line of `lines` and shows each that comes, until one side ends.
async fn talk(
    mut connection: Connection<TcpStream, Lines>,
    lines: &mut BufReader<impl AsyncRead + Unpin>,
    them: impl Display,
) -> anyhow::Result<Ended> {
    // Outside of the loop: a line that is half typed when one comes in is not lost.
    let mut line = Vec::new();
    loop {
        tokio::select! {
            read = lines.read_until(b'\n', &mut line) => {
                if read? == 0 && line.is_empty() {
                    // We end our side, and hear what they still have to say.
                    connection.close().await?;
                    while let Some(rest) = connection.next().await.transpose()? {
                        println!("{them}: {}", show(&rest));
                    }
                    return Ok(Ended::Here);
                }
                let end = line.strip_suffix(b"\n").unwrap_or(&line);
                connection.send(end.to_vec().into()).await?;
                line.clear();
            }
            heard = connection.next() => match heard.transpose()? {
                Some(heard) => println!("{them}: {}", show(&heard)),
                None => {
                    connection.close().await?;
                    return Ok(Ended::There);
                }
            },
        }
    }
}

/// What a stranger writes must not drive our terminal.
fn show(line: &[u8]) -> String {
    let shown = |c: char| match c.is_control() {
        true => '\u{FFFD}',
        false => c,
    };
    String::from_utf8_lossy(line).chars().map(shown).collect()
}

/// Two callers after each other, each with something to say.
async fn demonstration() -> anyhow::Result<()> {
    let mut listener = Tcp::bind("127.0.0.1:0").await?;
    let address: SocketAddr = listener.local_addr().to_string()["tcp://".len()..].parse()?;
    let caller = |name: &'static str, said: &'static str| async move {
        let connection = Connection::new(TcpStream::connect(address).await?, Lines::new()?);
        let ended = talk(connection, &mut BufReader::new(said.as_bytes()), name).await?;
        anyhow::ensure!(ended == Ended::Here);
        Ok(())
    };
    // The second waits in the backlog until the first has ended.
    let callers = async {
        tokio::try_join!(
            caller("alex's friend", "hello\nit is alex\n"),
            caller("jack's friend", "and this is jack\n"),
        )
    };
    let host = async {
        for _ in 0..2 {
            let (io, _) = listener.accept().await;
            let connection = Connection::new(io, Lines::new()?);
            // Nobody types here; what is never ready is no end.
            let (_typing, silence) = tokio::io::duplex(1);
            let ended = talk(connection, &mut BufReader::new(silence), "caller").await?;
            anyhow::ensure!(ended == Ended::There);
        }
        Ok(())
    };
    tokio::try_join!(callers, host)?;
    println!("both have been heard");
    Ok(())
}

#[test]
fn runs() -> anyhow::Result<()> {
    main()
}
