//! Generates the `OpenAPI` 3.1 document from the route table.

use std::iter;

use utoipa::openapi::{
    Components, ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApiBuilder, PathItem,
    PathsBuilder, Required, SecurityRequirement,
    path::{HttpMethod, Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn},
    request_body::{RequestBody, RequestBodyBuilder},
    security::{
        ApiKey, ApiKeyValue, ClientCredentials, Flow, HttpAuthScheme, HttpBuilder, OAuth2, Scopes,
        SecurityScheme,
    },
};
use warp::http::{HeaderName, Method};

use crate::{
    auth::policy::Policy,
    service::api::{
        docs::{
            Docs, TokenEndpoint,
            page::FILES,
            responses::{answers, catalogue},
            schemas::{FORM, JSON, any_object, form, one_of, schemas, scope_list, text, text_like},
        },
        errors::PAGES,
        matcher::Methods,
        route::{self, Form, Requires, Row},
    },
};

const BEARER: &str = "bearer";
/// Sorts before [`BEARER`], so that the page first lists the scheme that needs no pasted token
const FETCHED: &str = "access_token";
const DPOP: &str = "dpop";

const ABOUT: &str = "Every error is `application/problem+json` with a stable `code`, which `/errors/{code}` \
explains. `HEAD` works wherever `GET` does. Other methods are answered with 405, `method_not_allowed`, \
and `Allow`; other paths with 404, `not_found`.";

#[derive(Debug, Clone, Copy)]
pub(in crate::service) struct Schemes<'a> {
    pub(in crate::service) bearer: bool,
    pub(in crate::service) dpop: bool,
    /// The header with the token, if it isn't `Authorization`
    pub(in crate::service) field: Option<&'a HeaderName>,
}

impl Docs {
    /// Returns the document for these rows, for plain bearer tokens.
    ///
    /// # Panics
    ///
    /// Never: all keys are strings, so the document always serializes.
    pub fn openapi(&self, rows: &[&Row]) -> String {
        let (bearer, dpop, field) = (true, false, None);
        self.openapi_with(
            rows,
            Schemes {
                bearer,
                dpop,
                field,
            },
        )
    }

    /// Like [`openapi`](Self::openapi), for these schemes
    pub(in crate::service) fn openapi_with(&self, rows: &[&Row], schemes: Schemes<'_>) -> String {
        let mut paths = PathsBuilder::new();
        // OpenAPI can't describe all paths below a path
        for row in rows.iter().filter(|row| !row.template.ends_with('*')) {
            let also = row.also();
            for path in iter::once(row.template).chain(also.iter().map(String::as_str)) {
                let item = PathItem::new(method(&row.methods), self.operation(row, path, schemes));
                paths = paths.path(path, item);
            }
        }
        let info = InfoBuilder::new()
            .title(env!("CARGO_PKG_NAME"))
            .version(env!("CARGO_PKG_VERSION"))
            .description(Some(ABOUT))
            .license(Some(
                LicenseBuilder::new()
                    .name("MIT")
                    .identifier(Some(env!("CARGO_PKG_LICENSE")))
                    .build(),
            ))
            .build();
        let document = OpenApiBuilder::new()
            .info(info)
            .paths(paths)
            .components(Some(self.components(rows, schemes)))
            .build();
        document
            .to_json()
            .expect("the keys are strings, so the document serializes")
    }

    fn operation(&self, row: &Row, path: &str, schemes: Schemes<'_>) -> Operation {
        let mut operation = OperationBuilder::new()
            .tag(tag(path))
            .summary(Some(row.summary))
            .operation_id(Some(operation_id(&row.methods, path)))
            .responses(answers(row));
        for parameter in segment(row.template).into_iter().chain(queries(row.form)) {
            operation = operation.parameter(parameter);
        }
        if let Some(body) = request_body(row.reads) {
            operation = operation.request_body(Some(body));
        }
        let Some(requires) = &row.requires else {
            return operation.build();
        };
        let scopes = scopes(requires);
        operation = operation.description(Some(needs(row, &scopes)));
        if schemes.bearer {
            operation = operation.security(SecurityRequirement::new(BEARER, &scopes));
        }
        if schemes.bearer && self.tokens.is_some() {
            operation = operation.security(SecurityRequirement::new(FETCHED, &scopes));
        }
        if schemes.dpop {
            operation = operation.security(SecurityRequirement::new(DPOP, &scopes));
        }
        operation.build()
    }

    fn components(&self, rows: &[&Row], schemes: Schemes<'_>) -> Components {
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .description(Some(
                "An access token of the issuer for this API (RFC 6750).",
            ))
            .build();
        let bearer = match schemes.field {
            None => SecurityScheme::Http(bearer),
            Some(name) => SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(
                name.as_str(),
                "An access token of the issuer for this API, without a scheme.",
            ))),
        };
        let mut components = ComponentsBuilder::new()
            .schemas_from_iter(schemas())
            .security_scheme(BEARER, bearer);
        if schemes.dpop {
            // OpenAPI can't describe that a proof belongs to a token
            let token = match schemes.field {
                None => "`Authorization`: the word DPoP, a space and the token".to_owned(),
                Some(name) => format!("`{name}`, without a scheme"),
            };
            let about = format!(
                "A DPoP proof for this request (RFC 9449), together with a bound access token in {token}."
            );
            let proof = ApiKeyValue::with_description("DPoP", &about);
            let proof = SecurityScheme::ApiKey(ApiKey::Header(proof));
            components = components.security_scheme(DPOP, proof);
        }
        for (code, example) in catalogue() {
            components = components.example(code, example);
        }
        if let Some(tokens) = &self.tokens {
            components = components.security_scheme(FETCHED, fetched(tokens, rows));
        }
        components.build()
    }
}

