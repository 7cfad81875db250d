//! Parses the issuers file: TOML with a table `[[issuer]]` for each issuer.
//!
//! A fault contains the file, the line and the table. It never quotes the line, which may contain a
//! secret, and quotes a value only if the option is not secret. To add an option, add a row to
//! [`OPTIONS`] and a field to [`IssuerSettings`].

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use memchr::memchr_iter;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{
    algorithm::Algorithm,
    auth::{display::ShownText, dpop::DpopMode, files, resource::spellings},
    service::config::{
        cross_checks::{OUTER_BLANKS, foreign_audience},
        dpop,
        env::Environment,
        fault::{Fault, Faults, Warning, quoted},
        invalid::{InvalidValue, Parsed},
        issuer_settings::{IssuerSettings, Preset},
        presets::{self, PRESETS},
        types::Secret,
        url,
        value::{self, is_placeholder, is_quoted, still_quoted},
        variable::{Form, Variable},
        variables,
    },
};

/// In the name of an issuer with `tenants`
const TENANT: &str = "{tenantid}";

/// The options that make up the name of an issuer
const OF_NAME: [&str; 3] = ["url", "kind", "tenants"];

/// Stores a value in the settings, or says what's wrong with it.
type Set = fn(&mut IssuerSettings, &Found<'_>) -> Result<(), Wrong>;

#[rustfmt::skip]
const OPTIONS: &[(&str, Set)] = &[
    ("url", |own, found| found.value(|v| own.url = v, url::issuer_name, variables::AUTH0_ISSUER.variable.expects)),
    ("kind", |own, found| found.value(|v| own.preset = Some(v), kind, "the name of a preset, such as auth0")),
    ("tenants", |own, found| found.list(&mut own.tenants, tenant, "the IDs of tenants")),
    ("audiences", |own, found| found.list(&mut own.audiences, value::audience, variables::AUTH0_API_AUDIENCE.variable.expects)),
    ("audience_claim", |own, found| found.value(|v| own.audience_claim = Some(v), value::audience_claim, variables::AUTH0_AUDIENCE_CLAIM.variable.expects)),
    ("algorithms", |own, found| found.list(&mut own.algorithms, value::algorithm, variables::AUTH0_ALGORITHMS.variable.expects)),
    ("jwks_uri", |own, found| found.value(|v| own.jwks_uri = Some(v), url::key_set, variables::AUTH0_JWKS_URI.variable.expects)),
    ("jwks_file", |own, found| found.path(|v| own.jwks_file = Some(v), variables::AUTH0_JWKS_FILE.variable.expects)),
    ("signing_secret", |own, found| found.secret(|v| own.signing_secret = Some(v), value::secret, variables::AUTH0_SIGNING_SECRET.variable.expects)),
    ("ca_file", |own, found| found.path(|v| own.ca_file = Some(v), "the path of certificates in PEM")),
    ("fetch_token_file", |own, found| found.path(|v| own.fetch_token_file = Some(v), "the path of a file that holds a token")),
    ("leeway", |own, found| found.value(|v| own.leeway = Some(v), variables::AUTH0_LEEWAY.parse, variables::AUTH0_LEEWAY.variable.expects)),
    ("token_max_age", |own, found| found.value(|v| own.token_max_age = Some(v), variables::AUTH0_TOKEN_MAX_AGE.parse, variables::AUTH0_TOKEN_MAX_AGE.variable.expects)),
    ("token_profile", |own, found| found.value(|v| own.token_profile = Some(v), value::token_profile, variables::AUTH0_TOKEN_PROFILE.variable.expects)),
    ("required_scope", |own, found| found.value(|v| own.required_scope = Some(v), required_scope, variables::AUTH0_REQUIRED_SCOPE.variable.expects)),
    ("roles_at", |own, found| found.value(|v| own.roles_at = Some(v), value::claim_path, variables::AUTH0_ROLES_AT.variable.expects)),
    ("dpop", |own, found| found.value(|v| own.dpop = Some(v), value::dpop_mode, variables::AUTH0_DPOP.variable.expects)),
    ("groups_at", |own, found| found.value(|v| own.groups_at = Some(v), value::claim_path, variables::AUTH0_GROUPS_AT.variable.expects)),
    ("introspection", |own, found| found.value(|v| own.introspection = Some(v), value::introspection, variables::AUTH0_INTROSPECTION.variable.expects)),
    ("introspection_uri", |own, found| found.value(|v| own.introspection_uri = Some(v), url::web_address, variables::AUTH0_INTROSPECTION_URI.variable.expects)),
    ("introspection_client_id", |own, found| found.value(|v| own.introspection_client_id = Some(v), value::text, variables::AUTH0_INTROSPECTION_CLIENT_ID.variable.expects)),
    ("introspection_client_secret", |own, found| found.secret(|v| own.introspection_client_secret = Some(v), value::client_secret, variables::AUTH0_INTROSPECTION_CLIENT_SECRET.variable.expects)),
    ("introspection_client_secret_file", |own, found| found.path(|v| own.introspection_client_secret_file = Some(v), "the path of a file that holds the secret")),
    ("introspection_key_file", |own, found| found.path(|v| own.introspection_key_file = Some(v), variables::AUTH0_INTROSPECTION_KEY_FILE.variable.expects)),
    ("introspection_ttl", |own, found| found.value(|v| own.introspection_ttl = Some(v), value::duration, variables::AUTH0_INTROSPECTION_TTL.variable.expects)),
];

/// The options that have a variable of the same name, such as `leeway` and `AUTH0_LEEWAY`.
pub(super) fn options_of_variables() -> impl Iterator<Item = (&'static str, &'static Variable)> {
    OPTIONS.iter().filter_map(|(option, _)| {
        let name = format!("AUTH0_{}", option.to_ascii_uppercase());
        Some((*option, variables::find(&name)?))
    })
}

/// Whether a table has an option.
type Has = fn(&IssuerSettings) -> bool;

/// The variables that an option of a table overrides, with this option and whether a table has it.
/// Other variables of the same name as an option are faults beside an issuers file, or also apply
/// to the routes.
#[rustfmt::skip]
const OVERRIDDEN: [(&str, &str, Has); 8] = [
    (variables::AUTH0_API_AUDIENCE.name(), "audiences", |own| !own.audiences.is_empty()),
    (variables::AUTH0_ALGORITHMS.name(), "algorithms", |own| !own.algorithms.is_empty()),
    (variables::AUTH0_LEEWAY.name(), "leeway", |own| own.leeway.is_some()),
    (variables::AUTH0_TOKEN_MAX_AGE.name(), "token_max_age", |own| own.token_max_age.is_some()),
    (variables::AUTH0_TOKEN_PROFILE.name(), "token_profile", |own| own.token_profile.is_some()),
    (variables::AUTH0_ROLES_AT.name(), "roles_at", |own| own.roles_at.is_some()),
    (variables::AUTH0_GROUPS_AT.name(), "groups_at", |own| own.groups_at.is_some()),
    (variables::AUTH0_DPOP.name(), "dpop", |own| own.dpop.is_some()),
];

/// The rows of [`OVERRIDDEN`] whose variable is set. DPoP proofs have no issuer, so if DPoP is on,
/// they need `AUTH0_LEEWAY` even if each table has its own leeway.
pub(super) fn overridable(
    environment: &Environment,
    dpop_is_on: bool,
) -> impl Iterator<Item = (&'static str, &'static str, Has)> {
    let is_of_proofs = move |name| name == variables::AUTH0_LEEWAY.name() && dpop_is_on;
    OVERRIDDEN
        .into_iter()
        .filter(move |(name, ..)| environment.get(name).is_some() && !is_of_proofs(*name))
}

/// Warns about each variable that is set and has no effect, because every table overrides it.
pub(super) fn overridden(
    path: &Path,
    tables: &[IssuerSettings],
    environment: &Environment,
    dpop_is_on: bool,
) -> Vec<Warning> {
    let file = shown_name(path);
    let rows = overridable(environment, dpop_is_on);
    let rows = rows.filter(|(.., has)| !tables.is_empty() && tables.iter().all(has));
    // The preset may have filled in the option
    let has_preset = tables.iter().any(|own| own.preset.is_some());
    let warning = |(name, option, _): (&str, &str, _)| {
        let text = if has_preset {
            format!("not used: every table of {file} sets {option}, itself or by its kind")
        } else {
            format!("not used: every table of {file} has its own {option}")
        };
        Warning::new(name, text)
    };
    rows.map(warning).collect()
}

/// Warns if no table accepts tokens for the resource.
pub(super) fn resource(
    path: &Path,
    tables: &[IssuerSettings],
    resource: &str,
    audiences: &[String],
) -> Option<Warning> {
    let spellings = spellings(resource);
    let is_accepted = tables.iter().any(|own| {
        let mut own = own.audiences_or(audiences).iter();
        own.any(|audience| spellings.contains(audience))
    });
    let text = format!(
        "not an audience of any table of {}, so a token that a client requests for this resource (RFC 8707) is rejected here",
        shown_name(path)
    );
    (!is_accepted).then(|| Warning::new(variables::AUTH0_RESOURCE.name(), text))
}

fn shown_name(path: &Path) -> String {
    let file = path.file_name().unwrap_or(path.as_os_str());
    ShownText::new(&file.to_string_lossy()).to_string()
}

/// The values from variables, for options that a table does not set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Defaults<'a> {
    pub(super) audiences: &'a [String],
    pub(super) algorithms: &'a [Algorithm],
    /// `None` if tokens are in `Authorization`.
    pub(super) field: Option<&'a str>,
    pub(super) dpop: DpopMode,
    /// The public URL for DPoP proofs, if it is known.
    pub(super) public_url: Option<&'a str>,
}

