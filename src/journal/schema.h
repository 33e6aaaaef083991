// The SQL of journals; journal.h describes the tables.
#pragma once

#include <cstdint>

namespace throng::journal {

inline constexpr int32_t kApplicationId = 0x54484a31;  // "THJ1"

inline constexpr const char* kSchema = R"(
CREATE TABLE manifest(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE agents(agent INTEGER PRIMARY KEY, name TEXT NOT NULL, x INTEGER NOT NULL, y INTEGER NOT NULL,
  status TEXT NOT NULL);
CREATE TABLE completions(step INTEGER NOT NULL, agent INTEGER NOT NULL, call INTEGER NOT NULL, function TEXT NOT NULL,
  prompt_digest BLOB NOT NULL, finish INTEGER NOT NULL, text TEXT NOT NULL, prompt_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL, issued_s REAL NOT NULL, arrived_s REAL NOT NULL,
  PRIMARY KEY(step, agent, call)) WITHOUT ROWID;
CREATE TABLE commits(step INTEGER NOT NULL, first INTEGER NOT NULL, members TEXT NOT NULL, digest BLOB NOT NULL,
  PRIMARY KEY(step, first)) WITHOUT ROWID;
CREATE TABLE bodies(step INTEGER NOT NULL, agent INTEGER NOT NULL, x INTEGER NOT NULL, y INTEGER NOT NULL,
  status TEXT NOT NULL, PRIMARY KEY(step, agent)) WITHOUT ROWID;
CREATE TABLE cells(step INTEGER NOT NULL, x INTEGER NOT NULL, y INTEGER NOT NULL, value TEXT NOT NULL,
  PRIMARY KEY(step, x, y)) WITHOUT ROWID;
CREATE TABLE events(step INTEGER NOT NULL, agent INTEGER NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL,
  text TEXT NOT NULL, PRIMARY KEY(step, agent, seq)) WITHOUT ROWID;
CREATE TABLE presence(step INTEGER NOT NULL, agent INTEGER NOT NULL, present INTEGER NOT NULL,
  PRIMARY KEY(step, agent)) WITHOUT ROWID;
CREATE TABLE interventions(id INTEGER PRIMARY KEY, asked INTEGER, step INTEGER, what TEXT NOT NULL);
CREATE TABLE steps(step INTEGER PRIMARY KEY, hash BLOB NOT NULL);
CREATE TABLE sessions(id INTEGER PRIMARY KEY, started TEXT NOT NULL, ended TEXT NOT NULL, outcome TEXT NOT NULL);
CREATE VIEW conversations AS
  SELECT step, agent, name, seq, text FROM events JOIN agents USING(agent) WHERE kind = 'say';
)";

inline constexpr const char* kSetManifest = "INSERT OR REPLACE INTO manifest VALUES(?,?)";
inline constexpr const char* kAddAgent = "INSERT INTO agents VALUES(?,?,?,?,?)";
inline constexpr const char* kAddAnswer = "INSERT INTO completions VALUES(?,?,?,?,?,?,?,?,?,?,?,?)";
inline constexpr const char* kFindAnswer =
    "SELECT prompt_digest, finish, text, prompt_tokens, output_tokens, cached_tokens FROM completions "
    "WHERE step=? AND agent=? AND call=?";
inline constexpr const char* kAddCommit = "INSERT INTO commits VALUES(?,?,?,?)";
inline constexpr const char* kFindCommit = "SELECT digest FROM commits WHERE step=? AND first=?";
inline constexpr const char* kAddBody = "INSERT INTO bodies VALUES(?,?,?,?,?)";
inline constexpr const char* kAddCell = "INSERT INTO cells VALUES(?,?,?,?)";
inline constexpr const char* kAddEvent = "INSERT INTO events VALUES(?,?,?,?,?)";
// An intervention's rows come after those of the step before it, and replace them.
inline constexpr const char* kSetBody = "INSERT OR REPLACE INTO bodies VALUES(?,?,?,?,?)";
inline constexpr const char* kSetCell = "INSERT OR REPLACE INTO cells VALUES(?,?,?,?)";
inline constexpr const char* kSetPresence = "INSERT OR REPLACE INTO presence VALUES(?,?,?)";
inline constexpr const char* kAddIntervention = "INSERT INTO interventions VALUES(?,?,?,?)";
inline constexpr const char* kAddStep = "INSERT INTO steps VALUES(?,?)";
inline constexpr const char* kFindStep = "SELECT 1 FROM steps WHERE step=?";

// What two journals of one run have in common, in an order independent of execution. Digests are in hex
// because columns are read as text.
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
    {"agents", "SELECT agent, name, x, y, status FROM agents ORDER BY agent", 5},
    {"completions",
     "SELECT step, agent, call, function, hex(prompt_digest), finish, text, prompt_tokens, output_tokens "
     "FROM completions ORDER BY step, agent, call",
     9},
    {"commits", "SELECT step, first, members, hex(digest) FROM commits ORDER BY step, first", 4},
    {"bodies", "SELECT step, agent, x, y, status FROM bodies ORDER BY step, agent", 5},
    {"cells", "SELECT step, x, y, value FROM cells ORDER BY step, x, y", 4},
    {"events", "SELECT step, agent, seq, kind, text FROM events ORDER BY step, agent, seq", 5},
    {"presence", "SELECT step, agent, present FROM presence ORDER BY step, agent", 3},
    {"interventions", "SELECT step, what FROM interventions WHERE step IS NOT NULL ORDER BY step, id", 2},
    {"steps", "SELECT step, hex(hash) FROM steps ORDER BY step", 2},
};

}  // namespace throng::journal
