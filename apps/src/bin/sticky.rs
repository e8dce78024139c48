//! Sticky packets on real sockets, and their cures; see [`apps::sticky`].

use std::process;

fn main() {
    process::exit(apps::sticky::run().into());
}
