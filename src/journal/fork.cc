#include "base/error.h"
#include "journal/journal.h"
#include "journal/schema.h"
#include "journal/sqlite.h"

namespace throng::journal {

namespace {

// What happened before step ?: bodies and cells are states at the start of their step.
struct Part {
  const char* select;
  const char* insert;
};
constexpr Part kParts[] = {
    {"SELECT * FROM completions WHERE step < ?", kAddAnswer},
    {"SELECT * FROM commits WHERE step < ?", kAddCommit},
    {"SELECT * FROM bodies WHERE step <= ?", kAddBody},
    {"SELECT * FROM cells WHERE step <= ?", kAddCell},
    {"SELECT * FROM events WHERE step < ?", kAddEvent},
    {"SELECT * FROM presence WHERE step <= ?", kSetPresence},
    {"SELECT * FROM steps WHERE step < ?", kAddStep},
};

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
  std::unique_ptr<Journal> fork = Create(path);
  const auto copy = [&](Statement& from, Statement& to) {
    while (from.Step()) {
      fork->Touch();
      for (int column = 0; column < from.NumColumns(); ++column) to.BindFrom(from, column);
      to.Run();
    }
  };
  Statement agents(original.GetDatabase(), "SELECT * FROM agents");
  Statement add_agent(fork->GetDatabase(), kAddAgent);
  copy(agents, add_agent);
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
  fork->Flush();
  fork->new_ = false;
  return fork;
}

}  // namespace throng::journal
