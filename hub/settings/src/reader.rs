//! Settings as they are asked for. What was asked for is remembered, so that nothing is passed over in silence: a setting
//! that nobody asked for has no effect, and whoever wrote it must hear of it.

use hub_traitlets::{Config, Error, Found, Origin, Value, Variables};
use std::{cell::RefCell, collections::BTreeSet};

/// Why settings can't be used: each says where and what to write. None holds a value.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error(transparent)]
    Type(#[from] Error),
    /// A setting of the right type that can't be used.
    #[error("failed to use {name} from {origin}: {remedy}")]
    Value { name: String, origin: Origin, remedy: String },
    #[error("failed to use the variable {name}: {remedy}")]
    Variable { name: &'static str, remedy: &'static str },
    /// Settings that can't be used, a line each.
    #[error("{}", .0.join("\n"))]
    Refused(Vec<String>),
}

/// A setting of the right type that can't be used; `remedy` says what to write.
pub(crate) fn unusable(found: &Found<'_>, remedy: impl Into<String>) -> SettingsError {
    SettingsError::Value { name: found.name(), origin: found.origin.clone(), remedy: remedy.into() }
}

/// The classes that a trait may be set at, the most special one first.
pub(crate) type Classes = &'static [&'static str];

/// Settings and variables, and what was asked of them.
pub(crate) struct Reader<'a> {
    config: &'a Config,
    pub(crate) variables: &'a Variables,
    asked: RefCell<BTreeSet<(&'static str, &'static str)>>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(config: &'a Config, variables: &'a Variables) -> Self {
        Self { config, variables, asked: RefCell::default() }
    }

    /// What a trait is set to, at the most special of the classes that has it.
    pub(crate) fn find(&self, classes: Classes, name: &'static str) -> Option<Found<'a>> {
        let names: Vec<_> = classes.iter().map(|class| (*class, name)).collect();
        self.asked.borrow_mut().extend(&names);
        self.config.get_first(&names)
    }

    pub(crate) fn read<T>(
        &self,
        classes: Classes,
        name: &'static str,
        reader: impl FnOnce(&Found<'a>) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        self.find(classes, name).map(|found| reader(&found)).transpose()
    }

    /// A text with its place; None and an empty one say nothing.
    pub(crate) fn said(&self, classes: Classes, name: &'static str) -> Result<Option<(Found<'a>, String)>, Error> {
        let Some(found) = self.find(classes, name).and_then(Found::not_none) else { return Ok(None) };
        Ok(Some((found, found.string()?)).filter(|(_, text)| !text.is_empty()))
    }

    /// A text; None and an empty one say nothing.
    pub(crate) fn string(&self, classes: Classes, name: &'static str) -> Result<Option<String>, Error> {
        Ok(self.said(classes, name)?.map(|(_, text)| text))
    }

    /// A text that must say something if it is there at all (S48).
    pub(crate) fn text(
        &self,
        classes: Classes,
        name: &'static str,
    ) -> Result<Option<(Found<'a>, String)>, SettingsError> {
        let Some(found) = self.find(classes, name) else { return Ok(None) };
        let text = found.not_none().map(|found| found.string()).transpose()?.unwrap_or_default();
        if text.is_empty() {
            return Err(unusable(&found, "None and an empty string are not the same as no setting; remove the line"));
        }
        Ok(Some((found, text)))
    }

    /// A command with its arguments: a list, or a program alone.
    pub(crate) fn command(&self, classes: Classes, name: &'static str) -> Result<Option<Vec<String>>, Error> {
        self.read(classes, name, command)
    }

    /// A variable of the environment, unless it is empty.
    pub(crate) fn variable(&self, name: &str) -> Option<&'a str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The settings that nobody asked for: whether their class is in use, and each.
    pub(crate) fn passed_over(&self) -> Vec<(bool, Found<'a>)> {
        let asked = self.asked.borrow();
        let left = self.config.iter().filter(|found| !asked.contains(&(found.class, found.trait_name)));
        left.map(|found| (asked.iter().any(|(class, _)| *class == found.class), found)).collect()
    }
}

/// A command with its arguments: a list, or a program alone.
pub(crate) fn command(found: &Found<'_>) -> Result<Vec<String>, Error> {
    match found.value {
        Value::Str(program) => Ok(vec![program.clone()]),
        _ => found.strings(),
    }
}
