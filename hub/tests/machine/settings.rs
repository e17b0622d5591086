//! What is understood of settings, and what a hub does not start with.

use std::fs;

use crate::machine::{BOSS_TOKEN, Machine, PASSWORD};

#[test]
fn print_settings_shows_what_was_understood_and_no_secret() {
    let mut machine = Machine::new();
    machine.variables.push(("JPY_COOKIE_SECRET", "6c".repeat(32)));
    machine.write_settings("c.ConfigurableHTTPProxy.auth_token = 'the-token'\nc.JupyterHub.template_paths = ['x']");
    let output = machine.command(&["--print-settings", "--JupyterHub.port=0"]).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "the hub would not start: {shown}");
    for line in [
        "JupyterHub.authenticator_class = 'dummy'  # jupyterhub_config.py:5\n",
        "JupyterHub.port = '0'  # the command line\n",
        "ConfigurableHTTPProxy.auth_token = <hidden>  # jupyterhub_config.py:",
        "DummyAuthenticator.password = <hidden>  # jupyterhub_config.py:6\n",
        "{'name': 'boss', 'admin': True, 'api_token': <hidden>}",
        "# JPY_COOKIE_SECRET = <hidden>",
        "# error: JupyterHub.template_paths from jupyterhub_config.py:",
    ] {
        assert!(shown.contains(line), "{line} is not in {shown}");
    }
    for secret in [PASSWORD, BOSS_TOKEN, "the-token", &"6c".repeat(32)] {
        assert!(!shown.contains(secret), "{shown}");
    }
    assert!(!machine.path("jupyterhub.sqlite").exists(), "nothing was started");
}

#[test]
fn a_hub_does_not_start_with_what_it_cannot_carry_out() {
    let machine = Machine::new();
    for (settings, said) in [
        ("c.JupyterHub.authenticator_class = 'pam'", "JupyterHub.authenticator_class is 'pam'"),
        (
            "c.JupyterHub.spawner_class = 'kubespawner.KubeSpawner'",
            "JupyterHub.spawner_class is 'kubespawner.KubeSpawner'",
        ),
        ("c.JupyterHub.prot = 8000", "write JupyterHub.port if you mean that"),
        ("c.JupyterHub.ssl_key = ''", "remove the line"),
        ("c.Authenticator.enable_auth_state = True", "JUPYTERHUB_CRYPT_KEY"),
        ("c.JupyterHub.db_url = 'mysql://hub:hunter2@db/hub'", "JupyterHub.db_url"),
        ("c.JupyterHub.default_url = '/hub/'", "JupyterHub.default_url"),
        ("c.Spawner.pre_spawn_hook = 'x'", "Spawner.pre_spawn_hook from jupyterhub_config.py"),
        ("import subprocess", "jupyterhub_config.py"),
        // A variable that isn't there must not let everybody in.
        ("import os\nc.DummyAuthenticator.password = os.environ.get('NOT_THERE')", "DummyAuthenticator.password"),
        ("c.Spawner.env_keep = ['JPY_COOKIE_SECRET']", "JPY_COOKIE_SECRET is the hub's own secret"),
        ("c.SimpleLocalProcessSpawner.home_dir_template = '/home/{user}'", "home_dir_template"),
    ] {
        let refused = machine.refused(settings);
        assert!(refused.contains(said) && !refused.contains("hunter2"), "{settings}: {refused}");
    }
}

#[test]
fn the_same_settings_are_read_from_json_and_yaml() {
    let machine = Machine::new();
    for (name, text) in [
        ("settings.json", r#"{"JupyterHub": {"authenticator_class": "dummy"}}"#),
        ("settings.yaml", "JupyterHub: {authenticator_class: dummy}"),
    ] {
        fs::write(machine.path(name), text).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_hub"));
        command.args(["serve", "--print-settings", "--config", name]).current_dir(machine.path(""));
        let shown = String::from_utf8(command.output().unwrap().stdout).unwrap();
        assert!(shown.contains(&format!("JupyterHub.authenticator_class = 'dummy'  # {name}")), "{shown}");
    }
}

/// What is no settings file is not told by what is in it.
#[test]
fn a_file_of_another_kind_is_refused_without_a_word_of_it() {
    let machine = Machine::new();
    for name in ["settings", "settings.txt", "settings.yaml", "settings.yml"] {
        fs::write(machine.path(name), format!("c = get_config()\nc.DummyAuthenticator.password = '{PASSWORD}'\n"))
            .unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_hub"));
        let output = command.args(["serve", "--config", name]).current_dir(machine.path("")).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(name) && !said.contains(PASSWORD), "{name}: {said}");
    }
}
