//! Tokens that are bound to the client's certificate. It comes from the service's own TLS, or
//! from a header field of the proxy.

use std::{fs, net::SocketAddr, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CertifiedKey, IsCa, KeyPair,
    generate_simple_self_signed,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore, SignatureScheme, SupportedProtocolVersion,
        client::ResolvesClientCert,
        crypto::{self, aws_lc_rs::sign::any_supported_type},
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
        sign::CertifiedKey as Identity,
        version::{TLS12, TLS13},
    },
};
use warp::{Filter, http::Request};
use warp_bearer::{
    auth::{
        Algorithm, Auth, AuthError, BearerFilterExt, CertificateSource, Claims, ClientCertificate,
        RequestHead, claims::NoPrivate, dpop::Dpop, with_auth,
    },
    issuer::{Issuer, TokenBuilder},
    service::{
        Access, Limits, Listener, RequestLog, Shutdown, Tls,
        http::tls::{ClientAuth, Files},
        routes, serve,
    },
};

use crate::{Bound, PRIVATE, PUBLIC_URL};

/// A certificate and the client's key, which may not even belong to it.
#[derive(Debug, Clone)]
struct Shown {
    chain: Vec<CertificateDer<'static>>,
    key: String,
}

impl Shown {
    fn self_signed() -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["client".to_owned()]).unwrap();
        Self {
            chain: vec![cert.der().clone()],
            key: signing_key.serialize_pem(),
        }
    }

    /// A self-signed certificate for a key of this kind.
    fn with_key(key: &KeyPair) -> Self {
        let params = CertificateParams::new(["client".to_owned()]).unwrap();
        Self {
            chain: vec![params.self_signed(key).unwrap().der().clone()],
            key: key.serialize_pem(),
        }
    }

    /// An X.509 v1 certificate. rcgen only makes v3.
    fn version_1() -> Self {
        let pem = include_str!("../vectors/x509_v1.pem");
        Self {
            chain: vec![CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()],
            key: pem.to_owned(),
        }
    }

    fn der(&self) -> &[u8] {
        &self.chain[0]
    }
}

/// Presents a certificate even if the key doesn't belong to it.
#[derive(Debug)]
struct Shows(Arc<Identity>);

impl ResolvesClientCert for Shows {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<Identity>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// A service that requests a client certificate.
struct Mutual {
    issuer: Issuer,
    address: SocketAddr,
    certificate: CertificateDer<'static>,
    served: JoinHandle<()>,
    _folder: TempDir,
}

impl Mutual {
    async fn start(authorities: Option<String>) -> Self {
        let folder = TempDir::new().unwrap();
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let [certificate, key, clients] =
            ["tls.crt", "tls.key", "clients.crt"].map(|name| folder.path().join(name));
        fs::write(&certificate, cert.pem()).unwrap();
        fs::write(&key, signing_key.serialize_pem()).unwrap();
        let authorities = authorities.map(|pem| {
            fs::write(&clients, pem).unwrap();
            clients
        });
        let tls = Tls::load(Files {
            certificate,
            key,
            clients: ClientAuth::Request { authorities },
        });
        let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
        let auth = Auth::builder()
            .issuer(issuer.url())
            .audience(issuer.audience())
            .algorithms([Algorithm::ES256])
            .client_certificates(CertificateSource::Connection)
            .build()
            .unwrap();
        auth.ready().await;
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.address().unwrap();
        let shutdown = Shutdown::new();
        let access = Access {
            forward_auth_paths: true,
            ..Access::from(&auth)
        };
        let served = tokio::spawn(serve(
            listener.with_tls(tls.unwrap()),
            routes(&access, &shutdown),
            Limits::default(),
            None,
            RequestLog::enabled(),
            shutdown,
        ));
        Self {
            issuer,
            address,
            certificate: cert.der().clone(),
            served,
            _folder: folder,
        }
    }

    fn client(
        &self,
        shown: Option<&Shown>,
        version: &'static SupportedProtocolVersion,
    ) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let provider = Arc::new(crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots);
        let config = match shown {
            None => config.with_no_client_auth(),
            Some(shown) => {
                let key = PrivateKeyDer::from_pem_slice(shown.key.as_bytes()).unwrap();
                let key = any_supported_type(&key).unwrap();
                let identity = Identity::new(shown.chain.clone(), key);
                config.with_client_cert_resolver(Arc::new(Shows(Arc::new(identity))))
            }
        };
        TlsConnector::from(Arc::new(config))
    }

