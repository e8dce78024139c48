//! Passes bytes on, both ways, as they come.

use std::io;

use super::{
    found::End,
    notes::{Log, Tap},
    socket::Socket,
};

/// Bytes read at once.
const READ: usize = 64 * 1024;

/// Passes on until both directions have ended, or one end is lost; an error says why.
pub(super) async fn forward(
    client: &Socket,
    upstream: &Socket,
    log: Option<&Log>,
) -> Result<(), String> {
    let tap = |from| Tap::new(log.cloned(), from);
    let there = one_way(client, upstream, tap(End::Client));
    let back = one_way(upstream, client, tap(End::Upstream));
    let ended = tokio::try_join!(
        async { there.await.map_err(|error| (End::Client, error)) },
        async { back.await.map_err(|error| (End::Upstream, error)) },
    );
    ended.map(drop).map_err(|(end, error)| {
        client.reset();
        upstream.reset();
        format!("the connection of the {} failed: {error}", end.as_str())
    })
}

async fn one_way(from: &Socket, to: &Socket, mut tap: Tap) -> io::Result<()> {
    let mut buffer = vec![0; READ];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            tap.ended();
            to.finish();
            return Ok(());
        }
        // Noted first: what answers it must not be noted before it.
        tap.read(&buffer[..count]);
        if to.write(&buffer[..count]).await.is_err() {
            // It reads no more, but what it wrote before is still to be passed on.
            from.refuse();
            return Ok(());
        }
    }
}
