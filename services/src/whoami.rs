//! Tells a client who it is.

use crate::{Authed, Fields, Handle, Request, Response, Verb};

/// Answers [`Verb::WHOAMI`] with the identity's `name` and `rights`.
#[derive(Clone, Copy, Debug, Default)]
pub struct WhoAmI;

impl Handle<Authed<Request>> for WhoAmI {
    fn takes(&self, verb: &Verb) -> bool {
        *verb == Verb::WHOAMI
    }

    async fn handle(self, Authed { request, identity }: Authed<Request>) -> Response {
        if let Err(error) = request.arguments.only(&[]) {
            return crate::Status::from(error).into();
        }
        let details = Fields::new()
            .with("name", &identity.name)
            .with("rights", &identity.rights);
        Response::ok().with_details(details)
    }
}
