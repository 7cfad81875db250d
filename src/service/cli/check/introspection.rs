//! Checks introspection with a made-up token. The expected response is `active: false`.

use crate::{
    auth::{Auth, introspection::client::IntrospectionError},
    service::cli::{check::report::Section, terminal::Mark},
};

/// `None` if introspection is off.
pub(in crate::service) async fn check(auth: &Auth, on_request: impl Fn(&str)) -> Option<Section> {
    if auth.introspection_status().is_empty() {
        return None;
    }
    on_request("introspection");
    let mut section = Section::new("Introspection");
    for (issuer, outcome) in auth.probe_introspection().await {
        match outcome {
            Ok(()) => {
                let text = "accepts the credentials, and answers that a made-up token is inactive";
                section.add_more(Mark::Good, "endpoint", text, issuer);
            }
            Err(error @ IntrospectionError::Denied(..)) => {
                let more = "set AUTH0_INTROSPECTION_CLIENT_ID and the secret or key to those of a \
                            client that is allowed to introspect";
                section.add_more(Mark::Bad, "endpoint", error.to_string(), more);
            }
            Err(error @ IntrospectionError::NoEndpoint(_)) => {
                let more = "set AUTH0_INTROSPECTION_URI to the endpoint";
                section.add_more(Mark::Bad, "endpoint", error.to_string(), more);
            }
            Err(error @ IntrospectionError::AcceptsMadeUp(_)) => {
                let more = "whoever makes up a token could use the API; set \
                            AUTH0_INTROSPECTION_URI to an endpoint that knows the issuer's tokens, \
                            or AUTH0_INTROSPECTION=off";
                section.add_more(Mark::Bad, "endpoint", error.to_string(), more);
            }
            Err(error) => section.add_more(Mark::Bad, "endpoint", error.to_string(), issuer),
        }
    }
    Some(section)
}
