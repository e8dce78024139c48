//! What the pages say of framings is true: every line of TOML in them is read, every byte counted,
//! every framing and example named, every link leads somewhere.

use std::{
    fs,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use framing::{Machine, Received, Registry};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn page(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The pages, by their paths from the root.
fn pages() -> Vec<String> {
    let mut pages = Vec::new();
    for folder in ["", "docs"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let path = Path::new(folder).join(entry.unwrap().file_name());
            if path.extension() == Some("md".as_ref()) {
                pages.push(path.to_str().unwrap().to_owned());
            }
        }
    }
    assert!(pages.len() >= 10, "{pages:?}");
    pages
}

/// The cells of the rows of every table in a text.
fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| "));
    rows.map(|row| row.trim_end_matches(" |").split(" | ").collect())
}

/// What stands between backticks.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_framing_in_a_table_can_be_built() {
    let registry = Registry::default();
    let mut found = 0;
    for path in ["docs/coming-from.md", "docs/which-framing.md"] {
        let text = page(path);
        for cell in rows(&text).flatten() {
            let named = |code: &&str| code.starts_with("{ type = ") || code.starts_with('"');
            for given in code(cell).filter(named) {
                if let Err(error) = registry.parse(given) {
                    panic!("{path}: {given}: {error}");
                }
                found += 1;
            }
        }
    }
    assert!(found > 40, "only {found} were found");
}

#[test]
fn every_framing_stands_in_both_readmes_and_in_the_page_to_choose_by() {
    for path in ["README.md", "README.zh-CN.md", "docs/which-framing.md"] {
        let text = page(path);
        for name in Registry::default().names() {
            let named = |row: Vec<&str>| row[0] == format!("`{name}`");
            let chosen = |row: Vec<&str>| row.len() > 1 && code(row[1]).any(|code| code == name);
            assert!(
                rows(&text).any(named) || rows(&text).any(chosen),
                "{path}: no `{name}`"
            );
        }
    }
}

/// The bytes on the wire for one frame, over a peer that answers what has to be answered.
fn wire(name: &str, frame: &Bytes) -> usize {
    let given = match name {
        "fixed" => format!(r#"{{ type = "fixed", size = {} }}"#, frame.len()),
        _ => name.to_owned(),
    };
    let factory = Registry::default().parse(&given).unwrap();
    let (mut ours, mut theirs) = (Machine::new(factory.make()), Machine::new(factory.make()));
    ours.send(frame.clone()).unwrap();
    let mut bytes = 0;
    loop {
        let there = ours.outbox().take_bytes();
        theirs.receive(&there);
        let received = theirs.next_frame().unwrap();
        let back = theirs.outbox().take_bytes();
        ours.receive(&back);
        ours.next_frame().unwrap();
        bytes += there.len() + back.len();
        if let Received::Frame(received) = received {
            assert_eq!(received, frame, "{name}");
            return bytes;
        }
        assert!(there.len() + back.len() > 0, "{name}: nothing moves");
    }
}

#[test]
fn the_bytes_around_a_frame_are_those_of_the_table() {
    let text = page("docs/which-framing.md");
    let mut found = 0;
    for row in rows(&text).filter(|row| row.len() == 5 && row[1].parse::<usize>().is_ok()) {
        if row[0] == "name" {
            continue;
        }
        let name = row[0].trim_matches('`');
        for (said, size) in row[1..4].iter().zip([5, 1000, 65536]) {
            let around = wire(name, &vec![b'a'; size].into()) - size;
            assert_eq!(
                said.parse::<usize>().unwrap(),
                around,
                "{name}, {size} bytes"
            );
        }
        found += 1;
    }
    // All but `pair`, which costs what its parts do.
    assert_eq!(found, Registry::default().names().count() - 1);
}

#[test]
fn every_example_stands_in_both_readmes_with_its_command() {
    for path in ["README.md", "README.zh-CN.md"] {
        let text = page(path);
        for entry in fs::read_dir(root().join("examples")).unwrap() {
            let file = entry.unwrap().file_name().into_string().unwrap();
            let Some(name) = file.strip_suffix(".rs") else {
                continue;
            };
            let row = rows(&text).find(|row| row.contains(&&*format!("`examples/{file}`")));
            let row = row.unwrap_or_else(|| panic!("{path}: no row for {file}"));
            let command = format!("--example {name}");
            assert!(
                row.iter().any(|cell| cell.contains(&command)),
                "{path}: {row:?}"
            );
        }
    }
}

/// As GitHub makes a fragment of a heading.
fn fragment(heading: &str) -> String {
    let kept = heading
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.flat_map(char::to_lowercase)
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    for path in pages() {
        let text = page(&path);
        let folder = root().join(Path::new(&path).parent().unwrap());
        for link in text.split("](").skip(1) {
            let link = &link[..link.find(')').unwrap()];
            if link.starts_with("http") {
                continue;
            }
            let (file, part) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => root().join(&path),
                _ => folder.join(file),
            };
            assert!(target.exists(), "{path}: {link}");
            if !part.is_empty() {
                let text = fs::read_to_string(target).unwrap();
                let headings = text.lines().filter(|line| line.starts_with('#'));
                let mut headings = headings.map(|line| fragment(line.trim_matches(['#', ' '])));
                assert!(headings.any(|heading| heading == part), "{path}: {link}");
            }
        }
    }
}

#[test]
fn every_file_that_a_readme_points_at_is_there() {
    for path in [
        "README.md",
        "README.zh-CN.md",
        "CONTRIBUTING.md",
        "docs/testing.md",
    ] {
        let text = page(path);
        for path_named in code(&text) {
            let roots = ["framing/", "services/", "apps/", "examples/", "docs/"];
            let named = roots.iter().any(|root| path_named.starts_with(root));
            if named && !path_named.contains(['*', ' ']) {
                assert!(root().join(path_named).exists(), "{path}: {path_named}");
            }
        }
    }
}
