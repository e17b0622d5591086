//! The profiles that people choose between when they start a server: who may choose which, and what a choice changes. Pure.
//!
//! The names in forms and options are kubespawner's: `{"profile": "gpu", "image": "torch"}`, sent by a form as `profile=gpu` and
//! `profile-option-gpu--image=torch`. What people send is only ever looked up in what the administrator wrote.

use hub_crds::{Overrides, Profile, ProfileChoice, ProfileOption, UnlistedImage};
use serde_json::{Map, Value};

use crate::{form::Fields, loggable::loggable};

/// Name of the profile among a server's options.
const PROFILE: &str = "profile";
/// What a form sends in place of a choice for an image that people write themselves.
pub const UNLISTED: &str = "unlisted-choice";
/// No image's name is longer.
const LONGEST_IMAGE: usize = 512;

/// Why somebody doesn't get the server that they asked for. The text is for them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("There is no profile that you may choose; ask your administrator for one")]
    NoProfile,
    #[error("No such profile: {asked}. Options include: {}", .offered.join(", "))]
    UnknownProfile { asked: String, offered: Vec<String> },
    #[error("No such choice for {option} of the profile {profile}: {asked}. Options include: {}", .offered.join(", "))]
    UnknownChoice { profile: String, option: String, asked: String, offered: Vec<String> },
    #[error("{option} of the profile {profile} takes no image of your own")]
    NothingUnlisted { profile: String, option: String },
    #[error("{option} of the profile {profile} must be the name of an image that begins with {}", .prefixes.join(" or "))]
    Image { profile: String, option: String, prefixes: Vec<String> },
}

/// The profiles that a user may choose, in the administrator's order.
pub fn offered<'a>(profiles: &'a [Profile], user: &str, groups: &[String]) -> Vec<&'a Profile> {
    let may = |profile: &&Profile| {
        let is_for_all = profile.allowed_users.is_empty() && profile.allowed_groups.is_empty();
        let by_name = || profile.allowed_users.iter().any(|allowed| allowed == user);
        let by_group = || profile.allowed_groups.iter().any(|allowed| groups.contains(allowed));
        is_for_all || by_name() || by_group()
    };
    profiles.iter().filter(may).collect()
}

/// The one that is chosen unless another one is.
pub fn default_of<'a>(offered: &[&'a Profile]) -> Option<&'a Profile> {
    offered.iter().find(|profile| profile.default).or_else(|| offered.first()).copied()
}

/// The choice of an option that is made unless another one is.
pub fn default_choice(option: &ProfileOption) -> Option<&ProfileChoice> {
    option.choices.iter().find(|choice| choice.default).or_else(|| option.choices.first())
}

/// What a server's options change of the pod, in order: the profile first, then each of its options. Options that the profile
/// doesn't have are passed over, as kubespawner does: those of an old server may be of another profile.
///
/// # Errors
/// They name what this user may not choose.
pub fn choose(offered: &[&Profile], options: &Value) -> Result<Vec<Overrides>, Refusal> {
    let profile = profile_of(offered, options)?;
    let mut overrides = vec![profile.overrides.clone()];
    for option in &profile.options {
        overrides.push(choose_option(profile, option, options)?);
    }
    overrides.retain(|overrides| *overrides != Overrides::default());
    Ok(overrides)
}

fn profile_of<'a>(offered: &[&'a Profile], options: &Value) -> Result<&'a Profile, Refusal> {
    let default = default_of(offered).ok_or(Refusal::NoProfile)?;
    let Some(asked) = given(options, PROFILE) else { return Ok(default) };
    let found = offered.iter().find(|profile| asked.as_str() == Some(profile.slug.as_str()));
    found.copied().ok_or_else(|| Refusal::UnknownProfile {
        asked: shown(asked),
        offered: offered.iter().map(|profile| profile.slug.clone()).collect(),
    })
}

fn choose_option(profile: &Profile, option: &ProfileOption, options: &Value) -> Result<Overrides, Refusal> {
    if let Some(image) = given(options, &unlisted_key(&option.slug)) {
        return unlisted(profile, option, image);
    }
    let (chosen, asked) = match given(options, &option.slug) {
        None => (default_choice(option), &Value::Null),
        Some(asked) => (option.choices.iter().find(|choice| asked.as_str() == Some(choice.slug.as_str())), asked),
    };
    let unknown = || Refusal::UnknownChoice {
        profile: profile.slug.clone(),
        option: option.slug.clone(),
        asked: shown(asked),
        offered: option.choices.iter().map(|choice| choice.slug.clone()).collect(),
    };
    chosen.map(|choice| choice.overrides.clone()).ok_or_else(unknown)
}

