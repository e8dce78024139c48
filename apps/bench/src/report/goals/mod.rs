//! The goals, and whether a run has met them.

mod check;

pub use self::check::Check;

use self::check::{at_least, at_most, told, worst};
use super::Report;
use crate::{echo::CELLS, stats::Spread};

/// One goal: what is wanted, and what was found.
pub struct Goal {
    pub number: usize,
    pub text: &'static str,
    /// Checks of one kind stand together: the worst of them counts.
    parts: Vec<Vec<Check>>,
}

impl Goal {
    /// What stands for the whole: of each part the worst, and how many were not measured.
    pub fn shown(&self) -> Vec<Check> {
        self.parts.iter().flat_map(|part| worst(part)).collect()
    }

    /// The one of this name, whether it is shown or not.
    pub fn check(&self, what: &str) -> Option<&Check> {
        self.parts.iter().flatten().find(|check| check.what == what)
    }

    /// Whether all of it is met, as far as it was measured.
    pub fn verdict(&self) -> &'static str {
        let shown = self.shown();
        let mut met = shown.iter().filter_map(Check::met).peekable();
        if met.peek().is_none() {
            return "not measured";
        }
        let mut wanted = shown.iter().filter(|check| check.is_wanted());
        let all = wanted.all(|check| check.figure.is_some());
        match (met.all(|met| met), all) {
            (true, true) => "**met**",
            (true, false) => "met as far as measured",
            (false, _) => "not met",
        }
    }
}

const SIZES: [&str; 5] = ["16 B", "64 B", "1 KiB", "4 KiB", "64 KiB"];

/// The echo's cell with the most frames a second.
const BUSIEST: &str = "32x64x64";

/// The hand-written loop that owns its frames, as a service of `Bytes` does.
const OWNING: &str = "raw-bytes";

/// All fourteen.
pub fn goals(report: &Report) -> Vec<Goal> {
    let list = [
        (
            "decode to owned frames next to `split_to().freeze()`",
            owned(report),
        ),
        ("lent frames next to the slice loop", lent(report)),
        (
            "delimited frames next to memchr and `split_to`",
            delimited(report),
        ),
        ("encode from a slice next to a `Vec`", encode(report)),
        (
            "echo of 64 B next to the hand-written loop",
            echo_small(report),
        ),
        (
            "echo of 4 KiB next to the hand-written loop",
            echo_large(report),
        ),
        ("faster than tokio-tower", tokio_tower(report)),
        ("faster than Netty and tarpc", netty_and_tarpc(report)),
        ("the slowest of a hundred", tail(report)),
        ("files next to the plain loop", files(report)),
        ("exec next to posix_spawn", exec(report)),
        ("the ack-handshake next to a hand-written loop", ack(report)),
        (
            "one codec parameter for all framings, in code and from a config string",
            parameter(report),
        ),
        ("memory of an idle connection", idle(report)),
    ];
    list.into_iter()
        .enumerate()
        .map(|(index, (text, parts))| Goal {
            number: index + 1,
            text,
            parts,
        })
        .collect()
}

/// The echo's cells by name: those of 64 B, then those of 4 KiB.
fn cells() -> Vec<String> {
    CELLS
        .iter()
        .map(|(connections, depth, payload)| format!("{connections}x{depth}x{payload}"))
        .collect()
}

fn echo(report: &Report, cell: &str, case: &str, other: &str) -> Option<Spread> {
    report.between("echo", cell, case, other)
}

/// Of an echo, in relation to that of `raw`.
fn beside_raw(report: &Report, cell: &str, case: &str, name: &str) -> Option<Spread> {
    let series = |case| report.row("echo", cell, case)?.beside.get(name);
    Spread::of_ratios(series(case)?, series("raw")?)
}

/// The table whose name begins so: the size of files differs between a glance and a full run.
fn group<'a>(report: &'a Report, bench: &str, start: &str) -> Option<&'a str> {
    let row = report
        .rows
        .iter()
        .find(|row| row.bench == bench && row.group.starts_with(start))?;
    Some(&row.group)
}

