//! What cannot work is refused when it is built (F26), with its place and what would be allowed.

use super::*;
use crate::{Constant, Counts, Value};

#[track_caller]
fn assert_refused(options: StructHeaderOptions, position: u64, mentions: &[&str]) {
    let error = refusal(options, Limits::new());
    assert_eq!(error.offset(), position, "{error}");
    for mention in mentions {
        assert!(
            error.to_string().contains(mention),
            "{mention:?} is not in: {error}"
        );
    }
}

#[test]
fn the_default_is_a_network_order_u32() {
    let (default, named) = (StructHeader::default(), StructHeader::new("!I").unwrap());
    assert_eq!(format!("{default:?}"), format!("{named:?}"));
    assert_eq!(default.max_frame(), Limits::DEFAULT_MAX_FRAME);
    let built = StructHeaderOptions::default().build(Limits::new()).unwrap();
    assert_eq!(format!("{default:?}"), format!("{built:?}"));
}

#[test]
fn f26_only_an_integer_can_hold_the_length() {
    for code in ["f", "d", "e", "?", "4s", "4p", "c"] {
        let format = format!("!H{code}");
        let position = format.len() as u64 - 1;
        let mentions = ["`length`", "position", "cannot hold the length", "b B h H"];
        assert_refused(StructHeaderOptions::new(format), position, &mentions);
    }
    for code in [
        "b", "B", "h", "H", "i", "I", "l", "L", "q", "Q", "n", "N", "P",
    ] {
        StructHeader::new(code).unwrap();
    }
    let length = StructHeaderOptions::new("!2H4sB");
    assert_refused(length.clone().length(2), 4, &["item 2 (`s`)"]);
    assert_refused(length.clone().length(4), 0, &["`length` is 4", "0 to 3"]);
    length.length(1).build(Limits::new()).unwrap();
}

#[test]
fn f26_a_header_has_a_length_and_a_size() {
    for (format, mention) in [
        ("", "0 bytes"),
        ("!", "0 bytes"),
        ("!0I", "0 bytes"),
        ("!0s", "0 bytes"),
        ("!4x", "no item that could hold the length"),
    ] {
        assert_refused(StructHeaderOptions::new(format), 0, &["`format`", mention]);
    }
    StructHeader::new("!65534xH").unwrap();
    assert_refused(StructHeaderOptions::new("!65535xH"), 7, &["65536 bytes"]);
    assert_refused(
        StructHeaderOptions::new("!99999999999x"),
        1,
        &["65536 bytes"],
    );
}

#[test]
fn f26_a_limit_of_nothing_is_refused() {
    let error = refusal(StructHeaderOptions::default(), Limits::new().max_frame(0));
    assert!(error.to_string().contains("`max_frame`"), "{error}");
}

#[test]
fn more_cannot_be_stripped_than_the_header() {
    let options = StructHeaderOptions::new("!BH");
    assert_refused(options.clone().strip(4), 0, &["`strip` is 4", "3 bytes"]);
    for strip in 0..=3 {
        options.clone().strip(strip).build(Limits::new()).unwrap();
    }
}

#[test]
fn an_adjustment_leaves_at_least_one_byte_to_say() {
    let options = StructHeaderOptions::new("!B");
    assert_refused(
        options.clone().adjust(-255),
        0,
        &["`adjust` is -255", "0 bytes"],
    );
    options.clone().adjust(-254).build(Limits::new()).unwrap();
    assert_refused(
        options.clone().counts(Counts::Frame).adjust(-254),
        0,
        &["`adjust`"],
    );
    assert_refused(
        StructHeaderOptions::new("!Q").adjust(i64::MAX),
        0,
        &["memory"],
    );
    // Whatever the limit: lengths below the adjustment come as negative numbers.
    StructHeaderOptions::new("!q")
        .adjust(i64::MAX)
        .build(Limits::new())
        .unwrap();
}

