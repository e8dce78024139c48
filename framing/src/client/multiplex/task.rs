//! Owns a multiplexed client's connection: gives tags to requests, and answers to who waits for them.

use std::{
    collections::HashMap,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_core::Stream;
use futures_sink::Sink;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{mpsc, oneshot},
};
use tokio_util::sync::PollSender;

use super::{Multiplexed, MultiplexedOptions, Place, Pushed, Turn, room::Room, stall::Stall};
use crate::{
    Connection, Error, ErrorKind, FrameError, Framing, Tagging,
    client::{ClientError, task::ended_by},
};

/// One request on its way, and where its answer is to go.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) frame: Bytes,
    pub(super) is_one_way: bool,
    pub(super) response: oneshot::Sender<Result<Bytes, ClientError>>,
    pub(super) place: Place,
}

/// A request that was sent.
struct Waiting {
    response: oneshot::Sender<Result<Bytes, ClientError>>,
    _place: Place,
}

/// A client, and the future that runs its connection.
pub(super) fn start<Io, F, G>(
    mut connection: Connection<Io, F>,
    mut tags: G,
    options: MultiplexedOptions,
) -> Result<(Multiplexed, Pushed, impl Future<Output = ()>), FrameError>
where
    Io: AsyncRead + AsyncWrite + Unpin,
    F: Framing,
    G: Tagging,
{
    let largest = tags.begin(connection.framing_mut())?;
    if largest == 0 {
        return Err(FrameError::config("there must be more than one tag"));
    }
    // One tag may be for one-way frames. The task queues as many requests as there is room for.
    let tag_count = usize::try_from(largest).unwrap_or(usize::MAX);
    let room = Arc::new(Room::new(
        options.max_in_flight.min(tag_count),
        options.max_bytes,
    ));
    let (calls, incoming) = mpsc::unbounded_channel();
    let most_pushes = tokio::sync::Semaphore::MAX_PERMITS;
    let (pushes, pushed) = mpsc::channel(options.max_pushes.clamp(1, most_pushes));
    let fate = Arc::new(OnceLock::new());
    let client = Multiplexed {
        calls,
        turn: Turn::new(room.clone()),
        fate: fate.clone(),
    };
    let mut task = Task {
        connection,
        one_way: tags.one_way(),
        tags,
        largest,
        next_tag: 1,
        incoming,
        waiting: HashMap::new(),
        pushes: PollSender::new(pushes),
        push: None,
        stall: options.stall.map(Stall::new),
        closing: false,
        broken: None,
        room,
        fate,
    };
    let task = async move {
        let error = poll_fn(|cx| task.poll(cx)).await;
        task.refuse_calls(&error);
        task.fail(&error).await;
    };
    Ok((client, Pushed(pushed), task))
}

struct Task<Io, F, G> {
    connection: Connection<Io, F>,
    tags: G,
    one_way: Option<u32>,
    largest: u32,
    next_tag: u32,
    incoming: mpsc::UnboundedReceiver<Call>,
    /// Requests that were sent, also those whose caller has gone: as long as their answer may come,
    /// nobody else gets their tag.
    waiting: HashMap<u32, Waiting>,
    pushes: PollSender<Bytes>,
    /// A frame that nobody asked for, until there is room for it.
    push: Option<Bytes>,
    stall: Option<Stall>,
    /// Every clone of the client is gone; the calls still waiting are answered.
    closing: bool,
    /// Why nothing more can be sent. Answers that had come before are still handed out.
    broken: Option<ClientError>,
    room: Arc<Room>,
    fate: Arc<OnceLock<ClientError>>,
}

