//! Watches over one command from its start until nothing of it is left.
//!
//! A task of its own, so that limits are kept while nobody reads the output, and so that a command
//! whose caller is gone still ends.

use std::collections::VecDeque;
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::sync::{mpsc, watch};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until};

use super::exit::Exit;
use super::group::Leash;
use super::outcome::{Ended, Event, Outcome, Output};
use super::pipes::{Pipes, Read};
use super::spawner::Limits;
use super::survey::Survey;

/// How long the pipes must be silent, once the command has ended, until nobody is expected to write.
const QUIET: Duration = Duration::from_millis(150);
/// How long the end is held back at most for what others write into the command's pipes.
const LINGER: Duration = Duration::from_millis(500);
/// How long a killed process may take to die before the outcome is told without it.
const STUCK: Duration = Duration::from_secs(1);
/// How often the table of processes is looked at while somebody is left.
const LOOK: Duration = Duration::from_millis(25);

/// Everything that belongs to one running command.
#[derive(Debug)]
pub(super) struct Supervisor {
    pub(super) leash: Leash,
    pub(super) exit: Exit,
    pub(super) pipes: Pipes,
    pub(super) limits: Limits,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) kill: watch::Receiver<Option<String>>,
}

/// Why the watching ends.
enum Verdict {
    /// The command ended by itself.
    Over(Outcome),
    /// It has to be ended, and this is what to tell.
    End(Outcome),
    /// It has to be ended, and there is nobody to tell.
    Abandoned,
}

impl Supervisor {
    /// Runs to the end. Dropping this early kills the command.
    pub(super) async fn run(mut self) {
        match self.watch().await {
            Verdict::Over(outcome) => self.finish(outcome, None).await,
            Verdict::End(outcome) => {
                self.leash.group().terminate();
                let kill_at = self.end().await;
                self.finish(outcome, Some(kill_at)).await;
            }
            Verdict::Abandoned => {
                // Whoever left has asked it to end already.
                self.pipes.close();
                let kill_at = self.end().await;
                let outcome = Outcome::Killed("nobody waited for it any more".to_owned());
                self.finish(outcome, Some(kill_at)).await;
            }
        }
    }

    /// Hands out output until something ends the command.
    async fn watch(&mut self) -> Verdict {
        let timeout = self.limits.timeout;
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        // One timer for all pieces of output.
        let mut time_is_up = pin!(at(deadline));
        loop {
            let read_on = self.pipes.is_open();
            // In this order: a command that writes without end must not keep us from the rest.
            tokio::select! {
                biased;
                () = self.events.closed() => return Verdict::Abandoned,
                outcome = self.exit.wait() => return Verdict::Over(outcome),
                reason = asked_to_kill(&mut self.kill) => {
                    return Verdict::End(Outcome::Killed(reason));
                }
                () = &mut time_is_up => return Verdict::End(Outcome::TimedOut),
                read = hand_out(&mut self.pipes, &self.events), if read_on => match read {
                    Handed::Exceeded => {
                        self.pipes.close();
                        return Verdict::End(Outcome::OutputCap);
                    }
                    Handed::Piece | Handed::Closed => {}
                },
            }
        }
    }

    /// Waits for the command that was asked to end, and makes it end after the grace, the end of which
    /// is returned.
    ///
    /// Comes back once the first process has ended; others of the group may still live.
    async fn end(&mut self) -> Instant {
        let kill_at = grace_end(&self.limits);
        let mut next = kill_at;
        let mut was_killed = false;
        loop {
            // What it writes while it ends is its last words, and still handed out.
            let read_on = self.pipes.is_open();
            tokio::select! {
                biased;
                _ = self.exit.wait() => return kill_at,
                () = sleep_until(next) => {
                    if was_killed {
                        tracing::warn!(
                            pid = self.leash.group().leader().as_raw_nonzero().get(),
                            "a killed process does not die; its outcome is told without it"
                        );
                        return kill_at;
                    }
                    self.leash.group().kill();
                    was_killed = true;
                    next += STUCK;
                }
                read = hand_out(&mut self.pipes, &self.events), if read_on => {
                    if let Handed::Exceeded = read {
                        self.pipes.close();
                    }
                }
            }
        }
    }

    /// Tells the end, and sees to it that nothing is left behind.
    ///
    /// `kill_at` is when the grace of a command that was ended is over; without it the command ended by
    /// itself.
    async fn finish(mut self, mut outcome: Outcome, kill_at: Option<Instant>) {
        let mut waiting: VecDeque<Output> = self.pipes.read_waiting().into();
        if kill_at.is_none() {
            self.linger(&mut waiting).await;
        }
        if self.pipes.is_exceeded() && matches!(outcome, Outcome::Exit(_) | Outcome::Signal(_)) {
            outcome = Outcome::OutputCap;
        }
        self.pipes.close_ended();
        let mut ended = Ended::new(outcome);
        ended.held_output = self.pipes.is_open();
        ended.output_bytes = self.pipes.passed();
        self.pipes.close();

        let Self {
            leash,
            mut exit,
            limits,
            events,
            ..
        } = self;
        let keep = limits.keep_background && kill_at.is_none();
        if keep || is_alone(&leash).await {
            // Collected first, so that who hears of the end finds nothing left of it.
            exit.wait().await;
            leash.group().reap();
            tell(&events, waiting, ended).await;
        } else {
            let clean = async {
                clean(&leash, &limits, kill_at).await;
                exit.wait().await;
                leash.group().reap();
            };
            tokio::join!(clean, tell(&events, waiting, ended));
        }
    }

