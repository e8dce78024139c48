//! Stores a local file on the server.

use std::path::Path;

use serde_json::json;
use services::{client::Client, escape::escaped, files::FileName};
use tokio::{
    fs::File,
    io::{AsyncRead, stdin},
};

use super::{
    cli::PutArgs,
    exit::{Exit, Failure},
    listing::size,
    output::Output,
    progress::{Counted, Progress, Shown},
};

pub(super) async fn run(
    client: &mut Client,
    args: &PutArgs,
    output: Output,
) -> Result<(), Failure> {
    let name = name(args)?;
    if args.file == Path::new("-") {
        return store(client, &name, None, stdin(), args, output).await;
    }
    let failed = |error| Failure::input(args.file.display(), &error);
    let file = File::open(&args.file).await.map_err(failed)?;
    let about = file.metadata().await.map_err(failed)?;
    if about.is_dir() {
        let message = format!("{} is a folder; put stores files", args.file.display());
        return Err(Failure::new(Exit::NO_INPUT, "local-file", message).in_step());
    }
    // Only a plain file knows its size beforehand.
    let size = about.is_file().then_some(about.len());
    store(client, &name, size, file, args, output).await
}

async fn store(
    client: &mut Client,
    name: &FileName,
    total: Option<u64>,
    reader: impl AsyncRead + Send + Unpin + 'static,
    args: &PutArgs,
    output: Output,
) -> Result<(), Failure> {
    let shown = Shown(Progress::new(name.as_str(), total, output));
    let content = Counted {
        reader,
        progress: shown.0.clone(),
    };
    let stored = client.put(name, total, args.overwrite, content).await?;
    drop(shown);
    let data = json!({
        "name": name,
        "size": stored.size,
        "digest": stored.digest,
        "replaced": stored.replaced,
        "confirmed": stored.confirmed,
    });
    let (verb, doubt) = match (stored.confirmed, stored.replaced) {
        (false, _) => ("sent", "; this dialect does not say whether it was stored"),
        (true, true) => ("replaced", ""),
        (true, false) => ("stored", ""),
    };
    let plain = format!(
        "{verb} {:?} ({}){doubt}",
        escaped(name.as_str()),
        size(stored.size)
    );
    output.show(data, plain).await
}

/// The name it gets on the server.
fn name(args: &PutArgs) -> Result<FileName, Failure> {
    let text = match &args.name {
        Some(name) => name.as_str(),
        None if args.file == Path::new("-") => {
            return Err(Failure::usage(
                "what comes from standard input needs a NAME",
            ));
        }
        None => args
            .file
            .file_name()
            .and_then(|name| name.to_str())
            .ok_or_else(|| {
                let message = format!("{} gives no name to store under", args.file.display());
                Failure::usage(message).hint("give one: put FILE NAME")
            })?,
    };
    text.parse().map_err(|error| {
        let message = format!("{:?} is not fit for a file's name: {error}", escaped(text));
        Failure::usage(message).hint("give another one: put FILE NAME")
    })
}
