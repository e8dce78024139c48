//! Two connections over I/O that does as little as it may, and futures that are dropped.

use std::{
    collections::VecDeque,
    io::ErrorKind,
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker, ready},
};

use bytes::Bytes;
use futures_core::Stream;
use futures_sink::Sink;
use tokio::runtime::{self, Runtime};

use super::{
    Laws, Random, Rest,
    checked::{Bench, Checked},
    law::{Kept, Law, guard},
    pipe::{Pipe, Temper},
    show,
    shrink::check_shortest,
};
use crate::{Connection, Error, Framing};

/// Samples up to this many bytes take part; one byte a call makes large ones slow.
const MOST: usize = 4096;

/// How often in a row a future is dropped and made anew, now and then.
const IMPATIENT: usize = 16;

/// How the two ends are driven.
#[derive(Clone, Debug)]
struct Script {
    law: Law,
    seed: u64,
    tempers: [Temper; 2],
    /// Whether both ends send, or only the first.
    both: bool,
}

impl<M: Fn() -> F, F: Framing> Laws<M> {
    /// Law 14.
    pub(super) fn hostile_io_changes_nothing(&self) -> Kept {
        let law = Law::HostileIo;
        self.at_every_temper(law)?;
        let frames = self.small_frames();
        let length = self.played(&frames, &good(law, 0, false))?[0].len();
        for at in (0..=length).step_by((length / 8).max(1)) {
            for (end, kind) in [
                (0, ErrorKind::BrokenPipe),
                (1, ErrorKind::ConnectionReset),
                (0, ErrorKind::Interrupted),
                (1, ErrorKind::Interrupted),
            ] {
                let mut script = good(law, at as u64, false);
                match end {
                    0 => script.tempers[0].write_fails = Some((at, kind)),
                    _ => script.tempers[1].read_fails = Some((at, kind)),
                }
                check_shortest(frames.clone(), |frames| {
                    let explain =
                        || format!("`{kind}` at end {end} after {at} bytes of {frames:?}");
                    self.stops(frames, &script)
                        .map_err(|broken| broken.while_doing(explain()))
                })?;
            }
        }
        Ok(())
    }

    /// Law 15.
    pub(super) fn dropped_futures_lose_nothing(&self) -> Kept {
        self.at_every_temper(Law::Cancel)
    }

    fn at_every_temper(&self, law: Law) -> Kept {
        for seed in 0..16 {
            let script = good(law, seed, seed % 4 != 0);
            check_shortest(self.small_frames(), |frames| {
                self.played(frames, &script).map(drop).map_err(|broken| {
                    let [one, two] = &script.tempers;
                    broken.while_doing(format!(
                        "{} {frames:?}, over pipes of {} and {} bytes a call",
                        if script.both {
                            "both ends send"
                        } else {
                            "the first end sends"
                        },
                        one.most,
                        two.most
                    ))
                })
            })?;
        }
        Ok(())
    }

    fn small_frames(&self) -> Vec<Bytes> {
        let boundaries = (self.make)().keeps_boundaries();
        let mut left = MOST;
        let mut fits = |frame: &&Bytes| {
            let fits = frame.len() <= left && (boundaries || !frame.is_empty());
            left -= if fits { frame.len() } else { 0 };
            fits
        };
        self.frames
            .iter()
            .filter(|frame| fits(frame))
            .cloned()
            .collect()
    }

    /// Everything arrives, and the bytes are those of a machine alone; they are returned.
    fn played(&self, frames: &[Bytes], script: &Script) -> Kept<[Vec<u8>; 2]> {
        let law = script.law;
        let mut play = Play::new(&self.make, frames, script)?;
        play.run()?;
        let boundaries = (self.make)().keeps_boundaries();
        for (who, party) in play.parties.iter().enumerate() {
            if let Some(error) = &party.failed {
                return Err(law.broken(format!("end {who} fails: {error}")));
            }
            let sent = play.sent_to(who, frames);
            let same = match boundaries {
                true => party.received == sent,
                false => party.received.concat() == sent.concat(),
            };
            law.holds(same, || {
                format!(
                    "end {who} was sent {sent:?} and received {:?}",
                    party.received
                )
            })?;
            law.holds(party.is_done(), || {
                format!(
                    "end {who} is woken by nobody, though it has {} frames to send and received \
                     {:?}",
                    party.queue.len(),
                    party.received
                )
            })?;
        }
        let written = [0, 1].map(|end| play.parties[end].connection.get_ref().written());
        if !(self.make)().is_interactive() {
            let mut alone = Bench::new((self.make)());
            for frame in frames {
                alone.send_sample(frame)?;
            }
            let alone = alone.written();
            law.holds(written[0] == alone, || {
                format!(
                    "{} is written instead of {}",
                    show(&written[0]),
                    show(&alone)
                )
            })?;
        }
        Ok(written)
    }