    /// Goes on reading while something that the command left behind holds its output, for a while.
    async fn linger(&mut self, waiting: &mut VecDeque<Output>) {
        let give_up = Instant::now() + LINGER;
        let mut quiet_at = Instant::now() + QUIET;
        loop {
            self.pipes.close_ended();
            if !self.pipes.is_open() || self.pipes.is_exceeded() {
                return;
            }
            let stop_at = if waiting.is_empty() {
                quiet_at.min(give_up)
            } else {
                give_up
            };
            tokio::select! {
                biased;
                () = self.events.closed() => return,
                () = sleep_until(stop_at) => return,
                room = self.events.reserve(), if !waiting.is_empty() => {
                    if let (Ok(room), Some(piece)) = (room, waiting.pop_front()) {
                        room.send(Event::Output(piece));
                        // A slow reader is not a silent writer.
                        quiet_at = Instant::now() + QUIET;
                    }
                }
                read = hand_out(&mut self.pipes, &self.events), if waiting.is_empty() => {
                    match read {
                        Handed::Piece => quiet_at = Instant::now() + QUIET,
                        Handed::Exceeded | Handed::Closed => return,
                    }
                }
            }
        }
    }
}

/// Whether no process of the command is alive; false when that cannot be known.
async fn is_alone(leash: &Leash) -> bool {
    leash.group().is_surely_gone() || survey(leash).await.is_some_and(|found| found.is_empty())
}

/// Ends what the command left behind: asked to, and made to after the grace.
async fn clean(leash: &Leash, limits: &Limits, kill_at: Option<Instant>) {
    let group = leash.group();
    let kill_at = kill_at.unwrap_or_else(|| {
        group.terminate();
        grace_end(limits)
    });
    let mut asked = Vec::new();
    loop {
        let found = survey(leash).await;
        if found.as_ref().is_some_and(Survey::is_empty) {
            return;
        }
        let is_unknown = found.is_none();
        let strays = found.map_or_else(Vec::new, |found| found.strays);
        let now = Instant::now();
        if now < kill_at {
            let new: Vec<_> = strays
                .into_iter()
                .filter(|stray| !asked.contains(stray))
                .collect();
            group.signal_strays(&new, Signal::TERM);
            group.signal_strays(&new, Signal::CONT);
            asked.extend(new);
        } else if now < kill_at + STUCK {
            group.kill();
            group.signal_strays(&strays, Signal::KILL);
            if is_unknown {
                // Whom it reached cannot be seen, and more cannot be done.
                return;
            }
        } else {
            tracing::warn!(
                group = group.leader().as_raw_nonzero().get(),
                "processes of a command could not be ended"
            );
            return;
        }
        sleep(LOOK).await;
    }
}

/// `None` when the system does not tell.
async fn survey(leash: &Leash) -> Option<Survey> {
    let group = Arc::clone(leash.group());
    let found = tokio::task::spawn_blocking(move || group.survey()).await;
    found.ok()?.ok()
}

/// What became of a read.
enum Handed {
    Piece,
    Exceeded,
    Closed,
}

/// Reads a piece as soon as there is room for it. Cancel safe: nothing is read before there is room.
async fn hand_out(pipes: &mut Pipes, events: &mpsc::Sender<Event>) -> Handed {
    let Ok(room) = events.reserve().await else {
        // Whoever left is noticed elsewhere.
        return pending().await;
    };
    match pipes.read().await {
        Read::Piece(piece) => {
            room.send(Event::Output(piece));
            Handed::Piece
        }
        Read::Exceeded => Handed::Exceeded,
        Read::Closed => Handed::Closed,
    }
}

/// Hands out the rest and the end, unless nobody waits for it.
async fn tell(events: &mpsc::Sender<Event>, waiting: VecDeque<Output>, ended: Ended) {
    for piece in waiting {
        if events.send(Event::Output(piece)).await.is_err() {
            return;
        }
    }
    let _ = events.send(Event::Ended(ended)).await;
    // Whoever waits for the end goes first: to let go of what is left here takes some microseconds.
    yield_now().await;
}

async fn asked_to_kill(kill: &mut watch::Receiver<Option<String>>) -> String {
    let asked = kill.wait_for(Option::is_some).await;
    // Nothing of the channel may be held while we wait on.
    let reason = asked.ok().and_then(|reason| reason.clone());
    match reason {
        Some(reason) => reason,
        // Nobody is left who could ask.
        None => pending().await,
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}

/// When the grace that begins now is over.
fn grace_end(limits: &Limits) -> Instant {
    /// Longer than anybody waits, and safe to add to any instant.
    const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
    Instant::now() + limits.grace.min(LONGEST)
}
