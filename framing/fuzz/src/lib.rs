//! What the fuzz targets do with their input, without the fuzzer.
//!
//! Each module is a target: its `run` takes any bytes and panics where a promise is broken. The tests
//! of the main workspace include the same files and replay the seeds in `corpus/` with them.

#![forbid(unsafe_code)]

pub mod ack;
mod answers;
pub mod config;
pub mod decode;
mod expected;
mod framings;
mod input;
pub mod native;
pub mod round_trip;
// Without the programs around it, which take longer to compile than everything else.
#[allow(unused_imports, reason = "the programs name more of it")]
#[path = "../../../apps/src/config/mod.rs"]
#[allow(dead_code, reason = "files are not read here")]
mod server_config;
pub mod tokio_util;
