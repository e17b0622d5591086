//! `docs/requirements.md` names for each requirement the tests that show it: they must exist.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Rows `| S61 | statement | shown by |` as (number, last column).
fn rows() -> Vec<(u32, String)> {
    let text = fs::read_to_string(root().join("docs/requirements.md")).unwrap();
    text.lines()
        .filter_map(|line| line.strip_prefix("| S"))
        .map(|line| {
            let cells: Vec<&str> = line.trim_end_matches('|').split('|').map(str::trim).collect();
            (cells[0].parse().unwrap(), cells[2].to_owned())
        })
        .collect()
}

/// Names of all functions that carry a test attribute or stand in the table of cluster tests.
fn functions(dir: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            functions(&path, found);
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(&path).unwrap();
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            for (index, line) in lines.iter().enumerate() {
                let Some(rest) = line.split("fn ").nth(1) else { continue };
                let before = &lines[index.saturating_sub(4)..index];
                let is_test =
                    before.iter().any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"));
                if is_test || path.components().any(|part| part.as_os_str() == "suite") {
                    found.insert(rest.split(['(', '<']).next().unwrap().to_owned());
                }
            }
        }
    }
}

#[test]
fn every_requirement_has_a_row() {
    let numbers: Vec<u32> = rows().into_iter().map(|(number, _)| number).collect();
    let expected: Vec<u32> = (1..=84).filter(|n| ![27, 28, 29, 78, 79].contains(n)).collect();
    assert_eq!(numbers, expected);
}

#[test]
fn every_test_that_is_named_exists() {
    let mut tests = BTreeSet::new();
    functions(&root(), &mut tests);
    for (number, shown_by) in rows() {
        let names: Vec<&str> = shown_by.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty() || shown_by == "not yet", "S{number} names no test and does not say `not yet`");
        for name in names {
            let function = name.rsplit("::").next().unwrap();
            assert!(tests.contains(function), "S{number} names `{name}`, which does not exist");
        }
    }
}
