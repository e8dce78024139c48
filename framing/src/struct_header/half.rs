//! Converts floating-point numbers of two bytes: 1 bit of sign, 5 of exponent, 10 of fraction.

/// The greatest exponent field: infinities and what is no number.
const SPECIAL: u16 = 0x1f;

/// The number as a double, exactly.
pub(super) fn to_f64(half: u16) -> f64 {
    let sign = if half & 0x8000 == 0 { 1.0 } else { -1.0 };
    let fraction = f64::from(half & 0x3ff);
    match (half >> 10) & SPECIAL {
        SPECIAL if half & 0x3ff == 0 => f64::INFINITY.copysign(sign),
        SPECIAL => f64::NAN.copysign(sign),
        // Without the leading one, in units of the least number there is.
        0 => sign * fraction * 2f64.powi(-24),
        exponent => sign * (1024.0 + fraction) * 2f64.powi(i32::from(exponent) - 25),
    }
}

/// The nearest number of two bytes, of two equally near ones the even one; `None` where that is
/// past the greatest, 65504.
pub(super) fn from_f64(value: f64) -> Option<u16> {
    let bits = value.to_bits();
    let sign = (bits >> 48) as u16 & 0x8000;
    if value.is_nan() {
        return Some(sign | (SPECIAL << 10) | 0x200);
    }
    if value.is_infinite() {
        return Some(sign | (SPECIAL << 10));
    }
    // The fraction with its leading one, as an integer of 53 bits; denormal doubles are far below
    // anything that rounds up from zero here.
    let significand = (bits & ((1 << 52) - 1)) | (1 << 52);
    let exponent = ((bits >> 52) & 0x7ff) as i32 - 1023;
    if exponent > 15 {
        return None;
    }
    // How many bits of the significand lie below the last bit that is kept: 42 for a normal half,
    // more where the exponent is too small for one.
    let dropped = 42 + (-14 - exponent).max(0);
    if dropped > 54 {
        return Some(sign);
    }
    let kept = (significand >> dropped) as u16;
    let rest = significand & ((1 << dropped) - 1);
    let middle = 1 << (dropped - 1);
    let up = rest > middle || (rest == middle && kept & 1 == 1);
    // The leading one is counted by the exponent field unless the number is too small. A carry out
    // of the fraction is a step of the exponent, which is just what adding does.
    let biased = (exponent + 14).max(0) as u16;
    let magnitude = (biased << 10) + kept + u16::from(up);
    (magnitude < (SPECIAL << 10)).then_some(sign | magnitude)
}

#[cfg(test)]
mod tests {
    use super::{from_f64, to_f64};

    #[test]
    fn every_half_survives_the_way_through_a_double() {
        for half in 0..=u16::MAX {
            let value = to_f64(half);
            if value.is_nan() {
                assert!(to_f64(from_f64(value).unwrap()).is_nan());
            } else {
                assert_eq!(from_f64(value), Some(half), "{value}");
            }
        }
    }

    #[test]
    fn infinities_are_no_nan_and_have_a_sign() {
        assert_eq!(to_f64(0x7c00), f64::INFINITY);
        assert_eq!(to_f64(0xfc00), f64::NEG_INFINITY);
        assert_eq!(from_f64(f64::INFINITY), Some(0x7c00));
        for (half, negative) in [(0x7e00, false), (0xfe00, true), (0x7c01, false)] {
            let value = to_f64(half);
            assert!(value.is_nan() && value.is_sign_negative() == negative);
        }
    }

    #[test]
    fn a_number_between_two_halves_goes_to_the_nearer_and_a_tie_to_the_even_one() {
        for low in 0..0x7bff_u16 {
            let (below, above) = (to_f64(low), to_f64(low + 1));
            let middle = (below + above) / 2.0;
            let even = if low & 1 == 0 { low } else { low + 1 };
            assert_eq!(from_f64(middle), Some(even), "{middle}");
            assert_eq!(from_f64(middle.next_down()), Some(low), "below {middle}");
            assert_eq!(from_f64(middle.next_up()), Some(low + 1), "above {middle}");
            assert_eq!(from_f64(-middle), Some(even | 0x8000), "-{middle}");
        }
    }

    #[test]
    fn what_rounds_past_the_greatest_number_does_not_fit() {
        assert_eq!(from_f64(65519.99), Some(0x7bff));
        for value in [65520.0, 65536.0, 1e300, f64::MAX, -65520.0] {
            assert_eq!(from_f64(value), None, "{value}");
        }
        assert_eq!(from_f64(f64::NEG_INFINITY), Some(0xfc00));
    }

    #[test]
    fn what_is_too_small_is_zero_with_its_sign() {
        for value in [
            0.0,
            f64::MIN_POSITIVE,
            5e-324,
            2f64.powi(-26),
            2f64.powi(-25),
        ] {
            assert_eq!(from_f64(value), Some(0), "{value}");
            assert_eq!(from_f64(-value), Some(0x8000), "-{value}");
        }
    }
}
