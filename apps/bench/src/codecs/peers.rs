//! Other people's codecs.

use std::hint::black_box;

use bytes::BytesMut;
use tokio_util::codec::{AnyDelimiterCodec, LengthDelimitedCodec};

use super::decode::Decode;

pub(super) fn length_delimited() -> LengthDelimitedCodec {
    LengthDelimitedCodec::new()
}

pub(super) fn any_delimiter() -> AnyDelimiterCodec {
    AnyDelimiterCodec::new(b"\n".to_vec(), b"\n".to_vec())
}

/// A decoder of tokio-util's kind.
pub(super) struct TokioUtil<C> {
    codec: C,
    buffer: BytesMut,
}

impl<C> TokioUtil<C> {
    pub(super) fn new(codec: C) -> Self {
        Self {
            codec,
            buffer: BytesMut::new(),
        }
    }
}

impl<C: tokio_util::codec::Decoder> Decode for TokioUtil<C> {
    fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    fn drain(&mut self) -> usize {
        let mut frames = 0;
        while let Ok(Some(frame)) = self.codec.decode(&mut self.buffer) {
            black_box(frame);
            frames += 1;
        }
        frames
    }
}

/// A decoder of asynchronous-codec's kind.
pub(super) struct Asynchronous<C> {
    codec: C,
    buffer: BytesMut,
}

impl<C> Asynchronous<C> {
    pub(super) fn new(codec: C) -> Self {
        Self {
            codec,
            buffer: BytesMut::new(),
        }
    }
}

impl<C: asynchronous_codec::Decoder> Decode for Asynchronous<C> {
    fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    fn drain(&mut self) -> usize {
        let mut frames = 0;
        while let Ok(Some(frame)) = self.codec.decode(&mut self.buffer) {
            black_box(frame);
            frames += 1;
        }
        frames
    }
}
