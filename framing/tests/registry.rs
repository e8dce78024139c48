//! Framings by name: what is read, and what is said when it cannot be.

use std::fmt::Debug;

use framing::{
    AckHandshakeOptions, BoxFraming, Carries, CobsOptions, DelimiterOptions, ErrorKind,
    FixedOptions, FrameError, FramingFactory, JsonHeaderOptions, LengthFieldOptions, Limits,
    LinesOptions, Machine, NetstringOptions, OptionHelp, RawOptions, Received, Registry,
    SlipOptions, StructHeaderOptions, VarintOptions,
};
use serde::de::{DeserializeOwned, DeserializeSeed};

#[track_caller]
fn refusal(text: &str) -> String {
    let error = Registry::default().parse(text).expect_err(text);
    assert_eq!(error.kind(), ErrorKind::Config);
    error.to_string()
}

/// A framing in a file, in front of it and behind it other things.
fn in_a_file(file: &str) -> Result<FramingFactory, toml::de::Error> {
    struct Section;

    impl<'de> serde::de::Visitor<'de> for Section {
        type Value = FramingFactory;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a section with a framing")
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(
            self,
            mut map: A,
        ) -> Result<Self::Value, A::Error> {
            let registry = Registry::default();
            let mut framing = None;
            while let Some(key) = map.next_key::<String>()? {
                match key.as_str() {
                    "framing" => framing = Some(map.next_value_seed(registry.seed())?),
                    _ => drop(map.next_value::<serde::de::IgnoredAny>()?),
                }
            }
            framing.ok_or_else(|| serde::de::Error::missing_field("framing"))
        }
    }

    impl<'de> DeserializeSeed<'de> for Section {
        type Value = FramingFactory;

        fn deserialize<D: serde::Deserializer<'de>>(
            self,
            deserializer: D,
        ) -> Result<Self::Value, D::Error> {
            deserializer.deserialize_map(Section)
        }
    }

    Section.deserialize(toml::de::Deserializer::parse(file)?)
}

fn decoded(framing: BoxFraming, bytes: &[u8]) -> Vec<String> {
    let mut machine = Machine::new(framing);
    machine.receive(bytes);
    let mut frames = Vec::new();
    while let Ok(Received::Frame(frame)) = machine.next_frame() {
        frames.push(frame.escape_ascii().to_string());
    }
    frames
}

