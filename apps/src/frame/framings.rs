//! Lists the framings and their options.

use framing::Registry;
use serde_json::json;

use super::{exit::Failure, output::Output};

pub(super) fn run(output: Output) -> Result<u8, Failure> {
    let registry = Registry::default();
    let framings: Vec<(&str, Vec<&str>)> = registry
        .names()
        .map(|name| {
            (
                name,
                registry
                    .options(name)
                    .into_iter()
                    .flatten()
                    .map(|option| option.name())
                    .collect(),
            )
        })
        .collect();
    let data: Vec<_> = framings
        .iter()
        .map(|(name, options)| json!({ "name": name, "options": options }))
        .collect();
    let plain: String = framings
        .iter()
        .map(|(name, options)| format!("{name}\n    {}\n", options.join(", ")))
        .collect();
    output.show_now(&json!({ "framings": data }), plain)?;
    Ok(0)
}
