//! nginx, as one process, with its usual buffers; with sendfile or without.

use std::{fs, io, net::TcpListener, os::unix::process::CommandExt, path::Path, process::Command};

use crate::process::program;

/// Serves `folder`, and keeps its files in `settings`. Returns only if it does not work.
pub(in super::super) fn become_nginx(
    listener: TcpListener,
    folder: &Path,
    settings: &Path,
    sendfile: bool,
) -> io::Error {
    let sendfile = if sendfile { "on" } else { "off" };
    let file = settings.join(format!("nginx-{sendfile}.conf"));
    let prepare = || {
        let port = listener.local_addr()?.port();
        fs::write(&file, configuration(port, folder, settings, sendfile))
    };
    if let Err(error) = prepare() {
        return error;
    }
    // The port is free, and it is nginx that listens there in a moment. (It could take the socket
    // over, but not as a single process.)
    drop(listener);
    Command::new(program("nginx").unwrap_or_default())
        .args(["-e", "stderr", "-c"])
        .arg(file)
        .exec()
}

fn configuration(port: u16, folder: &Path, settings: &Path, sendfile: &str) -> String {
    let (folder, settings) = (folder.display(), settings.display());
    // It makes all of these, whether it needs them or not.
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("  {kind}_temp_path {settings}/nginx-{kind};\n"))
        .concat();
    format!(
        "daemon off;\n\
         master_process off;\n\
         pid {settings}/nginx-{sendfile}.pid;\n\
         error_log stderr crit;\n\
         events {{ worker_connections 64; }}\n\
         http {{\n\
         {temporary}  \
           access_log off;\n  \
           sendfile {sendfile};\n  \
           server {{ listen 127.0.0.1:{port}; root {folder}; }}\n\
         }}\n"
    )
}
