//! A byte stream that does as little as it may at each call.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How one end of a pipe behaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Temper {
    /// The most bytes that one call takes or gives.
    pub(super) most: usize,
    /// Every other call would block, though there is something to do.
    pub(super) blocks: bool,
    /// Whether it can write several pieces at once.
    pub(super) vectored: bool,
    /// The call that comes after so many bytes fails, once.
    pub(super) read_fails: Option<(usize, io::ErrorKind)>,
    pub(super) write_fails: Option<(usize, io::ErrorKind)>,
}

/// One direction.
#[derive(Debug, Default)]
struct Way {
    bytes: VecDeque<u8>,
    /// All bytes that were ever written.
    written: Vec<u8>,
    /// How many were ever read.
    read: usize,
    closed: bool,
    reader: Option<Waker>,
}

impl Way {
    fn wake(&mut self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }
}

/// One end of a pipe.
#[derive(Debug)]
pub(super) struct Pipe {
    temper: Temper,
    incoming: Rc<RefCell<Way>>,
    outgoing: Rc<RefCell<Way>>,
    /// Whether the last call did something, for each kind of call.
    read: bool,
    wrote: bool,
    flushed: bool,
    shut: bool,
}

impl Pipe {
    /// Both ends.
    pub(super) fn pair(tempers: [Temper; 2]) -> [Self; 2] {
        let ways = [Rc::<RefCell<Way>>::default(), Rc::default()];
        [0, 1].map(|end| Self {
            temper: tempers[end],
            incoming: ways[1 - end].clone(),
            outgoing: ways[end].clone(),
            read: true,
            wrote: true,
            flushed: true,
            shut: true,
        })
    }

    /// All bytes that this end has written.
    pub(super) fn written(&self) -> Vec<u8> {
        self.outgoing.borrow().written.clone()
    }

    /// Closes the way out, as a process that ends does.
    pub(super) fn hang_up(&self) {
        let mut way = self.outgoing.borrow_mut();
        way.closed = true;
        way.wake();
    }
}

/// Whether this call is the one that would block: pending, and woken at once.
fn blocks(temper: &Temper, did_something: &mut bool, cx: &Context<'_>) -> bool {
    *did_something = !*did_something || !temper.blocks;
    if !*did_something {
        cx.waker().wake_by_ref();
    }
    !*did_something
}

fn fails(at: &mut Option<(usize, io::ErrorKind)>, passed: usize) -> io::Result<()> {
    match at.take_if(|(at, _)| *at <= passed) {
        Some((_, kind)) => Err(kind.into()),
        None => Ok(()),
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let mut way = this.incoming.borrow_mut();
        let fails_now = matches!(this.temper.read_fails, Some((at, _)) if at <= way.read);
        if way.bytes.is_empty() && !way.closed && !fails_now {
            way.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        // There is something to do. To block where there is nothing would wake two halves of a
        // connection in turn, for ever.
        if blocks(&this.temper, &mut this.read, cx) {
            return Poll::Pending;
        }
        fails(&mut this.temper.read_fails, way.read)?;
        if way.bytes.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let left = match this.temper.read_fails {
            Some((at, _)) => at - way.read,
            None => usize::MAX,
        };
        let count = way.bytes.len().min(this.temper.most).min(left);
        let count = count.min(buffer.remaining());
        let bytes: Vec<u8> = way.bytes.drain(..count).collect();
        way.read += count;
        buffer.put_slice(&bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if blocks(&this.temper, &mut this.wrote, cx) {
            return Poll::Pending;
        }
        let mut way = this.outgoing.borrow_mut();
        let written = way.written.len();
        fails(&mut this.temper.write_fails, written)?;
        if way.closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let left = match this.temper.write_fails {
            Some((at, _)) => at - written,
            None => usize::MAX,
        };
        let most = this.temper.most.min(left);
        let bytes = slices.iter().flat_map(|slice| slice.iter().copied());
        let taken: Vec<u8> = bytes.take(most).collect();
        way.bytes.extend(&taken);
        way.written.extend(&taken);
        way.wake();
        Poll::Ready(Ok(taken.len()))
    }

    fn is_write_vectored(&self) -> bool {
        self.temper.vectored
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match blocks(&this.temper, &mut this.flushed, cx) {
            true => Poll::Pending,
            false => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if blocks(&this.temper, &mut this.shut, cx) {
            return Poll::Pending;
        }
        this.hang_up();
        Poll::Ready(Ok(()))
    }
}
