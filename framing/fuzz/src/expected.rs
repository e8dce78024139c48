//! What a server of the native dialect must make of known frames.

use super::native::{KNOWN, LONG};

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
    /// The answers to the first requests, where it is certain what they are.
    pub due: Vec<Option<Due>>,
}

/// What one answer must be.
#[derive(Debug)]
pub struct Due {
    pub ok: bool,
    /// The bytes of its body, of all kinds.
    pub bytes: Vec<u8>,
    /// It may end before their end.
    pub may_stop: bool,
}

/// A request's body that has begun.
struct Request {
    number: usize,
    bytes: Vec<u8>,
    /// Something has come that may end a command at any time.
    interrupted: bool,
}

/// The command that answers for as long as its body goes on.
const CAT: usize = 4;

/// What is in the file, if it is there.
const STORED: &[u8] = b"hello";

impl Expected {
    /// Of the frames with these numbers, over a framing that carries text only or any bytes.
    pub fn of(numbers: &[usize], text: bool) -> Self {
        let mut expected = Self::default();
        let mut body: Option<Request> = None;
        let mut stored = false;
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
                    let request = Request::new(number);
                    if frame.ends_with("\"body\":true}") {
                        body = Some(request);
                    } else {
                        expected.due.push(request.due("", &mut stored));
                    }
                }
                // No base64.
                Some(request) if frame.starts_with('{') || (text && frame == "dhello") => {
                    let told = request.number == CAT && !request.interrupted;
                    (expected.breach, expected.told) = (true, told);
                    return expected;
                }
                Some(request) if frame.starts_with(['.', '!']) => {
                    request.interrupted |= frame.starts_with('!');
                    expected.due.push(request.due(frame, &mut stored));
                    body = None;
                }
                // A command that is signalled may end at any time.
                Some(request) if frame.starts_with('c') => request.interrupted = true,
                Some(request) => request.bytes.extend_from_slice(match &frame[1..] {
                    "aGVsbG8=" if text => b"hello",
                    bytes => bytes.as_bytes(),
                }),
            }
        }
        expected.cut_off = body.is_some();
        if !expected.cut_off {
            // Its peer has hung up, which ends a command.
            expected.due.pop();
        }
        expected
    }
}

impl Request {
    fn new(number: usize) -> Self {
        Self {
            number,
            bytes: Vec::new(),
            interrupted: false,
        }
    }

    /// The answer once the body has ended with `end`, if it is certain; and whether the file is
    /// there afterwards.
    fn due(&self, end: &str, stored: &mut bool) -> Option<Due> {
        let found = |from: usize, stored| (stored, if stored { &STORED[from..] } else { b"" });
        let (ok, bytes) = match self.number {
            0 | 1 | 11 => (true, &b""[..]),
            CAT => (true, &self.bytes[..]),
            5 => (true, &b"no\n"[..]),
            6 => (true, &b"zzz"[..]),
            7 => (true, &b"x\n"[..]),
            8 | 9 => {
                let ok = !*stored && self.bytes == STORED && end.contains("digest");
                *stored |= ok;
                (ok, &b""[..])
            }
            10 => found(0, *stored),
            12 => found(2, *stored),
            13 => (std::mem::take(stored), &b""[..]),
            24 => (true, LONG.as_bytes()),
            _ => return None,
        };
        Some(Due {
            ok,
            bytes: bytes.to_vec(),
            may_stop: self.interrupted,
        })
    }
}
