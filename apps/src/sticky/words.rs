//! What is said to people, in English and in Chinese.

use std::{env, time::Duration};

use clap::ValueEnum;

use super::{
    cures::Trial,
    picture::{Row, What},
    scene::Plot,
};

/// The language of pictures and pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Lang {
    /// English.
    En,
    /// Chinese.
    Zh,
}

impl Lang {
    /// That of the locale; English where it is neither.
    pub(super) fn of_locale() -> Self {
        let set = |name| env::var(name).ok().filter(|value| !value.is_empty());
        // The first that is set decides, as for every program.
        let locale = set("LC_ALL")
            .or_else(|| set("LC_MESSAGES"))
            .or_else(|| set("LANG"));
        match locale {
            Some(locale) if locale.starts_with("zh") => Self::Zh,
            _ => Self::En,
        }
    }

    /// As HTML names it.
    pub(super) fn tag(self) -> &'static str {
        self.pick("en", "zh-CN")
    }

    /// One of two texts.
    pub(super) fn pick<'a>(self, en: &'a str, zh: &'a str) -> &'a str {
        match self {
            Self::En => en,
            Self::Zh => zh,
        }
    }

    pub(super) fn title(self) -> &'static str {
        self.pick("Sticky packets, shown", "亲眼看看粘包")
    }

    pub(super) fn client(self) -> &'static str {
        self.pick("client", "客户端")
    }

    pub(super) fn server(self) -> &'static str {
        self.pick("server", "服务端")
    }

    /// The heading of a scene.
    pub(super) fn scene(self, plot: Plot) -> &'static str {
        match plot {
            Plot::TwoSendsOneRead => self.pick("Two sends, one read", "发两次，一次读到"),
            Plot::OneMessageTwoReads => self.pick("One message, two reads", "一条消息，两次读完"),
            Plot::TwoSendsUdp => {
                self.pick("The same two sends over UDP", "同样的两次发送，换成 UDP")
            }
            Plot::LongUdp => self.pick("The long messages over UDP", "长消息，换成 UDP"),
        }
    }

    /// What to look for in a scene.
    pub(super) fn about(self, plot: Plot) -> &'static str {
        match plot {
            Plot::TwoSendsOneRead => self.pick(
                "The client sends two messages. The server comes late: when it reads for the first time, \
                 both are in its input buffer, and nothing in there says where one ends.",
                "客户端发了两条消息。服务端来晚了：它第一次读的时候，两条都已经躺在输入缓冲区里，\
                 而缓冲区里没有任何东西说明哪里是分界。",
            ),
            Plot::OneMessageTwoReads => self.pick(
                "A message that is longer than a read comes in parts, and its last part arrives glued to the \
                 beginning of the next message.",
                "消息比一次读取还长，就会分几次到；最后一段还会和下一条消息的开头粘在一起。",
            ),
            Plot::TwoSendsUdp => self.pick(
                "A datagram is a message: each recv gives one, whole, and never two.",
                "一个数据报就是一条消息：每次 recv 得到一个，完整，绝不会是两个。",
            ),
            Plot::LongUdp => self.pick(
                "The boundaries stay, but what does not fit into the read is gone for good.",
                "边界还在，但一次读不下的部分就永远丢了。",
            ),
        }
    }

    pub(super) fn free_runs(self) -> &'static str {
        self.pick("The same without a late reader", "服务端不迟到，再跑几遍")
    }

    /// How the free runs went.
    pub(super) fn counts(self, together: usize, runs: usize) -> String {
        let apart = runs - together;
        match self {
            Self::En => format!("{runs} runs: {together} stuck together, {apart} apart"),
            Self::Zh => format!("共 {runs} 次：{together} 次粘在一起，{apart} 次分开到达"),
        }
    }

    /// What to think of it.
    pub(super) fn about_counts(self) -> &'static str {
        self.pick(
            "It depends on who is quicker, and the next time the counts are others. That is what makes the \
             fault so hard to find: a program that counts on one message a read works, until it does not.",
            "全看谁快一步，再跑一遍数字又会变。这正是它难查的原因：一个指望“一次读一条”的程序，\
             平时好好的，直到某一天突然不行。",
        )
    }

    pub(super) fn cures(self) -> &'static str {
        self.pick(
            "The same messages with every framing",
            "同样的消息，换上每一种成帧方式",
        )
    }

    pub(super) fn about_cures(self) -> &'static str {
        self.pick(
            "The same sockets, the same late reader, the same glued bytes; but now the bytes themselves say where \
             a message ends. Only raw adds nothing, and keeps nothing.",
            "同样的套接字，同样迟到的读者，字节照样粘在一起；只是现在字节自己说明了一条消息到哪里为止。\
             只有 raw 什么都不加，所以什么都保不住。",
        )
    }

    /// One framing in half a sentence; `otherwise` for one that is not ours.
    pub(super) fn framing(self, name: &str, otherwise: &'static str) -> &'static str {
        if self == Self::En {
            return otherwise;
        }
        match name {
            "ack-handshake" => "先发十进制长度，等对方回 ok，再发正文",
            "cobs" => "字节填充，以零结尾",
            "delimiter" => "以一个记号结尾",
            "fixed" => "每帧一样长",
            "json-header" => "前面一个 JSON 对象写明大小",
            "length-field" => "某个偏移处的长度字段",
            "lines" => "一行行文本",
            "netstring" => "十进制长度、冒号、字节、逗号",
            "pair" => "读用一种，写用另一种",
            "raw" => "每次读到的就是一帧：不保留边界",
            "slip" => "夹在两个 0xC0 之间，字节填充",
            "struct-header" => "固定大小的头里写长度，然后是正文",
            "varint" => "LEB128 变长整数写长度",
            _ => otherwise,
        }
    }

    /// Whether and at what price a framing kept the boundaries.
    pub(super) fn verdict(self, trial: &Trial) -> String {
        if let Some(why) = &trial.refused {
            return match self {
                Self::En => format!("not carried: {why}"),
                Self::Zh => format!("发不了：{why}"),
            };
        }
        let kept = self.kept(trial.keeps_boundaries());
        let (bytes, trips) = (trial.overhead(), trial.record.round_trips());
        match (self, trips) {
            (Self::En, 0) => format!("{kept}; {bytes} bytes more, no round trip"),
            (Self::En, 1) => format!("{kept}; {bytes} bytes more, 1 round trip"),
            (Self::En, _) => format!("{kept}; {bytes} bytes more, {trips} round trips"),
            (Self::Zh, 0) => format!("{kept}；多 {bytes} 字节，不多往返"),
            (Self::Zh, _) => format!("{kept}；多 {bytes} 字节，多 {trips} 个往返"),
        }
    }

    pub(super) fn kept(self, kept: bool) -> &'static str {
        match kept {
            true => self.pick("boundaries kept", "边界保住了"),
            false => self.pick("boundaries lost", "边界丢了"),
        }
    }

    /// The same under a heading that says of what.
    pub(super) fn kept_shortly(self, kept: bool) -> &'static str {
        match kept {
            true => self.pick("kept", "保住了"),
            false => self.pick("lost", "丢了"),
        }
    }

    /// The headings of the table of costs.
    pub(super) fn columns(self) -> [&'static str; 6] {
        match self {
            Self::En => [
                "framing",
                "hello + sigui: bytes more",
                "2000 + 1000: bytes more",
                "round trips",
                "reads",
                "boundaries",
            ],
            Self::Zh => [
                "成帧方式",
                "hello + sigui：多出的字节",
                "2000 + 1000：多出的字节",
                "往返",
                "读了几次",
                "边界",
            ],
        }
    }

    /// A row's call, as its label.
    pub(super) fn label(self, row: &Row) -> String {
        let bytes = row.bytes();
        match row.what {
            What::Send => format!("send {bytes}"),
            What::Recv | What::CutOff(_) => format!("recv {bytes}"),
            What::End => "recv 0".to_owned(),
            What::Close => "close".to_owned(),
            What::Waiting => match self {
                Self::En => format!("waiting {bytes}"),
                Self::Zh => format!("等着 {bytes}"),
            },
            What::Frame => self.pick("frame", "帧").to_owned(),
            What::Lost => self.pick("lost", "丢了").to_owned(),
            What::LeftOut(_) => "⋮".to_owned(),
        }
    }

    /// What is said beside a row, if anything.
    pub(super) fn note(self, row: &Row, messages: &[(char, usize)]) -> Option<String> {
        let letter = |number: usize| messages.get(number).map_or('?', |(letter, _)| *letter);
        let shares = row.shares();
        match row.what {
            What::End => Some(
                self.pick(
                    "nothing: the client has closed",
                    "什么都没有：客户端已经关了",
                )
                .to_owned(),
            ),
            What::Waiting => Some(
                self.pick("in the input buffer", "在输入缓冲区里")
                    .to_owned(),
            ),
            What::CutOff(lost) => Some(match self {
                Self::En => format!("the other {lost} are lost"),
                Self::Zh => format!("其余 {lost} 字节丢了"),
            }),
            What::LeftOut(rows) => Some(match self {
                Self::En => format!("{rows} more calls, not shown"),
                Self::Zh => format!("还有 {rows} 次调用，不画了"),
            }),
            What::Lost => Some(
                self.pick("no room for it: dropped", "没有地方放，丢弃了")
                    .to_owned(),
            ),
            What::Recv | What::Frame if shares.len() > 1 => {
                let parts: Vec<_> = shares
                    .iter()
                    .map(|(number, bytes)| match self {
                        Self::En => format!("{bytes} of {}", letter(*number)),
                        Self::Zh => format!("{} 的 {bytes} 字节", letter(*number)),
                    })
                    .collect();
                Some(match self {
                    Self::En => format!("glued: {}", parts.join(" + ")),
                    Self::Zh => format!("粘住了：{}", parts.join(" + ")),
                })
            }
            What::Recv => match shares[..] {
                [(number, bytes)] if messages.get(number).is_some_and(|(_, all)| bytes < *all) => {
                    Some(match self {
                        Self::En => format!("a part of {}", letter(number)),
                        Self::Zh => format!("{} 的一部分", letter(number)),
                    })
                }
                _ => None,
            },
            _ => None,
        }
    }
}

/// An instant for people: microseconds below a millisecond, else milliseconds.
pub(super) fn clock(at: Duration) -> String {
    let micros = at.as_micros();
    match micros {
        0..1000 => format!("{micros} µs"),
        _ => format!("{:.1} ms", at.as_secs_f64() * 1000.0),
    }
}