    /// Returns the status and code of a request over a new connection, or `None` if the handshake
    /// failed.
    async fn ask(&self, client: &TlsConnector, path: &str, token: &str) -> Option<String> {
        let tcp = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = client.connect(name, tcp).await.ok()?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
             Connection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        let read = timeout(Duration::from_secs(20), stream.read_to_string(&mut answer));
        read.await.unwrap().ok()?;
        let status = answer.get(9..12)?.to_owned();
        let code = answer.split(r#""code":""#).nth(1);
        let code = code.and_then(|rest| rest.split('"').next());
        Some(format!("{status} {}", code.unwrap_or_default()))
    }
}

impl Drop for Mutual {
    fn drop(&mut self) {
        self.served.abort();
    }
}

#[tokio::test]
async fn accepts_a_token_only_with_its_certificate() {
    let service = Mutual::start(None).await;
    let (mine, other) = (Shown::self_signed(), Shown::self_signed());
    let thief = Shown {
        key: other.key.clone(),
        ..mine.clone()
    };
    let bound = service
        .issuer
        .token()
        .bound_to_certificate(mine.der())
        .sign();
    let plain = service.issuer.token().sign();
    for version in [&TLS13, &TLS12] {
        for (case, shown, token, expected) in [
            ("its certificate", Some(&mine), &bound, Some("200 ")),
            ("another one", Some(&other), &bound, Some("401 token_bound")),
            ("none", None, &bound, Some("401 token_bound")),
            (
                "its certificate without the key",
                Some(&thief),
                &bound,
                None,
            ),
            ("a plain token", Some(&other), &plain, Some("200 ")),
            (
                "a plain token without a certificate",
                None,
                &plain,
                Some("200 "),
            ),
        ] {
            let client = service.client(shown, version);
            let found = service.ask(&client, "/api/private", token).await;
            assert_eq!(found.as_deref(), expected, "{case}, {version:?}");
        }
    }
}

#[tokio::test]
async fn accepts_every_kind_of_certificate() {
    let service = Mutual::start(None).await;
    let with_key = |kind| Shown::with_key(&KeyPair::generate_for(kind).unwrap());
    for (kind, shown) in [
        ("X.509 v1", Shown::version_1()),
        ("P-256", with_key(&rcgen::PKCS_ECDSA_P256_SHA256)),
        ("P-384", with_key(&rcgen::PKCS_ECDSA_P384_SHA384)),
        ("P-521", with_key(&rcgen::PKCS_ECDSA_P521_SHA512)),
        ("Ed25519", with_key(&rcgen::PKCS_ED25519)),
        ("RSA", with_key(&rcgen::PKCS_RSA_SHA256)),
    ] {
        let token = service.issuer.token().bound_to_certificate(shown.der());
        let token = token.sign();
        let thief = Shown {
            key: KeyPair::generate().unwrap().serialize_pem(),
            ..shown.clone()
        };
        for version in [&TLS13, &TLS12] {
            for (who, shown, expected) in [("owner", &shown, Some("200 ")), ("thief", &thief, None)]
            {
                let client = service.client(Some(shown), version);
                let found = service.ask(&client, "/api/private", &token).await;
                assert_eq!(found.as_deref(), expected, "{who}, {kind}, {version:?}");
            }
        }
    }
}

/// The client of `/auth` is a proxy, so a token that is bound to the proxy's certificate would be
/// accepted from every client of the proxy.
#[tokio::test]
async fn auth_ignores_the_certificate_of_the_proxys_connection() {
    let service = Mutual::start(None).await;
    let proxy = Shown::self_signed();
    let client = service.client(Some(&proxy), &TLS13);
    let bound = service.issuer.token();
    let bound = bound.bound_to_certificate(proxy.der()).sign();
    let plain = service.issuer.token().sign();
    for (path, token, expected) in [
        ("/api/private", &bound, "200 "),
        ("/auth", &bound, "401 token_bound"),
        ("/auth/api/private", &bound, "401 token_bound"),
        ("/auth", &plain, "200 "),
        ("/auth/api/private", &plain, "200 "),
    ] {
        let found = service.ask(&client, path, token).await;
        assert_eq!(found.as_deref(), Some(expected), "{path}");
    }
}

/// rustls keeps the chain for the life of the connection, so the client shouldn't get to choose its
/// size.
#[tokio::test]
async fn refuses_a_chain_of_more_than_16_kib() {
    const MAX_CHAIN: usize = 16 * 1024;
    let service = Mutual::start(None).await;
    let mine = Shown::self_signed();
    let token = service.issuer.token();
    let token = token.bound_to_certificate(mine.der()).sign();
    for version in [&TLS13, &TLS12] {
        for (length, expected) in [
            (MAX_CHAIN - 1, Some("200 ")),
            (MAX_CHAIN, Some("200 ")),
            (MAX_CHAIN + 1, None),
            (3 * MAX_CHAIN, None),
        ] {
            let rest = length - mine.der().len();
            // two certificates of half the size each: the limit is for the whole chain
            let others =
                [rest / 2, rest - rest / 2].map(|size| CertificateDer::from(vec![0; size]));
            let shown = Shown {
                chain: [&mine.chain[..], &others].concat(),
                ..mine.clone()
            };
            let client = service.client(Some(&shown), version);
            let found = service.ask(&client, "/api/private", &token).await;
            assert_eq!(found.as_deref(), expected, "{length}, {version:?}");
        }
    }
}

#[tokio::test]
async fn keeps_the_certificate_in_a_resumed_session() {
    let service = Mutual::start(None).await;
    let mine = Shown::self_signed();
    let token = service
        .issuer
        .token()
        .bound_to_certificate(mine.der())
        .sign();
    for version in [&TLS13, &TLS12] {
        let client = service.client(Some(&mine), version);
        for connection in 0..3 {
            let found = service.ask(&client, "/api/private", &token).await;
            assert_eq!(found.as_deref(), Some("200 "), "{version:?}, {connection}");
        }
    }
}

#[tokio::test]
async fn ignores_certificates_of_other_authorities() {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let service = Mutual::start(Some(authority.pem())).await;
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["client".to_owned()]).unwrap();
    let signed = params.signed_by(&key, &authority).unwrap();
    let signed = Shown {
        chain: vec![signed.der().clone()],
        key: key.serialize_pem(),
    };
    let stranger = Shown::self_signed();
    for (case, shown, is_accepted) in [("signed", &signed, true), ("stranger", &stranger, false)] {
        let bound = service.issuer.token().bound_to_certificate(shown.der());
        let client = service.client(Some(shown), &TLS13);
        let found = service.ask(&client, "/api/private", &bound.sign()).await;
        let expected = if is_accepted {
            "200 "
        } else {
            "401 token_bound"
        };
        assert_eq!(found.as_deref(), Some(expected), "{case}");
        let plain = service.issuer.token().sign();
        let found = service.ask(&client, "/api/private", &plain).await;
        assert_eq!(found.as_deref(), Some("200 "), "{case}, a plain token");
    }
}

