//! [`Environment`]: the variables of the environment and of `.env`, and their origins.
//!
//! Values aren't checked here, but an invalid `.env` is rejected. The environment of the process is
//! never changed.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    fmt, fs,
    io::{self, ErrorKind},
    path::Path,
};

use hyper_util::client::proxy::matcher::Matcher;

use crate::{
    auth::{display::ShownText, files},
    service::config::{
        dotenv::{self, DotEnv, Entry},
        environment_file,
        fault::{Fault, Faults, LineFault, Warning},
        origin::{DOT_ENV, ENV_FILE, Origin},
        terminal::TerminalVariables,
        variables,
    },
};

/// reqwest reads these. They only have an effect in the process's environment.
const CERTIFICATE_AUTHORITIES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// For https. Like the ones above, only effective in the process's environment.
pub(super) const PROXIES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// The variables for the service, with their values and origins.
///
/// The environment takes precedence over `.env`. Iterating yields names and values, for
/// [`Config::from_variables`](crate::service::config::Config::from_variables).
#[derive(Clone)]
pub struct Environment {
    variables: BTreeMap<String, (String, Origin)>,
    /// Of lines in the file, in its order
    faults: Vec<LineFault>,
    warnings: Vec<Warning>,
    near_misses: Vec<NearMiss>,
}

/// A name in `.env` that is probably a misspelt variable of ours.
#[derive(Clone)]
struct NearMiss {
    name: String,
    origin: Origin,
    known: &'static str,
}

impl Environment {
    /// Reads the environment, and the `.env` in the current directory if there is one. Parent
    /// directories are not searched: the configuration shouldn't depend on where a service is
    /// installed.
    ///
    /// # Errors
    /// Returns the fault of a `.env` that cannot be read, or the faults of its lines.
    pub fn read() -> Result<Self, Faults> {
        let read = Self::read_from(None)?;
        if read.faults.is_empty() {
            return Ok(read);
        }
        let faults = read.faults.into_iter().map(|line| line.fault);
        Err(faults.collect::<Vec<_>>().into())
    }

    /// Reads the environment, and this file instead of `.env`.
    ///
    /// The file may be the `EnvironmentFile` of a systemd unit, so a value that systemd would read
    /// differently is a fault. [`Config`](crate::service::config::Config) and the other settings
    /// report the faults of the lines with the variables that they read.
    ///
    /// # Errors
    /// Returns a fault if the file cannot be read, or if `file` is set and does not exist.
    pub fn read_from(file: Option<&Path>) -> Result<Self, Faults> {
        match file {
            None => Self::merge(env::vars_os(), fs::read(DOT_ENV), DOT_ENV),
            Some(path) => match fs::read(path) {
                Err(error) => Err(not_read(&error, path).into()),
                read => Self::merge(env::vars_os(), read, ENV_FILE),
            },
        }
    }

    /// Reads only the variables of a file in the format of `.env`.
    ///
    /// # Errors
    /// Returns a fault if the file cannot be read.
    pub fn read_file(path: &Path) -> Result<Self, Faults> {
        match fs::read(path) {
            Err(error) => Err(not_read(&error, path).into()),
            read => {
                let name = ShownText::new(&path.to_string_lossy()).to_string();
                Self::merge(std::iter::empty(), read, &name)
            }
        }
    }

    /// The value of a variable and its origin.
    pub fn get(&self, name: &str) -> Option<(&str, Origin)> {
        let (value, origin) = self.variables.get(name)?;
        Some((value, origin.clone()))
    }

    pub(super) fn get_from_process(&self, name: &str) -> Option<&str> {
        let (value, origin) = self.get(name)?;
        (origin == Origin::Environment).then_some(value)
    }

    /// The first variable about issuers and its origin: an `AUTH0_` variable, known or not, or
    /// `ISSUERS_FILE`.
    pub fn first_of_issuers(&self) -> Option<(&str, Origin)> {
        let is_of_issuers =
            |name: &str| variables::is_auth0(name) || name == variables::ISSUERS_FILE.name();
        self.variables
            .iter()
            .find(|(name, _)| is_of_issuers(name))
            .map(|(name, (_, origin))| (name.as_str(), origin.clone()))
    }

    /// The names of the variables that the service reads.
    pub(super) fn names_of_variables(&self) -> Vec<String> {
        let names = self.variables.keys();
        let known = names.filter(|name| variables::find(name).is_some());
        known.cloned().collect()
    }

