//! What the pages on the course's systems tell people to type works as they say.

mod common;

use std::{collections::HashMap, env, fs, path::Path, process::Command};

use common::{Place, told};
use framing::serve::Address;

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs")
        .join(name);
    fs::read_to_string(path).unwrap()
}

/// The blocks of a kind in a page.
fn blocks(page: &str, kind: &str) -> Vec<String> {
    let fence = format!("```{kind}\n");
    let blocks = page.split(&fence).skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap().to_owned())
        .collect()
}

/// A command as it is typed, and what is to be seen.
fn commands(page: &str) -> Vec<(String, String)> {
    let mut commands: Vec<(String, String)> = Vec::new();
    for line in blocks(page, "console").join("").lines() {
        match line.strip_prefix("$ ") {
            Some(command) => commands.push((command.to_owned(), String::new())),
            None => {
                let (_, seen) = commands.last_mut().unwrap();
                seen.push_str(line);
                seen.push('\n');
            }
        }
    }
    commands
}

#[test]
fn every_command_shows_what_the_page_shows() {
    let page = page("course.md");
    let config = &blocks(&page, "toml")[0];
    let mut anywhere = config.clone();
    let ports: Vec<u16> = (9001..=9007).collect();
    for port in &ports {
        let address = format!("127.0.0.1:{port}");
        assert!(anywhere.contains(&address), "{port}");
        anywhere = anywhere.replace(&address, "127.0.0.1:0");
    }
    let place = Place::new(&anywhere);
    let set_up = blocks(&page, "sh")[0].clone();
    let files = set_up.lines().find(|line| line.contains("umask")).unwrap();
    let made = shell(&place, files);
    assert!(made.status.success(), "{}", told(&made));

    let server = place.start();
    let real: HashMap<u16, u16> = ports
        .into_iter()
        .zip(server.addresses.iter().map(|address| match address {
            Address::Tcp(address) => address.port(),
            other => panic!("{other}"),
        }))
        .collect();
    let commands = commands(&page);
    assert!(commands.len() > 10);
    for (command, seen) in commands {
        let mut typed = command.clone();
        for (written, port) in &real {
            typed = typed.replace(
                &format!("127.0.0.1:{written}"),
                &format!("127.0.0.1:{port}"),
            );
        }
        let output = shell(&place, &format!("({typed}) 2>&1"));
        assert!(output.status.success(), "{command}: {}", told(&output));
        // A sentence in place of an output has no line end of its own.
        let shown = String::from_utf8_lossy(&output.stdout);
        assert_eq!(shown.trim_end(), seen.trim_end(), "{command}");
    }
}

#[test]
fn both_pages_show_the_same() {
    let (english, chinese) = (page("course.md"), page("course.zh-CN.md"));
    for kind in ["toml", "sh", "console", "text"] {
        assert_eq!(blocks(&english, kind), blocks(&chinese, kind), "{kind}");
    }
}

/// A line in the shell of somebody who has the programs at hand.
fn shell(place: &Place, line: &str) -> std::process::Output {
    let programs = Path::new(env!("CARGO_BIN_EXE_frame")).parent().unwrap();
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths(
        [programs.to_owned()]
            .into_iter()
            .chain(env::split_paths(&path)),
    );
    Command::new("/bin/sh")
        .args(["-c", line])
        .current_dir(place.path())
        .env("PATH", path.unwrap())
        .env_remove("FRAME_PASSWORD")
        .output()
        .unwrap()
}
