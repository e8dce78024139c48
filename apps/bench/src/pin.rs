//! Keeps a process on one core: the server on the first, its client on the second.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Which side of a benchmark a process is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Server,
    Client,
}

/// Pins this process (and what it starts) to the core of its side. On a machine with one core both
/// share it.
pub fn pin(side: Side) -> anyhow::Result<()> {
    let cores = cores()?;
    let index = match side {
        Side::Server => 0,
        Side::Client => cores.len() - 1,
    };
    let mut set = CpuSet::new();
    set.set(cores[index]);
    sched_setaffinity(None, &set)?;
    Ok(())
}

/// The cores this process may run on.
pub fn cores() -> anyhow::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    let cores: Vec<usize> = (0..CpuSet::MAX_CPU)
        .filter(|&core| set.is_set(core))
        .collect();
    anyhow::ensure!(!cores.is_empty(), "no core to run on");
    Ok(cores)
}