    /// The variables for certificate authorities and proxies that are set.
    pub fn network_variables(&self) -> impl Iterator<Item = (&'static str, &str, Origin)> {
        network_names().filter_map(|name| {
            let (value, origin) = self.get(name)?;
            Some((name, value, origin))
        })
    }

    /// The variables that only have an effect in the process's environment, if they come from a
    /// file. The commands that read another file than `.env` send no traces, so OpenTelemetry's
    /// variables in such a file are not misplaced.
    pub(super) fn misplaced(&self) -> impl Iterator<Item = (&str, Origin)> {
        let of_process = self
            .variables
            .iter()
            .filter(|(name, _)| is_of_process(name));
        of_process
            .map(|(name, (_, origin))| (name.as_str(), origin.clone()))
            .filter(|(name, origin)| match origin {
                Origin::Environment => false,
                Origin::DotEnv(_) => true,
                Origin::EnvFile(_) | Origin::File(..) => !name.starts_with(OPEN_TELEMETRY),
            })
    }

    /// The proxies for https requests and their exceptions, as reqwest reads them.
    pub(in crate::service) fn proxies(&self) -> Matcher {
        let first = |names: &[&str]| {
            let mut values = names.iter().filter_map(|name| self.get_from_process(name));
            values.next().unwrap_or_default().to_owned()
        };
        let [https, all] = [&PROXIES[..2], &PROXIES[2..]];
        let matcher = Matcher::builder().https(first(https)).all(first(all));
        matcher.no(first(&NO_PROXY)).build()
    }

    /// Whether the terminal may show colours.
    pub fn allows_color(&self) -> bool {
        self.terminal().allow_color()
    }

    /// `true` if the terminal can only append text, so that no output can be removed.
    pub fn has_dumb_terminal(&self) -> bool {
        self.terminal().is_dumb()
    }

    fn terminal(&self) -> TerminalVariables {
        TerminalVariables::from_pairs(self.clone())
    }

    /// Adds the origin of each variable to its faults. If a variable is not set, adds the similar
    /// name in `.env`.
    #[must_use]
    pub fn locate(&self, faults: Faults) -> Faults {
        let faults = faults.with_origins(|name| self.origin(name));
        faults.with_hints(|subject| {
            let mut similar = self.near_misses.iter();
            let NearMiss {
                name,
                origin,
                known,
            } = similar.find(|one| one.known == subject)?;
            Some(format!(
                "; {name} is set in {origin}, did you mean {known}?"
            ))
        })
    }

    pub(super) fn locate_warnings(&self, warnings: Vec<Warning>) -> Vec<Warning> {
        let located = warnings.into_iter();
        let located = located.map(|warning| warning.with_origin(|name| self.origin(name)));
        located.collect()
    }

    pub(super) fn line_faults(&self) -> &[LineFault] {
        &self.faults
    }

