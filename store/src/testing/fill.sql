-- One day of made-up traces: $1 the day, $2 the first number, $3 how many. As the administrator, around row-level security.
--
-- Tenant 0 has 60 %, the others fewer and fewer. Of everything that is filtered by there is something common, something
-- uncommon and, in the row numbered $4, something that is there once. Agent 1 of a tenant never asks for model-2.
with drawn as (
  select n, $1::date + interval '1 day' * ((n - $2) / $3::float8) as at, md5(n::text) as digits,
    (hashint8extended(n, 1) & 1048575) / 1048576.0 as for_tenant, (hashint8extended(n, 2) & 1048575) / 1048576.0 as for_agent,
    (hashint8extended(n, 3) & 1048575) / 1048576.0 as for_model, (hashint8extended(n, 4) & 1048575) / 1048576.0 as for_outcome
  from generate_series($2::bigint, $2::bigint + $3::bigint - 1) as n
), chosen as (
  select n, at, digits, for_outcome, floor(10 * for_agent * for_agent)::integer as agent, floor(8 * for_model * for_model)::integer as model,
    case when n = $4::bigint or for_tenant < 0.6 then 0
      else least(19, 1 + floor(ln(1.0000001 - (for_tenant - 0.6) / 0.4) / -0.35))::integer end as tenant,
    case when n = $4::bigint then 'cut' when for_outcome < 0.9 then 'allowed' when for_outcome < 0.96 then 'masked'
      when for_outcome < 0.98 then 'alerted' when for_outcome < 0.99 then 'blocked' when for_outcome < 0.995 then 'refused'
      else 'failed' end as outcome
  from drawn
), made as (
  select md5('tenant' || tenant)::uuid as tenant_id, at, outcome,
    (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '7' || substr(digits, 1, 3) || '8' || substr(digits, 4, 15))::uuid as id,
    md5('agent' || tenant || ' ' || case when n = $4::bigint then 'rare' else agent::text end)::uuid as agent_id,
    case when n = $4::bigint then 'model-rare' when agent = 1 and model = 2 then 'model-3' else 'model-' || model end as model_asked,
    case when n = $4::bigint then 'RARE' when outcome not in ('masked', 'alerted', 'blocked') then null
      when for_outcome < 0.95 then 'EMAIL_ADDRESS' when for_outcome < 0.97 then 'PHONE_NUMBER' else 'CREDIT_CARD' end as detector
  from chosen
), traced as (
  insert into traces (tenant_id, at, id, agent_id, key_id, policy_revision, dialect, operation, model_asked, model_served,
    upstream, status, outcome, reason, streamed, input_tokens, cached_input_tokens, output_tokens, reasoning_tokens,
    tokens_estimated, cost_nano_usd, overhead_micros, first_byte_micros, total_micros, attempts, request_bytes, response_bytes,
    findings, findings_total, uninspected)
  select tenant_id, at, id, agent_id, 'AAAAAAAAAAAAAAAA', 3, 'openai', 'chat', model_asked, model_asked, 'openai', 200, outcome,
    null, true, 1000, 200, 300, 0, false, 420000, 300, 400000, 2000000, 1, 4000, 9000,
    case when detector is null then '[]'::jsonb
      else jsonb_build_array(jsonb_build_object('detector', detector, 'category', 'pii', 'direction', 'request',
        'channel', 'message 0', 'start', 4, 'end', 20, 'action', 'mask')) end,
    (detector is not null)::integer, false
  from made
)
insert into trace_detectors (tenant_id, detector, at, id, agent_id, outcome, model_asked)
select tenant_id, detector, at, id, agent_id, outcome, model_asked from made where detector is not null
