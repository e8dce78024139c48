//! Tagged requests: whose answer is whose in any order, how many are on their way, what a broken
//! peer can do.

mod client;
mod server;
mod tags;

use std::time::Duration;

use bytes::{Buf, Bytes};
use framing::{Connection, StructHeader, serve::BoxError};
use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{DuplexStream, duplex},
    time::{sleep, timeout},
};

type Framed = Connection<DuplexStream, StructHeader>;

/// Both ends of a pipe that holds `buffer` bytes in each direction.
fn pair(buffer: usize) -> (Framed, Framed) {
    let (ours, theirs) = duplex(buffer);
    (
        Connection::new(ours, StructHeader::default()),
        Connection::new(theirs, StructHeader::default()),
    )
}

async fn soon<T>(work: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), work)
        .await
        .expect("this takes too long")
}

/// The tag in four bytes, and the frame: written here by hand, as a peer would.
fn tagged(tag: u32, frame: impl AsRef<[u8]>) -> Bytes {
    [&tag.to_be_bytes(), frame.as_ref()].concat().into()
}

/// A peer that knows nothing of this crate's multiplexing.
trait Peer {
    async fn say(&mut self, tag: u32, frame: &str);

    /// The next frame and its tag; `None` at the end.
    async fn hear(&mut self) -> Option<(u32, String)>;
}

impl Peer for Framed {
    async fn say(&mut self, tag: u32, frame: &str) {
        soon(self.send(tagged(tag, frame))).await.unwrap();
    }

    async fn hear(&mut self) -> Option<(u32, String)> {
        let mut frame = soon(self.next()).await?.unwrap();
        let tag = frame.get_u32();
        Some((tag, String::from_utf8(frame.to_vec()).unwrap()))
    }
}

fn heard(tag: u32, frame: &str) -> Option<(u32, String)> {
    Some((tag, frame.into()))
}

/// Answers with what came, fails on `fail`, panics on `panic`, never answers `never`, answers a
/// number after so many milliseconds.
async fn moody(frame: Bytes) -> Result<Bytes, BoxError> {
    match &frame[..] {
        b"fail" => Err("it was not to be".into()),
        b"panic" => panic!("a panic that the test asked for"),
        b"never" => std::future::pending().await,
        b"late panic" => {
            sleep(Duration::from_millis(10)).await;
            panic!("a late panic that the test asked for")
        }
        b"huge" => Ok(vec![0; 32 * 1024 * 1024].into()),
        other => {
            if let Some(pause) = std::str::from_utf8(other).ok().and_then(|t| t.parse().ok()) {
                sleep(Duration::from_millis(pause)).await;
            }
            Ok(frame)
        }
    }
}
