//! One connection with its service, as the dialects of the course see it.

use std::{collections::VecDeque, future::poll_fn, pin::Pin, task::Poll};

use bytes::Bytes;
use framing::{
    BoxFraming, Connection, Error, Framing, Unread,
    serve::{BoxError, Drain},
};
use futures_core::Stream;
use futures_util::SinkExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tower_service::Service;

use super::framings::{MOST_MESSAGE, MOST_OUTPUT};
use crate::{Body, Fields, Request, Response, Session, Verb, dialect};

/// What a conversation goes over.
pub(super) trait Wire: AsyncRead + AsyncWrite + Unpin {}

impl<Io: AsyncRead + AsyncWrite + Unpin> Wire for Io {}

/// What answers its requests.
pub(super) trait Answers:
    Service<Request, Response = Response, Error: Into<BoxError>>
{
}

impl<S: Service<Request, Response = Response, Error: Into<BoxError>>> Answers for S {}

/// Messages in and out, and the service that answers them.
pub(super) struct Conversation<Io, S> {
    connection: Connection<Io, BoxFraming>,
    session: Session,
    service: S,
    drain: Drain,
    ahead: Ahead,
}

/// What has been read while a request was being answered: so that the end behind it is seen.
#[derive(Default)]
struct Ahead {
    messages: VecDeque<Bytes>,
    /// Bytes in `messages`.
    bytes: usize,
    /// The end, or an error in its place, once it has come.
    end: Option<Result<(), Error>>,
}

impl Ahead {
    /// Whether more may be read: a peer that sends without end is held back.
    fn has_room(&self) -> bool {
        self.end.is_none() && self.bytes < MOST_MESSAGE && self.messages.len() < MOST_AHEAD
    }

    fn take(&mut self) -> Option<Result<Option<Bytes>, Error>> {
        match self.messages.pop_front() {
            Some(message) => {
                self.bytes -= message.len();
                Some(Ok(Some(message)))
            }
            None => Some(self.end.take()?.map(|()| None)),
        }
    }
}

/// How many messages are read ahead at most, and not more bytes than one may have.
const MOST_AHEAD: usize = 16;

impl<Io: Wire, S: Answers> Conversation<Io, S> {
    pub(super) fn new(
        connection: Connection<Io, BoxFraming>,
        session: Session,
        service: S,
        drain: Drain,
    ) -> Self {
        Self {
            connection,
            session,
            service,
            drain,
            ahead: Ahead::default(),
        }
    }

    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// Goes on in another framing, from the first byte that is not consumed.
    pub(super) fn speak(&mut self, framing: BoxFraming) {
        self.connection.replace_framing(framing, Unread::CarryOn);
    }

    /// The next message, of [`MOST_MESSAGE`] bytes at most and before a login of no more than that
    /// allows; none at the peer's end, or once the server stops.
    pub(super) async fn receive(&mut self) -> Result<Option<Bytes>, Error> {
        self.limit();
        if let Some(ahead) = self.ahead.take() {
            return ahead;
        }
        tokio::select! {
            biased;
            () = self.drain.requested() => Ok(None),
            message = next(&mut self.connection) => message,
        }
    }

    /// Limits what the peer may send. Answers may be longer, so it is set anew before each read.
    fn limit(&mut self) {
        let limit = self.session.frame_limit().min(MOST_MESSAGE);
        self.connection.framing_mut().set_max_frame(limit);
    }

    /// Sends a message, whatever ours may have, and waits until it is on its way.
    pub(super) async fn send(&mut self, message: impl Into<Bytes>) -> Result<(), Error> {
        self.connection.framing_mut().set_max_frame(MOST_OUTPUT);
        self.connection.send(message.into()).await
    }

    /// A request on this connection.
    fn request(&self, verb: Verb, arguments: Fields, body: Body) -> Request {
        Request::new(verb, self.session.clone())
            .with_arguments(arguments)
            .with_body(body)
    }

    /// Asks the service.
    pub(super) async fn ask(&mut self, verb: Verb, arguments: Fields) -> Response {
        let request = self.request(verb, arguments, Body::none());
        answered(&mut self.service, request).await
    }