/// Reads the issuers from a file.
///
/// # Errors
/// Returns every fault.
pub(super) fn read(
    path: &Path,
    defaults: Defaults<'_>,
) -> Result<(Vec<IssuerSettings>, Vec<Warning>), Faults> {
    let (text, name) = document(path)?;
    parse(&text, &name, defaults)
}

/// Reads only the names of the issuers from a file. Other options may have faults.
///
/// # Errors
/// Returns every fault.
pub(super) fn names(path: &Path) -> Result<Vec<String>, Faults> {
    let (text, name) = document(path)?;
    let defaults = Defaults {
        audiences: &[],
        algorithms: &[],
        field: None,
        dpop: DpopMode::Off,
        public_url: None,
    };
    let mut reader = Reader::new(&text, &name, defaults);
    reader.only_names = true;
    let (issuers, _) = reader.finish_file()?;
    Ok(issuers.into_iter().map(|own| own.url).collect())
}

/// The text of a file, and its name without directories.
fn document(path: &Path) -> Result<(String, String), Fault> {
    let variable = &variables::ISSUERS_FILE.variable;
    let fault = |reason| {
        let invalid = InvalidValue::new(reason);
        Fault::invalid(variable, &path.to_string_lossy(), &invalid)
    };
    let document = files::read(path).map_err(|error| fault(files::describe(error.kind())))?;
    let text = String::from_utf8(document).map_err(|_| fault("is not UTF-8".into()))?;
    let name = path.file_name().unwrap_or(path.as_os_str());
    Ok((text, name.to_string_lossy().into_owned()))
}

pub(super) fn parse(
    text: &str,
    name: &str,
    defaults: Defaults<'_>,
) -> Result<(Vec<IssuerSettings>, Vec<Warning>), Faults> {
    Reader::new(text, name, defaults).finish_file()
}

struct Reader<'a> {
    text: &'a str,
    name: &'a str,
    defaults: Defaults<'a>,
    /// `true` if only [`OF_NAME`] is read
    only_names: bool,
    /// The faults, with their line numbers
    faults: Vec<(usize, Fault)>,
    warnings: Vec<Warning>,
}

