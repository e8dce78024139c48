//! What a typed line means.

/// A line in `listen`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply<'a> {
    /// A message to whoever lines go to.
    Say(&'a str),
    /// A message to somebody else.
    SayTo(&'a str, &'a str),
    /// Lines go to this one, or again to whoever was shown last.
    To(Option<&'a str>),
    Peers,
    Help,
    Quit,
    Unknown(&'a str),
}

/// A line in `join`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Post<'a> {
    /// A message to whoever lines go to.
    Say(&'a str),
    /// A message to somebody.
    SayTo(&'a str, &'a str),
    /// Lines go to this one.
    To(&'a str),
    Who,
    Help,
    Quit,
    Unknown(&'a str),
}

/// Reads a line of `listen`.
pub(super) fn reply(line: &str) -> Reply<'_> {
    let Some(command) = line.strip_prefix('/') else {
        return Reply::Say(line);
    };
    if command.starts_with('/') {
        return Reply::Say(command);
    }
    match words(command) {
        ("to", "") => Reply::To(None),
        ("to", rest) => match words(rest) {
            (whom, "") => Reply::To(Some(whom)),
            (whom, text) => Reply::SayTo(whom, text),
        },
        ("peers", "") => Reply::Peers,
        ("help", "") => Reply::Help,
        ("q" | "quit" | "exit", "") => Reply::Quit,
        _ => Reply::Unknown(line),
    }
}

/// Reads a line of `join`.
pub(super) fn post(line: &str) -> Post<'_> {
    if let Some(rest) = line.strip_prefix('@') {
        if rest.starts_with('@') {
            return Post::Say(rest);
        }
        return match words(rest) {
            ("", _) => Post::Unknown(line),
            (whom, "") => Post::To(whom),
            (whom, text) => Post::SayTo(whom, text),
        };
    }
    let Some(command) = line.strip_prefix('/') else {
        return Post::Say(line);
    };
    match command {
        "who" => Post::Who,
        "help" => Post::Help,
        "q" | "quit" | "exit" => Post::Quit,
        _ if command.starts_with('/') => Post::Say(command),
        _ => Post::Unknown(line),
    }
}

/// The first word, and what stands behind the space after it.
fn words(text: &str) -> (&str, &str) {
    text.split_once(' ').unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_what_it_says() {
        for (line, meant) in [
            ("hello /to 2", Reply::Say("hello /to 2")),
            ("@bob hi", Reply::Say("@bob hi")),
            ("//etc is a path", Reply::Say("/etc is a path")),
            ("/to", Reply::To(None)),
            ("/to 2", Reply::To(Some("2"))),
            ("/to 2 two words ", Reply::SayTo("2", "two words ")),
            ("/peers", Reply::Peers),
            ("/quit", Reply::Quit),
            ("/etc", Reply::Unknown("/etc")),
        ] {
            assert_eq!(reply(line), meant, "{line}");
        }
        for (line, meant) in [
            ("hello @bob", Post::Say("hello @bob")),
            ("@bob", Post::To("bob")),
            ("@bob hi you", Post::SayTo("bob", "hi you")),
            ("@@home", Post::Say("@home")),
            ("@ x", Post::Unknown("@ x")),
            ("//x", Post::Say("/x")),
            ("/who", Post::Who),
            ("/q", Post::Quit),
            ("/x", Post::Unknown("/x")),
        ] {
            assert_eq!(post(line), meant, "{line}");
        }
    }
}
