// The SQL of journals; docs/journal-format.md describes the views, journal.h the tables below them. It is
// SQLite's, as far as PostgreSQL understands it too, with its words for types and with what
// postgres_dialect.h gives it. A column without a type holds values of any.
#pragma once

#include <cstdint>

namespace throng::journal {

inline constexpr int32_t kApplicationId = 0x54484a31;  // "THJ1"

// With the one view that others need.
inline constexpr const char* kTables = R"(
CREATE TABLE manifest(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE files(name TEXT PRIMARY KEY, bytes INTEGER NOT NULL, digest BLOB NOT NULL, content TEXT) WITHOUT ROWID;
CREATE TABLE sessions(id INTEGER PRIMARY KEY, started TEXT NOT NULL, ended TEXT NOT NULL, outcome TEXT NOT NULL,
  program TEXT NOT NULL, machine TEXT NOT NULL, backend TEXT NOT NULL, first_step INTEGER NOT NULL,
  parameters TEXT NOT NULL);
CREATE TABLE starts(agent INTEGER PRIMARY KEY, name TEXT NOT NULL, x INTEGER NOT NULL, y INTEGER NOT NULL,
  status TEXT NOT NULL);
CREATE TABLE parts(id INTEGER PRIMARY KEY, text TEXT NOT NULL);
CREATE TABLE settings(id INTEGER PRIMARY KEY, choices TEXT, json_schema TEXT, temperature REAL NOT NULL,
  top_k INTEGER NOT NULL, top_p REAL NOT NULL, min_p REAL NOT NULL, repetition_penalty REAL NOT NULL, seed NOT NULL,
  stop TEXT, max_tokens INTEGER NOT NULL);
CREATE TABLE servers(id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE answers(step INTEGER NOT NULL, agent INTEGER NOT NULL, call INTEGER NOT NULL, function TEXT NOT NULL,
  digest BLOB NOT NULL, finish INTEGER NOT NULL, text TEXT NOT NULL, prompt_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL, attempts INTEGER NOT NULL,
  spent_prompt_tokens INTEGER NOT NULL, spent_output_tokens INTEGER NOT NULL, issued_s REAL NOT NULL,
  arrived_s REAL NOT NULL, session INTEGER, server INTEGER, settings INTEGER, system TEXT, prompt TEXT,
  error_code TEXT, PRIMARY KEY(step, agent, call)) WITHOUT ROWID;
CREATE TABLE commits(step INTEGER NOT NULL, first INTEGER NOT NULL, members TEXT NOT NULL, digest BLOB NOT NULL,
  PRIMARY KEY(step, first)) WITHOUT ROWID;
CREATE TABLE bodies(step INTEGER NOT NULL, agent INTEGER NOT NULL, x INTEGER NOT NULL, y INTEGER NOT NULL,
  status TEXT NOT NULL, PRIMARY KEY(step, agent)) WITHOUT ROWID;
CREATE TABLE cells(step INTEGER NOT NULL, x INTEGER NOT NULL, y INTEGER NOT NULL, value TEXT NOT NULL,
  PRIMARY KEY(step, x, y)) WITHOUT ROWID;
CREATE TABLE chronicle(step INTEGER NOT NULL, agent INTEGER NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL,
  text TEXT NOT NULL, call INTEGER, PRIMARY KEY(step, agent, seq)) WITHOUT ROWID;
CREATE TABLE presence(step INTEGER NOT NULL, agent INTEGER NOT NULL, present INTEGER NOT NULL,
  PRIMARY KEY(step, agent)) WITHOUT ROWID;
CREATE TABLE interventions(id INTEGER PRIMARY KEY, asked INTEGER, step INTEGER, what TEXT NOT NULL);
CREATE TABLE hashes(step INTEGER PRIMARY KEY, hash BLOB NOT NULL);
CREATE TABLE collected(step INTEGER NOT NULL, agent INTEGER NOT NULL, name TEXT NOT NULL, value,
  PRIMARY KEY(step, agent, name)) WITHOUT ROWID;
CREATE VIEW price AS
  SELECT CAST(substr(value, 1, instr(value, ',') - 1) AS REAL) AS prompt,
    CAST(substr(value, instr(value, ',') + 1) AS REAL) AS output
  FROM manifest WHERE key = 'price' AND value <> '';
)";

// Views are stable: columns are only ever added. text_of(LIST), a text put together from its parts, is no
// function of SQL: each kind of database has its own words for it.

// Tables and views that format 3 got after files of it were in use; {0}: nothing, or TEMP for a connection
// that only reads.
inline constexpr const char* kMemories = R"(
CREATE {0} TABLE IF NOT EXISTS used_memories(step INTEGER NOT NULL, agent INTEGER NOT NULL, call INTEGER NOT NULL,
  seq INTEGER NOT NULL, made INTEGER NOT NULL, memory INTEGER, text TEXT,
  PRIMARY KEY(step, agent, call, seq)) WITHOUT ROWID;
CREATE {0} VIEW memories AS
  SELECT m.step, m.agent, s.name, m.call, m.seq, m.made, m.memory,
    text_of(m.text) AS text
  FROM used_memories AS m JOIN starts AS s ON s.agent = m.agent;
)";

// What settings lack of what answers were held to.
inline constexpr const char* kConstraints = R"(
CREATE {0} TABLE IF NOT EXISTS constraints(settings INTEGER PRIMARY KEY, grammar TEXT, regex TEXT);
)";

