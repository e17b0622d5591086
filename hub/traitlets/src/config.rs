//! Settings by class and trait, each with where it came from, and readers that ask for a type.

use crate::{Error, Value, text};
use std::{collections::BTreeMap, fmt, path::PathBuf};

/// Settings: class -> trait -> value. Nothing in it is printed but names and places.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    classes: BTreeMap<String, BTreeMap<String, Setting>>,
}

#[derive(Debug, Clone, PartialEq)]
struct Setting {
    value: Value,
    origin: Origin,
}

/// Where a setting came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A file, and the line if its format tells.
    File {
        path: PathBuf,
        line: Option<usize>,
    },
    CommandLine,
    /// A variable of the environment, by name.
    Variable(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line: Some(line) } => write!(f, "{}:{line}", path.display()),
            Self::File { path, line: None } => path.display().fmt(f),
            Self::CommandLine => f.write_str("the command line"),
            Self::Variable(name) => write!(f, "the environment's {name}"),
        }
    }
}

impl Config {
    /// Sets `class.trait_name`, whatever it was before.
    pub fn set(&mut self, class: &str, trait_name: &str, value: Value, origin: Origin) {
        self.classes.entry(class.to_owned()).or_default().insert(trait_name.to_owned(), Setting { value, origin });
    }

    /// Takes every setting of `later`, which wins. A list or dict replaces the one before, as in traitlets.
    pub fn merge(&mut self, later: Self) {
        for (class, traits) in later.classes {
            self.classes.entry(class).or_default().extend(traits);
        }
    }

    /// What `class.trait_name` is set to.
    pub fn get<'a>(&'a self, class: &str, trait_name: &str) -> Option<Found<'a>> {
        let (class, traits) = self.classes.get_key_value(class)?;
        let (trait_name, setting) = traits.get_key_value(trait_name)?;
        Some(Found { class, trait_name, value: &setting.value, origin: &setting.origin })
    }

    /// What the first of these (class, trait) that is set is set to. A subclass goes before its base, whichever of their
    /// settings came later: traitlets has it so, too.
    pub fn get_first<'a>(&'a self, names: &[(&str, &str)]) -> Option<Found<'a>> {
        names.iter().find_map(|(class, trait_name)| self.get(class, trait_name))
    }

    /// Every setting, ordered by class and trait.
    pub fn iter(&self) -> impl Iterator<Item = Found<'_>> {
        self.classes.iter().flat_map(|(class, traits)| {
            traits.iter().map(move |(trait_name, Setting { value, origin })| Found { class, trait_name, value, origin })
        })
    }
}

/// A setting that was found, to be read as the type that its trait has:
/// `config.get("ServerApp", "port").map(|port| port.int::<u16>()).transpose()`.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    pub class: &'a str,
    pub trait_name: &'a str,
    pub value: &'a Value,
    pub origin: &'a Origin,
}

/// The readers. Each fails if the setting has another type: the error names the setting, its place, its type and what to
/// write. Text from the command line is read as traitlets reads it for a trait of that type.
impl<'a> Found<'a> {
    /// `ServerApp.port`.
    pub fn name(&self) -> String {
        format!("{}.{}", self.class, self.trait_name)
    }

    /// The setting unless it is `None`, for traits that may be `None`.
    pub fn not_none(self) -> Option<Self> {
        let is_none = match self.value {
            Value::None => true,
            Value::Text(texts) => matches!(texts.as_slice(), [text] if text == "None"),
            _ => false,
        };
        (!is_none).then_some(self)
    }

    pub fn bool(&self) -> Result<bool, Error> {
        match self.value {
            Value::Bool(value) => Some(*value),
            Value::Int(0) => Some(false),
            Value::Int(1) => Some(true),
            Value::Text(texts) => text::single(texts).and_then(text::bool),
            _ => None,
        }
        .ok_or_else(|| self.error("write True or False (in JSON and YAML true or false)"))
    }

