//! What an administrator changes of the hub's pages.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The look of the hub's pages. All of it is text: no HTML.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Pages {
    /// Name of the place, in the head of each page and in the titles of tabs; `Jupyter` by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub title: Option<String>,
    /// The picture beside it: a key of a ConfigMap in this namespace. A new picture is shown within minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logo: Option<ConfigMapKeyRef>,
    /// What everybody should know now, at the top of each page.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2000))]
    pub announcement: Option<String>,
    /// Links at the foot of each page, such as help and imprint.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 12))]
    pub links: Vec<PageLink>,
}

/// A link at the foot of each page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PageLink {
    /// What people read.
    #[schemars(length(min = 1, max = 64))]
    pub text: String,
    /// Where it leads: a whole address of the web, or a path.
    #[schemars(
        length(max = 512),
        regex(pattern = r"^(/([^/\\\s]\S*)?|https?://[A-Za-z0-9][-.A-Za-z0-9]*(:[0-9]{1,5})?(/\S*)?)$")
    )]
    pub url: String,
}

/// A key of a ConfigMap in the Hub's own namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigMapKeyRef {
    /// Name of the ConfigMap.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key in its data or binaryData. Its ending says what kind of picture it is.
    #[schemars(length(max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+\.(svg|png|jpg|jpeg|gif|webp)$"))]
    pub key: String,
}
