//! Counts output against its limit.

/// Lets through what the limit leaves room for, and knows when there was more.
#[derive(Debug)]
pub(super) struct Meter {
    limit: Option<u64>,
    passed: u64,
    exceeded: bool,
}

impl Meter {
    pub(super) const fn new(limit: Option<u64>) -> Self {
        Self {
            limit,
            passed: 0,
            exceeded: false,
        }
    }

    /// How many of so many bytes may still pass.
    pub(super) fn admit(&mut self, count: usize) -> usize {
        let room = self.limit.map_or(u64::MAX, |limit| limit - self.passed);
        let admitted = usize::try_from(room).map_or(count, |room| room.min(count));
        self.exceeded |= admitted < count;
        self.passed = self.passed.saturating_add(admitted as u64);
        admitted
    }

    /// Whether there was more than may pass.
    pub(super) const fn is_exceeded(&self) -> bool {
        self.exceeded
    }

    /// How many bytes have passed; never more than the limit.
    pub(super) const fn passed(&self) -> u64 {
        self.passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn svc_c10_exactly_the_limit_passes_and_one_more_is_noticed() {
        let mut meter = Meter::new(Some(5));
        assert_eq!(meter.admit(3), 3);
        assert_eq!(meter.admit(2), 2);
        assert!(!meter.is_exceeded());
        assert_eq!(meter.admit(1), 0);
        assert!(meter.is_exceeded());
        assert_eq!(meter.passed(), 5);

        let mut meter = Meter::new(Some(5));
        assert_eq!(meter.admit(7), 5);
        assert!(meter.is_exceeded());

        let mut meter = Meter::new(Some(0));
        assert_eq!(meter.admit(0), 0);
        assert!(!meter.is_exceeded());
    }
}