    /// A whole number, within the range of `T`.
    pub fn int<T: TryFrom<i64>>(&self) -> Result<T, Error> {
        let number = match self.value {
            Value::Int(value) => Some(*value),
            Value::Text(texts) => text::single(texts).and_then(text::number),
            _ => None,
        };
        let number = number.ok_or_else(|| self.error("write a whole number, without quotes"))?;
        T::try_from(number).map_err(|_| self.error("write one that isn't as large or as small"))
    }

    #[expect(clippy::cast_precision_loss, reason = "Python's float(int) loses it, too")]
    pub fn float(&self) -> Result<f64, Error> {
        match self.value {
            Value::Float(value) => Some(*value),
            Value::Int(value) => Some(*value as f64),
            Value::Text(texts) => text::single(texts).and_then(text::number),
            _ => None,
        }
        .ok_or_else(|| self.error("write a number, without quotes"))
    }

    pub fn string(&self) -> Result<String, Error> {
        as_string(self.value).ok_or_else(|| self.error("write a string in quotes"))
    }

    pub fn bytes(&self) -> Result<Vec<u8>, Error> {
        match self.value {
            Value::Bytes(bytes) => Some(bytes.clone()),
            Value::Text(texts) => text::single(texts).map(text::bytes),
            _ => None,
        }
        .ok_or_else(|| self.error("write a string of bytes, b'...' in a .py file"))
    }

    /// A list, tuple or set of strings.
    pub fn strings(&self) -> Result<Vec<String>, Error> {
        let value = text::literal(self.value);
        let strings = match value.as_ref().unwrap_or(self.value) {
            Value::List(items) | Value::Tuple(items) | Value::Set(items) => items.iter().map(as_string).collect(),
            Value::Text(texts) => Some(texts.iter().map(|text| text::string(text)).collect()),
            _ => None,
        };
        strings.ok_or_else(|| self.error("write a list of strings, as ['a', 'b']"))
    }

    /// A dict whose keys are strings.
    pub fn dict(&self) -> Result<Vec<(String, Value)>, Error> {
        let value = text::literal(self.value);
        let items = match value.as_ref().unwrap_or(self.value) {
            Value::Dict(items) => {
                items.iter().map(|(key, value)| Some((as_string(key)?, value.clone()))).collect::<Option<Vec<_>>>()
            }
            Value::Text(texts) => texts.iter().map(|text| text::item(text)).collect(),
            _ => None,
        };
        items.ok_or_else(|| self.error("write a dict whose keys are strings, as {'a': 1}"))
    }

    /// An error about this setting that ends with `remedy`, which says what to write instead.
    pub fn error(&self, remedy: impl Into<String>) -> Error {
        Error::Type { name: self.name(), origin: self.origin.clone(), found: self.value.kind(), remedy: remedy.into() }
    }
}

