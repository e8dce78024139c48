//! Turns what the length item says into a size, and back.

use super::item::{Item, Kind, Order};
use crate::FrameError;

/// The item of the header that holds the length.
#[derive(Clone, Debug)]
pub(super) struct Length {
    item: Item,
    /// Added to what the item says, it gives the number of bytes behind the header. Item and
    /// difference have 64 bits each, so their sum cannot overflow.
    difference: i128,
}

impl Length {
    pub(super) fn new(item: Item, difference: i128) -> Self {
        Self { item, difference }
    }

    /// Where in the header it stands.
    pub(super) fn item(&self) -> &Item {
        &self.item
    }

    /// The order of its bytes, if it is 32 bits without a sign, to be taken as they are, and all
    /// there is in a header of `size` bytes.
    pub(super) fn plain(&self, size: usize) -> Option<Order> {
        let whole = size == 4 && self.item.width == 4 && self.item.kind == Kind::Unsigned;
        (whole && self.difference == 0).then_some(self.item.order)
    }

    /// The fewest bytes behind the header that it can say.
    pub(super) fn least(&self) -> i128 {
        (self.item.range().0 + self.difference).max(0)
    }

    /// The most bytes behind the header that it can say; negative if not even none.
    pub(super) fn most(&self) -> i128 {
        self.item.range().1 + self.difference
    }

    /// How many bytes are behind a header.
    #[inline]
    pub(super) fn read(&self, header: &[u8]) -> Result<u128, FrameError> {
        let body = self.item.integer(header) + self.difference;
        u128::try_from(body).map_err(|_| self.negative(body))
    }

    /// Writes into `header` how many bytes are behind it.
    #[inline]
    pub(super) fn write(&self, body: usize, header: &mut [u8]) -> Result<(), FrameError> {
        let value = body as i128 - self.difference;
        if self.item.put_integer(value, header) {
            Ok(())
        } else {
            Err(self.unwritable(value))
        }
    }

    #[cold]
    fn negative(&self, body: i128) -> FrameError {
        let said = body - self.difference;
        let least = -self.difference;
        FrameError::malformed(format!("a length of {said}, where {least} is the least"))
            .at(self.item.offset)
    }

    #[cold]
    fn unwritable(&self, value: i128) -> FrameError {
        let (least, most) = self.item.range();
        FrameError::unencodable(format!(
            "the length would be written as {value}, but its {} bytes hold {least} to {most}",
            self.item.width
        ))
    }
}
