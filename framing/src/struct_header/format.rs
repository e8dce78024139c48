//! Reads format strings as Python's `struct` does, and lays out what they describe.
//!
//! One thing that Python takes is refused: `0p`, which Python packs past its end and cannot
//! unpack.

use std::{
    ffi::{c_int, c_long, c_longlong, c_short},
    ops::Range,
};

use super::item::{Item, Kind, Order};
use crate::FrameError;

/// The largest header, in bytes. Far more than any protocol has; it keeps a slip in a repeat
/// count from becoming an allocation.
pub(crate) const MAX_SIZE: usize = 64 * 1024;

/// A format string, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    /// All items in order; pad bytes are none.
    pub(crate) items: Vec<Item>,
    /// Where there is nothing but pad bytes: `x`, and what aligns native items.
    pub(crate) pads: Vec<Range<usize>>,
    /// How many bytes the whole takes.
    pub(crate) size: usize,
}

impl Format {
    /// `!I`, a 32-bit length in network byte order.
    pub(crate) fn network_u32() -> Self {
        let item = Item {
            code: 'I',
            kind: Kind::Unsigned,
            order: Order::Big,
            offset: 0,
            width: 4,
            position: 1,
        };
        Self {
            items: vec![item],
            pads: Vec::new(),
            size: 4,
        }
    }

    /// Reads a format string. Errors point at the byte of it where the trouble is.
    pub(crate) fn parse(text: &str) -> Result<Self, FrameError> {
        let (order, native, start) = match text.as_bytes().first() {
            Some(b'@') => (Order::NATIVE, true, 1),
            Some(b'=') => (Order::NATIVE, false, 1),
            Some(b'<') => (Order::Little, false, 1),
            Some(b'>' | b'!') => (Order::Big, false, 1),
            _ => (Order::NATIVE, true, 0),
        };
        let mut format = Self {
            items: Vec::new(),
            pads: Vec::new(),
            size: 0,
        };
        let mut at = start;
        while let Some(&byte) = text.as_bytes().get(at) {
            if is_space(byte) {
                at += 1;
                continue;
            }
            let (count, position) = repeat_count(text, at)?;
            let Some(code) = text[position..].chars().next() else {
                return Err(trouble(text, at, "a repeat count without a code behind it"));
            };
            let code = Code::of(code, native).map_err(|what| trouble(text, position, what))?;
            format
                .push(code, order, count, position)
                .map_err(|what| trouble(text, at, what))?;
            at = position + 1;
        }
        Ok(format)
    }

    /// Appends what one code with its repeat count stands for.
    fn push(
        &mut self,
        code: Code,
        order: Order,
        count: usize,
        position: usize,
    ) -> Result<(), String> {
        // A repeat count of zero aligns all the same, as in Python.
        let start = self.size.next_multiple_of(code.align);
        let end = start.saturating_add(count.saturating_mul(code.width));
        if end > MAX_SIZE {
            return Err(format!("more than {MAX_SIZE} bytes, the largest header"));
        }
        self.pad(self.size..start);
        self.size = end;
        let item = |kind, offset, width| Item {
            code: code.letter,
            kind,
            order,
            offset,
            width,
            position,
        };
        match code.kind {
            None => self.pad(start..end),
            Some(Kind::Pascal) if count == 0 => {
                return Err("`0p` has no room for its own count; `1p` is the shortest".into());
            }
            Some(kind @ (Kind::Text | Kind::Pascal)) => {
                self.items.push(item(kind, start, count));
            }
            Some(kind) => {
                let offsets = (start..end).step_by(code.width);
                self.items
                    .extend(offsets.map(|offset| item(kind, offset, code.width)));
            }
        }
        Ok(())
    }

    fn pad(&mut self, range: Range<usize>) {
        if !range.is_empty() {
            self.pads.push(range);
        }
    }
}

/// A letter of the format language.
#[derive(Clone, Copy)]
struct Code {
    letter: char,
    /// `None` for a pad byte.
    kind: Option<Kind>,
    width: usize,
    align: usize,
}

