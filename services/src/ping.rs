//! Answers, and nothing else: shows that a server is there.

use crate::{Handle, Request, Response, Verb};

/// Answers [`Verb::PING`]. It tells nothing, so it may stand outside of a login.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ping;

impl Handle<Request> for Ping {
    fn takes(&self, verb: &Verb) -> bool {
        *verb == Verb::PING
    }

    async fn handle(self, request: Request) -> Response {
        match request.arguments.only(&[]) {
            Ok(()) => Response::ok(),
            Err(error) => Response::from(crate::Status::from(error)),
        }
    }
}
