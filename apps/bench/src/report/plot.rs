//! Draws ratios as SVG: a group of bars for each table, a bar for each case, and a line where the
//! limit is.

use std::fmt::Write;

use crate::stats::Spread;

/// Colours that people tell apart, in light and in dark surroundings.
const COLOURS: [&str; 8] = [
    "#4477aa", "#66ccee", "#228833", "#aa3377", "#ee6677", "#ccbb44", "#999999", "#885522",
];

const HEIGHT: f64 = 260.0;
const LEFT: f64 = 50.0;
const TOP: f64 = 60.0;
const BAR: f64 = 12.0;
const GAP: f64 = 16.0;
const LETTER: f64 = 6.2;

/// A group of bars, one for each case; some may be missing.
pub(super) struct Group {
    pub(super) label: String,
    pub(super) bars: Vec<Option<Spread>>,
}

/// Bars above `most` are cut, and say how high they are.
pub(super) fn bars(title: &str, cases: &[&str], groups: &[Group], most: f64) -> String {
    let bars_of_group = BAR * cases.len() as f64;
    let longest = groups.iter().flat_map(|group| group.label.split(", "));
    let longest = longest.map(|line| line.chars().count()).max();
    let width_of_group = bars_of_group.max(LETTER * longest.unwrap_or_default() as f64) + GAP;
    let legend: f64 = cases
        .iter()
        .map(|case| 34.0 + LETTER * case.chars().count() as f64)
        .sum();
    let width = LEFT
        + (width_of_group * groups.len() as f64)
            .max(legend)
            .max(440.0)
        + GAP;
    let bottom = TOP + HEIGHT;
    let y = |value: f64| bottom - HEIGHT * (value / most).clamp(0.0, 1.0);
    let mut svg = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        svg,
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0} {:.0}" font-family="sans-serif" font-size="11" fill="#888888">
<title>{title}</title>
<text x="{LEFT}" y="18" font-size="14">{title}</text>"##,
        bottom + 50.0,
        title = escaped(title),
    );
    let mut x = LEFT;
    for (case, colour) in cases.iter().zip(COLOURS) {
        let case = escaped(case);
        let _ = writeln!(
            svg,
            r##"<rect x="{x:.1}" y="30" width="10" height="10" fill="{colour}"/><text x="{:.1}" y="39">{case}</text>"##,
            x + 14.0
        );
        x += 34.0 + LETTER * case.chars().count() as f64;
    }
    let step = if most > 4.0 {
        most / 4.0
    } else if most > 2.0 {
        0.5
    } else {
        0.25
    };
    let mut tick = 0.0;
    while tick <= most + 1e-9 {
        let _ = writeln!(
            svg,
            r##"<line x1="{LEFT}" x2="{:.0}" y1="{y:.1}" y2="{y:.1}" stroke="#888888" stroke-opacity="0.25"/><text x="{:.0}" y="{:.1}" text-anchor="end">{tick:.2}</text>"##,
            width - GAP,
            LEFT - 5.0,
            y(tick) + 4.0,
            y = y(tick),
        );
        tick += step;
    }
    for (index, group) in groups.iter().enumerate() {
        let middle = LEFT + width_of_group * (index as f64 + 0.5);
        let start = middle - bars_of_group / 2.0;
        for (place, bar) in group.bars.iter().enumerate() {
            let Some(bar) = bar else { continue };
            let (x, colour) = (start + BAR * place as f64, COLOURS[place % COLOURS.len()]);
            let top = y(bar.median);
            let _ = writeln!(
                svg,
                r##"<rect x="{x:.1}" y="{top:.1}" width="{:.1}" height="{:.1}" fill="{colour}"><title>{} {}: {:.2} ({:.2} to {:.2})</title></rect>"##,
                BAR - 2.0,
                bottom - top,
                escaped(&group.label),
                escaped(cases.get(place).copied().unwrap_or_default()),
                bar.median,
                bar.min,
                bar.max,
            );
            let middle = x + BAR / 2.0 - 1.0;
            let _ = writeln!(
                svg,
                r##"<line x1="{middle:.1}" x2="{middle:.1}" y1="{:.1}" y2="{:.1}" stroke="#444444"/>"##,
                y(bar.max),
                y(bar.min),
            );
            if bar.median > most {
                let _ = writeln!(
                    svg,
                    r##"<text x="{middle:.1}" y="{:.1}" text-anchor="middle" font-size="9">{:.1}</text>"##,
                    TOP - 3.0,
                    bar.median
                );
            }
        }
        for (line, part) in group.label.split(", ").enumerate() {
            let _ = writeln!(
                svg,
                r##"<text x="{middle:.1}" y="{:.1}" text-anchor="middle">{}</text>"##,
                bottom + 16.0 + 13.0 * line as f64,
                escaped(part)
            );
        }
    }
    let _ = writeln!(
        svg,
        r##"<line x1="{LEFT}" x2="{:.0}" y1="{y:.1}" y2="{y:.1}" stroke="#cc3311" stroke-dasharray="4 3"/>
</svg>"##,
        width - GAP,
        y = y(1.0),
    );
    svg
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_high_as_its_ratio_and_labels_are_escaped() {
        let group = Group {
            label: "a<b".into(),
            bars: vec![Spread::of(&[0.5]), None],
        };
        let svg = bars("echo & co", &["ours", "theirs"], &[group], 1.25);
        assert!(svg.contains(&format!(
            "height=\"{:.1}\" fill=\"{}\"",
            HEIGHT * 0.4,
            COLOURS[0]
        )));
        assert!(svg.contains("a&lt;b") && svg.contains("echo &amp; co"));
        assert_eq!(svg.matches("stroke=\"#444444\"").count(), 1);
    }
}
