//! Reads what a server of the native dialect has said.

use framing::{BoxFraming, Framing, Machine, Received};
use serde_json::Value;

use super::expected::Expected;

/// What a server has said.
#[derive(Debug, Default)]
pub struct Answers {
    pub heads: usize,
    /// Whether the last thing said is that the dialect was broken.
    bad_request: bool,
}

impl Answers {
    /// Each answer is a head, and what follows it if it says so. A server that ends `well` leaves
    /// none unfinished.
    pub fn read(framing: BoxFraming, heard: &[u8], well: bool) -> Self {
        let largest = framing.max_frame();
        let mut machine = Machine::new(framing);
        machine.receive(heard);
        machine.close_input();
        let (mut answers, mut in_body) = (Self::default(), false);
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
            [b'd' | b'o' | b'e', ..] => false,
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
    }
}
