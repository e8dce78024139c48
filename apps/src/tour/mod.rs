//! Everything in one command: a server, and a client that walks through it over each framing.

pub mod counted;
pub mod course;
pub mod tamper;

use std::{
    fs::File,
    io::{self, BufWriter, IsTerminal, Write},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use bytesize::ByteSize;
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use framing::{client::dial, serve::Address};
use indicatif::{ProgressBar, ProgressStyle};
use services::{
    client::{Client, Command},
    exec::{Outcome, Output},
    files::{Digest, FileName},
    login::Password,
};
use tokio::sync::oneshot;

use self::counted::{Counted, Counts};
use crate::{first_start, server::Server};

/// What can be chosen.
#[derive(Clone, Debug)]
pub struct Options {
    /// The size of the file that is uploaded.
    pub size: ByteSize,
    /// Whether a proxy flips a bit between client and server.
    pub tamper: bool,
}

/// What one step did.
#[derive(Debug)]
struct Step {
    framing: String,
    name: &'static str,
    /// Bytes of the command's output or the file.
    payload: u64,
    /// Bytes on the socket, both ways.
    wire: u64,
    time: Duration,
    result: Result<String, String>,
}

/// Walks through everything; false if anything was not as it should be.
pub async fn run(options: &Options) -> anyhow::Result<bool> {
    let folder = tempfile::tempdir().context("cannot create a temporary folder")?;
    let (mut config, password) = first_start::prepare(&folder.path().join("server"))?;
    let password = password.context("a new folder has no accounts yet")?;
    for listen in &mut config.listen {
        listen.address = "tcp://127.0.0.1:0".parse()?;
    }
    let server = Server::bind(&config).await?;
    let addresses = server.addresses();
    for line in server.announcements() {
        say(line)?;
    }
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(server.run(async {
        // Whoever drops the sender wants the same.
        let _ = stopped.await;
    }));

    let source = folder.path().join("source.bin");
    make_file(&source, options.size.as_u64())?;
    let mut steps = Vec::new();
    for (listen, address) in config.listen.iter().zip(addresses) {
        let address = if options.tamper {
            tamper::tamper(address).await?
        } else {
            address
        };
        let framing = listen
            .framing
            .as_ref()
            .context("the tour speaks the native dialect")?;
        let framing = &framing.factory;
        let mut walk = Walk {
            framing: framing.name().to_owned(),
            counts: Arc::default(),
            steps: &mut steps,
        };
        if let Err(error) = walk.all(&address, framing, &password, &source).await {
            eprintln!("{}: {error:#}", framing.name());
        }
    }
    let _ = stop.send(());
    server.await.context("the server failed")?;
    show(&steps)?;
    let done = steps.len() == STEPS * config.listen.len();
    Ok(done && steps.iter().all(|step| step.result.is_ok()))
}

/// The steps over each framing.
const STEPS: usize = 6;

/// The way through the server over one framing.
struct Walk<'a> {
    framing: String,
    counts: Arc<Counts>,
    steps: &'a mut Vec<Step>,
}

