//! cargo run --release --example in_memory
//!
//! Runs a whole stack (login, exec, files) without a socket, a process or a file: made for tests.

use std::{convert::Infallible, io::Cursor};

use anyhow::Context;
use framing::{
    Lines, LinesOptions,
    serve::{Memory, MemoryConnector, serve_with},
};
use services::{
    HandleLayer, Session, Unsupported, WhoAmI,
    client::{Client, Command},
    exec::{Allow, Exec, Outcome, Script, ScriptedSpawner},
    files::{FileName, Files, MemoryStore},
    login::{Authenticator, LoginLayer, MemoryAccounts, Password, Right},
    native::NativeServer,
};
use tower::{ServiceBuilder, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let server = start()?;
    let mut client = Client::new(server.connect().await?, lines())?;
    let account = client.login("alice", Password::new("secret")?).await?;
    println!("logged in as {}", account.name);

    let mut exec = client.exec(Command::program(["uname"])).await?;
    let mut text = Vec::new();
    let ended = exec
        .wait(|output| text.extend_from_slice(output.bytes()))
        .await?;
    print!("{}", String::from_utf8_lossy(&text));
    anyhow::ensure!(ended.outcome == Outcome::Exit(7), "{}", ended.outcome);

    let name: FileName = "uname.txt".parse()?;
    let stored = client
        .put(&name, None, false, Cursor::new(text.clone()))
        .await?;
    let digest = stored.digest.context("stored without a digest")?;
    println!("stored {} bytes as {name}, blake3 {digest}", stored.size);

    let mut download = client.get(&name).await?;
    let mut back = Vec::new();
    while let Some(bytes) = download.read().await? {
        back.extend_from_slice(&bytes);
    }
    anyhow::ensure!(back == text, "other bytes came back");
    Ok(())
}

/// Each plug-in point has a form in memory: accounts, processes, files, and the listener itself.
fn start() -> anyhow::Result<MemoryConnector> {
    let rights = [Right::Exec, Right::Read, Right::Write];
    let accounts = MemoryAccounts::new().with("alice", Password::new("secret")?, rights)?;
    let uname = Script::new().stdout("Memory 1.0\n").exit(7);
    let spawner = ScriptedSpawner::new().program("uname", uname);
    let stack = ServiceBuilder::new()
        .layer(LoginLayer::new(Authenticator::new(accounts)))
        .layer(HandleLayer::new(WhoAmI))
        .layer(Exec::new(spawner, Allow::new(["uname"])?).into_layer())
        .layer(Files::new(MemoryStore::new()).into_layer())
        .service(Unsupported);
    let make = service_fn(move |_: Session| std::future::ready(Ok::<_, Infallible>(stack.clone())));
    let (listener, connector) = Memory::new(64 * 1024);
    let server = serve_with(listener, NativeServer::new(make)).framing(lines());
    tokio::spawn(server.into_future());
    Ok(connector)
}

fn lines() -> Lines {
    LinesOptions::default()
        .build(Default::default())
        .expect("the defaults fit together")
}

#[test]
fn runs() -> anyhow::Result<()> {
    main()
}
