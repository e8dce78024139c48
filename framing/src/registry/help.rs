//! What a registry tells people about a framing: its options, their defaults, and what they mean.

/// What a framing is for, and its options.
///
/// ```
/// use framing::{FramingHelp, OptionHelp};
///
/// const HELP: FramingHelp = FramingHelp::new(
///     "fields that end with a separator",
///     &[OptionHelp::new("separator", "\";\"", "what ends a field")],
/// );
/// # let _ = HELP;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FramingHelp {
    summary: &'static str,
    options: &'static [OptionHelp],
}

impl FramingHelp {
    /// A framing in half a sentence, and its options in the order of the docs.
    pub const fn new(summary: &'static str, options: &'static [OptionHelp]) -> Self {
        Self { summary, options }
    }

    /// The framing in half a sentence.
    pub const fn summary(&self) -> &'static str {
        self.summary
    }

    /// The options of the framing's own.
    pub const fn options(&self) -> &'static [OptionHelp] {
        self.options
    }
}

/// One option of a framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptionHelp {
    name: &'static str,
    default: &'static str,
    meaning: &'static str,
}

impl OptionHelp {
    /// Stands for a default that there is not: the option must be given.
    pub const REQUIRED: &'static str = "required";
    /// Stands for a default of nothing: the option is left out.
    pub const NONE: &'static str = "none";

    /// An option: its name, its default as it would stand in a file (or
    /// [`REQUIRED`](Self::REQUIRED), or [`NONE`](Self::NONE), or words in parentheses), and its
    /// meaning in half a sentence that names the other values and the unit.
    pub const fn new(name: &'static str, default: &'static str, meaning: &'static str) -> Self {
        Self {
            name,
            default,
            meaning,
        }
    }

    /// The name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The default as it would stand in a file, or [`REQUIRED`](Self::REQUIRED), or
    /// [`NONE`](Self::NONE), or words in parentheses; nothing if nobody said.
    pub const fn default_value(&self) -> &'static str {
        self.default
    }

    /// The meaning.
    pub const fn meaning(&self) -> &'static str {
        self.meaning
    }
}

/// The options that every framing takes, and that end up in its [`Limits`](crate::Limits).
pub(super) const COMMON: &[OptionHelp] = &[
    OptionHelp::new(
        "max_frame",
        "\"16MiB\"",
        "the largest frame as handed out, in both directions: bytes, or text such as \"64KiB\"",
    ),
    OptionHelp::new(
        "on_error",
        "\"close\"",
        "after a bad frame whose end is known: \"close\", or \"skip\" to go on behind it",
    ),
    OptionHelp::new("allow_empty", "true", "whether an empty frame is a frame"),
    OptionHelp::new(
        "max_empty_run",
        "1000",
        "how many empty frames may follow one another; more are a flood",
    ),
];
