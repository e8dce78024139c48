//! Reads a framing's name and options; what surrounds it may have a say before it is built.

use std::{fmt, iter, sync::Arc};

use serde::{
    Deserializer,
    de::{self, DeserializeSeed, MapAccess, Visitor},
};

use super::{
    Build, Entry, FramingFactory, Registry,
    reader::{Common, read},
};
use crate::{FrameError, Limits};

/// A framing whose options are read, and which is not built yet.
pub(super) struct Plan {
    pub(super) name: Arc<str>,
    pub(super) build: Build,
    pub(super) common: Common,
}

impl Plan {
    /// Builds the framing. `around` holds for what its own options do not say.
    pub(super) fn build(self, around: Limits) -> Result<FramingFactory, FrameError> {
        Ok(FramingFactory {
            make: (self.build)(self.common.over(around))?,
            name: self.name,
        })
    }
}

/// Reads a plan with the registry at hand.
#[derive(Clone, Copy)]
pub(super) struct PlanSeed<'a> {
    pub(super) registry: &'a Registry,
    /// Whether it stands inside another framing, so that there is an end to it.
    pub(super) inside: bool,
}

impl<'a> PlanSeed<'a> {
    fn entry<E: de::Error>(&self, name: &str) -> Result<(&'a str, &'a Entry), E> {
        let (name, entry) = self.registry.entry(name)?;
        if self.inside && entry.nests {
            return Err(E::custom(format!(
                "`{name}` cannot stand inside another framing"
            )));
        }
        Ok((name, entry))
    }
}

impl<'de> DeserializeSeed<'de> for PlanSeed<'_> {
    type Value = Plan;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Plan, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for PlanSeed<'_> {
    type Value = Plan;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a framing's name, or a table with its `type` and options")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Plan, E> {
        let (name, entry) = self.entry(name)?;
        let no_options = de::value::MapDeserializer::new(iter::empty::<(&str, &str)>());
        read(self.registry, name, entry, Vec::new(), no_options)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Plan, A::Error> {
        // Options written in front of `type` wait until it is known whose they are.
        let mut early = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            if key == "type" {
                let name: String = map.next_value()?;
                let (name, entry) = self.entry(&name)?;
                return read(self.registry, name, entry, early, map);
            }
            early.push((key, map.next_value::<serde_json::Value>()?));
        }
        let names: Vec<_> = self.registry.names().collect();
        Err(de::Error::custom(format!(
            "no `type`, which names the framing; there are: {}",
            names.join(", ")
        )))
    }
}
