//! Header items beside the length go through, or are refused.

use bytes::Bytes;

use super::{
    Laws,
    checked::Bench,
    law::{Kept, Law, guard},
    show,
};
use crate::{Framing, Received, Value};

const LAW: Law = Law::AllOrNothing;

impl<M: Fn() -> F, F: Framing> Laws<M> {
    /// Law 2: items are taken over all or none, and what was received can be sent.
    pub(super) fn header_items_survive(&self) -> Kept {
        if (self.make)().is_interactive() {
            return Ok(());
        }
        for frame in self.frames.iter().take(4) {
            let before = self.written_with(frame, None)?;
            let received = self.received_header(&before)?;
            let mut lists = vec![
                Vec::new(),
                vec![Value::Int(1)],
                vec![Value::Bytes(Bytes::from_static(b"key"))],
                received.clone(),
            ];
            lists
                .extend((0..4).map(|turn| received.iter().map(|item| other(item, turn)).collect()));
            // One too many, behind others that would do.
            let others = received.iter().map(|item| other(item, 1));
            lists.push(others.chain([Value::Int(1)]).collect());
            for items in lists {
                let wire = self.written_with(frame, Some(&items))?;
                if wire == before {
                    continue;
                }
                // A field may round a number or fill a string up; what it made of them must go
                // through as it is.
                let rounded = self.received_header(&wire)?;
                let again = self.written_with(frame, Some(&rounded))?;
                LAW.holds(again == wire, || {
                    format!(
                        "the header items {items:?} are received as {rounded:?}, and these are \
                         sent as {} instead of {}",
                        show(&again),
                        show(&wire)
                    )
                })?;
            }
        }
        Ok(())
    }

    /// What is written for a frame after these header items were set, or refused.
    fn written_with(&self, frame: &Bytes, items: Option<&[Value]>) -> Kept<Bytes> {
        let mut bench = Bench::new((self.make)());
        let refused = match items {
            Some(items) => guard(|| bench.framing_mut().set_header(items))?.is_err(),
            None => false,
        };
        bench.send_sample(frame)?;
        let wire = bench.written();
        if refused {
            let without = self.written_with(frame, None)?;
            LAW.holds(wire == without, || {
                format!(
                    "the header items {items:?} are refused, and then {} is written instead of {}",
                    show(&wire),
                    show(&without)
                )
            })?;
        }
        Ok(wire)
    }

    fn received_header(&self, wire: &[u8]) -> Kept<Vec<Value>> {
        let mut bench = Bench::new((self.make)());
        bench.receive(wire);
        match bench.next()? {
            Ok(Received::Frame(_)) => Ok(guard(|| bench.framing().header())?),
            other => Err(LAW.broken(format!(
                "no frame but {other:?} comes out of {}, written after header items were set",
                show(wire)
            ))),
        }
    }
}

/// Another value of the same kind.
fn other(item: &Value, turn: u8) -> Value {
    match item {
        Value::Int(_) => Value::Int([0, 1, 127, -1][usize::from(turn % 4)]),
        Value::Float(_) => Value::Float([0.0, 0.5, -2.0, 0.1][usize::from(turn % 4)]),
        Value::Bool(_) => Value::Bool(turn == 0),
        Value::Bytes(bytes) => Value::Bytes(vec![b'a' + turn; bytes.len()].into()),
    }
}
