//! `warp-bearer explain`: explains why the configured service accepts or rejects a token.
//!
//! The token comes from the command line, or from standard input, which keeps it out of the shell's
//! history. We don't send it anywhere, unless `--introspect` asks us to send it to the issuer. Keys
//! are fetched in the same way as in the service.

mod advice;
mod audience;
mod diagnosis;
mod dpop_off;
mod explanation;
mod facts;
mod head_size;
mod issuer_name;
mod mistake;
pub(in crate::service) mod pasted;
mod proxy;
mod report;
mod spelling;
#[cfg(test)]
mod tests;
mod unknown_key;
mod vendor;

use std::{
    io::{self, BufRead, IsTerminal, Read},
    path::{Path, PathBuf},
};

use clap::Args;

use crate::{
    auth::{
        Auth, Builder, SetupError,
        display::ShownText,
        explain_proof::ProofOfRequest,
        keys::key_set::NoKeys,
        policy::{Policy, permissions, scopes},
        store::Store,
    },
    service::{
        api::route::Access,
        cli::{
            auth,
            env_file::EnvFile,
            explain::{
                explanation::{Skew, Subject, Wanted},
                pasted::Pasted,
                proxy::Proxy,
            },
            failure::Failure,
            revocations,
            terminal::{self, Terminal, ascii},
        },
        config::Config,
    },
};

pub(super) use self::pasted::shorten_all;

const EXAMPLES: &str = r"Examples:
  warp-bearer explain                                   paste the token and an empty line
  curl -s $ENDPOINT -d ... | warp-bearer explain --json | jq -r .fix
  warp-bearer explain --permission messages:read < token.txt
  warp-bearer explain --auth 'scope=read:messages' < token.txt
  warp-bearer explain --jwks jwks.json < token.txt      uses no network";

/// The options of the command.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::service) struct Options {
    /// The token, or a text that contains a token, such as a curl command; without it, or with `-`,
    /// it is read from standard input, which keeps it out of the shell's history
    token: Vec<String>,
    /// Verify with the key set of the token's issuer in this file, and use no network
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,
    /// Check whether it also grants these scopes, separated by spaces; exit 1 if not
    #[arg(long, value_name = "SCOPES", value_parser = wanted_scopes)]
    scope: Option<Wanted>,
    /// Check whether it also has these permissions, separated by spaces; exit 1 if not
    #[arg(long, value_name = "PERMISSIONS", value_parser = wanted_permissions)]
    permission: Option<Wanted>,
    /// Show how /auth answers a proxy that sends this query, such as 'scope=a&permission=b', or
    /// that asks for this path below /auth; exit 1 unless the response is 200
    #[arg(long, value_name = "QUERY")]
    auth: Option<String>,
    /// Also ask the issuer about the token, as the service does; this sends the token to the issuer
    #[arg(long, conflicts_with = "jwks")]
    introspect: bool,
    /// Also explain this DPoP proof, as if both had been sent with the scheme DPoP
    #[arg(long, requires = "request", value_name = "PROOF")]
    proof: Option<String>,
    /// The request that the proof is for: its method, and its URL or its path on this service; with
    /// --auth, the request of the proxy's client
    #[arg(long, num_args = 2, requires = "proof", value_names = ["METHOD", "URL"])]
    request: Option<Vec<String>>,
    #[command(flatten)]
    env_file: EnvFile,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// With several issuers, the keys in a file must belong to the one that the token names
const OF_NO_ISSUER: &str = "several issuers are configured, and the token names none of them, so \
     the key set belongs to none; without --jwks, explain says what is wrong with the token";

/// Scopes and permissions have the same syntax (RFC 6749 §3.3)
const INVALID_LIST: &str = "separate the names by single spaces";

fn wanted_scopes(list: &str) -> Result<Wanted, &'static str> {
    wanted("scopes", list, scopes(list))
}

fn wanted_permissions(list: &str) -> Result<Wanted, &'static str> {
    wanted("permissions", list, permissions(list))
}

fn wanted(kind: &str, list: &str, policy: Option<Policy>) -> Result<Wanted, &'static str> {
    let words = format!("{kind} {list}");
    policy
        .map(|policy| Wanted { words, policy })
        .ok_or(INVALID_LIST)
}

impl Options {
    fn proof(&self, auth: &Auth) -> Result<Option<ProofOfRequest>, Failure> {
        let (Some(proof), Some([method, url])) = (&self.proof, self.request.as_deref()) else {
            return Ok(None);
        };
        let wrong = |why: &str| Failure::Usage(Terminal::clean(&format!("--request: {why}")));
        let method = method.parse().map_err(|_| wrong("not a method"))?;
        let is_forwarded = self.auth.is_some();
        let path = auth.path_of(url, is_forwarded).ok_or_else(|| {
            wrong(if is_forwarded {
                "the URL does not begin with the origin of PUBLIC_URL; give one that does, or a path"
            } else {
                "the URL is not below PUBLIC_URL; give one that is, or a path"
            })
        })?;
        let proof = proof.trim().to_owned();
        Ok(Some(ProofOfRequest {
            proof,
            method,
            path,
            is_forwarded,
        }))
    }

