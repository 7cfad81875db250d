//! Finds out why the issuer of a token is none of the configured ones: it is the same issuer under
//! another name, or another issuer.
//!
//! Anyone can write any name into a token. Without a valid signature, we only recommend a name that
//! differs in the slash at the end, or that the configured address itself publishes. What else looks
//! like the same issuer may be so, and the advice must not claim more.

use reqwest::Url;

use crate::{
    auth::{
        display::ShownText,
        keys::fetch::{FetchError, endpoint, is_loopback},
    },
    service::{
        api::errors::causes,
        cli::explain::{
            advice::Advice,
            facts::Facts,
            spelling::{difference, loose, without_slash},
            vendor::words,
        },
        config::Setting,
    },
};

pub(super) fn unknown(facts: &Facts<'_>) -> Advice {
    let Some(found) = facts.text("iss") else {
        return causes::OTHER_TENANT.into();
    };
    if found.is_empty() || found.trim() != found {
        return causes::ISSUER_BLANK.into();
    }
    let by_slash = |our: &&str| without_slash(our) == without_slash(found);
    if let Some(our) = facts.issuers().find(by_slash) {
        return Advice::from(causes::SLASH).with(renamed(facts, our, found));
    }
    if let Some(advice) = named_by_its_address(facts, found) {
        return advice;
    }
    let is_signed_by_ours = facts.held("signature");
    let only = || facts.issuers().next().filter(|_| is_only(facts));
    // only a valid signature proves that the other name belongs to our issuer
    let proved = || match only().filter(|_| is_signed_by_ours) {
        Some(our) => renamed(facts, our, found),
        None => Vec::new(),
    };
    if let Some(our) = facts.issuers().find(|our| loose(our) == loose(found)) {
        let advice = Advice::from(causes::SCHEME_OR_CASE).and(&difference(our, found));
        return match of_google(facts, our, found) {
            settings if settings.is_empty() => advice.with(proved()),
            settings => advice.with(settings),
        };
    }
    let auth0 = |issuer: &str| loose(issuer).ends_with(".auth0.com");
    if is_signed_by_ours && (auth0(found) || facts.issuers().any(auth0)) {
        // A custom domain has its own discovery document
        let setting = Setting::new("AUTH0_ISSUER", found);
        let settings = only().map_or_else(Vec::new, |_| facts.recommend(vec![setting]));
        return Advice::from(causes::CUSTOM_DOMAIN).with(settings);
    }
    if is_signed_by_ours {
        return Advice::from(causes::SAME_KEYS).with(proved());
    }
    // without a valid signature, nothing shows that the token comes from a tenant that we trust
    of_address(facts, found).unwrap_or_else(|| causes::OTHER_TENANT.into())
}

pub(super) fn is_only(facts: &Facts<'_>) -> bool {
    facts.issuers().count() == 1
}

/// The lines that replace the name `our` by `found`. If the keys were discovered under the
/// configured name, the lines keep their URL, since discovery would fail under the other name.
fn renamed(facts: &Facts<'_>, our: &str, found: &str) -> Vec<Setting> {
    let keys = facts.auth.discovered_keys(our);
    if keys.is_some() && !is_only(facts) {
        return Vec::new();
    }
    let names = facts
        .issuers()
        .map(|name| if name == our { found } else { name });
    let names: Vec<_> = names.collect();
    let issuers = Setting::new("AUTH0_ISSUER", names.join(","));
    let keys = keys.map(|url| Setting::new("AUTH0_JWKS_URI", url));
    facts.recommend([issuers].into_iter().chain(keys).collect())
}

/// The discovery document at a configured address has the name of the token's issuer.
fn named_by_its_address(facts: &Facts<'_>, found: &str) -> Option<Advice> {
    let errors = facts
        .issuers()
        .filter_map(|our| facts.auth.fetch_error(our));
    let keys = errors.into_iter().find_map(|error| match error {
        FetchError::WrongIssuer {
            name: Some(name),
            jwks_uri,
            ..
        } if *name == *found => Some(jwks_uri),
        _ => None,
    })?;
    let settings = match keys.filter(|_| is_only(facts)) {
        Some(keys) => facts.recommend(vec![
            Setting::new("AUTH0_ISSUER", found),
            Setting::new("AUTH0_JWKS_URI", keys),
        ]),
        None => Vec::new(),
    };
    Some(Advice::from(causes::NAME_OF_ADDRESS).with(settings))
}

/// Google writes its name with and without https.
fn of_google(facts: &Facts<'_>, our: &str, found: &str) -> Vec<Setting> {
    const BARE: &str = "accounts.google.com";
    const KEYS: &str = "https://www.googleapis.com/oauth2/v3/certs";
    if our != format!("https://{BARE}") || found != BARE || !is_only(facts) {
        return Vec::new();
    }
    let issuer = Setting::new("AUTH0_ISSUER", BARE);
    if facts.config.jwks_uri.is_some() || facts.config.jwks_file.is_some() {
        return facts.recommend(vec![issuer]);
    }
    facts.recommend(vec![issuer, Setting::new("AUTH0_JWKS_URI", KEYS)])
}