#[derive(Clone)]
struct Table {
    line: usize,
    /// The URL of the issuer or, without one, the number of the table
    title: String,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, name: &'a str, defaults: Defaults<'a>) -> Self {
        Self {
            text,
            name,
            defaults,
            only_names: false,
            faults: Vec::new(),
            warnings: Vec::new(),
        }
    }

    fn finish_file(mut self) -> Result<(Vec<IssuerSettings>, Vec<Warning>), Faults> {
        let issuers = self.read();
        if self.faults.is_empty() {
            return Ok((issuers, self.warnings));
        }
        self.faults.sort_by_key(|(line, _)| *line);
        let faults: Vec<_> = self.faults.into_iter().map(|(_, fault)| fault).collect();
        Err(faults.into())
    }

    fn read(&mut self) -> Vec<IssuerSettings> {
        let document = match DeTable::parse(self.text) {
            Ok(document) => document.into_inner(),
            Err(error) => {
                let line = self.line(error.span().map_or(0, |span| span.start));
                // the parser's messages are fixed and never quote the file
                self.fault(
                    line,
                    "",
                    format_args!("not valid TOML: {}", error.message()),
                );
                return Vec::new();
            }
        };
        let mut issuers = Vec::new();
        for (key, value) in document {
            let line = self.line(key.span().start);
            match (key.get_ref().as_ref(), value.into_inner()) {
                ("issuer", DeValue::Array(tables)) => {
                    for (index, table) in tables.into_iter().enumerate() {
                        self.table(index + 1, table, &mut issuers);
                    }
                }
                ("issuer", _) => {
                    let text = "found one table; write [[issuer]], with two brackets, before each";
                    self.fault(line, "", text);
                }
                _ if self.only_names => {}
                _ => {
                    let text = "unknown; write each issuer as a table [[issuer]], and set other options as variables";
                    self.fault(line, "", text);
                }
            }
        }
        if issuers.is_empty() && self.faults.is_empty() {
            self.fault(
                1,
                "",
                "has no [[issuer]]; add one, because a service without an issuer accepts no token",
            );
        }
        self.report_duplicates(&issuers);
        self.report_opaque(&issuers);
        issuers
    }

    fn table(
        &mut self,
        number: usize,
        table: Spanned<DeValue<'_>>,
        issuers: &mut Vec<IssuerSettings>,
    ) {
        let line = self.line(table.span().start);
        let title = format!("[[issuer]] {number}");
        let DeValue::Table(table) = table.into_inner() else {
            self.fault(line, &title, "not a table");
            return;
        };
        let mut own = IssuerSettings {
            place: format!("{}:{line}", self.name),
            ..IssuerSettings::default()
        };
        let mut title = Table { line, title };
        let named = |key: &Spanned<_>| key.get_ref() == "url";
        let url = table
            .iter()
            .find(|(key, _)| named(key))
            .map(|(_, value)| value.get_ref());
        if let Some(DeValue::String(url)) = url {
            title.title = format!("[[issuer]] {}", quoted(url));
        }
        for (key, value) in table {
            let line = self.line(key.span().start);
            let key = key.into_inner();
            if self.only_names && !OF_NAME.contains(&&*key) {
                continue;
            }
            let row = OPTIONS.iter().find(|(name, _)| *name == key);
            let found = Found(value.get_ref());
            let wrong = match row {
                Some((_, set)) => set(&mut own, &found).err(),
                None => Some(unknown(&key)),
            };
            if let Some(Wrong(text)) = wrong {
                self.fault(
                    line,
                    &title.title,
                    format_args!("{}: {text}", shown_key(&key)),
                );
            }
        }
        self.finish(own, &title, issuers);
    }

    /// Applies the preset, checks the table as a whole, and adds an issuer for each tenant.
    fn finish(
        &mut self,
        mut own: IssuerSettings,
        table: &Table,
        issuers: &mut Vec<IssuerSettings>,
    ) {
        let had_faults = self.faults.iter().any(|(line, _)| *line >= table.line);
        let preset = own.preset;
        if let Some(preset) = preset {
            if own.url.is_empty() {
                preset.url.unwrap_or_default().clone_into(&mut own.url);
            }
            (preset.fill)(&mut own);
        }
        if had_faults {
            return;
        }
        if own.url.is_empty() {
            self.fault(
                table.line,
                &table.title,
                "url: not set; set it to the iss of the issuer's tokens",
            );
            return;
        }
        if !self.only_names {
            self.options(&own, table);
        }
        self.add_each_tenant(own, table, issuers);
    }

    /// Checks the options of a table against each other and against the variables.
    fn options(&mut self, own: &IssuerSettings, table: &Table) {
        if let Some(preset) = own.preset {
            self.preset(preset, own, table);
        }
        self.discovery(own, table);
        if own.dpop.is_some_and(|mode| mode != DpopMode::Off) && self.defaults.public_url.is_none()
        {
            let text = "dpop: set the variable PUBLIC_URL, which is needed to check proofs";
            self.fault(table.line, &table.title, text);
        }
        if own.audiences.is_empty() && self.defaults.audiences.is_empty() {
            let text = "audiences: not set, and AUTH0_API_AUDIENCE is not set either; set it to the identifier of your API";
            self.fault(table.line, &table.title, text);
        }
        self.audiences(own, table);
        self.blanks_in_secrets(own, table);
        if own.jwks_uri.is_some() && own.jwks_file.is_some() {
            let text = "jwks_file: set together with jwks_uri; keep one of them";
            self.fault(table.line, &table.title, text);
        }
        if let Err(text) = own.introspection() {
            self.fault(table.line, &table.title, text);
        }
        let algorithms = own.algorithms_or(self.defaults.algorithms);
        let hs256 = algorithms.contains(&Algorithm::HS256);
        match (hs256, own.signing_secret.is_some()) {
            (true, false) => {
                let text = "signing_secret: not set, but algorithms has HS256; set it to the secret that the issuer signs with, 32 bytes or more, or remove HS256";
                self.fault(table.line, &table.title, text);
            }
            (false, true) => {
                let text = "signing_secret: set, but algorithms does not have HS256; add HS256, or remove signing_secret";
                self.fault(table.line, &table.title, text);
            }
            _ => {}
        }
    }

    fn add_each_tenant(
        &mut self,
        mut own: IssuerSettings,
        table: &Table,
        issuers: &mut Vec<IssuerSettings>,
    ) {
        match (own.url.contains(TENANT), own.tenants.is_empty()) {
            (true, true) => {
                let text =
                    "tenants: not set, but url has {tenantid}; list the tenants that may sign in";
                self.fault(table.line, &table.title, text);
            }
            (false, false) => {
                let text = "tenants: set, but url has no {tenantid}; remove tenants, or write {tenantid} into url";
                self.fault(table.line, &table.title, text);
            }
            (false, true) => issuers.push(own),
            (true, false) => {
                for tenant in std::mem::take(&mut own.tenants) {
                    let mut one = own.clone();
                    one.url = own.url.replace(TENANT, &tenant);
                    let keys = own.jwks_uri.as_ref();
                    one.jwks_uri = keys.map(|keys| keys.replace(TENANT, &tenant));
                    issuers.push(one);
                }
            }
        }
    }

    /// An issuer without a source of keys needs a name that is an https URL. Otherwise there'd be
    /// nothing to discover the keys from.
    fn discovery(&mut self, own: &IssuerSettings, table: &Table) {
        let has_source = own.jwks_uri.is_some() || own.jwks_file.is_some();
        if has_source || !own.needs_key_set(self.defaults.algorithms) {
            return;
        }
        let name = own.url.replace(TENANT, "tenantid");
        if let Err(invalid) = url::discoverable_issuer(&name) {
            let expects = variables::AUTH0_ISSUER.variable.expects;
            let hint = invalid.hint.unwrap_or_else(|| format!("give {expects}"));
            let hint = hint.replace("AUTH0_JWKS_URI", "jwks_uri");
            let hint = hint.replace("AUTH0_JWKS_FILE", "jwks_file");
            let (found, reason) = (quoted(&own.url), invalid.reason);
            let text = format!("url: found {found}, which {reason}; {hint}");
            self.fault(table.line, &table.title, text);
        }
    }

    /// Warns about audiences that tokens of this issuer for other APIs have, and about those for
    /// which no DPoP proof passes.
    fn audiences(&mut self, own: &IssuerSettings, table: &Table) {
        let issuers = std::slice::from_ref(&own.url);
        let (option, audiences) = match &own.audiences[..] {
            [] => (
                variables::AUTH0_API_AUDIENCE.name(),
                self.defaults.audiences,
            ),
            audiences => ("audiences", audiences),
        };
        for audience in audiences {
            // The variable already has the warnings that concern every issuer.
            let is_known = own.audiences.is_empty() && foreign_audience(audience, &[]).is_some();
            let warning = foreign_audience(audience, issuers).filter(|_| !is_known);
            if let Some(text) = warning {
                self.warn(table, format_args!("{option}: {text}"));
            }
        }
        let public_url = self.defaults.public_url;
        if let Some(public_url) = public_url.filter(|_| own.uses_dpop(self.defaults.dpop)) {
            for text in dpop::foreign_origins(audiences, public_url) {
                self.warn(table, format_args!("{option}: {text}"));
            }
        }
    }

    fn blanks_in_secrets(&mut self, own: &IssuerSettings, table: &Table) {
        for (option, secret) in [
            ("signing_secret", &own.signing_secret),
            (
                "introspection_client_secret",
                &own.introspection_client_secret,
            ),
        ] {
            if secret.as_ref().is_some_and(Secret::has_outer_blanks) {
                self.warn(table, format_args!("{option}: {OUTER_BLANKS}"));
            }
        }
    }

    fn preset(&mut self, preset: &Preset, own: &IssuerSettings, table: &Table) {
        if !(preset.fits)(&own.url) {
            let name = preset.name;
            let text = format_args!("the issuers of {name} are of the form {}", preset.form);
            self.warn(table, text);
        }
        if let Some(field) = preset.field
            && self.defaults.field != Some(field)
        {
            let name = preset.name;
            let text = format_args!(
                "tokens of {name} come in another field; set AUTH0_TOKEN_FIELD={field}"
            );
            self.warn(table, text);
        }
    }

    /// Reports all issuers with introspection of opaque tokens, except the first. We cannot tell
    /// who issued an opaque token, and it must not be sent to an issuer that did not issue it.
    fn report_opaque(&mut self, issuers: &[IssuerSettings]) {
        let mut asked = issuers.iter().filter(|one| one.asks_about_opaque());
        let Some(first) = asked.next() else {
            return;
        };
        for issuer in asked {
            let line = line_of(issuer);
            let title = format!("[[issuer]] {}", quoted(&issuer.url));
            let text = format!(
                "introspection: opaque, as at {}; introspection of opaque tokens can be enabled for only one issuer",
                first.place
            );
            self.fault(line, &title, text);
        }
    }

    fn report_duplicates(&mut self, issuers: &[IssuerSettings]) {
        let mut seen: HashMap<&str, &str> = HashMap::new();
        for issuer in issuers {
            if let Some(first) = seen.insert(&issuer.url, &issuer.place) {
                let title = format!("[[issuer]] {}", quoted(&issuer.url));
                let text = format!("url: already used at {first}");
                self.fault(line_of(issuer), &title, text);
            }
        }
    }

    fn warn(&mut self, table: &Table, text: impl std::fmt::Display) {
        let subject = format!("{}:{}", self.name, table.line);
        let text = format!("in {}, {text}", table.title);
        self.warnings.push(Warning::new(&subject, text));
    }

    fn line(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().get(..offset).unwrap_or_default();
        memchr_iter(b'\n', before).count() + 1
    }

    fn fault(&mut self, line: usize, table: &str, text: impl std::fmt::Display) {
        let subject = format!("{}:{line}", self.name);
        let fault = if table.is_empty() {
            Fault::new(&subject, text)
        } else {
            Fault::new(&subject, format_args!("in {table}, {text}"))
        };
        self.faults.push((line, fault));
    }
}

