//! The server's side, as what comes before a connection's first frame.

use std::time::Duration;

use framing::serve::{Acceptor, BoxError, Peer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Form, HmacError, Secret, TIME_LIMIT, exchange::within, mutual, one_way};

/// Lets in who knows the secret: an [`Acceptor`] for [`Serve::acceptor`](framing::serve::Serve::acceptor).
///
/// Whoever answers wrongly, not wholly, not in [time](Self::time_limit) or not at all is closed without
/// a byte of an answer, and nothing behind the check sees it; the log says which it was. Exactly the
/// proof's bytes are read, so a first request may come glued to it.
#[derive(Clone, Debug)]
pub struct HmacAcceptor {
    secret: Secret,
    form: Form,
    time_limit: Duration,
}

impl HmacAcceptor {
    /// Asks for a proof of `secret` in this form.
    pub fn new(secret: Secret, form: Form) -> Self {
        Self {
            secret,
            form,
            time_limit: TIME_LIMIT,
        }
    }

    /// Sets how long the check may take ([5 s](TIME_LIMIT)), from the connection's start to its end,
    /// however busy the peer is. Until then one who proves nothing holds one of the server's
    /// [places](framing::serve::Serve::max_connections).
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    async fn ask<Io: AsyncRead + AsyncWrite + Unpin>(&self, io: &mut Io) -> Result<(), HmacError> {
        match self.form {
            Form::OneWay(digest) => one_way::ask(io, &self.secret, digest).await,
            Form::Mutual => mutual::ask(io, &self.secret).await,
        }
    }
}

impl<Io> Acceptor<Io> for HmacAcceptor
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Io = Io;

    async fn accept(&self, mut io: Io, _: &mut Peer) -> Result<Io, BoxError> {
        within(self.time_limit, self.ask(&mut io)).await?;
        Ok(io)
    }
}
