//! Fetches a file into the current folder, or where it is said.

use std::path::Path;

use serde_json::json;
use services::{
    client::{Client, Download, RemoteFile},
    escape::escaped,
    files::{FileName, Version},
};
use tokio::io::{AsyncWriteExt, stdout};

use super::{
    cli::GetArgs,
    connect::in_time,
    exit::{Exit, Failure},
    landing::Landing,
    listing::{self, existing, size},
    output::{Output, closed},
    progress::{Progress, Shown},
};

/// Fetches the file that `args` name. A number is looked up in `list`, or else in one taken now.
pub(super) async fn run(
    client: &mut Client,
    args: &GetArgs,
    list: Option<&[RemoteFile]>,
    output: Output,
) -> Result<(), Failure> {
    let place = args.output.as_deref();
    if place == Some(Path::new("-")) {
        if output.is_json() {
            return Err(Failure::usage("--json and -o - both want standard output"));
        }
        let download = match &args.file {
            Some(word) => {
                let chosen = choose(client, args, word, list).await?;
                begin(client, &chosen).await?
            }
            None => in_time(client.receive()).await?,
        };
        return pour(download, output).await;
    }
    let Some(word) = &args.file else {
        return receive(client, args, output).await;
    };
    let chosen = choose(client, args, word, list).await?;
    // Before anything is asked for: what cannot land need not come.
    let landing = match place {
        None => Landing::here(&chosen.name, args.force),
        Some(path) => Landing::at(path, args.force),
    }
    .map_err(Failure::in_step)?;
    let download = begin(client, &chosen).await?;
    save(download, landing, place, output).await
}

/// Fetches what the server sends unasked. Where it is not said, it lands under its own name.
async fn receive(client: &mut Client, args: &GetArgs, output: Output) -> Result<(), Failure> {
    let download = in_time(client.receive()).await?;
    let landing = match args.output.as_deref() {
        None => Landing::here(&download.file().name, args.force)?,
        Some(path) => Landing::at(path, args.force)?,
    };
    save(download, landing, args.output.as_deref(), output).await
}

/// Which file is meant.
struct Chosen {
    name: FileName,
    /// What the list says of it, where it was chosen from one.
    listed: Option<(Option<Version>, u64)>,
}

/// What the word on the command line says.
#[derive(Debug, PartialEq, Eq)]
enum Word {
    Name,
    Number(usize),
}

/// A word of ASCII digits is a number, from 1 and without leading zeros; any other is a name.
fn read_word(args: &GetArgs, word: &str) -> Result<Word, Failure> {
    let digits = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    if args.name || (!digits && !args.number) {
        return Ok(Word::Name);
    }
    if !digits || word.starts_with('0') {
        let message = format!(
            "{:?} is no number of a list; they are written 1, 2, 3",
            escaped(word)
        );
        return Err(Failure::usage(message).hint("--name fetches a file that is called so"));
    }
    // No list is as long as what does not fit.
    Ok(Word::Number(word.parse().unwrap_or(usize::MAX)))
}

async fn choose(
    client: &mut Client,
    args: &GetArgs,
    word: &str,
    list: Option<&[RemoteFile]>,
) -> Result<Chosen, Failure> {
    let number = match read_word(args, word)? {
        Word::Number(number) => number,
        Word::Name => {
            return Ok(Chosen {
                name: existing(word)?,
                listed: None,
            });
        }
    };
    let taken;
    let list = match list {
        Some(list) => list,
        None => {
            taken = listing::take(client, number).await?;
            &taken
        }
    };
    let file = listing::numbered(list, number)?;
    Ok(Chosen {
        name: file.name.clone(),
        listed: Some((file.version, file.size)),
    })
}

async fn begin<'a>(client: &'a mut Client, chosen: &Chosen) -> Result<Download<'a>, Failure> {
    let version = chosen.listed.and_then(|(version, _)| version);
    let download = in_time(client.get_version(&chosen.name, version)).await?;
    if chosen
        .listed
        .is_some_and(|(_, size)| size != download.file().size)
    {
        let message = "the server sends another file than the one that was listed";
        return Err(Failure::new(Exit::PROTOCOL, "protocol", message));
    }
    Ok(download)
}

async fn save(
    mut download: Download<'_>,
    landing: Landing,
    place: Option<&Path>,
    output: Output,
) -> Result<(), Failure> {
    let file = download.file().clone();
    let mut arriving = landing.begin()?;
    let mut shown = Shown(Progress::new(file.name.as_str(), Some(file.size), output));
    while let Some(bytes) = download.read().await? {
        arriving.write(&bytes)?;
        shown.0.advance(bytes.len());
    }
    // From here on no signal comes between: the file is there, or it is not.
    let path = arriving.publish()?;
    drop(shown);
    let data = json!({
        "name": file.name,
        "size": file.size,
        "digest": download.digest(),
        "path": path.to_string_lossy(),
    });
    let name = escaped(file.name.as_str());
    let plain = match place {
        None => format!("saved {name:?} ({})", size(file.size)),
        Some(path) => {
            let path = path.to_string_lossy();
            format!(
                "saved {name:?} as {:?} ({})",
                escaped(&path).limit(1024),
                size(file.size)
            )
        }
    };
    output.show(data, plain).await
}

/// Writes the file to standard output. If it fails midway the bytes are out, and the exit code says
/// that they are not the file.
async fn pour(mut download: Download<'_>, output: Output) -> Result<(), Failure> {
    let file = download.file().clone();
    let mut stdout = stdout();
    while let Some(bytes) = download.read().await? {
        stdout
            .write_all(&bytes)
            .await
            .map_err(|error| closed(&error))?;
    }
    stdout.flush().await.map_err(|error| closed(&error))?;
    output.note(format_args!(
        "fetched {:?} ({})",
        escaped(file.name.as_str()),
        size(file.size)
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(word: &str, name: bool, number: bool) -> Result<Word, u8> {
        let args = GetArgs {
            file: None,
            name,
            number,
            output: None,
            force: false,
        };
        read_word(&args, word).map_err(|failure| failure.exit())
    }

    #[test]
    fn svc_d26_only_plain_digits_are_a_number() {
        assert_eq!(read("1", false, false), Ok(Word::Number(1)));
        assert_eq!(read("907", false, false), Ok(Word::Number(907)));
        assert_eq!(
            read("99999999999999999999", false, false),
            Ok(Word::Number(usize::MAX))
        );
        for word in ["+1", "1e3", "１", "1 2", "", "3.txt", "٣"] {
            assert_eq!(read(word, false, false), Ok(Word::Name), "{word:?}");
            assert_eq!(read(word, false, true), Err(Exit::USAGE), "{word:?}");
        }
        for word in ["0", "007"] {
            assert_eq!(read(word, false, false), Err(Exit::USAGE), "{word}");
            assert_eq!(read(word, true, false), Ok(Word::Name), "{word}");
        }
        assert_eq!(read("3", true, false), Ok(Word::Name));
    }
}
