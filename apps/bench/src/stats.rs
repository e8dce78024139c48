//! Summarises the samples of alternated rounds.

use serde::{Deserialize, Serialize};

/// What rounds came to: the one in the middle, and how far the others are from it.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    /// Of at least one sample; nothing of none.
    pub fn of(samples: &[f64]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        let half = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[half]
        } else {
            (sorted[half - 1] + sorted[half]) / 2.0
        };
        Some(Self { median, min, max })
    }

    /// Of one case to its limit, round by round: both of a round saw the same machine.
    pub fn of_ratios(case: &[f64], limit: &[f64]) -> Option<Self> {
        let ratios: Vec<f64> = case.iter().zip(limit).map(|(a, b)| a / b).collect();
        Self::of(&ratios)
    }
}

/// The mean of the fastest nine tenths: what was interrupted, by whatever else the machine does, is
/// not counted, and what happens every few times is.
pub fn undisturbed(samples: &mut [f64]) -> Option<f64> {
    let keep = samples.len() - samples.len() / 10;
    samples.sort_by(f64::total_cmp);
    let kept = samples.get(..keep).filter(|kept| !kept.is_empty())?;
    Some(kept.iter().sum::<f64>() / kept.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interruption_is_not_counted_and_what_happens_every_other_time_is() {
        let mut samples = [1.0, 3.0].repeat(5);
        samples[7] = 1e6;
        let mean = undisturbed(&mut samples).unwrap();
        assert!((mean - 17.0 / 9.0).abs() < 1e-9, "{mean}");
        assert_eq!(undisturbed(&mut []), None);
    }

    #[test]
    fn the_median_does_not_heed_an_outlier() {
        let spread = Spread::of(&[3.0, 900.0, 1.0, 2.0, 4.0]).unwrap();
        assert_eq!((spread.median, spread.min, spread.max), (3.0, 1.0, 900.0));
        assert_eq!(Spread::of(&[1.0, 4.0, 2.0, 3.0]).unwrap().median, 2.5);
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        // The machine was twice as fast in the second round; the case is the same all along.
        let ratio = Spread::of_ratios(&[5.0, 10.0], &[10.0, 20.0]).unwrap();
        assert_eq!((ratio.min, ratio.max), (0.5, 0.5));
    }
}