/// An issuer on this machine without TLS is one for development.
pub(super) fn is_local(issuer: &str) -> bool {
    Url::parse(issuer).is_ok_and(|url| url.scheme() == "http" && is_loopback(&url))
}

/// The parts of an issuer's URL.
struct Address {
    host: String,
    port: Option<u16>,
    path: String,
    /// The host is a name of this machine, at least within a container
    is_here: bool,
}

impl Address {
    fn of(issuer: &str) -> Option<Self> {
        let url = Url::parse(issuer).ok()?;
        let host = url.host_str()?.to_owned();
        if !["http", "https"].contains(&url.scheme()) {
            return None;
        }
        let is_here =
            is_loopback(&url) || ["0.0.0.0", "[::]", "host.docker.internal"].contains(&&*host);
        Some(Self {
            host,
            port: url.port_or_known_default(),
            path: without_slash(url.path()).to_owned(),
            is_here,
        })
    }

    /// The name of the realm, if this is a URL of Keycloak.
    fn realm(&self) -> Option<&str> {
        self.path.split_once("/realms/").map(|(_, realm)| realm)
    }

    /// `None` unless both are URLs of Keycloak
    fn has_same_realm(&self, other: &Self) -> Option<bool> {
        Some(self.realm()? == other.realm()?)
    }

    fn has_host_of(&self, other: &Self) -> bool {
        self.host == other.host || self.is_here && other.is_here
    }

    /// Names the parts that differ.
    fn difference(&self, other: &Self) -> String {
        let port = |address: &Self| address.port.map_or(String::new(), |port| port.to_string());
        let path = |address: &Self| match &*address.path {
            "" => "/".to_owned(),
            path => path.to_owned(),
        };
        let rows = [
            ("host", self.host.clone(), other.host.clone()),
            ("port", port(self), port(other)),
            ("path", path(self), path(other)),
        ];
        let names = rows.into_iter().filter(|(_, our, their)| our != their);
        let names = names.map(|(name, our, their)| {
            let (our, their) = (ShownText::new(&our), ShownText::new(&their));
            format!("in the {name}, {our} here and {their} in the token")
        });
        format!("They differ {}.", names.collect::<Vec<_>>().join(", and "))
    }
}

/// Compares the addresses of the issuers, if no valid signature says more.
fn of_address(facts: &Facts<'_>, found: &str) -> Option<Advice> {
    let theirs = Address::of(found)?;
    let ours = facts
        .issuers()
        .filter_map(|our| Some((our, Address::of(our)?)));
    let ours: Vec<_> = ours.collect();
    // The keys that we hold did not sign the token, so it is from somewhere else
    let has_other_keys = facts.failed("signature") || facts.has_unknown_kid();
    let nearest = |test: &dyn Fn(&Address) -> bool| ours.iter().find(|(_, our)| test(our));
    let says = |cause, our: &Address| Some(Advice::from(cause).and(&our.difference(&theirs)));
    let is_other_realm = |our: &Address| {
        our.has_host_of(&theirs)
            && our.port == theirs.port
            && our.has_same_realm(&theirs) == Some(false)
    };
    if let Some((_, our)) = nearest(&is_other_realm) {
        return says(words::KEYCLOAK_REALM, our);
    }
    let is_same_realm = |our: &Address| our.has_same_realm(&theirs) == Some(true);
    let has_prefix =
        |our: &Address| our.host == theirs.host && our.port == theirs.port && is_same_realm(our);
    if let Some((_, our)) = nearest(&has_prefix).filter(|_| !has_other_keys) {
        return says(words::KEYCLOAK_PATH, our);
    }
    let is_same_address = |our: &Address| {
        our.has_host_of(&theirs) && our.port == theirs.port && our.path == theirs.path
    };
    if !has_other_keys {
        if let Some((_, our)) = nearest(&is_same_address) {
            let advice = says(causes::NAME_OF_MACHINE, our)?;
            return Some(match endpoint(found) {
                Ok(_) => advice,
                // Plain http is only for loopback
                Err(_) => advice.fixed_by(NOT_FETCHED.to_owned()),
            });
        }
        if let Some((_, our)) = nearest(&is_same_realm) {
            return says(words::KEYCLOAK_ADDRESS, our);
        }
    }
    let is_other_path = |our: &Address| our.host == theirs.host && our.port == theirs.port;
    if let Some((_, our)) = nearest(&is_other_path) {
        return says(causes::OTHER_PATH, our);
    }
    if is_local(found) && facts.issuers().all(is_local) {
        let (_, our) = ours.first()?;
        // If only the port differs, the step for iss shows that
        if our.host == theirs.host && our.path == theirs.path {
            return Some(causes::OTHER_PORT.into());
        }
        return says(causes::OTHER_PORT, our);
    }
    None
}

/// The other name is one from which this service does not fetch.
const NOT_FETCHED: &str = "Fetch the token from the address that is configured here. Or write AUTH0_ISSUER exactly as the token has it in iss, and set AUTH0_JWKS_URI to the address of its keys at the configured address, because this service uses http only on loopback.";