fn line_of(issuer: &IssuerSettings) -> usize {
    let line = issuer.place.rsplit(':').next();
    line.and_then(|line| line.parse().ok()).unwrap_or(1)
}

/// What's wrong with an option, as the end of a sentence
struct Wrong(String);

struct Found<'a>(&'a DeValue<'a>);

impl Found<'_> {
    fn value<T>(
        &self,
        store: impl FnOnce(T),
        parse: fn(&str) -> Parsed<T>,
        expects: &str,
    ) -> Result<(), Wrong> {
        self.parsed(store, parse, expects, Form::Strict, false)
    }

    fn path(&self, store: impl FnOnce(PathBuf), expects: &str) -> Result<(), Wrong> {
        self.parsed(store, value::file, expects, Form::Path, false)
    }

    /// Like [`value`](Self::value), for a value that must never be displayed
    fn secret<T>(
        &self,
        store: impl FnOnce(T),
        parse: fn(&str) -> Parsed<T>,
        expects: &str,
    ) -> Result<(), Wrong> {
        self.parsed(store, parse, expects, Form::Strict, true)
    }

    fn parsed<T>(
        &self,
        store: impl FnOnce(T),
        parse: fn(&str) -> Parsed<T>,
        expects: &str,
        form: Form,
        is_secret: bool,
    ) -> Result<(), Wrong> {
        let text = Self::text(self.0, expects)?;
        store(parse_text(text, parse, expects, form, is_secret)?);
        Ok(())
    }

    /// Parses an array of strings and stores its distinct items.
    fn list<T: PartialEq>(
        &self,
        list: &mut Vec<T>,
        parse: fn(&str) -> Parsed<T>,
        expects: &str,
    ) -> Result<(), Wrong> {
        let DeValue::Array(items) = self.0 else {
            return Err(Wrong(format!("not an array; give [\"…\"] with {expects}")));
        };
        if items.is_empty() {
            return Err(Wrong(format!("empty; give {expects}, or remove it")));
        }
        for item in items {
            let item = parse_text(
                Self::text(item.get_ref(), expects)?,
                parse,
                expects,
                Form::Strict,
                false,
            )?;
            if !list.contains(&item) {
                list.push(item);
            }
        }
        Ok(())
    }

    fn text<'v>(value: &'v DeValue<'_>, expects: &str) -> Result<&'v str, Wrong> {
        match value {
            DeValue::String(text) if text.trim().is_empty() => {
                Err(Wrong(format!("empty; give {expects}, or remove it")))
            }
            DeValue::String(text) => Ok(text),
            _ => Err(Wrong(format!("not a string; give {expects}, in quotes"))),
        }
    }
}

fn parse_text<T>(
    text: &str,
    parse: fn(&str) -> Parsed<T>,
    expects: &str,
    form: Form,
    is_secret: bool,
) -> Result<T, Wrong> {
    let parsed = if is_placeholder(text) {
        Err(InvalidValue::new("is a placeholder"))
    } else if is_quoted(text.trim()) {
        Err(still_quoted())
    } else if !is_secret && text.trim() != text {
        Err(InvalidValue::new("begins or ends with a space or a line break").hint("remove it"))
    } else if let Some(invalid) = value::mangled(text, form).filter(|_| !is_secret) {
        Err(invalid)
    } else {
        parse(text)
    };
    parsed.map_err(|invalid| {
        let found = if is_secret {
            format!("{} bytes (not shown)", text.len())
        } else {
            quoted(text)
        };
        let hint = invalid.hint.unwrap_or_else(|| format!("give {expects}"));
        Wrong(format!("found {found}, which {}; {hint}", invalid.reason))
    })
}

