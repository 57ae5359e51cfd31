//! The commands there are.

use crate::world::World;

#[test]
fn the_command_tree_is_what_the_snapshot_says() {
    let world = World::new();
    let pages = world.json("man --out pages");
    let mut names: Vec<String> = std::fs::read_dir(world.path("pages"))
        .unwrap()
        .map(|page| page.unwrap().file_name().into_string().unwrap())
        .map(|name| name.trim_end_matches(".1").replace('-', " "))
        .collect();
    names.sort();
    assert_eq!(pages["pages"], names.len());
    insta::assert_snapshot!(names.join("\n"));
}

#[test]
fn help_names_every_exit_code() {
    let ran = World::new().run("--help");
    assert_eq!(ran.code, 0);
    for code in [
        "  0  ", "  1  ", "  2  ", "  3  ", "  4  ", "  5  ", "  6  ", "  70 ",
    ] {
        assert!(ran.out.contains(code), "{code:?}");
    }
}

#[test]
fn completions_are_made_for_every_shell() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = world.run(&format!("completions {shell}"));
        assert_eq!(ran.code, 0);
        assert!(ran.out.contains("vouchsafe"), "{shell}");
    }
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    let world = World::new();
    assert_eq!(world.run("devices").code, 2);
    assert_eq!(world.run("device list --state nowhere").code, 2);
    assert_eq!(world.run("--log =x= status").code, 2);
    assert_eq!(world.refused("device list", 2), "usage");
    assert_eq!(world.refused("init", 2), "usage");
}

#[test]
fn a_command_line_that_cannot_be_read_is_answered_in_json_where_json_is_wanted() {
    let world = World::new();
    for line in ["device show", "devices", "device list --state nowhere", ""] {
        assert_eq!(world.refused(line, 2), "usage", "{line}");
    }
    let ran = world.run("--output=json device show");
    let document: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let message = document["error"]["message"].as_str().unwrap();
    assert!(message.contains("<DEVICE>"), "{message}");
    let ran = world.run("--output json device");
    assert!(ran.out.contains("a command is missing"), "{}", ran.out);
    // It may end a stream, which has one document a line.
    assert_eq!((ran.out.lines().count(), ran.err.as_str()), (1, ""));
    // Help is no error, and text as it always is.
    assert!(
        world
            .run("device show --help --output json")
            .out
            .contains("Usage:")
    );
    let ran = world.run("device show");
    assert!(ran.out.is_empty() && ran.err.contains("Usage:"), "{ran:?}");
}
