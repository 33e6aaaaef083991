// The flags of every command that runs a model in this process.
#pragma once

#include <CLI/CLI.hpp>

#include "engine/local_llm.h"

namespace throng::cli {

// Declares --kv, --k, --v, --calibration and --kv-out.
void AddCodecFlags(CLI::App& command, engine::LocalOptions& options, const char* group);

// Declares --model, those of AddCodecFlags, --softmax, --kv-budget, --context, --threads, --batch,
// --step-tokens,
// --chunk,
// --no-prefix-cache, --eviction, --spill and --spill-budget. The options must live until the command has run.
void AddLocalFlags(CLI::App& command, engine::LocalOptions& options);

}  // namespace throng::cli