fn owned(report: &Report) -> Vec<Vec<Check>> {
    let codecs = |case, other| {
        report.between(
            "codecs",
            "decode u32 to owned frames, 64 B, whole",
            case,
            other,
        )
    };
    vec![
        vec![at_most(
            "64 B, times the loop's",
            codecs("ours, static", "by hand: split_to and freeze"),
            1.1,
        )],
        vec![
            at_least(
                "faster than `LengthDelimitedCodec`",
                codecs("tokio-util LengthDelimitedCodec", "ours, static"),
                1.9,
            )
            .with_limit(codecs(
                "tokio-util LengthDelimitedCodec",
                "by hand: split_to and freeze",
            )),
        ],
    ]
}

fn lent(report: &Report) -> Vec<Vec<Check>> {
    let codecs = |case, other| {
        report.between(
            "codecs",
            "decode u32 to lent frames, 64 B, whole",
            case,
            other,
        )
    };
    let ours = "ours, Machine::visit";
    vec![
        vec![at_most(
            "64 B, times the loop's",
            codecs(ours, "by hand: slices"),
            1.3,
        )],
        vec![at_least(
            "faster than `LengthDelimitedCodec`",
            codecs("tokio-util LengthDelimitedCodec (owned)", ours),
            12.0,
        )],
    ]
}

fn delimited(report: &Report) -> Vec<Vec<Check>> {
    let ours = "ours, static";
    let whole = |size: &str| format!("decode delimited to owned frames, {size}, whole");
    let samples = |group: &str, case: &str| Some(&*report.row("codecs", group, case)?.samples);
    // Ours split at line feeds, too, and need not look for UTF-8.
    let lines = |size: &str, case: &str| {
        let group = format!("decode lines to owned frames, {size}, whole");
        let theirs = samples(&group, "tokio-util LinesCodec")?;
        Spread::of_ratios(theirs, samples(&whole(size), case)?)
    };
    let limit = "by hand: memchr and split_to";
    let chunked = |size: &str| {
        let group = format!("decode delimited to owned frames, {size}, in 1460 B");
        samples(&group, ours)
    };
    let growth = || Spread::of_ratios(chunked("64 KiB")?, chunked("4 KiB")?);
    let between = |size: &str, case, other| report.between("codecs", &whole(size), case, other);
    vec![
        SIZES
            .map(|size| {
                at_least(
                    format!("{size}, of the loop's rate"),
                    between(size, limit, ours),
                    0.95,
                )
            })
            .into(),
        SIZES
            .map(|size| {
                at_least(
                    format!("{size}, faster than `LinesCodec`"),
                    lines(size, ours),
                    1.9,
                )
                .with_limit(lines(size, limit))
            })
            .into(),
        vec![
            at_least(
                "64 KiB, faster than `AnyDelimiterCodec`",
                between("64 KiB", "tokio-util AnyDelimiterCodec", ours),
                33.0,
            )
            .with_limit(between("64 KiB", "tokio-util AnyDelimiterCodec", limit)),
        ],
        vec![at_most(
            "in chunks, time of 64 KiB to that of 4 KiB",
            growth(),
            20.0,
        )],
    ]
}

fn encode(report: &Report) -> Vec<Vec<Check>> {
    let group = "encode u32 from a slice, 64 B";
    let figure = report.between("codecs", group, "ours, static", "by hand: into a Vec");
    vec![vec![at_most("64 B, times the loop's", figure, 1.3)]]
}

/// The rate of our echo next to that of `raw`.
fn of_raw(report: &Report, cell: &str) -> Check {
    let figure = |case| echo(report, cell, case, "raw");
    at_least(format!("{cell}, of `raw`"), figure("ours"), 0.95)
        .beside("`raw-bytes`", figure(OWNING))
}

/// The rate of our echo next to a peer's, and the limit's next to it.
fn faster(report: &Report, cell: &str, peer: &str, bound: f64) -> Check {
    at_least(
        format!("{cell}, faster than `{peer}`"),
        echo(report, cell, "ours", peer),
        bound,
    )
    .with_limit(echo(report, cell, "raw", peer))
}

fn echo_small(report: &Report) -> Vec<Vec<Check>> {
    let cells = &cells()[..6];
    let rates = cells.iter().filter(|cell| *cell != BUSIEST);
    vec![
        rates.map(|cell| of_raw(report, cell)).collect(),
        cells
            .iter()
            .map(|cell| {
                let time = |case| beside_raw(report, cell, case, "server us/request");
                at_most(
                    format!("{cell}, processor time of `raw`'s"),
                    time("ours"),
                    1.08,
                )
                .beside("`raw-bytes`", time(OWNING))
            })
            .collect(),
        vec![at_least(
            format!("{BUSIEST}, of `raw-bytes`"),
            echo(report, BUSIEST, "ours", OWNING),
            0.95,
        )],
        vec![at_least(
            format!("{BUSIEST}, lent, of `raw`"),
            echo(report, BUSIEST, "ours-lent", "raw"),
            0.95,
        )],
    ]
}

