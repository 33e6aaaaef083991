#include "python/module/journaling.h"

#include <map>

#include "app/record/manifest.h"
#include "base/digest.h"
#include "journal/read/reader.h"

namespace throng::python {

namespace {

journal::Manifest ManifestOf(const JournalSetup& setup, const PythonWorld& world, const app::Limits& limits) {
  journal::Manifest manifest = app::ManifestOf(limits);
  for (const auto& [key, value] : setup.manifest) manifest[key] = value;
  const bool has_source = !setup.files.empty();
  manifest[app::ForeignWorldKeys::kSource] = has_source ? setup.files.front().first : "";
  manifest[app::ForeignWorldKeys::kSourceDigest] =
      has_source ? DigestOf(setup.files.front().second).Hex() : "";
  manifest[journal::JournalKeys::kMap] = world.MapJson();
  manifest[journal::JournalKeys::kLanguage] = "Python";
  return manifest;
}

// A file that is not as it was before keeps its first version, and gets another.
void AddFiles(const JournalSetup& setup, journal::Journal& journal) {
  std::map<std::string, std::string> kept;
  for (const journal::FileRow& file : journal::Reader(journal).Files()) kept[file.name] = file.digest;
  for (const auto& [name, text] : setup.files) {
    const Digest digest = DigestOf(text);
    const auto first = kept.find(name);
    if (first != kept.end() && first->second == digest.Hex()) continue;
    const std::string as = first == kept.end() ? name : fmt::format("{}, {}", name, digest.Hex());
    journal.AddFile(as, static_cast<int64_t>(text.size()), digest, text);
  }
}

}  // namespace

std::unique_ptr<journal::Journal> OpenToResume(const JournalSetup& setup) {
  if (setup.path.empty() || !setup.resume || !journal::Journal::Exists(setup.path)) return nullptr;
  return journal::Journal::OpenToWrite(setup.path, setup.options);
}

void SetSeeds(std::optional<uint64_t> given, const journal::Journal* journal, sim::RunOptions& options) {
  options.seed = given.value_or(1);
  if (journal == nullptr) return;
  const sim::Seeds seeds = journal->GetSeeds();
  if (given.value_or(seeds.first) != seeds.first) return;
  options.seed = seeds.first;
  options.seed_changes = seeds.changes;
}

std::string Record(const JournalSetup& setup, const PythonWorld& world, const sim::RunOptions& options,
                   const app::Limits& limits, const llm::Llm& backend,
                   std::unique_ptr<journal::Journal>& journal) {
  if (setup.path.empty()) return "";
  const journal::Manifest manifest = ManifestOf(setup, world, limits);
  if (journal == nullptr) {
    journal = journal::Journal::Create(setup.path, setup.options);
    AddFiles(setup, *journal);
    journal->Begin(manifest, world, options, backend.Identity());
    return "";
  }
  const std::string before = journal->ManifestValue(journal::JournalKeys::kBackend);
  // A run that is done asks nobody, whoever would answer now.
  const bool is_done = journal->IsDone(options.steps);
  const std::string now = is_done ? before : backend.Identity();
  journal->Continue(manifest, world, options, now, setup.other_backend);
  if (!is_done) AddFiles(setup, *journal);
  if (before == now) return "";
  return fmt::format("journal {}: {} answered up to here, and from step {} on {} does", setup.path, before,
                     journal->NumSteps(), now);
}

}  // namespace throng::python