    /// One end gets an error from its socket: it tells so once, and no wrong frame comes out.
    fn stops(&self, frames: &[Bytes], script: &Script) -> Kept {
        let law = script.law;
        let mut play = Play::new(&self.make, frames, script)?;
        play.run()?;
        // A process whose connection has failed goes away.
        for who in 0..2 {
            if play.parties[who].failed.is_some() {
                play.parties[who].connection.get_ref().hang_up();
            }
        }
        play.run()?;
        if play.parties.iter().all(|party| party.failed.is_none()) {
            // Nothing was left to fail, or it was tried again: then all is as without.
            let all = &play.parties[1].received;
            let same = all.concat() == frames.concat();
            return law.holds(same, || format!("no error comes, and {all:?} is received"));
        }
        for (who, party) in play.parties.iter().enumerate() {
            let sent = play.sent_to(who, frames);
            let received = &party.received;
            let right = match (self.make)().keeps_boundaries() {
                true if self.rest != Rest::Truncated && !received.is_empty() => {
                    // The rest may be a frame, too.
                    sent.starts_with(&received[..received.len() - 1])
                }
                true => sent.starts_with(received),
                false => sent.concat().starts_with(&received.concat()),
            };
            law.holds(right, || {
                format!("end {who} was sent {sent:?} and received {received:?}")
            })?;
            law.holds(party.after_end == 0, || {
                format!("end {who} receives something after its error")
            })?;
        }
        Ok(())
    }
}

/// A pipe on which everything arrives.
fn good(law: Law, seed: u64, both: bool) -> Script {
    let mut random = Random::new(seed);
    let tempers = [(), ()].map(|()| Temper {
        most: [1, 1, 3, 1 << 16][random.below(4)],
        blocks: random.below(4) > 0,
        vectored: random.below(2) > 0,
        read_fails: None,
        write_fails: None,
    });
    Script {
        law,
        seed,
        tempers,
        both,
    }
}

/// Two ends, and what they still have to do.
struct Play<F> {
    parties: [Party<F>; 2],
    law: Law,
    random: Random,
    both: bool,
    /// A bound for what can only go wrong.
    turns: usize,
    timers: Rc<Timers>,
}

/// A runtime that nobody runs: timers can be made in it, and never fire.
struct Timers(Option<Runtime>);

impl Timers {
    fn new() -> Kept<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_time().build();
        match runtime {
            Ok(runtime) => Ok(Self(Some(runtime))),
            Err(error) => Err(Law::HostileIo.broken(format!("no runtime: {error}"))),
        }
    }

    fn enter(&self) -> Option<runtime::EnterGuard<'_>> {
        self.0.as_ref().map(Runtime::enter)
    }
}

impl Drop for Timers {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // Whoever checks a framing may itself be in a runtime, where none may be waited for.
            runtime.shutdown_background();
        }
    }
}

/// Halves of a connection: each is a task of its own.
const HALVES: [(usize, Half); 4] = [
    (0, Half::Sink),
    (1, Half::Sink),
    (0, Half::Stream),
    (1, Half::Stream),
];

#[derive(Clone, Copy, PartialEq)]
enum Half {
    Stream,
    Sink,
}

impl<F: Framing> Play<F> {
    fn new(make: &impl Fn() -> F, frames: &[Bytes], script: &Script) -> Kept<Self> {
        let mut random = Random::new(script.seed);
        let pipes = Pipe::pair(script.tempers);
        let mut queues = [frames, if script.both { frames } else { &[] }].into_iter();
        let parties = pipes.map(|pipe| {
            let mut connection = Connection::new(pipe, Checked::new(make()));
            connection.set_high_water([1, 7, 64 * 1024][random.below(3)]);
            Party {
                connection,
                queue: queues.next().unwrap_or(&[]).iter().cloned().collect(),
                stage: Stage::Send,
                received: Vec::new(),
                ended: false,
                after_end: 0,
                failed: None,
                woken: [Arc::default(), Arc::default()],
            }
        });
        let bytes: usize = frames.iter().map(|frame| frame.len() + 64).sum();
        Ok(Self {
            parties,
            law: script.law,
            random,
            both: script.both,
            turns: 20_000 + 200 * bytes,
            timers: Rc::new(Timers::new()?),
        })
    }

    fn sent_to(&self, who: usize, frames: &[Bytes]) -> Vec<Bytes> {
        match who {
            0 if !self.both => Vec::new(),
            _ => frames.to_vec(),
        }
    }

    /// Until nobody has anything to do.
    fn run(&mut self) -> Kept {
        let timers = self.timers.clone();
        let _inside = timers.enter();
        self.take_turns()
    }