fn unknown(key: &str) -> Wrong {
    let near = OPTIONS.iter().map(|(name, _)| *name).max_by(|one, other| {
        let likeness = |name| strsim::jaro_winkler(&key.to_ascii_lowercase(), name);
        likeness(one).total_cmp(&likeness(other))
    });
    let near = near.filter(|name| strsim::jaro_winkler(&key.to_ascii_lowercase(), name) > 0.75);
    Wrong(if let Some(name) = near {
        format!("unknown; did you mean {name}?")
    } else {
        let names: Vec<_> = OPTIONS.iter().map(|(name, _)| *name).collect();
        format!("unknown; the options are {}", names.join(", "))
    })
}

/// The key, or `a key` if it is long or unusual: it might be a secret that was written without a
/// key.
fn shown_key(key: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if key.len() <= 40 && key.chars().all(is_plain) {
        key.to_owned()
    } else {
        "a key".to_owned()
    }
}

fn kind(text: &str) -> Parsed<&'static Preset> {
    let known = PRESETS.iter().map(|preset| preset.name);
    presets::preset(text).ok_or_else(|| {
        let invalid = InvalidValue::new("is not a preset");
        match value::nearest(text, known.clone()) {
            Some(near) => invalid.suggest(Some(near)),
            None => invalid.hint(format!(
                "give one of {}",
                known.collect::<Vec<_>>().join(", ")
            )),
        }
    })
}

fn tenant(text: &str) -> Parsed<String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if !text.chars().all(fits) {
        return Err(InvalidValue::new("is not the ID of a tenant"));
    }
    Ok(text.to_owned())
}

