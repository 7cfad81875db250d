//! [`PastedProof`]: the DPoP proof in a pasted text, and the request that it comes with.

use reqwest::Url;
use warp::http::Method;

use crate::{
    auth::{Auth, explain_proof::ProofOfRequest},
    service::cli::explain::pasted::{
        command,
        line::value_of,
        request::{self, BLANKS},
    },
};

const NAME: &str = "DPoP";

const OFF: &str = "The input has a DPoP proof, but DPoP is off in this configuration, so that only tokens after the word Bearer are accepted.";
const NO_REQUEST: &str = "The input has a DPoP proof, but not the request that it is for. To explain the proof too, name its request: --proof PROOF --request METHOD URL.";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::service) struct PastedProof {
    proof: String,
    /// The method, and the path or the URL. `None` if the text does not have them.
    request: Option<(String, String)>,
}

impl PastedProof {
    /// Finds the only proof in a text. `None` if there is no proof, or more than one.
    pub(super) fn find(text: &str) -> Option<Self> {
        let heads = request::heads(text);
        let of_heads = heads.iter().flat_map(|head| {
            let values = head.values(text, NAME);
            values.map(|value| (value.to_owned(), Some(head.request(text))))
        });
        let commands = command::commands(text);
        let of_commands = commands.iter().flat_map(|command| {
            let values = command.values(NAME);
            values.map(|value| (value.to_owned(), command.request()))
        });
        let mut proofs: Vec<_> = of_heads.chain(of_commands).collect();
        // A single line has no room for a token beside the proof.
        if proofs.is_empty() && text.trim().contains('\n') {
            let lines = text.lines();
            let lines = lines.map(|line| line.trim_start_matches(['>', '*', ' ', '\t']));
            proofs.extend(lines.filter_map(|line| {
                let (value, _) = value_of(line, NAME)?;
                Some((value.to_owned(), None))
            }));
        }
        let (proof, request) = proofs.pop().filter(|_| proofs.is_empty())?;
        let proof = proof.trim_matches(BLANKS).to_owned();
        (!proof.is_empty()).then_some(Self { proof, request })
    }

    /// The proof with its request, and a note for the reader. `enable` says how to enable DPoP.
    pub(in crate::service) fn of_request(
        self,
        auth: &Auth,
        is_forwarded: bool,
        enable: &str,
    ) -> (Option<ProofOfRequest>, String) {
        if auth.schemes().used_in(NAME) != NAME {
            return (None, format!("{OFF} To enable DPoP, {enable}."));
        }
        let presented = self.request.and_then(|(method, url)| {
            let method: Method = method.parse().ok()?;
            // A request to this machine can have an origin other than that of PUBLIC_URL
            let own_path = || Some(Url::parse(&url).ok()?.path().to_owned());
            let path = auth.path_of(&url, is_forwarded).or_else(own_path)?;
            let proof = self.proof;
            Some(ProofOfRequest {
                proof,
                method,
                path,
                is_forwarded,
            })
        });
        match presented {
            Some(presented) => {
                let ProofOfRequest { method, path, .. } = &presented;
                let note = format!(
                    "The DPoP proof in the input is explained with its request: {method} {path}."
                );
                (Some(presented), note)
            }
            None => (None, NO_REQUEST.to_owned()),
        }
    }
}
