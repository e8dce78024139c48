//! What a picture shows, before it is drawn: rows in the order of time, each with the bytes of one call.

use std::time::Duration;

use super::{
    cures::Trial,
    owners::{Owner, Owners, Piece},
    scene::{Message, Scene},
    tape::{Call, Event, Record, Side},
};

/// The most bytes in a row that are drawn one by one; with more, a block stands for several.
const ONE_BY_ONE: usize = 48;

/// The most rows; of more, those in the middle are left out.
const MOST_ROWS: usize = 16;

/// A picture of one conversation.
#[derive(Clone, Debug)]
pub(super) struct Picture {
    /// As in the names of files.
    pub(super) name: String,
    pub(super) rows: Vec<Row>,
    /// The letters and sizes of the messages.
    pub(super) messages: Vec<(char, usize)>,
    /// The bytes in the longest row.
    pub(super) widest: usize,
}

/// A row of a picture.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// Since the conversation began; none where nothing happened at an instant.
    pub(super) at: Option<Duration>,
    pub(super) side: Side,
    pub(super) what: What,
    pub(super) pieces: Vec<Piece>,
}

/// What a row shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A `send`.
    Send,
    /// A `recv` that gave bytes.
    Recv,
    /// The client closes its side.
    Close,
    /// A `recv` that gave nothing.
    End,
    /// What waits in the input buffer.
    Waiting,
    /// A `recv` that lost the rest of a datagram: so many bytes.
    CutOff(usize),
    /// A datagram that never came.
    Lost,
    /// So many rows are not shown.
    LeftOut(usize),
    /// A message as the framing hands it out.
    Frame,
}

impl Row {
    /// How many bytes.
    pub(super) fn bytes(&self) -> usize {
        self.pieces.iter().map(|piece| piece.bytes.len()).sum()
    }

    /// How many bytes of each message, in the order of the stream.
    pub(super) fn shares(&self) -> Vec<(usize, usize)> {
        let mut shares: Vec<(usize, usize)> = Vec::new();
        for piece in &self.pieces {
            let Owner::Message(number) = piece.owner else {
                continue;
            };
            match shares.last_mut() {
                Some((last, bytes)) if *last == number => *bytes += piece.bytes.len(),
                _ => shares.push((number, piece.bytes.len())),
            }
        }
        shares
    }
}

impl Picture {
    /// Of a scene.
    pub(super) fn of_scene(scene: &Scene) -> Self {
        let rows = if scene.plot.is_udp() {
            datagram_rows(scene)
        } else {
            stream_rows(&scene.record, &Owners::bare(&scene.messages))
        };
        Self::new(scene.plot.name().to_owned(), rows, &scene.messages)
    }

    /// Of messages in a framing, with the frames that came out.
    pub(super) fn of_trial(trial: &Trial, name: &str) -> Self {
        let stream = trial.record.bytes(Side::Client, Call::Send);
        let owners = Owners::framed(&stream, &trial.ends, &trial.messages);
        let mut rows = stream_rows(&trial.record, &owners);
        let bare = Owners::bare(&trial.messages);
        let mut at = 0;
        for (number, frame) in trial.frames.iter().enumerate() {
            // Where boundaries are kept, a frame is its message, whatever pads it.
            let pieces = match trial.messages.get(number) {
                Some(message) if frame.starts_with(&message.content) => {
                    framed_pieces(number, message, frame, &trial.messages)
                }
                _ => bare.pieces(at, frame),
            };
            at += frame.len();
            rows.push(Row {
                at: None,
                side: Side::Server,
                what: What::Frame,
                pieces,
            });
        }
        Self::new(format!("framing-{name}"), rows, &trial.messages)
    }

    fn new(name: String, rows: Vec<Row>, messages: &[Message]) -> Self {
        let rows = shortened(rows);
        let sizes = messages.iter();
        Self {
            name,
            widest: rows.iter().map(Row::bytes).max().unwrap_or_default(),
            rows,
            messages: sizes
                .map(|message| (message.letter, message.content.len()))
                .collect(),
        }
    }

    /// Whether each byte is drawn.
    pub(super) fn is_one_by_one(&self) -> bool {
        self.widest <= ONE_BY_ONE
    }
}

