//! Text that anyone may have sent, a password by mistake included, as logs and messages may repeat it.

/// The longest text that is repeated whole, in characters.
const WHOLE: usize = 32;
/// What is repeated of a longer one.
const START: usize = 16;

/// Bounded, and without control characters.
pub fn loggable(text: &str) -> String {
    let escaped = |most: usize| text.chars().take(most).flat_map(char::escape_default).collect::<String>();
    match text.chars().count() {
        length if length > WHOLE => format!("{}...({length} chars)", escaped(START)),
        _ => escaped(WHOLE),
    }
}

#[cfg(test)]
mod tests {
    use super::loggable;

    /// CVE-2026-54338: user names of any length went into the log.
    #[test]
    fn what_somebody_typed_is_repeated_bounded_and_escaped() {
        assert_eq!(loggable("alice"), "alice");
        assert_eq!(loggable("a\nb\u{1b}[0m"), "a\\nb\\u{1b}[0m");
        assert_eq!(loggable(&"x".repeat(5000)), format!("{}...(5000 chars)", "x".repeat(16)));
    }
}
