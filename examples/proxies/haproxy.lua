-- http-request lua.bearer: asks /auth whether the request satisfies the policy in txn.policy. If /auth
-- answers 200, the request continues with the fields in IDENTITY. The client gets every error as it is.

local AUTH = "http://127.0.0.1:8000/auth"
-- Fields of the client's request that are sent to /auth.
local ASKED_WITH = { "authorization", "dpop", "origin", "x-request-id", "traceparent", "tracestate" }
-- Fields of a 200 of /auth that are sent to the application.
local IDENTITY = { "x-auth-issuer", "x-auth-subject", "x-auth-scope", "x-auth-claims" }
-- Fields of an error of /auth that are sent to the client.
local REFUSED_WITH = {
    "content-type", "www-authenticate", "retry-after", "cache-control", "dpop-nonce",
    "access-control-allow-origin", "access-control-expose-headers", "vary",
}
-- The fields of the 503 if /auth doesn't answer.
local UNAVAILABLE = {
    ["content-type"] = { "application/problem+json" }, ["retry-after"] = { "1" }, ["cache-control"] = { "no-store" },
}

-- Every value of a field, in order. HAProxy numbers the values of a request from 0 and those of its HTTP
-- client's response from 1, and `pairs` returns them in any order.
local function lines(headers, name)
    local values, indices, found = headers[name] or {}, {}, {}
    for index in pairs(values) do
        indices[#indices + 1] = index
    end
    table.sort(indices)
    for position, index in ipairs(indices) do
        found[position] = values[index]
    end
    return found
end

local function ask(txn)
    local policy = txn:get_var("txn.policy")
    local sent, headers = txn.http:req_get_headers(), {}
    for _, name in ipairs(ASKED_WITH) do
        -- Sends every value, so that warp-bearer can reject a request with two Authorization fields.
        headers[name] = lines(sent, name)
    end
    -- A DPoP proof (RFC 9449) names a method and a URL. /auth compares it with these fields, and doesn't
    -- use them for anything else.
    headers["x-forwarded-method"] = { txn.sf:method() }
    headers["x-forwarded-uri"] = { txn.sf:pathq() }
    -- /auth logs this field
    headers["x-forwarded-host"] = lines(sent, "host")
    return core.httpclient():get({
        url = policy and AUTH .. "?" .. policy or AUTH,
        headers = headers,
        -- Milliseconds. HAProxy asks up to four times, so a client waits for 10 s if warp-bearer hangs.
        -- Don't use less: warp-bearer waits for its issuer for up to 3 s, but a repeated request finds the
        -- key that the first one has fetched.
        timeout = 2500,
    })
end

local function refuse(txn, status, headers, body)
    local reply = txn:reply({ status = status })
    reply:add_header("x-request-id", txn:get_var("txn.id"))
    for _, name in ipairs(REFUSED_WITH) do
        for _, value in ipairs(lines(headers, name)) do
            reply:add_header(name, value)
        end
    end
    reply:set_body(body)
    txn:done(reply)
end

core.register_action("bearer", { "http-req" }, function(txn)
    local answer = ask(txn)
    local status = answer and answer.status or 0
    if status == 200 then
        for _, name in ipairs(IDENTITY) do
            local value = lines(answer.headers, name)[1]
            if value then
                txn.http:req_set_header(name, value)
            end
        end
        local nonce = lines(answer.headers, "dpop-nonce")[1]
        if nonce then
            txn:set_var("txn.nonce", nonce)
        end
    elseif status >= 400 and (status < 500 or answer.headers["x-request-id"]) then
        refuse(txn, status, answer.headers, answer.body)
    else
        -- /auth answered with a status that it never uses, or not at all. In the second case, HAProxy makes
        -- an answer with 503 or 504 itself, without X-Request-Id.
        refuse(txn, 503, UNAVAILABLE, '{"title":"Service Unavailable","status":503}')
    end
end)