fn echo_large(report: &Report) -> Vec<Vec<Check>> {
    let cell = "32x16x4096";
    vec![
        cells()[6..]
            .iter()
            .map(|cell| of_raw(report, cell))
            .collect(),
        vec![faster(report, cell, "framed", 4.5)],
        vec![faster(report, cell, "framed-tuned", 1.15)],
    ]
}

fn tokio_tower(report: &Report) -> Vec<Vec<Check>> {
    let faster = |cell: &str, bound| faster(report, cell, "tokio-tower", bound);
    vec![
        vec![faster("32x16x64", 14.0)],
        vec![faster(BUSIEST, 38.0)],
        vec![faster("32x16x4096", 7.0)],
        cells().iter().map(|cell| faster(cell, 1.0)).collect(),
    ]
}

fn netty_and_tarpc(report: &Report) -> Vec<Vec<Check>> {
    vec![
        vec![faster(report, "32x16x64", "netty", 1.7)],
        vec![faster(report, BUSIEST, "netty", 3.5)],
        vec![faster(report, "32x16x64", "tarpc", 4.0)],
    ]
}

fn tail(report: &Report) -> Vec<Vec<Check>> {
    let cells = cells();
    let own = |cell: &str| {
        let row = report.row("echo", cell, "ours")?;
        Spread::of_ratios(row.beside.get("p99 us")?, row.beside.get("p50 us")?)
    };
    vec![
        cells
            .iter()
            .map(|cell| {
                at_most(
                    format!("{cell}, of `raw`'s p99"),
                    beside_raw(report, cell, "ours", "p99 us"),
                    1.5,
                )
            })
            .collect(),
        // In the last one the hand-written loop fails, too.
        cells[..11]
            .iter()
            .map(|cell| at_most(format!("{cell}, of its own p50"), own(cell), 10.0))
            .collect(),
    ]
}

fn files(report: &Report) -> Vec<Vec<Check>> {
    let ours = "ours, struct-header";
    let plain = "ours, struct-header, without digest";
    let between = |way: &str, case: &str, other: &str| {
        report.between("files", group(report, "files", way)?, case, other)
    };
    // A plain loop digests nothing, so it is compared with one of ours that does not either.
    let next_to = |way: &str, other: &str, bound| {
        let (case, how) = match between(way, plain, plain) {
            Some(_) => (plain, ", without digest"),
            None => (ours, ""),
        };
        let figure = between(way, case, other);
        vec![at_least(format!("{way}{how}, of `{other}`"), figure, bound)]
    };
    let over = |way: &str, other: &str, bound| {
        let limit = match way {
            "up" => "by hand, read 256 KiB",
            _ => "by hand, pread 256 KiB",
        };
        let figure = between(way, ours, other);
        let check = at_least(format!("{way}, of `{other}`"), figure, bound);
        vec![check.with_limit(between(way, limit, other))]
    };
    let beside = |what: &str, way, case, other| vec![told(what, between(way, case, other))];
    vec![
        next_to("down", "by hand, pread 256 KiB", 0.95),
        over("down", "vsftpd", 1.3),
        over("down", "scp, aes128-gcm", 4.0),
        over("down", "tokio::io::copy", 6.5),
        beside("down, of nginx", "down", ours, "nginx"),
        beside("nginx, of vsftpd", "down", "nginx", "vsftpd"),
        beside("down, with the digest, of without", "down", ours, plain),
        next_to("up", "splice", 0.9),
        over("up", "vsftpd", 1.5),
        over("up", "tokio::io::copy", 4.5),
        beside("up, with the digest, of without", "up", ours, plain),
    ]
}

