//! Lengths of seven bits a byte: F01 to F28 where they apply, and what is no varint.

use framing::{ErrorKind, Limits, Machine, VarintOptions};

use crate::{
    cases, refused,
    script::{Case, case},
};

const TEN: &str = r#"{ type = "varint", max_frame = 10 }"#;
const TEN_SKIP: &str = r#"{ type = "varint", max_frame = 10, on_error = "skip" }"#;
const CANONICAL: &str = r#"{ type = "varint", canonical = true, on_error = "skip" }"#;
const LARGEST: [u8; 10] = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];

fn evil(on_error: &str) -> Case {
    // The inner length and `EVIL` are in the body of the frame that is too long.
    case(&format!(
        r#"{{ type = "varint", max_frame = 16, on_error = "{on_error}" }}"#
    ))
    .read(b"\xac\x02AA\x04EVIL")
    .read([4; 293])
    .read(b"\x04good")
    .eof()
}

cases! {
    the_example_of_the_protobuf_documentation:
        case("varint").send(&[b'x'; 300]).read([&[0xac, 0x02][..], &[b'x'; 300]].concat()).eof()
            .gives(["frame of 300", "end"]).writes([&[0xac, 0x02][..], &[b'x'; 300]].concat());
    a_protobuf_message_written_delimited:
        // `Test1 { a = 150 }` of the same documentation.
        case("varint").send(b"\x08\x96\x01").read(b"\x03\x08\x96\x01").eof()
            .gives([r"frame \x08\x96\x01", "end"]).writes(b"\x03\x08\x96\x01");
    the_longest_length_of_one_byte: case("varint").send(&[b'x'; 127]).eof().gives(["end"])
        .writes([&[0x7f][..], &[b'x'; 127]].concat());
    the_shortest_length_of_two: case("varint").send(&[b'x'; 128]).eof().gives(["end"])
        .writes([&[0x80, 0x01][..], &[b'x'; 128]].concat());
    the_example_of_the_dwarf_standard: case(TEN).read([0xe5, 0x8e, 0x26])
        .gives(["too-long 624485 > 10 @0"]);

    f01_nothing_at_all_is_a_clean_end: case(TEN).eof().gives(["end"]).writes("");
    f02_a_length_alone_is_cut_off: case(TEN).read(b"\x05").eof().gives(["truncated body 0 of 5 @1"]);
    f03_half_a_length_is_cut_off:
        case(TEN).read(b"\xac\x82").eof().gives(["truncated header 2 of ? @2"]);
    f04_half_a_body_is_cut_off: case(TEN).read(b"\x05he").eof().gives(["truncated body 2 of 5 @3"]);
    f04_behind_two_bytes_too:
        case("varint").read(b"\xac\x02he").eof().gives(["truncated body 2 of 300 @4"]);
    f05_an_empty_frame_is_a_frame: case(TEN).read(b"\0\x01A").eof().gives(["frame ", "frame A", "end"]);
    f05_an_empty_frame_may_be_forbidden: case(r#"{ type = "varint", allow_empty = false }"#)
        .read(b"\0\x01A").eof().gives(["malformed @0"]).says("allow_empty");
    f05_and_skipped: case(r#"{ type = "varint", allow_empty = false, on_error = "skip" }"#)
        .read(b"\0\x80\0\x01A").eof()
        .gives(["malformed @0, skipped", "malformed @1, skipped", "frame A", "end"]);
    f06_the_limit_itself_is_allowed:
        case(TEN).read(b"\x0aAAAAAAAAAA").eof().gives(["frame AAAAAAAAAA", "end"]);
    f06_one_more_is_too_long_without_its_body: case(TEN).read(b"\x0b").gives(["too-long 11 > 10 @0"]);
    f07_too_long_is_final:
        case(TEN).read(b"\x0bAAAAAAAAAAA\x01B").eof().gives(["too-long 11 > 10 @0"]);
    f07_too_long_is_skipped: case(TEN_SKIP).read(b"\x0bAAAAAAAAAAA\x01B").eof()
        .gives(["too-long 11 > 10 @0, skipped", "frame B", "end"]);
    f08_a_skipped_body_is_never_parsed:
        evil("skip").gives(["too-long 300 > 16 @0, skipped", "frame good", "end"]);
    f08_nor_is_that_of_a_final_error: evil("close").gives(["too-long 300 > 16 @0"]);
    a_stream_that_ends_in_a_skipped_body_is_cut_off: case(TEN_SKIP).read(b"\x0bABC").eof()
        .gives(["too-long 11 > 10 @0, skipped", "truncated body 3 of 11 @4"]);
    f10_the_largest_length: case(TEN).read(LARGEST)
        .gives(["too-long 18446744073709551615 > 10 @0"]);
    f10_which_no_stream_can_skip: case(TEN_SKIP).read(LARGEST).read(b"x")
        .gives(["too-long 18446744073709551615 > 10 @0"]);
    f10_without_a_limit_to_speak_of:
        case(&format!(r#"{{ type = "varint", max_frame = {} }}"#, i64::MAX)).read(LARGEST)
            .gives([&format!("too-long {} > {} @0", u64::MAX, i64::MAX - 10)]);
    f11_length_and_header_never_overflow:
        case(&format!(r#"{{ type = "varint", max_frame = {} }}"#, i64::MAX))
            .read([0xf5, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]).read(b"x").eof()
            .gives(["truncated body 1 of 9223372036854775797 @10"]);
    more_than_sixty_four_bits_are_malformed:
        case(TEN_SKIP).read([0xff; 9]).read([0x02]).gives(["malformed @9"]).says("64 bits");
    a_length_of_eleven_bytes_is_malformed:
        case("varint").read([0x80; 9]).read([0x80]).gives(["malformed @9"]);
    f20_more_than_the_limit_is_refused: case(r#"{ type = "varint", max_frame = "1KiB" }"#)
        .send(&[0; 1025]).send(b"x").gives(["unencodable"]).says("1025").gives_back(&[0; 1025])
        .writes(b"\x01x");
    f22_an_endless_run_of_empty_frames_is_a_flood:
        case(r#"{ type = "varint", max_empty_run = 2, on_error = "skip" }"#).read([0; 16]).eof()
            .gives(["frame ", "frame ", "malformed @2"]).says("flood");
    f22_a_byte_ends_the_run:
        case(r#"{ type = "varint", max_empty_run = 2 }"#).read(b"\0\0\x01A\0\0\x01B\0\0\0")
            .gives(["frame ", "frame ", "frame A", "frame ", "frame ", "frame B", "frame ",
                "frame ", "malformed @10"]);
    f27_a_tls_hello: case(TEN).read(b"\x16\x03\x01\x02\0\x01").gives(["too-long 22 > 10 @0"]);

    a_length_may_be_longer_than_it_needs:
        case(TEN).read(b"\x80\0\x82\x80\0hi").eof().gives(["frame ", "frame hi", "end"]);
    also_as_long_as_it_can_be:
        case(TEN).read([0x80; 9]).read(b"\0\x82\x80\x80\x80\x80\x80\x80\x80\x80\0hi").eof()
            .gives(["frame ", "frame hi", "end"]);
    unless_it_must_be_canonical:
        case(CANONICAL).read(b"\x01A\x80\0").gives(["frame A", "malformed @3"]).says("canonical");
    in_three_bytes_too: case(CANONICAL).read(b"\x82\x80\0hi").gives(["malformed @2"]);
    a_single_zero_is_canonical_where_it_is_no_frame:
        case(r#"{ type = "varint", canonical = true, allow_empty = false, on_error = "skip" }"#)
            .read(b"\0\x01A").eof().gives(["malformed @0, skipped", "frame A", "end"]);
    a_single_zero_is_canonical: case(CANONICAL).read(b"\0\x80\x01").read([b'x'; 128]).eof()
        .gives(["frame ", "frame of 128", "end"]);
}

/// So many bytes that say `length`, the last ones nothing if there are more than it needs.
fn length_in(width: usize, length: u64) -> Vec<u8> {
    let digit = |position: usize| (length >> (7 * position)) as u8 & 0x7f;
    let more = |position: usize| u8::from(position + 1 < width) << 7;
    (0..width).map(|at| digit(at) | more(at)).collect()
}

#[test]
fn f10_every_power_of_two_in_every_number_of_bytes() {
    for bit in 0..64 {
        for length in [(1_u64 << bit) - 1, 1 << bit, u64::MAX >> (63 - bit)] {
            let least = (64 - length.leading_zeros()).div_ceil(7).max(1) as usize;
            for width in least..=10 {
                let wire = length_in(width, length);
                for canonical in [false, true] {
                    let options = VarintOptions::default().canonical(canonical);
                    let limits = Limits::new().max_frame(1).allow_empty(false);
                    let mut machine = Machine::new(options.build(limits).unwrap());
                    machine.receive(&wire);
                    let error = match machine.next_frame() {
                        Ok(_) => {
                            assert_eq!((length, canonical && width > least), (1, false));
                            continue;
                        }
                        Err(error) => error,
                    };
                    if canonical && width > least {
                        assert_eq!(error.kind(), ErrorKind::Malformed, "{length} in {width}");
                        assert_eq!(error.offset() as usize, width - 1, "{length} in {width}");
                    } else if length > 0 {
                        assert_eq!(error.declared(), Some(length.into()), "in {width}");
                    }
                }
            }
        }
    }
}

#[test]
fn f26_a_limit_of_nothing_is_refused_when_it_is_built() {
    refused(r#"{ type = "varint", max_frame = 0 }"#, "at least 1");
}
