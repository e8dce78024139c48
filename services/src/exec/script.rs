//! Writes down what a scripted command does.

use std::time::Duration;

use bytes::Bytes;

use super::outcome::{Outcome, Output};
use super::signal::Signal;

/// What a command does, step by step. It ends with `Exit(0)` unless told otherwise.
#[derive(Debug, Clone)]
pub struct Script {
    pub(super) steps: Vec<Step>,
    pub(super) outcome: Outcome,
    pub(super) held_output: bool,
    pub(super) immune: Vec<Signal>,
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    Write(Output),
    Pause(Duration),
    Copy,
    Swallow,
    Hang,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            steps: Vec::new(),
            outcome: Outcome::Exit(0),
            held_output: false,
            immune: Vec::new(),
        }
    }
}

impl Script {
    /// Does nothing and succeeds.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes to standard output.
    #[must_use]
    pub fn stdout(self, bytes: impl Into<Bytes>) -> Self {
        self.step(Step::Write(Output::Stdout(bytes.into())))
    }

    /// Writes to standard error.
    #[must_use]
    pub fn stderr(self, bytes: impl Into<Bytes>) -> Self {
        self.step(Step::Write(Output::Stderr(bytes.into())))
    }

    /// Does nothing for a while.
    #[must_use]
    pub fn pause(self, time: Duration) -> Self {
        self.step(Step::Pause(time))
    }

    /// Copies standard input to standard output until its end, as `cat` does.
    #[must_use]
    pub fn copy_stdin(self) -> Self {
        self.step(Step::Copy)
    }

    /// Reads standard input to its end; what it was is found in [`Run::stdin`](super::Run::stdin).
    #[must_use]
    pub fn read_stdin(self) -> Self {
        self.step(Step::Swallow)
    }

    /// Goes no further, until it is ended.
    #[must_use]
    pub fn hang(self) -> Self {
        self.step(Step::Hang)
    }

    /// Ends with this code.
    #[must_use]
    pub fn exit(self, code: i32) -> Self {
        self.ends(Outcome::Exit(code))
    }

    /// Ends like this.
    #[must_use]
    pub fn ends(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }

    /// Leaves something behind that holds its output.
    #[must_use]
    pub fn holds_output(mut self) -> Self {
        self.held_output = true;
        self
    }

    /// Is not ended by this signal. Others end it as they end a process.
    #[must_use]
    pub fn ignores(mut self, signal: Signal) -> Self {
        self.immune.push(signal);
        self
    }

    fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }
}
