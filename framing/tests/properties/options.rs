//! Options left to chance: such as can work, and any.

use std::fmt;

use framing::{FramingFactory, Registry};
use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
};

/// Options as they stand in a table, such as `strip = false`.
type Options = BoxedStrategy<Vec<String>>;

/// `name = value`, or nothing.
fn option(name: &str, value: impl Strategy<Value = String> + 'static) -> Options {
    let name = name.to_owned();
    prop::option::of(value)
        .prop_map(move |value| value.into_iter().map(|v| format!("{name} = {v}")).collect())
        .boxed()
}

/// The same, never nothing.
fn required(name: &str, value: impl Strategy<Value = String> + 'static) -> Options {
    let name = name.to_owned();
    value
        .prop_map(move |value| vec![format!("{name} = {value}")])
        .boxed()
}

fn all<const N: usize>(options: [Options; N]) -> Options {
    options.to_vec().prop_map(|parts| parts.concat()).boxed()
}

/// One of these.
fn one(values: &[&str]) -> impl Strategy<Value = String> + 'static {
    select(
        values
            .iter()
            .map(|&value| value.to_owned())
            .collect::<Vec<_>>(),
    )
}

fn number<T: fmt::Display>(
    range: impl Strategy<Value = T> + 'static,
) -> impl Strategy<Value = String> {
    range.prop_map(|number| number.to_string())
}

fn truth() -> impl Strategy<Value = String> {
    number(any::<bool>())
}

/// Options of the framing `name` that can work, and those common to all.
fn options(name: &str) -> Options {
    let own = match name {
        "ack-handshake" => all([
            option(
                "ack",
                one(&["\"go ahead\"", "\"\\nok\"", "{ hex = \"06\" }"]),
            ),
            select(vec![
                vec!["terminator = \"\\r\\n\""],
                vec!["bare = true"],
                vec!["terminator = \"\"", "bare = true", "settle = \"5ms\""],
            ])
            .prop_map(|options| options.iter().map(ToString::to_string).collect())
            .boxed(),
            option("refusal", one(&["\"no\""])),
        ]),
        "cobs" => all([
            option("sentinel", number(any::<u8>())),
            option("leading", truth()),
        ]),
        "delimiter" => {
            let several = one(&[
                r#"["\n", "\r\n"]"#,
                r#"["\r\n", "\n", ";"]"#,
                r#"["ab", "||", { hex = "00ff" }]"#,
                r#"["aab", "b||"]"#,
            ]);
            let single = vec(select(b"ab|\n;\0".to_vec()), 1..4).prop_map(|mark| {
                let digits: String = mark.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("{{ hex = \"{digits}\" }}")
            });
            all([
                option("delimiter", prop_oneof![several, single]),
                option("escape", one(&["\"\\\\\"", "{ hex = \"1b\" }", "120"])),
                option("strip", truth()),
                option("skip_empty", truth()),
                option("at_eof", one(&["\"error\"", "\"emit\""])),
            ])
        }
        "fixed" => required("size", number(1..=8_u8)),
        "json-header" => all([
            option("format", one(&["\"!I\"", "\"b\"", "\"<xHx\"", "\">Q3x\""])),
            option(
                "size",
                "[a-z\"\\\\é\u{1}]{0,6}".prop_map(|key| toml::Value::from(key).to_string()),
            ),
            option("max_header", number(80..200_u8)),
        ]),
        "length-field" => (0..7_usize, 1..=8_usize, any::<bool>(), any::<Index>())
            .prop_map(|(offset, width, whole, strip)| {
                let strip = if whole {
                    offset + width
                } else {
                    strip.index(offset + width + 1)
                };
                vec![format!(
                    "offset = {offset}, width = {width}, strip = {strip}"
                )]
            })
            .prop_flat_map(|layout| {
                all([
                    Just(layout).boxed(),
                    option("endian", one(&["\"big\"", "\"little\""])),
                    option("signed", truth()),
                    option("adjust", number(-9..9_i8)),
                ])
            })
            .boxed(),
        "lines" => all([
            option("ending", one(&["\"\\n\"", "\"\\r\\n\""])),
            option("at_eof", one(&["\"error\"", "\"emit\""])),
        ]),
        "netstring" => Just(Vec::new()).boxed(),
        // What one end writes the other reads, so both are the same.
        "pair" => select(vec![
            "cobs",
            "delimiter",
            "fixed",
            "length-field",
            "lines",
            "netstring",
            "slip",
            "struct-header",
            "varint",
        ])
        .prop_flat_map(|part| framing(part, own_options(part)))
        .prop_map(|part| vec![format!("receive = {part}, send = {part}")])
        .boxed(),
        "raw" => option("chunk", one(&["1", "\"3B\"", "40"])),
        "slip" => all([
            option("leading", truth()),
            option("invalid_escape", one(&["\"error\"", "\"pass\""])),
        ]),
        "struct-header" => struct_header(),
        "varint" => option("canonical", truth()),
        other => panic!("`{other}` needs a strategy for its options"),
    };
    let skip = match name {
        "ack-handshake" => Just(Vec::new()).boxed(),
        _ => option("on_error", one(&["\"skip\"", "\"close\""])),
    };
    all([
        own,
        skip,
        option("max_frame", one(&["48", "\"64B\""])),
        option("allow_empty", one(&["true", "true", "false"])),
    ])
}

