-- http-request lua.bearer: asks warp-bearer for the policy in txn.policy. A 200 lets the request go on
-- with what is told of the token; every other answer is the client's, as it is.

local AUTH = "http://127.0.0.1:8000/auth"
local TOLD = { "x-auth-subject", "x-auth-scope", "x-auth-claims" }
local HANDED_ON = { "content-type", "www-authenticate", "retry-after", "cache-control", "x-request-id" }

-- Every field line under a name. What HAProxy itself hands out counts from 0, what its client
-- answers from 1.
local function lines(headers, name)
    local found = {}
    for _, value in pairs(headers[name] or {}) do
        found[#found + 1] = value
    end
    return found
end

local function ask(txn)
    local policy = txn:get_var("txn.policy")
    return core.httpclient():get({
        url = policy and AUTH .. "?" .. policy or AUTH,
        -- Two of them are warp-bearer's to refuse.
        headers = { authorization = lines(txn.http:req_get_headers(), "authorization") },
        timeout = 5000,
    })
end

local function refuse(txn, status, headers, body)
    local reply = txn:reply({ status = status })
    for _, name in ipairs(HANDED_ON) do
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
        for _, name in ipairs(TOLD) do
            local value = lines(answer.headers, name)[1]
            if value then
                txn.http:req_set_header(name, value)
            end
        end
    elseif status >= 400 and status <= 599 then
        refuse(txn, status, answer.headers, answer.body)
    else
        -- Nobody answered, or not /auth.
        refuse(txn, 503, {}, "")
    end
end)
