//! Jupyter's directories, as `jupyter_core` 5.9 finds them on Linux and macOS. Pure, but for
//! `Environment::current`.

mod python;

pub use python::Python;

use crate::Variables;
use std::{
    env,
    path::{Path, PathBuf},
};

/// What decides about the directories.
#[derive(Debug, Clone)]
pub struct Environment {
    pub variables: Variables,
    /// The user's home directory, without symbolic links.
    pub home: PathBuf,
    pub is_macos: bool,
    /// The Python that Jupyter runs on; `None` if there is none, then there are no directories of it either.
    pub python: Option<Python>,
}

impl Environment {
    /// This process's.
    pub fn current() -> Self {
        let variables: Variables = env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let home = env::home_dir().unwrap_or_else(|| PathBuf::from("/"));
        let home = home.canonicalize().unwrap_or(home);
        let python = Python::find(&variables);
        Self { variables, home, is_macos: cfg!(target_os = "macos"), python }
    }

    /// Where the user's settings are written and read; `None` with `JUPYTER_NO_CONFIG`, which makes Jupyter do both in an
    /// empty temporary directory.
    pub fn config_dir(&self) -> Option<PathBuf> {
        if self.variable("JUPYTER_NO_CONFIG").is_some() {
            return None;
        }
        Some(match self.variable("JUPYTER_CONFIG_DIR") {
            Some(directory) => directory.into(),
            None if self.uses_platform_dirs() => self.platform_dir("XDG_CONFIG_HOME", ".config"),
            None => self.home.join(".jupyter"),
        })
    }

    /// Where settings files are searched for, the one that wins first.
    pub fn config_path(&self) -> Vec<PathBuf> {
        let Some(config_dir) = self.config_dir() else {
            return Vec::new();
        };
        let mut path: Vec<PathBuf> = self.variable("JUPYTER_CONFIG_PATH").map_or_else(Vec::new, |directories| {
            directories.split(':').map(|directory| directory.trim_end_matches('/').into()).collect()
        });
        let mut user = vec![config_dir];
        if let Some(base) = self.user_base().map(|base| base.join("etc/jupyter"))
            && !user.contains(&base)
        {
            user.push(base);
        }
        let system = self.system_config_path();
        let prefix = self.python.as_ref().map(|python| python.prefix.join("etc/jupyter"));
        let prefix = prefix.filter(|directory| !system.contains(directory));
        if self.prefers_python() {
            path.extend(prefix);
            path.extend(user);
        } else {
            path.extend(user);
            path.extend(prefix);
        }
        path.extend(system);
        path
    }

    /// Where data is kept for the user.
    pub fn data_dir(&self) -> PathBuf {
        match (self.variable("JUPYTER_DATA_DIR"), self.variable("XDG_DATA_HOME")) {
            (Some(directory), _) => directory.into(),
            _ if self.uses_platform_dirs() => self.platform_dir("XDG_DATA_HOME", ".local/share"),
            _ if self.is_macos => self.home.join("Library/Jupyter"),
            (None, Some(data)) => Path::new(data).join("jupyter"),
            (None, None) => self.home.join(".local/share/jupyter"),
        }
    }

    /// Where running servers note themselves.
    pub fn runtime_dir(&self) -> PathBuf {
        self.variable("JUPYTER_RUNTIME_DIR").map_or_else(|| self.data_dir().join("runtime"), PathBuf::from)
    }

    fn system_config_path(&self) -> Vec<PathBuf> {
        if !self.uses_platform_dirs() {
            return vec!["/usr/local/etc/jupyter".into(), "/etc/jupyter".into()];
        }
        let named: Vec<_> =
            self.variable("XDG_CONFIG_DIRS").into_iter().flat_map(|all| all.split(':')).filter_map(absolute).collect();
        match named.as_slice() {
            [] if self.is_macos => vec!["/Library/Application Support/Jupyter".into()],
            [] => vec!["/etc/xdg/jupyter".into()],
            named => named.iter().map(|directory| Path::new(directory).join(self.name())).collect(),
        }
    }

    fn user_base(&self) -> Option<PathBuf> {
        let is_used = self.python.as_ref().is_none_or(|python| python.has_user_site)
            && self.variable("PYTHONNOUSERSITE").is_none();
        is_used.then(|| self.variable("PYTHONUSERBASE").map_or_else(|| self.home.join(".local"), PathBuf::from))
    }

    /// Whether the directory of the Python wins over the user's.
    fn prefers_python(&self) -> bool {
        if let Some(preference) = self.variables.get("JUPYTER_PREFER_ENV_PATH") {
            return is_yes(preference);
        }
        let Some(python) = self.python.as_ref().filter(|python| python.is_own) else {
            return false;
        };
        let is_conda = || {
            let conda = self.variables.get("CONDA_PREFIX");
            conda.is_some_and(|conda| python.prefix.to_string_lossy().starts_with(conda.as_str()))
                && self.variables.get("CONDA_DEFAULT_ENV").is_some_and(|name| name != "base")
        };
        python.is_virtual || is_conda()
    }

    fn uses_platform_dirs(&self) -> bool {
        self.variables.get("JUPYTER_PLATFORM_DIRS").is_some_and(|value| is_yes(value))
    }

    /// The user's directory as the platform's rules have it: below `variable` if set, otherwise below `default` at home.
    fn platform_dir(&self, variable: &str, default: &str) -> PathBuf {
        let base = match self.variable(variable).and_then(absolute) {
            Some(directory) => directory.into(),
            None if self.is_macos => self.home.join("Library/Application Support"),
            None => self.home.join(default),
        };
        base.join(self.name())
    }

    fn name(&self) -> &'static str {
        let is_homebrew = || self.python.as_ref().is_some_and(|python| python.prefix.starts_with("/opt/homebrew"));
        if self.is_macos && !is_homebrew() { "Jupyter" } else { "jupyter" }
    }

    /// A variable, unless it is empty.
    fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// A variable that is set means yes, unless it says no.
fn is_yes(value: &str) -> bool {
    !matches!(value.to_lowercase().as_str(), "no" | "n" | "false" | "off" | "0" | "0.0")
}

/// XDG's rule: a directory that isn't absolute is passed over.
fn absolute(directory: &str) -> Option<&str> {
    directory.starts_with('/').then_some(directory)
}
