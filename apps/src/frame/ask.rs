//! Small questions: who one is, whether the server answers, and the removal of a file.

use std::time::Instant;

use serde_json::json;
use services::{client::Client, escape::escaped};

use super::{
    cli::RmArgs,
    connect::{Target, in_time},
    exit::Failure,
    listing::existing,
    output::Output,
};

/// Says who one is.
pub(super) async fn whoami(client: &mut Client, output: Output) -> Result<(), Failure> {
    let account = in_time(client.whoami()).await?;
    let rights: Option<Vec<String>> = account
        .rights
        .map(|rights| rights.iter().map(ToString::to_string).collect());
    let name = escaped(&account.name);
    let plain = match &rights {
        None => name.to_string(),
        Some(rights) if rights.is_empty() => format!("{name} (no rights)"),
        Some(rights) => format!("{name} ({})", rights.join(", ")),
    };
    output
        .show(json!({ "name": account.name, "rights": rights }), plain)
        .await
}

/// Takes the time of one question and its answer.
pub(super) async fn ping(
    client: &mut Client,
    target: &Target,
    output: Output,
) -> Result<(), Failure> {
    let start = Instant::now();
    in_time(client.ping()).await?;
    let milliseconds = start.elapsed().as_secs_f64() * 1000.0;
    let data = json!({ "server": target.url.to_string(), "milliseconds": milliseconds });
    output
        .show(
            data,
            format_args!("{} answers in {milliseconds:.3} ms", target.url),
        )
        .await
}

/// Removes a file.
pub(super) async fn remove(
    client: &mut Client,
    args: &RmArgs,
    output: Output,
) -> Result<(), Failure> {
    let name = existing(&args.name)?;
    in_time(client.remove(&name)).await?;
    let plain = format!("removed {:?}", escaped(name.as_str()));
    output.show(json!({ "removed": name }), plain).await
}
