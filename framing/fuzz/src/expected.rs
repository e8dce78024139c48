//! What a server of the native dialect must make of known frames.

use super::native::KNOWN;

/// How many answers are due, and why no more.
#[derive(Debug, Default)]
pub struct Expected {
    pub heads: usize,
    /// A frame came that could not come there: the last one that is answered.
    pub breach: bool,
    /// That nobody can have answered otherwise before it came, so the peer is told.
    pub told: bool,
    /// The frames end within a body.
    pub cut_off: bool,
}

/// The command that answers for as long as its body goes on.
const CAT: usize = 4;

impl Expected {
    /// Of the frames with these numbers, over a framing that carries text only or any bytes.
    pub fn of(numbers: &[usize], text: bool) -> Self {
        let mut expected = Self::default();
        let mut body = None;
        for &number in numbers {
            let frame = KNOWN[number];
            let head = frame.starts_with("{\"verb\"");
            match &mut body {
                None => {
                    expected.heads += 1;
                    if !head {
                        (expected.breach, expected.told) = (true, true);
                        return expected;
                    }
                    if frame.ends_with("\"body\":true}") {
                        body = Some(number == CAT);
                    }
                }
                // No base64.
                Some(told) if frame.starts_with('{') || (text && frame == "dhello") => {
                    (expected.breach, expected.told) = (true, *told);
                    return expected;
                }
                Some(_) if frame.starts_with(['.', '!']) => body = None,
                // A command that is signalled may end at any time.
                Some(told) if frame.starts_with('c') => *told = false,
                Some(_) => {}
            }
        }
        expected.cut_off = body.is_some();
        expected
    }
}
