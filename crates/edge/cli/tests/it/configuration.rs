//! `init` and `config`.

use std::os::unix::fs::PermissionsExt as _;

use crate::world::World;

#[test]
fn init_makes_a_folder_that_config_check_accepts() {
    let world = World::new();
    let made = world.json("init --dir c --name Plant --set registrar.announce=false");
    assert_eq!(made["name"], "Plant");
    assert_eq!(made["owner"].as_str().unwrap().len(), 32);
    assert_eq!(world.json("config check --dir c")["ok"], true);
    let config = world.json("config show --dir c");
    assert_eq!(config["registrar"]["announce"], false);
    for secret in ["c/admin.token", "c/config.toml"] {
        let mode = world.path(secret).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{secret}");
    }
    assert_eq!(world.refused("init --dir c", 6), "data-folder-exists");
}

#[test]
fn the_default_configuration_is_accepted_as_it_is_shown() {
    let world = World::new();
    for (show, check) in [
        ("config default", "config check c.toml"),
        (
            "manufacturer config default",
            "manufacturer config check c.toml",
        ),
    ] {
        world.write("c.toml", world.run(show).out);
        assert_eq!(world.json(check)["ok"], true);
    }
}

#[test]
fn an_unknown_key_is_an_error_that_names_it() {
    let world = World::new();
    world.write("c.toml", "[registrar]\nlissten = \"0.0.0.0:1\"\n");
    let ran = world.run("config check c.toml");
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("lissten"), "{}", ran.err);
    assert_eq!(world.refused("config check c.toml", 2), "configuration");
    assert_eq!(
        world.refused("init --dir c --set api.lissten=1", 2),
        "configuration"
    );
    assert!(!world.path("c/config.toml").exists());
}

#[test]
fn a_folder_that_is_none_is_named_with_the_next_step() {
    let world = World::new();
    let ran = world.run("serve --dir nowhere");
    assert_eq!(ran.code, 5);
    assert!(ran.err.contains("vouchsafe init"), "{}", ran.err);
    assert_eq!(
        world.refused("manufacturer serve --dir nowhere", 5),
        "no-data-folder"
    );
    assert_eq!(
        world.refused("manufacturer device list --dir nowhere", 5),
        "no-data-folder"
    );
}
