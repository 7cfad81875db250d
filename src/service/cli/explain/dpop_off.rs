//! How to enable DPoP, where it is off.

use crate::{
    auth::dpop::DpopMode,
    service::{
        api::errors::causes,
        cli::explain::advice::Advice,
        config::{Config, Environment, Setting},
    },
};

/// Advice for a token that is bound to a key, where DPoP is off. `config` is that of the token's
/// issuer.
pub(super) fn dpop_is_off(config: &Config, environment: &Environment) -> Advice {
    let (enable, settings) = enable(config, environment);
    let (first, rest) = enable.split_at(1);
    let first = first.to_ascii_uppercase();
    let others = causes::DPOP_BOUND.fix.split_once(". ");
    let others = others.map_or("", |(_, others)| others);
    let fix = format!("{first}{rest}, which enables DPoP. {others}");
    Advice::from(causes::DPOP_BOUND)
        .fixed_by(fix)
        .with(settings)
}

/// What enables DPoP, as an imperative clause, and its line of configuration.
pub(super) fn enable(config: &Config, environment: &Environment) -> (&'static str, Vec<Setting>) {
    let is_off = |mode: Option<DpopMode>| mode == Some(DpopMode::Off);
    let is_off_in_file =
        !config.tables.is_empty() && config.tables.iter().all(|table| is_off(table.dpop));
    let is_known = config.dpop.public_url.is_some();
    let enable = match (is_off_in_file, is_known) {
        (true, true) => "set the option dpop of the issuer's table to allowed",
        (true, false) => {
            "set the option dpop of the issuer's table to allowed, and PUBLIC_URL to the URL that clients use for this service"
        }
        (false, true) => "set AUTH0_DPOP to allowed",
        (false, false) if environment.get("AUTH0_DPOP").is_some() => {
            "set AUTH0_DPOP to allowed, and PUBLIC_URL to the URL that clients use for this service"
        }
        (false, false) => "set PUBLIC_URL to the URL that clients use for this service",
    };
    let settings = if !is_off_in_file && is_known {
        environment.recommend(vec![Setting::new("AUTH0_DPOP", "allowed")])
    } else {
        Vec::new()
    };
    (enable, settings)
}
