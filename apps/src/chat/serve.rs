//! `chat serve`: the directory.

use std::{path::Path, time::Duration};

use framing::datagram::{Datagrams, serve_datagrams};
use services::chat::{self, ChatServer, Directory, DirectoryOptions};
use tokio::{
    net::UdpSocket,
    time::{MissedTickBehavior, interval},
};

use super::{
    cli::ServeArgs, console::print, ending::Ending, failure::Failure, listen::bind, names_file,
};

/// How often changed names are written down.
const KEEP: Duration = Duration::from_secs(1);

/// How long those who wait for mail are waited for at the end; they are held for a second.
const DRAIN: Duration = Duration::from_secs(2);

pub(super) async fn run(args: ServeArgs) -> Result<(), Failure> {
    let mut ending = Ending::new(None)?;
    let most = args.max_names as usize;
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(Failure::chance)?;
    let options = DirectoryOptions::default().most_names(most);
    let mut directory = Directory::new(options, key, std::time::Instant::now());
    if let Some(path) = &args.names {
        names_file::read(path, &mut directory)?;
        // Found out now rather than at the first name.
        names_file::write(path, &directory)?;
    }
    let socket = bind(args.bind, args.expose).await?;
    let address =
        UdpSocket::local_addr(&socket).map_err(|error| Failure::bind(args.bind, &error))?;
    let datagrams = chat::framing()
        .and_then(|framing| Datagrams::new(socket, framing))
        .map_err(|error| Failure::usage(error.to_string()))?
        .max_datagram(chat::MAX_DATAGRAM);
    let service = ChatServer::new(directory);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = serve_datagrams(datagrams, service.clone())
        .silent_when_empty(true)
        // Each client has a question for mail open, and so a session that is busy.
        .max_sessions(most.saturating_add(1024))
        .max_in_flight(most.saturating_mul(4).saturating_add(1024))
        .drain_timeout(DRAIN)
        .with_graceful_shutdown(async {
            // Also where it was dropped.
            let _ = stopped.await;
        });
    let counters = server.counters();
    let server = tokio::spawn(server.into_future());
    print(format!("listening on udp://{address} (chat directory)\n").as_bytes())?;
    let result = keep(&service, args.names.as_deref(), &mut ending).await;
    drop(stop);
    if server.await.is_err() {
        tracing::error!("the server panicked");
    }
    tracing::info!(?counters, "stopped");
    result
}

/// Writes the names down whenever they have changed, until the end.
async fn keep(
    service: &ChatServer,
    path: Option<&Path>,
    ending: &mut Ending,
) -> Result<(), Failure> {
    let Some(path) = path else {
        ending.reached().await;
        return Ok(());
    };
    let mut kept = service.directory().changes();
    let mut ticks = interval(KEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let is_over = tokio::select! {
            () = ending.reached() => true,
            _ = ticks.tick() => false,
        };
        let changes = service.directory().changes();
        if changes != kept {
            match names_file::write(path, &service.directory()) {
                Ok(()) => kept = changes,
                Err(failure) if is_over => return Err(failure),
                // The disk may have room again later.
                Err(failure) => tracing::error!(%failure, "names are not kept"),
            }
        }
        if is_over {
            return Ok(());
        }
    }
}
