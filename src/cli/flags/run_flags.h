// The flags of commands that run a simulation, in groups.
#pragma once

#include <string>

#include "app/limits.h"
#include "app/record/manifest.h"
#include "app/simulation.h"

namespace CLI {
class App;
}

namespace throng::cli {

struct OutputFlags {
  bool json = false;
  bool quiet = false;
};

// Flags for what is simulated; not for resume, which reads it from the journal.
void AddWorldFlags(CLI::App& command, app::Simulation& simulation);
// --steps, --until and --until-event; AddWorldFlags adds them, too.
void AddEndFlags(CLI::App& command, app::Simulation& simulation);
// AddModeFlag adds --mode, AddCouplingFlag --coupling. by_default: the default mode, in words.
void AddModeFlag(CLI::App& command, std::string& mode, const std::string& by_default);
void AddCouplingFlag(CLI::App& command, std::string& coupling, const char* group);
// --snapshot-every; by_default as above.
CLI::Option* AddSnapshotFlag(CLI::App& command, int& snapshot_every, const std::string& by_default);
// --event and --events.
void AddEventFlags(CLI::App& command, app::Simulation& simulation);
// --llm, --model-for, --real-time, and the flags of the engine in this process.
void AddBackendFlags(CLI::App& command, app::Simulation& simulation);
// --call-timeout, --call-attempts, --answer-attempts, --max-wait, --fallback, --max-tokens-total, --max-cost
// and
// --price.
void AddLimitFlags(CLI::App& command, app::Limits& limits);
// --interactive and --target-ms.
void AddInteractiveFlags(CLI::App& command, app::Limits& limits);
// --json and --quiet.
void AddOutputFlags(CLI::App& command, OutputFlags& output);

// Tells which flags the user gave to a command, which must outlive the answer.
app::GivenFlags GivenTo(const CLI::App& command);

}  // namespace throng::cli
