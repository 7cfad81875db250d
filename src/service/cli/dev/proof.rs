//! `dev --proof`: prints a DPoP proof, since curl cannot sign.
//!
//! The key is known to everybody, like the client's secret: tokens that are bound to it are valid only for
//! the `dev` on this machine. So `dev --token` and `dev --proof` have the same key without a file.

use crate::{issuer::SigningKey, service::cli::failure::Failure};

/// Returns the key of `dev`'s client.
pub(in crate::service) fn key() -> SigningKey {
    SigningKey::from_seed(b"the DPoP key of warp-bearer dev.")
}

/// Prints the proof for a request of `target`, a method and a URL.
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
    let mut proof = key().proof(method, url).token(token.trim());
    if let Some(nonce) = nonce {
        proof = proof.nonce(nonce);
    }
    println!("{}", proof.sign());
    Ok(())
}
