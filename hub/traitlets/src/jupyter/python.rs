//! Which Python Jupyter runs on: a look at the programs and directories that the environment names, without running it.

use crate::Variables;
use std::{
    fs,
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// What of a Python decides about Jupyter's directories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Python {
    /// Python's `sys.prefix`: the directory that holds its `bin`.
    pub prefix: PathBuf,
    /// It is a virtual environment.
    pub is_virtual: bool,
    /// It sees what users install for themselves.
    pub has_user_site: bool,
    /// The user owns it.
    pub is_own: bool,
}

impl Python {
    /// The Python of the `jupyter-server` or `jupyter` on the search path; without one that of the virtual environment or
    /// Conda environment that is active.
    pub fn find(variables: &Variables) -> Option<Self> {
        let active = || ["VIRTUAL_ENV", "CONDA_PREFIX"].iter().find_map(|name| variables.get(*name).map(PathBuf::from));
        let prefix = program(variables).and_then(|program| prefix_of(&program)).or_else(active)?;
        Some(Self::at(prefix))
    }

    fn at(prefix: PathBuf) -> Self {
        let settings = fs::read_to_string(prefix.join("pyvenv.cfg")).ok();
        let is_own = fs::metadata(&prefix).is_ok_and(|metadata| metadata.uid() == rustix::process::geteuid().as_raw());
        let has_user_site = settings.as_deref().is_none_or(sees_system);
        Self { prefix, is_virtual: settings.is_some(), has_user_site, is_own }
    }
}

fn program(variables: &Variables) -> Option<PathBuf> {
    let path = variables.get("PATH")?;
    let find = |name| std::env::split_paths(path).map(|directory| directory.join(name)).find(|path| path.is_file());
    find("jupyter-server").or_else(|| find("jupyter"))
}

/// The prefix of the Python that a program names in its first line, or in whose `bin` it lies.
fn prefix_of(program: &Path) -> Option<PathBuf> {
    let python = interpreter(program).unwrap_or_else(|| program.to_owned());
    let prefix = python.parent()?.parent()?;
    if prefix.join("pyvenv.cfg").is_file() {
        return Some(prefix.to_owned());
    }
    // Other Pythons know their place by their program's real one.
    Some(python.canonicalize().ok()?.parent()?.parent()?.to_owned())
}

/// The Python after `#!`; none if another program starts it.
fn interpreter(program: &Path) -> Option<PathBuf> {
    let mut start = [0; 512];
    let length = fs::File::open(program).ok()?.read(&mut start).ok()?;
    let line = start[..length].strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let python = Path::new(std::str::from_utf8(line).ok()?.split_whitespace().next()?);
    python.file_name()?.to_str()?.starts_with("python").then(|| python.to_owned())
}

/// Whether a virtual environment with these settings sees what is installed outside.
fn sees_system(settings: &str) -> bool {
    let value = settings.lines().filter_map(|line| line.split_once('=')).find_map(|(key, value)| {
        key.trim().eq_ignore_ascii_case("include-system-site-packages").then(|| value.trim().to_lowercase())
    });
    value.is_none_or(|value| value == "true")
}
