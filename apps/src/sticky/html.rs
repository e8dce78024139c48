//! Writes the report as one page of HTML that needs nothing else: no script, no font, no link.

use std::fmt::Write;

use bytesize::ByteSize;
use framing::Registry;

use super::{
    Report, costs,
    cures::Cure,
    picture::Picture,
    scene::Scene,
    svg::{self, COLOURS, escaped},
    words::{Lang, clock},
};

const STYLE: &str = "\
:root{color-scheme:light dark;--page:#f3f6f9;--card:#fff;--text:#1c2733;--soft:#5a6a79;--rule:#dde4ea;--mark:#1f6fb5;--good:#1b7f4b;--bad:#b3391f}\
@media(prefers-color-scheme:dark){:root{--page:#0c0f12;--card:#14181d;--text:#e4eaf0;--soft:#9aa8b5;--rule:#2a333c;--mark:#55aaf0;--good:#5fd39a;--bad:#ff8a6b}}\
*{box-sizing:border-box}\
body{margin:0;background:var(--page);color:var(--text);font:16px/1.65 system-ui,-apple-system,'Segoe UI','Noto Sans','Noto Sans CJK SC','PingFang SC','Microsoft YaHei',sans-serif}\
main{max-width:980px;margin:0 auto;padding:48px 20px 80px}\
h1{font-size:2.1rem;line-height:1.2;margin:0 0 .4rem}\
h2{font-size:1.35rem;margin:3rem 0 .3rem}\
h3{font-size:1rem;margin:0;font-family:ui-monospace,'SFMono-Regular',Menlo,Consolas,'DejaVu Sans Mono',monospace;overflow-wrap:anywhere}\
p{margin:.3rem 0 1rem;max-width:46rem}\
.soft{color:var(--soft)}\
.card{background:var(--card);border:1px solid var(--rule);border-radius:12px;padding:16px 18px;margin:0 0 18px;overflow-x:auto}\
.card p{margin:.1rem 0 .6rem;font-size:.93rem}\
.card svg{display:block;width:100%;min-width:640px;height:auto}\
.good{color:var(--good);font-weight:600}.bad{color:var(--bad);font-weight:600}\
.legend{display:flex;flex-wrap:wrap;gap:.3rem 1.4rem;font-size:.93rem;color:var(--soft);margin:1.2rem 0 0;padding:0;list-style:none}\
.legend i{display:inline-block;width:1.5em;height:1.05em;border-radius:3px;vertical-align:-.15em;margin-right:.45em}\
table{border-collapse:collapse;width:100%;font-size:.93rem}\
th{font-weight:600;text-align:right;vertical-align:bottom;color:var(--soft)}\
td{text-align:right;font-variant-numeric:tabular-nums}\
th,td{padding:.42rem .6rem;border-bottom:1px solid var(--rule)}\
th:first-child,td:first-child{text-align:left}\
tr:last-child td{border-bottom:0}\
code{font:.93em ui-monospace,'SFMono-Regular',Menlo,Consolas,'DejaVu Sans Mono',monospace}";

/// The page.
pub(super) fn page(report: &Report, lang: Lang) -> String {
    let mut body = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        body,
        "<h1>{}</h1>\n<p>{}</p>\n{}{}",
        lang.title(),
        lang.pick(
            "TCP is a stream of bytes. It keeps their order and loses none, but it does not know where one message \
             ends and the next begins. Below is what real sockets on this machine did: each send and each recv, \
             with time running down.",
            "TCP 是字节流：次序不乱，一个不丢，但它不知道一条消息到哪里结束、下一条从哪里开始。下面是这台机器上\
             真实的套接字做的事：每一次 send、每一次 recv，时间从上往下走。",
        ),
        legend(lang),
        settings(report, lang),
    );
    for (number, scene) in report.scenes.iter().enumerate() {
        section(&mut body, scene, lang);
        if number == 0 && !report.runs.is_empty() {
            let _ = write!(
                body,
                "<h2>{}</h2>\n<p>{}</p>\n<div class=\"card\">{}</div>\n",
                lang.free_runs(),
                lang.about_counts(),
                svg::runs(&report.runs, lang).inline()
            );
        }
    }
    let _ = write!(
        body,
        "<h2>{}</h2>\n<p>{}</p>\n{}",
        lang.cures(),
        lang.about_cures(),
        table(&report.cures, lang)
    );
    for cure in &report.cures {
        card(&mut body, cure, lang);
    }
    format!(
        "<!DOCTYPE html>\n<html lang=\"{}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n\
         <style>{COLOURS}\n{STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n",
        lang.tag(),
        lang.title(),
    )
}

