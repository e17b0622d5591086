//! `generate`: files that are made from code and kept in the checkout. A test of the `hub-crds` crate fails when they lag.

use std::fs;

use anyhow::{Context, Result};
use kube::ResourceExt;

use crate::{places::Places, progress::up_to_date};

/// Its custom resources are people's Hubs: uninstalling a chart must not delete them.
const KEEP: (&str, &str) = ("helm.sh/resource-policy", "keep");
const HEADER: &str = "# Generated from the types in crds/ by `cargo e2e generate`.\n";

pub(super) fn run(places: &Places) -> Result<()> {
    for (path, text) in
        [("crds/hub.yaml", hub_crds::crd_yaml()?), ("charts/hub-crds/templates/hub.yaml", chart_template()?)]
    {
        let file = places.repository.join(path);
        if fs::read_to_string(&file).is_ok_and(|there| there == text) {
            up_to_date(path);
            continue;
        }
        fs::create_dir_all(file.parent().context("a generated file has a directory")?)?;
        fs::write(&file, text).with_context(|| format!("failed to write {path}"))?;
        eprintln!("✓ {path}  written");
    }
    Ok(())
}

/// The definition as a template of its chart.
fn chart_template() -> Result<String> {
    let mut crd = hub_crds::crd();
    crd.annotations_mut().insert(KEEP.0.to_owned(), KEEP.1.to_owned());
    Ok(format!("{HEADER}{}", escaped(&serde_yaml::to_string(&crd)?)))
}

/// Text that Helm's templates give back as it was.
fn escaped(text: &str) -> String {
    text.replace("{{", "{{ \"{{\" }}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chart_has_the_definition_and_keeps_it() {
        let written =
            std::fs::read_to_string(Places::find().unwrap().repository.join("charts/hub-crds/templates/hub.yaml"));
        assert!(
            written.unwrap_or_default() == chart_template().unwrap(),
            "the chart's copy is out of date: run `cargo e2e generate`"
        );
        assert!(chart_template().unwrap().contains("helm.sh/resource-policy: keep"));
    }

    #[test]
    fn braces_survive_helm() {
        assert_eq!(escaped("a {{b}}"), "a {{ \"{{\" }}b}}");
    }
}
