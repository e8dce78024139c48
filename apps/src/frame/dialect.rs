//! How requests and responses are written: which dialect a server speaks, and its settings.

use std::str::FromStr;

use clap::ValueEnum;
use services::course::{
    ClockOptions, Dialect as Course, Encoding as CourseEncoding, ExecForm, ExecOptions, Keys,
    TransferForm, TransferOptions,
};

use super::{cli::ServerArgs, exit::Failure};

/// How requests and responses are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Dialect {
    // Described in `docs/`; help texts here would double the length of every --help.
    #[default]
    Native,
    CourseLogin,
    CourseExec,
    CourseStruct,
    CourseTransfer,
    CourseFiles,
    CourseClock,
}

/// The form of a dialect that has several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    Both,
    Answer,
    Upload,
    Ack,
}

/// What a server writes the output of commands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Encoding {
    #[value(name = "utf-8")]
    Utf8,
    Gbk,
    Raw,
}

/// Other names for the keys of file headers, written `filename=file_name,md5=MD5`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyNames(Keys);

impl FromStr for KeyNames {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut keys = Keys::default();
        for pair in text.split(',') {
            let (key, name) = pair
                .split_once('=')
                .filter(|(_, name)| !name.is_empty())
                .ok_or("keys are written filename=NAME,filesize=NAME,md5=NAME")?;
            match key {
                "filename" => keys.filename = name.to_owned(),
                "filesize" => keys.filesize = name.to_owned(),
                "md5" => keys.md5 = name.to_owned(),
                _ => {
                    return Err(format!(
                        "{key:?} is no key; there are filename, filesize, md5"
                    ));
                }
            }
        }
        Ok(Self(keys))
    }
}

/// What a script's server speaks; none is the login alone.
pub(super) struct Script(pub(super) Option<Course>);

/// Reads the options of a dialect; `None` is the native one.
pub(super) fn script(args: &ServerArgs) -> Result<Option<Script>, Failure> {
    let dialect = args.dialect.unwrap_or_default();
    let forms: &[Form] = match dialect {
        Dialect::CourseStruct => &[Form::Both, Form::Answer],
        Dialect::CourseTransfer => &[Form::Upload, Form::Ack],
        _ => &[],
    };
    let commands = matches!(dialect, Dialect::CourseExec | Dialect::CourseStruct);
    let files = matches!(dialect, Dialect::CourseTransfer | Dialect::CourseFiles);
    let uploads = dialect == Dialect::CourseTransfer && args.form != Some(Form::Ack);
    for (option, fits) in [
        ("--form", args.form.is_none_or(|form| forms.contains(&form))),
        ("--encoding", args.encoding.is_none() || commands),
        ("--keys", args.keys.is_none() || files),
        ("--reply", !args.reply || uploads),
        (
            "--framing",
            args.framing.is_none() || dialect == Dialect::Native,
        ),
    ] {
        if !fits {
            let name = name(dialect);
            let message = format!("{option} does not go with the dialect {name}");
            let failure = Failure::usage(message);
            return Err(match option {
                "--form" => failure.hint(
                    "course-struct has the forms both and answer, course-transfer has upload and ack",
                ),
                "--framing" => failure.hint("the dialects of the course bring their own"),
                _ => failure,
            });
        }
    }
    let keys = || args.keys.clone().map(|keys| keys.0).unwrap_or_default();
    let exec = |form| {
        Course::Exec(ExecOptions {
            form,
            encoding: match args.encoding {
                None | Some(Encoding::Utf8) => CourseEncoding::Utf8,
                Some(Encoding::Gbk) => CourseEncoding::Gbk,
                Some(Encoding::Raw) => CourseEncoding::Raw,
            },
            drop_stderr: false,
        })
    };
    let course = match dialect {
        Dialect::Native => return Ok(None),
        Dialect::CourseLogin => None,
        Dialect::CourseExec => Some(exec(ExecForm::Announced)),
        Dialect::CourseStruct => Some(exec(match args.form {
            Some(Form::Answer) => ExecForm::CountedAnswer,
            _ => ExecForm::Counted,
        })),
        Dialect::CourseTransfer => Some(Course::Transfer(TransferOptions {
            form: match args.form {
                Some(Form::Ack) => TransferForm::Ack,
                _ => TransferForm::Upload { reply: args.reply },
            },
            keys: keys(),
        })),
        Dialect::CourseFiles => Some(Course::Files(keys())),
        Dialect::CourseClock => Some(Course::Clock(ClockOptions::default())),
    };
    Ok(Some(Script(course)))
}

/// The name on the command line.
pub(super) fn name(dialect: Dialect) -> String {
    dialect
        .to_possible_value()
        .map(|value| value.get_name().to_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_can_have_other_names() {
        let KeyNames(keys) = "filename=file_name,md5=MD5".parse().unwrap();
        assert_eq!(keys.filename, "file_name");
        assert_eq!(keys.filesize, "filesize");
        assert_eq!(keys.md5, "MD5");
        for wrong in ["", "filename", "filename=", "name=x", "filename=a,"] {
            assert!(wrong.parse::<KeyNames>().is_err(), "{wrong}");
        }
    }
}
