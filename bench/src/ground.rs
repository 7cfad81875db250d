//! What all measurements share: an issuer, its tokens, the reference servers, and the commands that
//! start servers. Everything is created on first use.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::Instant,
};

use tokio::runtime::Runtime;
use warp_bearer::{
    auth::Algorithm,
    issuer::{Issuer, SigningKey},
};

use crate::{
    load::Load,
    server::{self, Server},
    tokens,
};

/// The number of tokens that fit into the cache by default.
pub const SEEN: usize = 10_000;
/// A number of tokens that needs a larger cache.
pub const MANY: usize = 100_000;
/// The number of warm-up requests, which fill the cache. Until the cache is full, each token needs
/// new pages from the system, and we don't want to measure a service's first seconds.
pub const WARM: usize = SEEN;
/// The number of opaque tokens. The service introspects each of them once.
pub const SOME: usize = 1_000;
pub const PUBLIC_URL: &str = "http://localhost:8000";
const FEW: usize = 500;
const LARGE: usize = 4_000;

pub struct Ground {
    pub issuer: Issuer,
    pub binary: PathBuf,
    pub without_docs: Option<PathBuf>,
    pub requests: usize,
    stranger: OnceLock<SigningKey>,
    /// The client's key for DPoP proofs.
    prover: OnceLock<SigningKey>,
    callers: OnceLock<Vec<Vec<u8>>>,
    many: OnceLock<Vec<Vec<u8>>>,
    large: OnceLock<Vec<Vec<u8>>>,
    forged: OnceLock<Vec<Vec<u8>>>,
    expired: OnceLock<Vec<Vec<u8>>>,
    strangers: OnceLock<Vec<Vec<u8>>>,
    opaque: OnceLock<Vec<Vec<u8>>>,
    bare: OnceLock<Server>,
    rsa: OnceLock<Server>,
    p256: OnceLock<Server>,
    half_of_capacity: OnceLock<f64>,
    /// Keeps the issuer running.
    _runtime: Runtime,
}

impl Ground {
    pub fn new(binary: &Path, requests: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        Self {
            issuer: runtime.block_on(Issuer::start()),
            binary: binary.canonicalize().expect("the service's binary"),
            without_docs: None,
            requests,
            stranger: OnceLock::new(),
            prover: OnceLock::new(),
            callers: OnceLock::new(),
            many: OnceLock::new(),
            large: OnceLock::new(),
            forged: OnceLock::new(),
            expired: OnceLock::new(),
            strangers: OnceLock::new(),
            opaque: OnceLock::new(),
            bare: OnceLock::new(),
            rsa: OnceLock::new(),
            p256: OnceLock::new(),
            half_of_capacity: OnceLock::new(),
            _runtime: runtime,
        }
    }
}

impl Ground {
    /// As many as one measurement sends, plus `WARM`, each from a different caller.
    pub fn callers(&self) -> &[Vec<u8>] {
        self.callers.get_or_init(|| {
            let count = self.requests.max(SEEN) + WARM;
            tokens::requests(count, |i| tokens::of_caller(&self.issuer, i))
        })
    }

    pub fn many(&self) -> &[Vec<u8>] {
        self.many
            .get_or_init(|| tokens::requests(MANY, |i| tokens::of_caller(&self.issuer, i)))
    }

    pub fn large(&self) -> &[Vec<u8>] {
        self.large
            .get_or_init(|| tokens::requests(LARGE, |i| tokens::large(&self.issuer, i)))
    }

    pub fn forged(&self) -> &[Vec<u8>] {
        let forged = |i| tokens::forged(&self.issuer, self.stranger(), i);
        self.forged.get_or_init(|| tokens::requests(FEW, forged))
    }

    pub fn expired(&self) -> &[Vec<u8>] {
        let expired = |i| tokens::of_caller(&self.issuer, i).expired();
        self.expired.get_or_init(|| tokens::requests(FEW, expired))
    }

    /// Requests with a different made-up `kid` each.
    pub fn unknown(&self) -> &[Vec<u8>] {
        let unknown = |i| tokens::of_caller(&self.issuer, i).kid(&format!("made-up-{i}"));
        self.strangers
            .get_or_init(|| tokens::requests(FEW, unknown))
    }

    /// Opaque tokens that the issuer knows.
    pub fn opaque(&self) -> &[Vec<u8>] {
        self.opaque.get_or_init(|| {
            let opaque = |i| {
                let claims = tokens::of_caller(&self.issuer, i);
                tokens::private(&self.issuer.opaque_token(claims))
            };
            (0..SOME).map(opaque).collect()
        })
    }

    /// Requests with one bound token and a new proof each. We don't keep these: a proof is only
    /// accepted for a few minutes.
    pub fn proofs(&self, count: usize) -> Vec<Vec<u8>> {
        tokens::proofs(&self.issuer, self.prover(), PUBLIC_URL, count)
    }

    fn prover(&self) -> &SigningKey {
        self.prover
            .get_or_init(|| SigningKey::generate(Algorithm::ES256))
    }

    pub fn stranger(&self) -> &SigningKey {
        self.stranger
            .get_or_init(|| SigningKey::generate(self.issuer.key().algorithm()))
    }
}

impl Ground {
    pub fn bare(&self) -> &Server {
        self.bare.get_or_init(|| reference(&[]))
    }

    pub fn rsa(&self) -> &Server {
        self.rsa.get_or_init(|| {
            let jwk = self.issuer.key().public_jwk();
            let part = |name: &str| jwk[name].as_str().unwrap().to_owned();
            // One argument with `=`: base64url may begin with a hyphen, and that would look like an
            // option.
            reference(&[format!("--key={}.{}", part("n"), part("e"))])
        })
    }

    pub fn p256(&self) -> &Server {
        self.p256.get_or_init(|| {
            let jwk = self.prover().public_jwk();
            let part = |name: &str| jwk[name].as_str().unwrap().to_owned();
            reference(&[format!("--proof-key={}.{}", part("x"), part("y"))])
        })
    }

    /// Starts the service and waits for its keys. Its token cache is empty.
    pub fn service(&self) -> Server {
        self.service_with(1, |_| {})
    }

    pub fn service_with(&self, processors: usize, with: impl FnOnce(&mut Command)) -> Server {
        let mut command = server::service(&self.binary, self.issuer.url(), self.issuer.audience());
        with(&mut command);
        let server = Server::start(command, "LISTEN", processors);
        server.await_ready();
        server
    }

    /// Returns the rate that keeps hyper with one RSA verification half busy, in requests per
    /// second.
    pub fn half_of_capacity(&self) -> f64 {
        *self.half_of_capacity.get_or_init(|| {
            let mut load = Load::open(self.rsa().address, 64);
            load.run(self.callers(), WARM, 200);
            let began = Instant::now();
            let answered = load.run(self.callers(), SEEN, 200);
            #[expect(clippy::cast_precision_loss)]
            let answered = answered as f64;
            answered / began.elapsed().as_secs_f64() / 2.0
        })
    }
}

fn reference(arguments: &[String]) -> Server {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg("reference").args(arguments);
    Server::start(command, "PORT", 1)
}
