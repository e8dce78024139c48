//! Takes the cases of one table in turns, so that none has the machine's good minutes for itself.

use std::collections::BTreeMap;

use crate::{
    report::{Better, Row},
    stats::Spread,
};

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
pub fn alternate(table: &Table, rounds: usize, mut cases: Vec<Case<'_>>) -> Vec<Row> {
    // A whole run takes a while, and tables are printed when a benchmark is through.
    eprintln!("{}: {}", table.bench, table.group);
    let mut samples: Vec<Result<Vec<Sample>, String>> = vec![Ok(Vec::new()); cases.len()];
    for round in 0..rounds.max(1) {
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
                let own = figures(&samples);
                row.value = Spread::of(&own);
                row.ratio = Spread::of_ratios(&own, &limit);
                row.samples = own;
                for (name, figure) in samples.into_iter().flat_map(|sample| sample.beside) {
                    row.beside.entry(name.into()).or_default().push(figure);
                }
            }
        }
        row
    });
    rows.collect()
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
        let rows = alternate(&table(), 3, vec![case("a", 2.0), case("b", 3.0)]);
        assert_eq!(*seen.borrow(), "abbaab");
        assert_eq!(rows[1].ratio.unwrap().median, 1.5);
    }

    #[test]
    fn a_case_that_fails_says_why_and_spares_the_others() {
        let fails = Case::new("fails", || anyhow::bail!("no such peer"));
        let rows = alternate(&table(), 3, vec![Case::new("a", || Ok(1.0.into())), fails]);
        assert_eq!(rows[0].value.unwrap().median, 1.0);
        assert_eq!(rows[1].skipped.as_deref(), Some("no such peer"));
        assert_eq!(rows[1].value, None);
    }
}