/// Without those that a pair sets for both.
fn own_options(name: &str) -> Options {
    options(name)
        .prop_map(|mut options| {
            options.retain(|option| {
                !["on_error", "max_frame", "allow_empty"]
                    .iter()
                    .any(|common| option.starts_with(common))
            });
            options
        })
        .boxed()
}

/// A header of a few items, any integer among which is the length.
fn struct_header() -> Options {
    // The code, and what the item may be held to.
    let item = || {
        select(vec![
            ("x", None),
            ("B", Some("7")),
            ("h", Some("-2")),
            ("2x", None),
            ("4s", Some("\"MAGC\"")),
            ("?", Some("true")),
            ("f", Some("1.5")),
            ("Q", Some("18446744073709551615")),
        ])
    };
    let items = (vec(item(), 0..3), vec(item(), 0..3));
    let length = one(&["b", "B", "h", "H", "i", "I", "l", "L", "q", "Q"]);
    let order = one(&["", "@", "=", "<", ">", "!"]);
    (
        order,
        items,
        length,
        any::<[bool; 4]>(),
        -9..9_i8,
        vec(any::<bool>(), 6),
    )
        .prop_map(
            |(order, (before, after), length, [fixed, frame, strict, strip], adjust, held)| {
                let codes =
                    |items: &[(&str, _)]| items.iter().map(|(code, _)| *code).collect::<String>();
                let real = |items: &[(&str, Option<&'static str>)]| -> Vec<&'static str> {
                    items.iter().filter_map(|(_, constant)| *constant).collect()
                };
                let mut options = vec![
                    format!(
                        "format = \"{order}{}{length}{}\"",
                        codes(&before),
                        codes(&after)
                    ),
                    format!(
                        "length = {}, adjust = {adjust}, strict_pad = {strict}",
                        real(&before).len()
                    ),
                ];
                if fixed {
                    let constants = [real(&before), real(&after)].concat();
                    let constants: Vec<_> = constants
                        .iter()
                        .zip(&held)
                        .map(|(constant, held)| if *held { constant } else { "\"any\"" })
                        .collect();
                    options.push(format!("constants = [{}]", constants.join(", ")));
                }
                if frame && !length.eq_ignore_ascii_case("b") {
                    options.push("counts = \"frame\"".into());
                }
                if strip {
                    options.push("strip = 1".into());
                }
                options
            },
        )
        .boxed()
}

/// The table of a framing.
fn framing(name: &str, options: Options) -> impl Strategy<Value = String> + use<> {
    let name = name.to_owned();
    options.prop_shuffle().prop_map(move |options| {
        let options: String = options.iter().map(|option| format!(", {option}")).collect();
        format!("{{ type = \"{name}\"{options} }}")
    })
}

/// Every framing that there is, with options that can work.
pub(crate) fn framings() -> impl Strategy<Value = Named> {
    let names: Vec<String> = Registry::default().names().map(str::to_owned).collect();
    select(names)
        .prop_flat_map(|name| framing(&name, options(&name)))
        .prop_map(|text| match Registry::default().parse(&text) {
            Ok(factory) => Named { text, factory },
            Err(error) => panic!("{text}: {error}"),
        })
}

#[derive(Clone)]
pub(crate) struct Named {
    pub(crate) text: String,
    pub(crate) factory: FramingFactory,
}

impl fmt::Debug for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whatever can stand behind the equals sign, and some that cannot.
fn values() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        number(any::<i64>()),
        number(-3..70000_i64),
        number(any::<u64>()),
        number(any::<f64>()),
        "[a-zA-Z0-9!@<>=?. \\-\"]{0,12}",
        any::<String>().prop_map(|text| toml::Value::from(text).to_string()),
        one(&[
            "true",
            "false",
            "nan",
            "-inf",
            "1979-05-27",
            "\"\"",
            "\"\\n\"",
            "\"ok\"",
            "\"64KiB\"",
            "\"99EiB\"",
            "\"18446744073709551616\"",
            "\"-1\"",
            "\"1e400s\"",
            "\"20ms\"",
            "\"skip\"",
            "\"close\"",
            "\"emit\"",
            "\"frame\"",
            "\"pass\"",
            "\"little\"",
            "\"raw\"",
            "\"lines\"",
            "{}",
            "{ hex = \"0d0a\" }",
            "{ hex = \"0\" }",
            "{ hex = \"é\" }",
            "{ hex = 5 }",
            "{ type = \"cobs\" }",
            "{ type = \"pair\" }",
            "\"!4sBxH\"",
            "\"99999999999999999999s\"",
            "\"65536xI\"",
            "\"0p\"",
            "9223372036854775807",
        ]),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|values| format!("[{}]", values.join(", "))),
            inner
                .clone()
                .prop_map(|value| format!("{{ hex = {value} }}")),
            inner.prop_map(|value| format!("{{ type = {value}, a = 1 }}")),
        ]
    })
}

