//! The goals, and whether a run has met them.

use super::{Report, markdown::number};
use crate::echo::CELLS;

/// One goal: what is wanted, and what was found.
pub(super) struct Goal {
    pub(super) number: usize,
    pub(super) text: &'static str,
    pub(super) checks: Vec<Check>,
    /// What the goal asks for and this run cannot tell.
    pub(super) untold: &'static str,
}

/// One figure with its bound.
#[derive(Clone)]
pub(super) struct Check {
    what: String,
    figure: Option<f64>,
    bound: Bound,
}

#[derive(Clone, Copy)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Check {
    pub(super) fn met(&self) -> Option<bool> {
        self.figure.map(|figure| match self.bound {
            Bound::AtLeast(bound) => figure >= bound,
            Bound::AtMost(bound) => figure <= bound,
        })
    }

    /// How far it is from its bound: below one is a miss.
    fn room(&self) -> f64 {
        match (self.figure, self.bound) {
            (None, _) => f64::INFINITY,
            (Some(figure), Bound::AtLeast(bound)) => figure / bound,
            (Some(figure), Bound::AtMost(bound)) => bound / figure,
        }
    }

    pub(super) fn text(&self) -> String {
        let (sign, bound) = match self.bound {
            Bound::AtLeast(bound) => ("≥", bound),
            Bound::AtMost(bound) => ("≤", bound),
        };
        match self.figure {
            Some(figure) => format!(
                "{}: {} ({sign} {})",
                self.what,
                number(figure),
                number(bound)
            ),
            None => format!("{}: not measured", self.what),
        }
    }
}

fn at_least(what: impl Into<String>, figure: Option<f64>, bound: f64) -> Check {
    Check {
        what: what.into(),
        figure,
        bound: Bound::AtLeast(bound),
    }
}

fn at_most(what: impl Into<String>, figure: Option<f64>, bound: f64) -> Check {
    Check {
        what: what.into(),
        figure,
        bound: Bound::AtMost(bound),
    }
}

/// Of many checks of one kind the one with the least room; and how many were not measured.
fn worst(checks: impl IntoIterator<Item = Check>) -> Vec<Check> {
    let (measured, missing): (Vec<_>, Vec<_>) =
        checks.into_iter().partition(|check| check.figure.is_some());
    let missing = (!missing.is_empty()).then(|| Check {
        what: match measured.len() {
            0 => missing[0].what.clone(),
            _ => format!("{} more like it", missing.len()),
        },
        ..missing[0].clone()
    });
    measured
        .into_iter()
        .min_by(|a, b| a.room().total_cmp(&b.room()))
        .into_iter()
        .chain(missing)
        .collect()
}

impl Goal {
    /// Whether all of it is met, as far as it was measured.
    pub(super) fn verdict(&self) -> &'static str {
        let mut met = self.checks.iter().filter_map(Check::met).peekable();
        if met.peek().is_none() {
            return "not measured";
        }
        let all = self.untold.is_empty() && self.checks.iter().all(|check| check.figure.is_some());
        match (met.all(|met| met), all) {
            (true, true) => "**met**",
            (true, false) => "met as far as measured",
            (false, _) => "not met",
        }
    }
}

const SIZES: [&str; 5] = ["16 B", "64 B", "1 KiB", "4 KiB", "64 KiB"];

