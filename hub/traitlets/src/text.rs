//! Text from a command line, read as the type that a trait has: traitlets' `from_string`, which alone may guess.

use crate::{Value, python};

/// The only text: a trait that isn't a list or dict is given once.
pub(crate) fn single(texts: &[String]) -> Option<&str> {
    match texts {
        [text] => Some(text),
        _ => None,
    }
}

pub(crate) fn bool(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

/// An `i64` or `f64`, with white space around it and a sign in front as Python's `int` and `float` take them.
pub(crate) fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.trim().parse().ok()
}

/// The text without a pair of quotes around it, which older programs wanted there.
pub(crate) fn string(text: &str) -> String {
    unquoted(text).unwrap_or(text).to_owned()
}

/// The text in UTF-8; of `b'...'` what is within.
pub(crate) fn bytes(text: &str) -> Vec<u8> {
    let within = text.strip_prefix('b').and_then(unquoted);
    within.unwrap_or(text).as_bytes().to_vec()
}

/// An item of a dict: `key=value`.
pub(crate) fn item(text: &str) -> Option<(String, Value)> {
    let (key, value) = text.split_once('=')?;
    Some((key.to_owned(), Value::Text(vec![value.to_owned()])))
}

/// What a single text is that writes out a list, tuple, set or dict as Python does. Other text is an item.
pub(crate) fn literal(value: &Value) -> Option<Value> {
    let Value::Text(texts) = value else {
        return None;
    };
    single(texts).filter(|text| text.starts_with(['[', '(', '{'])).and_then(python::literal)
}

fn unquoted(text: &str) -> Option<&str> {
    ['"', '\''].iter().find_map(|&quote| text.strip_prefix(quote)?.strip_suffix(quote))
}
