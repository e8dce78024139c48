//! Writes the report as one JSON document.
//!
//! ```json
//! {
//!   "program": "sticky", "version": "0.1.0",
//!   "options": { "nodelay": false, "receive_buffer": 131072, "send_buffer": 2626560,
//!                "delay_us": 0, "read_size": 1024, "runs": 30 },
//!   "scenes": [ CONVERSATION with "name", "transport" ("tcp" or "udp") ],
//!   "free_runs": { "runs": 30, "together": 21, "apart": 9, "each": [ CONVERSATION with "together" ] },
//!   "framings": [ { "name": "netstring", "trials": [ CONVERSATION with "framing", "frames",
//!                   "boundaries_kept", "payload_bytes", "sent_bytes", "answered_bytes",
//!                   "overhead_bytes", "round_trips", "error" ] } ]
//! }
//! ```
//!
//! The buffers in `options` are what the system grants, which on Linux is twice what was asked for. A
//! conversation has `messages` (`letter`, `bytes`, `text`), `waiting_bytes` (what lay in the input buffer
//! when a late reader looked, else null) and `events`, in the order of time:
//!
//! ```json
//! { "side": "server", "call": "recv", "asked": 1024, "bytes": 10, "began_us": 41, "ended_us": 95,
//!   "text": "hellosigui", "hex": "68656c6c6f7369677569" }
//! ```
//!
//! `call` is `send`, `recv` or `close`; a `recv` of 0 bytes is the end. Times are microseconds since the
//! conversation began, with fractions. In `text`, bytes that are not printable ASCII are escaped as in Rust.

use std::{fmt::Write, time::Duration};

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    Report,
    cures::{Cure, Trial},
    free_runs::{Run, together},
    scene::{Message, Scene, short},
    tape::{Call, Event, Record, Side},
};

/// The whole report.
pub(super) fn document(report: &Report) -> Value {
    let together = together(&report.runs);
    json!({
        "program": "sticky",
        "version": env!("CARGO_PKG_VERSION"),
        "options": {
            "nodelay": report.granted.nodelay,
            "receive_buffer": report.granted.receive_buffer,
            "send_buffer": report.granted.send_buffer,
            "delay_us": micros(report.play.delay),
            "read_size": report.play.read_size,
            "runs": report.runs.len(),
        },
        "scenes": report.scenes.iter().map(scene).collect::<Vec<_>>(),
        "free_runs": {
            "runs": report.runs.len(),
            "together": together,
            "apart": report.runs.len() - together,
            "each": report.runs.iter().map(run).collect::<Vec<_>>(),
        },
        "framings": report.cures.iter().map(cure).collect::<Vec<_>>(),
    })
}

fn scene(scene: &Scene) -> Value {
    let mut value = conversation(&scene.messages, &scene.record);
    value["name"] = scene.plot.name().into();
    value["transport"] = if scene.plot.is_udp() { "udp" } else { "tcp" }.into();
    value
}

fn run(run: &Run) -> Value {
    let mut value = conversation(&short(), &run.record);
    value["together"] = run.together.into();
    value
}

fn cure(cure: &Cure) -> Value {
    json!({ "name": cure.name, "trials": [trial(&cure.short), trial(&cure.long)] })
}

fn trial(trial: &Trial) -> Value {
    let mut value = conversation(&trial.messages, &trial.record);
    let frames: Vec<_> = trial.frames.iter().map(content).collect();
    value["framing"] = trial.written.as_str().into();
    value["frames"] = frames.into();
    value["boundaries_kept"] = trial.keeps_boundaries().into();
    value["payload_bytes"] = trial.payload().into();
    value["sent_bytes"] = trial.sent().into();
    value["answered_bytes"] = trial.answered().into();
    value["overhead_bytes"] = trial.overhead().into();
    value["round_trips"] = trial.record.round_trips().into();
    value["error"] = trial.refused.as_deref().into();
    value
}

fn conversation(messages: &[Message], record: &Record) -> Value {
    let message = |message: &Message| {
        let mut value = content(&message.content);
        value["letter"] = message.letter.to_string().into();
        value
    };
    json!({
        "messages": messages.iter().map(message).collect::<Vec<_>>(),
        "waiting_bytes": record.looked.map(|looked| looked.waiting),
        "events": record.events.iter().map(event).collect::<Vec<_>>(),
    })
}

fn event(event: &Event) -> Value {
    let mut value = content(&event.bytes);
    value["side"] = match event.side {
        Side::Client => "client",
        Side::Server => "server",
    }
    .into();
    value["call"] = match event.call {
        Call::Send => "send",
        Call::Recv => "recv",
        Call::Close => "close",
    }
    .into();
    value["asked"] = event.asked.into();
    value["began_us"] = micros(event.began).into();
    value["ended_us"] = micros(event.ended).into();
    value
}

fn content(bytes: &Bytes) -> Value {
    let hex = bytes.iter().fold(String::new(), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    json!({ "bytes": bytes.len(), "text": bytes.escape_ascii().to_string(), "hex": hex })
}

fn micros(duration: Duration) -> f64 {
    // Of nanoseconds, as much as a float keeps exactly for weeks.
    (duration.as_secs_f64() * 1e9).round() / 1e3
}
