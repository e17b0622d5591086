//! What of a request may stand in a log line: no query (tokens travel there), no control characters, no end of length.

/// The most bytes of a path in a log line.
const MAX_LOGGED: usize = 256;

/// The path of a request target, fit for a log line.
pub(crate) fn path(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let mut shown: String = path.chars().take(MAX_LOGGED).flat_map(char::escape_debug).take(MAX_LOGGED).collect();
    if shown.len() < path.len() {
        shown.push_str("..");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_control_characters_and_length_stay_out_of_logs() {
        assert_eq!(path("/user/a?token=secret"), "/user/a");
        assert_eq!(path("/a\r\nb"), "/a\\r\\nb");
        assert!(path(&"/a".repeat(10_000)).len() < 300);
    }
}
