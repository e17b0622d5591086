//! The room that reads settings files.

use crate::{Config, Error, Variables, document, python};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A larger settings file is refused.
const MAX_LENGTH: u64 = 1 << 20;

/// Reads the settings files `NAME.py` and `NAME.json` of each of `names` in each of `directories`, as traitlets does it:
/// a later name wins over an earlier one wherever they are, a directory that stands earlier wins over a later one, and
/// JSON wins over Python next to it. `file`, what `--config` names, stands in for the search for the last name.
///
/// # Errors
/// A file that is there can't be read or used, or the one that `file` names isn't there.
pub fn load(
    names: &[&str],
    directories: &[PathBuf],
    file: Option<&Path>,
    variables: &Variables,
) -> Result<Config, Error> {
    let mut config = Config::default();
    let searched = if file.is_some() { &names[..names.len().saturating_sub(1)] } else { names };
    for name in searched {
        for directory in directories.iter().rev() {
            merge_both(&mut config, &directory.join(name), variables)?;
        }
    }
    if let Some(file) = file {
        merge_named(&mut config, file, variables)?;
    }
    Ok(config)
}

/// The file that `--config` names: in YAML, or as traitlets has it `.py` and `.json` whichever of them is named.
fn merge_named(config: &mut Config, file: &Path, variables: &Variables) -> Result<(), Error> {
    let is_yaml = file.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
    if is_yaml && file.is_file() {
        config.merge(document::from_yaml(&read(file)?, file)?);
    } else if is_yaml || !merge_both(config, &file.with_extension(""), variables)? {
        let message = match file.is_file() {
            true => "--config names it, and its name ends in none of .py, .json, .yaml and .yml; rename it",
            false => "--config names it, and it isn't there; correct the name or leave --config out",
        };
        let message = message.to_owned();
        return Err(Error::File { path: file.to_owned(), message });
    }
    Ok(())
}

/// Merges `<stem>.py` and `<stem>.json`; whether there was one.
fn merge_both(config: &mut Config, stem: &Path, variables: &Variables) -> Result<bool, Error> {
    let mut is_found = false;
    let path = with_ending(stem, "py");
    if path.is_file() {
        config.merge(python::settings(&read(&path)?, &path, variables)?);
        is_found = true;
    }
    let path = with_ending(stem, "json");
    if path.is_file() {
        config.merge(document::from_json(&read(&path)?, &path)?);
        is_found = true;
    }
    Ok(is_found)
}

/// Unlike `with_extension`, keeps a dot in the name.
fn with_ending(stem: &Path, ending: &str) -> PathBuf {
    let mut path = stem.as_os_str().to_owned();
    path.push(".");
    path.push(ending);
    path.into()
}

fn read(path: &Path) -> Result<String, Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    if fs::metadata(path).map_err(failed)?.len() > MAX_LENGTH {
        let message = format!("it is longer than {MAX_LENGTH} bytes; keep only settings in it");
        return Err(Error::File { path: path.to_owned(), message });
    }
    fs::read_to_string(path).map_err(failed)
}
