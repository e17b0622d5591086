//! What a Kubernetes quantity amounts to, for the variables that tell people their limits. Pure.

/// The number that a quantity such as `1Gi`, `500m` or `1e3` stands for. `None`: it is no quantity.
pub(super) fn value(quantity: &str) -> Option<f64> {
    const SUFFIXES: [(&str, f64); 15] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("Ei", 1_152_921_504_606_846_976.0),
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("E", 1e18),
    ];
    let (number, factor) = SUFFIXES
        .iter()
        .find_map(|(suffix, factor)| Some((quantity.strip_suffix(suffix)?, *factor)))
        .unwrap_or((quantity, 1.0));
    let plain = number.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'));
    let number: f64 = number.parse().ok().filter(|_| plain)?;
    Some(number * factor)
}

/// Whole bytes, as `MEM_LIMIT` has them.
pub(super) fn bytes(quantity: &str) -> Option<String> {
    Some(format!("{:.0}", value(quantity)?))
}

/// Cores with a decimal point, as `CPU_LIMIT` has them.
pub(super) fn cores(quantity: &str) -> Option<String> {
    Some(format!("{:?}", value(quantity)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_numbers() {
        for (quantity, expected) in [
            ("1G", "1000000000"),
            ("1Gi", "1073741824"),
            ("512Mi", "536870912"),
            ("1.5Ki", "1536"),
            ("1e3", "1000"),
            ("2E", "2000000000000000000"),
            ("128974848000m", "128974848"),
        ] {
            assert_eq!(bytes(quantity).as_deref(), Some(expected), "{quantity}");
        }
        for (quantity, expected) in [("2", "2.0"), ("500m", "0.5"), (".25", "0.25")] {
            assert_eq!(cores(quantity).as_deref(), Some(expected), "{quantity}");
        }
        for text in ["", "Gi", "lots", "1Xi", "inf", "nan"] {
            assert_eq!(value(text), None, "{text}");
        }
    }
}
