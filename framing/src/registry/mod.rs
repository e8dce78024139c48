//! From a name in a config file to a framing.
//!
//! A [`Registry`] is a value: yours may hold other names than mine. It reads
//! `framing = "struct-header"` and `framing = { type = "struct-header", format = "!I" }` through
//! [`seed`](Registry::seed), with any serde format; what is wrong (an unknown name, an unknown
//! option, a combination that cannot work) is said when the file is read, with its line, never at
//! the first frame.

mod help;
mod nested;
mod plan;
mod reader;

use std::{collections::BTreeMap, fmt, ops::Range, sync::Arc};

use serde::{
    Deserializer,
    de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, MapAccess, Visitor},
};

use self::{help::COMMON, plan::PlanSeed, reader::fields_of};

pub use help::{FramingHelp, OptionHelp};

use crate::{
    AckHandshakeOptions, BoxFraming, CobsOptions, DelimiterOptions, FixedOptions, FrameError,
    Framing, JsonHeaderOptions, LengthFieldOptions, Limits, LinesOptions, NetstringOptions,
    RawOptions, SlipOptions, StructHeaderOptions, VarintOptions, ack_handshake, cobs, delimiter,
    fixed, json_header, length_field, netstring, pair, raw, slip, struct_header, varint,
};

/// Framings by name.
///
/// ```
/// use framing::Registry;
///
/// let registry = Registry::default();
/// let framing = registry.parse(r#"{ type = "delimiter", delimiter = "||" }"#)?;
/// assert_eq!(framing.name(), "delimiter");
///
/// let error = registry.parse("morse").unwrap_err().to_string();
/// assert!(error.contains("struct-header"), "the error lists what there is");
/// # Ok::<(), framing::FrameError>(())
/// ```
///
/// One more name, with options of its own; `max_frame`, `on_error`, `allow_empty` and
/// `max_empty_run` come along as [`Limits`]:
///
/// ```
/// use framing::{Delimiter, DelimiterOptions, Limits, Registry};
///
/// #[derive(serde::Deserialize)]
/// struct Fields { separator: String }
///
/// let mut registry = Registry::default();
/// registry.register("fields", |options: Fields, limits: Limits| {
///     DelimiterOptions::default().delimiter(options.separator).build(limits)
/// });
/// assert!(registry.parse(r#"{ type = "fields", separator = ";" }"#).is_ok());
/// ```
#[derive(Clone)]
pub struct Registry {
    entries: BTreeMap<String, Entry>,
}

#[derive(Clone)]
struct Entry {
    help: Option<FramingHelp>,
    options: &'static [&'static str],
    read: Read,
    /// Whether its options name framings.
    nests: bool,
}

/// Reads the options of a framing's own.
type Read = Arc<
    dyn Fn(&Registry, OptionReader<'_, '_>) -> Result<Build, erased_serde::Error> + Send + Sync,
>;

/// Checks them with the limits, of which something may stand around the framing's table.
type Build = Box<dyn FnOnce(Limits) -> Result<Make, FrameError>>;

type OptionReader<'a, 'de> = &'a mut dyn erased_serde::Deserializer<'de>;

type Make = Arc<dyn Fn() -> BoxFraming + Send + Sync>;

impl Default for Registry {
    /// All framings of this crate.
    fn default() -> Self {
        let mut registry = Self::empty();
        registry
            .register_with(
                "ack-handshake",
                ack_handshake::HELP,
                AckHandshakeOptions::build,
            )
            .register_with("cobs", cobs::HELP, CobsOptions::build)
            .register_with("delimiter", delimiter::HELP, DelimiterOptions::build)
            .register_with("fixed", fixed::HELP, FixedOptions::build)
            .register_with("json-header", json_header::HELP, JsonHeaderOptions::build)
            .register_with(
                "length-field",
                length_field::HELP,
                LengthFieldOptions::build,
            )
            .register_with("lines", delimiter::LINES_HELP, LinesOptions::build)
            .register_with("netstring", netstring::HELP, NetstringOptions::build)
            .nest("pair", pair::HELP, &["receive", "send"], nested::pair)
            .register_with("raw", raw::HELP, RawOptions::build)
            .register_with("slip", slip::HELP, SlipOptions::build)
            .register_with(
                "struct-header",
                struct_header::HELP,
                StructHeaderOptions::build,
            )
            .register_with("varint", varint::HELP, VarintOptions::build);
        registry
    }
}

