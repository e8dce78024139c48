//! The client; see [`apps::frame`].

use std::process;

fn main() {
    process::exit(apps::frame::run().into());
}
