//! The form of the courses: the server challenges, the client answers, and that is all.

use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    Digest, HmacError, Secret,
    exchange::{CHALLENGE, challenge, read, write},
};

/// The server's side. Nothing is sent after the challenge, whether the answer is right or wrong.
pub(super) async fn ask<Io: AsyncRead + AsyncWrite + Unpin>(
    io: &mut Io,
    secret: &Secret,
    digest: Digest,
) -> Result<(), HmacError> {
    let challenge = challenge()?;
    write(io, &challenge).await?;
    let mut proof = [0; 32];
    let proof = &mut proof[..digest.length()];
    read(io, proof).await?;
    digest.verify(secret, &[&challenge], proof)
}

/// The client's side. A wrong answer does not show here, but in an end where the first frame is
/// expected.
pub(super) async fn answer<Io: AsyncRead + AsyncWrite + Unpin>(
    io: &mut Io,
    secret: &Secret,
    digest: Digest,
) -> Result<(), HmacError> {
    let mut challenge = [0; CHALLENGE];
    read(io, &mut challenge).await?;
    write(io, &digest.sign(secret, &[&challenge])?).await
}
