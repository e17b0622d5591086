//! The API's description of itself: it is complete, and every answer that a test of this suite sees is as described.

use axum::http::{Method, StatusCode};
use hub::router;
use serde_json::{Map, Value};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use crate::{
    browser::Answer,
    test_hub::{ADMIN_TOKEN, Settings, TestHub},
};

mod schema;

const METHODS: [&str; 7] = ["get", "head", "post", "put", "patch", "delete", "options"];

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| hub::openapi::document("/hub/api").unwrap());

fn paths() -> &'static Map<String, Value> {
    DOCUMENT["paths"].as_object().unwrap()
}

/// Fails unless the answer to a request below the API's path is one that is described.
pub(crate) fn check(method: &Method, path: &str, answer: &Answer) {
    let Some((template, operation)) = find(method, path) else {
        let refused = matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED);
        assert!(refused || method == Method::OPTIONS, "{method} {path} is not described: {}", answer.status);
        return;
    };
    let told = format!("{method} {template} answered {}: {}", answer.status, answer.text);
    let described = schema::resolve(&DOCUMENT, &operation["responses"][answer.status.as_str()]);
    assert!(described.is_object(), "a status that is not described; {told}");
    let Some(content) = described.get("content") else {
        assert_eq!(answer.text, "", "a body that is not described; {told}");
        return;
    };
    let kind = answer.header("content-type").split(';').next().unwrap();
    let schema = content.get(kind).unwrap_or_else(|| panic!("the type {kind:?} is not described; {told}"));
    if kind == "application/json"
        && let Err(mismatch) = schema::check(&DOCUMENT, &schema["schema"], &answer.json())
    {
        panic!("{mismatch}; {told}");
    }
}

/// The operation of a request, and the path that it is described by.
fn find(method: &Method, path: &str) -> Option<(&'static str, &'static Value)> {
    let path = if path.is_empty() { "/" } else { path };
    let (template, item) =
        paths().iter().filter(|(template, _)| fits(template, path)).min_by_key(|(template, _)| {
            // `/users/{name}/tokens` is closer than `/users/{name}/{other}`.
            template.matches('{').count()
        })?;
    Some((template, item.get(method.as_str().to_lowercase())?))
}

fn fits(template: &str, path: &str) -> bool {
    let is_parameter = |segment: &str| segment.starts_with('{');
    let (templates, segments): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    templates.len() == segments.len()
        && templates.iter().zip(&segments).all(|(template, segment)| match is_parameter(template) {
            true => !segment.is_empty(),
            false => template == segment,
        })
}

/// The methods of each path, as the router has them: it tells them to whoever uses another. It counts HEAD to every GET;
/// whether that is so is tried.
async fn routed(hub: &TestHub) -> BTreeMap<String, BTreeSet<String>> {
    let mut routed = BTreeMap::new();
    for path in router::paths() {
        let Some(path) = path.strip_prefix("api") else { continue };
        let some = path.replace(['{', '}'], "");
        let answer = hub.api(Method::TRACE, &some, "", None).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        let mut methods: BTreeSet<_> = answer.header("allow").split(',').map(str::to_lowercase).collect();
        if hub.api(Method::HEAD, &some, "", None).await.status == StatusCode::METHOD_NOT_ALLOWED {
            methods.remove("head");
        }
        routed.insert(if path.is_empty() { "/".to_owned() } else { path.to_owned() }, methods);
    }
    routed
}

fn described() -> BTreeMap<String, BTreeSet<String>> {
    let methods = |item: &Value| {
        let keys = item.as_object().unwrap().keys();
        keys.filter(|key| METHODS.contains(&key.as_str())).cloned().collect()
    };
    paths().iter().map(|(path, item)| (path.clone(), methods(item))).collect()
}

#[tokio::test]
async fn what_is_routed_is_described_and_the_other_way_round() {
    let routed = routed(&TestHub::new().await).await;
    assert_eq!(described(), routed);
}

#[tokio::test]
async fn the_description_is_for_anyone_and_says_where_the_api_is() {
    let hub = TestHub::with(Settings { base_url: "/base/", ..Settings::default() }).await;
    let mut browser = hub.browser();
    let answer = browser.get("/base/hub/api/openapi.json").await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, "application/json"));
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert_eq!(answer.json()["servers"][0]["url"], "/base/hub/api");
}

#[test]
fn every_reference_leads_somewhere_and_every_operation_has_a_name_of_its_own() {
    fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(object) => {
                found.extend(object.get("$ref").and_then(Value::as_str));
                object.values().for_each(|value| references(value, found));
            }
            Value::Array(array) => array.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    references(&DOCUMENT, &mut found);
    for reference in &found {
        assert!(DOCUMENT.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
    }
    let mut names = BTreeSet::new();
    for (path, item) in paths() {
        for (method, operation) in item.as_object().unwrap().iter().filter(|(key, _)| METHODS.contains(&key.as_str())) {
            let name = operation["operationId"].as_str().unwrap_or_else(|| panic!("{method} {path}"));
            assert!(names.insert(name), "{name} is the name of two operations");
        }
    }
    let parts = DOCUMENT["components"].as_object().unwrap().iter().filter(|(kind, _)| *kind != "securitySchemes");
    for (kind, part) in parts.flat_map(|(kind, parts)| parts.as_object().unwrap().keys().map(move |key| (kind, key))) {
        // What a stream's events look like stands in words only.
        let used = found.contains(format!("#/components/{kind}/{part}").as_str()) || part == "ProgressEvent";
        assert!(used, "{kind}/{part} is used nowhere");
    }
}

#[tokio::test]
async fn a_path_that_is_not_utf8_is_a_bad_request_like_any_other() {
    let hub = TestHub::new().await;
    let answer = hub.get("/users/%FF", ADMIN_TOKEN).await;
    assert_eq!((answer.status, answer.json()["status"].as_u64()), (StatusCode::BAD_REQUEST, Some(400)));
    let page = hub.browser().get("/hub/spawn/%FF").await;
    assert!(page.status == StatusCode::BAD_REQUEST && page.text.contains("<html"), "{} {}", page.status, page.text);
}