    /// Returns the warnings about lines of `.env`.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    fn origin(&self, name: &str) -> Option<Origin> {
        Some(self.get(name)?.1)
    }

    /// The same environment with these variables replaced.
    #[must_use]
    pub(super) fn with<'a>(&self, lines: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut changed = self.clone();
        for (name, value) in lines {
            let value = (value.to_owned(), Origin::Environment);
            changed.variables.insert(name.to_owned(), value);
            changed.faults.retain(|line| line.variable != Some(name));
        }
        changed
    }

    /// An environment with only these variables.
    #[cfg(test)]
    pub(in crate::service) fn of<'a>(
        variables: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let set = |(name, value): (&str, &str)| {
            (name.to_owned(), (value.to_owned(), Origin::Environment))
        };
        Self {
            variables: variables.into_iter().map(set).collect(),
            faults: Vec::new(),
            warnings: Vec::new(),
            near_misses: Vec::new(),
        }
    }

    fn merge(
        environment: impl Iterator<Item = (OsString, OsString)>,
        dotenv: io::Result<Vec<u8>>,
        file: &str,
    ) -> Result<Self, Faults> {
        let environment: Vec<_> = environment.collect();
        let is_overridden = |name: &str| environment.iter().any(|(own, _)| *own == *name);
        let origin = |line| match file {
            DOT_ENV => Origin::DotEnv(line),
            ENV_FILE => Origin::EnvFile(line),
            name => Origin::File(name.into(), line),
        };
        let dotenv = match dotenv {
            Ok(bytes) => {
                let mut read = dotenv::parse(&bytes, file, is_overridden)?;
                if file == ENV_FILE {
                    let is_used = |name: &str| is_used(name) && !is_overridden(name);
                    let of_lines = environment_file::differences(&bytes, &read.entries, is_used);
                    let of_file = environment_file::prevents_load(&bytes, is_used);
                    // A line with two values already has a fault
                    let is_new = |line: &LineFault| {
                        let mut known = read.faults.iter();
                        !known.any(|known| known.variable == line.variable)
                    };
                    let of_lines: Vec<_> = of_lines.into_iter().filter(is_new).collect();
                    read.faults.extend(of_file.into_iter().chain(of_lines));
                }
                read
            }
            Err(error) if error.kind() == ErrorKind::NotFound => DotEnv::default(),
            Err(error) => return Err(unreadable(&error, file).into()),
        };
        let (faults, mut warnings) = (dotenv.faults, dotenv.warnings);
        let near_misses = dotenv.entries.iter();
        let near_misses = near_misses.filter_map(|entry| near_miss(entry, origin(entry.line)));
        let near_misses: Vec<_> = near_misses.collect();
        warnings.extend(near_misses.iter().map(NearMiss::warning));
        let dotenv = dotenv
            .entries
            .into_iter()
            .map(|entry| (entry.name, (entry.value, origin(entry.line))));
        let environment = environment.into_iter().filter_map(|(name, value)| {
            // lossy on purpose: the reader rejects the replacement character
            let value = value.to_string_lossy().into_owned();
            Some((name.into_string().ok()?, (value, Origin::Environment)))
        });
        // the later entry of a name wins
        let variables = dotenv
            .chain(environment)
            .filter(|(name, _)| is_relevant(name))
            .collect();
        Ok(Self {
            variables,
            faults,
            warnings,
            near_misses,
        })
    }
}

fn network_names() -> impl Iterator<Item = &'static str> {
    CERTIFICATE_AUTHORITIES
        .into_iter()
        .chain(PROXIES)
        .chain(NO_PROXY)
}

/// `true` for the variables that the service reads. Those of its libraries don't count: they come
/// from the environment, so a unit has the right value, however this command would read the file.
fn is_used(name: &str) -> bool {
    variables::find(name).is_some() && dotenv::is_read(name)
}

/// OpenTelemetry's variables, which its exporter only reads from the process's environment.
const OPEN_TELEMETRY: &str = "OTEL_";

fn is_relevant(name: &str) -> bool {
    variables::find(name).is_some()
        || variables::is_auth0(name)
        || is_of_process(name)
        || TerminalVariables::include(name)
        || name == variables::PORT
}

/// `true` if the variable only has an effect in the process's environment.
fn is_of_process(name: &str) -> bool {
    let is_exported = cfg!(feature = "otel") && name.starts_with(OPEN_TELEMETRY);
    is_exported || network_names().any(|known| known == name)
}

/// Finds a misspelt variable of ours. We do not check names in the environment, most of which
/// belong to other programs.
fn near_miss(entry: &Entry, origin: Origin) -> Option<NearMiss> {
    let known = variables::near_miss(&entry.name)?;
    let name = ShownText::new(&entry.name).to_string();
    Some(NearMiss {
        name,
        origin,
        known,
    })
}

impl NearMiss {
    fn warning(&self) -> Warning {
        let text = format!("not read; did you mean {}?", self.known);
        Warning::new(&self.name, text).with_origin(|_| Some(self.origin.clone()))
    }
}

/// The fault for a file that was named on the command line
fn not_read(error: &io::Error, path: &Path) -> Fault {
    let path = ShownText::new(&path.to_string_lossy()).to_string();
    let why = files::describe(error.kind());
    Fault::new(
        &path,
        format_args!("{why}; give the path of a file of variables, NAME=value on each line"),
    )
}

fn unreadable(error: &io::Error, file: &str) -> Fault {
    Fault::new(
        file,
        format_args!(
            "cannot be read ({}); make it a file that the service has permission to read, or remove it",
            error.kind()
        ),
    )
}

impl IntoIterator for Environment {
    type Item = (String, String);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        let pairs = self.variables.into_iter();
        let pairs: Vec<_> = pairs.map(|(name, (value, _))| (name, value)).collect();
        pairs.into_iter()
    }
}

