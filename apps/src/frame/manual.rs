//! Prints what shells and `man` want to know of the command line.

use clap::CommandFactory;
use clap_mangen::Man;

use super::{cli::Cli, exit::Failure, output};

/// Prints completions for a shell.
pub(super) fn completions(shell: clap_complete::Shell) -> Result<u8, Failure> {
    // Into memory first: the generator panics where it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "frame", &mut script);
    output::write_now(&script)?;
    Ok(0)
}

/// Prints the manual page of the program, or of one verb.
pub(super) fn page(verb: Option<&str>) -> Result<u8, Failure> {
    let mut command = Cli::command();
    command.build();
    if let Some(verb) = verb {
        let names: Vec<_> = command
            .get_subcommands()
            .map(|verb| verb.get_name())
            .collect();
        let names = names.join(", ");
        command = command.find_subcommand(verb).cloned().ok_or_else(|| {
            Failure::usage(format!("there is no verb of this name; there are: {names}"))
        })?;
    }
    let mut page = Vec::new();
    Man::new(command)
        .render(&mut page)
        .map_err(|error| Failure::local_io("cannot make the page", &error))?;
    output::write_now(&page)?;
    Ok(0)
}
