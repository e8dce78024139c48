//! Looks at the server's clock.

use serde_json::json;
use services::{client::Client, escape::escaped};

use super::{cli::ClockArgs, connect::in_time, exit::Failure, output::Output};

/// Shows tick after tick, until there have been as many as asked for or the server ends.
pub(super) async fn run(
    client: &mut Client,
    args: &ClockArgs,
    output: Output,
) -> Result<(), Failure> {
    let mut ticks = in_time(client.clock(args.every, args.format.as_deref())).await?;
    let mut left = args.count;
    while left != Some(0) {
        let Some(tick) = ticks.next().await else {
            return match left {
                None => Ok(()),
                Some(_) => Err(Failure::lost("the clock ended before its last tick")),
            };
        };
        let tick = tick?;
        let text = escaped(&tick.text).to_string();
        let plain = match tick.epoch {
            Some(epoch) => format!("{text}  {epoch}"),
            None => text,
        };
        let data = json!({ "text": tick.text, "epoch": tick.epoch });
        output.show(data, plain).await?;
        left = left.map(|left| left - 1);
    }
    Ok(())
}