/// An image that the user wrote, which the administrator's beginnings bound.
fn unlisted(profile: &Profile, option: &ProfileOption, image: &Value) -> Result<Overrides, Refusal> {
    let (profile, option_slug) = (profile.slug.clone(), option.slug.clone());
    let Some(UnlistedImage { prefixes, .. }) = &option.unlisted_image else {
        return Err(Refusal::NothingUnlisted { profile, option: option_slug });
    };
    match image.as_str().map(str::trim).filter(|image| is_image_below(image, prefixes)) {
        Some(image) => Ok(Overrides { image: Some(image.to_owned()), ..Overrides::default() }),
        None => Err(Refusal::Image { profile, option: option_slug, prefixes: prefixes.clone() }),
    }
}

/// The grammar of image references, as far as it keeps a name from meaning another registry's.
fn is_image_below(image: &str, prefixes: &[String]) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
    let rest = prefixes.iter().find_map(|prefix| image.strip_prefix(prefix.as_str()));
    image.len() <= LONGEST_IMAGE
        && image.chars().all(is_plain)
        && rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphanumeric()) && !rest.contains(".."))
        && !image.contains("//")
}

/// A value that says something.
fn given<'a>(options: &'a Value, name: &str) -> Option<&'a Value> {
    options.get(name).filter(|value| !value.is_null() && value.as_str() != Some(""))
}

fn unlisted_key(option: &str) -> String {
    format!("{option}--{UNLISTED}")
}

/// What somebody sent, fit for a message.
fn shown(value: &Value) -> String {
    loggable(value.as_str().map_or_else(|| value.to_string(), str::to_owned).as_str())
}

/// The name of a field in a form: `profile-option-gpu--image`.
pub fn field(profile: &str, option: &str) -> String {
    format!("profile-option-{profile}--{option}")
}

/// The name of the field for an image of one's own.
pub fn unlisted_field(profile: &str, option: &str) -> String {
    field(profile, &unlisted_key(option))
}

