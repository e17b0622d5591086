//! What `hub local` shows of a Hub that is to be applied.

use anyhow::Context;
use hub_crds::{Hub, Landing, Profile, ServerLimits, config::PagesConfig};
use std::{fs, path::Path};

use crate::config::check_pages;

/// What people see of a Hub, and what they may choose.
#[derive(Debug, Default)]
pub(super) struct Preview {
    pub(super) pages: PagesConfig,
    pub(super) profiles: Vec<Profile>,
    pub(super) limits: ServerLimits,
    pub(super) landing: Landing,
}

impl Preview {
    /// Reads a Hub. A logo, which a ConfigMap has, is not there.
    ///
    /// # Errors
    /// It isn't one, or its pages can't be shown; says which field is wrong.
    pub(super) fn read(file: &Path) -> anyhow::Result<Self> {
        let why = || format!("failed to preview {}", file.display());
        let text = fs::read_to_string(file).with_context(why)?;
        let hub: Hub = serde_path_to_error::deserialize(serde_yaml::Deserializer::from_str(&text)).with_context(why)?;
        let spec = hub.spec;
        let pages = PagesConfig {
            title: spec.pages.title,
            logo_file: None,
            announcement: spec.pages.announcement,
            links: spec.pages.links,
        };
        check_pages(&pages).map_err(|(field, remedy)| anyhow::anyhow!("{}: spec.{field}: {remedy}", why()))?;
        Ok(Self { pages, profiles: spec.singleuser.profiles, limits: spec.hub.servers, landing: spec.hub.landing })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(spec: &str) -> Result<Preview, String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("hub.yaml");
        let head = "apiVersion: jupyter.rs/v1alpha1\nkind: Hub\nmetadata: {name: jhub}\n";
        fs::write(&file, format!("{head}spec: {spec}\n")).unwrap();
        Preview::read(&file).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn what_people_see_is_read_and_what_is_wrong_is_named() {
        let preview = read(
            "{pages: {title: Physics, logo: {name: logo, key: logo.svg}}, hub: {allowNamedServers: true}, \
             singleuser: {profiles: [{slug: small, displayName: Small}]}}",
        );
        let preview = preview.unwrap();
        assert_eq!((preview.pages.title.as_deref(), preview.pages.logo_file), (Some("Physics"), None));
        assert_eq!((preview.profiles[0].slug.as_str(), preview.limits.allow_named_servers), ("small", true));
        let refused = read("{pages: {links: [{text: x, url: 'javascript:x'}]}}").unwrap_err();
        assert!(refused.contains("spec.pages.links: `javascript:x` is neither"), "{refused}");
        let refused = read("{singleuser: {profiles: [{displayName: Small}]}}").unwrap_err();
        assert!(refused.contains("slug"), "{refused}");
    }
}
