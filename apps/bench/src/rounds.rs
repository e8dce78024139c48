//! Takes the cases of one table in turns, so that none has the machine's good minutes for itself.

use std::{collections::BTreeMap, ops::Range};

use crate::report::{Better, Row};

/// What one round of one case measured: the figure, and what else was seen on the way.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    pub figure: f64,
    pub beside: BTreeMap<&'static str, f64>,
}

impl From<f64> for Sample {
    fn from(figure: f64) -> Self {
        Self {
            figure,
            beside: BTreeMap::new(),
        }
    }
}

impl Sample {
    pub fn with(mut self, name: &'static str, figure: f64) -> Self {
        self.beside.insert(name, figure);
        self
    }
}

/// What all cases of a table have in common.
#[derive(Clone, Debug)]
pub struct Table {
    pub bench: &'static str,
    pub group: String,
    pub unit: &'static str,
    pub better: Better,
}

/// A thing to be measured, by name.
pub struct Case<'a> {
    pub name: String,
    pub run: Box<dyn FnMut() -> anyhow::Result<Sample> + 'a>,
}

impl<'a> Case<'a> {
    pub fn new(name: impl Into<String>, run: impl FnMut() -> anyhow::Result<Sample> + 'a) -> Self {
        Self {
            name: name.into(),
            run: Box::new(run),
        }
    }
}

/// Measures every case in each round; the first is the limit the others are compared with.
///
/// Every second round goes backwards. A case that fails is left out of the further rounds, and its
/// row says why.
pub fn alternate(table: &Table, rounds: Range<usize>, mut cases: Vec<Case<'_>>) -> Vec<Row> {
    // A whole run takes a while, and tables are printed when a benchmark is through.
    eprintln!("{}: {}", table.bench, table.group);
    let mut samples: Vec<Result<Vec<Sample>, String>> = vec![Ok(Vec::new()); cases.len()];
    for round in rounds {
        let mut order: Vec<usize> = (0..cases.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for index in order {
            let Ok(taken) = &mut samples[index] else {
                continue;
            };
            match (cases[index].run)() {
                Ok(sample) => taken.push(sample),
                Err(error) => samples[index] = Err(format!("{error:#}")),
            }
        }
    }
    let figures = |samples: &[Sample]| samples.iter().map(|s| s.figure).collect::<Vec<_>>();
    let limit = match samples.first() {
        Some(Ok(samples)) => figures(samples),
        _ => Vec::new(),
    };
    let names: Vec<String> = cases.into_iter().map(|case| case.name).collect();
    let rows = names.into_iter().zip(samples).map(|(case, samples)| {
        let mut row = Row {
            bench: table.bench.into(),
            group: table.group.clone(),
            case,
            unit: table.unit.into(),
            better: table.better,
            samples: Vec::new(),
            value: None,
            ratio: None,
            beside: BTreeMap::new(),
            skipped: None,
        };
        match samples {
            Err(reason) => row.skipped = Some(reason),
            Ok(samples) => {
                row.samples = figures(&samples);
                row.summarise(&limit);
                for (name, figure) in samples.into_iter().flat_map(|sample| sample.beside) {
                    row.beside.entry(name.into()).or_default().push(figure);
                }
            }
        }
        row
    });
    rows.collect()
}

/// Puts rounds together that were taken one by one, with the same cases in each.
pub fn joined(rounds: Vec<Vec<Row>>) -> Vec<Row> {
    let mut rounds = rounds.into_iter();
    let mut rows = rounds.next().unwrap_or_default();
    for further in rounds {
        for (row, more) in rows.iter_mut().zip(further) {
            row.samples.extend(more.samples);
            row.skipped = row.skipped.take().or(more.skipped);
        }
    }
    let mut limit = (String::new(), Vec::new());
    for row in &mut rows {
        if row.skipped.is_some() {
            // Those of the other rounds would be compared with the wrong ones.
            row.samples.clear();
        }
        if row.group != limit.0 {
            limit = (row.group.clone(), row.samples.clone());
        }
        row.summarise(&limit.1);
    }
    rows
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn table() -> Table {
        Table {
            bench: "test",
            group: "table".into(),
            unit: "ns",
            better: Better::Less,
        }
    }

    #[test]
    fn cases_take_turns_and_every_second_round_goes_backwards() {
        let seen = RefCell::new(String::new());
        let case = |name: &'static str, figure: f64| {
            let seen = &seen;
            Case::new(name, move || {
                seen.borrow_mut().push_str(name);
                Ok(figure.into())
            })
        };
        let rows = alternate(&table(), 0..3, vec![case("a", 2.0), case("b", 3.0)]);
        assert_eq!(*seen.borrow(), "abbaab");
        assert_eq!(rows[1].ratio.unwrap().median, 1.5);
    }

    #[test]
    fn a_case_that_fails_says_why_and_spares_the_others() {
        let fails = Case::new("fails", || anyhow::bail!("no such peer"));
        let rows = alternate(
            &table(),
            0..3,
            vec![Case::new("a", || Ok(1.0.into())), fails],
        );
        assert_eq!(rows[0].value.unwrap().median, 1.0);
        assert_eq!(rows[1].skipped.as_deref(), Some("no such peer"));
        assert_eq!(rows[1].value, None);
    }

    #[test]
    fn a_case_that_fails_in_one_of_the_rounds_has_no_figures_left() {
        let round = |number: usize| {
            let fails = Case::new("fails", move || {
                anyhow::ensure!(number != 1, "no such peer");
                Ok(6.0.into())
            });
            let cases = vec![Case::new("a", || Ok(1.0.into())), fails];
            alternate(&table(), number..number + 1, cases)
        };
        let rows = joined(vec![round(0), round(1), round(2)]);
        assert_eq!(rows[0].samples, [1.0; 3]);
        assert_eq!(rows[1].skipped.as_deref(), Some("no such peer"));
        assert_eq!((rows[1].samples.len(), rows[1].value), (0, None));
    }

    #[test]
    fn rounds_taken_one_by_one_are_as_good_as_those_taken_together() {
        let round = |number: usize| {
            let case = |name, figure: f64| Case::new(name, move || Ok(figure.into()));
            let cases = vec![case("a", number as f64 + 1.0), case("b", 6.0)];
            alternate(&table(), number..number + 1, cases)
        };
        let rows = joined(vec![round(0), round(1), round(2)]);
        assert_eq!(rows[1].samples, [6.0; 3]);
        let ratio = rows[1].ratio.unwrap();
        assert_eq!((ratio.median, ratio.min, ratio.max), (3.0, 2.0, 6.0));
    }
}
