//! Reads what a server of the native dialect has said.

use framing::{BoxFraming, Carries, Framing, Machine, Received};
use serde_json::Value;

use super::expected::{Due, Expected};

/// What a server has said.
#[derive(Debug, Default)]
pub struct Answers {
    pub heads: usize,
    /// Whether the last thing said is that the dialect was broken.
    bad_request: bool,
    /// Of each answer, whether it began with `ok`, and the bytes of its body.
    bodies: Vec<(bool, Vec<u8>)>,
    /// Chunks are base64.
    text: bool,
}

impl Answers {
    /// Each answer is a head, and what follows it if it says so. A server that ends `well` leaves
    /// none unfinished.
    pub fn read(framing: BoxFraming, heard: &[u8], well: bool) -> Self {
        let largest = framing.max_frame();
        let text = framing.carries() == Carries::Text;
        let mut machine = Machine::new(framing);
        machine.receive(heard);
        machine.close_input();
        let mut answers = Self {
            text,
            ..Self::default()
        };
        let mut in_body = false;
        loop {
            match machine.next_frame() {
                Ok(Received::Frame(frame)) => {
                    assert!(frame.len() <= largest);
                    in_body = if in_body {
                        !answers.ends(&frame)
                    } else {
                        answers.opens(&frame)
                    };
                }
                Ok(Received::End) => break,
                other if well => panic!("{other:?} of {}", heard.escape_ascii()),
                _ => return answers,
            }
        }
        assert!(
            !(well && in_body),
            "a body without an end: {}",
            heard.escape_ascii()
        );
        answers
    }

    /// Takes a head: whether a body follows.
    fn opens(&mut self, frame: &[u8]) -> bool {
        self.heads += 1;
        let head = self.status(frame);
        self.bodies.push((head["status"] == "ok", Vec::new()));
        head["body"] == Value::Bool(true)
    }

    fn status(&mut self, object: &[u8]) -> Value {
        let object: Value = serde_json::from_slice(object)
            .unwrap_or_else(|error| panic!("{error}: {}", object.escape_ascii()));
        assert!(object["status"].is_string(), "{object}");
        self.bad_request = object["status"] == "bad-request";
        object
    }

    /// Takes a body's frame: whether it is the last.
    fn ends(&mut self, frame: &[u8]) -> bool {
        match frame {
            [b'd' | b'o' | b'e', chunk @ ..] => {
                if let Some((_, bytes)) = self.bodies.last_mut() {
                    bytes.extend(if self.text {
                        base64(chunk)
                    } else {
                        chunk.to_vec()
                    });
                }
                false
            }
            b"." => true,
            [b'.', trailer @ ..] => {
                let trailer: Value = serde_json::from_slice(trailer).expect("a trailer");
                assert!(trailer.is_object(), "{trailer}");
                true
            }
            [b'!', abort @ ..] => {
                self.status(abort);
                true
            }
            _ => panic!("{} within a body", frame.escape_ascii()),
        }
    }

    pub fn check(&self, expected: &Expected, numbers: &[usize]) {
        // Who leaves within a body may have no answer to it.
        let least = expected.heads - usize::from(expected.cut_off);
        let heads = least..=expected.heads;
        assert!(
            heads.contains(&self.heads),
            "{self:?}, {expected:?}: {numbers:?}"
        );
        let told = self.bad_request || !expected.told;
        assert!(told, "{self:?}, {expected:?}: {numbers:?}");
        for (due, body) in expected.due.iter().zip(&self.bodies) {
            if let Some(due) = due {
                assert!(is(due, body), "{due:?}, not {body:?}: {numbers:?}");
            }
        }
    }
}

/// Whether an answer is the one that is due.
fn is(due: &Due, (ok, bytes): &(bool, Vec<u8>)) -> bool {
    due.ok == *ok
        && if due.may_stop {
            due.bytes.starts_with(bytes)
        } else {
            due.bytes == *bytes
        }
}

/// The bytes that base64 stands for.
fn base64(text: &[u8]) -> Vec<u8> {
    assert!(text.len().is_multiple_of(4), "{}", text.escape_ascii());
    let digit = |byte: &u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        b'=' => 0,
        _ => panic!("{}", text.escape_ascii()),
    };
    let mut bytes: Vec<u8> = text
        .chunks(4)
        .map(|four| {
            four.iter()
                .fold(0, |sum, byte| sum << 6 | u32::from(digit(byte)))
        })
        .flat_map(|sum| [(sum >> 16) as u8, (sum >> 8) as u8, sum as u8])
        .collect();
    let filling = text.iter().rev().take_while(|&&byte| byte == b'=').count();
    bytes.truncate(bytes.len() - filling);
    bytes
}
