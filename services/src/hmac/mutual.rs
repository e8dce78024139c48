//! Our own form: each side proves itself, with a challenge of both and its role in the proof.
//!
//! The client proves itself first. Anybody may connect to a server, and one that proved itself first
//! would give everybody an HMAC to try guesses of the secret on; a client shows one only to whom it
//! dials.

use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    Digest, HmacError, Secret,
    exchange::{CHALLENGE, Challenge, challenge, read, write},
};

const DIGEST: Digest = Digest::Sha256;
const PROOF: usize = 32;

/// Who proves itself. Without it in the proof, a client's own could be sent back to it as the server's.
#[derive(Clone, Copy, Debug)]
enum Role {
    Client,
    Server,
}

impl Role {
    /// What a proof is of. It is longer than a one-way challenge, so an answer in that form is never a
    /// proof in this one, whoever chose the challenge.
    fn label(self) -> &'static [u8] {
        match self {
            Self::Client => b"framewright hmac-mutual 1 client\n",
            Self::Server => b"framewright hmac-mutual 1 server\n",
        }
    }

    fn prove(
        self,
        secret: &Secret,
        server: &Challenge,
        client: &Challenge,
    ) -> Result<Vec<u8>, HmacError> {
        DIGEST.sign(secret, &[self.label(), server, client])
    }

    fn verify(
        self,
        secret: &Secret,
        server: &Challenge,
        client: &Challenge,
        proof: &[u8],
    ) -> Result<(), HmacError> {
        DIGEST.verify(secret, &[self.label(), server, client], proof)
    }
}

/// The server's side: of its secret nothing is sent before the client has proved itself.
pub(super) async fn ask<Io: AsyncRead + AsyncWrite + Unpin>(
    io: &mut Io,
    secret: &Secret,
) -> Result<(), HmacError> {
    let server = challenge()?;
    write(io, &server).await?;
    let (mut client, mut proof) = ([0; CHALLENGE], [0; PROOF]);
    read(io, &mut client).await?;
    read(io, &mut proof).await?;
    Role::Client.verify(secret, &server, &client, &proof)?;
    write(io, &Role::Server.prove(secret, &server, &client)?).await
}

/// The client's side.
pub(super) async fn answer<Io: AsyncRead + AsyncWrite + Unpin>(
    io: &mut Io,
    secret: &Secret,
) -> Result<(), HmacError> {
    let mut server = [0; CHALLENGE];
    read(io, &mut server).await?;
    let client = challenge()?;
    let mut step = client.to_vec();
    step.extend(Role::Client.prove(secret, &server, &client)?);
    write(io, &step).await?;
    let mut proof = [0; PROOF];
    read(io, &mut proof).await.map_err(|error| match error {
        HmacError::Left => HmacError::Refused,
        error => error,
    })?;
    Role::Server.verify(secret, &server, &client, &proof)
}

#[cfg(test)]
mod tests {
    use std::array;

    use super::*;

    #[test]
    fn the_vector_of_the_page() {
        let secret = Secret::new(*b"framewright test secret").unwrap();
        let server: Challenge = array::from_fn(|at| at as u8);
        let client: Challenge = array::from_fn(|at| 32 + at as u8);
        for (role, expected) in [
            (
                Role::Client,
                "cc8ef09216e2f7b9922a7b97fe7d8ee31fb3fb1e8f53831123ad6ab0098f97bf",
            ),
            (
                Role::Server,
                "aa4eaf16a6d38baa1db174b61c7aa5d70422505818e6f670489cd225b16f5dc2",
            ),
        ] {
            let proof = role.prove(&secret, &server, &client).unwrap();
            let proof: String = proof.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(proof, expected, "{role:?}");
            for page in [
                include_str!("../../../docs/hmac.md"),
                include_str!("../../../docs/hmac.zh-CN.md"),
            ] {
                assert!(page.contains(&proof), "{role:?}");
            }
        }
    }

    #[test]
    fn a_proof_is_of_all_that_is_in_it() {
        let secret = Secret::new(*b"secret").unwrap();
        let (server, client) = ([1; CHALLENGE], [2; CHALLENGE]);
        let proof = Role::Client.prove(&secret, &server, &client).unwrap();
        let verify = |role: Role, server, client| role.verify(&secret, server, client, &proof);
        verify(Role::Client, &server, &client).unwrap();
        assert!(verify(Role::Server, &server, &client).is_err());
        assert!(verify(Role::Client, &client, &server).is_err());
        assert!(verify(Role::Client, &server, &server).is_err());
        assert!(verify(Role::Client, &client, &client).is_err());
        let other = Secret::new(*b"secreT").unwrap();
        assert!(
            Role::Client
                .verify(&other, &server, &client, &proof)
                .is_err()
        );
    }
}