    fn take_turns(&mut self) -> Kept {
        for party in &mut self.parties {
            party.woken.iter().for_each(Flag::wake_by_ref);
        }
        loop {
            self.let_them_close();
            let open: Vec<_> = HALVES
                .into_iter()
                .filter(|(who, half)| !self.parties[*who].has_finished(*half))
                .collect();
            let woken: Vec<_> = open
                .iter()
                .copied()
                .filter(|(who, half)| self.parties[*who].is_woken(*half))
                .collect();
            // Futures that are dropped are made anew by someone who does not wait for a wake.
            let impatient = self.law == Law::Cancel;
            let candidates = if woken.is_empty() && !impatient || open.is_empty() {
                return Ok(());
            } else if impatient || self.random.below(4) == 0 {
                open
            } else {
                woken
            };
            self.turns = self.turns.saturating_sub(1);
            self.law.holds(self.turns > 0, || {
                "the two ends go on for ever, or nothing moves any more".to_owned()
            })?;
            let (who, half) = candidates[self.random.below(candidates.len())];
            let flush = self.random.below(2) == 0;
            let times = match impatient && self.random.below(8) == 0 {
                true => IMPATIENT,
                false => 1,
            };
            for _ in 0..times {
                self.parties[who].poll(half, !impatient, flush)?;
            }
        }
    }

    /// A side that has sent all closes, if nobody waits for its answers any more.
    fn let_them_close(&mut self) {
        let interactive = self.parties[0].connection.framing().is_interactive();
        let quiet = |party: &Party<F>| party.stage == Stage::Flushed || party.failed.is_some();
        let all_quiet = self.parties.iter().all(quiet);
        for party in &mut self.parties {
            if party.stage == Stage::Flushed && (all_quiet || !interactive) {
                party.stage = Stage::Close;
                party.woken[Half::Sink as usize].wake_by_ref();
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    Send,
    Flush,
    Flushed,
    Close,
    Closed,
}

struct Party<F> {
    connection: Connection<Pipe, Checked<F>>,
    queue: VecDeque<Bytes>,
    stage: Stage,
    received: Vec<Bytes>,
    ended: bool,
    /// What came after the end of the stream.
    after_end: usize,
    failed: Option<String>,
    /// One for each half.
    woken: [Arc<Flag>; 2],
}

impl<F: Framing> Party<F> {
    fn has_finished(&self, half: Half) -> bool {
        match half {
            Half::Stream => self.ended,
            Half::Sink => {
                matches!(self.stage, Stage::Flushed | Stage::Closed) || self.failed.is_some()
            }
        }
    }

    fn is_done(&self) -> bool {
        self.ended && self.stage == Stage::Closed
    }

    fn is_woken(&self, half: Half) -> bool {
        self.woken[half as usize].0.load(Ordering::Relaxed)
    }

    /// Polls one half: `keep` its waker, or drop it together with the future.
    fn poll(&mut self, half: Half, keep: bool, flush: bool) -> Kept {
        let flag = &mut self.woken[half as usize];
        if keep {
            flag.0.store(false, Ordering::Relaxed);
        } else {
            *flag = Arc::default();
        }
        let waker = Waker::from(flag.clone());
        let mut cx = Context::from_waker(&waker);
        guard(|| match half {
            Half::Stream => self.poll_stream(&mut cx),
            Half::Sink => {
                if let Poll::Ready(Err(error)) = self.poll_sink(&mut cx, flush) {
                    self.failed.get_or_insert(error.to_string());
                }
            }
        })?;
        self.connection.framing().kept()
    }

    fn poll_stream(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(item) = Pin::new(&mut self.connection).poll_next(cx) {
            match item {
                Some(Ok(frame)) => self.received.push(frame),
                Some(Err(error)) => {
                    self.failed.get_or_insert(error.to_string());
                }
                None => {
                    self.ended = true;
                    // It stays at the end.
                    let again = Pin::new(&mut self.connection).poll_next(cx);
                    self.after_end += usize::from(!matches!(again, Poll::Ready(None)));
                    return;
                }
            }
        }
    }

    fn poll_sink(&mut self, cx: &mut Context<'_>, flush: bool) -> Poll<Result<(), Error>> {
        loop {
            let mut connection = Pin::new(&mut self.connection);
            match self.stage {
                Stage::Send => {
                    let Some(frame) = self.queue.front() else {
                        self.stage = Stage::Flush;
                        continue;
                    };
                    ready!(connection.as_mut().poll_ready(cx))?;
                    let frame = frame.clone();
                    self.queue.pop_front();
                    connection.start_send(frame)?;
                    if flush {
                        self.stage = Stage::Flush;
                    }
                }
                Stage::Flush => {
                    ready!(connection.poll_flush(cx))?;
                    self.stage = match self.queue.is_empty() {
                        true => Stage::Flushed,
                        false => Stage::Send,
                    };
                }
                Stage::Close => {
                    ready!(connection.poll_close(cx))?;
                    self.stage = Stage::Closed;
                }
                Stage::Flushed | Stage::Closed => return Poll::Ready(Ok(())),
            }
        }
    }
}

/// Whether a task was woken.
#[derive(Debug, Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}
