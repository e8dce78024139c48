//! Runs commands for people who are not here.
//!
//! Nothing in this module speaks a protocol or decides who may run what: that is for the layers
//! around it. What stands here is the part with sharp edges: a process is started without a trace
//! of the server's own environment and descriptors, watched, limited, and gone afterwards together
//! with whatever it started.
//!
//! | piece | what it is |
//! |---|---|
//! | [`Command`], [`Allow`] | what to run, and the list of what may be run |
//! | [`Spawner`], [`Setup`], [`Limits`] | the seam: who starts commands, and under which conditions |
//! | [`Running`], [`Event`], [`Ended`], [`Outcome`] | a command that runs: its output, then how it ended |
//! | [`ProcessSpawner`] | the real one: operating system processes |
//! | [`ScriptedSpawner`] | the one for tests: plays back what a script says |
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use services::exec::{Allow, Command, Event, Outcome, Output, ProcessSpawner, Setup, Spawner};
//!
//! let allow = Allow::new(["echo"])?;
//! let program = allow.check("echo")?;
//!
//! let spawner = ProcessSpawner::new("/");
//! let command = Command::arguments(program, ["$(id)"]);
//! let mut running = spawner.spawn(command, Setup::new()).await?;
//!
//! let mut text = Vec::new();
//! while let Some(event) = running.next().await {
//!     match event {
//!         Event::Output(Output::Stdout(piece)) => text.extend_from_slice(&piece),
//!         Event::Output(_) => {}
//!         Event::Ended(ended) => assert_eq!(ended.outcome, Outcome::Exit(0)),
//!     }
//! }
//! assert_eq!(text, b"$(id)\n");
//! # Ok(())
//! # }
//! ```

mod command;
mod layer;
mod meter;
mod outcome;
mod running;
mod script;
mod scripted;
mod signal;
mod spawner;

#[cfg(unix)]
mod descriptors;
#[cfg(unix)]
mod environment;
#[cfg(unix)]
mod exit;
#[cfg(unix)]
mod group;
#[cfg(unix)]
mod pipes;
#[cfg(unix)]
mod process;
#[cfg(unix)]
mod supervisor;
#[cfg(unix)]
mod survey;

pub use command::{Allow, AllowError, Command, CommandError, Denied, SEARCH_PATH};
#[cfg(unix)]
pub use descriptors::mark_inherited_descriptors_close_on_exec;
pub use layer::Exec;
pub use outcome::{Ended, Event, Outcome, Output};
#[cfg(unix)]
pub use process::ProcessSpawner;
pub use running::{Control, Handle, Running, SignalError, Stdin};
pub use script::Script;
pub use scripted::{Run, ScriptedSpawner};
pub use signal::{Signal, UnknownSignal};
pub use spawner::{Limits, Setup, SpawnError, SpawnFuture, Spawner};