/// A table with any of the options that there are, and any values.
pub(crate) fn tables() -> impl Strategy<Value = String> {
    let registry = Registry::default();
    let mut keys: Vec<String> = vec!["type".into(), "typ".into(), "\"\"".into()];
    for name in registry.names() {
        keys.extend(
            registry
                .options(name)
                .into_iter()
                .flatten()
                .map(|option| option.name().to_owned()),
        );
    }
    let names: Vec<String> = registry.names().map(str::to_owned).collect();
    let of_one = select(names).prop_flat_map(|name| {
        let registry = Registry::default();
        let keys: Vec<_> = registry
            .options(&name)
            .into_iter()
            .flatten()
            .map(|option| option.name())
            .collect();
        (Just(name), vec((select(keys), values()), 0..3))
    });
    prop_oneof![
        6 => of_one.prop_map(|(name, options)| {
            let options: String = options.iter().map(|(key, value)| format!("{key} = {value}, ")).collect();
            format!("{{ {options}type = \"{name}\" }}")
        }),
        1 => vec((select(keys), values()), 0..4).prop_map(|options| {
            let options: Vec<_> = options.iter().map(|(key, value)| format!("{key} = {value}")).collect();
            format!("{{ {} }}", options.join(", "))
        }),
        1 => any::<String>(),
        1 => any::<String>().prop_map(|text| format!("{{{text}")),
    ]
}
