//! The variables for introspection, and the checks of their combinations.

use std::{path::PathBuf, time::Duration};

use crate::{
    auth::{files, introspection::Introspection},
    service::config::{
        cross_checks::OUTER_BLANKS,
        reader::Reader,
        types::{IntrospectionMode, Secret},
        variables::{
            AUTH0_INTROSPECTION, AUTH0_INTROSPECTION_CLIENT_ID, AUTH0_INTROSPECTION_CLIENT_SECRET,
            AUTH0_INTROSPECTION_KEY_FILE, AUTH0_INTROSPECTION_TTL, AUTH0_INTROSPECTION_URI,
            ISSUERS_FILE,
        },
    },
};

/// The settings for introspection at the single issuer.
#[derive(Debug, Clone)]
pub struct IntrospectionConfig {
    /// True if verified JWTs are introspected too.
    pub always: bool,
    /// The endpoint. Defaults to the one from discovery.
    pub uri: Option<String>,
    /// Our client ID at the issuer.
    pub client_id: String,
    /// The credential of this client.
    pub proof: ClientProof,
    /// How long an active response is cached. Defaults to 30 s.
    pub ttl: Duration,
}

/// The credential of a client.
#[derive(Debug, Clone)]
pub enum ClientProof {
    /// A secret.
    Secret(Secret),
    /// A file that contains the secret.
    SecretFile(PathBuf),
    /// A file that contains a private key in PEM.
    KeyFile(PathBuf),
}

impl From<&IntrospectionConfig> for Introspection {
    fn from(config: &IntrospectionConfig) -> Self {
        let mut options = if config.always {
            Self::always(&config.client_id)
        } else {
            Self::opaque(&config.client_id)
        };
        // The checks at the start have read these files. If one was removed since then, its text is
        // empty here, and we get a setup error.
        let read = |path| files::read_to_string(path).unwrap_or_default();
        options = match &config.proof {
            ClientProof::Secret(secret) => options.client_secret(secret.as_str()),
            ClientProof::SecretFile(path) => options.client_secret(read(path).trim_end()),
            ClientProof::KeyFile(path) => options.client_key(read(path)),
        };
        if let Some(uri) = &config.uri {
            options = options.uri(uri);
        }
        options.ttl(config.ttl)
    }
}

/// `None` if introspection is off or invalid
pub(super) fn read(reader: &mut Reader, issuers: &[String]) -> Option<IntrospectionConfig> {
    let mode = reader.value(&AUTH0_INTROSPECTION);
    let uri = reader.optional(&AUTH0_INTROSPECTION_URI);
    let client_id = reader.optional(&AUTH0_INTROSPECTION_CLIENT_ID);
    let secret = reader.optional(&AUTH0_INTROSPECTION_CLIENT_SECRET);
    let key_file = reader.optional(&AUTH0_INTROSPECTION_KEY_FILE);
    let ttl = reader.value(&AUTH0_INTROSPECTION_TTL);
    let name = AUTH0_INTROSPECTION.name();
    if reader.is_set(ISSUERS_FILE.name()) {
        // The issuers file has its own options. `cross_checks` has reported the variables that
        // conflict with it.
        return None;
    }
    if mode == IntrospectionMode::Off {
        for unused in reader.names("AUTH0_INTROSPECTION_") {
            if !reader.has_fault(name) {
                let text =
                    "not used, because AUTH0_INTROSPECTION is off; set it to opaque or always";
                reader.warn(&unused, text);
            }
        }
        return None;
    }
    if issuers.len() > 1 {
        let text = "set, but AUTH0_ISSUER has several issuers, and only one may be asked; remove it, or keep one issuer";
        reader.fault(name, text);
    }
    let (id, given) = (AUTH0_INTROSPECTION_CLIENT_ID.name(), "AUTH0_INTROSPECTION_");
    if !reader.is_set(id) {
        reader.missing(&[id], "set it to the client ID that introspection uses");
    }
    let secret_name = AUTH0_INTROSPECTION_CLIENT_SECRET.name();
    let key_name = AUTH0_INTROSPECTION_KEY_FILE.name();
    match (reader.is_set(secret_name), reader.is_set(key_name)) {
        (false, false) => reader.missing(
            &[secret_name, key_name],
            "set it to that client's secret, or set AUTH0_INTROSPECTION_KEY_FILE to its private key",
        ),
        (true, true) => reader.fault(
            key_name,
            format_args!("set together with {given}CLIENT_SECRET; keep one of them"),
        ),
        _ => {}
    }
    if secret.as_ref().is_some_and(Secret::has_outer_blanks) {
        reader.warn(secret_name, OUTER_BLANKS);
    }
    let proof = match (secret, key_file) {
        (Some(secret), _) => ClientProof::Secret(secret),
        (None, file) => ClientProof::KeyFile(file?),
    };
    Some(IntrospectionConfig {
        always: mode == IntrospectionMode::Always,
        uri,
        client_id: client_id?,
        proof,
        ttl,
    })
}
