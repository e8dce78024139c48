//! Whatever `encode` takes is read back as it was.

use bytes::Bytes;

use super::{
    Laws, Random,
    checked::Bench,
    law::{Kept, Law},
    show,
    shrink::check_shortest,
    talk::Wire,
};
use crate::{Carries, Framing};

impl<M: Fn() -> F, F: Framing> Laws<M> {
    /// Law 10.
    pub(super) fn what_is_written_is_read_back(&self) -> Kept {
        let alphabet = self.own_bytes(6)?;
        let Some(good) = self.frames.iter().find(|frame| !frame.is_empty()) else {
            return Ok(());
        };
        let mut payload = [0; 4];
        for length in 0..=4 {
            for mut number in 0..alphabet.len().pow(length as u32) {
                for byte in &mut payload[..length] {
                    *byte = alphabet[number % alphabet.len()];
                    number /= alphabet.len();
                }
                self.is_read_back(&payload[..length], good)?;
            }
        }
        let any: Vec<u8> = (0..=255).collect();
        let mut random = Random::new(2);
        for _ in 0..200 {
            let length = random.below(40);
            let text = random.bytes(length, b" !\"#$%&'()*+,-./059:;<=>?@AZ[\\]^_`az{|}~");
            for payload in [random.bytes(length, &any), text] {
                check_shortest(payload, |payload| self.is_read_back(payload, good))?;
            }
        }
        Ok(())
    }

    /// Sends a frame and a good one behind it: refused, or read back as they were.
    fn is_read_back(&self, payload: &[u8], good: &Bytes) -> Kept {
        let frame = Bytes::copy_from_slice(payload);
        let mut sender = Bench::new((self.make)());
        if let Err(error) = sender.send(&frame)? {
            let fits = !frame.is_empty() && frame.len() <= sender.framing().max_frame();
            let text = std::str::from_utf8(&frame).ok();
            let promised = match sender.framing().carries() {
                Carries::Anything => true,
                Carries::Text => text.is_some_and(|text| !text.contains(char::is_control)),
                Carries::Neither(_) => false,
            };
            return Law::ReadBack.holds(!(promised && fits), || {
                format!(
                    "{} is refused, though `carries` promises it: {error}",
                    show(&frame)
                )
            });
        }
        let frames = [frame, good.clone()];
        match Wire::of(&self.make, &frames) {
            Err(broken) if broken.law == Law::RoundTrip => {
                let what = format!("{} is written, and not read back", show(&frames[0]));
                Err(Law::ReadBack.broken(what).while_doing(broken.what()))
            }
            kept => kept.map(drop),
        }
    }
}
