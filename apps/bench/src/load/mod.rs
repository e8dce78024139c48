//! Puts a server under load: the same cheap client for every one of them.
//!
//! On each connection it writes a batch of requests with one write, reads until all are answered,
//! and writes the next. It runs as a process of its own, counts its own processor time and the
//! server's over the same stretch, and prints what it saw as one line of JSON.

mod connection;
mod requests;

use std::{
    io::{self, ErrorKind},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use clap::Args;
use hdrhistogram::Histogram;
use rustix::event::epoll;
use serde::{Deserialize, Serialize};

use self::connection::Connection;
pub use self::requests::Speaks;
use crate::{
    pin::{Side, pin},
    process,
};

#[derive(Args, Debug)]
pub struct LoadOptions {
    #[arg(long)]
    port: u16,
    /// What the server speaks.
    #[arg(long)]
    speaks: Speaks,
    #[arg(long, default_value_t = 1)]
    connections: usize,
    /// Requests in a batch.
    #[arg(long, default_value_t = 1)]
    depth: usize,
    /// Bytes of payload.
    #[arg(long, default_value_t = 64)]
    payload: usize,
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Whose processor time is counted.
    #[arg(long)]
    server: u32,
}

/// What a stretch of load came to.
#[derive(Debug, Deserialize, Serialize)]
pub struct Load {
    pub requests: u64,
    pub seconds: f64,
    /// Microseconds.
    pub p50: f64,
    pub p99: f64,
    /// Seconds of processor time.
    pub server: f64,
    pub client: f64,
}

/// The part of the time in front of the measured stretch.
const WARM_UP: f64 = 0.2;

/// A single connection with a batch that fits into any socket's buffers needs no epoll.
const BLOCKING: usize = 64 * 1024;

pub fn run(options: &LoadOptions) -> anyhow::Result<()> {
    pin(Side::Client)?;
    let batch = options.speaks.batch(options.depth, options.payload)?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
    let is_single = options.connections == 1 && batch.bytes.len() <= BLOCKING;
    let mut connections = Vec::new();
    for _ in 0..options.connections {
        let stream = TcpStream::connect(address).context("cannot connect")?;
        stream.set_nodelay(true)?;
        options.speaks.introduce(&stream)?;
        stream.set_nonblocking(!is_single)?;
        connections.push(Connection::new(stream, &batch));
    }
    let mut meter = Meter::new(options)?;
    if is_single {
        alone(&mut connections[0], &mut meter)?;
    } else {
        together(&mut connections, &mut meter)?;
    }
    println!("{}", serde_json::to_string(&meter.finish()?)?);
    Ok(())
}

/// One connection, blocking.
fn alone(connection: &mut Connection<'_>, meter: &mut Meter) -> anyhow::Result<()> {
    let mut buffer = vec![0; 256 * 1024];
    while !meter.is_over()? {
        connection.begin();
        while !connection.write()? {}
        while !connection.is_answered() {
            let answers = connection.read(&mut buffer)?;
            meter.note(connection.elapsed(), answers);
        }
    }
    Ok(())
}

/// Many connections; whoever has something to read has its turn.
fn together(connections: &mut [Connection<'_>], meter: &mut Meter) -> anyhow::Result<()> {
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    for (index, connection) in connections.iter_mut().enumerate() {
        let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
        let data = epoll::EventData::new_u64(index as u64);
        epoll::add(&poll, connection.stream(), data, flags)?;
        connection.begin();
        would_block(connection.write())?;
    }
    let mut events = Vec::with_capacity(connections.len());
    let mut buffer = vec![0; 256 * 1024];
    while !meter.is_over()? {
        events.clear();
        let limit = rustix::event::Timespec {
            tv_sec: 20,
            tv_nsec: 0,
        };
        epoll::wait(
            &poll,
            rustix::buffer::spare_capacity(&mut events),
            Some(&limit),
        )?;
        ensure!(!events.is_empty(), "the server does not answer");
        for event in &events {
            let connection = &mut connections[event.data.u64() as usize];
            would_block(connection.write())?;
            // Edges come once, so all that is there is read; a short read was the last.
            while let Some(answers) = would_block(connection.read(&mut buffer))? {
                meter.note(connection.elapsed(), answers);
                if connection.is_answered() {
                    connection.begin();
                    would_block(connection.write())?;
                    break;
                }
                if connection.was_short() {
                    break;
                }
            }
        }
    }
    Ok(())
}

/// Nothing, if it would block.
fn would_block<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// Counts, first for the warm-up, then anew.
struct Meter {
    server: u32,
    start: Instant,
    warm_up: Option<Duration>,
    measured: Duration,
    times: Histogram<u64>,
    server_before: f64,
    client_before: f64,
    /// Batches until the clock is looked at again.
    credit: u32,
}

impl Meter {
    fn new(options: &LoadOptions) -> anyhow::Result<Self> {
        Ok(Self {
            server: options.server,
            start: Instant::now(),
            warm_up: Some(Duration::from_secs_f64(options.seconds * WARM_UP)),
            measured: Duration::from_secs_f64(options.seconds),
            times: Histogram::new_with_bounds(1, 60_000_000_000, 3)?,
            server_before: 0.0,
            client_before: 0.0,
            credit: 0,
        })
    }

    fn note(&mut self, time: Duration, answers: u64) {
        self.times
            .saturating_record_n(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), answers);
    }

    fn is_over(&mut self) -> anyhow::Result<bool> {
        if self.credit > 0 {
            self.credit -= 1;
            return Ok(false);
        }
        self.credit = 8;
        match self.warm_up {
            Some(warm_up) if self.start.elapsed() >= warm_up => {
                self.warm_up = None;
                self.times.reset();
                self.server_before = process::cpu(self.server)?;
                self.client_before = process::own_cpu();
                self.start = Instant::now();
                Ok(false)
            }
            Some(_) => Ok(false),
            None => Ok(self.start.elapsed() >= self.measured),
        }
    }

    fn finish(&self) -> anyhow::Result<Load> {
        let seconds = self.start.elapsed().as_secs_f64();
        let micros = |quantile| self.times.value_at_quantile(quantile) as f64 / 1000.0;
        Ok(Load {
            requests: self.times.len(),
            seconds,
            p50: micros(0.5),
            p99: micros(0.99),
            server: process::cpu(self.server)? - self.server_before,
            client: process::own_cpu() - self.client_before,
        })
    }
}
