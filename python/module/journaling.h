// Begins the journal of a Python world's run, and goes on with one: what it was made from goes into it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "app/limits.h"
#include "journal/journal.h"
#include "llm/llm.h"
#include "python/world/world.h"
#include "sim/run/run.h"

namespace throng::python {

struct JournalSetup {
  std::string path;     // empty: nothing is kept
  bool resume = false;  // go on with the file, if it exists
  journal::JournalOptions options;
  bool other_backend = false;  // the user names a backend: a journal may go on with another than it had
  // What throng.record says of the world, and the files that it is from, its own first: (name, text).
  journal::Manifest manifest;
  std::vector<std::pair<std::string, std::string>> files;
};

// The journal of a run that goes on; null: the run begins, or keeps none. Throws what opening it throws.
std::unique_ptr<journal::Journal> OpenToResume(const JournalSetup& setup);

// The seeds of the run. One that goes on has those of its journal, since a fork's change on the way; another
// seed than its first is refused when it goes on.
void SetSeeds(std::optional<uint64_t> given, const journal::Journal* journal, sim::RunOptions& options);

// Begins the journal, or goes on with the one that was opened. Returns what the user should be told, if
// anything. Throws what Journal::Create and Journal::Continue throw.
std::string Record(const JournalSetup& setup, const PythonWorld& world, const sim::RunOptions& options,
                   const app::Limits& limits, const llm::Llm& backend,
                   std::unique_ptr<journal::Journal>& journal);

}  // namespace throng::python
