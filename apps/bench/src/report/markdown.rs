//! Writes figures as Markdown tables.

use std::{collections::BTreeSet, fmt::Write};

use super::{Better, Row};
use crate::stats::Spread;

/// One table for each group, in the order in which they were measured.
pub fn tables(rows: &[Row]) -> String {
    let mut text = String::new();
    let mut groups: Vec<(&str, &str)> = Vec::new();
    for row in rows {
        if !groups.contains(&(&row.bench, &row.group)) {
            groups.push((&row.bench, &row.group));
        }
    }
    for (bench, group) in groups {
        let rows: Vec<&Row> = rows
            .iter()
            .filter(|row| row.bench == bench && row.group == group)
            .collect();
        table(&mut text, bench, group, &rows);
    }
    text
}

fn table(text: &mut String, bench: &str, group: &str, rows: &[&Row]) {
    let Some(first) = rows.first() else { return };
    let beside: BTreeSet<&String> = rows.iter().flat_map(|row| row.beside.keys()).collect();
    let better = match first.better {
        Better::More => "more",
        Better::Less => "less",
    };
    // Writing to a String cannot fail.
    let _ = writeln!(text, "**{bench}: {group}** ({better} is better)\n");
    let _ = write!(text, "| case | {} | to {} |", first.unit, first.case);
    for name in &beside {
        let _ = write!(text, " {name} |");
    }
    let _ = write!(text, "\n|---|--:|--:|");
    for _ in &beside {
        text.push_str("--:|");
    }
    text.push('\n');
    for row in rows {
        let _ = write!(text, "| {} |", row.case);
        match (&row.skipped, row.value) {
            (Some(reason), _) => {
                let reason = reason.replace('|', "\\|").replace('\n', " ");
                let _ = write!(text, " skipped: {reason} | |");
            }
            (None, value) => {
                let _ = write!(
                    text,
                    " {} |",
                    value.map_or_else(String::new, |v| number(v.median))
                );
                let _ = write!(text, " {} |", row.ratio.map_or_else(String::new, ratio));
            }
        }
        for name in &beside {
            let spread = row
                .beside
                .get(*name)
                .and_then(|samples| Spread::of(samples));
            let value = spread.map(|spread| number(spread.median));
            let _ = write!(text, " {} |", value.unwrap_or_default());
        }
        text.push('\n');
    }
    text.push('\n');
}

/// A ratio with its spread over the rounds.
pub(super) fn ratio(spread: Spread) -> String {
    format!(
        "{} ({}..{})",
        number(spread.median),
        number(spread.min),
        number(spread.max)
    )
}

/// Three digits that count, more only where they stand before the point.
pub(super) fn number(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 1000.0 => return thousands(value.round()),
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.digits$}")
}

fn thousands(value: f64) -> String {
    let plain = format!("{value:.0}");
    let (sign, digits) = match plain.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", &*plain),
    };
    let mut text = sign.to_owned();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn row(case: &str, value: f64, ratio: f64) -> Row {
        let spread = |median: f64| Spread {
            median,
            min: median / 2.0,
            max: median * 2.0,
        };
        Row {
            bench: "echo".into(),
            group: "1x1x64".into(),
            case: case.into(),
            unit: "requests/s".into(),
            better: Better::More,
            samples: Vec::new(),
            value: Some(spread(value)),
            ratio: Some(spread(ratio)),
            beside: BTreeMap::new(),
            skipped: None,
        }
    }

    #[test]
    fn a_table_shows_ratios_with_their_spread_and_says_what_was_skipped() {
        let mut rows = vec![row("raw", 123_456.7, 1.0), row("ours", 61_728.0, 0.5)];
        rows[1].beside.insert("p99 us".into(), vec![12.34]);
        rows.push(Row {
            value: None,
            ratio: None,
            skipped: Some("no | java".into()),
            ..row("netty", 0.0, 0.0)
        });
        assert_eq!(
            tables(&rows),
            "**echo: 1x1x64** (more is better)\n\n\
             | case | requests/s | to raw | p99 us |\n\
             |---|--:|--:|--:|\n\
             | raw | 123,457 | 1.00 (0.50..2.00) |  |\n\
             | ours | 61,728 | 0.50 (0.25..1.00) | 12.3 |\n\
             | netty | skipped: no \\| java | |  |\n\n"
        );
    }

    #[test]
    fn numbers_have_three_digits_that_count() {
        let shown = [0.026, 1.5, 14.26, 99.97, 312.5, 1000.4, 1_234_567.0].map(number);
        assert_eq!(
            shown,
            ["0.03", "1.50", "14.3", "100", "312", "1,000", "1,234,567"]
        );
    }
}
