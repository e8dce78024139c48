//! What framings hold themselves, counted by the allocator. One test, alone in its process.

#[path = "broken/digits.rs"]
#[expect(dead_code, reason = "only the faults that take memory are of use here")]
mod digits;

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use framing::{
    Framing, Registry,
    testkit::{Law, Laws},
};
use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// Those that carry text as they come. A new one is a new line.
const NAMES: &[&str] = &[
    "ack-handshake",
    "delimiter",
    r#"{ type = "delimiter", escape = "%", delimiter = "||" }"#,
    r#"{ type = "delimiter", on_error = "skip" }"#,
    "lines",
    "struct-header",
    r#"{ type = "struct-header", on_error = "skip" }"#,
    r#"{ type = "struct-header", format = "!4sI" }"#,
];

fn measured<M: Fn() -> F, F: Framing>(make: M) -> Laws<M> {
    let frames = ["", "hello", "a longer one"].map(Bytes::from);
    // Those that measure no memory are checked elsewhere.
    [
        Law::AnyBytes,
        Law::ReadBack,
        Law::End,
        Law::HostileIo,
        Law::Cancel,
        Law::Linear,
    ]
    .into_iter()
    .fold(Laws::new(make, &frames), Laws::except)
    .heap(|| HEAP.current_usage())
}

fn verdict<F: Framing>(make: impl Fn() -> F) -> String {
    match catch_unwind(AssertUnwindSafe(|| measured(make).check())) {
        Ok(()) => "nothing".to_owned(),
        Err(panic) => *panic.downcast().expect("a panic with a text"),
    }
}

#[test]
fn f21_f23_memory_follows_what_has_come() {
    let registry = Registry::default();
    for name in NAMES {
        let factory = registry.parse(name).unwrap();
        let said = verdict(|| factory.make());
        assert_eq!(said, "nothing", "{name}");
    }

    let said = verdict(|| digits::make(digits::Fault::Reserves));
    assert!(said.starts_with("law 3 (limits first): "), "{said}");
    assert!(said.contains("of which 64 have come"), "{said}");
    let said = verdict(|| digits::make(digits::Fault::KeepsACopy));
    assert!(said.starts_with("law 8 (small when idle): "), "{said}");
}
