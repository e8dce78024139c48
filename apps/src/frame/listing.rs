//! The server's files, numbered.

use std::time::UNIX_EPOCH;

use bytesize::ByteSize;
use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};
use services::{
    client::{Client, RemoteFile},
    escape::escaped,
    files::FileName,
};

use super::{
    connect::in_time,
    exit::{Exit, Failure},
    output::Output,
};

/// A list longer than this is taken for one without end.
const MOST_FILES: usize = 2_000_000;

/// Bytes of a file name as it is shown, at most: enough for the longest, all of it escaped.
pub(super) const SHOWN_NAME: usize = 4096;

/// Shows the list.
pub(super) async fn run(client: &mut Client, output: Output) -> Result<Vec<RemoteFile>, Failure> {
    let files = take(client, usize::MAX).await?;
    let data: Vec<Value> = files
        .iter()
        .zip(1..)
        .map(|(file, number)| describe(file, number))
        .collect();
    let plain = if output.is_json() {
        String::new()
    } else {
        table(&files)
    };
    output.show(json!({ "files": data }), plain).await?;
    Ok(files)
}

/// Takes the list from the server, of the first `most` files at least.
pub(super) async fn take(client: &mut Client, most: usize) -> Result<Vec<RemoteFile>, Failure> {
    let mut files: Vec<RemoteFile> = Vec::new();
    let mut after: Option<FileName> = None;
    while files.len() < most {
        let page = in_time(client.list(after.as_ref())).await?;
        let advances = match (page.files.first(), &after) {
            (Some(first), Some(after)) => first.name > *after,
            (first, after) => first.is_some() || after.is_none(),
        };
        if !advances || files.len() + page.files.len() > MOST_FILES {
            let message = "the server's list of files does not come to an end";
            return Err(Failure::new(Exit::PROTOCOL, "protocol", message));
        }
        files.extend(page.files);
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    Ok(files)
}

/// The file of this number in a list.
pub(super) fn numbered(files: &[RemoteFile], number: usize) -> Result<&RemoteFile, Failure> {
    let file = number.checked_sub(1).and_then(|index| files.get(index));
    file.ok_or_else(|| {
        let message = match files.len() {
            0 => "there are no files".to_owned(),
            1 => format!("there is no number {number}: the list has one file"),
            count => format!("there is no number {number}: the list goes from 1 to {count}"),
        };
        Failure::new(Exit::NO_INPUT, "not-found", message).in_step()
    })
}

/// A name that a file on the server may have.
pub(super) fn existing(name: &str) -> Result<FileName, Failure> {
    FileName::existing(name)
        .map_err(|error| Failure::usage(format!("{:?} is no file's name: {error}", escaped(name))))
}

/// A size for people.
pub(super) fn size(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string()
}

fn describe(file: &RemoteFile, number: usize) -> Value {
    let modified = file.modified.map(|time| {
        time.duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs()
    });
    json!({
        "number": number,
        "name": file.name,
        "size": file.size,
        "modified": modified,
        "version": file.version,
    })
}

fn table(files: &[RemoteFile]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    for (file, number) in files.iter().zip(1..) {
        table.add_row([
            format!("{number}"),
            size(file.size),
            time(file),
            escaped(file.name.as_str()).limit(SHOWN_NAME).to_string(),
        ]);
    }
    for column in [0, 1] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

/// When it was last written, in UTC; what lies beyond year 9999 is nonsense of the server's.
fn time(file: &RemoteFile) -> String {
    const LATEST: u64 = 253_402_300_799;
    let Some(modified) = file.modified else {
        return String::new();
    };
    let since = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
    if since.as_secs() > LATEST {
        return "?".to_owned();
    }
    let time = humantime::format_rfc3339_seconds(UNIX_EPOCH + since).to_string();
    time.replace('T', " ").replace('Z', " UTC")
}
