//! Whole stacks over memory: login, exec and files, through the client.

use std::time::Duration;

use framing::{
    FramingFactory, Registry,
    serve::{Memory, MemoryConnector, serve_with},
};
use services::{
    HandleLayer, Ping, Session, Unsupported, WhoAmI,
    client::{Client, Command},
    exec::{Allow, Exec, Outcome, Output, ProcessSpawner},
    files::{FileName, Files, MemoryStore},
    login::{Authenticator, LoginLayer, MemoryAccounts, Password, Right},
    native::NativeServer,
};
use tower::{ServiceBuilder, service_fn};

const FRAMINGS: [&str; 6] = [
    "struct-header",
    "ack-handshake",
    "delimiter",
    "lines",
    r#"{ type = "delimiter", delimiter = "||", escape = "\\" }"#,
    r#"{ type = "struct-header", format = "!H" }"#,
];

fn start(framing: &FramingFactory) -> MemoryConnector {
    let accounts = MemoryAccounts::new()
        .with(
            "alice",
            Password::new("secret").unwrap(),
            [Right::Exec, Right::Read, Right::Write],
        )
        .unwrap()
        .with("root", Password::new("toor").unwrap(), [Right::Shell])
        .unwrap();
    let login = LoginLayer::new(Authenticator::new(accounts)).max_tries(3);
    let exec = Exec::new(
        ProcessSpawner::new("/"),
        Allow::new(["echo", "cat", "head"]).unwrap(),
    )
    .shell(true);
    let files = Files::new(MemoryStore::new());
    let stack = ServiceBuilder::new()
        .layer(HandleLayer::new(Ping))
        .layer(login)
        .layer(HandleLayer::new(WhoAmI))
        .layer(exec.into_layer())
        .layer(files.into_layer())
        .service(Unsupported);
    let make = service_fn(move |_: Session| {
        let stack = stack.clone();
        async move { Ok::<_, std::convert::Infallible>(stack) }
    });
    let (listener, connector) = Memory::new(64 * 1024);
    let server = NativeServer::new(make).before_login(8 * 1024, Duration::from_secs(10));
    tokio::spawn(
        serve_with(listener, server)
            .framing(framing.clone())
            .into_future(),
    );
    connector
}

async fn client(connector: &MemoryConnector, framing: &FramingFactory) -> Client {
    Client::new(connector.connect().await.unwrap(), framing.make()).unwrap()
}

#[tokio::test]
async fn every_framing_carries_every_service() {
    for text in FRAMINGS {
        let framing = Registry::default().parse(text).unwrap();
        let connector = start(&framing);
        let mut client = client(&connector, &framing).await;
        client.ping().await.unwrap();
        let wrong = client
            .login("alice", Password::new("guess").unwrap())
            .await
            .unwrap_err();
        assert!(wrong.is_wrong_credentials(), "{text}: {wrong}");
        let account = client
            .login("alice", Password::new("secret").unwrap())
            .await
            .unwrap();
        assert_eq!(account.name, "alice");
        assert_eq!(client.whoami().await.unwrap(), account);

        let mut exec = client
            .exec(Command::program(["head", "-c", "300000", "/dev/zero"]))
            .await
            .unwrap();
        let mut zeros = 0;
        let ended = exec
            .wait(|output| match output {
                Output::Stdout(bytes) => {
                    assert!(bytes.iter().all(|b| *b == 0));
                    zeros += bytes.len();
                }
                Output::Stderr(_) => panic!("nothing goes wrong"),
            })
            .await
            .unwrap();
        assert_eq!(
            (zeros, ended.outcome),
            (300_000, Outcome::Exit(0)),
            "{text}"
        );

        let mut exec = client
            .exec(Command::program(["cat"]).stdin())
            .await
            .unwrap();
        let mut input = exec.input();
        let feed = async {
            for _ in 0..10 {
                input.write(vec![b'\n'; 100_000]).await.unwrap();
            }
            input.close().await.unwrap();
        };
        let mut count = 0;
        let (ended, ()) = tokio::join!(exec.wait(|output| count += output.bytes().len()), feed);
        assert_eq!(
            (count, ended.unwrap().outcome),
            (1_000_000, Outcome::Exit(0)),
            "{text}"
        );

        let name: FileName = "空 格.bin".parse().unwrap();
        let content: Vec<u8> = (0..1_000_000u32).map(|i| (i * 7 % 251) as u8).collect();
        let uploaded = client
            .put(
                &name,
                Some(content.len() as u64),
                false,
                std::io::Cursor::new(content.clone()),
            )
            .await
            .unwrap();
        let again = client
            .put(&name, None, false, std::io::Cursor::new(vec![1]))
            .await
            .unwrap_err();
        assert_eq!(
            again.status().unwrap().code().as_str(),
            "already-exists",
            "{text}"
        );
        let listed = client.list_all().await.unwrap();
        assert_eq!(listed.len(), 1);
        let mut download = client.get(&name).await.unwrap();
        let mut got = Vec::new();
        while let Some(bytes) = download.read().await.unwrap() {
            got.extend_from_slice(&bytes);
        }
        assert!(uploaded.digest.is_some());
        assert_eq!(download.digest(), uploaded.digest);
        assert!(got == content, "{text}");
        client.remove(&name).await.unwrap();
        assert!(client.get(&name).await.is_err());
        client.ping().await.unwrap();
    }
}