/// Only the names: values may be secrets
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origins = self
            .variables
            .iter()
            .map(|(name, (_, origin))| (name, origin));
        f.debug_map().entries(origins).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(vars: &[(&str, &str)]) -> impl Iterator<Item = (OsString, OsString)> {
        let vars: Vec<_> = vars.iter().map(|(n, v)| (n.into(), v.into())).collect();
        vars.into_iter()
    }

    fn no_file() -> io::Error {
        ErrorKind::NotFound.into()
    }

    #[test]
    fn environment_overrides_the_file() {
        let vars = [("LISTEN", "a"), ("PATH", "/bin")];
        let vars = Environment::merge(
            environment(&vars),
            Ok("LISTEN=b\nRUST_LOG=c".into()),
            DOT_ENV,
        )
        .unwrap();
        let vars: Vec<_> = vars.into_iter().collect();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(vars, [pair("LISTEN", "a"), pair("RUST_LOG", "c")]);
    }

    #[test]
    fn overridden_lines_of_the_file_are_no_faults() {
        for (name, line) in [
            ("AUTH0_SIGNING_SECRET", "AUTH0_SIGNING_SECRET=abc$def"),
            ("AUTH0_SIGNING_SECRET", "AUTH0_SIGNING_SECRET=\"abc$def\""),
            ("AUTH0_ISSUER", "AUTH0_ISSUER=https://${UNDEFINED_TENANT}/"),
            (
                "AUTH0_ISSUER",
                "AUTH0_ISSUER=https://${UNDEFINED_TENANT:-a}/",
            ),
            ("LISTEN", "LISTEN='a"),
            ("LISTEN", "LISTEN=a\nLISTEN=b"),
            ("LISTEN", "set LISTEN=a"),
        ] {
            let read = |vars: &[(&str, &str)]| {
                Environment::merge(environment(vars), Ok(line.into()), DOT_ENV).unwrap()
            };
            let vars = read(&[(name, "x")]);
            assert_eq!(vars.get(name), Some(("x", Origin::Environment)), "{line}");
            assert!(vars.line_faults().is_empty(), "{line}");
            assert_eq!(read(&[("OTHER", "x")]).line_faults().len(), 1, "{line}");
        }
    }

    #[test]
    fn finds_the_first_variable_about_issuers() {
        #[rustfmt::skip]
        let rows = [
            ("none", &[("PATH", "/bin"), ("LISTEN", "x")][..], Err(no_file()), None),
            ("environment", &[("AUTH0_DOMAIN", "x")], Err(no_file()), Some(("AUTH0_DOMAIN", Origin::Environment))),
            ("file", &[], Ok("AUTH0_DOMAIN = x".into()), Some(("AUTH0_DOMAIN", Origin::DotEnv(1)))),
            ("both", &[("AUTH0_DOMAIN", "x")], Ok("AUTH0_DOMAIN=y".into()), Some(("AUTH0_DOMAIN", Origin::Environment))),
            ("set to an empty value", &[("AUTH0_DOMAIN", "")], Err(no_file()), Some(("AUTH0_DOMAIN", Origin::Environment))),
            ("issuers file", &[], Ok("ISSUERS_FILE=x".into()), Some(("ISSUERS_FILE", Origin::DotEnv(1)))),
            ("misspelt", &[("AUTH0_DOMIAN", "x")], Err(no_file()), Some(("AUTH0_DOMIAN", Origin::Environment))),
        ];
        for (case, vars, dotenv, expected) in rows {
            let vars = Environment::merge(environment(vars), dotenv, DOT_ENV).unwrap();
            assert_eq!(vars.first_of_issuers(), expected, "{case}");
        }
    }

    #[test]
    fn warns_about_misspelt_names_only_in_the_file() {
        #[rustfmt::skip]
        let rows = [
            ("LISTN", Some("LISTEN")),
            ("CORS_ORIGIN", Some("CORS_ORIGINS")),
            ("cors_origins", Some("CORS_ORIGINS")),
            ("LOG_LEVEL", Some("RUST_LOG")),
            ("JWKS_URI", Some("AUTH0_JWKS_URI")),
            ("JWKS_URL", Some("AUTH0_JWKS_URI")),
            ("AUDIENCE", Some("AUTH0_API_AUDIENCE")),
            ("TLS_CERT", Some("TLS_CERT_FILE")),
            ("TLS_KEY", Some("TLS_KEY_FILE")),
            ("STATE_STORE_URL", Some("STATE_STORE")),
            ("LISTEN_ADDR", Some("LISTEN")),
            ("METRICS_ADDR", Some("METRICS_LISTEN")),
            ("CORS_ALLOWED_ORIGINS", Some("CORS_ORIGINS")),
            ("ISSUER", None),
            ("API_AUDIENCE", Some("AUTH0_API_AUDIENCE")),
            ("AUT0_DOMAIN", Some("AUTH0_DOMAIN")),
            ("DOMAIN", None),
            ("CLIENT_SECRET", None),
            ("DOC", None),
            ("DATABASE_URL", None),
            ("LISTEN", None),
        ];
        for (name, expected) in rows {
            let file = format!("A=b\n{name}=x\n");
            let read = Environment::merge(environment(&[]), Ok(file.into()), DOT_ENV).unwrap();
            let warnings = read.warnings().iter().map(Warning::to_string);
            let expected = expected
                .map(|known| format!("{name}: in .env, line 2, not read; did you mean {known}?"));
            assert!(warnings.eq(expected), "{name}: {:?}", read.warnings());
            let read =
                Environment::merge(environment(&[(name, "x")]), Err(no_file()), DOT_ENV).unwrap();
            assert!(read.warnings().is_empty(), "{name}");
        }
    }

    #[test]
    fn reports_a_file_that_cannot_be_read() {
        #[rustfmt::skip]
        let rows = [
            ("no right to", Err(ErrorKind::PermissionDenied.into()), ".env: cannot be read (permission denied); make it a file that the service has permission to read, or remove it"),
            ("a directory", Err(ErrorKind::IsADirectory.into()), ".env: cannot be read (is a directory); make it a file that the service has permission to read, or remove it"),
            ("UTF-16", Ok(vec![0xff, 0xfe, b'A', 0]), ".env: line 1 is not UTF-8; save the file as UTF-8"),
        ];
        for (case, dotenv, fault) in rows {
            let faults = Environment::merge(environment(&[]), dotenv, DOT_ENV).unwrap_err();
            assert_eq!(faults.to_string(), fault, "{case}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn rejects_bytes_that_are_not_utf_8_in_known_variables() {
        use std::os::unix::ffi::OsStringExt;

        use crate::service::config::Config;

        let bytes = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        let vars = [
            (bytes(b"AUTH0_DOMAIN"), bytes(b"tenant.auth0.com")),
            (bytes(b"AUTH0_API_AUDIENCE"), bytes(b"https://a\xff")),
            (bytes(b"AUTH0_\xff"), bytes(b"x")),
            (bytes(b"LC_NAME"), bytes(b"\xff")),
        ];
        let vars = Environment::merge(vars.into_iter(), Err(no_file()), DOT_ENV).unwrap();
        let faults = Config::from_variables(vars).unwrap_err();
        assert_eq!(
            faults.to_string(),
            "AUTH0_API_AUDIENCE: found bytes that are not UTF-8; give the identifier of your API, such as https://api.example.com"
        );
    }

    /// OpenTelemetry's exporter reads only the environment of the process.
    #[cfg(feature = "otel")]
    #[test]
    fn finds_variables_of_the_exporter_in_the_file() {
        let file =
            "OTEL_SERVICE_NAME=a\nOTEL_EXPORTER_OTLP_HEADERS=api-key=hunter2\nSSL_CERT_FILE=b\n";
        let read = |name| {
            let vars = environment(&[("OTEL_SERVICE_NAME", "c")]);
            Environment::merge(vars, Ok(file.into()), name).unwrap()
        };
        let expected = [
            ("OTEL_EXPORTER_OTLP_HEADERS", Origin::DotEnv(2)),
            ("SSL_CERT_FILE", Origin::DotEnv(3)),
        ];
        assert_eq!(read(DOT_ENV).misplaced().collect::<Vec<_>>(), expected);
        let expected = [("SSL_CERT_FILE", Origin::EnvFile(3))];
        assert_eq!(read(ENV_FILE).misplaced().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn debug_shows_no_value() {
        let vars = Environment::merge(
            environment(&[("AUTH0_CLIENT_SECRET", "hunter2")]),
            Err(no_file()),
            DOT_ENV,
        );
        assert_eq!(
            format!("{:?}", vars.unwrap()),
            r#"{"AUTH0_CLIENT_SECRET": Environment}"#
        );
    }
}