impl Walk<'_> {
    async fn all(
        &mut self,
        address: &Address,
        framing: &framing::FramingFactory,
        password: &str,
        source: &Path,
    ) -> anyhow::Result<()> {
        let io = Counted::new(dial(address).await?, self.counts.clone());
        let mut client = Client::new(io, framing.make())?;

        self.step("wrong password", async {
            match client
                .login(first_start::ADMIN, Password::new("guess")?)
                .await
            {
                Err(error) if error.is_wrong_credentials() => {
                    Ok((0, "refused, as it must be".into()))
                }
                Err(error) => Err(error.into()),
                Ok(_) => bail!("a wrong password was taken"),
            }
        })
        .await?;

        self.step("login", async {
            let account = client
                .login(first_start::ADMIN, Password::new(password)?)
                .await?;
            Ok((0, format!("as {}", account.name)))
        })
        .await?;

        self.step("exec", async {
            let mut exec = client
                .exec(Command::program(["seq", "1", "2000000"]))
                .await?;
            let (mut hasher, mut count) = (Digest::hasher(), 0);
            let ended = exec
                .wait(|output| {
                    if let Output::Stdout(bytes) = output {
                        count += bytes.len() as u64;
                        hasher.update(&bytes);
                    }
                })
                .await?;
            ensure!(
                ended.outcome == Outcome::Exit(0),
                "it ended with {}",
                ended.outcome
            );
            ensure!(
                hasher.digest() == expected_output(),
                "its output is not what it wrote"
            );
            Ok((count, "exit 0, every byte".into()))
        })
        .await?;

        let name: FileName = "tour 文件.bin".parse()?;
        let file = tokio::fs::File::open(source).await?;
        let size = file.metadata().await?.len();
        let uploading = bar(size, "upload");
        let uploaded = self
            .step("upload", async {
                let file = uploading.wrap_async_read(file);
                let uploaded = client.put(&name, Some(size), true, file).await?;
                Ok((
                    uploaded.size,
                    format!(
                        "stored, blake3 {}",
                        uploaded
                            .digest
                            .map_or_else(String::new, |digest| short(&digest))
                    ),
                ))
            })
            .await;
        uploading.finish_and_clear();
        uploaded?;

        let mut chosen = None;
        self.step("list", async {
            let files = client.list_all().await?;
            let number = files.iter().position(|file| file.name == name);
            let number = number.context("the file is not in the list")?;
            chosen = files.into_iter().nth(number);
            Ok((0, format!("it is number {}", number + 1)))
        })
        .await?;
        let chosen = chosen.context("nothing was chosen")?;

        let downloading = bar(size, "download");
        let downloaded = self
            .step("download", async {
                let mut download = client.get_version(&chosen.name, chosen.version).await?;
                let target = source.with_file_name("downloaded.bin");
                let mut target = BufWriter::new(File::create(target)?);
                while let Some(bytes) = download.read().await? {
                    target.write_all(&bytes)?;
                    downloading.inc(bytes.len() as u64);
                }
                target.flush()?;
                let there = download.digest().context("the file has no digest")?;
                let here = digest_of(source)?;
                ensure!(
                    there == here,
                    "the digests differ: {here} was sent, {there} came back"
                );
                Ok((
                    chosen.size,
                    format!("the same bytes, blake3 {}", short(&there)),
                ))
            })
            .await;
        downloading.finish_and_clear();
        downloaded
    }

    /// Runs a step and notes what it did; its error ends the walk.
    async fn step(
        &mut self,
        name: &'static str,
        work: impl Future<Output = anyhow::Result<(u64, String)>>,
    ) -> anyhow::Result<()> {
        let (start, before) = (Instant::now(), self.counts.now());
        let result = work.await;
        let (sent, received) = self.counts.now();
        self.steps.push(Step {
            framing: self.framing.clone(),
            name,
            payload: result.as_ref().map_or(0, |(payload, _)| *payload),
            wire: sent + received - before.0 - before.1,
            time: start.elapsed(),
            result: match &result {
                Ok((_, text)) => Ok(text.clone()),
                Err(error) => Err(format!("{error:#}")),
            },
        });
        result
            .map(drop)
            .with_context(|| format!("the step `{name}`"))
    }
}

/// What `seq 1 2000000` writes.
fn expected_output() -> Digest {
    let mut hasher = Digest::hasher();
    for number in 1..=2_000_000 {
        hasher.update(format!("{number}\n").as_bytes());
    }
    hasher.digest()
}

/// A file of bytes that no compression and no accident would make.
fn make_file(path: &Path, size: u64) -> anyhow::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut left = size;
    while left > 0 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let bytes = state.to_le_bytes();
        let count = left.min(bytes.len() as u64);
        file.write_all(&bytes[..count as usize])?;
        left -= count;
    }
    Ok(file.flush()?)
}

fn digest_of(path: &Path) -> anyhow::Result<Digest> {
    use io::Read;
    let mut file = File::open(path)?;
    let mut hasher = Digest::hasher();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.digest()),
            count => hasher.update(&buffer[..count]),
        }
    }
}

fn short(digest: &Digest) -> String {
    format!("{:.12}…", digest.to_string())
}

/// A progress bar on a terminal, nothing otherwise.
fn bar(size: u64, what: &'static str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(size).with_message(what);
    match ProgressStyle::with_template("{msg:9} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// A table on a terminal, a plain line a step otherwise.
fn show(steps: &[Step]) -> io::Result<()> {
    let cells = |step: &Step| {
        [
            step.framing.clone(),
            step.name.to_owned(),
            step.payload.to_string(),
            step.wire.to_string(),
            format!("{:.1} ms", step.time.as_secs_f64() * 1000.0),
            match &step.result {
                Ok(text) => format!("ok: {text}"),
                Err(text) => format!("FAILED: {}", services::escape::escaped(text)),
            },
        ]
    };
    let header = [
        "framing",
        "step",
        "payload bytes",
        "socket bytes",
        "time",
        "result",
    ];
    if io::stdout().is_terminal() {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED).set_header(header);
        for step in steps {
            table.add_row(cells(step));
        }
        return say(table);
    }
    let line = |c: [String; 6]| {
        say(format_args!(
            "{:<14} {:<14} {:>13} {:>12} {:>12}  {}",
            c[0], c[1], c[2], c[3], c[4], c[5]
        ))
    };
    line(header.map(str::to_owned))?;
    steps.iter().try_for_each(|step| line(cells(step)))
}

/// Says something to whoever reads standard output; an error if nobody does any more.
pub fn say(text: impl std::fmt::Display) -> std::io::Result<()> {
    use std::io::Write;
    writeln!(std::io::stdout().lock(), "{text}")
}
