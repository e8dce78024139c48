//! Draws pictures as SVG: time runs down, the client at the left, the server at the right.
//!
//! A drawing goes into a page, which has the colours, or into a file of its own, which then has them
//! itself. It names nothing outside of itself but SVG's name space.

use std::fmt::{Display, Write};

use super::{
    Report,
    cures::Cure,
    free_runs::{Run, together},
    owners::{Owner, Piece},
    picture::{Cell, Picture, Row, What, cells},
    tape::Side,
    words::{Lang, clock},
};

/// The width of each drawing; all lengths are in its units.
const WIDTH: f64 = 880.0;
/// Where times end, and the arrow of time is.
const TIME: f64 = 72.0;
const AXIS: f64 = 84.0;
/// Where labels and bytes begin, and how much room these have.
const CLIENT: Lane = Lane {
    label: 98.0,
    bar: 176.0,
    room: 204.0,
};
const SERVER: Lane = Lane {
    label: 420.0,
    bar: 518.0,
    room: 348.0,
};
/// Where the way between both sides is crossed.
const BETWEEN: f64 = 398.0;
const BAR: f64 = 24.0;

/// The colours, for light and for dark surroundings.
pub(super) const COLOURS: &str = "\
.p{--bg:#fff;--ink:#1c2733;--dim:#667685;--line:#c9d3dc;--a:#1f6fb5;--at:#fff;--aw:#d5e7f6;--awt:#14507f;\
--b:#d97a1e;--bt:#fff;--bw:#fbe6cd;--bwt:#85480a;--r:#e5dbf5;--rt:#54358c}\
@media(prefers-color-scheme:dark){.p{--bg:#14181d;--ink:#e4eaf0;--dim:#95a3b0;--line:#3a4550;--a:#55aaf0;\
--at:#05121d;--aw:#17364f;--awt:#b4dafa;--b:#f2a450;--bt:#1e1002;--bw:#4b3214;--bwt:#f9d9ae;--r:#39285a;--rt:#d9c8f7}}\
.p text{font:13px system-ui,-apple-system,'Segoe UI','Noto Sans','Noto Sans CJK SC','PingFang SC','Microsoft YaHei',\
sans-serif;fill:var(--ink)}\
.p .h{font-weight:600}.p .d{fill:var(--dim)}.p .s{fill:var(--dim);font-size:12px}\
.p .c{font:14px ui-monospace,'SFMono-Regular',Menlo,Consolas,'DejaVu Sans Mono',monospace;text-anchor:middle}\
.p .x{font-size:10.5px}.p .e{text-anchor:end}.p .g{fill:var(--bg)}\
.p .l{stroke:var(--line);stroke-width:1.5;fill:none}.p .k{fill:var(--line)}\
.p .w{stroke:var(--dim);stroke-width:1.5;stroke-dasharray:4 3;fill:none}\
.p .a{fill:var(--a)}.p .b{fill:var(--b)}.p .aw{fill:var(--aw)}.p .bw{fill:var(--bw)}.p .r{fill:var(--r)}\
.p text.at{fill:var(--at)}.p text.bt{fill:var(--bt)}.p text.awt{fill:var(--awt)}.p text.bwt{fill:var(--bwt)}\
.p text.rt{fill:var(--rt)}";

struct Lane {
    label: f64,
    bar: f64,
    room: f64,
}

/// A drawing, without what surrounds it.
#[derive(Debug)]
pub(super) struct Drawing {
    title: String,
    height: f64,
    body: String,
}

impl Drawing {
    /// For a page that has [`COLOURS`].
    pub(super) fn inline(&self) -> String {
        let Self {
            title,
            height,
            body,
        } = self;
        let title = escaped(title);
        format!(
            "<svg class=\"p\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{title}\">{body}</svg>"
        )
    }

    /// A file of its own.
    pub(super) fn standalone(&self) -> String {
        let Self {
            title,
            height,
            body,
        } = self;
        let title = escaped(title);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"p\" viewBox=\"0 0 {WIDTH} {height}\" \
             width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\n<title>{title}</title>\n\
             <style>{COLOURS}</style>\n\
             <rect class=\"g\" width=\"{WIDTH}\" height=\"{height}\" rx=\"8\"/>\n{body}</svg>\n"
        )
    }
}

/// Every picture of a report as a file: its name, and its text.
pub(super) fn files(report: &Report, lang: Lang) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, drawing: Drawing| {
        // The same framing may be asked for twice, with other options.
        let taken = |name: &str| files.iter().any(|(other, _)| other == name);
        let mut free = name.to_owned();
        for number in 2.. {
            if !taken(&free) {
                break;
            }
            free = format!("{name}-{number}");
        }
        files.push((free, drawing.standalone()));
    };
    for scene in &report.scenes {
        let picture = Picture::of_scene(scene);
        add(
            &picture.name,
            drawing(&picture, lang.scene(scene.plot), lang),
        );
    }
    add("free-runs", runs(&report.runs, lang));
    for cure in &report.cures {
        let (name, drawing) = of_cure(cure, lang);
        add(&name, drawing);
    }
    files
}

