//! A small MCP server that verifies tokens. Reading notes needs one scope, writing them needs two.
//!
//! ```sh
//! ISSUER=https://tenant.eu.auth0.com/ RESOURCE=http://127.0.0.1:3000/mcp cargo run
//! ```
//!
//! A client that knows only the URL gets a 401 with the address of the metadata. There it learns
//! which issuer to use and which scope to request, and it returns with a token. If it then calls
//! `write_note` without the required scope, it gets a 403 with the scopes that suffice, and
//! requests those ("step-up").

use std::{
    env,
    error::Error,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Json, Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{Method, StatusCode, header, request::Parts},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use rmcp::{
    ServerHandler,
    handler::server::{router::tool::ToolRouter, tool::Extension, wrapper::Parameters},
    schemars, tool, tool_handler, tool_router,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
    },
};
use serde::Deserialize;
use tower_http::cors::{AllowHeaders, Any, CorsLayer};
use warp_bearer::auth::{
    Auth, Claims,
    policy::{Policy, Requirement, scope},
    tower::RequireLayer,
};

/// The maximum size of a message. We have to read a message before we know which policy it needs.
const MAX_BODY: usize = 1024 * 1024;

/// The policy of every request.
const READ: Policy = scope("notes:read");

/// What a tool needs in addition to [`READ`].
///
/// The policy of `write_note` repeats the scope for reading, so that the challenge names both.
/// Older clients request exactly the scopes of the challenge, and would lose the ones they had.
fn policy(tool: &str) -> Option<Policy> {
    (tool == "write_note").then(|| READ & scope("notes:write"))
}

#[derive(Clone)]
struct Notes {
    written: Arc<Mutex<Vec<String>>>,
    tool_router: ToolRouter<Self>,
}

#[derive(Deserialize, schemars::JsonSchema)]
struct Note {
    text: String,
}

#[tool_router]
impl Notes {
    fn new() -> Self {
        Self {
            written: Arc::default(),
            tool_router: Self::tool_router(),
        }
    }

    #[tool(description = "Returns all notes, and whose token it was.")]
    async fn read_notes(&self, Extension(request): Extension<Parts>) -> String {
        // `RequireLayer` has put the claims here
        let claims = request.extensions.get::<Claims>();
        let reader = claims.and_then(Claims::subject).unwrap_or("you");
        let notes = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        format!("{reader} reads: {}", notes.join(", "))
    }

    #[tool(description = "Writes a note.")]
    async fn write_note(&self, Parameters(note): Parameters<Note>) -> String {
        let mut notes = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        notes.push(note.text);
        "written".to_owned()
    }
}

#[tool_handler(router = self.tool_router)]
impl ServerHandler for Notes {}

/// Checks the policy of the tool that a message calls. If it isn't met, we answer with an HTTP
/// response rather than a tool result, which is what clients expect.
async fn check_tool(State(auth): State<Auth>, request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let claims = head.extensions.get::<Claims>().cloned();
    for policy in tools(&body).iter().filter_map(|tool| policy(tool)) {
        let Some(claims) = claims.clone() else {
            let refusal = auth.refusal(warp_bearer::auth::AuthError::MissingToken);
            return refusal.into_response();
        };
        if let Err(refusal) = Requirement::from(policy).grant(claims).await {
            return refusal.into_response();
        }
    }
    next.run(Request::from_parts(head, Body::from(body))).await
}

/// The tools that a message calls. Older protocol versions allow several messages in one body.
fn tools(body: &Bytes) -> Vec<String> {
    #[derive(Deserialize)]
    struct Call {
        #[serde(default)]
        method: String,
        #[serde(default)]
        params: serde_json::Value,
    }
    let calls = serde_json::from_slice::<Vec<Call>>(body)
        .or_else(|_| serde_json::from_slice(body).map(|call| vec![call]));
    let calls = calls.unwrap_or_default().into_iter();
    calls
        .filter(|call| call.method == "tools/call")
        .filter_map(|call| call.params["name"].as_str().map(str::to_owned))
        .collect()
}

fn app(auth: &Auth) -> Result<Router, Box<dyn Error>> {
    let notes = Notes::new();
    let mcp = StreamableHttpService::new(
        move || Ok(notes.clone()),
        Arc::new(LocalSessionManager::default()),
        StreamableHttpServerConfig::default(),
    );
    let metadata = auth.metadata(["notes:read"]).ok_or("no resource")?;
    let path = metadata.path().to_owned();
    // We can allow every origin: a token is still required, and we read no cookies.
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([
            header::WWW_AUTHENTICATE,
            header::HeaderName::from_static("mcp-session-id"),
        ]);
    Ok(Router::new()
        .route_service("/mcp", mcp)
        .layer(from_fn_with_state(auth.clone(), check_tool))
        .layer(RequireLayer::new(auth, READ))
        .route(&path, get(|| async { Json(metadata) }))
        .layer(cors))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let resource = env::var("RESOURCE").map_err(|_| "RESOURCE is not set")?;
    let issuer = env::var("ISSUER").map_err(|_| "ISSUER is not set")?;
    let listen = env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
    let auth = Auth::builder()
        .issuer(issuer.as_str())
        .audience(&resource)
        .resource(&resource)
        .build()?;
    let listener = tokio::net::TcpListener::bind(&listen).await?;
    println!("an MCP server listens at {}", listener.local_addr()?);
    axum::serve(listener, app(&auth)?).await?;
    Ok(())
}
