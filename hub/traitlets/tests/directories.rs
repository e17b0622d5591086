//! Jupyter's directories against what jupyter_core 5.9.1 says in the same environments (directories.json), and the look
//! for its Python.

use hub_traitlets::{
    Variables,
    jupyter::{Environment, Python},
};
use serde::Deserialize;
use std::{fs, os::unix::fs::symlink, path::PathBuf};

#[derive(Deserialize)]
struct Case {
    name: String,
    macos: bool,
    variables: Variables,
    python: CasePython,
    config_dir: PathBuf,
    config_path: Vec<PathBuf>,
    data_dir: PathBuf,
    runtime_dir: PathBuf,
}

#[derive(Deserialize)]
struct CasePython {
    prefix: PathBuf,
    r#virtual: bool,
    user_site: bool,
    own: bool,
}

#[test]
fn directories_are_those_that_jupyter_core_finds() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("directories.json")).unwrap();
    for case in cases {
        let python = Python {
            prefix: case.python.prefix,
            is_virtual: case.python.r#virtual,
            has_user_site: case.python.user_site,
            is_own: case.python.own,
        };
        let environment = Environment {
            variables: case.variables,
            home: "/home/jo".into(),
            is_macos: case.macos,
            python: Some(python),
        };
        let label = format!("{}, macOS {}", case.name, case.macos);
        assert_eq!(environment.config_dir(), Some(case.config_dir), "{label}");
        assert_eq!(environment.config_path(), case.config_path, "{label}");
        assert_eq!(environment.data_dir(), case.data_dir, "{label}");
        assert_eq!(environment.runtime_dir(), case.runtime_dir, "{label}");
    }
}

#[test]
fn nothing_is_searched_where_settings_are_not_wanted() {
    let mut environment = Environment {
        variables: Variables::from([("JUPYTER_CONFIG_PATH".into(), "/a".into())]),
        home: "/home/jo".into(),
        is_macos: false,
        python: None,
    };
    let path = ["/a", "/home/jo/.jupyter", "/home/jo/.local/etc/jupyter", "/usr/local/etc/jupyter", "/etc/jupyter"];
    assert_eq!(environment.config_path(), path.map(PathBuf::from));
    environment.variables.insert("JUPYTER_NO_CONFIG".into(), "1".into());
    assert_eq!((environment.config_dir(), environment.config_path()), (None, Vec::new()));
}

#[test]
fn the_python_is_the_one_that_the_program_on_the_path_names() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().canonicalize().unwrap();
    let write = |path: &str, text: &str| {
        fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        fs::write(root.join(path), text).unwrap();
    };
    let find = |path: &[&str], others: &[(&str, &str)]| {
        let path = std::env::join_paths(path.iter().map(|directory| root.join(directory))).unwrap();
        let others = others.iter().map(|(name, path)| ((*name).to_owned(), root.join(path).display().to_string()));
        Python::find(&others.chain([("PATH".into(), path.into_string().unwrap())]).collect())
    };
    write("venv/bin/python", "");
    write("venv/pyvenv.cfg", "home = /usr/bin\ninclude-system-site-packages = false\n");
    write("home/bin/jupyter", &format!("#!{}/venv/bin/python\nimport sys\n", root.display()));
    let venv = Python { prefix: root.join("venv"), is_virtual: true, has_user_site: false, is_own: true };
    assert_eq!(find(&["none", "home/bin"], &[("VIRTUAL_ENV", "other")]), Some(venv.clone()), "by its first line");

    write("venv/bin/jupyter-server", "#!/bin/sh\n");
    assert_eq!(find(&["home/bin", "venv/bin"], &[]), Some(venv.clone()), "by the directory");

    write("pythons/3/bin/python3.13", "");
    fs::create_dir_all(root.join("usr/bin")).unwrap();
    symlink(root.join("pythons/3/bin/python3.13"), root.join("usr/bin/python3")).unwrap();
    write("usr/bin/jupyter", &format!("#!{}/usr/bin/python3 -s\n", root.display()));
    let python = find(&["usr/bin"], &[]).unwrap();
    assert_eq!((python.prefix, python.is_virtual), (root.join("pythons/3"), false), "where its program really is");

    assert_eq!(find(&["none"], &[("VIRTUAL_ENV", "venv"), ("CONDA_PREFIX", "conda")]), Some(venv), "without a program");
    assert_eq!(find(&["none"], &[]), None);
}
