//! Serves the native dialect on connections.

use std::{
    future::{Future, poll_fn, ready},
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use framing::{
    Connection, Framing,
    serve::{BoxError, Drain, Handler, Peer},
};
use futures_sink::Sink;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Sleep,
};
use tower_service::Service;

use super::{
    inbox::Inbox,
    transfer::{Incoming, NativeError, Outgoing},
    wire::{ResponseHead, Wire},
};
use crate::{
    Body, Code, Fields, Request, Response, Session, Status,
    dialect::{self, BeforeLogin},
};

/// Parts of a request's body that wait for the service.
const WAITING_PARTS: usize = 4;

/// The native dialect for [`serve_with`](framing::serve::serve_with): turns frames into
/// [`Request`]s for a service made for each connection, and [`Response`]s into frames.
///
/// Requests of a connection are answered one after the other, in order. A request's body and its
/// response's flow at the same time, each with back-pressure of its own: what the service does not
/// take is not read, and what the peer does not take is not asked of the service. One frame is read
/// ahead of who takes it; over a framing that waits for the peer's agreement (ack-handshake) up to
/// 8 MiB and a frame, where the agreement stands behind them.
///
/// A service that fails or panics gives an `internal` response, a response's body that panics is
/// given up, and the connection lives. A peer that breaks the dialect is told so (`bad-request`),
/// and the connection is closed.
///
/// When the peer closes its side the present request goes on, and [`Session::hung_up`] tells the
/// service; when the connection breaks, the service's future and bodies are dropped. Neither can be
/// seen while it stands behind bytes that the service does not read, or behind a further request.
#[derive(Clone, Debug)]
pub struct NativeServer<M> {
    make_service: M,
    before_login: Option<BeforeLogin>,
}

impl<M> NativeServer<M> {
    /// Serves with what `make_service` (a tower service of [`Session`]s) makes for each connection.
    pub fn new(make_service: M) -> Self {
        Self {
            make_service,
            before_login: None,
        }
    }

    /// For connections that begin with a login: until then a frame may have no more than
    /// `frame_limit` bytes, and it must have come within `deadline` of the connection's start,
    /// however busy the peer is.
    pub fn before_login(mut self, frame_limit: usize, deadline: Duration) -> Self {
        self.before_login = Some(BeforeLogin {
            frame_limit,
            deadline,
        });
        self
    }
}

impl<Io, F, M, S> Handler<Connection<Io, F>> for NativeServer<M>
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Framing + Send + 'static,
    M: Service<Session, Response = S> + Clone + Send + Sync + 'static,
    M::Error: Into<BoxError>,
    M::Future: Send,
    S: Service<Request, Response = Response> + Send + 'static,
    S::Error: Into<BoxError> + Send,
    S::Future: Send,
{
    fn handle(
        &self,
        connection: Connection<Io, F>,
        peer: Peer,
        drain: Drain,
    ) -> impl Future<Output = Result<(), BoxError>> + Send + 'static {
        let make_service = self.make_service.clone();
        let before_login = self.before_login;
        async move {
            let wire = Wire::over(connection.framing())?;
            let session = Session::new(peer, connection.framing().max_frame());
            let deadline = pin!(BeforeLogin::begin(before_login, &session));
            let service = dialect::open(make_service, &session).await?;
            let mut served = Served {
                connection,
                wire,
                session,
                service,
                inbox: Inbox::default(),
            };
            let session = served.session.clone();
            let result = tokio::select! {
                biased;
                result = served.run(&drain, deadline) => result,
                never = dialect::stop_with(&drain, &session) => match never {},
            };
            served.session.hang_up();
            // Behind a frame that cannot be read the peer may still wait for answers to those before;
            // a stranger has none to wait for.
            let is_stranger = before_login.is_some() && session.identity().is_none();
            let unreadable = |error: &_| {
                !is_stranger && matches!(error, NativeError::Connection(framing::Error::Frame(_)))
            };
            if result.as_ref().err().is_none_or(unreadable) {
                dialect::close(&mut served.connection).await;
            }
            Ok(result?)
        }
    }
}

/// One connection with its service.
struct Served<Io, F, S> {
    connection: Connection<Io, F>,
    wire: Wire,
    session: Session,
    service: S,
    inbox: Inbox,
}

