//! The client's side.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use super::{Form, HmacError, Secret, exchange::within, mutual, one_way};

/// Proves to the server at the other end of `io`, a connection that has just been opened, that we
/// know `secret`; in the mutual form the server must prove it, too. Frames follow.
///
/// Exactly the bytes of the check are read. It may take `limit` in all ([`TIME_LIMIT`](super::TIME_LIMIT)
/// is what servers give).
///
/// # Errors
///
/// When the server sends no challenge, leaves, or proves itself wrongly; then `io` is of no use any
/// more. In the one-way form `Ok` tells only that the answer was sent: a server that does not like it
/// closes the connection, and the first frame does not come.
///
/// # Cancel safety
///
/// None: drop `io` with it.
///
/// ```no_run
/// use framing::client::dial;
/// use services::{client::Client, hmac::{Form, Secret, TIME_LIMIT, answer}};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let secret = Secret::read("key")?;
/// let mut io = dial(&"tcp://127.0.0.1:8002".parse()?).await?;
/// answer(&mut io, &secret, Form::default(), TIME_LIMIT).await?;
/// let client = Client::new(io, framing::StructHeader::default())?;
/// # Ok(()) }
/// ```
pub async fn answer<Io: AsyncRead + AsyncWrite + Unpin>(
    io: &mut Io,
    secret: &Secret,
    form: Form,
    limit: Duration,
) -> Result<(), HmacError> {
    within(limit, async {
        match form {
            Form::OneWay(digest) => one_way::answer(io, secret, digest).await,
            Form::Mutual => mutual::answer(io, secret).await,
        }
    })
    .await
}
