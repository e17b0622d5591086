//! Settings files on a disk: which of them wins, in the order that `jupyter server --show-config-json` of Jupyter Server
//! 2.21 has shown with the same files.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use hub_traitlets::{Config, Error, Variables, load};
use std::{
    fs,
    path::{Path, PathBuf},
};

const NAMES: [&str; 2] = ["jupyter_config", "jupyter_server_config"];

/// Writes a settings file that says its own name.
fn write(root: &Path, name: &str) {
    let text = match name.rsplit('.').next() {
        Some("py") => format!("c = get_config()  # noqa\nc.A.winner = '{name}'\n"),
        Some("json") => format!("{{\"A\": {{\"winner\": \"{name}\"}}, \"version\": 1}}"),
        _ => format!("A:\n  winner: {name}\n"),
    };
    fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
    fs::write(root.join(name), text).unwrap();
}

fn load_with(root: &Path, file: Option<&str>) -> Result<Config, Error> {
    let directories: Vec<PathBuf> = ["a", "b", "missing", "c"].map(|directory| root.join(directory)).into();
    load(&NAMES, &directories, file.map(|file| root.join(file)).as_deref(), &Variables::new())
}

fn winner(config: &Config) -> String {
    config.get("A", "winner").unwrap().string().unwrap()
}

#[test]
fn files_win_over_each_other_as_in_jupyter_server() {
    let root = tempfile::tempdir().unwrap();
    assert_eq!(load_with(root.path(), None).unwrap(), Config::default());
    for name in [
        "c/jupyter_config.py",
        "c/jupyter_config.json",
        "b/jupyter_config.py",
        "b/jupyter_config.json",
        "a/jupyter_config.py",
        "a/jupyter_config.json",
        "c/jupyter_server_config.py",
        "c/jupyter_server_config.json",
        "b/jupyter_server_config.py",
        "b/jupyter_server_config.json",
        "a/jupyter_server_config.py",
        "a/jupyter_server_config.json",
    ] {
        write(root.path(), name);
        write(root.path(), &format!("a/{}.yaml", NAMES[1]));
        assert_eq!(winner(&load_with(root.path(), None).unwrap()), name);
    }
}

#[test]
fn a_named_file_stands_in_for_the_search_of_the_last_name() {
    let root = tempfile::tempdir().unwrap();
    for name in ["a/jupyter_server_config.json", "named/mine.1.py", "named/mine.1.yaml"] {
        write(root.path(), name);
    }
    let winner_of = |file| load_with(root.path(), Some(file)).map(|config| winner(&config));
    assert_eq!(winner_of("named/mine.1.py").unwrap(), "named/mine.1.py");
    assert_eq!(winner_of("named/mine.1.yaml").unwrap(), "named/mine.1.yaml");
    write(root.path(), "a/jupyter_config.py");
    write(root.path(), "named/mine.1.json");
    assert_eq!(winner_of("named/mine.1.py").unwrap(), "named/mine.1.json", "traitlets reads the other format, too");
    for missing in ["named/other.py", "named/other.yaml", "named"] {
        let error = winner_of(missing).unwrap_err().to_string();
        assert!(error.contains(missing) && error.contains("it isn't there; correct the name"), "{error}");
    }
    assert_eq!(winner(&load_with(root.path(), None).unwrap()), "a/jupyter_server_config.json");
}

#[test]
fn a_file_that_cannot_be_used_is_named_and_never_passed_over() {
    let root = tempfile::tempdir().unwrap();
    for (text, message) in [
        (&b"c.A.winner = secret"[..], "jupyter_config.py:1: a name is not looked up"),
        (b"\xff", "make it readable"),
        (&b"#".repeat((1 << 20) + 1), "keep only settings in it"),
    ] {
        write(root.path(), "b/jupyter_config.py");
        fs::write(root.path().join("b/jupyter_config.py"), text).unwrap();
        let error = load_with(root.path(), None).unwrap_err().to_string();
        assert!(error.contains("b/jupyter_config.py") && error.contains(message), "{error}");
    }
}
