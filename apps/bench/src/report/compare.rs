//! Says whether a second run agrees with a first one.

use std::fmt::Write;

use super::{
    Report,
    goals::goals,
    markdown::{number, ratio},
};
use crate::stats::Spread;

/// For each figure of each goal: whether that of the second run lies within the spread that the
/// first one has stated. None if they have no figure in common.
pub fn compared(first: &Report, second: &Report) -> Option<String> {
    let mut text = String::from("| # | figure | first | second | |\n|--:|---|--:|--:|---|\n");
    let (mut agreeing, mut all) = (0, 0);
    for (before, after) in goals(first).iter().zip(goals(second)) {
        for check in before.shown() {
            let again = after.check(&check.what).and_then(|check| check.figure);
            let (Some(stated), Some(again)) = (check.figure, again) else {
                continue;
            };
            let agrees = lies_within(again.median, stated);
            all += 1;
            agreeing += usize::from(agrees);
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} |",
                before.number,
                check.what,
                ratio(stated),
                number(again.median),
                if agrees { "agrees" } else { "**differs**" },
            );
        }
    }
    let _ = writeln!(text, "\n{agreeing} of {all} figures agree.");
    if first.machine.rounds < 2 {
        text.push_str(
            "The first run has one round only, and so no spread that others could lie in.\n",
        );
    }
    (all > 0).then_some(text)
}

/// As exact as it is written.
fn lies_within(figure: f64, stated: Spread) -> bool {
    (stated.min..=stated.max).contains(&figure)
        || [stated.min, stated.max]
            .map(number)
            .contains(&number(figure))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::report::{Better, Row};

    fn run(bytes: &[f64]) -> Report {
        let row = Row {
            bench: "idle".into(),
            group: "10000 connections".into(),
            case: "ours".into(),
            unit: "bytes/connection".into(),
            better: Better::Less,
            samples: bytes.to_vec(),
            value: Spread::of(bytes),
            ratio: None,
            beside: BTreeMap::new(),
            skipped: None,
        };
        Report {
            rows: vec![row],
            ..Report::default()
        }
    }

    #[test]
    fn a_figure_agrees_within_the_spread_that_was_stated() {
        let first = run(&[990.0, 980.0, 999.0]);
        let compared = |second| compared(&first, &run(second)).unwrap();
        let text = compared(&[981.0]);
        assert!(text.contains("| 14 | bytes | 990 (980..999) | 981 | agrees |"));
        assert!(text.contains("\n1 of 1 figures agree.\n"), "{text}");
        assert!(compared(&[979.6]).contains("| agrees |"));
        assert!(compared(&[979.0]).contains("**differs**"));
    }

    #[test]
    fn what_only_one_has_measured_is_not_compared() {
        assert_eq!(compared(&run(&[990.0]), &Report::default()), None);
    }
}
