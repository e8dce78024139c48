//! One figure of a goal beside its bound.

use crate::{
    report::markdown::{number, ratio},
    stats::Spread,
};

/// One figure with its bound; some have none, and are there to be read beside the others.
#[derive(Clone, Debug)]
pub struct Check {
    pub what: String,
    pub figure: Option<Spread>,
    bound: Option<Bound>,
    /// What another case comes to in our place, by name; it does not count.
    other: Option<(&'static str, Spread)>,
}

#[derive(Clone, Copy, Debug)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

pub(super) fn at_least(what: impl Into<String>, figure: Option<Spread>, bound: f64) -> Check {
    Check {
        what: what.into(),
        figure,
        bound: Some(Bound::AtLeast(bound)),
        other: None,
    }
}

pub(super) fn at_most(what: impl Into<String>, figure: Option<Spread>, bound: f64) -> Check {
    Check {
        what: what.into(),
        figure,
        bound: Some(Bound::AtMost(bound)),
        other: None,
    }
}

pub(super) fn told(what: impl Into<String>, figure: Option<Spread>) -> Check {
    Check {
        what: what.into(),
        figure,
        bound: None,
        other: None,
    }
}

impl Check {
    /// Tells what the hand-written loop comes to, where we are compared with a peer.
    pub(super) fn with_limit(self, limit: Option<Spread>) -> Self {
        self.beside("the limit itself", limit)
    }

    /// Tells what another case comes to.
    pub(super) fn beside(self, name: &'static str, figure: Option<Spread>) -> Self {
        Self {
            other: figure.map(|figure| (name, figure)),
            ..self
        }
    }

    /// Whether it is part of what is wanted.
    pub(super) fn is_wanted(&self) -> bool {
        self.bound.is_some()
    }

    pub(super) fn met(&self) -> Option<bool> {
        let median = self.figure?.median;
        Some(match self.bound? {
            Bound::AtLeast(bound) => median >= bound,
            Bound::AtMost(bound) => median <= bound,
        })
    }

    /// How far it is from its bound: below one is a miss.
    fn room(&self) -> f64 {
        match (self.figure, self.bound) {
            (Some(figure), Some(Bound::AtLeast(bound))) => figure.median / bound,
            (Some(figure), Some(Bound::AtMost(bound))) => bound / figure.median,
            _ => f64::INFINITY,
        }
    }

    pub fn text(&self) -> String {
        let Some(figure) = self.figure else {
            return format!("{}: not measured", self.what);
        };
        let figure = format!("{}: {}", self.what, ratio(figure));
        let bounded = match self.bound {
            Some(Bound::AtLeast(bound)) => format!("{figure}, bound ≥ {}", number(bound)),
            Some(Bound::AtMost(bound)) => format!("{figure}, bound ≤ {}", number(bound)),
            None => figure,
        };
        match self.other {
            Some((name, other)) => format!("{bounded}, {name} {}", number(other.median)),
            None => bounded,
        }
    }
}

/// Of many checks of one kind the one with the least room; and how many were not measured.
pub(super) fn worst(checks: &[Check]) -> Vec<Check> {
    let (measured, missing): (Vec<_>, Vec<_>) =
        checks.iter().partition(|check| check.figure.is_some());
    let missing = missing.first().map(|first| Check {
        what: match (measured.len(), missing.len()) {
            (0, 1) => first.what.clone(),
            (0, count) => format!("{} and {} more like it", first.what, count - 1),
            (_, count) => format!("{count} more like it"),
        },
        ..(*first).clone()
    });
    measured
        .into_iter()
        .min_by(|a, b| a.room().total_cmp(&b.room()))
        .cloned()
        .into_iter()
        .chain(missing)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_many_is_shown_and_what_is_missing() {
        let checks = worst(&[
            at_least("a", Spread::of(&[0.99]), 0.95),
            at_least("b", Spread::of(&[0.4, 0.5, 0.6]), 0.95),
            at_least("c", None, 0.95),
        ]);
        let texts: Vec<String> = checks.iter().map(Check::text).collect();
        assert_eq!(
            texts,
            [
                "b: 0.50 (0.40..0.60), bound ≥ 0.95",
                "1 more like it: not measured"
            ]
        );
    }

    #[test]
    fn how_many_are_missing_is_told_where_all_are() {
        let missing = |count| worst(&vec![at_least("a", None, 0.95); count])[0].text();
        assert_eq!(missing(1), "a: not measured");
        assert_eq!(missing(3), "a and 2 more like it: not measured");
    }

    #[test]
    fn what_the_limit_comes_to_is_told_and_does_not_count() {
        let check = at_least("a", Spread::of(&[3.5]), 4.0).with_limit(Spread::of(&[3.75]));
        assert_eq!(
            (check.met(), &*check.text()),
            (
                Some(false),
                "a: 3.50 (3.50..3.50), bound ≥ 4.00, the limit itself 3.75"
            )
        );
    }

    #[test]
    fn what_has_no_bound_is_told_and_neither_met_nor_missed() {
        let check = told("nginx", Spread::of(&[1.5]));
        assert_eq!(
            (check.met(), &*check.text()),
            (None, "nginx: 1.50 (1.50..1.50)")
        );
        assert!(!check.is_wanted());
    }
}
