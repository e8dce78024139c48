//! Shows sticky packets on real sockets, and how each framing cures them.
//!
//! It fakes nothing: what is drawn is what each `send` and `recv` returned. It explains little; that does
//! `docs/sticky-packets.md`.
//!
//! ```text
//!  scene ─────▶ tape ──▶ owners ─────▶ picture ─▶ paint   terminal
//!  free_runs    every    whose each    rows in    svg ──▶ html
//!  cures        call     byte is       order      json    machines
//! ```
//!
//! | file | what it does |
//! |---|---|
//! | `sockets.rs` | makes the sockets, with their options |
//! | `scene.rs` | plays: messages with nothing around them |
//! | `free_runs.rs` | plays the first one many times, and counts |
//! | `cures.rs`, `recorded.rs` | sends the same messages through each framing |
//! | `tape.rs` | the record of what each call did |
//! | `owners.rs` | whose each byte is |
//! | `picture.rs` | what a picture shows, before it is drawn |
//! | `paint.rs`, `svg.rs`, `html.rs`, `json.rs` | draw and write it |
//! | `words.rs` | all that is said, in two languages |
//! | `cli.rs`, `save.rs`, `failure.rs` | the command line, files, exit codes |

mod cli;
mod cures;
mod failure;
mod free_runs;
mod html;
mod json;
mod owners;
mod paint;
mod picture;
mod recorded;
mod save;
mod scene;
mod sockets;
mod svg;
mod tape;
mod words;

use std::{
    env,
    fmt::Write as _,
    io::{self, IsTerminal, Write},
    path::Path,
};

use bytesize::ByteSize;
use clap::{CommandFactory, Parser};
use clap_mangen::Man;
use framing::Registry;

use self::{
    cli::{Arguments, Command},
    cures::{Cure, CureError, Remedy},
    failure::{Exit, Failure},
    free_runs::Run,
    paint::Painter,
    picture::Picture,
    scene::{Play, Plot, Scene},
    sockets::{Granted, SocketOptions},
    words::Lang,
};

/// All that was played.
struct Report {
    play: Play,
    granted: Granted,
    scenes: Vec<Scene>,
    runs: Vec<Run>,
    cures: Vec<Cure>,
}

/// Runs the program with the words of the command line; its exit code.
pub fn run() -> u8 {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // If nobody can be told, the exit code still says it.
            let _ = error.print();
            return if error.use_stderr() { Exit::USAGE } else { 0 };
        }
    };
    match answer(&arguments) {
        Ok(()) => 0,
        Err(failure) => {
            if !failure.is_quiet() {
                let _ = writeln!(io::stderr(), "sticky: {failure}");
            }
            failure.exit()
        }
    }
}

fn answer(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        None => {}
        Some(Command::Completions { shell }) => {
            // Into memory first: the generator panics where it cannot write.
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Arguments::command(), "sticky", &mut script);
            return print(&script);
        }
        Some(Command::Man) => {
            let mut page = Vec::new();
            Man::new(Arguments::command())
                .render(&mut page)
                .map_err(|error| Failure::output(&error))?;
            return print(&page);
        }
    }
    let report = Report::play(arguments)?;
    let lang = arguments.lang.unwrap_or_else(Lang::of_locale);
    if let Some(path) = &arguments.html {
        let page = html::page(&report, lang);
        save::file(path, &page, arguments.force)?;
        say_written(path, page.len());
    }
    if let Some(folder) = &arguments.svg {
        save::folder(folder)?;
        for (name, text) in svg::files(&report, lang) {
            let path = folder.join(format!("{name}.svg"));
            save::file(&path, &text, arguments.force)?;
            say_written(&path, text.len());
        }
    }
    if arguments.json {
        return print(format!("{}\n", json::document(&report)).as_bytes());
    }
    if arguments.html.is_none() && arguments.svg.is_none() {
        let painter = Painter {
            lang,
            colour: colours(),
        };
        print(told(&report, painter).as_bytes())?;
    }
    Ok(())
}

impl Report {
    /// Plays all of it.
    fn play(arguments: &Arguments) -> Result<Self, Failure> {
        let remedies = remedies(&arguments.only)?;
        let bytes = |size: ByteSize| usize::try_from(size.as_u64()).unwrap_or(usize::MAX);
        let sockets = SocketOptions {
            nodelay: arguments.nodelay,
            receive_buffer: arguments.receive_buffer.map(bytes),
            send_buffer: arguments.send_buffer.map(bytes),
        };
        let play = Play {
            sockets,
            delay: arguments.delay,
            read_size: bytes(arguments.read_size),
        };
        let failed = |what: &str| {
            let what = what.to_owned();
            move |error: io::Error| Failure::sockets(&what, &error)
        };
        let plots = [
            Plot::TwoSendsOneRead,
            Plot::OneMessageTwoReads,
            Plot::TwoSendsUdp,
            Plot::LongUdp,
        ];
        let granted = sockets.granted().map_err(failed("the sockets"))?;
        let scenes = plots
            .iter()
            .map(|plot| Scene::play(*plot, &play).map_err(failed(plot.name())))
            .collect::<Result<_, _>>()?;
        let runs = free_runs::play(arguments.runs, &play).map_err(failed("free runs"))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(failed("the runtime"))?;
        let cures = remedies
            .iter()
            .map(|remedy| {
                runtime
                    .block_on(Cure::take(remedy, &play))
                    .map_err(|error| match error {
                        CureError::Framing(error) => bad_framing(&error),
                        CureError::Sockets(error) => failed("a framing")(error),
                    })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            play,
            granted,
            scenes,
            runs,
            cures,
        })
    }
}

