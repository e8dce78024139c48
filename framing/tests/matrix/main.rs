//! One scenario over every framing that keeps messages, every kind of listener and both drivers:
//! the same transcript each time.

use std::{future::IntoFuture, time::Duration};

use bytes::Bytes;
use framing::{
    Carries, Connection, Framing, FramingFactory, HeaderItem, Registry, U32InFront,
    client::{Client, ClientError, Io, Multiplexed, dial},
    serve::{Address, BoxError, Listener, Memory, Tcp, Unix, serve, serve_multiplexed},
};
use futures_util::future::join_all;
use tower::{Service, ServiceExt, make::Shared, service_fn};

const SCENARIO: &str = include_str!("scenario.txt");

/// Each framing of the registry that keeps boundaries, some of them twice.
const FRAMINGS: &[&str] = &[
    "ack-handshake",
    "cobs",
    r##"{ type = "delimiter", delimiter = "#%#" }"##,
    r#"{ type = "delimiter", escape = "\\" }"#,
    // Short frames are filled up; the transcript takes the filling off.
    r#"{ type = "fixed", size = 64, pad = " " }"#,
    "json-header",
    "length-field",
    "lines",
    "netstring",
    r#"{ type = "pair", receive = "varint", send = "varint" }"#,
    "slip",
    "struct-header",
    r#"{ type = "struct-header", format = "<hiB", length = 1 }"#,
    "varint",
];

