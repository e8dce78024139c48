//! Looks at the server's clock.

use std::time::Duration;

use super::{Client, ClientError, Reply};
use crate::{Body, Fields, Part, Verb};

/// The longest text of a tick, in bytes; what goes beyond it is no time.
const LONGEST_TEXT: usize = 4096;

/// One tick of the clock.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Tick {
    /// The time as the server writes it: escape it before you show it.
    pub text: String,
    /// The seconds since 1970, where the server tells.
    pub epoch: Option<f64>,
}

/// A clock that is being looked at. Dropped before its end, the connection cannot be used any more.
#[derive(Debug)]
pub struct Ticks<'a> {
    reply: Reply<'a>,
    epoch: Option<f64>,
}

impl Client {
    /// Looks at the server's clock; it ticks until the connection ends.
    pub async fn clock(
        &mut self,
        every: Option<Duration>,
        format: Option<&str>,
    ) -> Result<Ticks<'_>, ClientError> {
        let arguments = Fields::new()
            .with("every", every.map(|every| every.as_secs_f64()))
            .with("format", format);
        let reply = self.call(Verb::CLOCK, arguments, Body::none()).await?;
        Ok(Ticks { reply, epoch: None })
    }
}

impl Ticks<'_> {
    /// The next tick; `None` once the server ends. Cancel safe.
    pub async fn next(&mut self) -> Option<Result<Tick, ClientError>> {
        loop {
            match self.reply.next().await? {
                Ok(Part::Control(fields)) => self.epoch = fields.get("epoch").ok().flatten(),
                Ok(Part::Data(text)) if text.len() > LONGEST_TEXT => {
                    let sentence = "a time that is longer than any is".to_owned();
                    return Some(Err(ClientError::Nonsense(sentence)));
                }
                Ok(Part::Data(text)) => {
                    return Some(Ok(Tick {
                        text: String::from_utf8_lossy(&text).into_owned(),
                        epoch: self.epoch.take(),
                    }));
                }
                Ok(Part::End(_)) => return None,
                Ok(_) => {}
                Err(error) => return Some(Err(ClientError::Body(error))),
            }
        }
    }
}
