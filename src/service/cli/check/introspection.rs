//! Checks introspection: asks the endpoint about a token that nobody issued. `active: false` is
//! success.

use std::time::Instant;

use crate::{
    auth::introspection::client::AskError,
    service::{
        cli::{auth, check::report::Section, terminal::Mark},
        config::Config,
    },
};

/// Returns the findings. `None` if introspection is off.
pub(in crate::service) async fn check(
    config: &Config,
    on_request: impl Fn(&str),
) -> Option<Section> {
    config.introspection.as_ref()?;
    let mut section = Section::new("Introspection");
    let auth = match auth::builder(config).build() {
        Ok(auth) => auth,
        Err(error) => {
            section.add(Mark::Bad, "", error.to_string());
            return Some(section);
        }
    };
    on_request("introspection");
    let began = Instant::now();
    let probed = auth.probe_introspection().await?;
    let took = format!("{} ms", began.elapsed().as_millis());
    match probed {
        Ok(()) => {
            let text = "accepts the credentials, and calls a made-up token inactive";
            section.add_more(Mark::Good, "endpoint", text, took);
        }
        Err(error @ AskError::Denied(..)) => {
            let more = "AUTH0_INTROSPECTION_CLIENT_ID and its secret or key are not those of a client that \
                 may introspect";
            section.add_more(Mark::Bad, "endpoint", error.to_string(), more);
        }
        Err(error @ AskError::NoEndpoint(_)) => {
            let more = "AUTH0_INTROSPECTION_URI names one";
            section.add_more(Mark::Bad, "endpoint", error.to_string(), more);
        }
        Err(error) => section.add(Mark::Bad, "endpoint", error.to_string()),
    }
    Some(section)
}