/// A server's options, as a form has them; `None` if it says nothing of a profile. A form without scripts sends the fields of
/// all profiles, of which those of the chosen one count; and it sends the field for an image also if it wasn't asked for.
pub fn read_form(fields: &Fields) -> Option<Map<String, Value>> {
    let profile = fields.get(PROFILE).filter(|profile| !profile.is_empty())?;
    let mut options = Map::from_iter([(PROFILE.to_owned(), profile.into())]);
    let prefix = field(profile, "");
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
        if let Some(option) = name.strip_prefix(&prefix).filter(|option| !option.is_empty()) {
            options.insert(option.to_owned(), value.into());
        }
    }
    let chosen: Vec<String> = options.keys().filter(|name| !name.contains("--")).cloned().collect();
    for option in chosen {
        if options[&option] == UNLISTED {
            options.remove(&option);
        } else {
            options.remove(&unlisted_key(&option));
        }
    }
    Some(options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn profiles() -> Vec<Profile> {
        serde_json::from_value(json!([
            {"slug": "small", "displayName": "Small"},
            {
                "slug": "gpu", "displayName": "GPU", "allowedGroups": ["ml"], "allowedUsers": ["zoe"],
                "overrides": {"cpu": {"limit": 4}},
                "options": [{
                    "slug": "image", "displayName": "Image",
                    "choices": [
                        {"slug": "torch", "displayName": "PyTorch", "overrides": {"image": "torch:2"}},
                        {"slug": "jax", "displayName": "JAX", "default": true, "overrides": {"image": "jax:1"}},
                    ],
                    "unlistedImage": {"displayName": "Another", "prefixes": ["quay.io/jupyter/"]},
                }],
            },
        ]))
        .unwrap()
    }

    fn chosen(user: &str, groups: &[&str], options: &Value) -> Result<Vec<Value>, String> {
        let (profiles, groups) = (profiles(), groups.iter().map(|group| (*group).to_owned()).collect::<Vec<_>>());
        let overrides = choose(&offered(&profiles, user, &groups), options).map_err(|refusal| refusal.to_string())?;
        Ok(overrides.into_iter().map(|overrides| serde_json::to_value(overrides).unwrap()).collect())
    }

    #[test]
    fn a_profile_is_for_everybody_or_for_those_it_names() {
        let profiles = profiles();
        let slugs = |user: &str, groups: &[&str]| -> Vec<String> {
            let groups: Vec<_> = groups.iter().map(|group| (*group).to_owned()).collect();
            offered(&profiles, user, &groups).iter().map(|profile| profile.slug.clone()).collect()
        };
        assert_eq!(slugs("ann", &[]), ["small"]);
        assert_eq!(slugs("ann", &["biology"]), ["small"]);
        assert_eq!(slugs("ann", &["biology", "ml"]), ["small", "gpu"]);
        assert_eq!(slugs("zoe", &[]), ["small", "gpu"]);
    }

    #[test]
    fn what_is_not_said_is_the_default_and_what_is_not_known_is_passed_over() {
        assert_eq!(chosen("ann", &[], &Value::Null), Ok(vec![]));
        assert_eq!(chosen("ann", &[], &json!({"colour": "red", "image": "torch"})), Ok(vec![]));
        let gpu = json!({"cpu": {"limit": 4}});
        assert_eq!(chosen("zoe", &[], &json!({"profile": "gpu"})), Ok(vec![gpu.clone(), json!({"image": "jax:1"})]));
        let options = json!({"profile": "gpu", "image": "torch"});
        assert_eq!(chosen("zoe", &[], &options), Ok(vec![gpu, json!({"image": "torch:2"})]));
    }

    #[test]
    fn the_default_profile_is_the_marked_one_or_the_first() {
        let mut profiles = profiles();
        assert_eq!(default_of(&offered(&profiles, "zoe", &[])).unwrap().slug, "small");
        profiles[1].default = true;
        assert_eq!(default_of(&offered(&profiles, "zoe", &[])).unwrap().slug, "gpu");
        profiles.remove(0);
        assert_eq!(default_of(&offered(&profiles, "ann", &[])), None);
        assert_eq!(choose(&[], &Value::Null), Err(Refusal::NoProfile));
    }

    #[test]
    fn nothing_but_what_is_listed_can_be_chosen_row_52() {
        for (options, expected) in [
            (json!({"profile": "gpu"}), "No such profile: gpu. Options include: small"),
            (json!({"profile": ["small"]}), "No such profile: [\\\"small\\\"]. Options include: small"),
            (
                json!({"profile": {"image": "evil"}}),
                "No such profile: {\\\"image\\\":\\\"evil\\\"}. Options include: small",
            ),
            (json!({"profile": "Small"}), "No such profile: Small. Options include: small"),
        ] {
            assert_eq!(chosen("ann", &[], &options), Err(expected.to_owned()), "{options}");
        }
        for image in
            [json!("evil"), json!("TORCH"), json!(7), json!({"image": "x"}), json!("torch:2"), json!("{username}")]
        {
            let refused = chosen("zoe", &[], &json!({"profile": "gpu", "image": image})).unwrap_err();
            assert!(refused.starts_with("No such choice for image of the profile gpu: "), "{refused}");
            assert!(refused.ends_with("Options include: torch, jax"), "{refused}");
        }
        // kubespawner's own settings are no options: they change nothing.
        let forged = json!({"profile": "small", "kubespawner_override": {"image": "evil"}, "overrides": {"image": "evil"}, "image": "evil", "privileged": true});
        assert_eq!(chosen("zoe", &[], &forged), Ok(vec![]));
    }

    #[test]
    fn an_image_of_ones_own_begins_as_the_administrator_says_row_52() {
        let image = |image: &str| chosen("zoe", &[], &json!({"profile": "gpu", "image--unlisted-choice": image}));
        for good in ["quay.io/jupyter/base", "quay.io/jupyter/base:1.2-x@sha256:ab", " quay.io/jupyter/a/b_c "] {
            assert_eq!(image(good).unwrap()[1], json!({"image": good.trim()}), "{good}");
        }
        for bad in [
            "quay.io/jupyter/",
            "quay.io/jupyterx/base",
            "evil.io/quay.io/jupyter/base",
            "quay.io/jupyter/../evil/x",
            "quay.io/jupyter//x",
            "quay.io/jupyter/x y",
            "quay.io/jupyter/$(TOKEN)",
            "quay.io/jupyter/{username}",
            "quay.io/jupyter/x\n",
            "QUAY.IO/jupyter/x",
        ] {
            let refused = image(bad);
            // Spaces at the ends are nobody's intention.
            if bad.ends_with('\n') {
                assert_eq!(refused.unwrap()[1], json!({"image": "quay.io/jupyter/x"}));
                continue;
            }
            let words = "image of the profile gpu must be the name of an image that begins with quay.io/jupyter/";
            assert_eq!(refused, Err(words.to_owned()), "{bad}");
        }
        assert!(image(&format!("quay.io/jupyter/{}", "x".repeat(LONGEST_IMAGE))).is_err());
        let mut without = profiles();
        without[1].options[0].unlisted_image = None;
        let refused = choose(&[&without[1]], &json!({"image--unlisted-choice": "quay.io/jupyter/x"})).unwrap_err();
        assert_eq!(refused.to_string(), "image of the profile gpu takes no image of your own");
    }

    #[test]
    fn a_form_says_what_kubespawners_says() {
        let read = |form: &str| read_form(&Fields::parse(form.as_bytes())).map(Value::Object);
        assert_eq!(read("_xsrf=1"), None);
        assert_eq!(read("profile="), None);
        assert_eq!(read("profile=small&profile-option-gpu--image=torch"), Some(json!({"profile": "small"})));
        let unlisted = "profile-option-gpu--image--unlisted-choice=quay.io/jupyter/x";
        assert_eq!(
            read(&format!("profile=gpu&profile-option-gpu--image=torch&{unlisted}")),
            Some(json!({"profile": "gpu", "image": "torch"}))
        );
        assert_eq!(
            read(&format!("profile=gpu&profile-option-gpu--image=unlisted-choice&{unlisted}")),
            Some(json!({"profile": "gpu", "image--unlisted-choice": "quay.io/jupyter/x"}))
        );
    }
}