impl Entry {
    /// The names of this framing's options, then of those common to all.
    fn names(&self) -> impl Iterator<Item = &'static str> {
        let common = COMMON.iter().map(OptionHelp::name);
        self.options.iter().copied().chain(common)
    }

    /// What is known of this framing's options, then of those common to all.
    fn options(&self) -> impl Iterator<Item = OptionHelp> {
        let described = self.help.map_or(&[][..], |help| help.options());
        let own = self.options.iter().map(|name| {
            let help = described.iter().find(|option| option.name() == *name);
            help.copied().unwrap_or(OptionHelp::new(name, "", ""))
        });
        own.chain(COMMON.iter().copied())
    }
}

impl Registry {
    /// A registry without any framing.
    pub fn empty() -> Self {
        Self {
            entries: BTreeMap::new(),
        }
    }

    /// Adds a framing under `name`, or replaces the one there.
    ///
    /// `build` gets the options, read strictly (a field that `O` does not have is an error), and
    /// the limits. What it makes is cloned for each connection.
    pub fn register<O, F>(
        &mut self,
        name: impl Into<String>,
        build: impl Fn(O, Limits) -> Result<F, FrameError> + Send + Sync + 'static,
    ) -> &mut Self
    where
        O: DeserializeOwned + 'static,
        F: Framing + Clone + Send + Sync + 'static,
    {
        self.insert(name.into(), None, build)
    }

    /// The same, with what [`options`](Self::options) is to tell people about it.
    pub fn register_with<O, F>(
        &mut self,
        name: impl Into<String>,
        help: FramingHelp,
        build: impl Fn(O, Limits) -> Result<F, FrameError> + Send + Sync + 'static,
    ) -> &mut Self
    where
        O: DeserializeOwned + 'static,
        F: Framing + Clone + Send + Sync + 'static,
    {
        self.insert(name.into(), Some(help), build)
    }

    fn insert<O, F>(
        &mut self,
        name: String,
        help: Option<FramingHelp>,
        build: impl Fn(O, Limits) -> Result<F, FrameError> + Send + Sync + 'static,
    ) -> &mut Self
    where
        O: DeserializeOwned + 'static,
        F: Framing + Clone + Send + Sync + 'static,
    {
        let build = Arc::new(build);
        let read: Read = Arc::new(move |_, reader| {
            let options: O = erased_serde::deserialize(reader)?;
            let build = build.clone();
            Ok(Box::new(move |limits| {
                let framing = build(options, limits)?;
                Ok(Arc::new(move || -> BoxFraming { Box::new(framing.clone()) }) as Make)
            }))
        });
        self.entries.insert(
            name,
            Entry {
                help,
                options: fields_of::<O>(),
                read,
                nests: false,
            },
        );
        self
    }