// Of the prompt tokens that answers spent on attempts before, those that a cache had; only where there are
// any.
inline constexpr const char* kSpentCached = R"(
CREATE {0} TABLE IF NOT EXISTS spent_cached(step INTEGER NOT NULL, agent INTEGER NOT NULL, call INTEGER NOT NULL,
  tokens INTEGER NOT NULL, PRIMARY KEY(step, agent, call)) WITHOUT ROWID;
)";

// States of the run from which it can go on, in parts that SQLite takes; snapshots has a row for those that
// are whole.
inline constexpr const char* kSnapshots = R"(
CREATE {0} TABLE IF NOT EXISTS snapshots(step INTEGER PRIMARY KEY, made TEXT NOT NULL, program TEXT NOT NULL,
  minds TEXT NOT NULL, bytes INTEGER NOT NULL, digest BLOB NOT NULL);
CREATE {0} TABLE IF NOT EXISTS snapshot_parts(step INTEGER NOT NULL, part INTEGER NOT NULL, content BLOB NOT NULL);
)";

// When people and the run waited for each other.
inline constexpr const char* kPauses = R"(
CREATE {0} TABLE IF NOT EXISTS pauses(asked TEXT PRIMARY KEY, begun TEXT NOT NULL, ended TEXT NOT NULL);
CREATE {0} TABLE IF NOT EXISTS question_times(step INTEGER NOT NULL, agent INTEGER NOT NULL, call INTEGER NOT NULL,
  asked TEXT NOT NULL, PRIMARY KEY(step, agent, call)) WITHOUT ROWID;
)";

// When steps were done and guesses asked, on the backend's clock.
inline constexpr const char* kMoments = R"(
CREATE {0} TABLE IF NOT EXISTS progress(session INTEGER NOT NULL, s REAL NOT NULL, steps TEXT NOT NULL,
  PRIMARY KEY(session, s)) WITHOUT ROWID;
CREATE {0} TABLE IF NOT EXISTS guesses(session INTEGER NOT NULL, step INTEGER NOT NULL, agent INTEGER NOT NULL,
  call INTEGER NOT NULL, function TEXT NOT NULL, issued_s REAL NOT NULL, arrived_s REAL NOT NULL,
  used INTEGER NOT NULL);
)";

// What a session that goes on waits for.
inline constexpr const char* kInFlight = R"(
CREATE {0} TABLE IF NOT EXISTS in_flight(session INTEGER PRIMARY KEY, s REAL NOT NULL, told TEXT NOT NULL,
  calls TEXT NOT NULL);
)";