/// A string as traitlets' `Unicode` takes it: bytes are taken if they are ASCII.
fn as_string(value: &Value) -> Option<String> {
    match value {
        Value::Str(text) => Some(text.clone()),
        Value::Bytes(bytes) if bytes.is_ascii() => String::from_utf8(bytes.clone()).ok(),
        Value::Text(texts) => text::single(texts).map(text::string),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(settings: &[(&str, &str, Value)]) -> Config {
        let mut config = Config::default();
        for (class, trait_name, value) in settings {
            let origin = Origin::File { path: "/etc/jupyter/x.py".into(), line: Some(3) };
            config.set(class, trait_name, value.clone(), origin);
        }
        config
    }

    fn text(texts: &[&str]) -> Value {
        Value::Text(texts.iter().map(|text| (*text).to_owned()).collect())
    }

    #[test]
    fn what_comes_later_wins_trait_by_trait() {
        let mut all = config(&[("A", "a", Value::Int(1)), ("A", "b", Value::Int(1)), ("B", "a", Value::Int(1))]);
        all.merge(config(&[("A", "b", Value::Int(2)), ("C", "a", Value::Int(2))]));
        let values: Vec<_> = all.iter().map(|found| (found.name(), found.int().unwrap())).collect();
        assert_eq!(values, [("A.a".into(), 1), ("A.b".into(), 2), ("B.a".into(), 1), ("C.a".into(), 2)]);
    }

    #[test]
    fn the_first_name_that_is_set_is_found() {
        let all = config(&[("Base", "token", "base".into()), ("Old", "token", "old".into())]);
        let names = [("Sub", "token"), ("Base", "token"), ("Old", "token")];
        assert_eq!(all.get_first(&names).unwrap().string().unwrap(), "base");
        assert!(all.get_first(&names[..1]).is_none());
    }

    #[test]
    fn a_file_needs_the_very_type_and_a_command_line_is_read_as_it() {
        let as_int = |value| config(&[("A", "a", value)]).get("A", "a").unwrap().int::<u16>().ok();
        assert_eq!(as_int(Value::Int(8888)), Some(8888));
        assert_eq!(as_int(text(&["8888"])), Some(8888));
        for wrong in [
            "8888".into(),
            Value::Int(-1),
            Value::Int(65536),
            Value::Float(1.0),
            Value::Bool(true),
            Value::None,
            text(&["1.0"]),
            text(&["1", "2"]),
        ] {
            assert_eq!(as_int(wrong), None);
        }
        let as_bool = |value| config(&[("A", "a", value)]).get("A", "a").unwrap().bool().ok();
        for (value, expected) in [
            (Value::Bool(true), Some(true)),
            (Value::Int(0), Some(false)),
            (Value::Int(2), None),
            ("true".into(), None),
            (text(&["TRUE"]), Some(true)),
            (text(&["0"]), Some(false)),
            (text(&["yes"]), None),
        ] {
            assert_eq!(as_bool(value), expected);
        }
    }

    #[test]
    fn lists_and_dicts_of_a_command_line_are_flags_given_again() {
        let all = config(&[("A", "list", text(&["a", "b"])), ("A", "dict", text(&["k=v=w", "l=2"]))]);
        assert_eq!(all.get("A", "list").unwrap().strings().unwrap(), ["a", "b"]);
        let dict = all.get("A", "dict").unwrap().dict().unwrap();
        assert_eq!(dict, [("k".to_owned(), text(&["v=w"])), ("l".to_owned(), text(&["2"]))]);
        let strings = |one| config(&[("A", "a", text(&[one]))]).get("A", "a").unwrap().strings().ok();
        assert_eq!(strings("['a', 'b']").unwrap(), ["a", "b"]);
        assert_eq!(strings("('a',)").unwrap(), ["a"]);
        assert_eq!(strings("[::1]").unwrap(), ["[::1]"]);
        assert_eq!(strings("['a', 1]"), None);
        let dict = config(&[("A", "a", text(&["{'k': 1}"]))]).get("A", "a").unwrap().dict().unwrap();
        assert_eq!(dict, [("k".to_owned(), Value::Int(1))]);
    }

    #[test]
    fn none_is_told_from_a_value() {
        let all = config(&[("A", "a", Value::None), ("A", "b", text(&["None"])), ("A", "c", "None".into())]);
        let has_value = |name| all.get("A", name).unwrap().not_none().is_some();
        assert_eq!((has_value("a"), has_value("b"), has_value("c")), (false, false, true));
    }

    #[test]
    fn an_error_names_the_setting_its_place_and_the_remedy_but_no_value() {
        let all = config(&[("ServerApp", "port", "hunter2".into())]);
        let error = all.get("ServerApp", "port").unwrap().int::<u16>().unwrap_err();
        let expected = "failed to use ServerApp.port from /etc/jupyter/x.py:3: it is a string; write a whole number, without quotes";
        assert_eq!(error.to_string(), expected);
        assert!(!format!("{error:?} {all:?}").contains("hunter2"));
    }
}
