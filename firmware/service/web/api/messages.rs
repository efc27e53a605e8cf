//! One message: what is known of it, its bytes, and the proof that it is in the archive unchanged.

use super::super::Response;
use super::super::response::Content;
use super::problem::Problem;
use super::search::facts;
use super::{Call, json};
use crate::people::Purpose;
use serde_json::json as value;

/// Gives the facts.
pub(super) fn facts_of(call: &Call<'_>) -> Result<Response, Problem> {
    let seen = call.acting().view(number(call)?)?;
    let mut object = facts(&seen.entry);
    object["hidden_recipients"] = value!(seen.hidden);
    object["is_whole"] = value!(seen.is_whole);
    object["linked"] = value!(seen.linked);
    object["copies"] = value!(seen.copies);
    Ok(json(200, &object))
}

/// Gives the bytes, exactly as they came in but for fields that name hidden recipients who are not shown to the person.
pub(super) fn raw(call: &Call<'_>) -> Result<Response, Problem> {
    let body = call.acting().body(number(call)?, Purpose::Download)?;
    let mut response = Response::new(200, "message/rfc822", &b""[..]);
    response.content = Content::Body(body);
    Ok(response)
}

/// Gives a C2SP tlog-proof.
pub(super) fn proof(call: &Call<'_>) -> Result<Response, Problem> {
    let proofs = call.acting().prove(vec![number(call)?], None)?;
    let proof = proofs.into_iter().next().ok_or_else(Problem::not_found)?;
    Ok(Response::text(200, proof.proof))
}

fn number(call: &Call<'_>) -> Result<u64, Problem> {
    let is_digits = call.value.bytes().all(|byte| byte.is_ascii_digit());
    let number = call.value.parse().ok().filter(|_| is_digits);
    number.ok_or_else(Problem::not_found)
}
