"""The tables of the journal, and how those of an older format become today's. No torch.

A format is raised when an older program could not read a newer folder. Each keeps its fixture in `tests/fixtures`.
"""

import sqlite3

FORMAT = 4
OLDEST = 2  #: that is still read

# What tables show is apart from the long texts, so that a look over a whole run reads few pages.
SCHEMA = """
create table jobs (
    job integer primary key,    -- in the order in which they were opened; other tables name a job by it
    stage text not null, number integer not null,
    id text not null unique, generation integer not null,
    parent integer references jobs, -- what it was bred from, or is about
    measure text,               -- what is measured of the parent; empty: the job trains
    heard integer,              -- how many results the strategy had been told when it bred this
    graph_id text not null, depth integer not null, conv_layers integer not null,
    params integer not null, flops integer not null, receptive_field integer not null,
    seed integer not null, opened text not null,
    unique (stage, number));
create index jobs_by_graph on jobs (graph_id, stage, number);
create table tasks (            -- genome: empty for a network that was made by hand
    job integer primary key references jobs, genome text, graph text not null,
    options text);              -- of a measure, or of a training that differs from its run's
create table proposals (        -- of a job whose strategy has several reasons; predicted: its first objective
    job integer primary key references jobs, reason text not null, predicted real);
create table results (
    job integer not null references jobs, attempt integer not null,
    told integer not null,      -- whether this is the attempt that the strategy heard of
    same_as integer,            -- the job whose result this is a copy of
    status text not null, epochs integer, seconds real,
    peak_memory_mb real, scratch_share real, closed text not null,
    primary key (job, attempt)) without rowid;
create unique index results_told on results (job) where told=1;
create index results_copied on results (same_as) where same_as is not null;
create table metrics (
    job integer not null references jobs, attempt integer not null, name text not null, value real not null,
    primary key (job, attempt, name)) without rowid;
create table details (
    job integer not null references jobs, attempt integer not null, detail text not null,
    unique (job, attempt));
create table generations (
    generation integer primary key, stage text not null, members text not null, statistics text not null);
create table sessions (         -- of a driver, up to its last word; seconds
    session integer primary key, started text not null, slots integer not null,
    startup real not null, wall real not null,
    busy text not null);        -- of all slots together, by the status that a job ended in
"""

# Format 2 had no stages: the from-scratch training of job n, in the final ranking, was job 10^9 + n. What it knew of
# training accuracies was in a table that its first programs lacked; they are told from the curves.
_FROM_2 = f"""
create table if not exists train_scores (number integer, attempt integer, accuracy real);
drop index jobs_by_graph;
drop index results_told;
drop index results_copied;
alter table jobs rename to old_jobs;
alter table genomes rename to old_genomes;
alter table results rename to old_results;
alter table details rename to old_details;
alter table generations rename to old_generations;
alter table sessions rename to old_sessions;
{SCHEMA}
create temp table keys as select number, row_number() over (order by number) as job from old_jobs;
create unique index temp.keys_by_number on keys (number);
insert into jobs select k.job, case when number < 1000000000 then 'search' else 'final' end, number % 1000000000, id,
    generation, (select job from keys where number = j.parent), null, heard, graph_id, depth, conv_layers, params,
    flops, receptive_field, seed, opened from old_jobs j join keys k using (number);
insert into tasks select job, genome, graph, null from old_genomes join keys using (number);
insert into results select job, attempt, told, (select job from keys where number = r.same_as), status, epochs,
    seconds, peak_memory_mb, scratch_share, closed from old_results r join keys k using (number);
insert into metrics select job, attempt, 'val_accuracy', val_accuracy from old_results join keys using (number)
    where val_accuracy is not null;
insert into metrics select job, attempt, 'val_loss', val_loss from old_results join keys using (number)
    where val_loss is not null;
insert into metrics select job, attempt, 'train_accuracy', accuracy from (
    select r.number, r.attempt, coalesce(s.accuracy, (
        select json_extract(e.value, '$.train_accuracy') from old_details d, json_each(d.detail, '$.curve') e
        where d.number = r.number and d.attempt = r.attempt
        order by json_extract(e.value, '$.val_accuracy') desc, json_extract(e.value, '$.val_loss'), e.key limit 1
    )) as accuracy
    from old_results r left join train_scores s on s.number = r.number and s.attempt = r.attempt
    where r.val_accuracy is not null) join keys using (number) where accuracy is not null;
insert into metrics select job, (select max(attempt) from old_results r where r.number = t.number),
    'test_accuracy', accuracy from test_scores t join keys using (number);
insert into metrics select job, (select max(attempt) from old_results r where r.number = t.number),
    'test_loss', loss from test_scores t join keys using (number);
insert into details select job, attempt, detail from old_details d join keys using (number) order by d.rowid;
insert into generations select generation,
    coalesce((select stage from jobs j where j.generation = g.generation limit 1), 'search'),
    (select json_group_array(value % 1000000000) from (select value from json_each(g.members) order by key)),
    statistics from old_generations g;
insert into sessions select * from old_sessions;
drop table old_details;
drop table old_results;
drop table old_genomes;
drop table old_generations;
drop table old_sessions;
drop table test_scores;
drop table train_scores;
drop table old_jobs;
drop table keys;
"""


_FROM_3 = """
create table proposals (job integer primary key references jobs, reason text not null, predicted real);
"""
_WAYS = {2: _FROM_2, 3: _FROM_3}


def create(db: sqlite3.Connection) -> None:
    """Make the tables of an empty journal, at once or not at all."""
    db.executescript(f"begin; {SCHEMA} pragma user_version={FORMAT}; commit;")


def migrate(db: sqlite3.Connection, found: int) -> None:
    """Bring the tables of format `found` to today's, at once or not at all."""
    try:
        db.executescript(f"begin; {_WAYS[found]} pragma user_version={FORMAT}; commit;")
    except sqlite3.Error:
        if db.in_transaction:
            db.execute("rollback")
        raise