#[tokio::test]
async fn rejects_unreadable_authorities() {
    let folder = TempDir::new().unwrap();
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let [certificate, key, clients] =
        ["tls.crt", "tls.key", "clients.crt"].map(|name| folder.path().join(name));
    fs::write(&certificate, cert.pem()).unwrap();
    fs::write(&key, signing_key.serialize_pem()).unwrap();
    let load = || {
        let loaded = Tls::load(Files {
            certificate: certificate.clone(),
            key: key.clone(),
            clients: ClientAuth::Request {
                authorities: Some(clients.clone()),
            },
        });
        loaded.map(drop).map_err(|error| error.to_string())
    };
    assert!(load().unwrap_err().ends_with("does not exist"));
    fs::write(&clients, "").unwrap();
    assert!(load().unwrap_err().ends_with("has no certificate in it"));
    let broken = cert.pem().replace("MII", "AAA");
    fs::write(&clients, broken).unwrap();
    let fault = load().unwrap_err();
    assert!(
        fault.ends_with("has a certificate that cannot be read"),
        "{fault}"
    );
    fs::write(&clients, cert.pem()).unwrap();
    assert_eq!(load(), Ok(()));
}

/// The field of each proxy, with the certificate in that proxy's format.
fn fields(der: &[u8]) -> [(CertificateSource, &'static str, String); 3] {
    let base64 = STANDARD.encode(der);
    let pem = format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n");
    let escaped = pem
        .replace('\n', "%0A")
        .replace(' ', "%20")
        .replace('+', "%2B");
    let forwarded = format!("Hash=00;Cert=\"{escaped}\";Subject=\"CN=a, b\"");
    [
        (
            CertificateSource::ClientCert,
            "Client-Cert",
            format!(":{base64}:"),
        ),
        (
            CertificateSource::XForwardedClientCert,
            "X-Forwarded-Client-Cert",
            forwarded,
        ),
        (
            CertificateSource::XSslClientCert,
            "X-SSL-Client-Cert",
            escaped,
        ),
    ]
}

#[tokio::test]
async fn reads_the_certificate_only_from_the_configured_field() {
    let (mine, other) = (Shown::self_signed(), Shown::self_signed());
    let others = fields(other.der());
    for (at, (source, name, value)) in fields(mine.der()).into_iter().enumerate() {
        let mut bound = Bound::with(|builder| builder.client_certificates(source)).await;
        let token = bound.issuer.token().bound_to_certificate(mine.der()).sign();
        let line = format!("{name}: {value}\r\n");
        let foreign = format!("{name}: {}\r\n", others[at].2);
        let elsewhere: String = fields(mine.der())
            .iter()
            .filter(|(other, ..)| *other != source)
            .map(|(_, name, value)| format!("{name}: {value}\r\n"))
            .collect::<Vec<_>>()
            .concat();
        for (case, lines, is_accepted) in [
            ("the certificate", line.clone(), true),
            ("none", String::new(), false),
            ("another one", foreign.clone(), false),
            ("in other fields", elsewhere, false),
            ("twice", format!("{line}{line}"), false),
            ("two certificates", format!("{line}{foreign}"), false),
            ("cut", format!("{}\r\n", &line[..line.len() / 2]), false),
        ] {
            let lines = format!("Authorization: Bearer {token}\r\n{lines}");
            for start in ["GET /api/private", "GET /auth"] {
                let answer = bound.ask(start, &lines).await;
                if is_accepted {
                    assert_eq!(answer.status, 200, "{name}, {case}, {start}: {answer:?}");
                } else {
                    answer.assert_is_problem(&format!("{name}, {case}"), 401, "token_bound");
                }
            }
        }
    }
}

#[tokio::test]
async fn rejects_certificate_bound_tokens_unless_enabled() {
    let mine = Shown::self_signed();
    let mut bound = Bound::with(|builder| builder).await;
    let token = bound.issuer.token().bound_to_certificate(mine.der()).sign();
    let certificates: String = fields(mine.der())
        .iter()
        .map(|(_, name, value)| format!("{name}: {value}\r\n"))
        .collect::<Vec<_>>()
        .concat();
    let lines = format!("Authorization: Bearer {token}\r\n{certificates}");
    let answer = bound.ask("GET /api/private", &lines).await;
    answer.assert_is_problem("off", 401, "token_bound");
}

#[tokio::test]
async fn requires_both_proofs_for_a_doubly_bound_token() {
    let mine = Shown::self_signed();
    let mut bound = Bound::with(|builder| {
        builder
            .client_certificates(CertificateSource::ClientCert)
            .dpop(Dpop::allowed(PUBLIC_URL))
    })
    .await;
    let token = bound.token().bound_to_certificate(mine.der()).sign();
    let certificate = format!("Client-Cert: :{}:\r\n", STANDARD.encode(mine.der()));
    for (case, scheme, has_certificate, has_proof, status) in [
        ("both", "DPoP", true, true, 200),
        ("no certificate", "DPoP", false, true, 401),
        ("no proof", "DPoP", true, false, 401),
        ("bearer", "Bearer", true, false, 401),
    ] {
        let proof = bound.key.proof("GET", PRIVATE).token(&token).sign();
        let mut lines = format!("Authorization: {scheme} {token}\r\n");
        if has_certificate {
            lines += &certificate;
        }
        if has_proof {
            lines = format!("{lines}DPoP: {proof}\r\n");
        }
        let answer = bound.ask("GET /api/private", &lines).await;
        assert_eq!(answer.status, status, "{case}: {answer:?}");
    }
}

#[tokio::test]
async fn library_reads_the_certificate_from_head_and_extensions() {
    let mine = Shown::self_signed();
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let auth = Auth::builder()
        .issuer(issuer.url())
        .audience(issuer.audience())
        .algorithms([Algorithm::ES256])
        .resource("https://api.example.com")
        .client_certificates(CertificateSource::Connection)
        .build()
        .unwrap();
    auth.ready().await;
    let token: TokenBuilder = issuer.token().bound_to_certificate(mine.der());
    let token = token.sign();
    let request = || {
        let request = Request::get("/me").header("authorization", format!("Bearer {token}"));
        request.body(String::new()).unwrap()
    };
    let of = request();
    let head = RequestHead::new(of.method(), of.uri().path(), of.headers());
    let refused = auth.authenticate::<NoPrivate>(&head).await.unwrap_err();
    assert_eq!(refused.error, AuthError::TokenBound);
    let claims: Claims = auth
        .authenticate(&head.with_certificate(mine.der()))
        .await
        .unwrap();
    let binding = claims.binding().unwrap();
    assert!(binding.certificate.is_some());
    assert_eq!(binding.key, None);
    let alone = auth.verify::<NoPrivate>(&token).await;
    assert_eq!(alone.unwrap_err(), AuthError::TokenBound);

    let me = warp::path!("me")
        .and(with_auth(&auth))
        .map(|_: Claims| "you")
        .route();
    let service = warp::service(me);
    let mut with_certificate = request();
    let certificate = ClientCertificate::new(mine.der());
    with_certificate.extensions_mut().insert(certificate);
    for (request, status) in [(request(), 401), (with_certificate, 200)] {
        let found = hyper::service::Service::call(
            &hyper_util::service::TowerToHyperService::new(service.clone()),
            request,
        );
        assert_eq!(found.await.unwrap().status(), status);
    }

    let metadata = serde_json::to_value(auth.metadata([""; 0]).unwrap()).unwrap();
    assert_eq!(metadata["tls_client_certificate_bound_access_tokens"], true);
}
