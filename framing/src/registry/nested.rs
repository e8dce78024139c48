//! Reads the two framings that a pair is made of, with the registry that it is read with.

use std::{fmt, sync::Arc};

use serde::{
    Deserializer,
    de::{Error, MapAccess, Visitor},
};

use super::{
    Build, Make, OptionReader, Registry,
    plan::{Plan, PlanSeed},
};
use crate::{FrameError, Limits, Pair};

/// Reads the options of a pair.
pub(super) fn pair(
    registry: &Registry,
    reader: OptionReader<'_, '_>,
) -> Result<Build, erased_serde::Error> {
    let (receive, send) = reader.deserialize_map(Directions(registry))?;
    Ok(Box::new(|limits| build(receive, send, limits)))
}

/// Builds both with the limits of the pair, but for what their own options say.
fn build(receive: Plan, send: Plan, limits: Limits) -> Result<Make, FrameError> {
    let part = |option, plan: Plan| {
        plan.build(limits.clone())
            .map_err(|error| FrameError::config(format!("`{option}`: {error}")))
    };
    let (receive, send) = (part("receive", receive)?, part("send", send)?);
    // What goes together once does so for every connection.
    Pair::new(receive.make(), send.make())?;
    Ok(Arc::new(move || {
        Box::new(Pair::join(receive.make(), send.make()))
    }))
}

/// Reads `receive` and `send`.
struct Directions<'a>(&'a Registry);

impl<'de> Visitor<'de> for Directions<'_> {
    type Value = (Plan, Plan);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`receive` and `send`, each a framing")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut receive, mut send) = (None, None);
        while let Some(key) = map.next_key::<String>()? {
            let (slot, name) = match key.as_str() {
                "receive" => (&mut receive, "receive"),
                "send" => (&mut send, "send"),
                other => return Err(A::Error::unknown_field(other, &["receive", "send"])),
            };
            let seed = PlanSeed {
                registry: self.0,
                inside: true,
            };
            if slot.replace(map.next_value_seed(seed)?).is_some() {
                return Err(A::Error::duplicate_field(name));
            }
        }
        Ok((
            receive.ok_or_else(|| A::Error::missing_field("receive"))?,
            send.ok_or_else(|| A::Error::missing_field("send"))?,
        ))
    }
}
