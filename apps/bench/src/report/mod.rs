//! What was measured, and the forms it is written in.

mod markdown;

use std::collections::BTreeMap;

use serde::Serialize;

pub use markdown::tables;

use crate::stats::Spread;

/// Whether more or less of a figure is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Better {
    More,
    Less,
}

/// One case of one table.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The subcommand.
    pub bench: String,
    /// The table.
    pub group: String,
    pub case: String,
    pub unit: String,
    pub better: Better,
    pub value: Option<Spread>,
    /// To the table's first case, the limit.
    pub ratio: Option<Spread>,
    /// Further figures by name and unit, such as `p99 us`.
    pub beside: BTreeMap<String, Spread>,
    /// Why there is no figure.
    pub skipped: Option<String>,
}

/// All that one run measured.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    pub rows: Vec<Row>,
    pub skipped: Vec<Skipped>,
}

/// What could not be measured at all, and why.
#[derive(Clone, Debug, Serialize)]
pub struct Skipped {
    pub bench: &'static str,
    pub what: String,
    pub reason: String,
}

impl Report {
    pub fn extend(&mut self, rows: impl IntoIterator<Item = Row>) {
        self.rows.extend(rows);
    }

    /// Notes what could not be measured at all.
    pub fn skip(&mut self, bench: &'static str, what: &str, reason: &str) {
        self.skipped.push(Skipped {
            bench,
            what: what.into(),
            reason: reason.into(),
        });
    }

    /// The ratio of a case to the limit of its table.
    pub fn ratio(&self, bench: &str, group: &str, case: &str) -> Option<Spread> {
        self.row(bench, group, case)?.ratio
    }

    pub fn row(&self, bench: &str, group: &str, case: &str) -> Option<&Row> {
        self.rows
            .iter()
            .find(|row| row.bench == bench && row.group == group && row.case == case)
    }
}