inline constexpr const char* kCalls = R"(
CREATE {0} VIEW calls AS
  SELECT a.step, a.agent, s.name, a.call, a.function,
    text_of(a.prompt) AS prompt,
    text_of(a.system) AS system,
    CASE a.finish WHEN 0 THEN 'stop' WHEN 1 THEN 'length' WHEN 4 THEN 'unknown' ELSE 'failed' END AS finish,
    CASE WHEN a.finish < 2 THEN a.text END AS answer,
    CASE WHEN a.finish >= 2 THEN a.text END AS error, a.error_code,
    a.prompt_tokens, a.cached_tokens, a.output_tokens, a.attempts, a.spent_prompt_tokens, a.spent_output_tokens,
    ((a.prompt_tokens + a.spent_prompt_tokens) * price.prompt +
     (a.output_tokens + a.spent_output_tokens) * price.output) / 1e6 AS cost,
    a.issued_s, a.arrived_s - a.issued_s AS latency_s, v.name AS served_by, a.session,
    q.choices, q.json_schema, q.temperature, q.top_k, q.top_p, q.min_p, q.repetition_penalty, q.seed, q.stop,
    q.max_tokens, lower(hex(a.digest)) AS digest, c.grammar, c.regex,
    coalesce(p.tokens, 0) AS spent_cached_tokens
  FROM answers AS a JOIN starts AS s ON s.agent = a.agent LEFT JOIN settings AS q ON q.id = a.settings
    LEFT JOIN constraints AS c ON c.settings = a.settings
    LEFT JOIN spent_cached AS p ON p.step = a.step AND p.agent = a.agent AND p.call = a.call
    LEFT JOIN servers AS v ON v.id = a.server LEFT JOIN price ON 1 = 1;
)";

// What was asked of others than models. An effect without an outcome was begun by a process that has not said
// how it ended.
inline constexpr const char* kIntentions = R"(
CREATE {0} TABLE IF NOT EXISTS intentions(step INTEGER NOT NULL, agent INTEGER NOT NULL, call INTEGER NOT NULL,
  kind INTEGER NOT NULL, effect INTEGER NOT NULL, function TEXT NOT NULL, digest BLOB NOT NULL, begun TEXT NOT NULL,
  session INTEGER, arguments TEXT, PRIMARY KEY(step, agent, call)) WITHOUT ROWID;
CREATE {0} TABLE IF NOT EXISTS questions(step INTEGER NOT NULL, agent INTEGER NOT NULL, call INTEGER NOT NULL,
  question TEXT NOT NULL, choices TEXT NOT NULL, answer TEXT, PRIMARY KEY(step, agent, call)) WITHOUT ROWID;
CREATE {0} VIEW effects AS
  SELECT i.step, i.agent, s.name, i.call,
    CASE i.kind WHEN 1 THEN 'tool' WHEN 2 THEN 'person' WHEN 3 THEN 'embedding' END AS kind,
    CASE i.effect WHEN 0 THEN 'pure' WHEN 1 THEN 'idempotent' ELSE 'at-commit' END AS effect, i.function,
    text_of(i.arguments) AS arguments,
    CASE WHEN a.finish IS NULL THEN 'begun' WHEN a.finish < 2 THEN 'done' WHEN a.finish = 4 THEN 'unknown'
      ELSE 'failed' END AS outcome, a.text AS result, i.begun, i.session
  FROM intentions AS i JOIN starts AS s ON s.agent = i.agent
    LEFT JOIN answers AS a ON a.step = i.step AND a.agent = i.agent AND a.call = i.call;
)";

inline constexpr const char* kViews = R"(
CREATE VIEW agents AS SELECT agent, name, x, y, status FROM starts;
CREATE VIEW events AS
  SELECT e.step, e.agent, s.name, e.seq, e.kind, e.text, e.call FROM chronicle AS e JOIN starts AS s ON s.agent = e.agent;
