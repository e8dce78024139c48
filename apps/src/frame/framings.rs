//! Lists the framings and their options, as the registry tells them.

use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};
use framing::{FrameError, Limits, OptionHelp, Raw, RawOptions, Registry};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    cli::FramingsArgs,
    exit::{Exit, Failure},
    output::Output,
};

/// Columns on a terminal below which a meaning is cut into too many lines to be read.
const NARROWEST_MEANING: u16 = 24;

pub(super) fn run(args: &FramingsArgs, output: Output) -> Result<u8, Failure> {
    let registry = Registry::default();
    let common = common_options();
    let names: Vec<&str> = match &args.name {
        Some(name) => vec![known(&registry, name)?],
        None => registry.names().collect(),
    };
    let framings: Vec<Described<'_>> = names
        .into_iter()
        .map(|name| Described::new(&registry, name, &common))
        .collect();
    if output.is_json() {
        let data = json!({
            "framings": framings.iter().map(Described::to_json).collect::<Vec<_>>(),
            "common": objects(&common),
        });
        output.show_now(&data, "")?;
    } else {
        output.show_now(&Value::Null, plain(&framings, &common))?;
    }
    Ok(0)
}

/// One framing.
struct Described<'a> {
    name: &'a str,
    summary: &'a str,
    /// Those of its own.
    options: Vec<OptionHelp>,
}

impl<'a> Described<'a> {
    fn new(registry: &Registry, name: &'a str, common: &[OptionHelp]) -> Self {
        let options = registry.options(name).into_iter().flatten();
        Self {
            name,
            summary: registry.summary(name).unwrap_or_default(),
            options: options.filter(|option| !common.contains(option)).collect(),
        }
    }

    fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "summary": self.summary,
            "options": objects(&self.options),
        })
    }
}

/// The name of a framing that there is; it may stand in a table, as after `--framing`.
fn known<'a>(registry: &'a Registry, text: &str) -> Result<&'a str, Failure> {
    let find = |name: &str| registry.names().find(|known| *known == name);
    if let Some(name) = find(text.trim()) {
        return Ok(name);
    }
    let refused = |error: FrameError| Failure::new(Exit::DATA, "config", error.to_string());
    let factory = registry.parse(text).map_err(refused)?;
    find(factory.name()).ok_or_else(|| refused(FrameError::config("a framing without a name")))
}

/// The options of every framing: what one without any of its own takes.
fn common_options() -> Vec<OptionHelp> {
    #[derive(Deserialize)]
    struct NoOptions {}

    let mut registry = Registry::empty();
    registry.register("none", |NoOptions {}, limits: Limits| -> Result<Raw, _> {
        RawOptions::default().build(limits)
    });
    registry.options("none").into_iter().flatten().collect()
}

fn objects(options: &[OptionHelp]) -> Vec<Value> {
    let object = |option: &OptionHelp| {
        json!({
            "name": option.name(),
            "default": option.default_value(),
            "meaning": option.meaning(),
        })
    };
    options.iter().map(object).collect()
}

fn plain(framings: &[Described<'_>], common: &[OptionHelp]) -> String {
    let all = framings.iter().flat_map(|framing| &framing.options);
    let widths = Widths::of(all.chain(common));
    let mut text = String::new();
    for framing in framings {
        text += framing.name;
        if !framing.summary.is_empty() {
            text += ": ";
            text += framing.summary;
        }
        text.push('\n');
        widths.table(&framing.options, &mut text);
        text.push('\n');
    }
    text += "common to all framings:\n";
    widths.table(common, &mut text);
    text
}

/// The same columns in all tables.
struct Widths {
    name: u16,
    default: u16,
}

impl Widths {
    fn of<'a>(options: impl Iterator<Item = &'a OptionHelp>) -> Self {
        let width = |text: &str| u16::try_from(text.chars().count()).unwrap_or(u16::MAX);
        options.fold(
            Self {
                name: 0,
                default: 0,
            },
            |widest, option| Self {
                name: widest.name.max(width(option.name())),
                default: widest.default.max(width(option.default_value())),
            },
        )
    }

    /// Appends one line for each option; on a terminal, long meanings are continued below.
    fn table(&self, options: &[OptionHelp], text: &mut String) {
        if options.is_empty() {
            return;
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        let room = table
            .width()
            .unwrap_or_default()
            .saturating_sub(self.name.saturating_add(self.default));
        if room >= NARROWEST_MEANING {
            table.set_content_arrangement(ContentArrangement::Dynamic);
        }
        for option in options {
            table.add_row(["", option.name(), option.default_value(), option.meaning()]);
        }
        // The cells have a space on either side.
        for (column, width) in [(0, 1), (1, self.name + 2), (2, self.default + 2)] {
            if let Some(column) = table.column_mut(column) {
                column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(width)));
            }
        }
        *text += &table.trim_fmt();
        text.push('\n');
    }
}
