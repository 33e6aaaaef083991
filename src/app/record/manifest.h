// Converts between a simulation and the manifest of its journal.
#pragma once

#include <functional>
#include <string>

#include "app/limits.h"
#include "app/scenario.h"
#include "app/simulation.h"
#include "effects/embedder.h"
#include "journal/journal.h"
#include "llm/llm.h"

namespace throng::app {

// Everything needed to resume the run later; paths become absolute.
journal::Manifest ManifestOf(const Simulation& simulation, const Scenario& scenario, const llm::Llm& llm);

// Keeps who makes the run's embeddings, if somebody does, and throws kInvalid for another one than the run
// has had.
void NoteEmbedder(const effects::Embedder* embedder, journal::Manifest& manifest);
void CheckEmbedder(const journal::Journal& journal, const effects::Embedder* embedder);

// The limits alone, for runs of worlds that this program cannot load.
journal::Manifest ManifestOf(const Limits& limits);

// What the manifests of such worlds say beside JournalKeys::kLanguage.
struct ForeignWorldKeys {
  static constexpr const char* kClass = "class";
  static constexpr const char* kParameters = "parameters";  // in the world's words
  static constexpr const char* kSource = "source";          // name in `files`; empty: in no file
  static constexpr const char* kSourceDigest = "source_digest";
};

// Whether the user gave a flag such as "--kv".
using GivenFlags = std::function<bool(const std::string& flag)>;

// Takes from the run whatever no given flag sets. Throws kCorrupt if a value cannot be read, and kInvalid if
// the world is not one that this program can load, or --embed is given and its people recall by words.
void FillFromManifest(const journal::Journal& journal, const GivenFlags& given, Simulation& simulation);

}  // namespace throng::app