CREATE VIEW steps AS SELECT step, lower(hex(hash)) AS hash FROM hashes;
CREATE VIEW conversations AS SELECT step, agent, name, seq, text, call FROM events WHERE kind = 'say';
CREATE VIEW agent_usage AS
  SELECT s.agent, s.name, coalesce(u.calls, 0) AS calls, coalesce(u.failed, 0) AS failed,
    coalesce(u.prompt_tokens, 0) AS prompt_tokens, coalesce(u.output_tokens, 0) AS output_tokens,
    (u.prompt_tokens * price.prompt + u.output_tokens * price.output) / 1e6 AS cost, u.mean_s
  FROM starts AS s
    LEFT JOIN (SELECT agent, count(*) AS calls, sum(CASE WHEN finish >= 2 THEN 1 ELSE 0 END) AS failed,
        sum(prompt_tokens + spent_prompt_tokens) AS prompt_tokens,
        sum(output_tokens + spent_output_tokens) AS output_tokens, avg(arrived_s - issued_s) AS mean_s
      FROM answers GROUP BY agent) AS u ON u.agent = s.agent
    LEFT JOIN price ON 1 = 1;
CREATE VIEW function_usage AS
  SELECT a.function, count(*) AS calls, sum(CASE WHEN a.finish >= 2 THEN 1 ELSE 0 END) AS failed,
    sum(a.prompt_tokens + a.spent_prompt_tokens) AS prompt_tokens,
    sum(a.output_tokens + a.spent_output_tokens) AS output_tokens,
    sum((a.prompt_tokens + a.spent_prompt_tokens) * price.prompt +
        (a.output_tokens + a.spent_output_tokens) * price.output) / 1e6 AS cost,
    avg(a.arrived_s - a.issued_s) AS mean_s
  FROM answers AS a LEFT JOIN price ON 1 = 1 GROUP BY a.function;
CREATE VIEW data AS
  SELECT step, CASE WHEN agent >= 0 THEN agent END AS agent, name, value FROM collected;
CREATE VIEW agent_data AS
  SELECT d.step, d.agent, s.name AS agent_name, d.name, d.value
  FROM collected AS d JOIN starts AS s ON s.agent = d.agent;
CREATE VIEW model_data AS SELECT step, name, value FROM collected WHERE agent < 0;
)";

inline constexpr const char* kSetManifest =
    "INSERT INTO manifest VALUES(?,?) ON CONFLICT(key) DO UPDATE SET value = excluded.value";
inline constexpr const char* kAddFile =
    "INSERT INTO files VALUES(?,?,?,?) ON CONFLICT(name) DO UPDATE SET bytes = excluded.bytes, "
    "digest = excluded.digest, content = excluded.content";
inline constexpr const char* kAddStart = "INSERT INTO starts VALUES(?,?,?,?,?)";
inline constexpr const char* kAddPart = "INSERT INTO parts VALUES(?,?)";
inline constexpr const char* kAddSettings = "INSERT INTO settings VALUES(?,?,?,?,?,?,?,?,?,?,?)";
inline constexpr const char* kAddConstraint = "INSERT INTO constraints VALUES(?,?,?)";
inline constexpr const char* kAddServer = "INSERT INTO servers VALUES(?,?)";
inline constexpr const char* kAddAnswer =
    "INSERT INTO answers VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)";
inline constexpr const char* kAddSpentCached = "INSERT INTO spent_cached VALUES(?,?,?,?)";
inline constexpr const char* kAddUsedMemory = "INSERT INTO used_memories VALUES(?,?,?,?,?,?,?)";
inline constexpr const char* kAddIntention = "INSERT INTO intentions VALUES(?,?,?,?,?,?,?,?,?,?)";
inline constexpr const char* kFindIntention =
    "SELECT digest FROM intentions WHERE step=? AND agent=? AND call=? AND effect=?";
inline constexpr const char* kDropIntention = "DELETE FROM intentions WHERE step=? AND agent=? AND call=?";
inline constexpr const char* kFindAnswer =
    "SELECT digest, finish, text, prompt_tokens, output_tokens, cached_tokens, attempts, "
    "spent_prompt_tokens, spent_output_tokens, (SELECT name FROM servers WHERE id = server), error_code, "
    "coalesce(session, 0), coalesce((SELECT tokens FROM spent_cached AS s WHERE s.step = answers.step AND "
    "s.agent = answers.agent AND s.call = answers.call), 0) FROM answers "
    "WHERE step=? AND agent=? AND call=?";
