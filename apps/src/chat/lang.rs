//! What is said to people, in Chinese or English.

use std::{env, fmt::Display};

use clap::ValueEnum;

/// A language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Lang {
    /// English
    En,
    /// Chinese
    Zh,
}

impl Lang {
    /// The one that was chosen, or the locale's.
    pub(super) fn choose(chosen: Option<Self>) -> Self {
        let set = |name| env::var(name).ok().filter(|value| !value.is_empty());
        chosen.unwrap_or_else(|| {
            let locale = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().find_map(set);
            Self::of_locale(&locale.unwrap_or_default())
        })
    }

    fn of_locale(locale: &str) -> Self {
        if locale.starts_with("zh") {
            Self::Zh
        } else {
            Self::En
        }
    }

    /// The line of a message.
    pub(super) fn message(self, from: impl Display, text: impl Display) -> String {
        match self {
            Self::En => format!("A message from [{from}]: {text}"),
            Self::Zh => format!("来自[{from}]的一条消息:{text}"),
        }
    }

    pub(super) fn whom(self, names: &str) -> String {
        match self {
            Self::En => format!("whom do you want to talk to? there are: {names}"),
            Self::Zh => format!("想和谁聊天？有：{names}"),
        }
    }

    pub(super) fn whom_prompt(self) -> &'static str {
        match self {
            Self::En => "to whom> ",
            Self::Zh => "和谁> ",
        }
    }

    pub(super) fn unknown(self, name: impl Display, names: &str) -> String {
        match self {
            Self::En => format!("nobody is called {name} here; there are: {names}"),
            Self::Zh => format!("没有叫 {name} 的人；有：{names}"),
        }
    }

    pub(super) fn talking(self, name: impl Display) -> String {
        match self {
            Self::En => format!("lines go to {name}; q asks again"),
            Self::Zh => format!("每行发给 {name}；输入 q 重新选人"),
        }
    }

    pub(super) fn nobody_yet(self) -> &'static str {
        match self {
            Self::En => "not sent: nobody has written yet; /to ADDRESS or NAME says whom to",
            Self::Zh => "没有发送：还没有人来消息；用 /to 地址或名字 指定发给谁",
        }
    }

    pub(super) fn new_peer(self, number: usize, address: impl Display) -> String {
        match self {
            Self::En => format!("[{number}] is {address}; /to {number} answers it"),
            Self::Zh => format!("[{number}] 是 {address}；/to {number} 回复它"),
        }
    }

    pub(super) fn not_sent(self, to: impl Display, why: impl Display) -> String {
        match self {
            Self::En => format!("not sent to {to}: {why}"),
            Self::Zh => format!("没有发给 {to}：{why}"),
        }
    }

    pub(super) fn not_delivered(
        self,
        to: impl Display,
        why: impl Display,
        text: impl Display,
    ) -> String {
        match self {
            Self::En => format!("not delivered to {to}: {why}: {text}"),
            Self::Zh => format!("没有送达 {to}：{why}：{text}"),
        }
    }

    pub(super) fn nobody_there(self, address: impl Display) -> String {
        match self {
            Self::En => format!("nobody listens at {address}"),
            Self::Zh => format!("{address} 没有人在听"),
        }
    }

    pub(super) fn joined(self, name: impl Display) -> String {
        match self {
            Self::En => format!("you are {name}; /help tells what lines can do"),
            Self::Zh => format!("你是 {name}；/help 说明怎么用"),
        }
    }

    pub(super) fn here(self, names: &str) -> String {
        match self {
            Self::En => format!("here: {names}"),
            Self::Zh => format!("在线：{names}"),
        }
    }

    pub(super) fn silent(self, server: impl Display) -> String {
        match self {
            Self::En => format!("the directory at {server} does not answer; asking on"),
            Self::Zh => format!("{server} 的目录没有应答；继续尝试"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locale_decides() {
        for (locale, lang) in [
            ("zh_CN.UTF-8", Lang::Zh),
            ("zh", Lang::Zh),
            ("en_US.UTF-8", Lang::En),
            ("C", Lang::En),
            ("", Lang::En),
        ] {
            assert_eq!(Lang::of_locale(locale), lang, "{locale}");
        }
    }
}