    /// Asks the service and has `take` see to the response. Meanwhile a few messages are read ahead, so
    /// that it is noticed when the peer leaves.
    pub(super) async fn ask_attended<T, W>(
        &mut self,
        verb: Verb,
        arguments: Fields,
        take: impl FnOnce(Response) -> W,
    ) -> T
    where
        W: Future<Output = T>,
    {
        self.limit();
        let request = self.request(verb, arguments, Body::none());
        let Self {
            connection,
            session,
            service,
            ahead,
            ..
        } = self;
        let answer = async { take(answered(service, request).await).await };
        tokio::select! {
            biased;
            taken = answer => taken,
            never = attend(connection, session, ahead) => match never {},
        }
    }

    /// Asks the service with a body that `feed` fills from the connection meanwhile.
    pub(super) async fn ask_fed<'a, T, W>(
        &'a mut self,
        verb: Verb,
        arguments: Fields,
        body: Body,
        feed: impl FnOnce(&'a mut Connection<Io, BoxFraming>) -> W,
    ) -> (Response, T)
    where
        W: Future<Output = T>,
    {
        let request = self.request(verb, arguments, body);
        let Self {
            connection,
            service,
            ..
        } = self;
        let answer = answered(service, request);
        tokio::join!(answer, feed(connection))
    }

    /// The next part of a response's body, for a peer who has nothing more to say: what it sends all
    /// the same is thrown away, and its end is noticed.
    pub(super) async fn next_part(
        &mut self,
        body: &mut Body,
    ) -> Option<Result<crate::Part, crate::BodyError>> {
        self.limit();
        let Self {
            connection,
            session,
            ahead,
            ..
        } = self;
        loop {
            ahead.messages.clear();
            ahead.bytes = 0;
            tokio::select! {
                biased;
                part = body.next() => return part,
                () = read_ahead(connection, session, ahead), if ahead.end.is_none() => {}
            }
        }
    }

    /// Does some work for the peer unless it leaves. It has nothing to say meanwhile.
    pub(super) async fn while_there<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        self.limit();
        let Self {
            connection,
            session,
            ahead,
            ..
        } = self;
        tokio::select! {
            biased;
            done = work => Some(done),
            () = session.hung_up() => None,
            never = attend(connection, session, ahead) => match never {},
        }
    }

    /// Ends the connection.
    pub(super) fn into_connection(self) -> Connection<Io, BoxFraming> {
        self.connection
    }
}

/// Asks a service. There is a response, and its body comes to an end, whatever goes wrong.
async fn answered<S: Answers>(service: &mut S, request: Request) -> Response {
    let mut response = dialect::call(service, request).await.await;
    response.body = dialect::catch_panics(response.body);
    response
}

/// Reads messages ahead and tells the session when no more can come. Never ready; cancel safe.
async fn attend<Io: Wire>(
    connection: &mut Connection<Io, BoxFraming>,
    session: &Session,
    ahead: &mut Ahead,
) -> std::convert::Infallible {
    while ahead.has_room() {
        read_ahead(connection, session, ahead).await;
    }
    std::future::pending().await
}

/// Reads one message ahead, or the end. Cancel safe.
async fn read_ahead<Io: Wire>(
    connection: &mut Connection<Io, BoxFraming>,
    session: &Session,
    ahead: &mut Ahead,
) {
    let end = match next(connection).await {
        Ok(Some(message)) => {
            ahead.bytes += message.len();
            return ahead.messages.push_back(message);
        }
        // Who waits for an answer is not idle.
        Err(Error::Idle(_)) => return,
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    session.hang_up();
    ahead.end = Some(end);
}

/// The connection's next message. Cancel safe.
pub(super) async fn next<Io: Wire>(
    connection: &mut Connection<Io, BoxFraming>,
) -> Result<Option<Bytes>, Error> {
    poll_fn(|cx| match Pin::new(&mut *connection).poll_next(cx) {
        Poll::Ready(message) => Poll::Ready(message.transpose()),
        Poll::Pending => Poll::Pending,
    })
    .await
}
