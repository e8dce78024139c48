//! Judges a frame to be sent, and writes its header.

use super::{Headers, Layout, StructHeader, item::Order};
use crate::{FrameError, Value};

impl StructHeader {
    /// The header of a frame of so many bytes, where headers are plain and the frame good.
    #[inline]
    pub(super) fn plain_header(&self, length: usize) -> Option<[u8; 4]> {
        let order = self.plain?;
        if length == 0 || length > self.limits.largest() {
            return None;
        }
        let length = u32::try_from(length).ok()?;
        Some(match order {
            Order::Big => length.to_be_bytes(),
            Order::Little => length.to_le_bytes(),
        })
    }

    /// Checks whether `frame` can be sent, and if so gives what stands in front of it.
    #[inline]
    pub(super) fn prepare(&mut self, frame: &[u8]) -> Result<&[u8], FrameError> {
        self.limits.permit(frame.len())?;
        let kept = self.kept();
        let Some((rest, body)) = frame.split_at_checked(kept) else {
            return Err(FrameError::unencodable(format!(
                "a frame of {} bytes, but it must begin with the last {kept} of its header",
                frame.len()
            )));
        };
        let (Headers { sent, .. }, layout) = self.headers();
        layout.length.write(body.len(), sent)?;
        if kept > 0 {
            layout.check_kept(rest, sent)?;
        }
        Ok(&sent[..layout.strip])
    }

    /// Takes over the values of all items but the length, or none of them.
    pub(super) fn replace_header(&mut self, items: &[Value]) -> Result<(), FrameError> {
        if items.len() != self.layout.others.len() {
            return Err(FrameError::unencodable(format!(
                "{} header items, but beside the length this header has {}",
                items.len(),
                self.layout.others.len()
            )));
        }
        let mut header = self.headers().0.sent.clone();
        for (index, (item, value)) in self.layout.others.iter().zip(items).enumerate() {
            item.pack(value, &mut header).map_err(|what| {
                FrameError::unencodable(format!("header item {index} beside the length: {what}"))
            })?;
            let there = &header[item.offset..item.end()];
            if self
                .layout
                .template
                .first_difference(item.offset, there)
                .is_some()
            {
                return Err(FrameError::unencodable(format!(
                    "header item {index} beside the length must be its constant"
                )));
            }
        }
        self.headers().0.sent = header;
        Ok(())
    }
}

impl Layout {
    /// Checks that the part of the header that a frame brings along says what it must.
    fn check_kept(&self, rest: &[u8], sent: &[u8]) -> Result<(), FrameError> {
        if let Some(position) = self.template.first_difference(self.strip, rest) {
            let expected = self.template.expected(position);
            return Err(FrameError::unencodable(format!(
                "the frame begins with part of its header, but its byte {} is not {expected:#04x}",
                position - self.strip
            )));
        }
        let length = self.length.item().offset.max(self.strip)..self.length.item().end();
        if !length.is_empty() {
            let there = &rest[length.start - self.strip..length.end - self.strip];
            if *there != sent[length] {
                return Err(FrameError::unencodable(
                    "the frame begins with part of its header, but the length in it is not its own",
                ));
            }
        }
        Ok(())
    }
}
