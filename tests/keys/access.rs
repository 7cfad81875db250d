//! Options for fetches from one issuer: a file with certificate authorities, and a file with a
//! token.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rcgen::CertifiedKey;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::aws_lc_rs, pki_types::PrivatePkcs8KeyDer},
};
use warp::{Filter, reply::Response};
use warp_bearer::{
    auth::{
        Algorithm, Auth, AuthError, TrustedIssuer, claims::NoPrivate, handle_rejection,
        introspection::Introspection,
    },
    issuer::SigningKey,
    service::{
        Limits, Listener, RequestLog, Shutdown, Tls,
        http::tls::{ClientAuth, Files},
        serve,
    },
};

/// A TLS server that records the `Authorization` of each request for its metadata and its key set.
struct Server {
    address: SocketAddr,
    directory: TempDir,
    asked: Asked,
    key: SigningKey,
}

impl Server {
    /// Starts a server whose metadata have this `jwks_uri`. `{}` in it becomes the server's own
    /// origin.
    async fn start(jwks_uri: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let files = Files {
            certificate: directory.path().join("tls.crt"),
            key: directory.path().join("tls.key"),
            clients: ClientAuth::Off,
        };
        fs::write(&files.certificate, cert.pem()).unwrap();
        fs::write(&files.key, signing_key.serialize_pem()).unwrap();
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.address().unwrap();
        let listener = listener.with_tls(Tls::load(files).unwrap());
        let origin = format!("https://localhost:{}", address.port());
        let metadata = json!({"issuer": origin, "jwks_uri": jwks_uri.replace("{}", &origin)});
        let key = SigningKey::generate(Algorithm::ES256);
        let jwks = json!({"keys": [key.public_jwk()]});
        let asked = Arc::default();
        let routes = document("jwks", jwks, &asked)
            .or(document("openid-configuration", metadata, &asked))
            .unify()
            .recover(handle_rejection)
            .unify();
        let limits = Limits::default();
        let log = RequestLog::disabled();
        tokio::spawn(serve(listener, routes, limits, None, log, Shutdown::new()));
        Self {
            address,
            directory,
            asked,
            key,
        }
    }

    fn issuer(&self) -> TrustedIssuer {
        TrustedIssuer::new(self.origin())
    }

