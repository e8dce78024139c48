//! Reads and writes exactly the bytes of one step, and makes challenges.

use std::time::Duration;

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

use super::HmacError;

/// The length of a challenge in bytes: so many that none is ever made twice.
pub(super) const CHALLENGE: usize = 32;

/// What the other side must put into its proof.
pub(super) type Challenge = [u8; CHALLENGE];

/// A fresh one.
pub(super) fn challenge() -> Result<Challenge, HmacError> {
    let mut challenge = [0; CHALLENGE];
    getrandom::fill(&mut challenge).map_err(|_| HmacError::System)?;
    Ok(challenge)
}

/// Fills `bytes` and reads nothing more: what stands behind them is the first frame's.
pub(super) async fn read<Io: AsyncRead + Unpin>(
    io: &mut Io,
    bytes: &mut [u8],
) -> Result<(), HmacError> {
    io.read_exact(bytes).await.map_err(HmacError::from_io)?;
    Ok(())
}

/// Hands all of `bytes` over at once: peers may read a step with a single `recv`.
pub(super) async fn write<Io: AsyncWrite + Unpin>(
    io: &mut Io,
    bytes: &[u8],
) -> Result<(), HmacError> {
    io.write_all(bytes).await.map_err(HmacError::from_io)?;
    io.flush().await.map_err(HmacError::from_io)
}

/// Bounds a whole exchange, and not each step: one byte now and then buys no more time.
pub(super) async fn within(
    limit: Duration,
    exchange: impl Future<Output = Result<(), HmacError>>,
) -> Result<(), HmacError> {
    timeout(limit, exchange)
        .await
        .unwrap_or(Err(HmacError::Late(limit)))
}
