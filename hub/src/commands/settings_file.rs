//! The settings that `--config` names: the operator's, or those in JupyterHub's names.

use hub_crds::config::HubConfig;
use hub_traitlets::{Config, Variables, load};
use std::{fs, path::Path};

use crate::config;

/// Whose names the settings have.
pub(super) enum Found {
    JupyterHubs(Config),
    Operators(Box<HubConfig>),
}

/// Reads a file; `flags` are settings of the command line, such as `--JupyterHub.ip=127.0.0.1`.
///
/// # Errors
/// It can't be read, or flags are given where the settings have other names.
pub(super) fn find_settings(path: &Path, flags: Config, variables: &Variables) -> anyhow::Result<Found> {
    if is_operators(path) {
        if let Some(flag) = flags.iter().next() {
            anyhow::bail!(
                "failed to use the flag --{}: the settings of {} have other names; write it there",
                flag.name(),
                path.display()
            );
        }
        return Ok(Found::Operators(Box::new(config::load(path)?)));
    }
    let mut config = load(&["jupyterhub_config"], &[], Some(path), variables)?;
    config.merge(flags);
    Ok(Found::JupyterHubs(config))
}

/// Whether a file is the operator's: in YAML, and no key of it is the name of a class, which begins with a capital.
fn is_operators(path: &Path) -> bool {
    let is_yaml = path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
    // One that can't be read is complained of as the operator's.
    is_yaml && fs::read_to_string(path).map_or(true, |text| is_operators_text(&text))
}

fn is_operators_text(text: &str) -> bool {
    let document = match serde_yaml::from_str(text) {
        Ok(serde_yaml::Value::Mapping(document)) => document,
        Ok(serde_yaml::Value::Null) => return true,
        // People write them by hand, the operator doesn't; what is wrong is told without a word of what is in it.
        _ => return false,
    };
    let mut keys = document.keys().filter_map(serde_yaml::Value::as_str);
    !keys.any(|key| key.starts_with(char::is_uppercase) || key == "version")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_in_yaml_are_jupyterhubs_if_their_keys_are_classes() {
        for (text, is_operators) in [
            ("JupyterHub: {ip: 127.0.0.1}", false),
            ("version: 1\nSpawner: {}", false),
            ("version: 1", false),
            ("baseUrl: /\nbind: 0.0.0.0:8081", true),
            ("", true),
            ("[", false),
            ("c = get_config()", false),
        ] {
            assert_eq!(is_operators_text(text), is_operators, "{text}");
        }
    }
}