    /// The requirements of every route, then those of the options.
    fn wanted(&self, config: &Config) -> Vec<Wanted> {
        let required = config.required_scope.as_ref().map(|policy| {
            let scopes = policy.scopes().unwrap_or_default();
            let words = format!("scopes {scopes}, which AUTH0_REQUIRED_SCOPE requires");
            let policy = policy.clone();
            Wanted { words, policy }
        });
        let options = [&self.scope, &self.permission].into_iter().flatten();
        let options = options.cloned().reduce(|one, other| Wanted {
            words: format!("{}, {}", one.words, other.words),
            policy: one.policy & other.policy,
        });
        let asked = self.proxy(config).and_then(|proxy| {
            let policy = proxy.asked.ok()?.policy?;
            let words = format!("what {} asks for", proxy.target);
            Some(Wanted { words, policy })
        });
        required.into_iter().chain(options).chain(asked).collect()
    }

    /// People also separate names with commas
    fn comma_note(&self) -> Option<String> {
        let has_comma = |wanted: &Option<Wanted>| {
            let words = wanted.as_ref().map(|wanted| &wanted.words);
            words.is_some_and(|words| words.contains(','))
        };
        let option = match (has_comma(&self.scope), has_comma(&self.permission)) {
            (true, true) => "Names in --scope and --permission have a comma in them",
            (true, false) => "A name in --scope has a comma in it",
            (false, true) => "A name in --permission has a comma in it",
            (false, false) => return None,
        };
        Some(format!(
            "{option}. It is taken for a part of the name. To require several, separate them by spaces."
        ))
    }

    fn proxy(&self, config: &Config) -> Option<Proxy> {
        let text = self.auth.as_deref()?;
        Some(Proxy::read(text, config.forward_auth_paths))
    }

    fn text(&self) -> Result<String, Failure> {
        match &self.token[..] {
            [] => standard_input(),
            [alone] if alone == "-" => standard_input(),
            // A name with two dots may be a token, but no token is also the name of a file
            [alone] if Path::new(alone.trim_start_matches('@')).is_file() => {
                let name = alone.trim_start_matches('@');
                Err(Failure::Input(Terminal::clean(&format!(
                    "no token: {name} is a file; read it with warp-bearer explain < {name}"
                ))))
            }
            // the shell has split the text at its spaces
            words => Ok(words.join(" ")),
        }
    }
}

pub(in crate::service) async fn run(options: Options) -> Result<(), Failure> {
    let environment = options.env_file.read()?;
    let (mut config, _) = Config::load_from(&environment).map_err(Failure::Config)?;
    let is_unasked = config.introspects() && !options.introspect;
    if is_unasked {
        config = config.without_introspection();
    } else if config.introspects() {
        terminal::note("note: the token is sent to the issuer's introspection endpoint");
    }
    let text = options.text()?;
    let pasted = match &config.token_field {
        Some(name) => Pasted::read_field(&text, name.as_str()),
        None => Pasted::read(&text),
    };
    let mut pasted = pasted.map_err(|why| Failure::Input(format!("no token: {why}")))?;
    let access = Access {
        auth: build_auth(&config, options.jwks.as_deref(), &pasted.issuer()).await?,
        required: config.required_scope.clone(),
        resource_scopes: config.resource_scopes.clone(),
        docs: None,
        forward_auth_paths: config.forward_auth_paths,
        demo_routes: config.demo_routes,
        max_token_bytes: config.max_token_bytes,
    };
    let mut proof = options.proof(&access.auth)?;
    if let Some(in_text) = pasted.proof.take().filter(|_| proof.is_none()) {
        let own = config.of_issuer(&pasted.issuer());
        let (enable, _) = dpop_off::enable(&own, &environment);
        let (presented, note) = in_text.of_request(&access.auth, options.auth.is_some(), enable);
        proof = presented;
        pasted.notes.push(note);
    }
    pasted.notes.extend(options.comma_note());
    let offline = options.jwks.is_some();
    let subject = Subject {
        access: &access,
        config: &config,
        environment: &environment,
        is_unasked,
        wanted: options.wanted(&config),
        proxy: options.proxy(&config),
        proof,
    };
    let skew = async || {
        if offline {
            return None;
        }
        let (issuer, seconds) = access.auth.ahead(config.jwks_timeout).await?;
        Some(Skew { issuer, seconds })
    };
    let explanation = subject.explain(pasted, skew).await;
    if options.json {
        terminal::print_line(ascii(&explanation.json()))?;
    } else {
        terminal::print(explanation.text(Terminal::stdout(config.log.color)))?;
    }
    if explanation.is_accepted() {
        return Ok(());
    }
    Err(Failure::Reported)
}

