//! Known faults and attacks, each by its number, at every split of its bytes, on a machine and
//! over a connection.

mod ack_handshake;
mod cobs;
mod delimiter;
mod fixed;
mod interleavings;
mod json_header;
mod length_field;
mod limits;
mod machine;
mod need;
mod netstring;
mod new_limit;
mod pair;
mod script;
mod slip;
mod struct_header;
mod varint;

use framing::{ErrorKind, Registry};

/// One test for each row, so that `cargo test f10` finds it.
macro_rules! cases {
    ($($name:ident: $case:expr;)*) => {$(
        #[test]
        fn $name() {
            $case.run();
        }
    )*};
}
pub(crate) use cases;

/// Options that must be refused, and part of what is said.
#[track_caller]
fn refused(framing: &str, says: &str) {
    match Registry::default().parse(framing) {
        Ok(_) => panic!("{framing} is not refused"),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Config, "{framing}");
            let text = error.to_string();
            assert!(
                text.contains(says),
                "{framing}: {text:?} does not say {says:?}"
            );
        }
    }
}
