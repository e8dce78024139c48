//! What a login leaves in the log. Alone in its process: who hears a record is decided once for all
//! threads, so a test beside it could make the log deaf.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use services::login::{Authenticator, HashCost, MemoryAccounts, Password, Right, Source};

/// Keeps what is logged, each record a line.
#[derive(Clone, Default)]
struct Records(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Records {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        struct Line(String);
        impl tracing::field::Visit for Line {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
                self.0.push_str(&format!("{field}={value:?} "));
            }
        }
        if event.metadata().target().starts_with("services") {
            let mut line = Line(String::new());
            event.record(&mut line);
            self.0.lock().unwrap().push(line.0);
        }
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

fn password(text: &str) -> Password {
    Password::new(text.to_owned()).unwrap()
}

#[tokio::test]
async fn svc_b18_svc_b19_each_try_is_one_record_without_secrets_or_tricks() {
    let records = Records::default();
    tracing::subscriber::set_global_default(records.clone()).unwrap();
    let accounts = MemoryAccounts::new()
        .with("plain", password("secret"), [Right::Exec])
        .unwrap();
    let authenticator = Authenticator::new(accounts).hash_cost(HashCost::default());
    let tricks = [
        "a\nb",
        "a\r\nb",
        "\u{1b}[2J",
        "a\0b",
        "a\u{202e}b",
        "} {\"level\":\"info\"",
        &"x".repeat(64 << 10),
    ];
    for name in tricks {
        let tried = authenticator.authenticate(name, password("hunter2"), Source::LOCAL);
        assert!(tried.await.is_err());
    }
    let right = authenticator.authenticate("plain", password("secret"), Source::LOCAL);
    right.await.unwrap();

    let records = records.0.lock().unwrap();
    assert_eq!(records.len(), tricks.len() + 1, "{records:?}");
    for record in records.iter() {
        assert!(record.len() < 512, "{record}");
        let hidden = |c: char| c.is_control() || c == '\u{202e}';
        assert!(!record.contains(hidden), "{record:?}");
        assert!(
            !record.contains("hunter2") && !record.contains("secret"),
            "{record}"
        );
    }
}