/// The pieces of a frame that begins with its message: what follows is padding, or the next message.
fn framed_pieces(number: usize, message: &Message, frame: &[u8], all: &[Message]) -> Vec<Piece> {
    let (own, rest) = frame.split_at(message.content.len());
    let mut pieces = Owners::of_message(number, own);
    match all.get(number + 1) {
        Some(next) if !rest.is_empty() && next.content.starts_with(rest) => {
            pieces.extend(Owners::of_message(number + 1, rest));
        }
        _ if rest.is_empty() => {}
        _ => pieces.push(Piece {
            owner: Owner::Message(number),
            wrapping: true,
            bytes: rest.to_vec(),
        }),
    }
    pieces
}

fn stream_rows(record: &Record, owners: &Owners) -> Vec<Row> {
    let (mut sent, mut received) = (0, 0);
    let mut looked = record.looked;
    let mut rows = Vec::new();
    let stream = record.bytes(Side::Client, Call::Send);
    for event in &record.events {
        let first_read = event.side == Side::Server && event.call == Call::Recv;
        if let Some(looked) = looked.take_if(|_| first_read) {
            let waiting = stream.get(..looked.waiting).unwrap_or(&stream);
            rows.push(Row {
                at: Some(looked.at),
                side: Side::Server,
                what: What::Waiting,
                pieces: owners.pieces(0, waiting),
            });
        }
        let pieces = match (event.side, event.call) {
            (_, Call::Close) => Vec::new(),
            (Side::Client, Call::Send) => placed(owners, &mut sent, event),
            (Side::Server, Call::Recv) => placed(owners, &mut received, event),
            _ => Owners::answer(&event.bytes),
        };
        rows.push(row(event, pieces));
    }
    rows
}

fn placed(owners: &Owners, at: &mut usize, event: &Event) -> Vec<Piece> {
    let pieces = owners.pieces(*at, &event.bytes);
    *at += event.bytes.len();
    pieces
}

fn row(event: &Event, pieces: Vec<Piece>) -> Row {
    let what = match event.call {
        Call::Send => What::Send,
        Call::Close => What::Close,
        Call::Recv if event.is_end() => What::End,
        Call::Recv => What::Recv,
    };
    Row {
        at: Some(event.at()),
        side: event.side,
        what,
        pieces,
    }
}

/// Datagrams on loopback stay in order, so the n-th that comes is the n-th that went.
fn datagram_rows(scene: &Scene) -> Vec<Row> {
    let mut rows = Vec::new();
    let (mut sent, mut received) = (0, 0);
    for event in &scene.record.events {
        let number = match event.side {
            Side::Client => &mut sent,
            Side::Server => &mut received,
        };
        let mut row = row(event, Owners::of_message(*number, &event.bytes));
        let whole = scene.messages.get(*number);
        let whole = whole.map_or(0, |message| message.content.len());
        if event.side == Side::Server && event.bytes.len() < whole {
            row.what = What::CutOff(whole - event.bytes.len());
        }
        *number += 1;
        rows.push(row);
    }
    for number in received..sent {
        rows.push(Row {
            at: None,
            side: Side::Server,
            what: What::Lost,
            pieces: Owners::of_message(number, b""),
        });
    }
    rows
}

fn shortened(mut rows: Vec<Row>) -> Vec<Row> {
    if rows.len() > MOST_ROWS {
        let shown_at_the_end = MOST_ROWS / 3;
        let first = MOST_ROWS - shown_at_the_end - 1;
        let count = rows.len() - first - shown_at_the_end;
        let left_out = Row {
            at: None,
            side: Side::Server,
            what: What::LeftOut(count),
            pieces: Vec::new(),
        };
        rows.splice(first..first + count, [left_out]);
    }
    rows
}

/// A byte in a picture where each is drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    /// As it would be typed.
    Letter(char),
    /// In two digits.
    Hex(String),
}

/// Bytes in a row, each drawn.
pub(super) fn cells(bytes: &[u8]) -> impl Iterator<Item = Cell> {
    let mut binary = false;
    bytes.iter().map(move |byte| {
        let cell = match byte {
            b' ' => Cell::Letter('·'),
            // Behind a zero it ends no line, but is a part of a number.
            b'\n' if !binary => Cell::Letter('⏎'),
            b'!'..=b'~' => Cell::Letter(char::from(*byte)),
            _ => Cell::Hex(format!("{byte:02X}")),
        };
        binary = matches!(cell, Cell::Hex(_));
        cell
    })
}

/// How many blocks stand for `bytes`, where `most` stand for the longest row: at least one for any.
pub(super) fn blocks(bytes: usize, widest: usize, most: usize) -> usize {
    match bytes {
        0 => 0,
        _ => (bytes * most).div_ceil(widest.max(1)).max(1),
    }
}
