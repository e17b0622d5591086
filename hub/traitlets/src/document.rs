//! Settings in a document of one object for each class: traitlets' JSON, `{"ServerApp": {"port": 8888}, "version": 1}`,
//! and the same in YAML, which is ours.

use crate::{Config, Error, Origin, Value};
use std::{collections::BTreeMap, path::Path};

type Document = BTreeMap<String, Value>;

/// # Errors
/// It isn't JSON, or not of that shape.
pub(crate) fn from_json(text: &str, path: &Path) -> Result<Config, Error> {
    let document = serde_json::from_str(text).map_err(|error| {
        let origin = Origin::File { path: path.to_owned(), line: Some(error.line()) };
        // The library's own text may hold a piece of the file.
        let message = match error.classify() {
            serde_json::error::Category::Eof => "the file ends too early; close what is open",
            serde_json::error::Category::Syntax => {
                "this isn't JSON; look for a missing quote or comma, or one too many"
            }
            _ => "write one object: {\"ServerApp\": {\"port\": 8888}} for example",
        };
        Error::Place { origin, message: message.to_owned() }
    })?;
    config(document, path)
}

/// # Errors
/// It isn't YAML, or not of that shape.
pub(crate) fn from_yaml(text: &str, path: &Path) -> Result<Config, Error> {
    let document = serde_yaml::from_str(text).map_err(|error| {
        let line = error.location().map(|location| location.line());
        let message = "these aren't settings in YAML; write a class, and below it indented `port: 8888` for example";
        Error::Place { origin: Origin::File { path: path.to_owned(), line }, message: message.to_owned() }
    })?;
    config(document, path)
}

fn config(document: Document, path: &Path) -> Result<Config, Error> {
    let complain = |message: String| Err(Error::File { path: path.to_owned(), message });
    let mut config = Config::default();
    for (class, traits) in document {
        if class == "version" {
            if traits != Value::Int(1) {
                return complain("its `version` isn't 1, the only one there is; write \"version\": 1".to_owned());
            }
            continue;
        }
        if !is_class(&class) {
            return complain(format!(
                "`{class}` is not the name of a class; write {{\"ServerApp\": {{\"{class}\": ...}}}}"
            ));
        }
        let Value::Dict(traits) = traits else {
            return complain(format!(
                "`{class}` is {}; write {{\"{class}\": {{\"port\": 8888}}}} for example",
                traits.kind()
            ));
        };
        for (name, value) in traits {
            match (name, value) {
                (Value::Str(name), Value::Dict(_)) if is_class(&name) => {
                    return complain(format!("`{class}` holds the class `{name}`; write it next to `{class}`"));
                }
                (Value::Str(name), value) => {
                    config.set(&class, &name, value, Origin::File { path: path.to_owned(), line: None });
                }
                (name, _) => {
                    return complain(format!("a setting's name in `{class}` is {}; write a string", name.kind()));
                }
            }
        }
    }
    Ok(config)
}

/// Whether traitlets takes a key for the name of a class.
fn is_class(name: &str) -> bool {
    name.starts_with(char::is_uppercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        from_json(text, Path::new("/x.json")).map_err(|error| error.to_string())
    }

    #[test]
    fn json_as_jupyter_writes_it_is_read() {
        let config = parse(
            r#"{"ServerApp": {"port": 8888, "ip": "::", "token": null, "l": ["a", 1.5, {"K": true}]}, "version": 1}"#,
        )
        .unwrap();
        assert_eq!(config.get("ServerApp", "port").unwrap().int::<u16>().unwrap(), 8888);
        let list = vec!["a".into(), Value::Float(1.5), Value::dict([("K".into(), Value::Bool(true))])];
        assert!(*config.get("ServerApp", "l").unwrap().value == Value::List(list));
        assert!(config.get("ServerApp", "token").unwrap().not_none().is_none());
        assert_eq!(config.iter().count(), 4);
    }

    #[test]
    fn yaml_says_the_same_as_json() {
        let json =
            parse(r#"{"A": {"a": 1, "b": ["x", {"y": null, "z": -1.5}], "c": "no"}, "B": {"d": true}, "version": 1}"#);
        let yaml = "version: 1\nA:\n  a: 1\n  b: [x, {y: null, z: -1.5}]\n  c: no # text in YAML 1.2\nB: {d: true}\n";
        assert!(from_yaml(yaml, Path::new("/x.json")).unwrap() == json.unwrap());
        assert_eq!(from_yaml("# nothing yet", Path::new("/x.yaml")).unwrap().iter().count(), 0);
        let bomb = format!(
            "a0: &a0 [secret]\n{}",
            (1..40).map(|n| format!("a{n}: &a{n} [*a{0}, *a{0}]\n", n - 1)).collect::<String>()
        );
        for text in
            ["A: [", "- secret", "secret", "A: !secret {a: 1}\n", "A:\n a: secret\n  b: 1", &"[".repeat(100_000), &bomb]
        {
            let error = from_yaml(text, Path::new("/x.yaml")).unwrap_err().to_string();
            assert!(error.contains("/x.yaml") && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_said_without_its_text() {
        let deep = "[".repeat(100_000);
        for (text, message) in [
            ("{\"A\": {\n\"a\": secret}}", "/x.json:2: this isn't JSON"),
            ("{\"A\": {\"a\": 1", "/x.json:1: the file ends too early"),
            ("[\"secret\"]", "/x.json:1: write one object"),
            (r#"{"token": "secret"}"#, r#"write {"ServerApp": {"token": ...}}"#),
            (r#"{"A": "secret"}"#, "`A` is a string; write {\"A\": {"),
            (r#"{"A": {"B": {"c": "secret"}}}"#, "write it next to `A`"),
            (r#"{"version": 2}"#, "write \"version\": 1"),
            (&deep, "/x.json:1"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(message) && !error.contains("secret"), "{error}");
        }
    }
}