impl Code {
    fn of(letter: char, native: bool) -> Result<Self, String> {
        let (kind, standard, own) = match letter {
            'x' => (None, Some(1), size_and_align::<u8>()),
            'c' => (Some(Kind::Char), Some(1), size_and_align::<u8>()),
            'b' => (Some(Kind::Signed), Some(1), size_and_align::<i8>()),
            'B' => (Some(Kind::Unsigned), Some(1), size_and_align::<u8>()),
            '?' => (Some(Kind::Bool), Some(1), size_and_align::<bool>()),
            'h' => (Some(Kind::Signed), Some(2), size_and_align::<c_short>()),
            'H' => (Some(Kind::Unsigned), Some(2), size_and_align::<c_short>()),
            'i' => (Some(Kind::Signed), Some(4), size_and_align::<c_int>()),
            'I' => (Some(Kind::Unsigned), Some(4), size_and_align::<c_int>()),
            'l' => (Some(Kind::Signed), Some(4), size_and_align::<c_long>()),
            'L' => (Some(Kind::Unsigned), Some(4), size_and_align::<c_long>()),
            'q' => (Some(Kind::Signed), Some(8), size_and_align::<c_longlong>()),
            'Q' => (
                Some(Kind::Unsigned),
                Some(8),
                size_and_align::<c_longlong>(),
            ),
            'n' => (Some(Kind::Signed), None, size_and_align::<isize>()),
            'N' => (Some(Kind::Unsigned), None, size_and_align::<usize>()),
            'e' => (Some(Kind::Float), Some(2), size_and_align::<c_short>()),
            'f' => (Some(Kind::Float), Some(4), size_and_align::<f32>()),
            'd' => (Some(Kind::Float), Some(8), size_and_align::<f64>()),
            's' => (Some(Kind::Text), Some(1), size_and_align::<u8>()),
            'p' => (Some(Kind::Pascal), Some(1), size_and_align::<u8>()),
            'P' => (Some(Kind::Unsigned), None, size_and_align::<*const u8>()),
            other => {
                let codes = "x c b B ? h H i I l L q Q n N e f d s p P";
                return Err(format!("{other:?} is no code; the codes are {codes}"));
            }
        };
        let (width, align) = match (native, standard) {
            (true, _) => own,
            (false, Some(width)) => (width, 1),
            (false, None) => {
                let why = "has no standard size; it needs `@` or no byte order in front";
                return Err(format!("`{letter}` {why}"));
            }
        };
        Ok(Self {
            letter,
            kind,
            width,
            align,
        })
    }
}

fn size_and_align<T>() -> (usize, usize) {
    (size_of::<T>(), align_of::<T>())
}

/// What C's `isspace` takes for white space.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// The repeat count that begins at `at`, 1 if there is none, and where its code stands.
fn repeat_count(text: &str, at: usize) -> Result<(usize, usize), FrameError> {
    let digits = text.as_bytes()[at..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    if digits == 0 {
        return Ok((1, at));
    }
    let end = at + digits;
    match text[at..end].parse() {
        Ok(count) => Ok((count, end)),
        Err(_) => Err(trouble(
            text,
            at,
            "a repeat count of more bytes than there can be",
        )),
    }
}

/// An error in the format string, at a byte of it.
fn trouble(text: &str, position: usize, what: impl AsRef<str>) -> FrameError {
    let what = what.as_ref();
    FrameError::config(format!("`format` {text:?}, position {position}: {what}")).at(position)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn layout(text: &str) -> (Vec<(char, usize, usize)>, usize) {
        let format = Format::parse(text).unwrap();
        let items = format
            .items
            .iter()
            .map(|item| (item.code, item.offset, item.width));
        (items.collect(), format.size)
    }

    #[test]
    fn repeat_counts_make_items_and_widths_make_strings() {
        let items = vec![
            ('H', 0, 2),
            ('H', 2, 2),
            ('s', 4, 3),
            ('B', 8, 1),
            ('p', 9, 2),
        ];
        assert_eq!(layout("!2H3sxB2p"), (items, 11));
        assert_eq!(layout("!0H0s0xB"), (vec![('s', 0, 0), ('B', 0, 1)], 1));
        assert_eq!(layout("! \t\n\x0b\x0c\rB "), (vec![('B', 0, 1)], 1));
        assert_eq!(layout("!0000000000000000000000003x"), (vec![], 3));
    }

    #[test]
    #[cfg(all(target_pointer_width = "64", unix))]
    fn native_items_are_aligned_but_the_end_is_not() {
        assert_eq!(
            layout("BIB"),
            (vec![('B', 0, 1), ('I', 4, 4), ('B', 8, 1)], 9)
        );
        assert_eq!(layout("@Bq"), (vec![('B', 0, 1), ('q', 8, 8)], 16));
        assert_eq!(layout("=Bq"), (vec![('B', 0, 1), ('q', 1, 8)], 9));
        assert_eq!(layout("B0q"), (vec![('B', 0, 1)], 8));
        assert_eq!(layout("l"), (vec![('l', 0, 8)], 8));
        assert_eq!(layout("=l"), (vec![('l', 0, 4)], 4));
        let pads = Format::parse("BhxB0i").unwrap().pads;
        assert_eq!(pads, [1..2, 4..5, 6..8]);
    }

    #[test]
    fn errors_point_at_the_byte_where_the_trouble_is() {
        for (text, position) in [
            ("Z", 0),
            ("!HZ", 2),
            ("!H<H", 2),
            (" !H", 1),
            ("!H2", 2),
            ("!H22", 2),
            ("!2 H", 2),
            ("!B\0", 2),
            ("!Bé", 2),
            ("!Hn", 2),
            ("=N", 1),
            ("<3P", 2),
            ("!H0p", 2),
            ("!H70000x", 2),
            ("!H99999999999999999999999B", 2),
            ("!B-1B", 2),
        ] {
            let error = Format::parse(text).unwrap_err();
            assert_eq!(
                (error.kind(), error.offset()),
                (ErrorKind::Config, position),
                "{text:?}"
            );
            let said = format!("position {position}:");
            assert!(error.to_string().contains(&said), "{error}");
        }
    }

    #[test]
    fn the_default_is_what_its_string_says() {
        assert_eq!(Format::parse("!I").unwrap(), Format::network_u32());
    }
}
