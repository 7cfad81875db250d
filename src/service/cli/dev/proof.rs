//! `dev --proof`: prints a DPoP proof (curl can't sign one).
//!
//! The key is fixed, so that `dev --token` and `dev --proof` can share it without a file. Like the
//! client's secret, it is public, but tokens bound to it are only valid for the `dev` on this
//! machine.

use warp::http::Uri;

use crate::{
    issuer::SigningKey,
    service::cli::{failure::Failure, terminal},
};

pub(in crate::service) fn key() -> SigningKey {
    SigningKey::from_seed(b"the DPoP key of warp-bearer dev.")
}

/// `target` is a method and a URL.
pub(in crate::service) fn run(
    target: &[String],
    token: &str,
    nonce: Option<&str>,
) -> Result<(), Failure> {
    let [method, url] = target else {
        return Err(Failure::Usage(
            "--proof takes a method and a URL".to_owned(),
        ));
    };
    let is_absolute = |url: &Uri| url.scheme().is_some() && url.host().is_some();
    if !url.parse().is_ok_and(|url| is_absolute(&url)) {
        return Err(Failure::Usage(
            "--proof: give the whole URL, such as http://127.0.0.1:8000/api/private\n".to_owned(),
        ));
    }
    let mut proof = key().proof(method, url).token(token.trim());
    if let Some(nonce) = nonce {
        proof = proof.nonce(nonce);
    }
    terminal::print_line(proof.sign())
}
