-- The two filters of the list that are set together most, and that may never occur together: then a walk along either of them
-- drops every row. Takes the traces' lock while it is built.
create index traces_by_agent_and_model on traces (tenant_id, agent_id, model_asked, at, id, outcome);