/// Of a framing: its picture's name, and the drawing.
pub(super) fn of_cure(cure: &Cure, lang: Lang) -> (String, Drawing) {
    let picture = Picture::of_trial(&cure.short, &cure.name);
    let title = format!("{}: {}", cure.short.written, lang.verdict(&cure.short));
    let drawing = drawing(&picture, &title, lang);
    (picture.name, drawing)
}

/// Draws a picture.
pub(super) fn drawing(picture: &Picture, title: &str, lang: Lang) -> Drawing {
    let scale = Scale::of(picture);
    let mut body = String::new();
    let mut y = 22.0;
    put(&mut body, CLIENT.label, y, "h", lang.client());
    put(&mut body, SERVER.label, y, "h", lang.server());
    y += 14.0;
    let top = y;
    for row in &picture.rows {
        y += draw_row(&mut body, row, picture, &scale, y, lang);
    }
    let bottom = y + 2.0;
    // Writing to a string cannot fail.
    let _ = write!(
        body,
        "<path class=\"l\" d=\"M{AXIS} {top}V{bottom}\"/>\
         <path class=\"k\" d=\"M{} {bottom}h8l-4 8z\"/>",
        AXIS - 4.0
    );
    Drawing {
        title: title.to_owned(),
        height: bottom + 16.0,
        body,
    }
}

/// How wide a byte is.
struct Scale {
    /// Where each byte is drawn: what all cells are stretched by. Else the width of one byte.
    factor: f64,
    one_by_one: bool,
}

impl Scale {
    fn of(picture: &Picture) -> Self {
        let one_by_one = picture.is_one_by_one();
        let mut scale = Self {
            factor: 1.0,
            one_by_one,
        };
        let widest = |side| {
            let rows = picture.rows.iter().filter(|row| row.side == side);
            rows.map(|row| row.pieces.iter().map(|piece| scale.width(piece)).sum())
                .fold(1.0, f64::max)
        };
        let fitting = (CLIENT.room / widest(Side::Client)).min(SERVER.room / widest(Side::Server));
        scale.factor = if one_by_one {
            fitting.min(1.0)
        } else {
            fitting
        };
        scale
    }

    fn width(&self, piece: &Piece) -> f64 {
        if self.one_by_one {
            return cells(&piece.bytes).map(|cell| self.cell(&cell)).sum();
        }
        // However few bytes, they can be seen.
        (piece.bytes.len() as f64 * self.factor).max(4.0)
    }

    fn cell(&self, cell: &Cell) -> f64 {
        let units = match cell {
            Cell::Letter(_) => 11.0,
            Cell::Hex(_) => 17.0,
        };
        units * self.factor
    }
}

/// Draws a row at `y`; how high it is.
fn draw_row(
    body: &mut String,
    row: &Row,
    picture: &Picture,
    scale: &Scale,
    y: f64,
    lang: Lang,
) -> f64 {
    let lane = match row.side {
        Side::Client => &CLIENT,
        Side::Server => &SERVER,
    };
    let middle = y + BAR / 2.0;
    if let Some(at) = row.at {
        put(body, TIME, middle + 4.5, "s e", &clock(at));
        let _ = write!(
            body,
            "<circle class=\"k\" cx=\"{AXIS}\" cy=\"{middle}\" r=\"3\"/>"
        );
    }
    let class = if row.pieces.is_empty() { "d" } else { "" };
    put(body, lane.label, middle + 4.5, class, &lang.label(row));
    let mut x = lane.bar;
    for piece in &row.pieces {
        x = draw_piece(body, piece, picture, scale, x, y);
    }
    if row.what == What::Waiting && !row.pieces.is_empty() {
        let _ = write!(
            body,
            "<rect class=\"w\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"4\"/>",
            round(lane.bar - 4.0),
            y - 4.0,
            round(x - lane.bar + 8.0),
            BAR + 8.0
        );
    }
    draw_arrow(body, row, x, middle);
    match lang.note(row, &picture.messages) {
        Some(note) if row.pieces.is_empty() => {
            put(body, lane.bar, middle + 4.5, "s", &note);
            BAR + 10.0
        }
        Some(note) => {
            let below = y
                + BAR
                + if row.what == What::Waiting {
                    19.0
                } else {
                    15.0
                };
            put(body, lane.bar, below, "s", &note);
            BAR + 28.0
        }
        None => BAR + 10.0,
    }
}

