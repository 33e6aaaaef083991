// The flags of every command that runs a model in this process.
#pragma once

#include "cli/cli11.h"
#include "engine/local_options.h"

namespace throng::cli {

// Declares --kv, --k, --v, --calibration, --kv-out and --softmax.
void AddCodecFlags(CLI::App& command, engine::LocalOptions& options, const char* group);

// Declares --model, --chat-template, the flags of AddCodecFlags, --kv-budget, --context, --repack, --threads,
// --batch,
// --step-tokens, --chunk, --lookup, --no-prefix-cache, --eviction, --spill and --spill-budget. The options
// must live until the command has run.
void AddLocalFlags(CLI::App& command, engine::LocalOptions& options);

// Says on stderr what the embedded model cannot do, if no other was given. For commands that may ask it for
// anything but the decisions of a town.
void WarnOfEmbeddedModel(const engine::LocalOptions& given);

}  // namespace throng::cli
