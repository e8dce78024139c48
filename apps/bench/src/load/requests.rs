//! The bytes of a batch of requests, for each kind of server.

use std::{
    io::{Read, Write},
    net::TcpStream,
    pin::Pin,
};

use anyhow::{Context, ensure};
use clap::ValueEnum;
use tarpc::{
    ClientMessage, Request, Response, context,
    tokio_serde::{Serializer, formats::Bincode},
};

use crate::servers::{ECHO, EchoRequest, EchoResponse, NAME, PASSWORD};

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Speaks {
    /// A `u32` length in front of the payload.
    U32,
    /// The same, and the payload begins with a tag.
    Tagged,
    /// A `u32` length in front of the payload, once somebody has logged in.
    Login,
    /// Our native dialect behind a `u32` length, once somebody has logged in.
    Native,
    /// tarpc's requests in bincode, each behind a `u32` length.
    Tarpc,
}

/// What is written at once, and what comes back.
pub struct Batch {
    pub bytes: Vec<u8>,
    pub depth: usize,
    /// Bytes of one answer.
    pub answer: usize,
}

impl Speaks {
    /// Its name on the command line.
    pub fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// What is said once, in front of all requests: logs in, where that is wanted.
    pub fn introduce(self, mut stream: &TcpStream) -> anyhow::Result<()> {
        let (login, welcome) = match self {
            Self::U32 | Self::Tagged | Self::Tarpc => return Ok(()),
            Self::Login => (format!("{NAME} {PASSWORD}"), "ok".to_owned()),
            Self::Native => (
                format!(r#"{{"verb":"login","args":{{"name":"{NAME}","password":"{PASSWORD}"}}}}"#),
                format!(r#"{{"status":"ok","details":{{"name":"{NAME}","rights":["read"]}}}}"#),
            ),
        };
        stream.write_all(&framed(login.as_bytes()))?;
        let mut answer = vec![0; 4 + welcome.len()];
        stream.read_exact(&mut answer).context("no login")?;
        ensure!(answer == framed(welcome.as_bytes()), "the login failed");
        Ok(())
    }

    pub fn batch(self, depth: usize, payload: usize) -> anyhow::Result<Batch> {
        let payload = vec![b'x'; payload];
        let mut bytes = Vec::new();
        let mut answer = 0;
        for index in 0..depth {
            let (request, response) = match self {
                Self::U32 | Self::Login => (payload.clone(), payload.len()),
                Self::Native => native(&payload),
                Self::Tagged => {
                    let mut tagged = payload.clone();
                    // Zero is one that is not answered.
                    tagged.splice(..4.min(payload.len()), (index as u32 + 1).to_be_bytes());
                    let length = tagged.len();
                    (tagged, length)
                }
                Self::Tarpc => tarpc(index as u64, &payload)?,
            };
            bytes.extend_from_slice(&framed(&request));
            answer = 4 + response;
        }
        Ok(Batch {
            bytes,
            depth,
            answer,
        })
    }
}

/// A `u32` length in front.
fn framed(frame: &[u8]) -> Vec<u8> {
    [&(frame.len() as u32).to_be_bytes()[..], frame].concat()
}

/// A request of the native dialect, and the length of its answer.
fn native(payload: &[u8]) -> (Vec<u8>, usize) {
    let text = String::from_utf8_lossy(payload);
    let request = format!(r#"{{"verb":"{ECHO}","args":{{"text":"{text}"}}}}"#);
    let response = format!(r#"{{"status":"ok","details":{{"text":"{text}"}}}}"#);
    (request.into(), response.len())
}

/// A request as tarpc's own client writes it, and the length of its answer.
fn tarpc(id: u64, payload: &[u8]) -> anyhow::Result<(Vec<u8>, usize)> {
    let mut context = context::current();
    context.deadline += std::time::Duration::from_secs(3600);
    let request = ClientMessage::Request(Request {
        context,
        id,
        message: EchoRequest::Echo {
            payload: payload.to_vec(),
        },
    });
    let mut format = Bincode::<ClientMessage<EchoRequest>, ClientMessage<EchoRequest>>::default();
    let request = Pin::new(&mut format).serialize(&request)?.to_vec();
    let response = Response {
        request_id: id,
        message: Ok(EchoResponse::Echo(payload.to_vec())),
    };
    let mut format = Bincode::<Response<EchoResponse>, Response<EchoResponse>>::default();
    let response = Pin::new(&mut format).serialize(&response)?.len();
    Ok((request, response))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_batch_has_as_many_requests_as_it_is_deep() {
        let batch = Speaks::U32.batch(3, 5).unwrap();
        assert_eq!(batch.bytes, b"\0\0\0\x05xxxxx".repeat(3));
        assert_eq!((batch.depth, batch.answer), (3, 9));
    }

    #[test]
    fn each_tag_stands_once_and_none_is_zero() {
        let batch = Speaks::Tagged.batch(64, 64).unwrap();
        let tags: HashSet<&[u8]> = batch.bytes.chunks(68).map(|frame| &frame[4..8]).collect();
        assert_eq!(tags.len(), 64);
        assert!(!tags.contains(&[0; 4][..]));
    }

    #[test]
    fn tarpc_answers_all_requests_with_as_many_bytes() {
        let lengths: HashSet<usize> = (0..64).map(|id| tarpc(id, &[0; 64]).unwrap().1).collect();
        assert_eq!(lengths.len(), 1);
    }
}
