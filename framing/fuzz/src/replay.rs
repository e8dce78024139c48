//! Runs a target on its seeds.

use std::{fs, path::PathBuf};

/// Where the seeds of `target` are.
pub fn corpus(target: &str) -> PathBuf {
    // Of `framing` and of `apps` alike.
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../framing/fuzz/corpus");
    PathBuf::from(root).join(target)
}

/// Runs `run` on each seed of `target`, and on each start of it and with a bit changed in each byte.
///
/// # Panics
///
/// If there is no seed, or one of them is bad; its name is printed.
pub fn replay(target: &str, run: fn(&[u8])) {
    let mut count = 0;
    for entry in fs::read_dir(corpus(target)).expect("the seeds are there") {
        let path = entry.expect("a seed").path();
        let seed = fs::read(&path).expect("a seed can be read");
        println!("{}", path.display());
        run(&seed);
        for at in 0..seed.len() {
            run(&seed[..at]);
            let mut changed = seed.clone();
            changed[at] ^= 1 << (at % 8);
            run(&changed);
        }
        count += 1;
    }
    assert!(count > 0, "there are no seeds for {target}");
}

/// Writes the seeds of `target`, in place of those of the same names.
pub fn write(target: &str, seeds: Vec<(String, Vec<u8>)>) {
    fs::create_dir_all(corpus(target)).expect("a folder for the seeds");
    for (name, seed) in seeds {
        assert!(seed.len() <= 1024, "{name} is too large");
        fs::write(corpus(target).join(name), seed).expect("a seed can be written");
    }
}