/// Builds the verifier of the service, with the revocations that replicas share, for a token that
/// names `issuer`.
async fn build_auth(config: &Config, jwks: Option<&Path>, issuer: &str) -> Result<Auth, Failure> {
    if let Some(path) = jwks {
        return build_auth_with_keys(config, path, issuer);
    }
    let builder = for_one_token(auth::builder(config));
    if config.state_store.url.is_none() {
        return builder.build().map_err(Failure::Setup);
    }
    let store = auth::store(config);
    // We copy the revocations, because a verifier that uses the store would also write to it
    if let Ok(shared) = revocations::shared(&store).await {
        let auth = builder.build().map_err(Failure::Setup)?;
        auth.revoke_all(shared);
        return Ok(auth);
    }
    terminal::note(
        "note: the state store cannot be reached, so the verdict is that of a service that has just started",
    );
    builder.state_store(store).build().map_err(Failure::Setup)
}

/// Builds the verifier of the service, with the keys in a file as the keys of `issuer`, or of the
/// only configured issuer. The other issuers have no keys, as we use no network here.
fn build_auth_with_keys(config: &Config, path: &Path, issuer: &str) -> Result<Auth, Failure> {
    let failed =
        |why: &dyn std::fmt::Display| Failure::Input(format!("--jwks: {}: {why}", path.display()));
    if path.to_string_lossy().contains("://") {
        return Err(failed(&"a URL; save the key set to a file first"));
    }
    let set = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
    let tables = config.tables.iter().map(|table| &*table.url);
    let issuers: Vec<_> = config
        .issuers
        .iter()
        .map(|name| &**name)
        .chain(tables)
        .collect();
    let own = match issuers[..] {
        [only] => only,
        _ if issuers.contains(&issuer) => issuer,
        _ => return Err(failed(&OF_NO_ISSUER)),
    };
    let builder = auth::builder_with(config, |name, trusted| {
        if name == own {
            trusted.jwks(&*set)
        } else {
            trusted.without_keys()
        }
    });
    for_one_token(builder).build().map_err(|error| match error {
        SetupError::KeySet(NoKeys::NotAllowed { ref kid, algorithm, .. }) => {
            let name = kid.as_deref().unwrap_or("the key");
            let setting = match &config.issuers_file {
                Some(_) => format!("set the option algorithms to [\"{algorithm}\"]"),
                None => format!("set AUTH0_ALGORITHMS={algorithm}"),
            };
            let name = Terminal::clean(&ShownText::new(name).to_string());
            failed(&format!("{name} is for {algorithm}, which is not an allowed algorithm; {setting} if the issuer signs with it"))
        }
        SetupError::KeySet(error) => failed(&error),
        error => Failure::Setup(error),
    })
}

/// Sets up a verifier that only ever sees one token. Its own store accepts older proofs: the
/// service may have started before them.
fn for_one_token(builder: Builder) -> Builder {
    builder
        .token_cache(0)
        .state_store(Store::memory_without_start())
}

/// Decodes UTF-8, or UTF-16 with a byte order mark, as PowerShell writes it into a file.
fn decoded(bytes: &[u8]) -> String {
    let units = |unit: fn([u8; 2]) -> u16| {
        let pairs = bytes[2..]
            .chunks_exact(2)
            .map(|pair| unit([pair[0], pair[1]]));
        String::from_utf16_lossy(&pairs.collect::<Vec<_>>())
    };
    match bytes {
        [0xff, 0xfe, ..] => units(u16::from_le_bytes),
        [0xfe, 0xff, ..] => units(u16::from_be_bytes),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// Reads a pipe to its end, or lines from a terminal up to an empty line.
fn standard_input() -> Result<String, Failure> {
    /// Larger than any response that contains a token
    const MAX_BYTES: u64 = 1024 * 1024;
    /// Terminals cut lines at 4096 bytes, including the line break
    const MAX_LINE: usize = 4095;
    let input = io::stdin().lock();
    let failed = |error: io::Error| Failure::Input(format!("standard input: {error}"));
    let mut text = String::new();
    if !input.is_terminal() {
        let mut bytes = Vec::new();
        let read = input.take(MAX_BYTES + 1).read_to_end(&mut bytes);
        if read.map_err(failed)? as u64 > MAX_BYTES {
            return Err(Failure::Input(
                "no token: the input is larger than 1 MiB; paste the token, or the request with it"
                    .to_owned(),
            ));
        }
        return Ok(decoded(&bytes));
    }
    terminal::note("Paste the token, and end with an empty line:");
    for line in input.lines() {
        let line = line.map_err(failed)?;
        if line.len() >= MAX_LINE {
            return Err(Failure::Input(format!(
                "no token: a terminal passes on at most {MAX_LINE} characters of a line; read the token \
                 from a file instead, warp-bearer explain < token.txt"
            )));
        }
        if line.is_empty() {
            break;
        }
        text += &line;
        text.push('\n');
    }
    Ok(text)
}
