//! Owns a client's connection: writes requests as they come, hands out responses as they come.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_core::Stream;
use futures_sink::Sink;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{mpsc, oneshot},
};
use tokio_util::sync::PollSender;

use super::{Call, Client, ClientError};
use crate::{Connection, Error, ErrorKind, Framing};

/// A client, and the future that runs its connection.
pub(super) fn pair<Io, F>(
    connection: Connection<Io, F>,
    max_in_flight: usize,
) -> (Client, impl Future<Output = ()>)
where
    Io: AsyncRead + AsyncWrite,
    F: Framing,
{
    // A clone that is ready and does not call holds one place; it must not hold them all.
    let (calls, incoming) = mpsc::channel(max_in_flight);
    let fate = Arc::new(OnceLock::new());
    let client = Client {
        calls: PollSender::new(calls),
        fate: fate.clone(),
    };
    let task = async move {
        let mut state = State {
            incoming,
            waiting: VecDeque::new(),
            max_in_flight,
            closing: false,
            broken: None,
            fate: fate.clone(),
        };
        let error = {
            let mut connection = pin!(connection);
            poll_fn(|cx| state.poll(connection.as_mut(), cx)).await
        };
        // The reason is known before any call fails for it.
        let _ = fate.set(error.clone());
        state.fail(&error).await;
    };
    (client, task)
}

struct State {
    incoming: mpsc::Receiver<Call>,
    /// Requests written, in order; their responses come in the same.
    waiting: VecDeque<oneshot::Sender<Result<Bytes, ClientError>>>,
    max_in_flight: usize,
    /// Every clone of the client is gone; the calls still waiting are answered.
    closing: bool,
    /// Why nothing more can be sent. Responses that had come before are still handed out.
    broken: Option<ClientError>,
    fate: Arc<OnceLock<ClientError>>,
}

impl State {
    fn poll<Io, F>(
        &mut self,
        mut connection: Pin<&mut Connection<Io, F>>,
        cx: &mut Context<'_>,
    ) -> Poll<ClientError>
    where
        Io: AsyncRead + AsyncWrite,
        F: Framing,
    {
        loop {
            let received = match self.poll_response(connection.as_mut(), cx) {
                Poll::Ready(Err(error)) => return Poll::Ready(self.broken.take().unwrap_or(error)),
                received => received.is_ready(),
            };
            if let Some(error) = &self.broken {
                // What the peer sent before it went is still to be read, where somebody wants it.
                if !is_waited_for(&mut self.waiting, cx) {
                    return Poll::Ready(error.clone());
                }
                if received {
                    continue;
                }
                return Poll::Pending;
            }
            let sent = match self.poll_request(connection.as_mut(), cx) {
                Poll::Ready(Err(error)) => {
                    self.breaks(error);
                    continue;
                }
                sent => sent.is_ready(),
            };
            if received || sent {
                continue;
            }
            if self.closing && !is_waited_for(&mut self.waiting, cx) {
                return connection.poll_close(cx).map(|_| ClientError::Closed);
            }
            match connection.as_mut().poll_flush(cx) {
                Poll::Ready(Err(error)) => self.breaks(ended_by(error)),
                _ => return Poll::Pending,
            }
        }
    }

    fn poll_response<Io, F>(
        &mut self,
        connection: Pin<&mut Connection<Io, F>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ClientError>>
    where
        Io: AsyncRead + AsyncWrite,
        F: Framing,
    {
        connection.poll_next(cx).map(|frame| {
            let (frame, lost) = match frame {
                Some(Ok(frame)) => (Ok(frame), None),
                Some(Err(Error::Frame(error))) if error.is_recoverable() => {
                    (Err(ended_by(error.into())), None)
                }
                // Who waits for an answer is not idle.
                Some(Err(Error::Idle(_))) if !self.waiting.is_empty() => return Ok(()),
                Some(Err(error)) => return Err(ended_by(error)),
                None => return Err(ClientError::Closed),
            };
            match (self.waiting.pop_front(), lost) {
                // If the caller is gone, so is the response.
                (Some(response), _) => drop(response.send(frame)),
                (None, Some(error)) => return Err(error),
                (None, None) => return Err(ClientError::Desynchronized),
            }
            Ok(())
        })
    }

    fn poll_request<Io, F>(
        &mut self,
        mut connection: Pin<&mut Connection<Io, F>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ClientError>>
    where
        Io: AsyncRead + AsyncWrite,
        F: Framing,
    {
        if self.closing || self.waiting.len() >= self.max_in_flight {
            return Poll::Pending;
        }
        match connection.as_mut().poll_ready(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => return Poll::Ready(Err(ended_by(error))),
            Poll::Pending => return Poll::Pending,
        }
        match self.incoming.poll_recv(cx) {
            Poll::Ready(Some(call)) => {
                match connection.start_send(call.frame) {
                    Ok(()) => self.waiting.push_back(call.response),
                    Err(Error::Frame(error)) if error.kind() == ErrorKind::Unencodable => {
                        let _ = call.response.send(Err(ClientError::Unencodable(error)));
                    }
                    Err(error) => {
                        let error = ended_by(error);
                        let _ = call.response.send(Err(error.clone()));
                        return Poll::Ready(Err(error));
                    }
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(None) => {
                self.closing = true;
                Poll::Ready(Ok(()))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// Takes no further call.
    fn breaks(&mut self, error: ClientError) {
        let _ = self.fate.set(error.clone());
        self.incoming.close();
        self.broken = Some(error);
    }

    async fn fail(mut self, error: &ClientError) {
        self.incoming.close();
        for response in self.waiting {
            let _ = response.send(Err(error.clone()));
        }
        // Who was ready before may still call, and must not wait for ever.
        while let Some(call) = self.incoming.recv().await {
            let _ = call.response.send(Err(error.clone()));
        }
    }
}

/// Whether anyone is left to get a response; if so, the task is woken when that one goes.
fn is_waited_for(
    waiting: &mut VecDeque<oneshot::Sender<Result<Bytes, ClientError>>>,
    cx: &mut Context<'_>,
) -> bool {
    waiting
        .iter_mut()
        .any(|response| response.poll_closed(cx).is_pending())
}

pub(super) fn ended_by(error: Error) -> ClientError {
    ClientError::Connection(Arc::new(error))
}