/// Draws bytes of one kind at `x`; where they end.
fn draw_piece(
    body: &mut String,
    piece: &Piece,
    picture: &Picture,
    scale: &Scale,
    x: f64,
    y: f64,
) -> f64 {
    let class = class(piece);
    let width = scale.width(piece);
    let (left, wide) = (round(x), round(width - 0.8));
    let _ = write!(
        body,
        "<rect class=\"{class}\" x=\"{left}\" y=\"{y}\" width=\"{wide}\" height=\"{BAR}\" rx=\"2\"/>"
    );
    let middle = y + BAR / 2.0 + 4.5;
    if scale.one_by_one {
        let mut at = x;
        let mut after_hex = false;
        for cell in cells(&piece.bytes) {
            let wide = scale.cell(&cell);
            let (kind, size, text) = match cell {
                Cell::Letter(letter) => ("c", 14.0, letter.to_string()),
                Cell::Hex(digits) => ("c x", 10.5, digits),
            };
            let is_hex = kind == "c x";
            if is_hex && after_hex {
                // Two digits are a byte, and not four.
                let _ = write!(
                    body,
                    "<rect class=\"g\" x=\"{}\" y=\"{y}\" width=\"1\" height=\"{BAR}\"/>",
                    round(at - 0.9)
                );
            }
            after_hex = is_hex;
            let size = match scale.factor < 1.0 {
                true => format!(" style=\"font-size:{}px\"", round(size * scale.factor)),
                false => String::new(),
            };
            let _ = write!(
                body,
                "<text x=\"{}\" y=\"{middle}\" class=\"{kind} {class}t\"{size}>{}</text>",
                round(at + wide / 2.0),
                escaped(&text)
            );
            at += wide;
        }
    } else if width > 56.0 {
        let letter = match piece.owner {
            Owner::Message(number) => picture
                .messages
                .get(number)
                .map_or('?', |(letter, _)| *letter),
            Owner::Answer => '↩',
        };
        let text = format!("{letter} {}", piece.bytes.len());
        put(body, x + width / 2.0, middle, &format!("c {class}t"), &text);
    }
    x + width
}

/// From the one side to the other, for what is sent.
fn draw_arrow(body: &mut String, row: &Row, end_of_bytes: f64, y: f64) {
    if row.what != What::Send {
        return;
    }
    let (from, to, tip) = match row.side {
        Side::Client => (end_of_bytes + 6.0, BETWEEN, -7.0),
        Side::Server => (SERVER.label - 8.0, BETWEEN - 16.0, 7.0),
    };
    if (to - from).abs() > 8.0 {
        let _ = write!(
            body,
            "<path class=\"l\" d=\"M{} {y}H{}\"/><path class=\"k\" d=\"M{to} {y}l{tip} -4v8z\"/>",
            round(from),
            round(to + tip)
        );
    }
}

/// Draws the free runs: a pair of squares each, joined or apart.
pub(super) fn runs(runs: &[Run], lang: Lang) -> Drawing {
    const IN_A_LINE: usize = 15;
    const STEP: f64 = 54.0;
    const MOST: usize = 20 * IN_A_LINE;
    let counts = lang.counts(together(runs), runs.len());
    let mut body = String::new();
    put(&mut body, 20.0, 26.0, "h", &counts);
    let mut height = 44.0;
    for (number, run) in runs.iter().take(MOST).enumerate() {
        let x = 20.0 + STEP * (number % IN_A_LINE) as f64;
        let y = 44.0 + 34.0 * (number / IN_A_LINE) as f64;
        let gap = if run.together { 0.0 } else { 6.0 };
        for (offset, class, letter) in [(0.0, "a", "A"), (18.0 + gap, "b", "B")] {
            let left = x + offset;
            let _ = write!(
                body,
                "<rect class=\"{class}\" x=\"{left}\" y=\"{y}\" width=\"18\" height=\"20\" rx=\"2\"/>"
            );
            put(
                &mut body,
                left + 9.0,
                y + 15.0,
                &format!("c {class}t"),
                letter,
            );
        }
        height = y + 34.0;
    }
    Drawing {
        title: counts,
        height,
        body,
    }
}

/// How a piece is coloured; with a `t` behind, its letters.
fn class(piece: &Piece) -> &'static str {
    match (piece.owner, piece.wrapping) {
        (Owner::Message(0), false) => "a",
        (Owner::Message(0), true) => "aw",
        (Owner::Message(_), false) => "b",
        (Owner::Message(_), true) => "bw",
        (Owner::Answer, _) => "r",
    }
}

fn put(body: &mut String, x: f64, y: f64, class: &str, text: &str) {
    let _ = write!(
        body,
        "<text x=\"{}\" y=\"{y}\"{}>{}</text>",
        round(x),
        attribute(class),
        escaped(text)
    );
}

fn attribute(class: &str) -> String {
    match class {
        "" => String::new(),
        _ => format!(" class=\"{class}\""),
    }
}

/// To a tenth, so that the numbers stay short.
fn round(length: f64) -> f64 {
    (length * 10.0).round() / 10.0
}

/// Text as it may stand in HTML and XML.
pub(super) fn escaped(text: &str) -> impl Display {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