fn remedies(only: &[String]) -> Result<Vec<Remedy>, Failure> {
    if only.is_empty() {
        return Ok(Remedy::all());
    }
    only.iter()
        .map(|text| Remedy::read(text).map_err(|error| bad_framing(&error)))
        .collect()
}

fn bad_framing(error: &framing::FrameError) -> Failure {
    let hint = "`frame framings` lists the framings and their options";
    Failure::new(Exit::DATA, format!("--only: {error}\n  {hint}"))
}

/// The report as text, with its pictures.
fn told(report: &Report, painter: Painter) -> String {
    let lang = painter.lang;
    let mut text = String::new();
    // Writing to a string cannot fail.
    for (number, scene) in report.scenes.iter().enumerate() {
        let _ = writeln!(text, "{}", painter.heading(lang.scene(scene.plot)));
        let _ = writeln!(text, "{}\n", painter.paragraph(lang.about(scene.plot)));
        let _ = writeln!(text, "{}", painter.picture(&Picture::of_scene(scene)));
        if number == 0 && !report.runs.is_empty() {
            text += &told_runs(report, painter);
        }
    }
    let _ = writeln!(text, "{}", painter.heading(lang.cures()));
    let _ = writeln!(text, "{}\n", painter.paragraph(lang.about_cures()));
    let registry = Registry::default();
    for cure in &report.cures {
        let summary = lang.framing(&cure.name, registry.summary(&cure.name).unwrap_or_default());
        let heading = painter.heading(&cure.short.written);
        let _ = writeln!(text, "{heading}: {summary}");
        let picture = Picture::of_trial(&cure.short, &cure.name);
        text += &painter.picture(&picture);
        let _ = writeln!(text, "{:>10}  ⇒ {}\n", "", lang.verdict(&cure.short));
    }
    text += &told_costs(report, lang);
    text
}

fn told_runs(report: &Report, painter: Painter) -> String {
    let lang = painter.lang;
    let together = free_runs::together(&report.runs);
    let mut text = String::new();
    let _ = writeln!(text, "{}", painter.heading(lang.free_runs()));
    let _ = writeln!(text, "{}", lang.counts(together, report.runs.len()));
    for line in report.runs.chunks(15) {
        let marks: Vec<_> = line.iter().map(|run| painter.run(run.together)).collect();
        let _ = writeln!(text, "  {}", marks.join(" "));
    }
    let _ = writeln!(text, "\n{}\n", painter.paragraph(lang.about_counts()));
    text
}

fn told_costs(report: &Report, lang: Lang) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::UTF8_FULL_CONDENSED);
    table.set_header(lang.columns());
    for cure in &report.cures {
        table.add_row(costs(cure, lang));
    }
    format!("{}\n", table.trim_fmt())
}

/// A row of the table of costs.
fn costs(cure: &Cure, lang: Lang) -> [String; 6] {
    let bytes = |trial: &cures::Trial| match trial.refused {
        Some(_) => "–".to_owned(),
        None => trial.overhead().to_string(),
    };
    let reads = cure
        .short
        .record
        .calls(tape::Side::Server, tape::Call::Recv);
    let mut carried = [&cure.short, &cure.long]
        .into_iter()
        .filter(|trial| trial.refused.is_none())
        .peekable();
    let kept = match carried.peek() {
        None => "–",
        Some(_) => lang.kept_shortly(carried.all(cures::Trial::keeps_boundaries)),
    };
    [
        cure.name.clone(),
        bytes(&cure.short),
        bytes(&cure.long),
        cure.short.record.round_trips().to_string(),
        reads.filter(|event| !event.is_end()).count().to_string(),
        kept.to_owned(),
    ]
}

/// On standard error, as JSON may go to standard output.
fn say_written(path: &Path, bytes: usize) {
    let size = ByteSize::b(bytes as u64);
    let _ = writeln!(io::stderr(), "wrote {} ({size})", path.display());
}

fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(bytes)
        .and_then(|()| stdout.flush())
        .map_err(|error| Failure::output(&error))
}

fn colours() -> bool {
    let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    io::stdout().is_terminal()
        && !set("NO_COLOR")
        && env::var_os("TERM").is_none_or(|term| term != "dumb")
}