impl<Io, F, G> Task<Io, F, G>
where
    Io: AsyncRead + AsyncWrite + Unpin,
    F: Framing,
    G: Tagging,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ClientError> {
        loop {
            let received = match self.poll_response(cx) {
                Poll::Ready(Err(error)) => return Poll::Ready(self.broken.take().unwrap_or(error)),
                received => received.is_ready(),
            };
            if let Some(error) = &self.broken {
                // What the peer sent before it went is still to be read, where somebody wants it.
                let mut calls = self.waiting.values_mut();
                if !calls.any(|call| call.response.poll_closed(cx).is_pending()) {
                    return Poll::Ready(error.clone());
                }
                if received {
                    continue;
                }
                return self.poll_stall(cx);
            }
            let sent = match self.poll_request(cx) {
                Poll::Ready(Err(error)) => {
                    self.breaks(error);
                    continue;
                }
                sent => sent.is_ready(),
            };
            if received || sent {
                continue;
            }
            if self.closing {
                // Answers to nobody are not waited for. All are asked, so that each that is dropped
                // later wakes us; none is removed, as its answer may come before the others'.
                let mut is_waited_for = false;
                for call in self.waiting.values_mut() {
                    is_waited_for |= call.response.poll_closed(cx).is_pending();
                }
                if !is_waited_for {
                    let closed = Pin::new(&mut self.connection).poll_close(cx);
                    return closed.map(|_| ClientError::Closed);
                }
            }
            if let Poll::Ready(Err(error)) = Pin::new(&mut self.connection).poll_flush(cx) {
                self.breaks(ended_by(error));
                continue;
            }
            return self.poll_stall(cx);
        }
    }

    fn poll_stall(&mut self, cx: &mut Context<'_>) -> Poll<ClientError> {
        match &mut self.stall {
            Some(stall) => stall.poll(cx).map(ClientError::Stalled),
            None => Poll::Pending,
        }
    }

    /// Takes no further call.
    fn breaks(&mut self, error: ClientError) {
        self.refuse_calls(&error);
        self.broken = Some(error);
    }

    fn refuse_calls(&mut self, error: &ClientError) {
        // The reason is known before any call fails for it.
        let _ = self.fate.set(error.clone());
        self.room.close();
        self.incoming.close();
    }

    fn poll_response(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        if self.push.is_some() {
            ready!(self.poll_push(cx));
        }
        let frame = match ready!(Pin::new(&mut self.connection).poll_next(cx)) {
            Some(Ok(frame)) => frame,
            // Who waits for an answer is not idle.
            Some(Err(Error::Idle(_))) if !self.waiting.is_empty() => return Poll::Ready(Ok(())),
            Some(Err(error)) => return Poll::Ready(Err(ended_by(error))),
            None => return Poll::Ready(Err(ClientError::Closed)),
        };
        let (tag, frame) = match self.tags.read(frame, self.connection.framing()) {
            Ok(answer) => answer,
            Err(error) => return Poll::Ready(Err(ended_by(error.into()))),
        };
        if Some(tag) == self.one_way {
            self.push = Some(frame);
            return Poll::Ready(Ok(()));
        }
        let Some(call) = self.waiting.remove(&tag) else {
            return Poll::Ready(Err(ClientError::Desynchronized));
        };
        if let Some(stall) = &mut self.stall {
            stall.answered(!self.waiting.is_empty());
        }
        // If the caller is gone, so is the answer.
        let _ = call.response.send(Ok(frame));
        Poll::Ready(Ok(()))
    }

    /// Hands a frame that nobody asked for to whoever listens.
    fn poll_push(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Poll::Ready(listens) = self.pushes.poll_reserve(cx) else {
            // That answers do not come is our doing, and not the server's.
            if let Some(stall) = &mut self.stall {
                stall.answered(!self.waiting.is_empty());
            }
            return Poll::Pending;
        };
        if let (Some(frame), Ok(())) = (self.push.take(), listens) {
            let _ = self.pushes.send_item(frame);
        }
        Poll::Ready(())
    }

    fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        if self.closing {
            return Poll::Pending;
        }
        if let Err(error) = ready!(Pin::new(&mut self.connection).poll_ready(cx)) {
            return Poll::Ready(Err(ended_by(error)));
        }
        let Some(call) = ready!(self.incoming.poll_recv(cx)) else {
            self.closing = true;
            return Poll::Ready(Ok(()));
        };
        if call.response.is_closed() && !call.is_one_way {
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(self.send(call))
    }

    fn send(&mut self, call: Call) -> Result<(), ClientError> {
        let tag = match (call.is_one_way, self.one_way) {
            (false, _) => self.free_tag(),
            (true, Some(tag)) => tag,
            (true, None) => {
                let error = FrameError::unencodable("these tags have none for one-way requests");
                let _ = call.response.send(Err(ClientError::Unencodable(error)));
                return Ok(());
            }
        };
        let connection = &mut self.connection;
        let sent = match self.tags.write(tag, call.frame, connection.framing_mut()) {
            Ok(frame) => Pin::new(connection).start_send(frame),
            Err(error) => Err(error.into()),
        };
        match sent {
            Ok(()) if call.is_one_way => {
                let _ = call.response.send(Ok(Bytes::new()));
            }
            Ok(()) => {
                let waiting = Waiting {
                    response: call.response,
                    _place: call.place,
                };
                self.waiting.insert(tag, waiting);
                if let Some(stall) = &mut self.stall {
                    stall.sent();
                }
            }
            Err(Error::Frame(error)) if error.kind() == ErrorKind::Unencodable => {
                let _ = call.response.send(Err(ClientError::Unencodable(error)));
            }
            Err(error) => {
                let error = ended_by(error);
                let _ = call.response.send(Err(error.clone()));
                return Err(error);
            }
        }
        Ok(())
    }

    /// A tag that no request has. There is one, as there is room for fewer requests than tags.
    ///
    /// It is the one that was used longest ago, so that an answer which comes twice meets nobody.
    fn free_tag(&mut self) -> u32 {
        loop {
            let tag = self.next_tag;
            self.next_tag = if tag >= self.largest { 0 } else { tag + 1 };
            if Some(tag) != self.one_way && !self.waiting.contains_key(&tag) {
                return tag;
            }
        }
    }

    async fn fail(self, error: &ClientError) {
        let Self {
            connection,
            mut incoming,
            waiting,
            ..
        } = self;
        drop(connection);
        for (_, call) in waiting {
            let _ = call.response.send(Err(error.clone()));
        }
        // Also one that another thread is about to queue.
        while let Some(call) = incoming.recv().await {
            let _ = call.response.send(Err(error.clone()));
        }
    }
}
