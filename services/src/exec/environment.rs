//! Puts together the environment of a command.
//!
//! Nothing of the server's own environment gets in: secrets often live there, and variables such as
//! `LD_PRELOAD` change what a program does.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rustix::process::{Uid, geteuid};

use super::command::{SEARCH_PATH, has_nul};
use super::spawner::SpawnError;

/// The variable that every command and everything it starts carries; the value is the command's own.
pub(super) const MARK: &str = "FRAMEWRIGHT_COMMAND";

#[derive(Debug, Clone, Default)]
pub(super) struct Environment {
    /// Set for every command.
    pub(super) fixed: BTreeMap<OsString, OsString>,
    /// Names that a request may set.
    pub(super) accepted: BTreeSet<OsString>,
}

impl Environment {
    /// All variables of one command.
    pub(super) fn build(
        &self,
        folder: &Path,
        requested: Vec<(OsString, OsString)>,
        mark: &str,
    ) -> Result<BTreeMap<OsString, OsString>, SpawnError> {
        let user = user_name();
        let mut variables = BTreeMap::from([
            ("PATH".into(), SEARCH_PATH.join(":").into()),
            ("HOME".into(), folder.as_os_str().to_owned()),
            ("PWD".into(), folder.as_os_str().to_owned()),
            ("SHELL".into(), "/bin/sh".into()),
            ("LANG".into(), "C.UTF-8".into()),
            ("USER".into(), user.clone()),
            ("LOGNAME".into(), user),
        ]);
        variables.extend(self.fixed.clone());
        for (name, value) in requested {
            if self.accepted.contains(&name) {
                variables.insert(name, value);
            } else {
                tracing::debug!(
                    ?name,
                    "left out an environment variable that is not accepted"
                );
            }
        }
        variables.insert(MARK.into(), mark.into());
        for (name, value) in &variables {
            check(name, value)?;
        }
        Ok(variables)
    }
}

fn check(name: &OsStr, value: &OsStr) -> Result<(), SpawnError> {
    let fault = if name.is_empty() {
        "its name is empty"
    } else if name.as_encoded_bytes().contains(&b'=') {
        "its name contains an equals sign"
    } else if has_nul(name) || has_nul(value) {
        "it contains a NUL byte"
    } else {
        return Ok(());
    };
    Err(SpawnError::Variable {
        name: name.to_owned(),
        fault,
    })
}

/// The name of the user we run as, or its number when it has none.
///
/// Looked up once and not for every command, as that takes 4 microseconds; a server that changes its
/// user looks again.
fn user_name() -> OsString {
    static LAST: Mutex<Option<(Uid, OsString)>> = Mutex::new(None);
    let id = geteuid();
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    match &*last {
        Some((user, name)) if *user == id => name.clone(),
        _ => last.insert((id, look_up_name(id))).1.clone(),
    }
}

fn look_up_name(id: Uid) -> OsString {
    let id = id.as_raw().to_string();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == id).then(|| name.to_owned())
    });
    name.unwrap_or(id).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(
        environment: &Environment,
        requested: &[(&str, &str)],
    ) -> Result<BTreeMap<OsString, OsString>, SpawnError> {
        let requested = requested
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        environment.build(Path::new("/srv"), requested, "m")
    }

    #[test]
    fn svc_c17_a_request_sets_only_what_is_accepted() {
        let environment = Environment {
            fixed: [("LANG".into(), "de_DE.UTF-8".into())].into(),
            accepted: ["TZ".into(), "LANG".into(), MARK.into()].into(),
        };
        let variables = build(
            &environment,
            &[
                ("LD_PRELOAD", "/tmp/x.so"),
                ("BASH_ENV", "/tmp/x"),
                ("PATH", "/tmp"),
                ("IFS", "/"),
                ("X", "() { :;}; id"),
                ("a=b", "c"),
                ("TZ", "Asia/Shanghai"),
                (MARK, "another's"),
            ],
        )
        .unwrap();
        let names: Vec<_> = variables.keys().collect();
        assert_eq!(
            names,
            [
                MARK, "HOME", "LANG", "LOGNAME", "PATH", "PWD", "SHELL", "TZ", "USER"
            ]
        );
        assert_eq!(variables[OsStr::new("TZ")], "Asia/Shanghai");
        assert_eq!(variables[OsStr::new("LANG")], "de_DE.UTF-8");
        assert_eq!(
            variables[OsStr::new("PATH")],
            "/usr/local/bin:/usr/bin:/bin"
        );
        assert_eq!(variables[OsStr::new(MARK)], "m");
    }

    #[test]
    fn impossible_variables_are_an_error_where_they_would_be_set() {
        for (name, value) in [("", "x"), ("a=b", "x"), ("a\0", "x"), ("a", "x\0y")] {
            let environment = Environment {
                accepted: [name.into()].into(),
                ..Environment::default()
            };
            let error = build(&environment, &[(name, value)]).unwrap_err();
            assert_eq!(error.kind(), "invalid-variable", "{name:?}");
        }
    }
}
