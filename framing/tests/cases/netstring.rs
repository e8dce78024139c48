//! Netstrings: F01 to F28 where they apply, and what a length must not look like.

use crate::{
    cases, refused,
    script::{Case, case},
};

const TEN: &str = r#"{ type = "netstring", max_frame = 10 }"#;
const TEN_SKIP: &str = r#"{ type = "netstring", max_frame = 10, on_error = "skip" }"#;

fn evil(on_error: &str) -> Case {
    // The inner netstring is in the body of the frame that is too long.
    case(&format!(
        r#"{{ type = "netstring", max_frame = 16, on_error = "{on_error}" }}"#
    ))
    .read(b"32:AA4:EVIL,")
    .read([b'x'; 23])
    .read(b",4:good,")
    .eof()
}

cases! {
    the_example_of_the_specification:
        case("netstring").send(b"hello world!").read(b"12:hello world!,").eof()
            .gives(["frame hello world!", "end"])
            .writes([0x31, 0x32, 0x3a, 0x68, 0x65, 0x6c, 0x6c, 0x6f, 0x20, 0x77, 0x6f, 0x72, 0x6c,
                0x64, 0x21, 0x2c]);
    the_empty_one_of_the_specification:
        case("netstring").send(b"").read(b"0:,").eof().gives(["frame ", "end"]).writes(b"0:,");
    a_netstring_in_a_netstring:
        case("netstring").send(b"5:hello,").read(b"8:5:hello,,").eof()
            .gives(["frame 5:hello,", "end"]).writes(b"8:5:hello,,");

    f01_nothing_at_all_is_a_clean_end: case(TEN).eof().gives(["end"]).writes("");
    f02_a_length_alone_is_cut_off: case(TEN).read(b"5:").eof().gives(["truncated body 0 of 5 @2"]);
    f03_half_a_length_is_cut_off: case(TEN).read(b"1").eof().gives(["truncated header 1 of ? @1"]);
    f04_half_a_body_is_cut_off: case(TEN).read(b"5:he").eof().gives(["truncated body 2 of 5 @4"]);
    f04_a_missing_comma_is_cut_off:
        case(TEN).read(b"5:hello").eof().gives(["truncated delimiter 0 of 1 @7"]);
    f04_also_that_of_an_empty_frame:
        case(TEN).read(b"0:").eof().gives(["truncated delimiter 0 of 1 @2"]);
    f05_an_empty_frame_is_a_frame:
        case(TEN).read(b"0:,1:A,").eof().gives(["frame ", "frame A", "end"]);
    f05_an_empty_frame_may_be_forbidden: case(r#"{ type = "netstring", allow_empty = false }"#)
        .read(b"0:,1:A,").eof().gives(["malformed @0"]).says("allow_empty");
    f05_and_skipped: case(r#"{ type = "netstring", allow_empty = false, on_error = "skip" }"#)
        .read(b"0:,1:A,").eof().gives(["malformed @0, skipped", "frame A", "end"]);
    f06_the_limit_itself_is_allowed:
        case(TEN).read(b"10:AAAAAAAAAA,").eof().gives(["frame AAAAAAAAAA", "end"]);
    f06_one_more_is_too_long_without_its_body: case(TEN).read(b"11:").gives(["too-long 11 > 10 @0"]);
    f07_too_long_is_final:
        case(TEN).read(b"11:AAAAAAAAAAA,1:B,").eof().gives(["too-long 11 > 10 @0"]);
    f07_too_long_is_skipped: case(TEN_SKIP).read(b"11:AAAAAAAAAAA,1:B,").eof()
        .gives(["too-long 11 > 10 @0, skipped", "frame B", "end"]);
    f07_but_its_comma_must_be_there: case(TEN_SKIP).read(b"11:AAAAAAAAAAAA,1:B,").eof()
        .gives(["too-long 11 > 10 @0, skipped", "malformed @14"]).says("comma");
    f08_a_skipped_body_is_never_parsed:
        evil("skip").gives(["too-long 32 > 16 @0, skipped", "frame good", "end"]);
    f08_nor_is_that_of_a_final_error: evil("close").gives(["too-long 32 > 16 @0"]);
    a_stream_that_ends_in_a_skipped_body_is_cut_off: case(TEN_SKIP).read(b"11:ABC").eof()
        .gives(["too-long 11 > 10 @0, skipped", "truncated body 3 of 11 @6"]);
    or_behind_it: case(TEN_SKIP).read(b"11:AAAAAAAAAAA").eof()
        .gives(["too-long 11 > 10 @0, skipped", "truncated delimiter 0 of 1 @14"]);
    f10_the_largest_length: case(TEN).read(b"18446744073709551615:")
        .gives(["too-long 18446744073709551615 > 10 @0"]);
    f10_twenty_digits: case(TEN_SKIP).read(b"99999999999999999999:")
        .gives(["too-long 99999999999999999999 > 10 @0"]);
    f10_without_a_limit_to_speak_of:
        case(&format!(r#"{{ type = "netstring", max_frame = {} }}"#, i64::MAX))
            .read(b"18446744073709551615:x")
            .gives([&format!("too-long {} > {} @0", u64::MAX, i64::MAX - 32)]);
    f11_length_and_header_never_overflow:
        case(&format!(r#"{{ type = "netstring", max_frame = {} }}"#, i64::MAX))
            .read(b"9223372036854775775:x").eof()
            .gives(["truncated body 1 of 9223372036854775775 @21"]);
    a06_digits_without_end:
        case(TEN).read([b'9'; 3000]).gives(["too-long 999999999999999999999 > 10 @0"]);
    f20_more_than_the_limit_is_refused: case(r#"{ type = "netstring", max_frame = "1KiB" }"#)
        .send(&[0; 1025]).send(b"x").gives(["unencodable"]).says("1025").gives_back(&[0; 1025])
        .writes(b"1:x,");
    f22_an_endless_run_of_empty_frames_is_a_flood:
        case(r#"{ type = "netstring", max_empty_run = 2, on_error = "skip" }"#)
            .read(b"0:,0:,0:,0:,").eof().gives(["frame ", "frame ", "malformed @6"]).says("flood");
    f27_an_http_request: case("netstring").read(b"GET / HTTP/1.1\r\n").gives(["malformed @0"]);

    a_leading_zero_is_malformed: case("netstring").read(b"05:hello,").gives(["malformed @0"])
        .says("leading zero");
    even_in_front_of_a_zero: case("netstring").read(b"00:,").gives(["malformed @0"]);
    and_it_is_never_skipped: case(TEN_SKIP).read(b"05:hello,1:B,").gives(["malformed @0"]);
    a_length_must_be_there: case("netstring").read(b":,").gives(["malformed @0"]).says("':'");
    a_length_has_no_sign: case("netstring").read(b"+5:hello,").gives(["malformed @0"]);
    a_length_has_no_minus: case("netstring").read(b"1:a,-1:,").gives(["frame a", "malformed @4"]);
    a_length_has_no_space: case("netstring").read(b"5 :hello,").gives(["malformed @1"]);
    a_length_ends_with_a_colon: case("netstring").read(b"5\nhello").gives(["malformed @1"])
        .says(r"'\n'");
    a_frame_ends_with_a_comma: case("netstring").read(b"5:hello;1:B,").gives(["malformed @7"])
        .says("comma");
    and_no_later: case("netstring").read(b"4:hello,").gives(["malformed @6"]);
    also_an_empty_one: case(TEN_SKIP).read(b"0:0:,").gives(["malformed @2"]);
}

#[test]
fn f26_a_limit_of_nothing_is_refused_when_it_is_built() {
    refused(r#"{ type = "netstring", max_frame = 0 }"#, "at least 1");
}
