//! Reads a framing's options strictly: each key is known, and errors keep their place in the file.

use std::{
    cell::{Cell, RefCell},
    fmt,
    marker::PhantomData,
    vec,
};

use serde::{
    Deserializer,
    de::{
        self, DeserializeOwned, DeserializeSeed, Error as _, IgnoredAny, IntoDeserializer,
        MapAccess, Visitor, value::Error,
    },
    forward_to_deserialize_any,
};

use super::{Entry, Registry, plan::Plan};
use crate::{Limits, OnError, options::size};

/// Reads the options of the framing `name`: those that stood in front of its name, and the rest.
pub(super) fn read<'de, A: MapAccess<'de>>(
    registry: &Registry,
    name: &str,
    entry: &Entry,
    early: Vec<(String, serde_json::Value)>,
    map: A,
) -> Result<Plan, A::Error> {
    let common = Cell::new(Common::default());
    // Through the erased deserializer an error keeps its text only; here it keeps its place too.
    let placed = RefCell::new(None);
    let reader = Reader {
        known: Known { name, entry },
        early: early.into_iter(),
        value: None,
        map,
        common: &common,
        placed: &placed,
    };
    let mut erased = <dyn erased_serde::Deserializer<'_>>::erase(reader);
    match (entry.read)(registry, &mut erased) {
        Ok(build) => Ok(Plan {
            name: name.into(),
            build,
            common: common.get(),
        }),
        Err(error) => Err(placed
            .take()
            .unwrap_or_else(|| A::Error::custom(asked_for(name, entry, error.to_string())))),
    }
}

/// What is said of `error`: serde calls an option that must be given a field.
fn asked_for(name: &str, entry: &Entry, error: String) -> String {
    let missing = error.strip_prefix("missing field `");
    let option = missing.and_then(|rest| rest.strip_suffix('`'));
    match option.filter(|option| entry.names().any(|known| known == *option)) {
        Some(option) => format!("`{name}` wants the option `{option}`"),
        None => error,
    }
}

/// Those of the options common to all that are given.
#[derive(Clone, Copy, Default)]
pub(super) struct Common {
    max_frame: Option<usize>,
    on_error: Option<OnError>,
    allow_empty: Option<bool>,
    max_empty_run: Option<u32>,
}

impl Common {
    /// The limits with what is given put in its place.
    pub(super) fn over(self, mut limits: Limits) -> Limits {
        if let Some(bytes) = self.max_frame {
            limits = limits.max_frame(bytes);
        }
        if let Some(policy) = self.on_error {
            limits = limits.on_error(policy);
        }
        if let Some(allow) = self.allow_empty {
            limits = limits.allow_empty(allow);
        }
        if let Some(frames) = self.max_empty_run {
            limits = limits.max_empty_run(frames);
        }
        limits
    }
}

/// The options as a deserializer, without those common to all, which go to `common`.
struct Reader<'a, A, E> {
    known: Known<'a>,
    early: vec::IntoIter<(String, serde_json::Value)>,
    /// The value of the key last read, if it stood in front of the name.
    value: Option<serde_json::Value>,
    map: A,
    common: &'a Cell<Common>,
    placed: &'a RefCell<Option<E>>,
}

impl<'de, A: MapAccess<'de>> Reader<'_, A, A::Error> {
    /// Keeps an error of the file's own kind for [`read`].
    fn keep<T>(&self, result: Result<T, A::Error>) -> Result<T, Error> {
        result.map_err(|error| {
            let text = Error::custom(&error);
            self.placed.replace(Some(error));
            text
        })
    }

    fn key(&mut self) -> Result<Option<String>, Error> {
        if let Some((key, value)) = self.early.next() {
            let key = self.known.deserialize(key.into_deserializer())?;
            self.value = Some(value);
            return Ok(Some(key));
        }
        let key = self.map.next_key_seed(self.known);
        self.keep(key)
    }

    fn value<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        if let Some(value) = self.value.take() {
            return seed.deserialize(value).map_err(Error::custom);
        }
        let value = self.map.next_value_seed(seed);
        self.keep(value)
    }

    /// Reads a common option's value; false if the key is not one of them.
    fn common(&mut self, key: &str) -> Result<bool, Error> {
        let mut common = self.common.get();
        match key {
            "max_frame" => common.max_frame = Some(self.value(Bytes)?),
            "on_error" => common.on_error = Some(self.value(PhantomData)?),
            "allow_empty" => common.allow_empty = Some(self.value(PhantomData)?),
            "max_empty_run" => common.max_empty_run = Some(self.value(PhantomData)?),
            _ => return Ok(false),
        }
        self.common.set(common);
        Ok(true)
    }
}

impl<'de, A: MapAccess<'de>> Deserializer<'de> for Reader<'_, A, A::Error> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        // A framing without options; every key but the common ones is unknown.
        while self.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_unit(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Reader<'_, A, A::Error> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        while let Some(key) = self.key()? {
            if !self.common(&key)? {
                return seed.deserialize(key.into_deserializer()).map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        self.value(seed)
    }
}

/// A key that must be one of the framing's options. Refusing it here, while it is being read,
/// lets the file's format point at it.
#[derive(Clone, Copy)]
struct Known<'a> {
    name: &'a str,
    entry: &'a Entry,
}

impl<'de> DeserializeSeed<'de> for Known<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Known<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an option of `{}`", self.name)
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<String, E> {
        if self.entry.names().any(|option| option == key) {
            return Ok(key.to_owned());
        }
        let options: Vec<_> = self.entry.names().collect();
        Err(E::custom(format!(
            "unknown option `{key}` of `{}`; there are: {}",
            self.name,
            options.join(", ")
        )))
    }
}

/// A number of bytes.
struct Bytes;

impl<'de> DeserializeSeed<'de> for Bytes {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        size(deserializer)
    }
}

/// The names of a struct's fields, as its `Deserialize` states them.
pub(super) fn fields_of<O: DeserializeOwned>() -> &'static [&'static str] {
    let fields = Cell::new(&[][..]);
    // The probe never yields a value; only what was asked of it counts.
    let _: Result<O, _> = O::deserialize(Probe(&fields));
    fields.get()
}

struct Probe<'a>(&'a Cell<&'static [&'static str]>);

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("only a probe"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.set(fields);
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
