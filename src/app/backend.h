// Makes the backend that a simulation names: the engine of this process, another backend, or several, chosen
// by kind of decision.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "app/simulation.h"
#include "engine/local_model.h"
#include "llm/backends/server_stats.h"
#include "llm/llm.h"

namespace throng::app {

// Makes what llm::MakeBackend makes, and "replay:FILE" over a journal, which may be in use. Also throws what
// opening a journal throws.
std::unique_ptr<llm::Llm> MakeBackend(const std::string& spec);

// Throws kInvalid for impossible names, and what loading a model throws.
std::unique_ptr<llm::Llm> MakeBackend(const Simulation& simulation);

// The options of another model than the run's own, in this file.
engine::LocalOptions OptionsOfOther(const Simulation& simulation, const std::string& gguf);

// The servers that calls went to over the network, if they did; behind a decorator none is found.
std::vector<llm::ServerStats> ServersOf(const llm::Llm& backend);

// The engine of this process if the calls go to it, else null.
std::shared_ptr<engine::LocalModel> LocalOf(const llm::Llm& backend);

}  // namespace throng::app
