//! Settings on a command line: `--Class.trait=value` and `--Class.trait value`.

use crate::{Config, Error, Origin, Value};
use std::{collections::BTreeMap, path::Path};

/// A command line, taken apart.
#[derive(Debug, Default)]
pub struct Flags {
    /// The settings, as text whose type its reader decides.
    pub config: Config,
    /// All other arguments, in their order.
    pub rest: Vec<String>,
}

/// Takes the settings out of `arguments`, which are those before a `--`. A leading `~` of a value is the home directory,
/// as traitlets has it, since no shell expands it after a `=`.
///
/// # Errors
/// A flag without a value, or with more than one dot.
pub fn split(arguments: impl IntoIterator<Item = String>, home: &Path) -> Result<Flags, Error> {
    let mut flags = Flags::default();
    let mut texts: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    let mut arguments = arguments.into_iter().peekable();
    while let Some(argument) = arguments.next() {
        let (flag, value) = match argument.split_once('=') {
            Some((flag, value)) => (flag, Some(value.to_owned())),
            None => (argument.as_str(), None),
        };
        let Some((class, trait_name)) = class_and_trait(flag)? else {
            flags.rest.push(argument);
            continue;
        };
        let value = value.or_else(|| arguments.next_if(|next| is_value(next)));
        let value = value.ok_or_else(|| error(flag, format!("it has no value; write {flag}=value")))?;
        texts.entry((class.to_owned(), trait_name.to_owned())).or_default().push(expand_home(value, home));
    }
    for ((class, trait_name), texts) in texts {
        flags.config.set(&class, &trait_name, Value::Text(texts), Origin::CommandLine);
    }
    Ok(flags)
}

/// The names in `--Class.trait`, which traitlets takes with one dash, too; `None` if it is another flag or argument.
fn class_and_trait(flag: &str) -> Result<Option<(&str, &str)>, Error> {
    let name = flag.strip_prefix("--").or_else(|| flag.strip_prefix('-'));
    let Some((class, trait_name)) = name.and_then(|name| name.split_once('.')) else {
        return Ok(None);
    };
    if !class.starts_with(|first: char| first.is_ascii_uppercase()) || !is_name(class) {
        return Ok(None);
    }
    if let Some((_, last)) = trait_name.rsplit_once('.') {
        let message = format!("only one class goes before the name of a setting; write --Class.{last}=value");
        return Err(error(flag, message));
    }
    if is_name(trait_name) {
        Ok(Some((class, trait_name)))
    } else {
        Err(error(
            flag,
            "the name of a setting is letters, digits and underscores; write --Class.name=value".to_owned(),
        ))
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// Whether an argument can be the value of the flag before it: another flag can't, a lone dash, a negative number and
/// words can.
fn is_value(argument: &str) -> bool {
    let is_number = |text: &str| text.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    argument.strip_prefix('-').is_none_or(|text| text.is_empty() || is_number(text) || text.contains(' '))
}

fn expand_home(value: String, home: &Path) -> String {
    match value.strip_prefix('~') {
        Some("") => home.display().to_string(),
        Some(path) if path.starts_with('/') => format!("{}{path}", home.display()),
        _ => value,
    }
}

fn error(flag: &str, message: String) -> Error {
    Error::Flag { flag: flag.to_owned(), message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Flags, Error> {
        split(arguments.iter().map(|argument| (*argument).to_owned()), Path::new("/home/jo"))
    }

    fn text(flags: &Flags, class: &str, trait_name: &str) -> String {
        flags.config.get(class, trait_name).unwrap().string().unwrap()
    }

    #[test]
    fn settings_are_told_from_other_arguments() {
        let flags =
            parse(&["--port", "1", "--ServerApp.ip=::", "--no-browser", "--ServerApp.base_url", "/x/", "-e=A.b"])
                .unwrap();
        assert_eq!(flags.rest, ["--port", "1", "--no-browser", "-e=A.b"]);
        assert_eq!(text(&flags, "ServerApp", "ip"), "::");
        assert_eq!(text(&flags, "ServerApp", "base_url"), "/x/");
        assert_eq!(flags.config.iter().count(), 2);
    }

    #[test]
    fn a_value_may_be_empty_negative_or_hold_an_equals_sign() {
        let flags = parse(&["--A.a=", "--A.b", "-1", "--A.c=x=y", "--A.d", "-", "-A.e", "-a b"]).unwrap();
        for (name, value) in [("a", ""), ("b", "-1"), ("c", "x=y"), ("d", "-"), ("e", "-a b")] {
            assert_eq!(text(&flags, "A", name), value);
        }
        assert!(flags.rest.is_empty());
    }

    #[test]
    fn a_tilde_is_the_home_directory() {
        let flags = parse(&["--A.a=~/x", "--A.b=~", "--A.c=~jo/x", "--A.d=x~"]).unwrap();
        for (name, value) in [("a", "/home/jo/x"), ("b", "/home/jo"), ("c", "~jo/x"), ("d", "x~")] {
            assert_eq!(text(&flags, "A", name), value);
        }
    }

    #[test]
    fn a_flag_that_lacks_something_says_what_to_write() {
        for (arguments, remedy) in [
            (vec!["--A.b"], "write --A.b=value"),
            (vec!["--A.b", "--A.c=1"], "write --A.b=value"),
            (vec!["--A.B.c=secret"], "write --Class.c=value"),
            (vec!["--A.b-c=secret"], "write --Class.name=value"),
        ] {
            let error = parse(&arguments).unwrap_err().to_string();
            assert!(error.contains(remedy) && !error.contains("secret"), "{error}");
        }
    }
}
