//! What a listener speaks: the native dialect, or those of the course's scripts.

use std::fmt;

use anyhow::{bail, ensure};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use services::{course, files::FileName};

use super::{Listen, Service};

/// How requests and responses are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// JSON heads and chunks; `docs/protocol.md`.
    #[default]
    Native,
    /// `name|password`; this and the following: `docs/course.md`.
    CourseLogin,
    /// A command; the length of its output, `ok`, the output.
    CourseExec,
    /// The same with `struct.pack('i', length)`.
    CourseStruct,
    /// A file behind its JSON header.
    CourseTransfer,
    /// Files by number, behind a login.
    CourseFiles,
    /// The time, again and again.
    CourseClock,
}

impl Dialect {
    /// The name, as in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::CourseLogin => "course-login",
            Self::CourseExec => "course-exec",
            Self::CourseStruct => "course-struct",
            Self::CourseTransfer => "course-transfer",
            Self::CourseFiles => "course-files",
            Self::CourseClock => "course-clock",
        }
    }
}

/// The dialects of a listener, one behind the other: one, or `course-login` and another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialects(Vec<Dialect>);

impl Default for Dialects {
    fn default() -> Self {
        Self(vec![Dialect::default()])
    }
}

impl<'de> Deserialize<'de> for Dialects {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;

        impl<'de> de::Visitor<'de> for OneOrMore {
            type Value = Dialects;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a dialect, or a list of them")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Dialects, E> {
                Dialect::deserialize(de::value::StrDeserializer::new(name))
                    .map(|dialect| Dialects(vec![dialect]))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<Dialects, A::Error> {
                Vec::deserialize(de::value::SeqAccessDeserializer::new(seq)).map(Dialects)
            }
        }

        deserializer.deserialize_any(OneOrMore)
    }
}

impl Serialize for Dialects {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0[..] {
            [dialect] => dialect.serialize(serializer),
            dialects => dialects.serialize(serializer),
        }
    }
}

impl fmt::Display for Dialects {
    /// `course-login+course-exec`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.0.iter().map(|dialect| dialect.as_str()).collect();
        f.write_str(&names.join("+"))
    }
}

impl Dialects {
    /// Whether it is the native one.
    pub fn is_native(&self) -> bool {
        self.0 == [Dialect::Native]
    }

    /// Whether it begins with `name|password`.
    fn begins_with_login(&self) -> bool {
        self.0.first() == Some(&Dialect::CourseLogin)
    }

    /// What is spoken behind the login, or from the start.
    fn main(&self) -> Option<Dialect> {
        self.0
            .iter()
            .copied()
            .find(|dialect| *dialect != Dialect::CourseLogin)
    }

    /// Whether a service can be asked in it.
    pub(super) fn has_words_for(&self, service: Service) -> bool {
        let main = self.main();
        match service {
            _ if self.is_native() => true,
            Service::Login => self.begins_with_login() || main == Some(Dialect::CourseFiles),
            Service::Exec => matches!(main, Some(Dialect::CourseExec | Dialect::CourseStruct)),
            Service::Files => matches!(main, Some(Dialect::CourseTransfer | Dialect::CourseFiles)),
            Service::Clock => main == Some(Dialect::CourseClock),
        }
    }

    /// The services without which it would be of no use.
    pub(super) fn needs(&self) -> impl Iterator<Item = Service> {
        let main = match self.main() {
            Some(Dialect::CourseExec | Dialect::CourseStruct) => Some(Service::Exec),
            Some(Dialect::CourseTransfer | Dialect::CourseFiles) => Some(Service::Files),
            Some(Dialect::CourseClock) => Some(Service::Clock),
            Some(Dialect::Native | Dialect::CourseLogin) | None => None,
        };
        let login = self.begins_with_login().then_some(Service::Login);
        main.into_iter().chain(login)
    }

    /// How a login could be had, for an error that asks for an identity.
    pub(super) fn way_to_log_in(&self) -> String {
        match self.main() {
            Some(dialect) if !self.has_words_for(Service::Login) => format!(
                ", or a login in front: `dialect = [\"course-login\", \"{}\"]`",
                dialect.as_str()
            ),
            _ => String::new(),
        }
    }

    fn check(&self) -> anyhow::Result<()> {
        match &self.0[..] {
            [_] => Ok(()),
            [Dialect::CourseLogin, Dialect::CourseFiles] => {
                bail!("course-files has a login of its own; it stands alone")
            }
            [Dialect::CourseLogin, second]
                if ![Dialect::Native, Dialect::CourseLogin].contains(second) =>
            {
                Ok(())
            }
            _ => bail!(
                "`dialect` is one dialect, or course-login and one of course-exec, course-struct, \
                 course-transfer, course-clock behind it"
            ),
        }
    }
}

