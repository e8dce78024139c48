//! The systems of the course, each on loopback with a Python script on the other end.

mod beside;

use std::{fs, io::Write, path::Path, process::Stdio};

use anyhow::Context;
use framing::serve::Address;
use tokio::{process::Command, sync::oneshot};

use crate::{config::Config, server::Server, tour::say};

/// Each system: what it is called in the script, and what it shows.
const SYSTEMS: [(&str, &str); 8] = [
    ("login", "login: name|password in one read"),
    (
        "execute",
        "exec: the length, ok, the output (and a login in front)",
    ),
    ("counted_exec", "exec behind struct.pack('i', length)"),
    ("transfer", "a file behind its JSON header, and a receipt"),
    (
        "fetch",
        "get NAME, the size, ok, the file and its MD5 digest",
    ),
    (
        "legality",
        "is this client one of ours: the HMAC of a challenge",
    ),
    ("files", "log in, list, download by number"),
    ("clock", "the time, a text a tick"),
];

/// The key that both ends of the legality check have.
const SECRET: &str = "linhaifeng bang bang bang\n";

const CONFIG: &str = include_str!("course.toml");
const PEERS: &str = include_str!("peers.py");

/// Goes through all systems; false if one of them is not as it should be.
pub async fn run() -> anyhow::Result<bool> {
    say(format_args!("sticky packets: two sends, one read"))?;
    let mut right = beside::sticky().await?;
    let has_python = Command::new("python3")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .await
        .is_ok_and(|status| status.success());
    if !has_python {
        say(format_args!(
            "\nthere is no python3 here, and the scripts of the course need one"
        ))?;
        return Ok(right);
    }
    let folder = tempfile::tempdir().context("cannot create a folder for the tour")?;
    let config = configure(folder.path())?;
    let server = Server::bind(&config).await?;
    let addresses = server.addresses();
    let announcements: Vec<String> = server.announcements().map(str::to_owned).collect();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(server.run(async {
        // Whoever drops the sender wants the same.
        let _ = stopped.await;
    }));
    let script = folder.path().join("peers.py");
    fs::write(&script, PEERS)?;
    for (((system, title), address), announcement) in
        SYSTEMS.iter().zip(addresses).zip(announcements)
    {
        say(format_args!("\n{title}\n{announcement}"))?;
        let Address::Tcp(address) = address else {
            anyhow::bail!("{address} is no TCP address");
        };
        right &= converse(&script, system, address.port()).await?;
    }
    say(format_args!("\nchat over UDP: a datagram a message"))?;
    right &= beside::chat(&script).await?;
    say(format_args!("\ntalk: lines both ways, and an end"))?;
    right &= beside::talk(&script).await?;
    let _ = stop.send(());
    server.await.context("the server failed")?;
    Ok(right)
}

fn configure(folder: &Path) -> anyhow::Result<Config> {
    let write = |name: &str, text: &str| {
        use std::os::unix::fs::OpenOptionsExt;
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(folder.join(name))?;
        file.write_all(text.as_bytes())
    };
    write("accounts.txt", "alex|dsb\n")?;
    write("key", SECRET)?;
    write("framed.toml", CONFIG)?;
    Config::read(&folder.join("framed.toml"))
}

/// Runs one script, which says what passes.
async fn converse(script: &Path, system: &str, port: u16) -> anyhow::Result<bool> {
    let status = Command::new("python3")
        .arg(script)
        .arg(system)
        .arg(port.to_string())
        .env("PYTHONIOENCODING", "utf-8")
        .kill_on_drop(true)
        .status()
        .await
        .context("cannot run python3")?;
    Ok(status.success())
}