/// All fourteen.
pub(super) fn goals(report: &Report) -> Vec<Goal> {
    let codecs = |group: &str, case: &str, other: &str| {
        report
            .between("codecs", group, case, other)
            .map(|spread| spread.median)
    };
    let echo = |cell: &str, case: &str, other: &str| {
        report
            .between("echo", cell, case, other)
            .map(|spread| spread.median)
    };
    let beside = |cell: &str, case: &str, name: &str| {
        let row = report.row("echo", cell, case)?;
        Some(row.beside.get(name)?.median)
    };
    let of_raw =
        |cell: &str, name: &str| Some(beside(cell, "ours", name)? / beside(cell, "raw", name)?);
    let ratio = |bench: &str, group: &str, case: &str, other: &str| {
        // The size of files differs between a glance and a full run.
        let row = report
            .rows
            .iter()
            .find(|row| row.bench == bench && row.group.starts_with(group))?;
        report
            .between(bench, &row.group, case, other)
            .map(|spread| spread.median)
    };
    let cells: Vec<String> = CELLS
        .iter()
        .map(|(connections, depth, payload)| format!("{connections}x{depth}x{payload}"))
        .collect();
    let (small, large) = cells.split_at(6);
    let busiest = "32x64x64";

    let owned = "decode u32 to owned frames, 64 B, whole";
    let lent = "decode u32 to lent frames, 64 B, whole";
    let delimited = |size: &str| format!("decode delimited to owned frames, {size}, whole");
    let chunked = |size: &str| {
        let group = format!("decode delimited to owned frames, {size}, in 1460 B");
        Some(report.row("codecs", &group, "ours, static")?.value?.median)
    };
    let lines = |size: &str| {
        let group = format!("decode lines to owned frames, {size}, whole");
        let lines = report.row("codecs", &group, "tokio-util LinesCodec")?;
        let ours = report.row("codecs", &delimited(size), "ours, static")?;
        Some(lines.value?.median / ours.value?.median)
    };
    let idle = |case: &str| {
        let row = report
            .rows
            .iter()
            .find(|row| row.bench == "idle" && row.case == case)?;
        Some(row.value?.median)
    };
    let over = |case: &str| Some(idle(case)? / idle("ours")?);
    let one_way = |case: &str| {
        let row = report.row("ack", "one way, 64 B, 1 at once", case)?;
        Some(row.value?.median)
    };

    let mut list = Vec::new();
    let mut goal = |text, checks, untold| {
        list.push(Goal {
            number: list.len() + 1,
            text,
            checks,
            untold,
        });
    };
    goal(
        "decode to owned frames next to `split_to().freeze()`",
        vec![
            at_most(
                "64 B, times the loop's",
                codecs(owned, "ours, static", "by hand: split_to and freeze"),
                1.1,
            ),
            at_least(
                "faster than `LengthDelimitedCodec`",
                codecs(owned, "tokio-util LengthDelimitedCodec", "ours, static"),
                1.9,
            ),
        ],
        "",
    );
    goal(
        "lent frames next to the slice loop",
        vec![
            at_most(
                "64 B, times the loop's",
                codecs(lent, "ours, Machine::visit", "by hand: slices"),
                1.3,
            ),
            at_least(
                "faster than `LengthDelimitedCodec`",
                codecs(
                    lent,
                    "tokio-util LengthDelimitedCodec (owned)",
                    "ours, Machine::visit",
                ),
                12.0,
            ),
        ],
        "",
    );
    let mut checks = worst(SIZES.map(|size| {
        let figure = codecs(
            &delimited(size),
            "by hand: memchr and split_to",
            "ours, static",
        );
        at_least(format!("{size}, of the loop's rate"), figure, 0.95)
    }));
    checks.extend(worst(SIZES.map(|size| {
        at_least(
            format!("{size}, faster than `LinesCodec`"),
            lines(size),
            1.9,
        )
    })));
    checks.push(at_least(
        "64 KiB, faster than `AnyDelimiterCodec`",
        codecs(
            &delimited("64 KiB"),
            "tokio-util AnyDelimiterCodec",
            "ours, static",
        ),
        33.0,
    ));
    let growth = chunked("64 KiB")
        .zip(chunked("4 KiB"))
        .map(|(large, small)| large / small);
    checks.push(at_most(
        "in chunks, time of 64 KiB to that of 4 KiB",
        growth,
        20.0,
    ));
    goal("delimited frames next to memchr and `split_to`", checks, "");
    goal(
        "encode from a slice next to a `Vec`",
        vec![at_most(
            "64 B, times the loop's",
            codecs(
                "encode u32 from a slice, 64 B",
                "ours, static",
                "by hand: into a Vec",
            ),
            1.3,
        )],
        "",
    );

    let rate =
        |cell: &String| at_least(format!("{cell}, of `raw`"), echo(cell, "ours", "raw"), 0.95);
    let mut checks = worst(small.iter().filter(|cell| *cell != busiest).map(rate));
    checks.extend(worst(small.iter().map(|cell| {
        at_most(
            format!("{cell}, processor time of `raw`'s"),
            of_raw(cell, "server us/request"),
            1.08,
        )
    })));
    checks.push(at_least(
        format!("{busiest}, of `raw-bytes`"),
        echo(busiest, "ours", "raw-bytes"),
        0.95,
    ));
    checks.push(at_least(
        format!("{busiest}, lent, of `raw`"),
        echo(busiest, "ours-lent", "raw"),
        0.95,
    ));
    goal("echo of 64 B next to the hand-written loop", checks, "");

    let mut checks = worst(large.iter().map(rate));
    checks.push(at_least(
        "32x16x4096, faster than `Framed`",
        echo("32x16x4096", "ours", "framed"),
        4.5,
    ));
    goal(
        "echo of 4 KiB next to the hand-written loop",
        checks,
        "a tuned `Framed`",
    );

    let mut checks = vec![
        at_least("32x16x64", echo("32x16x64", "ours", "tokio-tower"), 14.0),
        at_least(busiest, echo(busiest, "ours", "tokio-tower"), 38.0),
        at_least("32x16x4096", echo("32x16x4096", "ours", "tokio-tower"), 7.0),
    ];
    checks.extend(worst(cells.iter().map(|cell| {
        at_least(cell.as_str(), echo(cell, "ours", "tokio-tower"), 1.0)
    })));
    goal("faster than tokio-tower", checks, "");

    goal(
        "faster than Netty and tarpc",
        vec![
            at_least("32x16x64, Netty", echo("32x16x64", "ours", "netty"), 1.7),
            at_least("32x64x64, Netty", echo("32x64x64", "ours", "netty"), 3.5),
            at_least("32x16x64, tarpc", echo("32x16x64", "ours", "tarpc"), 4.0),
        ],
        "",
    );

    let mut checks = worst(cells.iter().map(|cell| {
        at_most(
            format!("{cell}, of `raw`'s p99"),
            of_raw(cell, "p99 us"),
            1.5,
        )
    }));
    let tail = |cell: &str| Some(beside(cell, "ours", "p99 us")? / beside(cell, "ours", "p50 us")?);
    checks.extend(worst(cells[..11].iter().map(|cell| {
        at_most(format!("{cell}, of its own p50"), tail(cell), 10.0)
    })));
    goal("the slowest of a hundred", checks, "");

    let ours = "ours, struct-header";
    goal(
        "files next to the plain loop",
        vec![
            at_least(
                "down, of pread",
                ratio("files", "down", ours, "by hand, pread 256 KiB"),
                0.95,
            ),
            at_least(
                "down, of `tokio::io::copy`",
                ratio("files", "down", ours, "tokio::io::copy"),
                6.5,
            ),
            at_least("up, of splice", ratio("files", "up", ours, "splice"), 0.9),
            at_least(
                "up, of `tokio::io::copy`",
                ratio("files", "up", ours, "tokio::io::copy"),
                4.5,
            ),
        ],
        "nginx, vsftpd, scp",
    );
    goal(
        "exec next to posix_spawn",
        vec![
            at_least(
                "round trips",
                ratio("exec", "round trips", "ours", "posix_spawn here"),
                0.9,
            ),
            at_least(
                "output, of the 64 KiB loop",
                ratio("exec", "output", "ours", "by hand, 64 KiB and a u32"),
                0.95,
            ),
        ],
        "ssh, asyncssh",
    );
    let ack = |group: &str, limit: &str, bound| {
        at_least(group, ratio("ack", group, "ours, static", limit), bound)
    };
    let mut checks = worst([
        ack("one way, 64 B, 1 at once", "by hand, blocking", 0.97),
        ack(
            "request and response, 64 B, 1 at once",
            "by hand, blocking",
            0.97,
        ),
    ]);
    checks.extend(worst([
        ack("one way, 64 B, 32 at once", "by hand, tokio", 0.95),
        ack(
            "request and response, 64 B, 32 at once",
            "by hand, tokio",
            0.95,
        ),
    ]));
    checks.push(at_least(
        "one way a second",
        one_way("ours at both ends"),
        5000.0,
    ));
    goal("the ack-handshake next to a hand-written loop", checks, "");
    goal(
        "a framing from a config string next to one in code",
        worst(
            cells
                .iter()
                .map(|cell| at_least(format!("echo {cell}"), echo(cell, "ours-dyn", "ours"), 0.85)),
        ),
        "the generic parameter itself, which goals 1 to 6 show",
    );
    goal(
        "memory of an idle connection",
        vec![
            at_most("bytes", idle("ours"), 1536.0),
            at_least("less than `Framed`", over("framed"), 6.0),
            at_least("less than tokio-tower", over("tokio-tower"), 6.0),
            at_least("less than tarpc", over("tarpc"), 13.0),
            at_least("less than Netty", over("netty"), 3.0),
        ],
        "",
    );
    list
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        report::{Better, Row},
        stats::Spread,
    };

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
        (goal.verdict(), goal.checks[0].text())
    }

    #[test]
    fn a_goal_is_met_by_the_median_of_its_ratios() {
        let (verdict, text) = fourth([2.4, 4.8, 99.0]);
        assert_eq!(
            (verdict, &*text),
            ("**met**", "64 B, times the loop's: 1.20 (≤ 1.30)")
        );
        assert_eq!(fourth([2.8, 5.6, 2.0]).0, "not met");
    }

    #[test]
    fn there_are_fourteen_and_what_is_not_measured_is_not_met() {
        let goals = goals(&Report::default());
        assert_eq!(goals.len(), 14);
        assert!(goals.iter().all(|goal| goal.verdict() == "not measured"));
    }

    #[test]
    fn the_worst_of_many_is_shown_and_what_is_missing() {
        let checks = worst([
            at_least("a", Some(0.99), 0.95),
            at_least("b", Some(0.5), 0.95),
            at_least("c", None, 0.95),
        ]);
        let texts: Vec<String> = checks.iter().map(Check::text).collect();
        assert_eq!(texts, ["b: 0.50 (≥ 0.95)", "1 more like it: not measured"]);
    }
}
