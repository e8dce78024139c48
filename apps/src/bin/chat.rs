//! Chat over UDP; see [`apps::chat`].

use std::process;

fn main() {
    process::exit(apps::chat::run().into());
}
