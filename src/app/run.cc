#include "app/run.h"

#include <algorithm>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "journal/llm/journaled_llm.h"
#include "journal/people.h"
#include "journal/read/reader.h"
#include "journal/read/report.h"
#include "journal/snapshots.h"
#include "llm/decorators/decorator.h"

namespace throng::app {

namespace {

// A session of the journal, from start to end, however it ends. A run that is done has no more of them: it is
// only repeated.
class Session {
 public:
  Session(journal::Journal& journal, sim::Step steps)
      : journal_(journal), is_repeated_(journal.IsDone(steps)) {
    if (!is_repeated_) journal_.StartSession();
  }

  // used: by all sessions. Tokens that no answer in the journal accounts for were used in vain.
  void End(const llm::TokensUsed& used, std::string_view outcome) {
    if (is_repeated_) return journal_.Flush();
    const journal::TokenSums answers = journal::Reader(journal_).Tokens();
    const llm::TokensUsed in_vain = {used.prompt - std::min(used.prompt, answers.prompt),
                                     used.output - std::min(used.output, answers.output)};
    if (in_vain.prompt + in_vain.output > 0) journal_.SetTokensInVain(in_vain.prompt, in_vain.output);
    journal_.EndSession(outcome);
  }

  void EndBadly(const llm::TokensUsed& used, const std::exception& error) {
    const std::string_view message = error.what();
    try {
      End(used, message.substr(0, message.find('\n')));
    } catch (const Error&) {
      // The journal can no longer be written; report the run's own error.
    }
  }

 private:
  journal::Journal& journal_;
  const bool is_repeated_;
};

UsedBefore UsedInEarlierSessions(const journal::Journal& journal) {
  const journal::TokenSums answers = journal::Reader(journal).Tokens();
  const journal::TokenSums in_vain = journal::TokensInVain(journal);
  return {{answers.prompt + in_vain.prompt, answers.output + in_vain.output},
          static_cast<uint64_t>(journal.NumToolUses())};
}

void RunInSession(const sim::World& world, const LimitedBackend& limited, sim::RunOptions& options,
                  const RunSetup& setup, RunOutcome& outcome) {
  journal::Journal& journal = *setup.journal;
  journal.WaitForDatabase(setup.limits.max_wait_s, options.stop, setup.on_wait);
  Session session(journal, options.steps);
  try {
    auto journaled = std::make_unique<journal::JournaledLlm>(*limited.top, journal, options.falls_back);
    const journal::JournaledLlm& counts = *journaled;
    // What an earlier session has kept happens again, whatever the rule is now.
    options.falls_back = [&counts, rule = options.falls_back](const llm::Completion& failed) {
      return counts.IsKeptFailure(failed.key) || rule(failed);
    };
    std::unique_ptr<llm::Llm> top = std::move(journaled);
    if (setup.wrap) top = setup.wrap(std::move(top));
    if (!journal.IsDone(options.steps)) journal.KeepMoments(counts);
    options.observers.push_back(&journal);
    options.source = &journal;
    options.interventions = journal.Interventions();
    std::optional<journal::SnapshotWriter> snapshots;
    if (!journal.IsDone(options.steps) && setup.snapshot_every != 0 && !world.MindForm().empty())
      options.snapshots = &snapshots.emplace(journal, world, setup.snapshot_every, setup.on_warning);
    outcome.result = sim::RunWorld(world, *top, options);
    outcome.replayed = counts.NumReplayed();
    const auto steps = static_cast<sim::Step>(outcome.result.step_hashes.size());
    if (steps < options.steps) journal.EndAt(steps);
    journal.SetHash(outcome.result.hash);
    session.End(limited.budget->Used(), "done");
  } catch (const std::exception& error) {
    session.EndBadly(limited.budget->Used(), error);
    throw;
  }
}

}  // namespace

Beginning FindBeginning(const journal::Journal& journal, const sim::World& world, sim::Step steps) {
  if (world.MindForm().empty()) {
    return {{},
            fmt::format("journal {}: no snapshots are kept of the world {}, so the run is repeated from its "
                        "start",
                        journal.Path(), world.Name())};
  }
  journal::FoundSnapshot found = journal::FindSnapshot(journal, world, steps - 1);
  const std::string from = found.snapshot
                               ? fmt::format("goes on from the snapshot of step {}", found.snapshot->step)
                               : std::string("is repeated from its start");
  if (found.problem.empty()) return {std::move(found.snapshot), fmt::format("the run {}", from)};
  return {std::move(found.snapshot), fmt::format("{}; so the run {}", found.problem, from), true};
}

RunOutcome Run(const sim::World& world, llm::Llm& backend, sim::RunOptions options, const RunSetup& setup) {
  effects::EffectsOptions effects;
  effects.tools = setup.tools;
  effects.embedder = setup.embedder;
  effects.people = setup.people;
  std::optional<journal::JournalPeople> by_journal;
  if (setup.people == nullptr && setup.journal != nullptr)
    effects.people = &by_journal.emplace(*setup.journal);
  LimitedBackend limited = ApplyLimits(
      setup.limits, world, std::make_unique<llm::Decorator>(backend), effects,
      setup.journal != nullptr ? UsedInEarlierSessions(*setup.journal) : UsedBefore(), setup.on_wait);
  options.effect_of = [&setup](const std::string& tool) { return setup.tools.EffectOf(tool); };
  options.falls_back = FallsBack(ParseFallBack(setup.limits.fallback));
  RunOutcome outcome;
  try {
    if (setup.journal != nullptr) {
      RunInSession(world, limited, options, setup, outcome);
    } else {
      if (setup.wrap) limited.top = setup.wrap(std::move(limited.top));
      outcome.result = sim::RunWorld(world, *limited.top, options);
    }
  } catch (const Error& error) {
    if (limited.budget->IsUsedUp() || (limited.others->IsUsedUp() && error.Code() == ErrorCode::kExhausted))
      throw Stopped(error.Code(), error.what());
    throw;
  }
  outcome.used = limited.budget->Used();
  if (limited.interactive != nullptr) outcome.interactive_s = limited.interactive->Latencies();
  return outcome;
}

}  // namespace throng::app