    /// Adds a framing whose options name framings of this registry.
    fn nest(
        &mut self,
        name: &str,
        help: FramingHelp,
        options: &'static [&'static str],
        read: fn(&Registry, OptionReader<'_, '_>) -> Result<Build, erased_serde::Error>,
    ) -> &mut Self {
        self.entries.insert(
            name.into(),
            Entry {
                help: Some(help),
                options,
                read: Arc::new(read),
                nests: true,
            },
        );
        self
    }

    /// The names, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// What the framing `name` is, in half a sentence; nothing if nobody said.
    pub fn summary(&self, name: &str) -> Option<&'static str> {
        let help = self.entries.get(name)?.help;
        Some(help.map_or("", |help| help.summary()))
    }

    /// The options that the framing `name` takes, those common to all last.
    pub fn options(&self, name: &str) -> Option<impl Iterator<Item = OptionHelp>> {
        Some(self.entries.get(name)?.options())
    }

    /// Reads a framing as it stands on a command line: a bare name, or what a file has behind
    /// `framing =`, the name in quotes or the inline table.
    pub fn parse(&self, text: &str) -> Result<FramingFactory, FrameError> {
        let text = text.trim();
        let read = if text.starts_with(['{', '"', '\'']) {
            let table = toml::de::ValueDeserializer::parse(text)
                .map_err(|error| FrameError::config(error.message().to_owned()))?;
            self.seed().deserialize(table)
        } else {
            self.seed().deserialize(text.into_deserializer())
        };
        read.map_err(|error| {
            let message = in_one_line(error.message());
            FrameError::config(
                match error.span().and_then(|place| option_at(text, place)) {
                    Some(option) => format!("`{option}`: {message}"),
                    None => message,
                },
            )
        })
    }

    /// Reads a framing as a value of any serde format.
    pub fn seed(&self) -> FramingSeed<'_> {
        FramingSeed(self)
    }

    fn entry<E: de::Error>(&self, name: &str) -> Result<(&str, &Entry), E> {
        match self.entries.get_key_value(name) {
            Some((name, entry)) => Ok((name, entry)),
            None => {
                let names: Vec<_> = self.names().collect();
                Err(E::custom(format!(
                    "unknown framing `{name}`; there are: {}",
                    names.join(", ")
                )))
            }
        }
    }
}

/// A message without the line that says where inside of a value.
fn in_one_line(message: &str) -> String {
    let lines: Vec<_> = message.lines().filter(|line| !line.is_empty()).collect();
    lines.join(" ")
}

/// The option of a table whose value is at `place`, as it is written.
fn option_at(text: &str, place: Range<usize>) -> Option<&str> {
    let start = text.get(..place.start)?.rfind(['{', ','])? + 1;
    let option = text.get(start..place.end)?.trim();
    option.contains('=').then_some(option)
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

/// Makes framings of one kind with the same options, one for each connection.
#[derive(Clone)]
pub struct FramingFactory {
    name: Arc<str>,
    make: Make,
}

impl FramingFactory {
    /// A factory outside of any registry.
    pub fn new<F>(name: &str, framing: F) -> Self
    where
        F: Framing + Clone + Send + Sync + 'static,
    {
        Self {
            name: name.into(),
            make: Arc::new(move || Box::new(framing.clone())),
        }
    }

    /// The name it is registered under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A framing for one connection.
    pub fn make(&self) -> BoxFraming {
        (self.make)()
    }
}

impl fmt::Debug for FramingFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FramingFactory").field(&self.name).finish()
    }
}

/// Reads a framing with the registry at hand; see [`Registry::seed`].
#[derive(Clone, Copy, Debug)]
pub struct FramingSeed<'a>(&'a Registry);

impl<'de> DeserializeSeed<'de> for FramingSeed<'_> {
    type Value = FramingFactory;

    fn deserialize<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<FramingFactory, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> FramingSeed<'a> {
    fn plan(self) -> PlanSeed<'a> {
        PlanSeed {
            registry: self.0,
            inside: false,
        }
    }
}

// Built while it is being read, so that the file's format can point at what cannot be.
impl<'de> Visitor<'de> for FramingSeed<'_> {
    type Value = FramingFactory;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plan().expecting(f)
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<FramingFactory, E> {
        let plan = self.plan().visit_str(name)?;
        plan.build(Limits::default()).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<FramingFactory, A::Error> {
        let plan = self.plan().visit_map(map)?;
        plan.build(Limits::default()).map_err(de::Error::custom)
    }
}
