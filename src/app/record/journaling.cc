#include "app/record/journaling.h"

#include <filesystem>
#include <future>
#include <optional>
#include <set>
#include <string_view>

#include "app/backend.h"
#include "app/record/manifest.h"
#include "base/digest.h"
#include "base/mapped_file.h"

namespace throng::app {

namespace {

// A file too large to be kept: what it was can be told by its digest (xxh128sum prints the same).
void AddByDigest(const std::string& path, journal::Journal& journal) {
  const MappedFile file(path);
  const std::string_view bytes(reinterpret_cast<const char*>(file.Bytes().data()), file.Bytes().size());
  journal.AddFile(std::filesystem::absolute(path).lexically_normal(), static_cast<int64_t>(bytes.size()),
                  DigestOf(bytes), std::nullopt);
}

// The scenario's files with their contents; models and recorded days by their digests.
void AddFiles(const Simulation& simulation, const Scenario& scenario, const llm::Llm& llm,
              journal::Journal& journal) {
  if (scenario.town != nullptr) {
    for (const town::ScenarioFile& file : scenario.town->Files()) {
      journal.AddFile(file.name, static_cast<int64_t>(file.text.size()), DigestOf(file.text), file.text);
    }
  }
  std::set<std::string> large;
  if (!simulation.trace.empty()) large.insert(simulation.trace);
  if (const auto local = LocalOf(llm)) large.insert(local->Options().model);
  for (const std::string& model_for : simulation.model_for) {
    if (model_for.ends_with(".gguf")) large.insert(model_for.substr(model_for.find('=') + 1));
  }
  if (simulation.embed.ends_with(".gguf")) large.insert(simulation.embed);
  for (const std::string& path : large) AddByDigest(path, journal);
}

}  // namespace

std::unique_ptr<journal::Journal> BeginJournal(const std::string& path,
                                               const journal::JournalOptions& options,
                                               const Simulation& simulation, const Scenario& scenario,
                                               const sim::RunOptions& run, const llm::Llm& llm,
                                               const effects::Embedder* embedder) {
  std::unique_ptr<journal::Journal> journal = journal::Journal::Create(path, options);
  // The identity has the digest of a model's weights, and AddFiles takes that of the file that they are in:
  // at the same time, a large file is read once.
  std::future<std::string> identity = std::async(std::launch::async, [&llm] { return llm.Identity(); });
  AddFiles(simulation, scenario, llm, *journal);
  journal::Manifest manifest = ManifestOf(simulation, scenario, llm);
  NoteEmbedder(embedder, manifest);
  journal->Begin(std::move(manifest), *scenario.world, run, identity.get());
  return journal;
}

void ContinueJournal(journal::Journal& journal, const Simulation& simulation, const Scenario& scenario,
                     const sim::RunOptions& run, const llm::Llm& llm, const effects::Embedder* embedder,
                     bool other_backend) {
  CheckEmbedder(journal, embedder);
  journal.Continue(ManifestOf(simulation, scenario, llm), *scenario.world, run, llm.Identity(),
                   other_backend);
  if (other_backend && !journal.IsDone(run.steps)) AddFiles(simulation, scenario, llm, journal);
}

}  // namespace throng::app
