//! Settings that nobody knows, with the name that was probably meant.

use crate::{Config, Found};
use std::fmt;
use strsim::damerau_levenshtein;

/// A setting that isn't known.
#[derive(Debug, Clone)]
pub struct Unknown<'a> {
    pub setting: Found<'a>,
    /// The known setting that looks most like it, `ServerApp.port`.
    pub suggestion: Option<String>,
}

/// A sentence for whoever wrote it.
impl fmt::Display for Unknown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {} is not known; ", self.setting.name(), self.setting.origin)?;
        match &self.suggestion {
            Some(suggestion) => write!(f, "write {suggestion} if you mean that"),
            None => f.write_str("remove it or correct its name"),
        }
    }
}

impl Config {
    /// The settings that aren't among `known`, which are classes with their traits.
    pub fn unknown<'a>(&'a self, known: &[(&str, &[&str])]) -> Vec<Unknown<'a>> {
        let is_known = |found: &Found<'_>| {
            known.iter().any(|(class, traits)| *class == found.class && traits.contains(&found.trait_name))
        };
        let unknown = self.iter().filter(|found| !is_known(found));
        unknown.map(|setting| Unknown { setting, suggestion: suggestion(&setting, known) }).collect()
    }
}

fn suggestion(unknown: &Found<'_>, known: &[(&str, &[&str])]) -> Option<String> {
    let names = known.iter().flat_map(|(class, traits)| traits.iter().map(move |trait_name| (*class, *trait_name)));
    let distances = names.filter_map(|(class, trait_name)| {
        let in_trait = damerau_levenshtein(trait_name, unknown.trait_name);
        // The right trait in a wrong class is likely, whatever the class is called.
        let in_class = damerau_levenshtein(class, unknown.class).min(3);
        (in_trait <= trait_name.len() / 3).then_some((in_trait + in_class, class, trait_name))
    });
    let (_, class, trait_name) = distances.min_by_key(|(distance, ..)| *distance)?;
    Some(format!("{class}.{trait_name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Origin, Value};

    #[test]
    fn an_unknown_setting_comes_with_the_name_that_was_meant() {
        let known: [(&str, &[&str]); 2] = [
            ("ServerApp", &["ip", "port", "allow_origin", "allow_origin_pat"]),
            ("IdentityProvider", &["token", "cookie_name"]),
        ];
        for (class, trait_name, suggestion) in [
            ("ServerApp", "prot", Some("ServerApp.port")),
            ("ServerApp", "allow_orgin", Some("ServerApp.allow_origin")),
            ("SeverApp", "port", Some("ServerApp.port")),
            ("ServerApp", "cookie_name", Some("IdentityProvider.cookie_name")),
            ("ServerApp", "tokne", Some("IdentityProvider.token")),
            ("ServerApp", "i", None),
            ("ServerApp", "root_dir", None),
        ] {
            let mut config = Config::default();
            config.set(class, trait_name, Value::None, Origin::CommandLine);
            config.set("ServerApp", "port", Value::None, Origin::CommandLine);
            let unknown = config.unknown(&known);
            assert_eq!((unknown.len(), unknown[0].suggestion.as_deref()), (1, suggestion), "{class}.{trait_name}");
        }
        let mut config = Config::default();
        config.set("ServerApp", "prot", Value::None, Origin::CommandLine);
        let expected = "ServerApp.prot from the command line is not known; write ServerApp.port if you mean that";
        assert_eq!(config.unknown(&known)[0].to_string(), expected);
    }
}
