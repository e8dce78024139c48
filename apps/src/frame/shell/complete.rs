//! Completes verbs, names of files on the server, and paths here.

use rustyline::{
    Context, Helper,
    completion::{Completer, FilenameCompleter, Pair},
    highlight::Highlighter,
    hint::Hinter,
    validate::Validator,
};
use services::escape::escaped;

const VERBS: [&str; 11] = [
    "clock", "exec", "exit", "get", "help", "ls", "ping", "put", "quit", "rm", "whoami",
];

/// What the line editor completes with.
#[derive(Default)]
pub(super) struct Completion {
    /// The files in the last list.
    pub(super) names: Vec<String>,
    paths: FilenameCompleter,
}

impl Completer for Completion {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        position: usize,
        context: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let typed = &line[..position];
        match typed.split_once(' ') {
            None => Ok((0, verbs(typed))),
            Some(("get" | "rm", rest)) => {
                let rest = rest.trim_start();
                Ok((position - rest.len(), names(&self.names, rest)))
            }
            Some(("put", _)) => self.paths.complete(line, position, context),
            Some(_) => Ok((position, Vec::new())),
        }
    }
}

impl Helper for Completion {}
impl Highlighter for Completion {}
impl Validator for Completion {}
impl Hinter for Completion {
    type Hint = String;
}

fn verbs(typed: &str) -> Vec<Pair> {
    VERBS
        .iter()
        .filter(|verb| verb.starts_with(typed))
        .map(|verb| Pair {
            display: (*verb).to_owned(),
            replacement: format!("{verb} "),
        })
        .collect()
}

/// The names that begin as `typed` does, quoted so that a line with them is read as it was meant.
fn names(names: &[String], typed: &str) -> Vec<Pair> {
    let start = typed.trim_start_matches(['\'', '"']);
    names
        .iter()
        // A name that cannot be shown as it is cannot be typed into a line safely either; its
        // number can.
        .filter(|name| name.starts_with(start) && escaped(name).to_string() == **name)
        .filter_map(|name| {
            Some(Pair {
                display: name.clone(),
                replacement: shlex::try_quote(name).ok()?.into_owned(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replacements(pairs: Vec<Pair>) -> Vec<String> {
        pairs.into_iter().map(|pair| pair.replacement).collect()
    }

    #[test]
    fn names_are_quoted_and_dangerous_ones_not_offered() {
        let all = ["a b", "a", "b", "空 格", "a\u{1b}[2J"].map(str::to_owned);
        assert_eq!(replacements(names(&all, "a")), ["'a b'", "a"]);
        assert_eq!(replacements(names(&all, "'a ")), ["'a b'"]);
        assert_eq!(replacements(names(&all, "空")), ["'空 格'"]);
    }

    #[test]
    fn verbs_are_offered_in_order() {
        assert_eq!(replacements(verbs("p")), ["ping ", "put "]);
        assert_eq!(replacements(verbs("x")), Vec::<String>::new());
    }
}
