//! The cookie secret's file (S80 to S84).

use std::{fs, os::unix::fs::PermissionsExt};

use crate::machine::Machine;

const REFUSED: &str = "Refusing to run JupyterHub with invalid cookie_secret_file";

fn mode(machine: &Machine) -> u32 {
    fs::metadata(machine.path("jupyterhub_cookie_secret")).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_cookie_secret_is_made_beside_the_database_for_its_owner_alone_s80_s81() {
    let machine = Machine::new();
    machine.start("").kill();
    let made = fs::read_to_string(machine.path("jupyterhub_cookie_secret")).unwrap();
    assert_eq!((hex::decode(made.trim()).unwrap().len(), mode(&machine)), (32, 0o600));
    assert!(machine.path("jupyterhub.sqlite").is_file());
    machine.start("").kill();
    assert_eq!(fs::read_to_string(machine.path("jupyterhub_cookie_secret")).unwrap(), made);
}

#[test]
fn one_that_others_can_read_or_that_is_none_is_refused_s82() {
    let machine = Machine::new();
    let write = |content: &str, mode| {
        let file = machine.path("jupyterhub_cookie_secret");
        fs::write(&file, content).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
    };
    let good = "6b".repeat(32);
    for mode in [0o604, 0o644, 0o602] {
        write(&good, mode);
        let said = machine.refused("");
        assert!(said.contains(REFUSED) && said.contains("chmod 600"), "{said}");
    }
    write("not hexadecimal", 0o600);
    let said = machine.refused("");
    assert!(said.contains(REFUSED) && said.contains("openssl rand -hex 32"), "{said}");
    // JupyterHub lets the group read it.
    write(&good, 0o640);
    machine.start("").kill();
}

#[tokio::test]
async fn a_variable_goes_before_the_file_and_no_child_gets_it_s83() {
    let mut machine = Machine::new();
    machine.variables.push(("JPY_COOKIE_SECRET", "6c".repeat(32)));
    let _hub = machine.start("");
    assert!(!machine.path("jupyterhub_cookie_secret").exists());
    machine.variables[0].1 = "not hexadecimal".to_owned();
    drop(_hub);
    let said = machine.refused("");
    assert!(said.contains("JPY_COOKIE_SECRET") && !said.contains("not hexadecimal"), "{said}");
}
