#include "base/error.h"
#include "journal/journal.h"
#include "journal/store/schema.h"
#include "journal/store/sqlite.h"

namespace throng::journal {

namespace {

// What happened before step ?: bodies and cells are states at the start of their step.
struct Part {
  const char* select;
  const char* insert;
};
// The sessions in which they were asked stay with the original.
constexpr const char* kAnswersBefore =
    "SELECT step, agent, call, function, digest, finish, text, prompt_tokens, output_tokens, cached_tokens, "
    "attempts, "
    "spent_prompt_tokens, spent_output_tokens, issued_s, arrived_s, NULL, server, settings, system, prompt, "
    "error_code "
    "FROM answers WHERE step < ?";
constexpr Part kParts[] = {
    {"SELECT * FROM parts WHERE id IN (SELECT p.id FROM "
     "(SELECT step, prompt AS list FROM answers UNION ALL SELECT step, system FROM answers "
     "UNION ALL SELECT step, text FROM used_memories UNION ALL SELECT step, arguments FROM intentions) AS a, "
     "json_each(a.list) AS run JOIN parts AS p "
     "ON p.id BETWEEN run.value / 64 AND run.value / 64 + run.value % 64 WHERE a.step < ?1) ORDER BY id",
     kAddPart},
    {"SELECT * FROM settings WHERE id IN (SELECT settings FROM answers WHERE step < ?)", kAddSettings},
    {"SELECT * FROM constraints WHERE settings IN (SELECT settings FROM answers WHERE step < ?)",
     kAddConstraint},
    {"SELECT * FROM servers WHERE id IN (SELECT server FROM answers WHERE step < ?)", kAddServer},
    {kAnswersBefore, kAddAnswer},
    {"SELECT * FROM used_memories WHERE step < ?", kAddUsedMemory},
    {"SELECT step, agent, call, kind, effect, function, digest, begun, NULL, arguments FROM intentions WHERE "
     "step < ?",
     "INSERT INTO intentions VALUES(?,?,?,?,?,?,?,?,?,?)"},
    {"SELECT * FROM snapshot_parts WHERE step <= ?", kAddSnapshotPart},
    {"SELECT * FROM snapshots WHERE step <= ?", "INSERT INTO snapshots VALUES(?,?,?,?,?,?)"},
};
// The same, for what every journal has and most of its rows are in: SQLite copies them by itself, in 0.6 of
// the time.
constexpr const char* kCopies[] = {
    "INSERT INTO commits SELECT * FROM original.commits WHERE step < ?",
    "INSERT INTO bodies SELECT * FROM original.bodies WHERE step <= ?",
    "INSERT INTO cells SELECT * FROM original.cells WHERE step <= ?",
    "INSERT INTO chronicle SELECT * FROM original.chronicle WHERE step < ?",
    "INSERT INTO presence SELECT * FROM original.presence WHERE step <= ?",
    "INSERT INTO hashes SELECT * FROM original.hashes WHERE step < ?",
    "INSERT INTO collected SELECT * FROM original.collected WHERE step < ?",
};
constexpr Part kWholes[] = {{"SELECT * FROM starts", kAddStart}, {"SELECT * FROM files", kAddFile}};

}  // namespace

std::unique_ptr<Journal> Journal::CreateFork(const std::string& path, const Journal& original, sim::Step at,
                                             Manifest manifest, bool later_interventions) {
  const sim::Step known = original.NumSteps();
  if (at < 0 || at > known) {
    throw MakeError(
        ErrorCode::kInvalid,
        "journal {}: it cannot be forked at step {}, allowed: 0 to {}, which all agents have reached",
        original.Path(), at, known);
  }
  std::unique_ptr<Journal> fork = Create(path, {.keep_prompts = original.keep_prompts_});
  const auto copy = [&](Statement& from, Statement& to) {
    while (from.Step()) {
      fork->Touch();
      for (int column = 0; column < from.NumColumns(); ++column) to.BindFrom(from, column);
      to.Run();
    }
  };
  Statement(fork->GetDatabase(), "ATTACH ? AS original")
      .Bind(std::string_view(ReadOnlyUri(original.Path())))
      .Run();
  for (const char* copied : kCopies) {
    fork->Touch();
    Statement(fork->GetDatabase(), copied).Bind(int64_t{at}).Run();
  }
  fork->Flush();
  fork->GetDatabase().Execute("DETACH original");
  for (const Part& part : kWholes) {
    Statement from(original.GetDatabase(), part.select);
    Statement to(fork->GetDatabase(), part.insert);
    copy(from, to);
  }
  for (const Part& part : kParts) {
    Statement from(original.GetDatabase(), part.select);
    Statement to(fork->GetDatabase(), part.insert);
    copy(from.Bind(int64_t{at}), to);
  }
  Statement interventions(original.GetDatabase(), "SELECT * FROM interventions WHERE step <= ? OR ?");
  Statement add_intervention(fork->GetDatabase(), kAddIntervention);
  copy(interventions.Bind(int64_t{at}).Bind(int64_t{later_interventions}), add_intervention);
  // Written last: without a manifest, the file a killed process leaves is no journal.
  manifest.erase(JournalKeys::kHash);
  manifest.erase(JournalKeys::kTokensInVain);
  for (const auto& [key, value] : manifest) fork->SetManifest(key, value);
  fork->changed_ = fork->manifest_;
  fork->Flush();
  fork->new_ = false;
  return fork;
}

}  // namespace throng::journal
