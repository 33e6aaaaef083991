// New journals from others: forks and copies.

#include <algorithm>

#include "base/error.h"
#include "journal/journal.h"
#include "journal/store/database.h"
#include "journal/store/place.h"
#include "journal/store/sqlite.h"

namespace throng::journal {

namespace {

// What happened before step ?: bodies and cells are states at the start of their step.
struct Part {
  const char* table;
  const char* select;
};
// The sessions in which they were asked stay with the original.
constexpr const char* kAnswersBefore =
    "SELECT step, agent, call, function, digest, finish, text, prompt_tokens, output_tokens, cached_tokens, "
    "attempts, "
    "spent_prompt_tokens, spent_output_tokens, issued_s, arrived_s, NULL, server, settings, system, prompt, "
    "error_code "
    "FROM answers WHERE step < ?";
constexpr Part kParts[] = {
    {"parts",
     "SELECT * FROM parts WHERE id IN (SELECT p.id FROM "
     "(SELECT step, prompt AS list FROM answers UNION ALL SELECT step, system FROM answers "
     "UNION ALL SELECT step, text FROM used_memories UNION ALL SELECT step, arguments FROM intentions) AS a, "
     "json_each(a.list) AS run JOIN parts AS p "
     "ON p.id BETWEEN run.value / 64 AND run.value / 64 + run.value % 64 WHERE a.step < ?1) ORDER BY id"},
    {"settings", "SELECT * FROM settings WHERE id IN (SELECT settings FROM answers WHERE step < ?)"},
    {"constraints",
     "SELECT * FROM constraints WHERE settings IN (SELECT settings FROM answers WHERE step < ?)"},
    {"servers", "SELECT * FROM servers WHERE id IN (SELECT server FROM answers WHERE step < ?)"},
    {"answers", kAnswersBefore},
    {"spent_cached", "SELECT * FROM spent_cached WHERE step < ?"},
    {"used_memories", "SELECT * FROM used_memories WHERE step < ?"},
    {"intentions",
     "SELECT step, agent, call, kind, effect, function, digest, begun, NULL, arguments FROM intentions WHERE "
     "step < ?"},
    {"snapshot_parts", "SELECT * FROM snapshot_parts WHERE step <= ?"},
    {"snapshots", "SELECT * FROM snapshots WHERE step <= ?"},
};
// The same, for what every journal has and most of its rows are in: SQLite copies them by itself, in 0.6 of
// the time.
struct PlainPart {
  const char* table;
  const char* rows;
};
constexpr PlainPart kPlainParts[] = {
    {"commits", "step < ?"},   {"bodies", "step <= ?"}, {"cells", "step <= ?"},    {"chronicle", "step < ?"},
    {"presence", "step <= ?"}, {"hashes", "step < ?"},  {"collected", "step < ?"},
};
constexpr const char* kWholes[] = {"starts", "files"};

}  // namespace

void Journal::CopyRows(Statement& from, const std::string& table) {
  std::string values = "?";
  for (int column = 1; column < from.NumColumns(); ++column) values += ",?";
  Statement to(*database_, fmt::format("INSERT INTO {} VALUES({})", table, values).c_str());
  while (from.Step()) {
    Touch();
    for (int column = 0; column < from.NumColumns(); ++column) to.BindFrom(from, column);
    to.Run();
  }
}

void Journal::CopyPlainParts(const Journal& original, const std::string& original_path, sim::Step at) {
  if (original_path.empty()) {
    for (const PlainPart& part : kPlainParts) {
      Statement from(original.GetDatabase(),
                     fmt::format("SELECT * FROM {} WHERE {}", part.table, part.rows).c_str());
      CopyRows(from.Bind(int64_t{at}), part.table);
    }
    return;
  }
  Statement(*database_, "ATTACH ? AS original").Bind(std::string_view(ReadOnlyUri(original_path))).Run();
  for (const PlainPart& part : kPlainParts) {
    Touch();
    Statement(
        *database_,
        fmt::format("INSERT INTO {0} SELECT * FROM original.{0} WHERE {1}", part.table, part.rows).c_str())
        .Bind(int64_t{at})
        .Run();
  }
  Flush();
  database_->Execute("DETACH original");
}

std::unique_ptr<Journal> Journal::CreateFork(const std::string& place, const Journal& original, sim::Step at,
                                             Manifest manifest, bool later_interventions) {
  const sim::Step known = original.NumSteps();
  if (at < 0 || at > known) {
    throw MakeError(
        ErrorCode::kInvalid,
        "journal {}: it cannot be forked at step {}, allowed: 0 to {}, which all agents have reached",
        original.Path(), at, known);
  }
  std::unique_ptr<Journal> fork = Create(place, {.keep_prompts = original.keep_prompts_});
  const bool are_files = !IsPostgres(place) && !IsPostgres(original.Path());
  fork->CopyPlainParts(original, are_files ? original.Path() : "", at);
  for (const char* table : kWholes) {
    Statement from(original.GetDatabase(), fmt::format("SELECT * FROM {}", table).c_str());
    fork->CopyRows(from, table);
  }
  for (const Part& part : kParts) {
    Statement from(original.GetDatabase(), part.select);
    fork->CopyRows(from.Bind(int64_t{at}), part.table);
  }
  Statement interventions(original.GetDatabase(), "SELECT * FROM interventions WHERE step <= ? OR ? = 1");
  fork->CopyRows(interventions.Bind(int64_t{at}).Bind(int64_t{later_interventions}), "interventions");
  // Written last: without a manifest, what a killed process leaves is no journal.
  manifest.erase(JournalKeys::kHash);
  manifest.erase(JournalKeys::kTokensInVain);
  for (const auto& [key, value] : manifest) fork->SetManifest(key, value);
  fork->changed_ = fork->manifest_;
  fork->Flush();
  fork->new_ = false;
  fork->LookBack();
  return fork;
}

void Journal::Copy(const std::string& place, const Journal& original) {
  Connection& from = original.GetDatabase().GetConnection();
  const std::unique_ptr<Journal> copy = Create(place);
  from.BeginReading();
  std::vector<std::string> tables = from.Tables();
  std::erase(tables, "manifest");
  tables.push_back("manifest");  // last, as in a fork
  for (const std::string& table : tables) {
    Statement rows(original.GetDatabase(), fmt::format("SELECT * FROM {}", table).c_str());
    copy->CopyRows(rows, table);
  }
  from.Commit();
  copy->Flush();
  copy->database_->GetConnection().Checkpoint();
  copy->new_ = false;
}

}  // namespace throng::journal