inline constexpr const char* kAddCommit = "INSERT INTO commits VALUES(?,?,?,?)";
inline constexpr const char* kFindCommits = "SELECT first, digest FROM commits WHERE step=?";
inline constexpr const char* kAddBody = "INSERT INTO bodies VALUES(?,?,?,?,?)";
inline constexpr const char* kAddCell = "INSERT INTO cells VALUES(?,?,?,?)";
inline constexpr const char* kAddEvent = "INSERT INTO chronicle VALUES(?,?,?,?,?,?)";
// An intervention's rows come after those of the step before it, and replace them.
inline constexpr const char* kSetBody =
    "INSERT INTO bodies VALUES(?,?,?,?,?) ON CONFLICT(step, agent) DO UPDATE SET x = excluded.x, "
    "y = excluded.y, status = excluded.status";
inline constexpr const char* kSetCell =
    "INSERT INTO cells VALUES(?,?,?,?) ON CONFLICT(step, x, y) DO UPDATE SET value = excluded.value";
inline constexpr const char* kSetPresence =
    "INSERT INTO presence VALUES(?,?,?) ON CONFLICT(step, agent) DO UPDATE SET present = excluded.present";
inline constexpr const char* kAddIntervention = "INSERT INTO interventions VALUES(?,?,?,?)";
inline constexpr const char* kAskIntervention =
    "INSERT INTO interventions(id, asked, what) SELECT coalesce(max(id), 0) + 1, ?, ? FROM interventions";
inline constexpr const char* kAddHash = "INSERT INTO hashes VALUES(?,?)";
inline constexpr const char* kAddSnapshot = "INSERT INTO snapshots VALUES(?,?,?,?,?,?)";
inline constexpr const char* kAddSnapshotPart = "INSERT INTO snapshot_parts VALUES(?,?,?)";
inline constexpr const char* kAddDatum = "INSERT INTO collected VALUES(?,?,?,?)";
inline constexpr const char* kFindData = "SELECT agent, name, value FROM collected WHERE step=?";

// What two journals of one run have in common, in an order independent of execution. Digests are in hex
// because columns are read as text. Calls count up to the last step that all agents have done: a run that
// ends at an event keeps the answers of agents that were further by then. Collected data is left out: what is
// measured of a run does not make it another run.
struct CanonicalQuery {
  const char* table;
  const char* sql;
  int columns;
};

inline constexpr CanonicalQuery kCanonicalQueries[] = {
    {"manifest",
     "SELECT key, value FROM manifest WHERE key IN ('world','scenario','agents','steps','seed','hash') ORDER "
     "BY key",
     2},
    {"agents", "SELECT agent, name, x, y, status FROM starts ORDER BY agent", 5},
    {"calls",
     "SELECT step, agent, call, function, hex(digest), finish, text, prompt_tokens, output_tokens "
     "FROM answers WHERE step < (SELECT count(*) FROM hashes) ORDER BY step, agent, call",
     9},
    {"commits", "SELECT step, first, members, hex(digest) FROM commits ORDER BY step, first", 4},
    {"bodies", "SELECT step, agent, x, y, status FROM bodies ORDER BY step, agent", 5},
    {"cells", "SELECT step, x, y, value FROM cells ORDER BY step, x, y", 4},
    {"events", "SELECT step, agent, seq, kind, text FROM chronicle ORDER BY step, agent, seq", 5},
    {"presence", "SELECT step, agent, present FROM presence ORDER BY step, agent", 3},
    {"interventions", "SELECT step, what FROM interventions WHERE step IS NOT NULL ORDER BY step, id", 2},
    {"steps", "SELECT step, hex(hash) FROM hashes ORDER BY step", 2},
};

}  // namespace throng::journal
