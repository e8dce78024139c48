//! cargo run --release --example typed -- 127.0.0.1:7001
//!
//! A calculator whose requests and responses are Rust types, one line of JSON each: `nc 127.0.0.1 7001`,
//! and `{"add":[2,3]}`.

use std::env;

use anyhow::Context;
use framing::{
    Connection, Lines,
    client::{Client, dial},
    serve::{Address, Listener, PipelineOptions, Tcp, serve},
    typed::{Format, Json, TypedClient, TypedLayer},
};
use serde::{Deserialize, Serialize};
use tower::{Service, ServiceBuilder, ServiceExt, make::Shared};

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Request {
    Add(i64, i64),
    Divide(i64, i64),
}

/// An error is a variant of its own, so that it is never taken for an answer.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Response {
    Result(i64),
    Error(String),
}

/// The service: it sees no frame, no JSON and no socket.
async fn calculate(request: Request) -> Result<Response, &'static str> {
    let result = match request {
        Request::Add(a, b) => a.checked_add(b).ok_or("the sum is too large")?,
        Request::Divide(a, b) => a / b, // A zero panics, and is answered all the same.
    };
    Ok(Response::Result(result))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let address = env::args().nth(1).unwrap_or("127.0.0.1:0".into());
    let listener = Tcp::bind(&address).await?;
    let address = listener.local_addr();
    let server = tokio::spawn(run(listener)?);
    for request in [Request::Add(2, 3), Request::Divide(1, 0)] {
        print!("{request:?}: ");
        println!("{:?}", ask(&address, request).await?);
    }
    println!("now you: {address}");
    Ok(server.await?)
}

/// Serves until it is dropped.
fn run(listener: Tcp) -> anyhow::Result<impl Future<Output = ()> + Send> {
    let service = ServiceBuilder::new()
        // What the service, or a frame that is no request, has gone wrong with.
        .layer(TypedLayer::json().on_error(|error| Response::Error(error.to_string())))
        .service_fn(calculate);
    // What no service can answer any more: that it panicked, or that its answer does not fit.
    let options = PipelineOptions::default().on_failure(|failure| {
        let response = Response::Error(failure.to_string());
        Json.write(&response).unwrap_or_default()
    });
    Ok(serve(listener, Shared::new(service))
        .framing(Lines::new()?)
        .pipeline(options)
        .into_future())
}

/// What another program does.
async fn ask(server: &Address, request: Request) -> anyhow::Result<Response> {
    let connection = Connection::new(dial(server).await?, Lines::new()?);
    let mut client = TypedClient::<_, Request, Response>::json(Client::new(connection));
    let response = client.ready().await?.call(request).await;
    response.context("the calculator does not answer")
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn people_may_write_as_they_like() -> anyhow::Result<()> {
        let request: Request = Json.read(b" { \"divide\" : [ 7, -2 ] } ")?;
        assert!(matches!(request, Request::Divide(7, -2)));
        Ok(())
    }

    #[tokio::test]
    async fn answers_programs_and_people() -> anyhow::Result<()> {
        let listener = Tcp::bind("127.0.0.1:0").await?;
        let address = listener.local_addr();
        tokio::spawn(run(listener)?);
        let error = |text: &str| Response::Error(text.into());
        for (request, response) in [
            (Request::Add(2, 3), Response::Result(5)),
            (Request::Add(i64::MAX, 1), error("the sum is too large")),
            (Request::Divide(7, 2), Response::Result(3)),
            (Request::Divide(7, 0), error("the request failed")),
        ] {
            assert_eq!(ask(&address, request).await?, response);
        }

        let mut person = dial(&address).await?;
        person
            .write_all(b"{\"add\":[2,3]}\nhello?\n{\"add\":[2]}\n")
            .await?;
        person.shutdown().await?;
        let mut lines = String::new();
        person.read_to_string(&mut lines).await?;
        assert_eq!(
            lines.lines().collect::<Vec<_>>(),
            [
                r#"{"result":5}"#,
                r#"{"error":"the frame cannot be read: expected value at line 1 column 1"}"#,
                r#"{"error":"the frame cannot be read: invalid length 1, expected tuple variant Request::Add with 2 elements at line 1 column 10"}"#,
            ]
        );
        Ok(())
    }
}