fn required_scope(text: &str) -> Parsed<String> {
    value::scopes(text).map(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use super::*;
    use crate::{
        auth::AudienceClaim,
        service::config::{Config, Environment, types::TokenProfile},
    };

    const SECRET: &str = "a secret that nobody may ever read";

    fn defaults(audiences: &[String]) -> Defaults<'_> {
        Defaults {
            audiences,
            algorithms: &[Algorithm::RS256],
            field: None,
            dpop: DpopMode::Off,
            public_url: None,
        }
    }

    fn parsed(text: &str) -> Result<Vec<IssuerSettings>, Vec<String>> {
        let audiences = ["https://api.example.com".to_owned()];
        match parse(text, "issuers.toml", defaults(&audiences)) {
            Ok((issuers, _)) => Ok(issuers),
            Err(faults) => Err(faults.as_slice().iter().map(ToString::to_string).collect()),
        }
    }

    #[test]
    fn reads_every_option_of_a_table() {
        let text = r#"
# The tenant, and the machines of the factory.
[[issuer]]
url = "https://tenant.eu.auth0.com/"

[[issuer]]
url = "https://machines.example.com"
audiences = ["urn:a", "urn:b"]
audience_claim = "client_id"
algorithms = ["ES256", "Ed25519"]
jwks_uri = "https://machines.example.com/keys"
ca_file = "/etc/ca #1.pem"
fetch_token_file = "/run/token"
leeway = "20s"
token_max_age = "24h"
token_profile = "rfc9068"
required_scope = "use:it see:it"
roles_at = "realm_access.roles"
groups_at = "groups.all"
"#;
        let issuers = parsed(text).unwrap();
        assert_eq!(issuers[0].url, "https://tenant.eu.auth0.com/");
        assert_eq!(issuers[0].place, "issuers.toml:3");
        assert_eq!(issuers[0].algorithms, []);
        let own = &issuers[1];
        assert_eq!(own.place, "issuers.toml:6");
        assert_eq!(own.audiences, ["urn:a", "urn:b"]);
        assert_eq!(own.audience_claim, Some(AudienceClaim::ClientId));
        assert_eq!(own.algorithms, [Algorithm::ES256, Algorithm::EdDSA]);
        assert_eq!(
            own.jwks_uri.as_deref(),
            Some("https://machines.example.com/keys")
        );
        assert_eq!(own.ca_file.as_deref(), Some(Path::new("/etc/ca #1.pem")));
        assert_eq!(
            own.fetch_token_file.as_deref(),
            Some(Path::new("/run/token"))
        );
        assert_eq!(own.leeway, Some(Duration::from_secs(20)));
        assert_eq!(own.token_max_age, Some(Duration::from_secs(86400)));
        assert_eq!(own.token_profile, Some(TokenProfile::Rfc9068));
        assert_eq!(own.required_scope.as_deref(), Some("use:it see:it"));
        assert_eq!(own.roles_at.as_deref(), Some("realm_access.roles"));
        assert_eq!(own.groups_at.as_deref(), Some("groups.all"));
        assert_eq!(issuers.len(), 2);
    }

    #[test]
    fn names_file_line_and_table_of_every_fault() {
        let issuer = "[[issuer]]\nurl = \"https://a.example/\"\n";
        let of = r#"in [[issuer]] "https://a.example/""#;
        let other = "[[issuer]]\nurl = \"https://b.example/\"\n";
        let opaque = "introspection = \"opaque\"\nintrospection_client_id = \"i\"\nintrospection_client_secret = \"s\"\n";
        let rows = [
            ("", vec!["issuers.toml:1: has no [[issuer]]; add one, because a service without an issuer accepts no token".to_owned()]),
            ("[issuer]\nurl = \"https://a.example/\"", vec!["issuers.toml:1: found one table; write [[issuer]], with two brackets, before each".to_owned()]),
            ("[[issuers]]\nurl = \"https://a.example/\"", vec!["issuers.toml:1: unknown; write each issuer as a table [[issuer]], and set other options as variables".to_owned()]),
            ("[[issuer]]\naudiences = [\"a\"]", vec!["issuers.toml:1: in [[issuer]] 1, url: not set; set it to the iss of the issuer's tokens".to_owned()]),
            (&format!("{issuer}leaway = \"20s\""), vec![format!("issuers.toml:3: {of}, leaway: unknown; did you mean leeway?")]),
            (&format!("{issuer}leeway = 20"), vec![format!("issuers.toml:3: {of}, leeway: not a string; give a duration from 0s to 5m, such as 30s, in quotes")]),
            (&format!("{issuer}leeway = \"20\""), vec![format!("issuers.toml:3: {of}, leeway: found \"20\", which has no unit; did you mean 20s?")]),
            (&format!("{issuer}audiences = \"a\""), vec![format!("issuers.toml:3: {of}, audiences: not an array; give [\"…\"] with the identifier of your API, such as https://api.example.com")]),
            (&format!("{issuer}kind = \"keyclaok\""), vec![format!("issuers.toml:3: {of}, kind: found \"keyclaok\", which is not a preset; did you mean keycloak?")]),
            (&format!("{issuer}algorithms = [\"RS265\"]\nroles_at = \"\""), vec![
                format!("issuers.toml:3: {of}, algorithms: found \"RS265\", which is not a known algorithm; did you mean RS256?"),
                format!("issuers.toml:4: {of}, roles_at: empty; give the name of a claim, or a path such as realm_access.roles, or remove it"),
            ]),
            (&format!("{issuer}\n{issuer}"), vec![format!("issuers.toml:4: {of}, url: already used at issuers.toml:1")]),
            (&format!("{issuer}jwks_uri = \"https://a.example/keys\"\njwks_file = \"keys.json\""), vec![format!("issuers.toml:1: {of}, jwks_file: set together with jwks_uri; keep one of them")]),
            (&format!("{issuer}algorithms = [\"HS256\"]"), vec![format!("issuers.toml:1: {of}, signing_secret: not set, but algorithms has HS256; set it to the secret that the issuer signs with, 32 bytes or more, or remove HS256")]),
            (&format!("{issuer}signing_secret = \"{SECRET}\""), vec![format!("issuers.toml:1: {of}, signing_secret: set, but algorithms does not have HS256; add HS256, or remove signing_secret")]),
            (&format!("{issuer}introspection = \"on\""), vec![format!("issuers.toml:3: {of}, introspection: found \"on\", which is not off, opaque or always; give off, opaque or always")]),
            (&format!("{issuer}introspection = \"opague\""), vec![format!("issuers.toml:3: {of}, introspection: found \"opague\", which is not off, opaque or always; did you mean opaque?")]),
            (&format!("{issuer}LEEWAY = \"1s\""), vec![format!("issuers.toml:3: {of}, LEEWAY: unknown; did you mean leeway?")]),
            (&format!("{issuer}introspection = \"opaque\""), vec![format!("issuers.toml:1: {of}, introspection: set one of introspection_client_secret, introspection_client_secret_file and introspection_key_file")]),
            (&format!("{issuer}introspection = \"opaque\"\nintrospection_client_secret = \"s\""), vec![format!("issuers.toml:1: {of}, introspection_client_id: not set, but introspection needs it")]),
            (&format!("{issuer}{opaque}{other}{opaque}"), vec![format!("issuers.toml:6: in [[issuer]] \"https://b.example/\", introspection: opaque, as at issuers.toml:1; introspection of opaque tokens can be enabled for only one issuer")]),
            (&format!("{issuer}introspection_client_id = \"api\""), vec![format!("issuers.toml:1: {of}, introspection: not set, but its other options are; set opaque or always")]),
            (&format!("{issuer}tenants = [\"t\"]"), vec![format!("issuers.toml:1: {of}, tenants: set, but url has no {{tenantid}}; remove tenants, or write {{tenantid}} into url")]),
            ("[[issuer]]\nurl = \"https://a.example/{tenantid}/v2.0\"", vec!["issuers.toml:1: in [[issuer]] \"https://a.example/{tenantid}/v2.0\", tenants: not set, but url has {tenantid}; list the tenants that may sign in".to_owned()]),
            ("[[issuer]]\nurl = \"http://a.example/\"", vec!["issuers.toml:1: in [[issuer]] \"http://a.example/\", url: found \"http://a.example/\", which is not https; did you mean https://a.example/? Or if iss is exactly this, set jwks_uri to the https address of its keys, or jwks_file to a file with them".to_owned()]),
            (&format!("{issuer}roles_at = \"a..b\""), vec![format!("issuers.toml:3: {of}, roles_at: found \"a..b\", which has an empty name between its dots; give the name of a claim, or a path such as realm_access.roles")]),
            (&format!("{issuer}groups_at = \"a.\""), vec![format!("issuers.toml:3: {of}, groups_at: found \"a.\", which has an empty name between its dots; give the name of a claim, or a path such as realm_access.roles")]),
            (&format!("{issuer}audiences = [\"${{API}}\"]"), vec![format!("issuers.toml:3: {of}, audiences: found \"${{API}}\", which has a variable in it; set the value itself, because no variable is replaced here")]),
            (&format!("{issuer}audiences = [\"api \"]"), vec![format!("issuers.toml:3: {of}, audiences: found \"api \", which begins or ends with a space or a line break; remove it")]),
            (&format!("{issuer}jwks_file = \"\\nkeys\""), vec![format!("issuers.toml:3: {of}, jwks_file: found \"\\nkeys\", which begins or ends with a space or a line break; remove it")]),
            (&format!("{issuer}audiences = [\"'api'\"]"), vec![format!("issuers.toml:3: {of}, audiences: found \"'api'\", which is still in quotes; remove them")]),
            (&format!("{issuer}algorithms = [\"HS256\"]\nsigning_secret = \"'{SECRET}'\""), vec![format!("issuers.toml:4: {of}, signing_secret: found 36 bytes (not shown), which is still in quotes; remove them")]),
            (&format!("{issuer}introspection_client_secret = '\"s\"'"), vec![format!("issuers.toml:3: {of}, introspection_client_secret: found 3 bytes (not shown), which is still in quotes; remove them")]),
            (&format!("{issuer}algorithms = [\"HS256\"]\nsigning_secret = \"a-string-secret-at-least-256-bits-long\""), vec![format!("issuers.toml:4: {of}, signing_secret: found 38 bytes (not shown), which is a placeholder; give a secret of 32 bytes or more")]),
        ];
        for (text, expected) in rows {
            assert_eq!(parsed(text).unwrap_err(), expected, "{text}");
        }
        let without = parse(issuer, "issuers.toml", defaults(&[])).unwrap_err();
        let expected = format!(
            "issuers.toml:1: {of}, audiences: not set, and AUTH0_API_AUDIENCE is not set either; set it to the identifier of your API"
        );
        assert_eq!(without.to_string(), expected);
    }

    #[test]
    fn faults_show_no_secret() {
        let issuer = "[[issuer]]\nurl = \"https://a.example/\"\nalgorithms = [\"HS256\"]\n";
        for text in [
            format!("{issuer}signing_secret = {SECRET}"),
            format!("{issuer}signing_secret = \"{SECRET}"),
            format!("{issuer}signing_secret = '{SECRET}\"\n"),
            format!("{issuer}signing_secret \"{SECRET}\""),
            format!("{issuer}signing_secret = \"{SECRET}\"\nsigning_secret = \"{SECRET}\""),
            format!("{issuer}\"{SECRET}\" = 1"),
            format!("{issuer}signing_secret = [\"{SECRET}\"]"),
            format!("{issuer}signing_secret = \"{}\"", &SECRET[..20]),
            format!("{issuer}signing_secret = \"\\q{SECRET}\""),
            format!("\"{SECRET}\" = 1"),
        ] {
            let faults = parsed(&text).unwrap_err();
            assert!(!faults.is_empty(), "{text}");
            for fault in faults {
                assert!(
                    !fault.contains("secret that") && !fault.contains("nobody"),
                    "{fault}"
                );
            }
        }
    }

    #[test]
    fn table_with_tenants_becomes_one_issuer_per_tenant() {
        let text = r#"
[[issuer]]
kind = "entra"
url = "https://sts.windows.net/{tenantid}/"
tenants = ["72f988bf-86f1-41af-91ab-2d7cd011db47", "cccc"]
"#;
        let issuers = parsed(text).unwrap();
        let urls: Vec<_> = issuers.iter().map(|issuer| issuer.url.as_str()).collect();
        assert_eq!(
            urls,
            [
                "https://sts.windows.net/72f988bf-86f1-41af-91ab-2d7cd011db47/",
                "https://sts.windows.net/cccc/"
            ]
        );
        let keys = issuers[1].jwks_uri.as_deref();
        assert_eq!(
            keys,
            Some("https://login.microsoftonline.com/cccc/discovery/keys")
        );
    }

    /// A table's own options override the preset, and a preset never removes an option
    #[test]
    fn presets_do_not_override_given_options() {
        for preset in PRESETS {
            let url = preset.url.unwrap_or("https://a.example/realms/b");
            let text = format!(
                "[[issuer]]\nkind = \"{}\"\nurl = \"{url}\"\naudience_claim = \"cid\"\nalgorithms = [\"PS256\"]\njwks_file = \"keys.json\"\nroles_at = \"a\"\ngroups_at = \"b\"",
                preset.name
            );
            let own = parsed(&text).unwrap().remove(0);
            assert_eq!(
                own.audience_claim,
                Some(AudienceClaim::Cid),
                "{}",
                preset.name
            );
            assert_eq!(own.algorithms, [Algorithm::PS256], "{}", preset.name);
            assert_eq!(
                (own.jwks_uri, own.ca_file, own.fetch_token_file),
                (None, None, None),
                "{}",
                preset.name
            );
            assert_eq!(own.roles_at.as_deref(), Some("a"), "{}", preset.name);
            assert_eq!(own.groups_at.as_deref(), Some("b"), "{}", preset.name);
            assert!(preset.source.starts_with("https://"), "{}", preset.name);
        }
    }

    /// If a preset compares a claim other than `aud`, its note must say that this is weaker.
    #[test]
    fn notes_of_weaker_presets_say_so() {
        for preset in PRESETS {
            let mut own = IssuerSettings {
                url: "https://a.example/".to_owned(),
                ..IssuerSettings::default()
            };
            (preset.fill)(&mut own);
            let is_weaker = own.audience_claim.unwrap_or_default() != AudienceClaim::Aud
                || own.token_max_age.is_some()
                || own.leeway.is_some()
                || own.algorithms.iter().any(|alg| alg.is_symmetric());
            let says_so = preset
                .note
                .is_some_and(|note| note.starts_with("weaker than the default"));
            assert_eq!(is_weaker, says_so, "{}", preset.name);
        }
    }

    #[test]
    fn warns_if_name_or_field_does_not_fit_the_preset() {
        let audiences = ["a".to_owned()];
        let warnings = |text: &str, field| {
            let with = Defaults {
                field,
                ..defaults(&audiences)
            };
            let (_, warnings) = parse(text, "issuers.toml", with).unwrap();
            warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let text = "[[issuer]]\nkind = \"auth0\"\nurl = \"https://tenant.eu.auth0.com\"";
        let found = warnings(text, None);
        assert!(found[0].contains("with a slash at the end"), "{found:?}");
        let text = "[[issuer]]\nkind = \"iap\"";
        let found = warnings(text, None);
        assert!(
            found[0].contains("set AUTH0_TOKEN_FIELD=x-goog-iap-jwt-assertion"),
            "{found:?}"
        );
        assert!(warnings(text, Some("x-goog-iap-jwt-assertion")).is_empty());
    }

    #[test]
    fn warns_about_blanks_around_a_secret() {
        let audiences = ["a".to_owned()];
        for (option, more) in [
            ("signing_secret", "algorithms = [\"HS256\"]"),
            (
                "introspection_client_secret",
                "introspection = \"opaque\"\nintrospection_client_id = \"a\"",
            ),
        ] {
            let text = format!(
                "[[issuer]]\nurl = \"https://a.example/\"\n{option} = \"{SECRET} \"\n{more}"
            );
            let (_, found) = parse(&text, "issuers.toml", defaults(&audiences)).unwrap();
            let expected = format!(
                "issuers.toml:1: in [[issuer]] \"https://a.example/\", {option}: begins or ends with a space or a line break, which is part of the secret"
            );
            let found: Vec<_> = found.iter().map(ToString::to_string).collect();
            assert_eq!(found, [expected], "{option}");
        }
    }

    #[test]
    fn warns_about_audiences_that_tokens_for_other_apis_have() {
        const GRAPH: &str = "https://graph.microsoft.com";
        let realm = "https://id.example.com/realms/r";
        #[rustfmt::skip]
        let rows = [
            ("its own", realm, "api", Some("account"), Some("audiences: account is the audience of Keycloak's own account API")),
            ("its own of Auth0", "https://tenant.eu.auth0.com/", "api", Some("https://tenant.eu.auth0.com/api/v2/"), Some("audiences: https://tenant.eu.auth0.com/api/v2/ is the audience of Auth0's")),
            ("the default", realm, "account", None, Some("AUTH0_API_AUDIENCE: account is the audience of Keycloak's")),
            ("a default that is not used", realm, "account", Some("api"), None),
            ("a default for another issuer", "https://a.example/", "account", None, None),
            // The variable has this warning, whatever the issuers are.
            ("a default with its own warning", realm, GRAPH, None, None),
            ("an audience of this API", realm, "api", Some("other"), None),
        ];
        for (case, url, default, own, expected) in rows {
            let own = own.map_or_else(String::new, |name| format!("audiences = [{name:?}]"));
            let text = format!("[[issuer]]\nurl = {url:?}\n{own}\n");
            let audiences = [default.to_owned()];
            let (_, found) = parse(&text, "issuers.toml", defaults(&audiences)).unwrap();
            let found: Vec<_> = found.iter().map(ToString::to_string).collect();
            let begin = |text| format!("issuers.toml:1: in [[issuer]] {url:?}, {text}");
            let is_as_expected = match expected {
                Some(text) => found.len() == 1 && found[0].starts_with(&begin(text)),
                None => found.is_empty(),
            };
            assert!(is_as_expected, "{case}: {found:?}");
        }
    }

    /// Returns the comparable options of a table.
    fn comparable(own: &IssuerSettings) -> String {
        let secrets = [&own.signing_secret, &own.introspection_client_secret];
        let secrets = secrets.map(|secret| secret.as_ref().map(|text| text.as_str().to_owned()));
        format!("{own:?} {secrets:?}")
    }

    /// Iterates over all variables, so we can't forget a new one.
    #[test]
    fn the_written_file_has_every_option_whose_variable_is_set() {
        let variables = [
            ("AUTH0_ISSUER", "https://a.example/"),
            (
                "AUTH0_API_AUDIENCE",
                "https://api.example.com,a \"quoted\" one",
            ),
            ("AUTH0_ALGORITHMS", "RS256,ES512,HS256"),
            ("AUTH0_SIGNING_SECRET", SECRET),
            ("AUTH0_INTROSPECTION", "opaque"),
            ("AUTH0_INTROSPECTION_CLIENT_ID", "api"),
            ("AUTH0_INTROSPECTION_CLIENT_SECRET", " a \\ secret "),
            ("PUBLIC_URL", "https://api.example.com"),
        ];
        // a secret and a key can't be set together
        let is_excluded = |name: &str, other: &str| {
            name == "AUTH0_INTROSPECTION_CLIENT_SECRET" && other == "AUTH0_INTROSPECTION_KEY_FILE"
        };
        let of = |name: &str, value: &'static str| {
            let others = variables
                .into_iter()
                .filter(|(set, _)| !is_excluded(set, name));
            let own = variables::find(name).map(|variable| (variable.name, value));
            Environment::of(others.chain(own))
        };
        let written = |environment: &Environment| {
            let (config, _) = Config::from_environment(environment).unwrap();
            config.to_issuers_file(environment)
        };
        let with = Defaults {
            public_url: Some("https://api.example.com"),
            ..defaults(&[])
        };
        let read = |text: &str| {
            let (mut issuers, _) = parse(text, "issuers.toml", with).unwrap();
            assert_eq!(issuers.len(), 1, "{text}");
            issuers.remove(0)
        };
        let base = read(&written(&of("", "")));
        assert_eq!(base.url, "https://a.example/");
        assert_eq!(
            base.audiences,
            ["https://api.example.com", "a \"quoted\" one"]
        );
        assert_eq!(
            base.algorithms,
            [Algorithm::RS256, Algorithm::ES512, Algorithm::HS256]
        );
        let secret = |secret: &Option<Secret>| secret.as_ref().unwrap().as_str().to_owned();
        assert_eq!(secret(&base.signing_secret), SECRET);
        assert_eq!(secret(&base.introspection_client_secret), " a \\ secret ");

        let mut walked = Vec::new();
        for (_, variable) in options_of_variables() {
            let name = variable.name;
            // `variables` has it already, or it also applies to the routes and the metadata
            let is_set = variables.iter().any(|(set, _)| *set == name);
            if is_set || name == "AUTH0_REQUIRED_SCOPE" {
                continue;
            }
            let value = match name {
                "AUTH0_JWKS_URI" | "AUTH0_INTROSPECTION_URI" => "https://a.example/there",
                _ => variable.example,
            };
            let text = written(&of(name, value));
            let own = read(&text);
            assert_ne!(comparable(&own), comparable(&base), "{name}: {text}");
            walked.push(name);
        }
        assert!(walked.len() > 8, "{walked:?}");
    }

    /// The texts in which we mention options: pages, advice and notes
    fn texts() -> Vec<(String, String)> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut texts = Vec::new();
        for page in fs::read_dir(root.join("docs")).unwrap() {
            let path = page.unwrap().path();
            if path.extension().is_some_and(|ending| ending == "md") {
                texts.push((
                    path.display().to_string(),
                    fs::read_to_string(&path).unwrap(),
                ));
            }
        }
        for name in ["README.md", "README.ja.md", "CHANGELOG.md"] {
            texts.push((
                name.to_owned(),
                fs::read_to_string(root.join(name)).unwrap(),
            ));
        }
        let notes = PRESETS.iter().filter_map(|preset| preset.note);
        texts.extend(notes.map(|note| ("a preset".to_owned(), note.to_owned())));
        texts
    }

    /// Every line `option = value` in our texts is valid in a table.
    #[test]
    fn each_option_that_a_text_names_is_valid() {
        let (mut count, mut faults) = (0, Vec::new());
        for (page, text) in texts() {
            for line in text.split(['\n', '`']) {
                // drop a comment, or the end of a cell in a Markdown table
                let line = line.split(" #").next().unwrap_or_default().trim();
                let line = line.trim_end_matches('|').trim_end();
                let sentence = line.rsplit_once(". With").map_or(line, |(_, rest)| rest);
                for (option, _) in OPTIONS {
                    let assignment = format!("{option} = ");
                    let Some(at) = sentence.find(&assignment) else {
                        continue;
                    };
                    let starts = at == 0 || sentence[..at].ends_with(' ');
                    let value = &sentence[at + assignment.len()..];
                    if !starts || !value.starts_with(['"', '[']) || value.contains('…') {
                        continue;
                    }
                    let url = "https://a.example/";
                    let line = format!("{option} = {value}");
                    let rest = match *option {
                        "url" if value.contains(TENANT) => "tenants = [\"t\"]\n".to_owned(),
                        "url" => String::new(),
                        "tenants" => format!("url = \"{url}{TENANT}\"\n"),
                        "introspection" if value.starts_with("\"o") && !value.contains("off") => {
                            format!(
                                "url = \"{url}\"\nintrospection_client_id = \"a\"\nintrospection_client_secret = \"s\"\n"
                            )
                        }
                        _ => format!("url = \"{url}\"\n"),
                    };
                    let table = format!("[[issuer]]\n{line}\n{rest}");
                    if let Err(faults_of_table) = parsed(&table) {
                        faults.push(format!("{page}: {line}: {faults_of_table:?}"));
                    }
                    count += 1;
                }
            }
        }
        assert!(faults.is_empty(), "{}", faults.join("\n"));
        assert!(count > 10, "only {count}");
    }

    /// Every example of a whole file starts the service.
    #[test]
    fn each_file_that_a_page_shows_is_valid() {
        let mut count = 0;
        for (page, text) in texts() {
            let blocks = text.split("```toml\n").skip(1);
            let blocks = blocks.map(|block| block.split("```").next().unwrap_or_default());
            for block in blocks.filter(|block| block.contains("[[issuer]]")) {
                assert!(parsed(block).is_ok(), "{page}: {:?}", parsed(block));
                count += 1;
            }
        }
        assert!(count > 0);
    }
}