fn exec(report: &Report) -> Vec<Vec<Check>> {
    let loops = "by hand, 64 KiB and a u32";
    let between = |start: &str, case: &str, other: &str| {
        report.between("exec", group(report, "exec", start)?, case, other)
    };
    let check = |start: &str, other: &str, bound| {
        let figure = between(start, "ours", other);
        at_least(format!("{start}, of `{other}`"), figure, bound)
    };
    let over = |start: &str, limit: &str, other: &str, bound| {
        vec![check(start, other, bound).with_limit(between(start, limit, other))]
    };
    let trips = |other: &str, bound| over("round trips", "by hand, over TCP", other, bound);
    vec![
        trips("posix_spawn here", 0.9),
        trips("ssh with a control master", 10.0),
        trips("asyncssh", 3.5),
        vec![check("output", loops, 0.95)],
        over("output", loops, "ssh, aes128-gcm", 1.4),
    ]
}

fn ack(report: &Report) -> Vec<Vec<Check>> {
    let next_to = |connections: usize, limit: &str, bound| {
        ["one way", "request and response"]
            .map(|way| {
                let group = format!("{way}, 64 B, {connections} at once");
                let figure = report.between("ack", &group, "ours, static", limit);
                at_least(group, figure, bound)
            })
            .into()
    };
    let both = report.row("ack", "one way, 64 B, 1 at once", "ours at both ends");
    let rate = both.and_then(|row| row.value);
    vec![
        next_to(1, "by hand, blocking", 0.97),
        next_to(32, "by hand, tokio", 0.95),
        vec![at_least("one way a second", rate, 5000.0)],
    ]
}

fn parameter(report: &Report) -> Vec<Vec<Check>> {
    let all = |case: &str, other: &str, bound| {
        cells()
            .iter()
            .map(|cell| {
                let what = format!("echo {cell}, `{case}` of `{other}`");
                at_least(what, echo(report, cell, case, other), bound)
            })
            .collect()
    };
    let loops = report.between(
        "codecs",
        "decode u32 to owned frames, 64 B, whole",
        "ours, a loop for any framing",
        "by hand: split_to and freeze",
    );
    vec![
        vec![at_most(
            "64 B, a loop for any framing, times the one for `u32`",
            loops,
            1.05,
        )],
        all("ours", OWNING, 0.95),
        all("ours-dyn", "ours", 0.85),
    ]
}

fn idle(report: &Report) -> Vec<Vec<Check>> {
    let row = |case: &str| {
        let mut rows = report.rows.iter();
        rows.find(|row| row.bench == "idle" && row.case == case)
    };
    let over = |case: &str, bound| {
        let figure = || Spread::of_ratios(&row(case)?.samples, &row("ours")?.samples);
        vec![at_least(format!("less than `{case}`"), figure(), bound)]
    };
    let bytes = row("ours").and_then(|row| row.value);
    vec![
        vec![at_most("bytes", bytes, 1536.0)],
        over("framed", 6.0),
        over("tokio-tower", 6.0),
        over("tarpc", 13.0),
        over("netty", 3.0),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::report::{Better, Row};

    fn row(case: &str, samples: [f64; 3]) -> Row {
        Row {
            bench: "codecs".into(),
            group: "encode u32 from a slice, 64 B".into(),
            case: case.into(),
            unit: "ns/frame".into(),
            better: Better::Less,
            samples: samples.to_vec(),
            value: Spread::of(&samples),
            ratio: None,
            beside: BTreeMap::new(),
            skipped: None,
        }
    }

    fn fourth(ours: [f64; 3]) -> (&'static str, String) {
        let rows = vec![
            row("by hand: into a Vec", [2.0, 4.0, 2.0]),
            row("ours, static", ours),
        ];
        let report = Report {
            rows,
            ..Report::default()
        };
        let goal = goals(&report).into_iter().nth(3).unwrap();
        assert_eq!(goal.number, 4);
        (goal.verdict(), goal.shown()[0].text())
    }

    #[test]
    fn a_goal_is_met_by_the_median_of_its_ratios() {
        let (verdict, text) = fourth([2.4, 4.8, 99.0]);
        assert_eq!(
            (verdict, &*text),
            (
                "**met**",
                "64 B, times the loop's: 1.20 (1.20..49.5), bound ≤ 1.30"
            )
        );
        assert_eq!(fourth([2.8, 5.6, 2.0]).0, "not met");
    }

    #[test]
    fn there_are_fourteen_and_what_is_not_measured_is_not_met() {
        let goals = goals(&Report::default());
        assert_eq!(goals.len(), 14);
        assert!(goals.iter().all(|goal| goal.verdict() == "not measured"));
    }
}
