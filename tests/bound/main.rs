//! Tokens that are bound to a key or to a certificate, over HTTP (schemes, proofs, replay, nonces,
//! and `/auth` behind a proxy)

mod certificates;
mod challenges;
mod forwarded;
mod library;
mod nonces;
mod proofs;
mod reload;
mod replay;
mod revoked;
mod schemes;
mod shared;
#[path = "../support/mod.rs"]
mod support;

use warp_bearer::{
    auth::{
        Algorithm, Auth, Builder,
        dpop::{Dpop, DpopMode},
    },
    issuer::{Issuer, ProofBuilder, SigningKey, TokenBuilder},
    service::{Access, Cors, Limits, RequestLog, Shutdown, routes},
};

use crate::support::{
    Answer,
    raw::{Client, Service},
};

/// The URL that clients use. It isn't the test socket's address: the service must never derive it
/// from `Host`.
const PUBLIC_URL: &str = "https://api.example.com/v1";

const PRIVATE: &str = "https://api.example.com/v1/api/private";

/// An issuer, the service that trusts it, and a client with a key.
struct Bound {
    issuer: Issuer,
    auth: Auth,
    service: Service,
    client: Client,
    key: SigningKey,
}

impl Bound {
    async fn start(mode: DpopMode) -> Self {
        Self::with(|builder| builder.dpop(Dpop::new(mode, PUBLIC_URL))).await
    }

    async fn with(options: impl FnOnce(Builder) -> Builder) -> Self {
        Self::with_access(options, |access| access.forward_auth_paths = true).await
    }

    async fn with_access(
        options: impl FnOnce(Builder) -> Builder,
        adjust: impl FnOnce(&mut Access),
    ) -> Self {
        let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
        let builder = Auth::builder()
            .issuer(issuer.url())
            .audience(issuer.audience())
            .algorithms([Algorithm::ES256]);
        let auth = options(builder).build().unwrap();
        auth.ready().await;
        let mut access = Access::from(&auth);
        adjust(&mut access);
        let routes = routes(&access, &Shutdown::new());
        let service = Service::with(
            routes,
            Limits::default(),
            Some(Cors::Any),
            RequestLog::enabled(),
        )
        .await;
        let client = service.client().await;
        Self {
            issuer,
            auth,
            service,
            client,
            key: SigningKey::generate(Algorithm::ES256),
        }
    }

    fn token(&self) -> TokenBuilder {
        self.issuer.token().bound_to(&self.key)
    }

    /// A proof for GET [`PRIVATE`] with this token.
    fn proof(&self, token: &str) -> ProofBuilder {
        self.key.proof("GET", PRIVATE).token(token)
    }

    /// Sends GET to the private route, with the scheme `DPoP`.
    async fn send(&mut self, token: &str, proof: &str) -> Answer {
        let lines = format!("Authorization: DPoP {token}\r\nDPoP: {proof}\r\n");
        self.client.with_lines(lines.as_bytes()).await
    }

    /// Sends a request with these header lines, each ended by CRLF.
    async fn ask(&mut self, start: &str, lines: &str) -> Answer {
        let request = format!("{start} HTTP/1.1\r\nHost: evil.example\r\n{lines}\r\n");
        self.client.ask(request.as_bytes()).await
    }
}

/// Checks the code, and that there's exactly one challenge.
fn assert_refused(answer: &Answer, case: &str, scheme: &str, code: &str, error: &str) {
    assert_eq!(answer.status.as_u16(), 401, "{case}: {answer:?}");
    assert_eq!(answer.code(), code, "{case}");
    assert_eq!(answer.header("cache-control"), "no-store", "{case}");
    let challenges = challenges(answer);
    assert_eq!(challenges.len(), 1, "{case}: {challenges:?}");
    let start = format!("{scheme} realm=\"api\", error=\"{error}\", error_description=\"");
    assert!(challenges[0].starts_with(&start), "{case}: {challenges:?}");
    let names_algorithms = challenges[0].ends_with(r#", algs="ES256 ES384 EdDSA PS256 RS256""#);
    assert_eq!(names_algorithms, scheme == "DPoP", "{case}: {challenges:?}");
}

fn challenges(answer: &Answer) -> Vec<&str> {
    let fields = answer.headers.get_all("www-authenticate").iter();
    fields.map(|field| field.to_str().unwrap()).collect()
}
