//! Stands between client and server and flips one bit on the way.

use std::io;

use framing::serve::Address;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Where in what a client sends the bit is flipped: in the middle of an upload.
const POSITION: u64 = 1_000_003;

/// Forwards connections to `server`, each with one bit changed in what the client sends. The address
/// is where to connect instead; the proxy lives as long as the runtime.
pub async fn tamper(server: Address) -> io::Result<Address> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = Address::Tcp(listener.local_addr()?);
    let Address::Tcp(server) = server else {
        return Err(io::Error::other("only TCP can be tampered with here"));
    };
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(async move {
                // What fails here is noticed at the ends.
                let _ = forward(client, TcpStream::connect(server).await?).await;
                io::Result::Ok(())
            });
        }
    });
    Ok(address)
}

async fn forward(client: TcpStream, server: TcpStream) -> io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let upward = async {
        let mut buffer = vec![0; 64 * 1024];
        let mut passed = 0;
        loop {
            let count = from_client.read(&mut buffer).await? as u64;
            if count == 0 {
                return to_server.shutdown().await;
            }
            if (passed..passed + count).contains(&POSITION) {
                buffer[(POSITION - passed) as usize] ^= 1;
            }
            passed += count;
            to_server.write_all(&buffer[..count as usize]).await?;
        }
    };
    let downward = async {
        tokio::io::copy(&mut from_server, &mut to_client).await?;
        to_client.shutdown().await
    };
    tokio::try_join!(upward, downward).map(drop)
}