/// The scenario without its comments: blocks of requests, and all it says.
fn scenario() -> (Vec<Vec<&'static str>>, Vec<String>) {
    let lines = || SCENARIO.lines().filter(|line| !line.starts_with('#'));
    let blocks: Vec<&str> = lines().collect();
    let blocks = blocks.split(|line| line.is_empty());
    let requests = |block: &[&'static str]| -> Vec<&'static str> {
        let requests = block.iter().filter_map(|line| line.strip_prefix("> "));
        requests.collect()
    };
    let blocks = blocks.map(requests).filter(|block| !block.is_empty());
    let said = lines().filter(|line| !line.is_empty());
    (blocks.collect(), said.map(str::to_owned).collect())
}

async fn shout(frame: Bytes) -> Result<Bytes, BoxError> {
    match frame.trim_ascii() {
        b"slow" => tokio::time::sleep(Duration::from_millis(20)).await,
        b"fail" => return Err("it was asked to fail".into()),
        b"panic" => panic!("it was asked to panic"),
        _ => {}
    }
    Ok(frame.to_ascii_uppercase().into())
}

/// Runs the scenario and writes down what was said, a block's requests before its responses.
async fn transcript<S>(mut client: S) -> Vec<String>
where
    S: Service<Bytes, Response = Bytes, Error = ClientError>,
{
    let mut said = Vec::new();
    let text = |frame: &[u8]| String::from_utf8_lossy(frame).trim_end().to_owned();
    for block in scenario().0 {
        let mut responses = Vec::new();
        for request in &block {
            let ready = client.ready().await.unwrap();
            responses.push(ready.call(Bytes::from_static(request.as_bytes())));
        }
        let responses = join_all(responses).await;
        said.extend(block.iter().map(|request| format!("> {request}")));
        said.extend(
            responses
                .into_iter()
                .map(|frame| format!("< {}", text(&frame.unwrap()))),
        );
    }
    said
}

/// What the scenario says, in the order in which a transcript has it.
fn expected() -> Vec<String> {
    let (blocks, said) = scenario();
    let mut responses = said.iter().filter(|line| line.starts_with("< "));
    let mut expected = Vec::new();
    for block in blocks {
        expected.extend(block.iter().map(|request| format!("> {request}")));
        expected.extend(responses.by_ref().take(block.len()).cloned());
    }
    assert!(responses.next().is_none(), "a response without a request");
    expected
}

#[derive(Clone, Copy, Debug)]
enum Driver {
    Pipeline,
    /// With a tag in front of the frame.
    Multiplex,
    /// With a tag in the frame's header.
    MultiplexHeader,
}

/// Serves `framing`, and runs the scenario against it through what `connect` opens.
async fn run<L: Listener, C: Future<Output = Box<dyn Io>>>(
    framing: &FramingFactory,
    driver: Driver,
    listener: L,
    connect: impl FnOnce(Address) -> C,
) -> Vec<String> {
    let address = listener.local_addr();
    let service = Shared::new(service_fn(shout));
    let server = match driver {
        Driver::Pipeline => {
            let server = serve(listener, service).framing(framing.clone());
            tokio::spawn(server.into_future())
        }
        Driver::Multiplex => {
            let server = serve_multiplexed(listener, U32InFront::new(), service);
            tokio::spawn(server.framing(framing.clone()).into_future())
        }
        Driver::MultiplexHeader => {
            let server = serve_multiplexed(listener, HeaderItem::only(), service);
            tokio::spawn(server.framing(framing.clone()).into_future())
        }
    };
    let connection = Connection::new(connect(address).await, framing.make());
    let said = match driver {
        Driver::Pipeline => transcript(Client::new(connection)).await,
        Driver::Multiplex => {
            transcript(Multiplexed::new(connection, U32InFront::new()).unwrap()).await
        }
        Driver::MultiplexHeader => {
            transcript(Multiplexed::new(connection, HeaderItem::only()).unwrap()).await
        }
    };
    server.abort();
    said
}

async fn dialled(address: Address) -> Box<dyn Io> {
    dial(&address).await.unwrap()
}

/// All three kinds of listener.
async fn on_each_listener(framing: &str, driver: Driver) {
    let factory = Registry::default().parse(framing).unwrap();
    let expected = expected();
    let check = |said: Vec<String>, on: &str| {
        assert_eq!(said, expected, "{framing}, {driver:?}, {on}");
    };

    let tcp = Tcp::bind("127.0.0.1:0").await.unwrap();
    check(run(&factory, driver, tcp, dialled).await, "tcp");

    let folder = tempfile::tempdir().unwrap();
    let unix = Unix::bind(folder.path().join("socket")).await.unwrap();
    check(run(&factory, driver, unix, dialled).await, "unix");

    let (memory, connector) = Memory::new(100);
    let connect = async |_| Box::new(connector.connect().await.unwrap()) as Box<dyn Io>;
    check(run(&factory, driver, memory, connect).await, "memory");
}

/// Panics of the scenario's own are no news.
fn quiet_panics() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let asked = info.payload().downcast_ref() == Some(&"it was asked to panic");
        if !asked {
            hook(info);
        }
    }));
}

#[tokio::test]
async fn the_same_transcript_over_everything() {
    quiet_panics();
    for framing in FRAMINGS {
        on_each_listener(framing, Driver::Pipeline).await;
        let factory = Registry::default().parse(framing).unwrap();
        if factory.make().carries() == Carries::Anything {
            on_each_listener(framing, Driver::Multiplex).await;
        }
    }
    on_each_listener(
        r#"{ type = "struct-header", format = "!HBI" , constants = ["any", 7] }"#,
        Driver::Pipeline,
    )
    .await;
    on_each_listener(
        r#"{ type = "struct-header", format = "!HI" }"#,
        Driver::MultiplexHeader,
    )
    .await;
    on_each_listener(
        r#"{ type = "struct-header", format = "<QB", length = 1 }"#,
        Driver::MultiplexHeader,
    )
    .await;
}

#[test]
fn no_framing_is_left_out() {
    let registry = Registry::default();
    for name in registry.names() {
        let named = |framing: &&str| {
            let factory = registry.parse(framing).unwrap();
            factory.name() == name
        };
        let Some(framing) = FRAMINGS.iter().copied().find(named) else {
            assert_eq!(name, "raw", "{name} is not in the matrix");
            continue;
        };
        assert!(registry.parse(framing).unwrap().make().keeps_boundaries());
    }
}