fn legend(lang: Lang) -> String {
    let entries = [
        ("--a", lang.pick("message A", "消息 A")),
        ("--b", lang.pick("message B", "消息 B")),
        (
            "--aw",
            lang.pick("what a framing adds to A", "成帧给 A 加的字节"),
        ),
        (
            "--bw",
            lang.pick("what a framing adds to B", "成帧给 B 加的字节"),
        ),
        ("--r", lang.pick("what it answers", "成帧自己的应答")),
    ];
    let items: String = entries
        .iter()
        .map(|(colour, text)| format!("<li><i style=\"background:var({colour})\"></i>{text}</li>"))
        .collect();
    format!("<ul class=\"legend p\">{items}</ul>\n")
}

/// How it was played.
fn settings(report: &Report, lang: Lang) -> String {
    let buffer = |bytes: usize| ByteSize::b(bytes as u64).to_string();
    let nodelay = if report.granted.nodelay { "on" } else { "off" };
    format!(
        "<p class=\"soft\"><code>TCP_NODELAY</code> {nodelay} · {} {} · {} {} · {} {} · {} {}</p>\n",
        lang.pick("reads of", "每次最多读"),
        report.play.read_size,
        lang.pick("pause between sends", "两次发送之间停"),
        clock(report.play.delay),
        lang.pick("input buffer", "输入缓冲区"),
        buffer(report.granted.receive_buffer),
        lang.pick("output buffer", "输出缓冲区"),
        buffer(report.granted.send_buffer),
    )
}

fn section(body: &mut String, scene: &Scene, lang: Lang) {
    let title = lang.scene(scene.plot);
    let drawing = svg::drawing(&Picture::of_scene(scene), title, lang);
    let _ = write!(
        body,
        "<h2>{title}</h2>\n<p>{}</p>\n<div class=\"card\">{}</div>\n",
        lang.about(scene.plot),
        drawing.inline()
    );
}

fn card(body: &mut String, cure: &Cure, lang: Lang) {
    let summary = Registry::default().summary(&cure.name).unwrap_or_default();
    let class = kept(cure.short.keeps_boundaries());
    let _ = writeln!(
        body,
        "<div class=\"card\"><h3>{}</h3><p>{} · <span class=\"{class}\">{}</span></p>{}</div>",
        escaped(&cure.short.written),
        escaped(lang.framing(&cure.name, summary)),
        escaped(&lang.verdict(&cure.short)),
        svg::of_cure(cure, lang).1.inline()
    );
}

fn table(cures: &[Cure], lang: Lang) -> String {
    let headings: String = lang
        .columns()
        .iter()
        .map(|heading| format!("<th>{heading}</th>"))
        .collect();
    let mut rows = String::new();
    for cure in cures {
        let [name, short, long, trips, reads, verdict] = costs(cure, lang);
        let class = kept(cure.short.keeps_boundaries() && cure.long.keeps_boundaries());
        let _ = writeln!(
            rows,
            "<tr><td><code>{}</code></td><td>{short}</td><td>{long}</td><td>{trips}</td><td>{reads}</td>\
             <td class=\"{class}\">{verdict}</td></tr>",
            escaped(&name)
        );
    }
    format!(
        "<div class=\"card\"><table><thead><tr>{headings}</tr></thead>\n<tbody>\n{rows}</tbody></table></div>\n"
    )
}

fn kept(kept: bool) -> &'static str {
    if kept { "good" } else { "bad" }
}
