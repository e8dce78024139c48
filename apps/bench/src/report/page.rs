//! Writes the page of figures, and its plots.

use std::{fmt::Write, fs, path::Path};

use anyhow::Context;

use super::{
    Report,
    goals::{Check, goals},
    markdown::tables,
    plot::{Group, bars},
};
use crate::echo::CELLS;

const BEGIN: &str = "<!-- figures: written by the benchmarks, not by hand -->";
const END: &str = "<!-- end of the figures -->";

/// Puts the figures between the marks of `docs/performance.md`, and the plots beside it.
pub fn write(report: &Report) -> anyhow::Result<()> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let images = docs.join("images/performance");
    fs::create_dir_all(&images)?;
    for (name, svg) in plots(report) {
        fs::write(images.join(name), svg)?;
    }
    let page = docs.join("performance.md");
    let text =
        fs::read_to_string(&page).with_context(|| format!("cannot read {}", page.display()))?;
    fs::write(&page, replaced(&text, &figures(report))?)?;
    Ok(())
}

fn replaced(page: &str, figures: &str) -> anyhow::Result<String> {
    let marks = format!("there is no `{BEGIN}` and `{END}` in the page");
    let (before, rest) = page.split_once(BEGIN).context(marks.clone())?;
    let (_, after) = rest.split_once(END).context(marks)?;
    Ok(format!(
        "{before}{BEGIN}\n\n{}\n\n{END}{after}",
        figures.trim()
    ))
}

fn figures(report: &Report) -> String {
    let machine = &report.machine;
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "Measured on {}: {}, {} cores, {} of memory, Linux {}; load average {} when it began. \
         {}; commit {}. {} rounds.\n\nVersions: {}.\n",
        machine.date,
        machine.processor,
        machine.cores,
        machine.memory,
        machine.kernel,
        machine.load,
        machine.compiler,
        machine.commit,
        machine.rounds,
        [&machine.packages[..], &machine.programs]
            .concat()
            .join(", "),
    );
    if machine.load.parse::<f64>().is_ok_and(|load| load > 0.5) {
        let _ = writeln!(
            text,
            "**The machine did other things at the same time**, so these figures are a sketch: the \
             spreads tell how rough a one.\n"
        );
    }
    let _ = writeln!(
        text,
        "## The goals\n\nBeside each figure, a median over the rounds, stand the least and the most; a \
         second run agrees with this one where its own figure lies between them.\n\n\
         | # | goal | figure (least..most), bound | |\n|--:|---|---|---|"
    );
    for goal in goals(report) {
        let figures: Vec<String> = goal.shown().iter().map(Check::text).collect();
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} |",
            goal.number,
            goal.text,
            figures.join("<br>"),
            goal.verdict()
        );
    }
    for (bench, title, plot) in [
        ("echo", "Echo over loopback", "echo.svg"),
        ("codecs", "Codecs in memory", "decode.svg"),
        ("files", "Files", "files.svg"),
        ("exec", "Commands", ""),
        ("ack", "The ack-handshake", "ack.svg"),
        ("idle", "Idle connections", "idle.svg"),
    ] {
        let rows: Vec<_> = report
            .rows
            .iter()
            .filter(|row| row.bench == bench)
            .cloned()
            .collect();
        let skipped: Vec<_> = report
            .skipped
            .iter()
            .filter(|skipped| skipped.bench == bench)
            .collect();
        if rows.is_empty() && skipped.is_empty() {
            continue;
        }
        let _ = writeln!(text, "\n## {title}\n");
        if !plot.is_empty() {
            let _ = writeln!(
                text,
                "![{title}: ratios to the limit](images/performance/{plot})\n"
            );
        }
        for skipped in skipped {
            let _ = writeln!(
                text,
                "- skipped: {}, because {}",
                skipped.what, skipped.reason
            );
        }
        let _ = writeln!(
            text,
            "\n<details><summary>All figures</summary>\n\n{}</details>",
            tables(&rows)
        );
    }
    text
}

fn plots(report: &Report) -> Vec<(&'static str, String)> {
    let ratios = |bench: &str, group: &str, cases: &[&str]| Group {
        label: group.to_owned(),
        bars: cases
            .iter()
            .map(|case| report.row(bench, group, case).and_then(|row| row.ratio))
            .collect(),
    };
    let echo_cases = [
        "ours",
        "ours-lent",
        "ours-dyn",
        "ours-layers",
        "ours-multiplex",
        "framed",
        "tokio-tower",
        "tarpc",
    ];
    let echo: Vec<Group> = CELLS
        .iter()
        .map(|(connections, depth, payload)| {
            ratios(
                "echo",
                &format!("{connections}x{depth}x{payload}"),
                &echo_cases,
            )
        })
        .collect();
    let decode_cases = [
        "ours, static",
        "ours, from a config string",
        "ours, as a tokio-util codec",
        "tokio-util LengthDelimitedCodec",
    ];
    let decode: Vec<Group> = ["16 B", "64 B", "1 KiB", "4 KiB", "64 KiB"]
        .iter()
        .map(|size| {
            let group = format!("decode u32 to owned frames, {size}, whole");
            Group {
                label: (*size).to_owned(),
                ..ratios("codecs", &group, &decode_cases)
            }
        })
        .collect();
    let all_of = |bench: &str, cases: &[&str]| -> Vec<Group> {
        let mut groups: Vec<&str> = Vec::new();
        for row in report.rows.iter().filter(|row| row.bench == bench) {
            if !groups.contains(&&*row.group) {
                groups.push(&row.group);
            }
        }
        groups
            .into_iter()
            .map(|group| ratios(bench, group, cases))
            .collect()
    };
    let files = [
        "sendfile",
        "splice",
        "tokio::io::copy",
        "nginx",
        "vsftpd",
        "scp, aes128-gcm",
        "ours, struct-header",
        "ours, struct-header, without digest",
    ];
    let ack = [
        "by hand, blocking",
        "by hand, tokio",
        "ours, static",
        "ours at both ends",
    ];
    let idle = [
        "pooled",
        "ours",
        "ours-multiplex",
        "framed",
        "tokio-tower",
        "tarpc",
    ];
    vec![
        (
            "echo.svg",
            bars("Echo: requests a second, of `raw`", &echo_cases, &echo, 1.5),
        ),
        (
            "decode.svg",
            bars(
                "Decoding to owned frames: time, of the hand-written loop",
                &decode_cases,
                &decode,
                3.0,
            ),
        ),
        (
            "files.svg",
            bars(
                "Files: bytes a second, of the 256 KiB loop",
                &files,
                &all_of("files", &files),
                1.5,
            ),
        ),
        (
            "ack.svg",
            bars(
                "Ack-handshake: frames a second, of the hand-written loop",
                &ack,
                &all_of("ack", &ack),
                1.25,
            ),
        ),
        (
            "idle.svg",
            bars(
                "Memory of an idle connection, of the loop with pooled buffers",
                &idle,
                &all_of("idle", &idle),
                20.0,
            ),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_marks_is_replaced() {
        let page = format!("# Title\n{BEGIN}\nold\n{END}\nthe end\n");
        let once = replaced(&page, "new\n").unwrap();
        assert_eq!(once, format!("# Title\n{BEGIN}\n\nnew\n\n{END}\nthe end\n"));
        assert_eq!(replaced(&once, "new").unwrap(), once);
        assert!(replaced("# Title", "new").is_err());
    }
}
