//! Checks the state store: connects as the service would, and changes nothing but the store's birth
//! time, which every connection sets.

use crate::service::{
    cli::{auth, check::report::Section, revocations, terminal::Mark},
    config::Config,
};

/// Returns the findings. `None` if no store is configured.
pub(in crate::service) async fn check(
    config: &Config,
    on_request: impl Fn(&str),
) -> Option<Section> {
    config.state_store.url.as_ref()?;
    on_request("the state store");
    let mut section = Section::new("State store");
    match revocations::connect(&auth::store(config)).await {
        Ok(()) => section.add(Mark::Good, "", "accepts the connection and writes"),
        Err(_) => section.add_more(
            Mark::Bad,
            "",
            "cannot be reached, rejects the credentials, or does not write",
            "until it does, requests with a proof are answered with 503, and so is every request with \
             a token until the list of revocations was read; the log of the service has the reason",
        ),
    }
    Some(section)
}