impl<Io, F, S> Served<Io, F, S>
where
    Io: AsyncRead + AsyncWrite + Unpin,
    F: Framing,
    S: Service<Request, Response = Response>,
    S::Error: Into<BoxError>,
{
    /// Answers requests until the peer ends, the session is to be closed, or the server stops.
    async fn run(
        &mut self,
        drain: &Drain,
        mut deadline: Pin<&mut Option<Sleep>>,
    ) -> Result<(), NativeError> {
        let session = self.session.clone();
        while !session.is_closing() {
            let frame = tokio::select! {
                biased;
                () = dialect::login_timeout(&session, deadline.as_mut()) => return Err(NativeError::LoginTimeout),
                () = drain.requested() => return Ok(()),
                frame = self.next_frame() => frame?,
            };
            let Some(frame) = frame else {
                return Ok(());
            };
            tokio::select! {
                biased;
                answered = self.answer(frame) => answered?,
                () = dialect::login_timeout(&session, deadline.as_mut()) => return Err(NativeError::LoginTimeout),
            }
        }
        Ok(())
    }

    /// The next request's head; none at the end.
    async fn next_frame(&mut self) -> Result<Option<Bytes>, NativeError> {
        poll_fn(|cx| {
            self.limit_frames();
            let connection = Pin::new(&mut self.connection);
            self.inbox.poll_take(connection, cx)
        })
        .await
    }

    /// Sets the limit of frames to what it is now.
    fn limit_frames(&mut self) {
        let limit = self.session.frame_limit();
        self.connection.framing_mut().set_max_frame(limit);
    }

    /// Runs one request to its end: its body in, the response and its body out.
    async fn answer(&mut self, frame: Bytes) -> Result<(), NativeError> {
        let head = match self.wire.read_request(&frame) {
            Ok(head) => head,
            Err(error) => {
                // Whether a body follows cannot be known, so this is the last answer.
                self.session.close();
                let status = Status::new(Code::BAD_REQUEST, error.to_string());
                return self
                    .exchange(Incoming::none(self.wire), ready(status.into()))
                    .await;
            }
        };
        drop(frame);
        let (incoming, body) = if head.body {
            let (reader, body) = Body::channel(WAITING_PARTS);
            (Incoming::new(self.wire, reader), body)
        } else {
            (Incoming::none(self.wire), Body::none())
        };
        let request = Request::new(head.verb, self.session.clone())
            .with_arguments(head.args)
            .with_body(body);
        let response = dialect::call(&mut self.service, request).await;
        self.exchange(incoming, response).await
    }

    /// Moves a request's body in and its response out, both at once.
    async fn exchange(
        &mut self,
        mut incoming: Incoming,
        response: impl Future<Output = Response>,
    ) -> Result<(), NativeError> {
        let mut response = pin!(response);
        let mut outgoing = None;
        poll_fn(|cx| {
            // Before the body is looked at: an answer that does not need it is the same for any body.
            if outgoing.is_none()
                && let Poll::Ready(response) = response.as_mut().poll(cx)
            {
                outgoing = Some(self.begin(response)?);
            }
            if let Err(error) = self.poll_inward(&mut incoming, cx) {
                let NativeError::Wire(error) = error else {
                    return Poll::Ready(Err(error));
                };
                // Where the body ends cannot be known, so this is the last answer.
                incoming.abandon();
                self.session.close();
                let status = Status::new(Code::BAD_REQUEST, error.to_string());
                match &mut outgoing {
                    None => outgoing = Some(self.begin(status.into())?),
                    Some(outgoing) => outgoing.give_up(status),
                }
            }
            let mut connection = Pin::new(&mut self.connection);
            let sent = match &mut outgoing {
                Some(outgoing) => outgoing.poll_send(connection.as_mut(), cx)?,
                None => Poll::Pending,
            };
            // One write for all that could be made now.
            let flushed = connection.poll_flush(cx)?;
            // The rest of a body is not waited for when the connection is closed anyway.
            let received = incoming.is_done() || self.session.is_closing();
            if sent.is_ready() && flushed.is_ready() && received {
                return Poll::Ready(Ok(()));
            }
            Poll::Pending
        })
        .await
    }

    /// Moves the request's body to the service, and reads ahead, so that it is noticed when the
    /// peer goes.
    fn poll_inward(
        &mut self,
        incoming: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Result<(), NativeError> {
        self.limit_frames();
        loop {
            match self.inbox.fill(Pin::new(&mut self.connection), cx) {
                // Who waits for an answer is not idle.
                Err(NativeError::Connection(framing::Error::Idle(_))) => continue,
                filled => filled?,
            }
            let waiting = self.inbox.len();
            if let Poll::Ready(result) = incoming.poll_receive(&mut self.inbox, cx) {
                result?;
            }
            if self.inbox.len() == waiting {
                break;
            }
        }
        if self.inbox.has_ended() {
            self.session.hang_up();
            if !incoming.is_done() {
                incoming.abandon();
            }
        }
        Ok(())
    }

    /// The frames of a response.
    fn begin(&self, response: Response) -> Result<Outgoing, NativeError> {
        let Response {
            status,
            details,
            body,
        } = response;
        let head = ResponseHead::new(status, details, !body.is_none());
        let frame = self.wire.write_head(&head)?;
        let most = self.connection.framing().max_frame();
        if frame.len() <= most {
            let body = dialect::catch_panics(body);
            return Ok(Outgoing::new(self.wire, frame, body));
        }
        let sentence = format!(
            "the response has {} bytes, more than a frame's {most}",
            frame.len()
        );
        let status = Status::new(Code::from_static("too-long"), sentence);
        let frame = self
            .wire
            .write_head(&ResponseHead::new(status, Fields::new(), false))?;
        Ok(Outgoing::new(self.wire, frame, Body::none()))
    }
}
