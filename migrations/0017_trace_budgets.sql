-- How the budgets of a request stood when it was settled, as the node that judged it saw them. Traces from before say nothing of it.
alter table traces add column budgets jsonb not null default '[]';
