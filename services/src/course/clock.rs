//! The time as the scripts have it: one text a tick, and nothing around it.

use std::time::Duration;

use super::{
    CourseError,
    conversation::{Answers, Conversation, Wire},
    framings,
};
use crate::{Fields, Part, Verb};

/// What is told, and how often.
#[derive(Clone, Debug, Default)]
pub struct ClockOptions {
    /// The time between two ticks; the service's own where none is given.
    pub every: Option<Duration>,
    /// The format, as of `strftime`; the service's own where none is given.
    pub format: Option<String>,
}

/// Tells the time until the peer leaves.
pub(super) async fn serve<Io: Wire, S: Answers>(
    talk: &mut Conversation<Io, S>,
    options: &ClockOptions,
) -> Result<(), CourseError> {
    talk.speak(framings::text()?);
    let arguments = Fields::new()
        .with("every", options.every.map(|every| every.as_secs_f64()))
        .with("format", &options.format);
    let response = talk.ask(Verb::CLOCK, arguments).await;
    if !response.status.is_ok() {
        return Err(CourseError::Refused(response.status));
    }
    let mut body = response.body;
    while let Some(part) = talk.next_part(&mut body).await {
        match part {
            Ok(Part::Data(text)) => talk.send(text).await?,
            Ok(_) => {}
            Err(error) => return Err(CourseError::File(error)),
        }
    }
    Ok(())
}
