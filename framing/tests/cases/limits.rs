//! The limits by themselves, as a framing of one's own asks them.

use framing::{ErrorKind, Limits};

fn kind<T>(judged: Result<T, framing::FrameError>) -> Option<ErrorKind> {
    judged.err().map(|error| error.kind())
}

#[test]
fn f20_the_largest_frame_may_still_be_sent() {
    let limits = Limits::new().max_frame(10);
    for (length, refused) in [
        (0, None),
        (1, None),
        (10, None),
        (11, Some(ErrorKind::Unencodable)),
    ] {
        assert_eq!(kind(limits.permit(length)), refused, "{length}");
    }
    let limits = limits.allow_empty(false);
    for (length, refused) in [(0, Some(ErrorKind::Unencodable)), (1, None), (10, None)] {
        assert_eq!(
            kind(limits.permit(length)),
            refused,
            "{length}, where none is empty"
        );
    }
}

#[test]
fn f25_only_a_limit_that_was_chosen_can_be_too_large() {
    let mut default = Limits::new();
    assert_eq!(default.largest(), 16 << 20);
    assert!(default.fit(16 << 20, "this").is_ok());
    assert_eq!(default.largest(), 16 << 20);
    assert!(default.fit(255, "this").is_ok());
    assert_eq!(default.largest(), 255);
    let mut chosen = Limits::new().max_frame(256);
    assert_eq!(kind(chosen.fit(255, "this")), Some(ErrorKind::Config));
    assert_eq!(chosen.largest(), 256);
    assert!(chosen.fit(256, "this").is_ok());
}

#[test]
fn f22_a_frame_with_a_byte_in_it_ends_a_run_of_empty_ones() {
    let mut limits = Limits::new().max_empty_run(2);
    for _ in 0..3 {
        assert_eq!(limits.admit(0u8), Ok(0));
        assert_eq!(limits.admit(0u8), Ok(0));
        assert_eq!(limits.admit(1u8), Ok(1));
    }
    limits.admit(0u8).unwrap();
    limits.admit(0u8).unwrap();
    for _ in 0..3 {
        assert_eq!(kind(limits.admit(0u8)), Some(ErrorKind::Malformed));
    }
}
