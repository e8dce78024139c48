//! The walk of the course's exercise: log in, choose upload or download, type a number.

use std::{env, io::IsTerminal};

use clap::ValueEnum;
use services::{client::Client, login::Password};

use super::{Shell, ShellVerb, input::Line};
use crate::frame::{
    cli::{GetArgs, PutArgs},
    connect::in_time,
    exit::{Exit, Failure},
    interrupt::Interrupts,
};

/// The language of the menu.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::frame) enum Language {
    En,
    Zh,
}

impl Language {
    /// The language of the locale, as the usual variables have it.
    fn of_locale() -> Self {
        let locale = ["LC_ALL", "LC_MESSAGES", "LANG"]
            .into_iter()
            .filter_map(env::var_os)
            .find(|locale| !locale.is_empty());
        match locale {
            Some(locale) if locale.as_encoded_bytes().starts_with(b"zh") => Self::Zh,
            _ => Self::En,
        }
    }

    fn words(self) -> &'static Words {
        match self {
            Self::En => &ENGLISH,
            Self::Zh => &CHINESE,
        }
    }
}

/// What the menu says.
struct Words {
    name: &'static str,
    password: &'static str,
    welcome: &'static str,
    wrong: &'static str,
    choices: &'static str,
    choice: &'static str,
    no_choice: &'static str,
    path: &'static str,
    number: &'static str,
}

const ENGLISH: Words = Words {
    name: "user name (empty where nobody logs in): ",
    password: "password: ",
    welcome: "logged in",
    wrong: "wrong user name or password",
    choices: "1 upload   2 download   3 leave",
    choice: "choice: ",
    no_choice: "there are the choices 1, 2 and 3",
    path: "file to upload (empty: back): ",
    number: "number to download (empty: back): ",
};

const CHINESE: Words = Words {
    name: "用户名(无需登录则留空): ",
    password: "密码: ",
    welcome: "登录成功",
    wrong: "用户名或者密码错误",
    choices: "1 上传   2 下载   3 离开",
    choice: "请选择: ",
    no_choice: "只能选择 1、2 或 3",
    path: "要上传的文件(留空返回): ",
    number: "要下载的序号(留空返回): ",
};

/// Walks until the peer leaves: the exit code of the first thing that failed.
pub(super) async fn walk(
    shell: &mut Shell,
    language: Option<Language>,
    interrupts: &mut Interrupts,
) -> Result<u8, Failure> {
    let words = language.unwrap_or_else(Language::of_locale).words();
    if !shell.target.has_login() && !log_in(shell, words, interrupts).await? {
        return Ok(0);
    }
    let mut first_failure = 0;
    loop {
        shell.output.note(words.choices);
        let Some(choice) = ask(shell, words.choice, interrupts).await? else {
            return Ok(first_failure);
        };
        let done = match choice.trim() {
            "1" => upload(shell, words, interrupts).await,
            "2" => download(shell, words, interrupts).await,
            "3" => return Ok(first_failure),
            "" => continue,
            _ => Err(Failure::usage(words.no_choice)),
        };
        let code = match done {
            Ok(code) => code,
            Err(failure) if failure.exit() == Exit::TERMINATED || failure.is_quiet() => {
                return Err(failure);
            }
            Err(failure) => {
                shell.output.failure(&failure);
                failure.exit()
            }
        };
        if first_failure == 0 {
            first_failure = code;
        }
    }
}

/// Asks who it is until that is right. False at the end of the input.
async fn log_in(
    shell: &mut Shell,
    words: &Words,
    interrupts: &mut Interrupts,
) -> Result<bool, Failure> {
    loop {
        let Some(name) = ask(shell, words.name, interrupts).await? else {
            return Ok(false);
        };
        if name.is_empty() {
            return Ok(true);
        }
        let password = if shell.input.is_terminal() && std::io::stderr().is_terminal() {
            // What is typed is not shown.
            rpassword::prompt_password(words.password)
                .map_err(|error| Failure::local_io("cannot read a password", &error))?
        } else {
            let Some(password) = ask(shell, words.password, interrupts).await? else {
                return Ok(false);
            };
            password
        };
        let password =
            Password::new(password).map_err(|error| Failure::usage(error.to_string()))?;
        let mut client = shell.connected(interrupts).await?;
        match in_time(client.login(&name, password.clone())).await {
            Ok(_) => {
                shell.target.remember(name, password);
                shell.keep(client);
                shell.output.note(words.welcome);
                return Ok(true);
            }
            Err(failure) if failure.exit() == Exit::NOT_ALLOWED => {
                shell.output.note(words.wrong);
                leave(client).await;
            }
            Err(failure) => return Err(failure),
        }
    }
}

/// Another try begins on a connection of its own, as the server may close this one.
async fn leave(client: Client) {
    let _ = tokio::time::timeout(std::time::Duration::from_secs(1), client.leave()).await;
}

async fn upload(
    shell: &mut Shell,
    words: &Words,
    interrupts: &mut Interrupts,
) -> Result<u8, Failure> {
    match ask(shell, words.path, interrupts).await? {
        Some(path) if !path.is_empty() => {
            let put = PutArgs {
                file: path.into(),
                name: None,
                overwrite: false,
            };
            shell.carry_out(ShellVerb::Put(put), interrupts).await
        }
        _ => Ok(0),
    }
}

async fn download(
    shell: &mut Shell,
    words: &Words,
    interrupts: &mut Interrupts,
) -> Result<u8, Failure> {
    shell.carry_out(ShellVerb::Ls, interrupts).await?;
    match ask(shell, words.number, interrupts).await? {
        Some(number) if !number.is_empty() => {
            let get = GetArgs {
                file: Some(number.trim().to_owned()),
                name: false,
                number: true,
                output: None,
                force: false,
            };
            shell.carry_out(ShellVerb::Get(get), interrupts).await
        }
        _ => Ok(0),
    }
}

/// The next line; none at the end of the input.
async fn ask(
    shell: &mut Shell,
    question: &str,
    interrupts: &mut Interrupts,
) -> Result<Option<String>, Failure> {
    loop {
        match interrupts.unless(shell.input.next(question)).await? {
            Line::Text(line) => return Ok(Some(line)),
            Line::Nothing => {}
            Line::End => return Ok(None),
            Line::Bad(why) => return Err(Failure::usage(why)),
        }
    }
}
