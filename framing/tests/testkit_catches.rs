//! The laws themselves: framings with one promise broken each are found out, by the right law.

mod broken {
    pub(crate) mod ack;
    pub(crate) mod digits;
    pub(crate) mod marked;
    pub(crate) mod tagged;
}

use std::panic::{AssertUnwindSafe, catch_unwind};

use broken::{ack, digits, marked, tagged};
use bytes::Bytes;
use framing::{
    Framing,
    testkit::{Law, Laws},
};

fn frames() -> Vec<Bytes> {
    ["", "hello", "a|b!", "2:x", "a longer one"]
        .map(Bytes::from)
        .to_vec()
}

/// What the laws say of these framings: the first line names the law.
fn verdict<F: Framing>(laws: &Laws<impl Fn() -> F>) -> Option<String> {
    catch_unwind(AssertUnwindSafe(|| laws.check()))
        .err()
        .map(|panic| *panic.downcast::<String>().expect("a panic with a text"))
}

fn assert_caught<F: Framing>(laws: &Laws<impl Fn() -> F>, law: Law, saying: &str) {
    let said = verdict(laws).expect("it is not found out");
    assert!(said.starts_with(&format!("{law}: ")), "not {law}: {said}");
    assert!(said.contains(saying), "it does not say `{saying}`: {said}");
    assert!(said.contains("\n  what to do: "), "no remedy: {said}");
}

macro_rules! catches {
    ($kind:ident: $($test:ident, $fault:ident => $law:ident, $saying:expr;)*) => {$(
        #[test]
        fn $test() {
            let make = || $kind::make($kind::Fault::$fault);
            assert_caught(&Laws::new(make, &frames()), Law::$law, $saying);
        }
    )*};
}

catches! { digits:
    s01_a_need_that_is_one_too_much, NeedsOneMore => HonestSteps,
        "`Need";
    a_need_of_nothing, NeedsNothing => HonestSteps,
        "asks for none";
    a_header_without_a_bound, UnboundedDigits => Bounded,
        r#"b"" and then b"0" again and again"#;
    f22_empty_frames_without_end, NoFloodLimit => Flood,
        r#"b"0:" comes 65536 times"#;
    empty_frames_that_are_an_error_each, SkipsFlood => Flood,
        "no final error";
    a_limit_that_nobody_looks_at, NoLimit => Limits,
        "over the limit";
    f24_a_limit_that_cuts_a_frame_in_two, JudgesTwice => Limits,
        "the limit falls to";
    a_bad_frame_skipped_at_the_wrong_place, SkipsTheHeaderOnly => ErrorsAreFinal,
        "had to come after the error";
    an_error_for_ever, SkipsNothing => HonestSteps,
        "without consuming";
    the_last_bytes_dropped_at_the_end, DropsTheRest => End,
        r#"into a frame: [End] came out of b"1""#;
    a_cut_off_frame_for_a_frame, EmitsTheRest => End,
        "into a frame";
    more_needed_after_the_end, NeedsAfterTheEnd => End,
        "`decode_eof` answers";
    truncated_at_an_unknown_place, PointsNowhere => End,
        "behind the last byte";
    state_lost_when_called_again, ForgetsWhenRepeated => HonestSteps,
        "repeated without new bytes";
    s11_patience_that_ends, GivesUp => Cancel,
        "gave up";
    more_consumed_than_there_is, ConsumesAhead => HonestSteps,
        "more than there is";
    one_byte_that_panics, Panics => AnyBytes,
        "the framing panics: a fault\n  fed with [b\"?\"]";
    an_error_that_depends_on_the_cut, JudgesWhatHasCome => AnyBytes,
        "the cut changes";
    something_written_before_the_refusal, WritesThenRefuses => AllOrNothing,
        "bytes are written for the refused";
}

catches! { marked:
    a_payload_that_contains_the_mark, NoCheckOnEncode => ReadBack,
        r#"b"|!" is written, and not read back"#;
    d09_everything_searched_again, Quadratic => Linear,
        "a byte late";
    everything_searched_for_each_frame, LooksAtAll => Linear,
        "others behind it";
    s01_half_a_mark_forgotten, ForgetsHalfAMark => RoundTrip,
        r#"fed with [b"|", b"!"]"#;
    two_frames_in_one_read_taken_for_one, SwallowsTheSecond => RoundTrip,
        "";
    s08_bytes_that_wait_and_change_what_is_written, MindsTheQueue => HostileIo,
        "";
    a_promise_to_carry_anything, PromisesTooMuch => ReadBack,
        r#"b"|!" is refused, though `carries` promises it"#;
}

catches! { tagged:
    header_items_taken_by_halves, TakesHalf => AllOrNothing,
        "are refused, and then";
    header_items_that_do_not_arrive, ShowsNothing => AllOrNothing,
        "are received as [Int(0)]";
}

catches! { ack:
    an_announced_frame_that_is_lost, LosesTheFrame => AllOrNothing,
        "does not come back";
    time_that_decode_takes_for_up, TellsTheTime => Time,
        "`decode`";
    a_deadline_that_stays, StaysAtTheDeadline => Time,
        "the deadline stays";
    answers_that_nobody_expects, DeniesItsAnswers => HonestSteps,
        "`is_interactive`";
}

/// Refusals are told apart by what must be refused.
#[test]
fn refusals_that_leave_something_behind() {
    use marked::Fault;
    for (fault, saying) in [
        (
            Fault::WritesThenRefuses,
            "2 bytes are written for the refused",
        ),
        (Fault::KeepsTheFrame, "is not given back"),
        (Fault::RefusesAsMalformed, "with the kind `malformed`"),
        (Fault::ChangedByRefusal, "behind the refused"),
        (Fault::NoCheckOnEncode, "is not refused"),
        (Fault::OtherSlices, "`encode` and `encode_slice`"),
        (Fault::OtherPieces, "`encode` and `encode_prefixed`"),
    ] {
        let laws = Laws::new(|| marked::make(fault), &frames()).refuses("a|!b");
        assert_caught(&laws, Law::AllOrNothing, saying);
    }
}

#[test]
fn a_sample_that_cannot_be_carried() {
    let laws = Laws::new(|| marked::make(marked::Fault::None), &["|!".into()]);
    assert_caught(&laws, Law::AllOrNothing, r#"the sample b"|!" is refused"#);
}

#[test]
fn good_framings_pass() {
    let frames = frames();
    Laws::new(|| digits::make(digits::Fault::None), &frames).check();
    Laws::new(|| marked::make(marked::Fault::None), &frames)
        .refuses("a|!b")
        .check();
    Laws::new(|| tagged::make(tagged::Fault::None), &frames).check();
    Laws::new(|| ack::make(ack::Fault::None), &frames).check();
}

#[test]
fn a_law_that_is_left_out_is_not_run() {
    let make = || digits::make(digits::Fault::NoFloodLimit);
    Laws::new(make, &frames()).except(Law::Flood).check();
}

/// Timers are made in a runtime of the laws' own, which must not mind another one around it.
#[tokio::test]
async fn the_laws_run_inside_a_runtime() {
    Laws::new(|| ack::make(ack::Fault::None), &frames()).check();
}

#[test]
fn laws_have_a_number_and_a_name() {
    assert_eq!(Law::RoundTrip.to_string(), "law 1 (round trip)");
    assert_eq!(Law::Cancel.to_string(), "law 15 (cancel)");
}