/// The scheme with which the page fetches tokens from the local issuer.
fn fetched(tokens: &TokenEndpoint, rows: &[&Row]) -> SecurityScheme {
    let policies = rows
        .iter()
        .filter_map(|row| row.requires.as_ref()?.policy.as_ref());
    let scopes: Scopes = policies
        .flat_map(Policy::named_scopes)
        .map(|scope| (scope.to_owned(), String::new()))
        .collect();
    let flow = Flow::ClientCredentials(ClientCredentials::new(&tokens.url, scopes));
    SecurityScheme::OAuth2(OAuth2::with_description(
        [flow],
        "A token of the local development issuer: tick the scopes, and authorize.",
    ))
}

fn scopes(requires: &Requires) -> Vec<String> {
    let policy = requires.policy.as_ref();
    let scopes = policy.and_then(Policy::scopes).unwrap_or_default();
    scopes.split_whitespace().map(str::to_owned).collect()
}

fn needs(row: &Row, scopes: &[String]) -> String {
    let mut needs = match scopes {
        [] => "Requires a valid token.".to_owned(),
        scopes => format!(
            "Requires a valid token with the scope `{}`.",
            scopes.join(" ")
        ),
    };
    if row.form == Form::Forwarded {
        needs += " The query has further requirements.";
    }
    if row.methods == Methods::Any {
        needs += " Any method is answered like `GET`.";
    }
    needs
}

/// The body that a row reads. The schema of JSON is not documented.
fn request_body(reads: route::RequestBody) -> Option<RequestBody> {
    let (kind, content) = match reads {
        route::RequestBody::Nothing => return None,
        route::RequestBody::Json => (JSON, any_object()),
        route::RequestBody::Form(field) => (FORM, form(field)),
    };
    let body = RequestBodyBuilder::new().content(kind, content);
    Some(body.required(Some(Required::True)).build())
}

/// The parameter for the segment in braces. If it has only a few values, we list them.
fn segment(template: &str) -> Option<Parameter> {
    let (_, rest) = template.split_once('{')?;
    let (name, _) = rest.split_once('}')?;
    let schema = match name {
        "code" => one_of(PAGES.iter().map(|page| page.code).collect()),
        "file" => one_of(FILES.to_vec()),
        _ => text(),
    };
    let parameter = ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .schema(Some(schema));
    Some(parameter.build())
}

fn queries(form: Form) -> Vec<Parameter> {
    let asked: &[(&str, &str)] = match form {
        Form::Forwarded => &[
            (
                "scope",
                "The scopes that the token must grant, separated by spaces.",
            ),
            (
                "audience",
                "The audience that the token must have: one of the configured audiences.",
            ),
            (
                "permission",
                "The permissions that the token must have, separated by spaces.",
            ),
            ("role", "A role that the token must have."),
            ("group", "A group that the token must have."),
            (
                "claim",
                "A claim that the token must have, and its value, separated by a colon: org_id:org_1.",
            ),
            (
                "acr",
                "The authentication context classes that suffice, separated by spaces (RFC 9470).",
            ),
            (
                "max_age",
                "The maximum number of seconds since the user's login (RFC 9470).",
            ),
        ],
        Form::Metadata => &[(
            "audience",
            "The audience whose metadata is returned: one of the configured audiences that is a URL.",
        )],
        _ => &[],
    };
    let parameter = |(name, what): &(&str, &str)| {
        let schema = match *name {
            "scope" | "permission" | "acr" => scope_list(),
            "claim" => text_like(r"^[^\x00-\x1f\x7f-\x9f]+:[^\x00-\x1f\x7f-\x9f]*$"),
            "max_age" => text_like("^[0-9]{1,9}$"),
            _ => text_like(r"^[^\x00-\x1f\x7f-\x9f]+$"),
        };
        ParameterBuilder::new()
            .name(*name)
            .parameter_in(ParameterIn::Query)
            .required(Required::False)
            .description(Some(*what))
            .schema(Some(schema))
            .build()
    };
    asked.iter().map(parameter).collect()
}

/// `OpenAPI` can't describe a row for all methods, so we describe it as `GET`.
fn method(methods: &Methods) -> HttpMethod {
    match methods {
        Methods::Only(Method::POST) => HttpMethod::Post,
        Methods::Only(Method::PUT) => HttpMethod::Put,
        Methods::Only(Method::PATCH) => HttpMethod::Patch,
        Methods::Only(Method::DELETE) => HttpMethod::Delete,
        Methods::Only(_) | Methods::Any => HttpMethod::Get,
    }
}

fn tag(path: &str) -> &'static str {
    if path.starts_with("/api/") {
        "API"
    } else {
        "Service"
    }
}

/// E.g. `get_api_private_scoped`.
fn operation_id(methods: &Methods, path: &str) -> String {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric());
    let method = methods.to_string().to_ascii_lowercase();
    let words = words.filter(|word| !word.is_empty());
    words.fold(method, |id, word| id + "_" + word)
}
