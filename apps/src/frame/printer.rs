//! Writes a command's output to standard output and standard error, in the order it came, while
//! others go on.

use std::io::{self, IsTerminal};

use services::exec::Output;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt, Stderr, Stdout, stderr, stdout},
    sync::mpsc,
    task::JoinHandle,
};

use super::{exit::Failure, mask::Mask, output::closed};

/// Pieces that wait to be written.
const WAITING: usize = 2;

/// A task that writes.
#[derive(Debug)]
pub(super) struct Printer {
    sender: mpsc::Sender<Output>,
    task: JoinHandle<io::Result<()>>,
}

impl Printer {
    /// Begins to write. Unless `raw`, what goes to a terminal is masked.
    pub(super) fn new(raw: bool) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        let writer = Writer {
            stdout: stdout(),
            stderr: stderr(),
            stdout_mask: (!raw && io::stdout().is_terminal()).then(Mask::default),
            stderr_mask: (!raw && io::stderr().is_terminal()).then(Mask::default),
        };
        Self {
            sender,
            task: tokio::spawn(writer.run(receiver)),
        }
    }

    /// Waits until one more piece can be taken; an error if writing has failed. Cancel safe.
    pub(super) async fn room(
        &self,
    ) -> Result<mpsc::Permit<'_, Output>, mpsc::error::SendError<()>> {
        self.sender.reserve().await
    }

    /// Waits until all is written, or says why it cannot be.
    pub(super) async fn finish(self) -> Result<(), Failure> {
        drop(self.sender);
        match self.task.await {
            Ok(written) => written.map_err(|error| closed(&error)),
            Err(error) => Err(closed(&io::Error::other(error))),
        }
    }
}

struct Writer {
    stdout: Stdout,
    stderr: Stderr,
    stdout_mask: Option<Mask>,
    stderr_mask: Option<Mask>,
}

impl Writer {
    async fn run(mut self, mut receiver: mpsc::Receiver<Output>) -> io::Result<()> {
        while let Some(piece) = receiver.recv().await {
            match piece {
                Output::Stdout(bytes) => {
                    write(&mut self.stdout, self.stdout_mask.as_mut(), &bytes).await?;
                }
                Output::Stderr(bytes) => {
                    write(&mut self.stderr, self.stderr_mask.as_mut(), &bytes).await?;
                }
            }
        }
        if let Some(mask) = &mut self.stdout_mask {
            self.stdout.write_all(mask.finish()).await?;
        }
        if let Some(mask) = &mut self.stderr_mask {
            self.stderr.write_all(mask.finish()).await?;
        }
        self.stdout.flush().await?;
        self.stderr.flush().await
    }
}

/// Flushed at once: the other stream's next piece must not overtake this one.
async fn write(
    to: &mut (impl AsyncWrite + Unpin),
    mask: Option<&mut Mask>,
    bytes: &[u8],
) -> io::Result<()> {
    match mask {
        Some(mask) => to.write_all(&mask.apply(bytes)).await?,
        None => to.write_all(bytes).await?,
    }
    to.flush().await
}