/// The framings that are nothing without their options, and those options.
const REQUIRED: &[(&str, &str)] = &[
    ("fixed", "size = 1024"),
    ("pair", r#"receive = "raw", send = "raw""#),
];

fn required(name: &str) -> Option<&str> {
    let known = REQUIRED.iter().find(|(other, _)| *other == name);
    known.map(|(_, option)| *option)
}

#[test]
fn an_option_that_must_be_given_is_asked_for() {
    for (name, given) in REQUIRED {
        let text = refusal(name);
        let registry = Registry::default();
        let options = registry.options(name).unwrap();
        let required = options.filter(|option| option.default_value() == OptionHelp::REQUIRED);
        let required: Vec<_> = required.map(|option| option.name()).collect();
        let asked = format!("`{name}` wants the option `{}`", required[0]);
        assert_eq!(text, asked);
        assert_eq!(refusal(&format!(r#"{{ type = "{name}" }}"#)), asked);
        let given = given.split(", ").map(|option| option.split(' ').next());
        assert!(given.eq(required.iter().copied().map(Some)), "{name}");
    }
}

#[test]
fn a_bare_name_is_a_framing_with_its_defaults() {
    let registry = Registry::default();
    for name in registry.names().filter(|name| required(name).is_none()) {
        let factory = registry.parse(&format!(" {name} ")).unwrap();
        assert_eq!(factory.name(), name);
        assert_eq!(factory.make().max_frame(), Limits::DEFAULT_MAX_FRAME);
    }
}

#[test]
fn a_name_may_stand_in_quotes_as_in_a_file() {
    for text in [r#""lines""#, " 'lines' "] {
        let factory = Registry::default().parse(text).unwrap();
        assert_eq!(factory.name(), "lines");
    }
    let text = refusal(r#""morse""#);
    assert!(text.contains("unknown framing `morse`"), "{text}");
}

#[test]
fn an_unknown_name_lists_those_there_are() {
    for text in ["morse", r#"{ type = "morse", speed = 5 }"#] {
        let text = refusal(text);
        assert!(text.contains("`morse`"), "{text}");
        for name in Registry::default().names() {
            assert!(text.contains(name), "{text} does not list {name}");
        }
    }
}

#[test]
fn an_unknown_option_lists_those_there_are() {
    let registry = Registry::default();
    for name in registry.names() {
        let text = refusal(&format!(r#"{{ type = "{name}", sped = 5 }}"#));
        assert!(text.contains("`sped`") && text.contains(name), "{text}");
        for option in registry.options(name).unwrap() {
            let option = option.name();
            assert!(text.contains(option), "{text} does not list {option}");
        }
        for common in ["max_frame", "on_error", "allow_empty", "max_empty_run"] {
            assert!(text.contains(common), "{text} does not list {common}");
        }
    }
}

/// The defaults that people are told are the ones that are built: each, written out, gives the
/// same options as none.
#[test]
fn every_default_told_is_the_default_built() {
    fn debug<O: DeserializeOwned + Debug>(text: &str) -> String {
        format!("{:?}", toml::from_str::<O>(text).unwrap())
    }
    type Read = fn(&str) -> String;
    let known: [(&str, Read); _] = [
        ("ack-handshake", debug::<AckHandshakeOptions>),
        ("cobs", debug::<CobsOptions>),
        ("delimiter", debug::<DelimiterOptions>),
        ("fixed", debug::<FixedOptions>),
        ("json-header", debug::<JsonHeaderOptions>),
        ("length-field", debug::<LengthFieldOptions>),
        ("lines", debug::<LinesOptions>),
        ("netstring", debug::<NetstringOptions>),
        // Both of its options must be given.
        ("pair", str::to_owned),
        ("raw", debug::<RawOptions>),
        ("slip", debug::<SlipOptions>),
        ("struct-header", debug::<StructHeaderOptions>),
        ("varint", debug::<VarintOptions>),
    ];
    let registry = Registry::default();
    assert!(registry.names().eq(known.map(|(name, _)| name)));
    for (name, read) in known {
        assert!(!registry.summary(name).unwrap().is_empty(), "{name}");
        let options: Vec<_> = registry.options(name).unwrap().collect();
        // What must be given is given any value, the same each time.
        let required: String = options
            .iter()
            .filter(|option| option.default_value() == OptionHelp::REQUIRED)
            .map(|option| format!("{} = 7\n", option.name()))
            .collect();
        for option in &options {
            assert!(!option.meaning().is_empty(), "{name}: {}", option.name());
            let default = option.default_value();
            assert!(!default.is_empty(), "{name}: {}", option.name());
            let told = default != OptionHelp::REQUIRED
                && default != OptionHelp::NONE
                && !default.starts_with('(');
            let common = ["max_frame", "on_error", "allow_empty", "max_empty_run"];
            if told && !common.contains(&option.name()) {
                let written = format!("{required}{} = {default}", option.name());
                assert_eq!(read(&written), read(&required), "{name}: {}", option.name());
            }
        }
    }
}

#[test]
fn an_error_in_a_file_shows_its_line() {
    for (framing, shown, says) in [
        (
            "{ type = \"struct-header\",\n  format = \"!I\",\n  fromat = \"!H\" }",
            "line 4",
            "fromat",
        ),
        (
            "{ type = \"delimiter\",\n  strip = \"yes\" }",
            "line 3",
            "strip = \"yes\"",
        ),
        (
            "{ fromat = \"!H\",\n  type = \"struct-header\" }",
            "line",
            "fromat",
        ),
        (
            "{ type = \"delimiter\",\n  max_frame = \"much\" }",
            "line 3",
            "max_frame = \"much\"",
        ),
        (
            "{ type = \"delimiter\",\n  on_error = \"pray\" }",
            "line 3",
            "skip",
        ),
        (
            "{ type = \"delimiter\",\n  delimiter = \"\" }",
            "line",
            "must not be empty",
        ),
        ("\n  \"morse\"", "line 2", "morse"),
        ("{ format = \"!I\" }", "line 2", "type"),
        ("5", "line 2", "name"),
    ] {
        let framing = framing.trim_start();
        let file = format!("address = \"x\"\nframing = {framing}\nservices = []\n");
        let error = in_a_file(&file).unwrap_err().to_string();
        assert!(error.contains(shown), "{error} does not point at {shown}");
        assert!(error.contains(says), "{error} does not say {says}");
    }
}

#[test]
fn options_may_stand_in_front_of_the_type() {
    for text in [
        r#"{ type = "delimiter", delimiter = ["||", ";"], max_frame = 4, strip = false, on_error = "skip" }"#,
        r#"{ delimiter = ["||", ";"], max_frame = 4, type = "delimiter", strip = false, on_error = "skip" }"#,
        r#"{ on_error = "skip", strip = false, max_frame = "4B", delimiter = ["||", ";"], type = "delimiter" }"#,
    ] {
        let framing = Registry::default().parse(text).unwrap().make();
        assert_eq!(framing.max_frame(), 4, "{text}");
        assert_eq!(decoded(framing, b"a||b;"), ["a||", "b;"], "{text}");
    }
    // What is wrong with them is said all the same.
    let text = refusal(r#"{ sped = 5, type = "delimiter" }"#);
    assert!(text.contains("sped") && text.contains("strip"), "{text}");
    let text = refusal(r#"{ strip = "yes", type = "delimiter" }"#);
    assert!(text.contains("bool"), "{text}");
}

#[test]
fn the_options_common_to_all_are_options_of_all() {
    let registry = Registry::default();
    for name in registry.names() {
        let own = required(name).map_or(String::new(), |option| format!(", {option}"));
        let text = format!(
            r#"{{ type = "{name}", max_frame = "1KiB", on_error = "close", allow_empty = true, max_empty_run = 5{own} }}"#
        );
        assert_eq!(
            registry.parse(&text).unwrap().make().max_frame(),
            1024,
            "{name}"
        );
        let nothing = refusal(&format!(r#"{{ type = "{name}", max_frame = 0{own} }}"#));
        assert!(nothing.contains("at least 1"), "{nothing}");
    }
}

#[test]
fn the_common_options_do_what_they_say() {
    let make = |text: &str| Registry::default().parse(text).unwrap().make();
    let mut machine = Machine::new(make(r#"{ type = "delimiter", max_empty_run = 1 }"#));
    machine.receive(b"\n\n");
    assert_eq!(machine.next_frame(), Ok(Received::Frame("".into())));
    assert_eq!(
        machine.next_frame().unwrap_err().kind(),
        ErrorKind::Malformed
    );

    let mut machine = Machine::new(make(r#"{ type = "delimiter", allow_empty = false }"#));
    assert!(machine.send("".into()).is_err());

    let skipping = make(r#"{ type = "delimiter", max_frame = 2, on_error = "skip" }"#);
    let mut machine = Machine::new(skipping);
    machine.receive(b"long\nok\n");
    assert!(machine.next_frame().unwrap_err().is_recoverable());
    assert_eq!(machine.next_frame(), Ok(Received::Frame("ok".into())));
}

#[test]
fn one_byte_is_a_number_a_string_or_hex() {
    let registry = Registry::default();
    for byte in ["92", r#""\\""#, r#"{ hex = "5c" }"#] {
        let text = format!(r#"{{ type = "delimiter", escape = {byte} }}"#);
        let mut machine = Machine::new(registry.parse(&text).unwrap().make());
        machine.send("a\nb".into()).unwrap();
        assert_eq!(machine.outbox().take_bytes(), "a\\\nb\n", "{text}");
        for options in [
            format!(r#"{{ type = "cobs", sentinel = {byte} }}"#),
            format!(r#"{{ type = "fixed", size = 3, pad = {byte} }}"#),
        ] {
            assert!(registry.parse(&options).is_ok(), "{options}");
        }
    }
    for wrong in [
        "256",
        "-1",
        r#""""#,
        r#""ab""#,
        r#""é""#,
        r#"{ hex = "" }"#,
        "true",
    ] {
        let text = refusal(&format!(r#"{{ type = "cobs", sentinel = {wrong} }}"#));
        assert!(text.contains("one byte: a number from 0 to 255"), "{text}");
    }
}

#[test]
fn each_connection_has_a_framing_of_its_own() {
    let factory = Registry::default().parse("struct-header").unwrap();
    let mut one = Machine::new(factory.make());
    one.receive(b"\0\0\0\x05hel");
    assert!(matches!(one.next_frame(), Ok(Received::Need(2))));
    // The state of the first is none of the second's.
    assert_eq!(decoded(factory.make(), b"\0\0\0\x02hi"), ["hi"]);
}

#[test]
fn a_framing_of_ones_own_is_read_like_ours() {
    #[derive(serde::Deserialize)]
    struct Fields {
        separator: String,
        #[serde(default)]
        quiet: bool,
    }

    let mut registry = Registry::default();
    registry.register("fields", |options: Fields, limits: Limits| {
        if options.quiet {
            return Err(FrameError::config("nothing can be quiet"));
        }
        DelimiterOptions::default()
            .delimiter(options.separator)
            .build(limits)
    });
    let framing = registry
        .parse(r#"{ max_frame = 3, type = "fields", separator = ";" }"#)
        .unwrap();
    assert_eq!(framing.make().max_frame(), 3);
    assert!(matches!(framing.make().carries(), Carries::Neither(_)));
    assert_eq!(decoded(framing.make(), b"a;b;"), ["a", "b"]);
    for (text, says) in [
        ("fields", "separator"),
        (
            r#"{ type = "fields", separator = ";", quiet = true }"#,
            "nothing can be quiet",
        ),
        (
            r#"{ type = "fields", separator = ";", loud = true }"#,
            "separator, quiet, max_frame",
        ),
        (r#"{ type = "fields", separator = 5 }"#, "string"),
        (r#"{ type = "fields", separator = ";" "#, ""),
    ] {
        let error = registry.parse(text).unwrap_err().to_string();
        assert!(error.contains(says), "{error} does not say {says}");
    }
    let options = registry.options("fields").unwrap();
    assert!(options.map(|option| option.name()).eq([
        "separator",
        "quiet",
        "max_frame",
        "on_error",
        "allow_empty",
        "max_empty_run"
    ]));
    // Replaced by one without options.
    registry.register("fields", |(): (), limits: Limits| {
        DelimiterOptions::default().build(limits)
    });
    assert!(registry.parse("fields").is_ok());
    assert!(
        registry
            .parse(r#"{ type = "fields", max_frame = 5 }"#)
            .is_ok()
    );
    let error = registry
        .parse(r#"{ type = "fields", separator = ";" }"#)
        .unwrap_err();
    assert!(
        error.to_string().contains("unknown option `separator`"),
        "{error}"
    );
}

#[test]
fn byte_strings_take_any_bytes() {
    for (delimiter, wire) in [
        (r#""||""#, &b"a||b||"[..]),
        (r#"{ hex = "0D0a" }"#, b"a\r\nb\r\n"),
        (r#"{ hex = "ff" }"#, b"a\xffb\xff"),
        (r#"["\n", { hex = "00" }]"#, b"a\nb\0"),
    ] {
        let text = format!(r#"{{ type = "delimiter", delimiter = {delimiter} }}"#);
        let framing = Registry::default().parse(&text).unwrap().make();
        assert_eq!(decoded(framing, wire), ["a", "b"], "{text}");
    }
    for (delimiter, says) in [
        (r#"{ hex = "f" }"#, "pairs"),
        (r#"{ hex = "+f" }"#, "pairs"),
        (r#"{ hax = "ff" }"#, "hax"),
        (r#"{ hex = "ff", more = 1 }"#, "more"),
        ("5", "string"),
    ] {
        let text = refusal(&format!(
            r#"{{ type = "delimiter", delimiter = {delimiter} }}"#
        ));
        assert!(text.contains(says), "{text} does not say {says}");
    }
}

/// Sizes are written alike in every option.
#[test]
fn a_size_may_be_text() {
    let read = |text| format!("{:?}", toml::from_str::<LengthFieldOptions>(text).unwrap());
    assert_eq!(
        read("offset = '1'\nwidth = '4B'\nstrip = '5'"),
        read("offset = 1\nwidth = 4\nstrip = 5")
    );
}

#[test]
fn a_wrong_value_is_shown_with_its_option() {
    for (text, expected) in [
        (
            r#"{ type = "length-field", width = "four" }"#,
            r#"`width = "four"`: `four` is not a number of bytes such as 65536 or "64KiB""#,
        ),
        (
            r#"{ type = "length-field", offset = -1 }"#,
            "`offset = -1`: a number of bytes cannot be negative",
        ),
        (
            r#"{ type = "length-field", strip = true }"#,
            "`strip = true`: invalid type: boolean `true`, expected a number of bytes, such as",
        ),
        (
            r#"{ type = "fixed", size = 4, pad = "ab" }"#,
            r#"`pad = "ab"`: invalid value: string "ab", expected one byte: a number from 0 to 255, a string, or { hex = "…" }"#,
        ),
        (
            r#"{ type = "pair", send = "lines", receive = { type = "fixed", size = "x" } }"#,
            r#"`receive = { type = "fixed", size = "x" }`: "#,
        ),
        (r#"{ type = "lines""#, "unclosed inline table, expected `}`"),
        (
            r#"{ typ = "lines" }"#,
            "no `type`, which names the framing; there are: ack-handshake, ",
        ),
    ] {
        let error = Registry::default().parse(text).unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains('\n'), "{error}");
    }
}
