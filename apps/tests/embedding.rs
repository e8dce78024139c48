//! A crate of somebody else, outside of this workspace, that uses the libraries as the README says.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

/// Features of tower that the crate's stack needs beyond those of the README's service.
const MORE_OF_TOWER: &str =
    r#"features = ["limit", "load-shed", "make", "retry", "timeout", "util"]"#;

/// The first block of a language in a text.
fn block<'a>(text: &'a str, language: &str) -> &'a str {
    let start = format!("```{language}\n");
    let (_, rest) = text.split_once(&start).unwrap();
    rest.split_once("```").unwrap().0
}

fn said(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

#[test]
fn a_foreign_crate_with_a_foreign_stack_builds_by_the_readmes_lines_and_answers() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let readme = fs::read_to_string(workspace.join("README.md")).unwrap();
    let dependencies = block(&readme, "toml")
        .replace("../framewright/", &format!("{}/", workspace.display()))
        .replace(r#"features = ["make", "util"]"#, MORE_OF_TOWER);
    for line in ["[dependencies]", "/framing\"", "/services\"", MORE_OF_TOWER] {
        assert!(
            dependencies.contains(line),
            "no {line} in the README:\n{dependencies}"
        );
    }
    assert!(!dependencies.contains("../"), "{dependencies}");

    let folder = tempfile::tempdir().unwrap();
    let crate_folder = folder.path().join("kitchen");
    fs::create_dir_all(crate_folder.join("src/bin")).unwrap();
    let manifest = format!(
        "[package]\nname = \"kitchen\"\nedition = \"2024\"\npublish = false\n\n\
         {dependencies}\n\
         [profile.dev]\ndebug = false\n\
         [profile.dev.package.argon2]\nopt-level = 3\n\
         [profile.dev.package.blake2]\nopt-level = 3\n\n\
         [workspace]\n"
    );
    fs::write(crate_folder.join("Cargo.toml"), manifest).unwrap();
    fs::write(
        crate_folder.join("src/main.rs"),
        include_str!("embedding/kitchen.rs"),
    )
    .unwrap();
    fs::write(
        crate_folder.join("src/bin/readme.rs"),
        block(&readme, "rust,no_run"),
    )
    .unwrap();
    // A lock file of its own, which begins with the versions that are on this machine for sure.
    fs::copy(
        workspace.join("Cargo.lock"),
        crate_folder.join("Cargo.lock"),
    )
    .unwrap();

    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("embedding");
    let built = Command::new(cargo)
        .args(["build", "--offline", "--bins", "--color", "never"])
        .current_dir(&crate_folder)
        .env("CARGO_TARGET_DIR", &target)
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", said(&built));
    let lock = fs::read_to_string(crate_folder.join("Cargo.lock")).unwrap();
    assert!(
        lock.contains("name = \"kitchen\"") && !lock.contains("framewright-apps"),
        "{lock}"
    );

    let kitchen = Command::new(target.join("debug").join("kitchen"));
    let mut kitchen = assert_cmd::Command::from(kitchen);
    let output = kitchen
        .timeout(std::time::Duration::from_secs(60))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(output.stdout, b"served\n");
}
