//! How far a transfer is: a bar on a terminal, otherwise a line now and then.

use std::{
    io::{self, IsTerminal},
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use services::escape::escaped;
use tokio::io::{AsyncRead, ReadBuf};

use super::{listing::size, output::Output};

/// How often a line comes.
const PAUSE: Duration = Duration::from_secs(10);

const BAR: &str =
    "{msg}  {wide_bar}  {binary_bytes}/{binary_total_bytes}  {binary_bytes_per_sec}  {eta}";
const ENDLESS: &str = "{msg}  {spinner}  {binary_bytes}  {binary_bytes_per_sec}";

/// One transfer's progress, on standard error.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    output: Output,
    name: String,
    total: Option<u64>,
    done: u64,
    /// On a terminal.
    bar: Option<ProgressBar>,
    /// Otherwise.
    last: Instant,
}

impl Progress {
    /// Begins to show the transfer of `name`, which has `total` bytes where that is known.
    pub(super) fn new(name: &str, total: Option<u64>, output: Output) -> Self {
        let name = escaped(name).limit(64).to_string();
        let bar = (io::stderr().is_terminal() && !output.is_json()).then(|| bar(&name, total));
        Self {
            output,
            name,
            total,
            done: 0,
            bar,
            last: Instant::now(),
        }
    }

    /// So many further bytes are through.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.done += bytes as u64;
        if let Some(bar) = &self.bar {
            bar.set_position(self.done);
        } else if self.last.elapsed() >= PAUSE {
            self.last = Instant::now();
            let done = size(self.done);
            match self.total {
                Some(total) => {
                    self.output
                        .note(format_args!("{}: {done} of {}", self.name, size(total)))
                }
                None => self.output.note(format_args!("{}: {done}", self.name)),
            }
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(name: &str, total: Option<u64>) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => (ProgressBar::new(total), BAR),
        None => (ProgressBar::new_spinner(), ENDLESS),
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.with_message(name.to_owned())
}

/// Ends the bar of a transfer, however that ends.
#[derive(Debug)]
pub(super) struct Shown(pub(super) Progress);

impl Drop for Shown {
    fn drop(&mut self) {
        self.0.finish();
    }
}

/// Counts what is read.
#[derive(Debug)]
pub(super) struct Counted<R> {
    pub(super) reader: R,
    pub(super) progress: Progress,
}

impl<R: AsyncRead + Unpin> AsyncRead for Counted<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.reader).poll_read(cx, buffer))?;
        let count = buffer.filled().len() - before;
        self.progress.advance(count);
        Poll::Ready(Ok(()))
    }
}
