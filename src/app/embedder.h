// Makes the embedder that a simulation names.
#pragma once

#include <memory>

#include "app/simulation.h"
#include "effects/embedder.h"
#include "llm/llm.h"
#include "town/town.h"

namespace throng::app {

// backend: the simulation's own; "local" is its model if it is one of this process, else that of --model.
// Null: the simulation names none, or its backend repeats a run, embeddings included. Throws kInvalid for
// what is none, and what loading a model, or asking a server, throws.
std::shared_ptr<effects::Embedder> MakeEmbedder(const Simulation& simulation, const llm::Llm& backend);

// Not set if there is no embedder. What it returns throws kUnavailable where the embedder cannot embed.
town::EmbedNow EmbedNowBy(std::shared_ptr<effects::Embedder> embedder);

}  // namespace throng::app
