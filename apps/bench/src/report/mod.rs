//! What was measured, and the forms it is written in.

mod compare;
mod goals;
mod machine;
mod markdown;
mod page;
mod plot;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::{compare::compared, machine::Machine, markdown::tables, page::write};

use crate::stats::Spread;

/// Whether more or less of a figure is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Better {
    More,
    Less,
}

/// One case of one table.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Row {
    /// The subcommand.
    pub bench: String,
    /// The table.
    pub group: String,
    pub case: String,
    pub unit: String,
    pub better: Better,
    /// Of each round.
    pub samples: Vec<f64>,
    pub value: Option<Spread>,
    /// To the table's first case, the limit.
    pub ratio: Option<Spread>,
    /// Further figures of each round, by name and unit, such as `p99 us`.
    pub beside: BTreeMap<String, Vec<f64>>,
    /// Why there is no figure.
    pub skipped: Option<String>,
}

impl Row {
    /// Of its samples, and those of the limit.
    pub fn summarise(&mut self, limit: &[f64]) {
        self.value = Spread::of(&self.samples);
        self.ratio = Spread::of_ratios(&self.samples, limit);
    }
}

/// All that one run measured.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Report {
    pub machine: Machine,
    pub rows: Vec<Row>,
    pub skipped: Vec<Skipped>,
}

/// What could not be measured at all, and why.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Skipped {
    pub bench: String,
    pub what: String,
    pub reason: String,
}

impl Report {
    pub fn extend(&mut self, rows: impl IntoIterator<Item = Row>) {
        self.rows.extend(rows);
    }

    /// Notes what could not be measured at all.
    pub fn skip(&mut self, bench: &str, what: &str, reason: &str) {
        self.skipped.push(Skipped {
            bench: bench.into(),
            what: what.into(),
            reason: reason.into(),
        });
    }

    pub fn row(&self, bench: &str, group: &str, case: &str) -> Option<&Row> {
        self.rows
            .iter()
            .find(|row| row.bench == bench && row.group == group && row.case == case)
    }

    /// One case of a table in relation to another, round by round.
    pub fn between(&self, bench: &str, group: &str, case: &str, other: &str) -> Option<Spread> {
        let (case, other) = (
            self.row(bench, group, case)?,
            self.row(bench, group, other)?,
        );
        Spread::of_ratios(&case.samples, &other.samples)
    }
}