#[test]
fn constants_are_as_many_as_the_other_items_and_fit_them() {
    let options = StructHeaderOptions::new("!4sBxH");
    for constants in [vec![], vec![Constant::Any], vec![Constant::Any; 3]] {
        let said = format!("{} entries", constants.len());
        let options = options.clone().constants(constants);
        assert_refused(options, 0, &["`constants`", &said, "2 items", "\"any\""]);
    }
    let with = |magic: Constant, version: Constant| options.clone().constants([magic, version]);
    assert_refused(
        with("MAGIC".into(), Constant::Any),
        2,
        &["item 0", "4 bytes at most"],
    );
    assert_refused(
        with(Constant::Any, 256_u16.into()),
        3,
        &["item 1", "0 to 255", "256"],
    );
    assert_refused(with(Constant::Any, (-1_i8).into()), 3, &["0 to 255", "-1"]);
    assert_refused(with(Constant::Any, 1.5.into()), 3, &["an integer", "1.5"]);
    assert_refused(with(7_u8.into(), Constant::Any), 2, &["a string", "7"]);
    with("MAG".into(), 255_u8.into())
        .build(Limits::new())
        .unwrap();
    // The item that holds the length has no entry, wherever it stands.
    let first = StructHeaderOptions::new("!HB?d").length(0);
    let all = [1_u8.into(), true.into(), 0.5.into()];
    first.clone().constants(all).build(Limits::new()).unwrap();
    assert_refused(
        first.constants([1_u8.into(), 2_u8.into(), 0.5.into()]),
        3,
        &["true or false"],
    );
}

#[test]
fn a_file_can_say_everything() {
    let text = r#"
        format = "!4sBB?dxI4sH"
        length = 5
        counts = "frame"
        adjust = -3
        constants = ["any", 7, { hex = "" }, true, "any", { hex = "00ff00fe" }, "any"]
        strict_pad = true
        strip = 2
    "#;
    let options: StructHeaderOptions = toml::from_str(text).unwrap();
    let constants = [
        Constant::Any,
        Constant::Is(Value::Int(7)),
        "".into(),
        true.into(),
        Constant::Any,
        Constant::Is(Value::Bytes(Bytes::from_static(b"\0\xff\0\xfe"))),
        Constant::Any,
    ];
    let expected = StructHeaderOptions::new("!4sBB?dxI4sH")
        .length(5)
        .counts(Counts::Frame)
        .adjust(-3)
        .constants(constants)
        .strict_pad(true)
        .strip(2);
    assert_eq!(format!("{options:?}"), format!("{expected:?}"));
    let error = refusal(options, Limits::new());
    assert!(
        error
            .to_string()
            .contains("item 2 of the header, `B` takes"),
        "{error}"
    );

    let empty: StructHeaderOptions = toml::from_str("").unwrap();
    assert_eq!(
        format!("{empty:?}"),
        format!("{:?}", StructHeaderOptions::default())
    );
    let numbers: StructHeaderOptions = toml::from_str("constants = [-1, 0.5, inf]").unwrap();
    let expected = [(-1_i8).into(), 0.5.into(), f64::INFINITY.into()];
    let expected = StructHeaderOptions::default().constants(expected);
    assert_eq!(format!("{numbers:?}"), format!("{expected:?}"));
}

#[test]
fn a_slip_in_a_file_is_named() {
    for (text, mentions) in [
        ("formt = \"!I\"", &["formt", "format", "strict_pad"][..]),
        ("counts = \"header\"", &["header", "payload", "frame"]),
        ("length = -1", &["-1"]),
        ("length = [0, 1]", &["length"]),
        ("constants = [[1]]", &["any"]),
        ("constants = [{ hex = \"0\" }]", &["hex"]),
        ("constants = [{ dec = \"0\" }]", &["dec", "hex"]),
    ] {
        let error = toml::from_str::<StructHeaderOptions>(text)
            .unwrap_err()
            .to_string();
        for mention in mentions {
            assert!(error.contains(mention), "{mention:?} is not in: {error}");
        }
    }
}

#[test]
fn f26_a_bad_format_is_refused_with_its_position() {
    assert_refused(
        StructHeaderOptions::new("!HZ"),
        2,
        &["`format`", "'Z'", "x c b B"],
    );
    assert_eq!(StructHeader::new("!H3").unwrap_err().offset(), 2);
}