    fn origin(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    fn ca_file(&self) -> PathBuf {
        self.directory.path().join("tls.crt")
    }

    fn asked(&self) -> Vec<(String, Option<String>)> {
        self.asked.lock().unwrap().clone()
    }
}

type Asked = Arc<Mutex<Vec<(String, Option<String>)>>>;

fn document(
    name: &'static str,
    document: Value,
    asked: &Asked,
) -> warp::filters::BoxedFilter<(Response,)> {
    let asked = Arc::clone(asked);
    let path = match name {
        "jwks" => warp::path("jwks").boxed(),
        name => warp::path(".well-known").and(warp::path(name)).boxed(),
    };
    path.and(warp::header::optional("authorization"))
        .map(move |token: Option<String>| {
            asked.lock().unwrap().push((name.to_owned(), token));
            warp::Reply::into_response(warp::reply::json(&document))
        })
        .boxed()
}

fn auth(issuer: TrustedIssuer) -> Auth {
    let auth = Auth::builder().issuer(issuer).audience("urn:a");
    let auth = auth.algorithms([Algorithm::ES256]);
    auth.jwks_timeout(Duration::from_secs(20)).build().unwrap()
}

/// Waits for the keys. If there are none, returns the error of the last fetch.
async fn outcome(auth: &Auth) -> Result<(), String> {
    loop {
        let status = &auth.status()[0];
        if status.keys > 0 {
            return Ok(());
        }
        if let Some(error) = &status.last_error {
            return Err(error.clone());
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trusts_only_the_authorities_in_the_file() {
    let server = Server::start("{}/jwks").await;
    let other = Server::start("{}/jwks").await;
    assert_eq!(
        outcome(&auth(server.issuer().ca_file(server.ca_file()))).await,
        Ok(())
    );
    for (case, issuer) in [
        ("the system's", server.issuer()),
        ("another's", server.issuer().ca_file(other.ca_file())),
        (
            "none in the file",
            server
                .issuer()
                .ca_file(server.directory.path().join("tls.key")),
        ),
        ("no file", server.issuer().ca_file("/nowhere/ca.pem")),
    ] {
        assert!(outcome(&auth(issuer)).await.is_err(), "{case}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sends_the_token_to_the_issuers_addresses_and_rereads_it() {
    let server = Server::start("{}/jwks").await;
    let token = server.directory.path().join("token");
    fs::write(&token, "first\n").unwrap();
    let issuer = server
        .issuer()
        .ca_file(server.ca_file())
        .fetch_token_file(&token);
    let auth = auth(issuer);
    assert_eq!(outcome(&auth).await, Ok(()));
    let sent = |name: &str, token: &str| (name.to_owned(), Some(format!("Bearer {token}")));
    let first = [sent("openid-configuration", "first"), sent("jwks", "first")];
    assert_eq!(server.asked(), first);

    fs::write(&token, "second").unwrap();
    auth.refresh();
    while server.asked().len() < 4 {
        tokio::task::yield_now().await;
    }
    let second = [
        sent("openid-configuration", "second"),
        sent("jwks", "second"),
    ];
    assert_eq!(server.asked()[2..], second);
}

#[tokio::test(flavor = "multi_thread")]
async fn does_not_send_the_token_to_addresses_from_metadata() {
    let keys = Server::start("{}/jwks").await;
    let server = Server::start(&format!("{}/jwks", keys.origin())).await;
    let both = server.directory.path().join("both.pem");
    let pem = |server: &Server| fs::read_to_string(server.ca_file()).unwrap();
    fs::write(&both, pem(&server) + &pem(&keys)).unwrap();
    let token = server.directory.path().join("token");
    fs::write(&token, "secret").unwrap();
    let own = || server.issuer().ca_file(&both).fetch_token_file(&token);
    assert_eq!(outcome(&auth(own())).await, Ok(()));
    assert_eq!(server.asked()[0].1.as_deref(), Some("Bearer secret"));
    assert_eq!(keys.asked(), [("jwks".to_owned(), None)]);

    // a configured address gets the token too: it's the operator's choice
    let configured = own().jwks_uri(format!("{}/jwks", keys.origin()));
    assert_eq!(outcome(&auth(configured)).await, Ok(()));
    assert_eq!(keys.asked()[1].1.as_deref(), Some("Bearer secret"));
    assert_ne!(keys.key.kid(), server.key.kid());
}

#[tokio::test(flavor = "multi_thread")]
async fn unreadable_fetch_token_fails_the_fetch() {
    let server = Server::start("{}/jwks").await;
    let bad = server.directory.path().join("bad");
    fs::write(&bad, "a\nb").unwrap();
    for (token, reason) in [
        (bad.as_path(), "is not one line of text"),
        (std::path::Path::new("/nowhere/token"), "does not exist"),
    ] {
        let issuer = server.issuer().ca_file(server.ca_file());
        let auth = auth(issuer.fetch_token_file(token));
        let error = outcome(&auth).await.unwrap_err();
        assert!(error.contains(reason), "{error}");
    }
    assert!(server.asked().is_empty());
}

/// An issuer whose introspection endpoint answers just one request per connection, so that each
/// request needs a new handshake and we notice when its certificate is replaced.
struct Introspecting {
    address: SocketAddr,
    certificate: Arc<Mutex<Arc<ServerConfig>>>,
    ca_file: tempfile::NamedTempFile,
}

impl Introspecting {
    async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let (config, pem) = self_signed();
        let ca_file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&ca_file, pem).unwrap();
        let started = Self {
            address: listener.local_addr().unwrap(),
            certificate: Arc::new(Mutex::new(config)),
            ca_file,
        };
        let (origin, certificate) = (started.origin(), Arc::clone(&started.certificate));
        let metadata = json!({
            "issuer": origin,
            "jwks_uri": format!("{origin}/jwks"),
            "introspection_endpoint": format!("{origin}/introspect"),
        });
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let config = Arc::clone(&certificate.lock().unwrap());
                let metadata = metadata.to_string();
                tokio::spawn(async move {
                    let mut stream = TlsAcceptor::from(config).accept(stream).await.unwrap();
                    let mut head = vec![0; 4096];
                    let read = stream.read(&mut head).await.unwrap_or_default();
                    let body = match &head[..read] {
                        head if head.starts_with(b"POST /introspect ") => r#"{"active":false}"#,
                        head if head.starts_with(b"GET /.well-known/") => &metadata,
                        _ => r#"{"keys":[]}"#,
                    };
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    stream.write_all(answer.as_bytes()).await.unwrap();
                    let _ = stream.shutdown().await;
                });
            }
        });
        started
    }

    fn origin(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// Replaces the certificate, then the file that makes it trusted.
    fn replace_certificate(&self) {
        let (config, pem) = self_signed();
        *self.certificate.lock().unwrap() = config;
        fs::write(&self.ca_file, pem).unwrap();
    }
}

fn self_signed() -> (Arc<ServerConfig>, String) {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key.into())
        .unwrap();
    (Arc::new(config), cert.pem())
}

#[tokio::test(flavor = "multi_thread")]
async fn introspection_rereads_the_authorities_after_a_failed_handshake() {
    for is_configured in [false, true] {
        let server = Introspecting::start().await;
        let mut introspection = Introspection::opaque("api").client_secret("secret");
        if is_configured {
            introspection = introspection.uri(format!("{}/introspect", server.origin()));
        }
        let issuer = TrustedIssuer::new(server.origin())
            .ca_file(server.ca_file.path())
            .introspection(introspection);
        let auth = auth(issuer);
        // Answers are cached, so each request needs a new token
        let until_answered = async |prefix: &str| {
            let begin = Instant::now();
            for number in 0.. {
                let token = format!("{prefix}-token-{number:08}");
                match auth.verify::<NoPrivate>(&token).await.unwrap_err() {
                    AuthError::TokenInactive => return,
                    error => assert_eq!(error.code(), "introspection_unavailable"),
                }
                let waited = begin.elapsed();
                assert!(waited < Duration::from_secs(20), "{prefix} {is_configured}");
            }
        };
        until_answered("first").await;
        server.replace_certificate();
        until_answered("second").await;
    }
}
