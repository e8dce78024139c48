//! Proves to a server that we are one of its clients.

use clap::ValueEnum;
use services::hmac::{Digest, Form, HmacError, Secret, TIME_LIMIT, answer};

use super::{
    cli::ServerArgs,
    exit::{Exit, Failure},
};

/// The hash of a proof.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum HmacDigest {
    #[default]
    Sha256,
    Md5,
}

/// What is proved, and how.
#[derive(Debug)]
pub(super) struct Proof {
    secret: Secret,
    form: Form,
}

impl Proof {
    /// Reads the secret, if one is named.
    pub(super) fn new(args: &ServerArgs) -> Result<Option<Self>, Failure> {
        let Some(file) = &args.hmac_secret_file else {
            return Ok(None);
        };
        let secret = Secret::read(file).map_err(|error| {
            let exit = match file.exists() {
                true => Exit::DATA,
                false => Exit::NO_INPUT,
            };
            Failure::new(exit, "local-file", format!("--hmac-secret-file: {error}")).in_step()
        })?;
        let form = match (args.hmac_mutual, args.hmac_digest.unwrap_or_default()) {
            (true, _) => Form::Mutual,
            (false, HmacDigest::Sha256) => Form::OneWay(Digest::Sha256),
            (false, HmacDigest::Md5) => Form::OneWay(Digest::Md5),
        };
        Ok(Some(Self { secret, form }))
    }

    /// Goes through the check.
    pub(super) async fn give(&self, io: &mut dyn framing::client::Io) -> Result<(), Failure> {
        let mut io = io;
        answer(&mut io, &self.secret, self.form, TIME_LIMIT)
            .await
            .map_err(|error| {
                let exit = match &error {
                    HmacError::Wrong | HmacError::Refused => Exit::NOT_ALLOWED,
                    _ => Exit::IO,
                };
                Failure::new(exit, "hmac", error.to_string())
                    .hint("does the server ask for a secret, in this form?")
            })
    }
}
