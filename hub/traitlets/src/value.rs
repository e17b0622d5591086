//! What a setting can be: Python's literals, and text from a command line, whose type its reader decides.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// A setting's value. It doesn't show what it holds, since that may be a secret: `{:?}` prints the type only.
#[derive(Clone, PartialEq)]
pub enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
    Bytes(Vec<u8>),
    List(Vec<Value>),
    Tuple(Vec<Value>),
    Set(Vec<Value>),
    /// In the order in which they are written, each key once.
    Dict(Vec<(Value, Value)>),
    /// What a command line says, once for each time that the flag is given. Its type is that of who reads it.
    Text(Vec<String>),
}

impl Value {
    /// The type in words, to go after "it is".
    pub fn kind(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool(_) => "True or False",
            Self::Int(_) => "a whole number",
            Self::Float(_) => "a number with a fraction",
            Self::Str(_) => "a string",
            Self::Bytes(_) => "a string of bytes",
            Self::List(_) => "a list",
            Self::Tuple(_) => "a tuple",
            Self::Set(_) => "a set",
            Self::Dict(_) => "a dict",
            Self::Text(texts) if texts.len() > 1 => "given more than once",
            Self::Text(_) => "other text",
        }
    }

    /// A dict of these items; of items with one key the last counts, in the place of the first.
    pub fn dict(items: impl IntoIterator<Item = (Value, Value)>) -> Self {
        let mut dict: Vec<(Value, Value)> = Vec::new();
        for (key, value) in items {
            match dict.iter_mut().find(|(other, _)| *other == key) {
                Some(item) => item.1 = value,
                None => dict.push((key, value)),
            }
        }
        Self::Dict(dict)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.kind())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Str(text.to_owned())
    }
}

/// From JSON and YAML.
impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::None)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        i64::try_from(value).map(Value::Int).map_err(|_| E::custom("a whole number is too large"))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Str(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = entries.next_entry()? {
            items.push(item);
        }
        Ok(Value::dict(items))
    }
}
