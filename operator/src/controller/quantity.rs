//! Kubernetes quantities, compared by value: `1Gi` is `1024Mi`, `0.5` is `500m`.

/// Value in billionths; nothing if it is no quantity or too large to tell.
pub fn parse(text: &str) -> Option<i128> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '-' && c != '+').unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let (multiplier, divisor) = scale(suffix)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_negative = whole.starts_with('-');
    let whole = whole.trim_start_matches(['-', '+']);
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let fraction_scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let value = digits.checked_mul(1_000_000_000)?.checked_mul(multiplier)? / divisor.checked_mul(fraction_scale)?;
    Some(if is_negative { -value } else { value })
}

/// What a suffix multiplies and divides by.
fn scale(suffix: &str) -> Option<(i128, i128)> {
    let binary = |power| Some((1_i128 << (10 * power), 1));
    let decimal = |power: i32| {
        let scale = 10_i128.checked_pow(power.unsigned_abs())?;
        Some(if power < 0 { (1, scale) } else { (scale, 1) })
    };
    match suffix {
        "" => Some((1, 1)),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        exponent => decimal(exponent.strip_prefix(['e', 'E'])?.parse().ok()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_compared_by_value() {
        for (one, other) in [
            ("1Gi", "1024Mi"),
            ("0.5", "500m"),
            ("1G", "1e9"),
            ("1000", "1k"),
            ("1.5Gi", "1536Mi"),
            ("2", "2.0"),
            ("1E3", "1k"),
        ] {
            assert_eq!(parse(one), parse(other), "{one} {other}");
            assert!(parse(one).is_some(), "{one}");
        }
        assert!(parse("1G") < parse("1Gi"));
        for wrong in ["", "Gi", "1Qi", "a", "1e", "."] {
            assert_eq!(parse(wrong), None, "{wrong:?}");
        }
    }
}