/// The form of a dialect that has several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// `course-struct`: command and answer behind their lengths (the default).
    Both,
    /// `course-struct`: the command as it is, the answer behind its length.
    Answer,
    /// `course-transfer`: clients send files (the default).
    Upload,
    /// `course-transfer`: whoever connects is sent the listener's `file`.
    Download,
    /// `course-transfer`: clients ask for files by name; the size, anything, the file, its digest.
    Ack,
}

/// What becomes of a command's standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stderr {
    /// It is part of the output (the default).
    Merge,
    /// It is left out, as the course's servers do it.
    Drop,
}

/// What else stands in the objects of these dialects.
const OTHER_KEYS: [&str; 7] = [
    "op", "status", "reason", "index", "files", "username", "password",
];

/// Each key must be told from the others.
fn check_keys(keys: &course::Keys) -> anyhow::Result<()> {
    let names = [&keys.filename, &keys.filesize, &keys.md5];
    for (name, place) in names.iter().zip(1..) {
        ensure!(!name.is_empty(), "`keys` has an empty name");
        ensure!(
            !names[place..].contains(name) && !OTHER_KEYS.contains(&name.as_str()),
            "`keys` has the name `{name}` twice, or it stands for something else in this dialect"
        );
    }
    Ok(())
}

impl Listen {
    /// Finds settings that the dialect does not have.
    pub(super) fn check_dialect(&self) -> anyhow::Result<()> {
        self.dialect.check()?;
        let main = self.dialect.main();
        let login = self.dialect.begins_with_login();
        let commands = matches!(main, Some(Dialect::CourseExec | Dialect::CourseStruct));
        let files = matches!(main, Some(Dialect::CourseTransfer | Dialect::CourseFiles));
        let transfer = main == Some(Dialect::CourseTransfer);
        let form_fits = match self.form {
            None => true,
            Some(Form::Both | Form::Answer) => main == Some(Dialect::CourseStruct),
            Some(Form::Upload | Form::Download | Form::Ack) => transfer,
        };
        let uploads = transfer && matches!(self.form, None | Some(Form::Upload));
        let downloads = self.form == Some(Form::Download);
        let settings = [
            ("form", form_fits),
            ("encoding", self.encoding.is_none() || commands || login),
            ("stderr", self.stderr.is_none() || commands),
            ("reply", self.reply.is_none() || uploads),
            ("file", self.file.is_none() || downloads),
            (
                "keys",
                self.keys.is_none() || files && self.form != Some(Form::Ack),
            ),
        ];
        for (name, fits) in settings {
            ensure!(
                fits,
                "`{name}` does not go with the dialect {}{}",
                self.dialect,
                match self.form {
                    Some(_) if name != "form" => " in this form",
                    _ => "",
                }
            );
        }
        if let Some(keys) = &self.keys {
            check_keys(keys)?;
        }
        if let Some(file) = &self.file {
            let wrong = |error| anyhow::anyhow!("`file` is no file's name: {error}");
            FileName::existing(file).map_err(wrong)?;
        }
        ensure!(
            !downloads || self.file.is_some(),
            "`form = \"download\"` needs `file`: the name of the file that is sent"
        );
        Ok(())
    }

    /// Whether connections begin with `name|password`.
    pub(crate) fn course_login(&self) -> bool {
        self.dialect.begins_with_login()
    }

    /// What is spoken behind the login, where it is one of the course's dialects.
    pub(crate) fn course_dialect(&self) -> Option<course::Dialect> {
        let keys = || self.keys.clone().unwrap_or_default();
        let exec = |form| {
            course::Dialect::Exec(course::ExecOptions {
                form,
                encoding: self.encoding.unwrap_or_default(),
                drop_stderr: self.stderr == Some(Stderr::Drop),
            })
        };
        Some(match self.dialect.main()? {
            Dialect::Native | Dialect::CourseLogin => return None,
            Dialect::CourseExec => exec(course::ExecForm::Announced),
            Dialect::CourseStruct => exec(match self.form {
                Some(Form::Answer) => course::ExecForm::CountedAnswer,
                _ => course::ExecForm::Counted,
            }),
            Dialect::CourseTransfer => course::Dialect::Transfer(course::TransferOptions {
                form: match (self.form, &self.file) {
                    (Some(Form::Download), Some(file)) => {
                        course::TransferForm::Download { file: file.clone() }
                    }
                    (Some(Form::Ack), _) => course::TransferForm::Ack,
                    _ => course::TransferForm::Upload {
                        reply: self.reply.unwrap_or(false),
                    },
                },
                keys: keys(),
            }),
            Dialect::CourseFiles => course::Dialect::Files(keys()),
            Dialect::CourseClock => course::Dialect::Clock(course::ClockOptions::default()),
        })
    }
}
